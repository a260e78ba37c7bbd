// A host without a network layer: paths, a sender that keeps what is sent, and a TCP that connects within itself.

import { Drop } from '../../core/drop.ts';
import { Slab } from '../../core/slab.ts';
import { type Address, ANY, equal, isAny, isIp4, isLinkLocal, isLoopback, parse } from '../../stack/address.ts';
import { Errno } from '../../stack/errno.ts';
import type { Paths, Sender } from '../../stack/ip.ts';
import { LIMITS, type Limits } from '../../stack/limits.ts';
import { Output } from '../../stack/output.ts';
import { Packet } from '../../stack/packet.ts';
import { Shared } from '../../stack/shared.ts';
import { sumOf } from '../../stack/socket/datagram-output.ts';
import { Sockets } from '../../stack/socket/sockets.ts';
import { Ready, State, type Tcp } from '../../stack/tcp/tcp.ts';
import { finish } from '../../wire/checksum.ts';
import { Protocol } from '../../wire/ipv4.ts';

export const address = (text: string): Address => parse(text)!;

export const A4 = address('10.0.0.1');
export const B4 = address('10.0.0.2');
export const A6 = address('fd00::1');
export const B6 = address('fd00::2');
export const OURS = [A4, A6, address('127.0.0.1'), address('::1'), address('fe80::1'), address('10.0.0.7')];

export interface Sent {
  source: Address;
  target: Address;
  protocol: number;
  hops: number;
  trafficClass: number;
  isWhole: boolean;
  bytes: Uint8Array;
}

class FakePaths implements Paths {
  mtu = 1500;
  readonly list: { source: Address; target: Address; iface: number }[] = [];

  find(source: Address, target: Address, iface: number): number {
    if (equal(target, address('203.0.113.9'))) return -Errno.ENETUNREACH;
    const own = isLoopback(target) ? target : isIp4(target) ? A4 : isLinkLocal(target) ? address('fe80::1') : A6;
    this.list.push({
      source: isAny(source) ? own : source.slice(),
      target: target.slice(),
      iface: iface || (isLoopback(target) ? 1 : 2),
    });
    return this.list.length - 1;
  }

  sourceOf(path: number): Address {
    return this.list[path]!.source;
  }

  ifaceOf(path: number): number {
    return this.list[path]!.iface;
  }

  mtuOf(): number {
    return this.mtu;
  }

  superOf(): number {
    return this.mtu;
  }

  confirm(): void {}
}

class FakeSender implements Sender {
  needsSum = true;
  isFull = false;
  result: Drop = Drop.None;
  readonly sent: Sent[] = [];
  private readonly shared: Shared;
  private readonly paths: FakePaths;
  private readonly at: number;
  private path = 0;
  private protocol = 0;
  private bytes = 0;

  constructor(shared: Shared, paths: FakePaths) {
    this.shared = shared;
    this.paths = paths;
    this.at = shared.slab.alloc(65536);
  }

  open(path: number, protocol: number, bytes: number): number {
    this.path = path;
    this.protocol = protocol;
    this.bytes = bytes;
    return this.isFull ? 0 : this.at;
  }

  seal(offset: number, sum: number): void {
    const { source, target } = this.paths.list[this.path]!;
    const pseudo = sumOf(source) + sumOf(target) + this.protocol + this.bytes;
    this.shared.view.setUint16(this.at + offset, finish(sum + pseudo));
  }

  send(hops: number, trafficClass: number): Drop {
    return this.keep(this.at, hops, trafficClass, false);
  }

  sendDatagram(path: number, protocol: number, at: number, bytes: number, hops: number, trafficClass: number): Drop {
    if (this.isFull) return Drop.TxFull;
    this.open(path, protocol, bytes);
    return this.keep(at, hops, trafficClass, true);
  }

  private keep(at: number, hops: number, trafficClass: number, isWhole: boolean): Drop {
    const { source, target } = this.paths.list[this.path]!;
    const bytes = this.shared.bytes.slice(at, at + this.bytes);
    if (this.result === Drop.None)
      this.sent.push({ source, target, protocol: this.protocol, hops, trafficClass, isWhole, bytes });
    return this.result;
  }
}

