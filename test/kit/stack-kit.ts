// Stacks for tests: made from a seed, joined by links of the simulator, driven in virtual time.

import type { Slab } from '../../core/slab.ts';
import { NEVER } from '../../core/time.ts';
import type { PairOptions } from '../../sim/sim.ts';
import { Pair } from '../../sim/sim.ts';
import { AddressOrigin, type Limits, parseAddress, RouteOrigin, Stack, StackPort } from '../../stack/stack.ts';

/** An interface of a stack that is plugged in. */
export interface Host {
  readonly stack: Stack;
  readonly port: StackPort;
}

/** What a test host is like. Addresses are `A/BITS`; without any it has `10.0.0.N/24` and `fd00::N/64`, N its number. */
export interface HostOptions {
  readonly addresses?: readonly string[];
  readonly gateway?: string;
  readonly mtuBytes?: number;
  readonly takesOffload?: boolean;
  readonly seed?: number;
  readonly limits?: Partial<Limits>;
  /** 0, the default here: addresses are used at once, without looking for duplicates. */
  readonly dadTransmits?: number;
}

/** 4 words that follow from numbers. */
export const secretOf = (seed: number, number: number): Int32Array =>
  Int32Array.of(seed | 0, number | 0, 0x5eed, Math.imul(seed + number, 0x9e3779b1));

/** A stack with one Ethernet interface (number 2), MAC 02:00:00:00:00:N. */
export function newHost(slab: Slab, number: number, options: HostOptions = {}): Host {
  const { mtuBytes = 1500, takesOffload = false, seed = 1, limits } = options;
  const secret = secretOf(seed, number);
  const stack = new Stack({ slab, secret, nowUs: 0, ...(limits && { limits }) });
  const mac = Uint8Array.of(2, 0, 0, 0, number >> 8, number & 255);
  const iface = stack.addInterface({
    name: 'eth0',
    mac,
    mtuBytes,
    takesOffload,
    dadTransmits: options.dadTransmits ?? 0,
  });
  const addresses = options.addresses ?? [`10.0.0.${number}/24`, `fd00::${number.toString(16)}/64`];
  for (const text of addresses) addAddress(stack, iface.number, text);
  if (options.gateway !== undefined) addGateway(stack, iface.number, options.gateway);
  return { stack, port: new StackPort(stack, iface) };
}

/** `A/BITS` on an interface. */
export function addAddress(stack: Stack, iface: number, text: string): void {
  const [address, bits] = text.split('/') as [string, string];
  const words = parseAddress(address)!;
  stack.autoconf.addAddress(iface, words, Number(bits), AddressOrigin.Static, NEVER, NEVER);
}

/** The default route of the gateway's family. */
export function addGateway(stack: Stack, iface: number, text: string): void {
  const gateway = parseAddress(text)!;
  const prefix = parseAddress(text.includes(':') ? '::' : '0.0.0.0')!;
  stack.routes.add({ prefix, bits: 0, gateway, iface, metric: 0, origin: RouteOrigin.Static });
}

/** Two hosts and a link: `a` is number 1, `b` number 2. */
export class HostPair {
  readonly pair: Pair;
  readonly a: Stack;
  readonly b: Stack;

  constructor(options: HostOptions & { link?: PairOptions } = {}) {
    const hosts: Host[] = [];
    this.pair = new Pair((slab) => {
      const host = newHost(slab, hosts.length + 1, options);
      hosts.push(host);
      return host.port;
    }, options.link);
    this.a = hosts[0]!.stack;
    this.b = hosts[1]!.stack;
    this.a.onWake(() => this.pair.world.touch(this.pair.a));
    this.b.onWake(() => this.pair.world.touch(this.pair.b));
  }

  /** The programs called sockets: both hosts get their turn. */
  touch(): void {
    this.pair.world.touch(this.pair.a);
    this.pair.world.touch(this.pair.b);
  }
}
