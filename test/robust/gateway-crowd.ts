// Many guests and a gateway on one switch, in virtual time, and a host of memory behind it. Frames of a liar come in beside.

import { Burst, PLAIN } from '../../core/burst.ts';
import type { Slab } from '../../core/slab.ts';
import { type LinkOptions, type SimNode, star, World } from '../../sim/sim.ts';
import { Gateway, type GatewayOptions, newGatewayStack, parseGatewayNetwork } from '../../slirp/slirp.ts';
import {
  Family,
  type Limits,
  type NetworkInterface,
  parseAddress,
  SocketName,
  SocketProtocol,
  SocketType,
  type Stack,
  StackPort,
} from '../../stack/stack.ts';
import { SimDatagrams } from '../kit/sim-datagrams.ts';
import { SimHost, type SimPeer } from '../kit/sim-host.ts';
import { newHost, secretOf } from '../kit/stack-kit.ts';

export const SERVER = '192.0.2.7';
export const SERVER6 = '2001:db8::7';
export const GATE_MAC = '52550a000202';
const FIRST = 15; // 10.0.2.15 is guest 0
const FRAME_BYTES_MAX = 9000;
const BUFFER = new Uint8Array(1 << 16);

export interface CrowdOptions extends Partial<Omit<GatewayOptions, 'stack' | 'iface' | 'network' | 'host'>> {
  readonly guests: number;
  readonly link?: LinkOptions;
  readonly guestLimits?: Partial<Limits>;
  readonly gateLimits?: Partial<Limits>;
  readonly bufferBytes?: number;
  readonly handlesMax?: number;
  readonly seed?: number;
}

/** Bytes that tell where they belong. */
export const byteAt = (at: number): number => (at * 31 + (at >>> 8) * 7) & 255;

export class Crowd {
  readonly world: World;
  readonly slab: Slab;
  readonly guests: Stack[] = [];
  readonly host: SimHost;
  readonly outside: SimDatagrams;
  readonly gateway: Gateway;
  readonly gate: Stack;
  readonly iface: NetworkInterface;
  private readonly nodes: readonly SimNode[];
  private readonly cell: number;
  private readonly ports: StackPort[] = [];

  constructor(options: CrowdOptions) {
    const {
      guests,
      link = { delayUs: 50 },
      guestLimits,
      gateLimits,
      bufferBytes,
      handlesMax,
      seed = 1,
      ...rest
    } = options;
    const world = new World({ seed, slabBytes: 2 ** 31, nodesMax: guests + 3 });
    this.world = world;
    this.slab = world.slab;
    const network = parseGatewayNetwork('');
    const secret = secretOf(seed, 5);
    const made = newGatewayStack({
      slab: this.slab,
      secret,
      nowUs: 0,
      network,
      ...(gateLimits && { limits: gateLimits }),
    });
    this.gate = made.stack;
    this.iface = made.iface;
    let outside: SimDatagrams | undefined;
    let gateNode: SimNode | undefined;
    const wake = (): void => {
      if (gateNode) world.touch(gateNode);
    };
    this.host = new SimHost(this.slab, {
      wake,
      ...(bufferBytes !== undefined && { bufferBytes }),
      ...(handlesMax !== undefined && { handlesMax }),
      datagrams: (handles) => {
        outside = new SimDatagrams(handles);
        return outside;
      },
    });
    this.outside = outside!;
    this.gateway = new Gateway({ ...made, network, host: this.host, ...rest });
    const make = (_: World, name: string): StackPort[] => {
      const number = Number(name.slice(1)) - 1; // s1 is the gateway
      if (number === 0) return [this.keep(new StackPort(made.stack, made.iface))];
      const limits = { ...guestLimits };
      const addresses = [`10.0.2.${FIRST + number - 1}/24`];
      const guest = newHost(this.slab, number, { addresses, gateway: '10.0.2.2', seed, limits });
      guest.stack.autoconf.start(2);
      this.guests.push(guest.stack);
      return [this.keep(guest.port)];
    };
    this.nodes = star(world, make, { stations: guests + 1, link }).stations;
    gateNode = this.nodes[0]!;
    made.stack.onWake(wake);
    this.guests.forEach((stack, i) => {
      stack.onWake(() => world.touch(this.nodes[i + 1]!));
    });
    this.cell = this.slab.alloc(FRAME_BYTES_MAX);
  }

  private keep(port: StackPort): StackPort {
    this.ports.push(port);
    return port;
  }

  run(us: number): void {
    this.world.run({ untilUs: this.world.nowUs + us });
  }

  /** The gateway gets a frame that nobody sent, as its port would. */
  hit(frame: Uint8Array): void {
    this.slab.bytes.set(frame, this.cell);
    this.gate.receive(this.iface, this.cell, frame.length, PLAIN, this.world.nowUs);
  }

  /** As after a batch of frames. */
  turn(): void {
    this.gate.dispatch(this.world.nowUs);
    this.world.touch(this.nodes[0]!);
  }

  connect(g: number, to = SERVER, port = 80): number {
    const { sockets } = this.guests[g]!;
    const h = sockets.socket(to.includes(':') ? Family.Inet6 : Family.Inet, SocketType.Stream);
    sockets.connect(h, parseAddress(to)!, port);
    return h;
  }