interface Pipe {
  state: State;
  isIp6: boolean;
  local: Address;
  remote: Address;
  port: number;
  peerPort: number;
  peer: number;
  backlog: number[];
  data: number[];
  ended: boolean;
  shut: boolean;
  error: number;
}

/** Connections within itself, at once; just what the sockets call. Port 9 refuses, port 7 never answers. */
export class FakeTcp {
  readonly bytesMax = 1000;
  readonly list: Pipe[] = [];
  private readonly events: number[] = [];

  open(isIp6: boolean): number {
    this.list.push({
      ...{ state: State.Closed, isIp6, local: ANY, remote: ANY, port: 0, peerPort: 0, peer: -1 },
      ...{ backlog: [], data: [], ended: false, shut: false, error: 0 },
    });
    return this.list.length - 1;
  }

  setOption(): number {
    return 0;
  }

  getOption(_c: number, option: number): number {
    return 1000 + option;
  }

  bind(c: number, local: Address, port: number): number {
    this.list[c]!.local = local.slice();
    this.list[c]!.port = port || 50_000 + c;
    return 0;
  }

  listen(c: number): number {
    this.list[c]!.state = State.Listen;
    return 0;
  }

  connect(c: number, remote: Address, port: number): number {
    const pipe = this.list[c]!;
    pipe.remote = remote.slice();
    pipe.peerPort = port;
    pipe.state = State.SynSent;
    if (port === 7) return -Errno.EINPROGRESS;
    const listener = this.list.findIndex((p) => p.state === State.Listen && p.port === port);
    if (listener < 0) pipe.error = Errno.ECONNREFUSED;
    else {
      const server = this.open(pipe.isIp6);
      Object.assign(this.list[server]!, {
        state: State.Established,
        peer: c,
        local: pipe.remote,
        port,
        remote: A4,
        peerPort: 40_000,
      });
      Object.assign(pipe, { state: State.Established, peer: server, local: A4, port: 40_000 });
      this.list[listener]!.backlog.push(server);
      this.events.push(listener);
    }
    this.events.push(c);
    return -Errno.EINPROGRESS;
  }

  accept(c: number): number {
    return this.list[c]!.backlog.shift() ?? -Errno.EAGAIN;
  }

  send(c: number, bytes: Uint8Array, from: number, count: number): number {
    const pipe = this.list[c]!;
    if (pipe.error !== 0) return -pipe.error;
    if (pipe.shut) return -Errno.EPIPE;
    const peer = this.list[pipe.peer]!;
    const n = Math.min(count, this.bytesMax - peer.data.length);
    if (n === 0) return -Errno.EAGAIN;
    peer.data.push(...bytes.subarray(from, from + n));
    this.events.push(pipe.peer);
    return n;
  }

  receive(c: number, into: Uint8Array, from: number, count: number): number {
    const pipe = this.list[c]!;
    if (pipe.error !== 0) return -pipe.error;
    if (pipe.data.length === 0) return pipe.ended ? 0 : -Errno.EAGAIN;
    const taken = pipe.data.splice(0, count);
    into.set(taken, from);
    this.events.push(pipe.peer);
    return taken.length;
  }

  available(c: number): number {
    return this.list[c]!.data.length;
  }

  shutdown(c: number): number {
    const pipe = this.list[c]!;
    pipe.shut = true;
    if (pipe.peer >= 0) {
      this.list[pipe.peer]!.ended = true;
      this.events.push(pipe.peer);
    }
    return 0;
  }

  close(c: number): void {
    if (!this.list[c]!.shut) this.shutdown(c);
  }

  abort(c: number): void {
    const { peer } = this.list[c]!;
    if (peer < 0) return;
    this.list[peer]!.error = Errno.ECONNRESET;
    this.events.push(peer);
  }

  takeError(c: number): number {
    const { error } = this.list[c]!;
    this.list[c]!.error = 0;
    return error;
  }

  readiness(c: number): number {
    const pipe = this.list[c]!;
    let ready = pipe.data.length > 0 || pipe.ended || pipe.backlog.length > 0 ? Ready.In : 0;
    if (pipe.state === State.Established && this.list[pipe.peer]!.data.length < this.bytesMax) ready |= Ready.Out;
    return pipe.error !== 0 ? ready | Ready.Error : ready;
  }

