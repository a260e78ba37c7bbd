// What a DHCPv4 server gave: the address, how long, and how the network is used. RFC 2131 §4.4.5, options RFC 2132.

import { NEVER, US_PER_S } from '../../core/time.ts';
import * as dhcp4 from '../../wire/dhcp4.ts';
import { namesOf } from './domain-list.ts';

// Ours: how much of each list is kept.
const ROUTERS_MAX = 4;
const SERVERS_MAX = 4;
const ROUTES_MAX = 32;
const SEARCH_MAX = 8;

const INFINITE_S = 0xffffffff;
/** RFC 2132 §5.1: no MTU below this is legal. */
const MTU_BYTES_MIN = 68;

/** Addresses are numbers. Times are those of the stack's clock. */
export interface Lease4 {
  readonly address: number;
  /** Length of the subnet's prefix, 0 … 32. */
  readonly bits: number;
  readonly server: number;
  /** Default routes with a gateway and classless routes (RFC 3442), which replace them. */
  readonly routes: readonly dhcp4.Route4[];
  readonly dnsServers: readonly number[];
  readonly ntpServers: readonly number[];
  /** Option 119, or else option 15. */
  readonly search: readonly string[];
  readonly domain: string;
  readonly hostName: string;
  /** 0 if the server does not say. */
  readonly mtuBytes: number;
  /** 0 if the server does not say. */
  readonly broadcast: number;
  readonly t1Us: number;
  readonly t2Us: number;
  readonly expiresUs: number;
}

/** True for an address that a host may have: no group, no loopback, not in 0/8. */
export const isHostAddress = (address: number): boolean =>
  address >>> 24 !== 0 && address >>> 24 !== 127 && address < 0xe0000000;

/**
 * The lease that an ACK or offer for `address` describes, counted from `sentUs`, when the request was sent (§4.4.1); undefined
 * without a usable address, server identifier or lease time.
 */
export function leaseOf(address: number, options: dhcp4.Options, sentUs: number): Lease4 | undefined {
  const { Option } = dhcp4;
  const server = dhcp4.numberOf(options.get(Option.ServerId), 4);
  const seconds = dhcp4.numberOf(options.get(Option.LeaseTime), 4);
  if (server === undefined || server === 0 || !seconds || !isHostAddress(address)) return undefined;
  const bits = bitsOf(dhcp4.numberOf(options.get(Option.SubnetMask), 4), address);
  const domain = textOf(options.get(Option.DomainName));
  const search = namesOf(options.get(Option.DomainSearch), SEARCH_MAX);
  const mtuBytes = dhcp4.numberOf(options.get(Option.Mtu), 2) ?? 0;
  return {
    address,
    bits,
    server,
    routes: routesOf(options),
    dnsServers: dhcp4.addressesOf(options.get(Option.DnsServers), SERVERS_MAX),
    ntpServers: dhcp4.addressesOf(options.get(Option.NtpServers), SERVERS_MAX),
    search: search.length === 0 && domain !== '' ? [domain] : search,
    domain,
    hostName: textOf(options.get(Option.HostName)),
    mtuBytes: mtuBytes < MTU_BYTES_MIN ? 0 : mtuBytes,
    broadcast: dhcp4.numberOf(options.get(Option.Broadcast), 4) ?? 0,
    ...timesOf(seconds, options, sentUs),
  };
}

function timesOf(seconds: number, options: dhcp4.Options, sentUs: number) {
  if (seconds === INFINITE_S) return { t1Us: NEVER, t2Us: NEVER, expiresUs: NEVER };
  // §4.4.5: 0.5 and 0.875 of the lease, unless the server says otherwise and what it says makes sense.
  let t1 = dhcp4.numberOf(options.get(dhcp4.Option.T1), 4) ?? seconds / 2;
  let t2 = dhcp4.numberOf(options.get(dhcp4.Option.T2), 4) ?? (seconds * 7) / 8;
  if (!(t1 > 0 && t1 < t2 && t2 < seconds)) {
    t1 = seconds / 2;
    t2 = (seconds * 7) / 8;
  }
  return {
    t1Us: sentUs + t1 * US_PER_S,
    t2Us: sentUs + t2 * US_PER_S,
    expiresUs: sentUs + seconds * US_PER_S,
  };
}

/** The length of a mask of ones; without one, or with holes in it, that of the address's class. */
function bitsOf(mask: number | undefined, address: number): number {
  const byClass = address < 0x80000000 ? 8 : address < 0xc0000000 ? 16 : 24;
  if (mask === undefined) return byClass;
  const bits = Math.clz32(~mask >>> 0);
  const whole = bits === 0 ? 0 : (-1 << (32 - bits)) >>> 0;
  return whole === mask ? bits : byClass;
}

function routesOf(options: dhcp4.Options): dhcp4.Route4[] {
  const classless = options.get(dhcp4.Option.ClasslessRoutes);
  const routes = classless && dhcp4.routesOf(classless, ROUTES_MAX);
  // RFC 3442: a client that understands option 121 ignores the router option if both are there.
  if (routes) return routes;
  const gateways = dhcp4.addressesOf(options.get(dhcp4.Option.Router), ROUTERS_MAX);
  return gateways.filter(isHostAddress).map((gateway) => ({ prefix: 0, bits: 0, gateway }));
}

/** Text of a host or domain: letters, digits, `-`, `_` and dots; empty if it is anything else. RFC 2132 allows a final zero. */
function textOf(value: Uint8Array | undefined): string {
  if (!value || value.length > 255) return '';
  const text = new TextDecoder().decode(value).replace(/[\0.]+$/, '');
  return /^[a-z0-9_-]+(\.[a-z0-9_-]+)*$/i.test(text) ? text : '';
}