  udp(g: number, isIp6 = false): number {
    return this.guests[g]!.sockets.socket(isIp6 ? Family.Inet6 : Family.Inet, SocketType.Datagram);
  }

  sendTo(g: number, h: number, text: string, to = SERVER, port = 53): number {
    const bytes = new TextEncoder().encode(text);
    return this.guests[g]!.sockets.sendTo(h, bytes, 0, bytes.length, parseAddress(to)!, port);
  }

  send(g: number, h: number, text: string): number {
    const bytes = new TextEncoder().encode(text);
    return this.guests[g]!.sockets.send(h, bytes, 0, bytes.length);
  }

  read(g: number, h: number): string | number {
    const n = this.guests[g]!.sockets.receive(h, BUFFER, 0, BUFFER.length);
    return n > 0 ? new TextDecoder().decode(BUFFER.subarray(0, n)) : n;
  }

  ping(g: number, to = SERVER, id = 77): number {
    const isIp6 = to.includes(':');
    const { sockets } = this.guests[g]!;
    const protocol = isIp6 ? SocketProtocol.Icmp6 : SocketProtocol.Icmp;
    const h = sockets.socket(isIp6 ? Family.Inet6 : Family.Inet, SocketType.Datagram, protocol);
    sockets.bind(h, parseAddress(isIp6 ? '::' : '0.0.0.0')!, id);
    const request = Uint8Array.of(isIp6 ? 128 : 8, 0, 0, 0, 0, 0, 0, 1, 1, 2, 3, 4);
    sockets.sendTo(h, request, 0, request.length, parseAddress(to)!, 0);
    return h;
  }

  /** Servers that answer connections, questions and pings at their addresses. */
  serve(): void {
    for (const where of [SERVER, `[${SERVER6}]`]) {
      this.host.answer(`${where}:80`, 'accept');
      this.host.answer(`${where}:8080`, 'never');
      this.outside.place(`${where}:53`, ({ bytes }) => bytes);
    }
    this.outside.echoes.add(SERVER);
    this.outside.echoes.add(SERVER6);
  }

  /** The ends of the servers at port 80 send back what came. */
  echo(): void {
    for (const peer of this.host.peers) {
      if (!peer.where.endsWith(':80')) continue;
      if (peer.arriving.bytes > 0) peer.write(peer.read());
      if (peer.isAtEnd && !peer.leaving.isEnded) peer.end();
    }
  }

  /** Flows that there are, by protocol. */
  flows(): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const { protocol } of this.gateway.flows()) counts[protocol] = (counts[protocol] ?? 0) + 1;
    return counts;
  }

  /** Closes all: bytes of the slab and handles of the host that are left. */
  close(): { readonly handles: number; readonly ringBytes: number } {
    this.gateway.close();
    const { ringBytes } = this.gate.tcp;
    for (const port of [...this.ports]) port.close();
    this.gate.close();
    for (const guest of this.guests) guest.close();
    return { handles: this.host.openHandles, ringBytes };
  }
}

/** A guest's upload and download with a server, byte by byte. */
export class Transfer {
  /** Bytes that arrived, up and down. */
  up = 0;
  down = 0;
  /** A connection that has ended says why: 0, or -errno. */
  end: number | undefined;
  readonly h: number;
  readonly peer: SimPeer;
  /** The guest's. */
  readonly port: number;
  private readonly crowd: Crowd;
  private readonly g: number;
  private sentUp = 0;
  private sentDown = 0;

  /** It stands at once, or throws. */
  constructor(crowd: Crowd, g: number, port = 443) {
    this.crowd = crowd;
    this.g = g;
    crowd.host.answer(`${SERVER}:${port}`, 'accept');
    this.h = crowd.connect(g, SERVER, port);
    crowd.run(100_000);
    const peer = crowd.host.peers.findLast(({ where }) => where === `${SERVER}:${port}`);
    if (!peer?.isConnected) throw new Error('the transfer has no server');
    this.peer = peer;
    const name = new SocketName();
    crowd.guests[g]!.sockets.local(this.h, name);
    this.port = name.port;
  }

  turn(): void {
    const { sockets } = this.crowd.guests[this.g]!;
    fill(this.sentUp);
    const wrote = sockets.send(this.h, BUFFER, 0, 32_768);
    if (wrote > 0) this.sentUp += wrote;
    const arrived = this.peer.read();
    check(arrived, arrived.length, this.up);
    this.up += arrived.length;
    fill(this.sentDown);
    this.sentDown += this.peer.write(BUFFER.subarray(0, 32_768));
    for (;;) {
      const n = sockets.receive(this.h, BUFFER, 0, BUFFER.length);
      if (n <= 0) {
        if (n !== -11) this.end = n;
        break;
      }
      check(BUFFER, n, this.down);
      this.down += n;
    }
  }

  get bytes(): number {
    return this.up + this.down;
  }
}

function fill(from: number): void {
  for (let i = 0; i < 32_768; i++) BUFFER[i] = byteAt(from + i);
}

function check(bytes: Uint8Array, count: number, from: number): void {
  for (let i = 0; i < count; i++) if (bytes[i] !== byteAt(from + i)) throw new Error(`byte ${from + i} is wrong`);
}

/** What the gateway sent is forgotten: for who drives it without a world. */
export function drain(iface: NetworkInterface, burst = new Burst(256)): void {
  do burst.count = 0;
  while (iface.output.drain(burst));
}
