// Guests and a whole gateway with a host of memory, in virtual time. The gateway can be killed and another one put in its place.

import type { Burst } from '../../core/burst.ts';
import type { Drop } from '../../core/drop.ts';
import type { PortCounters } from '../../core/port.ts';
import type { Slab } from '../../core/slab.ts';
import { Pair, type SimPort } from '../../sim/sim.ts';
import { Gateway, type GatewayOptions, newGatewayStack, parseGatewayNetwork, parseRule } from '../../slirp/slirp.ts';
import { Family, parseAddress, SocketProtocol, SocketType, type Stack, StackPort } from '../../stack/stack.ts';
import { SimDatagrams } from '../kit/sim-datagrams.ts';
import { SimHost } from '../kit/sim-host.ts';
import { newHost, secretOf } from '../kit/stack-kit.ts';

/** A port whose stack is exchanged: what a cable to a gateway is to the network. */
class Socket implements SimPort {
  inner: StackPort;

  constructor(inner: StackPort) {
    this.inner = inner;
  }

  get counters(): PortCounters {
    return this.inner.counters;
  }

  get takesOffload(): boolean {
    return this.inner.takesOffload;
  }

  get frameBytesMax(): number {
    return this.inner.frameBytesMax;
  }

  receive(burst: Burst, nowUs: number): boolean {
    return this.inner.receive(burst, nowUs);
  }

  queue(at: number, length: number, offload: number): Drop {
    return this.inner.queue(at, length, offload);
  }

  flush(nowUs: number): boolean {
    return this.inner.flush(nowUs);
  }

  pause(isPaused: boolean): void {
    this.inner.pause(isPaused);
  }

  deadlineUs(): number {
    return this.inner.deadlineUs();
  }

  expire(nowUs: number): void {
    this.inner.expire(nowUs);
  }

  close(): void {
    this.inner.close();
  }
}

export interface GatewayLabOptions
  extends Partial<Omit<GatewayOptions, 'stack' | 'iface' | 'network' | 'host' | 'rules'>> {
  readonly network?: string;
  readonly allow?: readonly string[];
  readonly deny?: readonly string[];
  readonly mtuBytes?: number;
  readonly takesOffload?: boolean;
}

/** The guest is 10.0.2.15 and has of IPv6 what the gateway advertises. */
export class GatewayLab {
  readonly pair: Pair;
  readonly slab: Slab;
  readonly guest: Stack;
  host!: SimHost;
  outside!: SimDatagrams;
  gateway!: Gateway;
  gate!: Stack;
  private readonly options: GatewayLabOptions;
  private readonly socket: Socket;
  private made = 0;

  constructor(options: GatewayLabOptions = {}) {
    this.options = options;
    let guest: Stack | undefined;
    let socket: Socket | undefined;
    const { mtuBytes = 1500, takesOffload = false } = options;
    this.pair = new Pair(
      (slab, name) => {
        if (name !== 'a') {
          socket = new Socket(this.make(slab));
          return socket;
        }
        const made = newHost(slab, 9, { addresses: ['10.0.2.15/24'], gateway: '10.0.2.2', mtuBytes, takesOffload });
        guest = made.stack;
        guest.autoconf.start(2);
        return made.port;
      },
      { delayUs: 50, slabBytes: 1 << 27 },
    );
    this.guest = guest!;
    this.socket = socket!;
    this.slab = this.pair.world.slab;
    this.guest.onWake(() => this.pair.world.touch(this.pair.a));
    this.run();
  }

  /** The gateway is gone with all it knew, and another one is started. */
  restart(): void {
    this.socket.inner.close();
    this.gateway.close();
    this.gate.close();
    this.socket.inner = this.make(this.slab);
    this.run();
  }

  run(us = 50_000): void {
    const { world, a, b } = this.pair;
    world.touch(a);
    world.touch(b);
    this.pair.run(us);
  }

  /** A stream socket of the guest's that began to connect. */
  connect(to: string, port: number, from?: string): number {
    const { sockets } = this.guest;
    const h = sockets.socket(to.includes(':') ? Family.Inet6 : Family.Inet, SocketType.Stream);
    if (from !== undefined) sockets.bind(h, parseAddress(from)!, 0);
    sockets.connect(h, parseAddress(to)!, port);
    return h;
  }

  udp(isIp6 = false, port = 0): number {
    const { sockets } = this.guest;
    const h = sockets.socket(isIp6 ? Family.Inet6 : Family.Inet, SocketType.Datagram);
    if (port !== 0) sockets.bind(h, parseAddress(isIp6 ? '::' : '0.0.0.0')!, port);
    return h;
  }

  /** Sends an echo request: the socket. */
  ping(to: string, id = 77): number {
    const isIp6 = to.includes(':');
    const { sockets } = this.guest;
    const protocol = isIp6 ? SocketProtocol.Icmp6 : SocketProtocol.Icmp;
    const h = sockets.socket(isIp6 ? Family.Inet6 : Family.Inet, SocketType.Datagram, protocol);
    sockets.bind(h, parseAddress(isIp6 ? '::' : '0.0.0.0')!, id);
    const request = Uint8Array.of(isIp6 ? 128 : 8, 0, 0, 0, 0, 0, 0, 1, 1, 2, 3, 4);
    sockets.sendTo(h, request, 0, request.length, parseAddress(to)!, 0);
    return h;
  }

  send(h: number, text: string, to?: string, port = 0): number {
    const bytes = new TextEncoder().encode(text);
    const { sockets } = this.guest;
    if (to === undefined) return sockets.send(h, bytes, 0, bytes.length);
    return sockets.sendTo(h, bytes, 0, bytes.length, parseAddress(to)!, port);
  }

  /** What a stream or datagram socket of the guest's has: text, or a number: 0 for the end, or -errno. */
  read(h: number): string | number {
    const into = new Uint8Array(65_536);
    const { sockets } = this.guest;
    const n = sockets.receive(h, into, 0, into.length);
    return n > 0 ? new TextDecoder().decode(into.subarray(0, n)) : n;
  }

  /** As `read`, of a datagram, with who sent it. */
  readFrom(h: number): { readonly bytes: Uint8Array; readonly from: Int32Array; readonly port: number } | number {
    const into = new Uint8Array(65_536);
    const { sockets } = this.guest;
    const n = sockets.receiveFrom(h, into, 0, into.length);
    if (n < 0) return n;
    const { source, port } = sockets.message;
    return { bytes: into.slice(0, n), from: source.slice(), port };
  }

  private make(slab: Slab): StackPort {
    const { network: line = '', allow = [], deny = [], mtuBytes, takesOffload, ...rest } = this.options;
    const network = parseGatewayNetwork(line);
    const nowUs = this.pair?.nowUs ?? 0;
    const { stack, iface } = newGatewayStack({ slab, secret: secretOf(5, ++this.made), nowUs, network });
    const wake = (): void => this.pair?.world.touch(this.pair.b);
    const datagrams = (handles: ConstructorParameters<typeof SimDatagrams>[0]): SimDatagrams => {
      this.outside = new SimDatagrams(handles);
      return this.outside;
    };
    this.host = new SimHost(slab, { wake, datagrams });
    const rules = [...deny.map((one) => parseRule('deny', one)), ...allow.map((one) => parseRule('allow', one))];
    this.gateway = new Gateway({ stack, iface, network, host: this.host, rules, ...rest });
    this.gate = stack;
    stack.onWake(wake);
    return new StackPort(stack, iface);
  }
}
