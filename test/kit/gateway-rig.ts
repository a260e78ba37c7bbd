// A gateway's datagram flows in virtual time: a stack of guests, a gateway's stack, and a host of memory behind it.

import type { Slab } from '../../core/slab.ts';
import { Pair } from '../../sim/sim.ts';
import {
  DatagramBatch,
  type FlowParts,
  type HostSockets,
  Protocol,
  Senders,
  SlirpCounters,
  type Targets,
  Verdict,
} from '../../slirp/slirp.ts';
import {
  type Address,
  assignAddress,
  Family,
  formatAddress,
  isIp4,
  isLoopback,
  parseAddress,
  SocketOption,
  SocketProtocol,
  SocketType,
  type Stack,
  type StackUser,
} from '../../stack/stack.ts';
import { SimDatagrams } from './sim-datagrams.ts';
import { SimHost, whereOf } from './sim-host.ts';
import { addGateway, newHost } from './stack-kit.ts';
import { TestCaps } from './test-caps.ts';

export const A = '10.0.2.15';
export const B = '10.0.2.16';
export const A6 = 'fd00::15';
export const B6 = 'fd00::16';
export const GATEWAY = '10.0.2.2';
export const GATEWAY6 = 'fd00::2';
export const NAT64 = '64:ff9b::';
const MS = 1000;

/** Everything but what a test says, and the host's loopback by the gateway's addresses. */
export class TestTargets implements Targets {
  hostPort = 0;
  readonly hostPath = '';
  /** Called for every flow. */
  asked = 0;
  /** Address, or `address:port`, as the guest says it, to what becomes of it. */
  readonly verdicts = new Map<string, Verdict>();
  /** `address:port` as the guest says it, to `address:port` of the host's side. */
  readonly leads = new Map<string, [string, number]>();
  /** Addresses that have no name. */
  readonly nameless = new Set<string>();
  source4: Address = parseAddress('0.0.0.0')!;

  decide(_protocol: number, _guest: Address, target: Address, port: number, into: Address): Verdict {
    this.asked++;
    this.hostPort = port;
    const text = formatAddress(target);
    const lead = this.leads.get(whereOf(target, port));
    if (lead) {
      assignAddress(into, parseAddress(lead[0])!);
      this.hostPort = lead[1];
      return Verdict.Go;
    }
    if (text.startsWith(NAT64)) assignAddress(into, Int32Array.of(0, 0, 0xffff, target[3]!));
    else if (text === GATEWAY) assignAddress(into, parseAddress('127.0.0.1')!);
    else if (text === GATEWAY6) assignAddress(into, parseAddress('::1')!);
    else assignAddress(into, target);
    return this.verdicts.get(whereOf(target, port)) ?? this.verdicts.get(text) ?? Verdict.Go;
  }

  source(isIp6: boolean): Address {
    return isIp6 ? parseAddress('::')! : this.source4;
  }

  nameFor(address: Address, asTarget: Address, into: Address): boolean {
    if (this.nameless.has(formatAddress(address))) return false;
    if (isLoopback(address)) assignAddress(into, parseAddress(isIp4(asTarget) ? GATEWAY : GATEWAY6)!);
    else if (isIp4(address) && !isIp4(asTarget)) {
      assignAddress(into, parseAddress(NAT64)!);
      into[3] = address[3]!;
    } else assignAddress(into, address);
    return true;
  }
}

/** A datagram that a guest got. */
export interface Got {
  readonly from: string;
  readonly bytes: Uint8Array;
  readonly hops: number;
  readonly trafficClass: number;
}

/** An error that a guest got: of IP_RECVERR. */
export interface GotError {
  readonly type: number;
  readonly code: number;
  readonly info: number;
  readonly reporter: string;
  readonly to: string;
  readonly bytes: Uint8Array;
}

/** What flows of one kind are to the rig. */
export interface RigFlows {
  deadlineUs(): number;
  expire(): void;
  close(): void;
}

