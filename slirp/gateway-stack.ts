// The stack that a gateway is: one interface that accepts any address, a router to its guests.

import { assert } from '../core/assert.ts';
import type { Slab } from '../core/slab.ts';
import { NEVER } from '../core/time.ts';
import {
  ADVERTISEMENT,
  AddressOrigin,
  type Advertisement,
  type Limits,
  type NetworkInterface,
  Stack,
} from '../stack/stack.ts';
import type { GatewayNetwork, GatewayPrefix } from './gateway-network.ts';
import { ownAddresses } from './own-addresses.ts';

/** Bounds that suit many guests; the others are any stack's. */
export const GATEWAY_LIMITS: Partial<Limits> = {
  connectionsMax: 65536,
  socketsMax: 131072,
  neighborsMax: 4096,
  sendBufferBytesMax: 4 << 20, // more than 300 Mb/s for 100 ms, for each of many
  receiveBufferBytesMax: 4 << 20,
  outputBytesMax: 4 << 20,
  outputFramesMax: 4096,
};

/** What a gateway's stack is made of; the first three as for any stack. */
export interface GatewayStackOptions {
  readonly slab: Slab;
  readonly secret: Int32Array;
  readonly nowUs: number;
  readonly network: GatewayNetwork;
  /** In addition to `GATEWAY_LIMITS`. */
  readonly limits?: Partial<Limits>;
}

/** A stack and its one interface to the guests: what a `StackPort` is made of. */
export interface GatewayStack {
  readonly stack: Stack;
  readonly iface: NetworkInterface;
}

/** Makes it: its addresses are usable at once, and the first advertisement is due within half a second. */
export function newGatewayStack({ slab, secret, nowUs, network, limits }: GatewayStackOptions): GatewayStack {
  const stack = new Stack({ slab, secret, nowUs, limits: { ...GATEWAY_LIMITS, ...limits } });
  const iface = stack.addInterface({
    name: 'gateway',
    mac: network.mac,
    mtuBytes: network.mtuBytes,
    takesOffload: true,
    acceptsAny: true,
    dadTransmits: 0,
  });
  for (const { address, bits } of ownAddresses(network)) {
    const a = stack.autoconf.addAddress(iface.number, address, bits, AddressOrigin.Static, NEVER, NEVER);
    assert(a >= 0, 'a new stack takes the addresses of its gateway');
  }
  advertise({ stack, iface }, network);
  return { stack, iface };
}

/** Begins to advertise, again: for guests that were there before the gateway came, it need not have been away itself. */
export function advertise({ stack, iface }: GatewayStack, network: GatewayNetwork): void {
  if (!network.advertises || !network.net6) return;
  const wrong = stack.autoconf.advertise(iface.number, advertisementOf(network, network.net6));
  assert(wrong === undefined, `the gateway's own advertisement: ${wrong}`);
}

/** The prefix is on the link; guests make addresses of it themselves if it leaves them 64 bits for that. */
export function advertisementOf(network: GatewayNetwork, net6: GatewayPrefix): Advertisement {
  const { bits, address, dns } = net6;
  const prefix = {
    address,
    bits,
    isOnLink: true,
    isAutonomous: bits === 64,
    validSeconds: VALID_SECONDS,
    preferredSeconds: PREFERRED_SECONDS,
  };
  const { domain, search } = network;
  const domains = [...new Set(domain === '' ? search : [domain, ...search])];
  return {
    ...ADVERTISEMENT,
    prefixes: [prefix],
    mtuBytes: network.advertisedMtuBytes,
    servers: dns ? [dns] : [],
    domains: domains.slice(0, DOMAINS_MAX),
    isManaged: network.hasDhcp,
    hasOther: network.hasDhcp,
  };
}

// RFC 4861 §6.2.1.
const VALID_SECONDS = 2_592_000;
const PREFERRED_SECONDS = 604_800;

const DOMAINS_MAX = 16; // of an advertisement
