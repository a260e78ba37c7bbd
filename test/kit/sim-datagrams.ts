// The datagram half of a simulated host: sockets, places outside by name, a path with routers, errors as Linux queues them.

import { BATCH_DATAGRAMS, type DatagramBatch, type HostError, HostReady } from '../../slirp/slirp.ts';
import {
  type Address,
  Errno,
  isAnyAddress,
  isIp4,
  isLoopback,
  parseAddress,
  type SocketName,
} from '../../stack/stack.ts';
import * as icmp from '../../wire/icmp.ts';
import * as icmp6 from '../../wire/icmp6.ts';
import { type SimDatagramPart, type SimHandles, whereOf } from './sim-host.ts';

export const HOST_4 = '198.51.100.1';
export const HOST_6 = '2001:db8:100::1';

/** What left the host. */
export interface SimDatagram {
  readonly h: number;
  readonly from: string;
  readonly to: string;
  readonly bytes: Uint8Array;
  readonly hops: number;
  readonly trafficClass: number;
  readonly isWhole: boolean;
}

/** An error as it is queued for a socket. */
export interface SimError {
  readonly errno: number;
  readonly type: number;
  readonly code: number;
  readonly info?: number;
  readonly reporter?: string;
  readonly target: string;
  readonly port: number;
  readonly bytes?: Uint8Array;
}

interface Arrived {
  readonly from: Address;
  readonly port: number;
  readonly bytes: Uint8Array;
  readonly hops: number;
  readonly trafficClass: number;
}

interface Socket {
  readonly isIp6: boolean;
  readonly isEcho: boolean;
  readonly address: Address;
  readonly port: number;
  readonly arrived: Arrived[];
  readonly errors: SimError[];
  /** As Linux's sk_err: the next call fails with it, once. */
  pending: number;
  hops: number;
  trafficClass: number;
  isWhole: boolean;
}

const QUEUE_MAX = 4096;
const ERROR_BYTES = 2048;
const IP4_UDP = 28;
const IP6_UDP = 48;
const EPHEMERAL = 40_000;

/** A place outside. What it returns is sent back. */
export type Place = (datagram: SimDatagram) => Uint8Array | undefined;

/** `const datagrams = (handles) => new SimDatagrams(handles)` is what `SimHost` composes. */
export class SimDatagrams implements SimDatagramPart {
  /** All that left, in order. */
  readonly sent: SimDatagram[] = [];
  /** How many calls sent something. */
  sendCalls = 0;
  /** Routers of the path, by family, which count hops down: the first one is the nearest. */
  routers4: readonly string[] = [];
  routers6: readonly string[] = [];
  /** The path takes no more bytes, IP header included. */
  mtuBytes = 65_575;
  /** What sockets may not be bound to. */
  readonly takenPorts = new Set<number>();
  /** As users of Linux without privilege. */
  portMin = 1024;
  isEchoForbidden = false;
  socketsMax = Infinity;
  /** Errno of every send; 0: none. */
  refuses = 0;
  /** Full socket buffers. */
  isBlocked = false;
  /** Hosts that answer echo requests, by address. */
  readonly echoes = new Set<string>();
  private readonly handles: SimHandles;
  private readonly sockets = new Map<number, Socket>();
  private readonly bound = new Map<string, number>();
  private readonly places = new Map<string, Place>();
  private readonly errorAt: number;
  private nextPort = EPHEMERAL;

  constructor(handles: SimHandles) {
    this.handles = handles;
    this.errorAt = handles.slab.alloc(ERROR_BYTES);
  }

  /** What `where` does with datagrams; of places that are not named nobody hears. */
  place(where: string, place: Place): void {
    this.places.set(where, place);
  }

  /** Sockets that are open. */
  get open(): number {
    return this.sockets.size;
  }

  /** `host:port` of a socket as others see it. */
  whereOf(h: number): string {
    const { isIp6, address, port } = this.sockets.get(h)!;
    return whereOf(isAnyAddress(address) ? parseAddress(isIp6 ? HOST_6 : HOST_4)! : address, port);
  }

  /** Somebody outside sends to a port of the host: false if nobody is there, or his queue is full. */
  inject(from: string, to: string, bytes: Uint8Array, hops = 60, trafficClass = 0): boolean {
    const [address, port] = placeOf(to);
    const isIp6 = !isIp4(address);
    const h =
      this.bound.get(keyOf(false, isIp6, address, port)) ?? this.bound.get(keyOf(false, isIp6, anyOf(isIp6), port));
    if (h === undefined) return false;
    return this.arrive(h, from, bytes, hops, trafficClass);
  }