  localOf(c: number): Address {
    return this.list[c]!.local;
  }

  remoteOf(c: number): Address {
    return this.list[c]!.remote;
  }

  localPort(c: number): number {
    return this.list[c]!.port;
  }

  remotePort(c: number): number {
    return this.list[c]!.peerPort;
  }

  stateOf(c: number): State {
    return this.list[c]!.state;
  }

  nextEvent(): number {
    return this.events.shift() ?? -1;
  }
}

/** Sockets on the fakes, with what they touch. */
export function makeHost(limits: Partial<Limits> = {}) {
  const slab = new Slab({ bytesMax: 32 << 20 });
  const shared = new Shared(slab, Int32Array.of(1, 2, 3, 4));
  const paths = new FakePaths();
  const sender = new FakeSender(shared, paths);
  const tcp = new FakeTcp();
  const output = new Output(slab, { bytesMax: 65536, framesMax: 16 });
  const joined: unknown[] = [];
  const hosts = {
    isOurs: (a: Address) => OURS.some((own) => equal(own, a)),
    isBroadcast: (a: Address) => equal(a, address('10.0.0.255')) || a[3] === -1,
  };
  const links = {
    get: (iface: number) =>
      iface === 1 || iface === 2 ? { mac: Uint8Array.of(2, 0, 0, 0, 0, 1), mtuBytes: 1500, output } : undefined,
  };
  const groups = {
    setFilter: (...all: unknown[]) => {
      joined.push(all);
      return 0;
    },
  };
  const parts = { tcp: tcp as unknown as Tcp, paths, sender, hosts, links, groups };
  const sockets = new Sockets(shared, { ...LIMITS, ...limits }, parts);
  const at = slab.alloc(131072);

  /** A packet in the slab whose upper layer is `bytes`, as the network layer would give it. */
  function packet(
    source: Address,
    target: Address,
    protocol: number,
    bytes: Uint8Array,
    more: Partial<Packet> = {},
  ): Packet {
    shared.bytes.set(bytes, at + 20);
    shared.bytes[at] = 0x45;
    const made = new Packet();
    made.source.set(source);
    made.target.set(target);
    const isIp6 = !isIp4(target);
    const common = {
      iface: 2,
      ip: at,
      ipBytes: bytes.length + 20,
      at: at + 20,
      bytes: bytes.length,
      hopLimit: 61,
      trafficClass: 4,
    };
    return Object.assign(made, { ...common, isIp6, protocol, ...more });
  }
  return { slab, shared, paths, sender, tcp, output, joined, sockets, packet };
}
export type Host = ReturnType<typeof makeHost>;

/** A UDP datagram with the right checksum, or `sum` in its place. */
export function datagram(
  source: Address,
  target: Address,
  from: number,
  to: number,
  payload: string,
  sum?: number,
): Uint8Array {
  const data = new TextEncoder().encode(payload);
  const bytes = new Uint8Array(8 + data.length);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, from);
  view.setUint16(2, to);
  view.setUint16(4, bytes.length);
  bytes.set(data, 8);
  view.setUint16(6, sum ?? (checksum(source, target, Protocol.Udp, bytes) || 0xffff));
  return bytes;
}

export function checksum(source: Address, target: Address, protocol: number, bytes: Uint8Array): number {
  let sum = sumOf(source) + sumOf(target) + protocol + bytes.length;
  for (let i = 0; i < bytes.length; i++) sum += i % 2 === 0 ? bytes[i]! << 8 : bytes[i]!;
  return finish(sum);
}

/** Gives a UDP datagram to the host. */
export function arrive(
  host: Host,
  source: Address,
  target: Address,
  from: number,
  to: number,
  payload: string,
  iface = 2,
): Drop {
  return host.sockets.udp.receive(
    host.packet(source, target, Protocol.Udp, datagram(source, target, from, to, payload), { iface }),
  );
}

const buffer = new Uint8Array(65536);

/** The next message as text, or the errno. */
export function next(host: Host, h: number, flags = 0): string | number {
  const n = host.sockets.receiveFrom(h, buffer, 0, buffer.length, flags);
  return n < 0 ? n : new TextDecoder().decode(buffer.subarray(0, n));
}

export const text = (value: string): Uint8Array => new TextEncoder().encode(value);