export interface RigOptions {
  readonly mtuBytes?: number;
  readonly delayUs?: number;
  readonly slabBytes?: number;
  /** Another host than that of memory. */
  readonly hostOf?: (slab: Slab, wake: () => void) => HostSockets;
}

/** See the head of this file. `make` makes the flows. */
export class GatewayRig<Flows extends RigFlows> {
  readonly pair: Pair;
  readonly guests: Stack;
  readonly gate: Stack;
  readonly host: SimHost;
  readonly outside: SimDatagrams;
  readonly targets = new TestTargets();
  readonly caps = new TestCaps();
  readonly counters = new SlirpCounters();
  readonly parts: FlowParts;
  readonly flows: Flows;

  constructor(make: (parts: FlowParts) => Flows, options: RigOptions = {}) {
    const { mtuBytes = 1500, delayUs = 50, slabBytes = 1 << 27 } = options;
    const stacks: Stack[] = [];
    const addresses = [
      [`${A}/24`, `${B}/24`, `${A6}/64`, `${B6}/64`],
      [`${GATEWAY}/24`, `${GATEWAY6}/64`],
    ];
    let slab: Slab | undefined;
    this.pair = new Pair(
      (memory) => {
        slab = memory;
        const host = newHost(memory, stacks.length + 1, { addresses: addresses[stacks.length]!, mtuBytes });
        stacks.push(host.stack);
        return host.port;
      },
      { delayUs, slabBytes },
    );
    [this.guests, this.gate] = stacks as [Stack, Stack];
    addGateway(this.guests, 2, GATEWAY);
    addGateway(this.guests, 2, GATEWAY6);
    this.gate.interfaces.get(2)!.acceptsAny = true;
    let outside: SimDatagrams | undefined;
    const { world, a, b } = this.pair;
    this.host = new SimHost(slab!, {
      wake: () => world.touch(b),
      datagrams: (handles) => {
        outside = new SimDatagrams(handles);
        return outside;
      },
    });
    this.outside = outside!;
    const { targets, caps, counters, gate } = this;
    const host = options.hostOf?.(slab!, () => world.touch(b)) ?? this.host;
    const senders = new Senders(gate, 2);
    this.parts = { stack: gate, iface: 2, host, targets, caps, senders, batch: new DatagramBatch(slab!), counters };
    this.flows = make(this.parts);
    const { flows } = this;
    const user: StackUser = {
      turn: () => host.dispatch(),
      deadlineUs: () => flows.deadlineUs(),
      expire: () => flows.expire(),
    };
    gate.addUser(user);
    this.guests.onWake(() => world.touch(a));
    gate.onWake(() => world.touch(b));
    // Guests and gateway know each other before anything is measured.
    for (const address of [A, B, A6, B6]) {
      const ping = this.echo(address, 1);
      const request = Uint8Array.of(address.includes(':') ? 128 : 8, 0, 0, 0, 0, 0, 0, 0);
      this.send(ping, address.includes(':') ? GATEWAY6 : GATEWAY, 0, request);
      this.run();
      this.guests.sockets.close(ping);
    }
  }

  get nowUs(): number {
    return this.pair.nowUs;
  }

  /** Lets what is on its way arrive. */
  run(us = 5 * MS): void {
    this.pair.world.touch(this.pair.a);
    this.pair.world.touch(this.pair.b);
    this.pair.run(us);
  }

  /** Until a time since the world began. */
  runTo(us: number): void {
    this.run(us - this.nowUs);
  }