  /** For a socket that is known. */
  arrive(h: number, from: string, bytes: Uint8Array, hops = 60, trafficClass = 0): boolean {
    const socket = this.sockets.get(h);
    if (!socket || socket.arrived.length >= QUEUE_MAX) return false;
    const [address, port] = placeOf(from);
    socket.arrived.push({ from: address, port, bytes: bytes.slice(), hops, trafficClass });
    this.handles.changed(h);
    return true;
  }

  /** An error comes back to a socket. */
  fail(h: number, error: SimError): void {
    const socket = this.sockets.get(h);
    if (!socket) return;
    socket.errors.push(error);
    if (error.type >= 0) socket.pending = error.errno;
    this.handles.changed(h);
  }

  // SimDatagramPart

  events(h: number): number {
    const { arrived, errors, pending } = this.sockets.get(h)!;
    return (
      (arrived.length > 0 ? HostReady.In : 0) | HostReady.Out | (errors.length > 0 || pending ? HostReady.Error : 0)
    );
  }

  local(h: number, name: SocketName): number {
    const { address, port } = this.sockets.get(h)!;
    name.address.set(address);
    name.port = port;
    return 0;
  }

  takeError(h: number): number {
    const socket = this.sockets.get(h)!;
    const { pending } = socket;
    socket.pending = 0;
    return pending;
  }

  close(h: number): void {
    const { isEcho, isIp6, address, port } = this.sockets.get(h)!;
    this.bound.delete(keyOf(isEcho, isIp6, address, port));
    this.sockets.delete(h);
  }

  openUdp(isIp6: boolean, local: Address, port: number): number {
    if (port !== 0 && port < this.portMin) return -Errno.EACCES;
    return this.add(false, isIp6, local, port);
  }

  openEcho(isIp6: boolean, identifier: number): number {
    if (this.isEchoForbidden) return -Errno.EACCES;
    return this.add(true, isIp6, anyOf(isIp6), identifier);
  }

  receiveDatagrams(h: number, into: DatagramBatch): number {
    const socket = this.sockets.get(h)!;
    if (socket.pending !== 0) return -this.takeError(h);
    const count = Math.min(BATCH_DATAGRAMS, socket.arrived.length);
    if (count === 0) return -Errno.EAGAIN;
    for (let i = 0; i < count; i++) {
      const { from, port, bytes, hops, trafficClass } = socket.arrived.shift()!;
      into.slab.bytes.set(bytes, into.at[i]!);
      into.bytes[i] = bytes.length;
      into.address.set(from, 4 * i);
      into.port[i] = port;
      into.hops[i] = hops;
      into.trafficClass[i] = trafficClass;
    }
    into.count = count;
    return count;
  }

  sendDatagrams(h: number, batch: DatagramBatch, from: number, count: number): number {
    const socket = this.sockets.get(h)!;
    for (let i = from; i < from + count; i++) {
      const failed = this.send(h, socket, batch, i);
      if (failed < 0) return i > from ? i - from : failed;
    }
    this.sendCalls++;
    return count;
  }

  receiveError(h: number, into: HostError): boolean {
    const socket = this.sockets.get(h)!;
    const error = socket.errors.shift();
    if (!error) return false;
    socket.pending = 0;
    const { bytes } = this.handles.slab;
    const quoted = (error.bytes ?? new Uint8Array(0)).subarray(0, ERROR_BYTES);
    into.errno = error.errno;
    into.type = error.type;
    into.code = error.code;
    into.info = error.info ?? 0;
    into.isIp6 = socket.isIp6;
    into.reporter.set(parseAddress(error.reporter ?? '::')!);
    into.target.set(parseAddress(error.target)!);
    into.port = error.port;
    into.at = this.errorAt;
    into.bytes = quoted.length;
    bytes.set(quoted, this.errorAt);
    return true;
  }

  setHops(h: number, hops: number): void {
    this.sockets.get(h)!.hops = hops;
  }

  setTrafficClass(h: number, trafficClass: number): void {
    this.sockets.get(h)!.trafficClass = trafficClass;
  }

  setDontFragment(h: number, isSet: boolean): void {
    this.sockets.get(h)!.isWhole = isSet;
  }

  private add(isEcho: boolean, isIp6: boolean, local: Address, port: number): number {
    if (this.sockets.size >= this.socketsMax) return -Errno.EMFILE;
    const address = isAnyAddress(local) ? anyOf(isIp6) : local.slice();
    let chosen = port;
    if (port === 0) while (!this.isFree(isEcho, isIp6, address, this.nextPort)) this.nextPort++;
    if (port === 0) chosen = this.nextPort++;
    else if (!this.isFree(isEcho, isIp6, address, port)) return -Errno.EADDRINUSE;
    const h = this.handles.open(this);
    if (h < 0) return h;
    const state = { pending: 0, hops: 64, trafficClass: 0, isWhole: false };
    this.sockets.set(h, { isIp6, isEcho, address, port: chosen, arrived: [], errors: [], ...state });
    this.bound.set(keyOf(isEcho, isIp6, address, chosen), h);
    return h;
  }

  private isFree(isEcho: boolean, isIp6: boolean, address: Address, port: number): boolean {
    if (!isEcho && this.takenPorts.has(port)) return false;
    if (this.bound.has(keyOf(isEcho, isIp6, address, port))) return false;
    return isAnyAddress(address) || !this.bound.has(keyOf(isEcho, isIp6, anyOf(isIp6), port));
  }

  /** One datagram on its way: 0, or -errno. */
  private send(h: number, socket: Socket, batch: DatagramBatch, i: number): number {
    if (this.isBlocked) return -Errno.EAGAIN;
    if (socket.pending !== 0) return -this.takeError(h);
    if (this.refuses !== 0) return -this.refuses;
    const target = batch.address.slice(4 * i, 4 * i + 4);
    const port = batch.port[i]!;
    const at = batch.at[i]!;
    const bytes = batch.slab.bytes.slice(at, at + batch.bytes[i]!);
    const { isIp6, isEcho, hops, trafficClass, isWhole } = socket;
    if (isIp4(target) === isIp6) return -Errno.EAFNOSUPPORT;
    const where = whereOf(target, port).slice(0, isEcho ? -`:${port}`.length : undefined);
    const whole = bytes.length + (isIp6 ? IP6_UDP : IP4_UDP) - (isEcho ? 8 : 0);
    if (isWhole && whole > this.mtuBytes) {
      const target = where.slice(0, isEcho ? undefined : -`:${port}`.length).replace(/[[\]]/g, '');
      // Linux has no port for it, of IPv4.
      const about = { target, port: isIp6 ? port : 0 };
      this.fail(h, { errno: Errno.EMSGSIZE, type: -1, code: 0, info: this.mtuBytes, ...about });
      return -Errno.EMSGSIZE;
    }
    const datagram = { h, from: this.whereOf(h), to: where, bytes, hops, trafficClass, isWhole };
    this.sent.push(datagram);
    this.travel(h, socket, datagram, target, port);
    return 0;
  }

  private travel(h: number, socket: Socket, datagram: SimDatagram, target: Address, port: number): void {
    const { isIp6, isEcho } = socket;
    const text = whereOf(target, 0).slice(0, -2).replace(/[[\]]/g, '');
    if (isLoopback(target) || text === HOST_4 || text === HOST_6) {
      const from = isLoopback(target) ? datagram.from.replace(/.*:/, isIp6 ? '[::1]:' : '127.0.0.1:') : datagram.from;
      if (this.inject(from, datagram.to, datagram.bytes, datagram.hops, datagram.trafficClass)) return;
    }
    const routers = isIp6 ? this.routers6 : this.routers4;
    const router = routers[datagram.hops - 1];
    if (router !== undefined) {
      const type = isIp6 ? icmp6.Type.TimeExceeded : icmp.Type.TimeExceeded;
      const about = { target: text, port, bytes: datagram.bytes };
      this.fail(h, { errno: Errno.EHOSTUNREACH, type, code: 0, reporter: router, ...about });
      return;
    }
    if (isEcho) {
      if (!this.echoes.has(text)) return;
      const reply = datagram.bytes.slice();
      reply[0] = isIp6 ? icmp6.Type.EchoReply : icmp.Type.EchoReply;
      this.arrive(h, whereOf(target, 0), reply, 64 - routers.length, datagram.trafficClass);
      return;
    }
    const answer = this.places.get(datagram.to)?.(datagram);
    if (answer) this.arrive(h, datagram.to, answer, 64 - routers.length);
  }
}

const anyOf = (isIp6: boolean): Address => parseAddress(isIp6 ? '::' : '0.0.0.0')!;

const keyOf = (isEcho: boolean, isIp6: boolean, address: Address, port: number): string =>
  `${isEcho ? 'echo' : 'udp'} ${isIp6 ? 6 : 4} ${whereOf(address, port)}`;

function placeOf(where: string): [Address, number] {
  const at = where.lastIndexOf(':');
  return [parseAddress(where.slice(0, at).replace(/[[\]]/g, ''))!, Number(where.slice(at + 1))];
}