  /** A frame of a guest that no stack would send; 0: the gateway took it, else why not. */
  frame(etherType: number, packet: Uint8Array): number {
    const { slab, view, bytes } = this.gate.shared;
    const at = slab.alloc(65_536);
    view.setUint32(at, 0x0200_0000);
    view.setUint16(at + 4, 2);
    view.setUint32(at + 6, 0x0200_0000);
    view.setUint16(at + 10, 1);
    view.setUint16(at + 12, etherType);
    bytes.set(packet, at + 14);
    const why = this.gate.receive(this.gate.interfaces.get(2)!, at, 14 + packet.length, 0, this.nowUs);
    slab.release(at, 65_536);
    this.gate.dispatch(this.nowUs);
    this.run();
    return why;
  }

  /** What guests send is dealt with in one go after `act`, as in a busy breath. */
  inOneBreath(act: () => void): void {
    const { gate } = this;
    const dispatch = gate.dispatch;
    gate.dispatch = () => {};
    act();
    gate.dispatch = dispatch;
    gate.dispatch(this.nowUs);
    this.run();
  }

  /** A guest's socket, bound; it hears of errors. */
  udp(address: string, port: number): number {
    const isIp6 = address.includes(':');
    const { sockets } = this.guests;
    const h = sockets.socket(isIp6 ? Family.Inet6 : Family.Inet, SocketType.Datagram);
    sockets.setOption(h, isIp6 ? SocketOption.ReceiveErrors6 : SocketOption.ReceiveErrors, 1);
    sockets.setOption(h, SocketOption.ReceiveBuffer, 8 << 20);
    const bound = sockets.bind(h, parseAddress(address)!, port);
    if (bound < 0) throw new Error(`bind ${address} ${port}: ${bound}`);
    return h;
  }

  /** A guest's echo socket. */
  echo(address: string, id: number): number {
    const isIp6 = address.includes(':');
    const { sockets } = this.guests;
    const protocol = isIp6 ? SocketProtocol.Icmp6 : SocketProtocol.Icmp;
    const h = sockets.socket(isIp6 ? Family.Inet6 : Family.Inet, SocketType.Datagram, protocol);
    sockets.setOption(h, isIp6 ? SocketOption.ReceiveErrors6 : SocketOption.ReceiveErrors, 1);
    const bound = sockets.bind(h, parseAddress(address)!, id);
    if (bound < 0) throw new Error(`bind ${address} ${id}: ${bound}`);
    return h;
  }

  /** Sends, and lets it go on its way: what `sendTo` said. */
  send(h: number, to: string, port: number, bytes: Uint8Array): number {
    return this.guests.sockets.sendTo(h, bytes, 0, bytes.length, parseAddress(to)!, port);
  }

  /** All that a guest's socket has. */
  got(h: number): Got[] {
    const { sockets } = this.guests;
    const into = new Uint8Array(65_536);
    const all: Got[] = [];
    for (;;) {
      const bytes = sockets.receiveFrom(h, into, 0, into.length);
      if (bytes === -11) return all;
      if (bytes < 0) continue;
      const { source, port, hops, trafficClass } = sockets.message;
      all.push({ from: whereOf(source, port), bytes: into.slice(0, bytes), hops, trafficClass });
    }
  }

  /** All errors that a guest's socket has; the pending one with them. */
  errors(h: number): GotError[] {
    const { sockets } = this.guests;
    sockets.getOption(h, SocketOption.Error);
    const into = new Uint8Array(2048);
    const all: GotError[] = [];
    for (;;) {
      const bytes = sockets.receiveFrom(h, into, 0, into.length, 0x2000);
      if (bytes < 0) return all;
      const { source, target, port, hops, code, info } = sockets.message;
      const about = { type: hops, code, info, reporter: formatAddress(source), to: whereOf(target, port) };
      all.push({ ...about, bytes: into.slice(0, bytes) });
    }
  }
}

/** `n` bytes that follow from a seed. */
export function payload(n: number, seed = 1): Uint8Array {
  return Uint8Array.from({ length: n }, (_, i) => (Math.imul(i + seed, 0x9e3779b1) >>> 24) & 255);
}

export const text = (value: string): Uint8Array => new TextEncoder().encode(value);
export const words = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
export { Protocol };
