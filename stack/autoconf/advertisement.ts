// What a router advertises on an interface, and the bytes of it: RFC 4861 §4.2, §6.2.1, RFC 4191 §2.2, RFC 8106 §5.

import { StateError, type StateReader, type StateWriter } from '../../core/state.ts';
import * as icmp6 from '../../wire/icmp6.ts';
import { NdpOption } from '../../wire/icmp6.ts';
import { type Address, write6 } from '../address.ts';
import { MAC_OPTION_BYTES, MTU_OPTION_BYTES, PREFIX_OPTION_BYTES } from '../link/ndp-options.ts';
import { loadAddress } from '../multicast/source-set.ts';

/** An advertised prefix. Lifetimes in seconds, 0xffffffff for ever. */
export interface AdvertisedPrefix {
  readonly address: Address;
  readonly bits: number;
  readonly isOnLink: boolean;
  readonly isAutonomous: boolean;
  readonly validSeconds: number;
  readonly preferredSeconds: number;
}

/** RFC 4861 §6.2.1, by its defaults where not given. */
export interface Advertisement {
  readonly prefixes: readonly AdvertisedPrefix[];
  /** AdvDefaultLifetime, 0 … 9000 s; 0: not a default router. */
  readonly lifetimeSeconds: number;
  /** MaxRtrAdvInterval 4 … 1800 s, MinRtrAdvInterval 3 s … 0.75 of it. */
  readonly intervalSecondsMax: number;
  readonly intervalSecondsMin: number;
  readonly isManaged: boolean;
  readonly hasOther: boolean;
  /** -1, 0 or 1, RFC 4191. */
  readonly preference: number;
  readonly hopLimit: number;
  readonly reachableMs: number;
  readonly retransMs: number;
  /** 0 to leave the option out. */
  readonly mtuBytes: number;
  readonly servers: readonly Address[];
  /** Domains without a dot at the end. */
  readonly domains: readonly string[];
  /** Of servers and domains; RFC 8106 §5.1: three times MaxRtrAdvInterval if not said. */
  readonly dnsSeconds: number;
}

/** RFC 4861 §6.2.1 and RFC 8106 §5.1. */
export const ADVERTISEMENT: Advertisement = {
  prefixes: [],
  lifetimeSeconds: 1800,
  intervalSecondsMax: 600,
  intervalSecondsMin: 200,
  isManaged: false,
  hasOther: false,
  preference: 0,
  hopLimit: 64,
  reachableMs: 0,
  retransMs: 0,
  mtuBytes: 0,
  servers: [],
  domains: [],
  dnsSeconds: 1800,
};

const LIST_MAX = 16;
const NAME_BYTES_MAX = 253;
const SECONDS_MAX = 0xffffffff;

/** What is wrong with it, for the operator; undefined if nothing. RFC 4861 §6.2.1. */
export function refuse(ad: Advertisement): string | undefined {
  const { intervalSecondsMax: max, intervalSecondsMin: min, lifetimeSeconds } = ad;
  if (!(max >= 4 && max <= 1800)) return `interval ${max} s: expected 4 … 1800`;
  if (!(min >= 3 && (min <= 0.75 * max || min === 3))) return `least interval ${min} s: expected 3 … ${0.75 * max}`;
  if (lifetimeSeconds !== 0 && !(lifetimeSeconds >= max && lifetimeSeconds <= 9000)) {
    return `lifetime ${lifetimeSeconds} s: expected 0 or ${max} … 9000`;
  }
  if (!(ad.reachableMs >= 0 && ad.reachableMs <= 3_600_000))
    return `reachable time ${ad.reachableMs} ms: at most an hour`;
  if (ad.prefixes.length > LIST_MAX || ad.servers.length > LIST_MAX || ad.domains.length > LIST_MAX) {
    return `more than ${LIST_MAX} prefixes, servers or domains`;
  }
  if (ad.domains.some((name) => !isName(name))) return 'a domain that is no name';
  if (ad.prefixes.some((p) => p.preferredSeconds > p.validSeconds)) return 'a prefix preferred for longer than valid';
  return undefined;
}

/** Bytes of the message with all options. */
export function advertisementBytes(ad: Advertisement): number {
  return (
    icmp6.ROUTER_ADVERTISEMENT_BYTES +
    MAC_OPTION_BYTES +
    (ad.mtuBytes > 0 ? MTU_OPTION_BYTES : 0) +
    ad.prefixes.length * PREFIX_OPTION_BYTES +
    (ad.servers.length > 0 ? 8 + 16 * ad.servers.length : 0) +
    domainBytes(ad)
  );
}

/** Writes the message at `at`, its checksum left out; `lifetimeSeconds` is 0 in the last ones. Returns where options go on: the hardware address's. */
export function writeAdvertisement(view: DataView, at: number, ad: Advertisement, lifetimeSeconds: number): number {
  view.setUint32(at, (icmp6.Type.RouterAdvertisement << 24) >>> 0);
  view.setUint8(at + 4, ad.hopLimit);
  const preference = lifetimeSeconds === 0 ? 0 : (ad.preference & 3) << 3; // RFC 4191 §2.2
  view.setUint8(at + 5, (ad.isManaged ? 0x80 : 0) | (ad.hasOther ? 0x40 : 0) | preference);
  view.setUint16(at + 6, lifetimeSeconds);
  view.setUint32(at + 8, ad.reachableMs);
  view.setUint32(at + 12, ad.retransMs);
  let p = at + icmp6.ROUTER_ADVERTISEMENT_BYTES;
  if (ad.mtuBytes > 0) {
    view.setUint32(p, (NdpOption.Mtu << 24) | (1 << 16));
    view.setUint32(p + 4, ad.mtuBytes);
    p += MTU_OPTION_BYTES;
  }
  for (const prefix of ad.prefixes) p = writePrefix(view, p, prefix);
  if (ad.servers.length > 0) p = writeServers(view, p, ad);
  if (ad.domains.length > 0) p = writeDomains(view, p, ad);
  return p;
}

export function saveAdvertisement(state: StateWriter, ad: Advertisement): void {
  state.number(ad.prefixes.length);
  for (const p of ad.prefixes) {
    state.column(p.address).number(p.bits).boolean(p.isOnLink).boolean(p.isAutonomous);
    state.number(p.validSeconds).number(p.preferredSeconds);
  }
  state.number(ad.lifetimeSeconds).number(ad.intervalSecondsMax).number(ad.intervalSecondsMin);
  state.boolean(ad.isManaged).boolean(ad.hasOther).number(ad.preference).number(ad.hopLimit);
  state.number(ad.reachableMs).number(ad.retransMs).number(ad.mtuBytes).number(ad.servers.length);
  for (const server of ad.servers) state.column(server);
  state.number(ad.domains.length);
  for (const name of ad.domains) state.text(name);
  state.number(ad.dnsSeconds);
}

export function loadAdvertisement(state: StateReader): Advertisement {
  const prefixes = Array.from({ length: state.integer(0, LIST_MAX) }, () => ({
    address: loadAddress(state),
    bits: state.integer(0, 128),
    isOnLink: state.boolean(),
    isAutonomous: state.boolean(),
    validSeconds: state.integer(0, SECONDS_MAX),
    preferredSeconds: state.integer(0, SECONDS_MAX),
  }));
  const ad = {
    prefixes,
    lifetimeSeconds: state.integer(0, 65535),
    intervalSecondsMax: state.integer(4, 1800),
    intervalSecondsMin: state.integer(3, 1800),
    isManaged: state.boolean(),
    hasOther: state.boolean(),
    preference: state.integer(-1, 1),
    hopLimit: state.integer(0, 255),
    reachableMs: state.integer(0, SECONDS_MAX),
    retransMs: state.integer(0, SECONDS_MAX),
    mtuBytes: state.integer(0, SECONDS_MAX),
    servers: Array.from({ length: state.integer(0, LIST_MAX) }, () => loadAddress(state)),
    domains: Array.from({ length: state.integer(0, LIST_MAX) }, () => state.text(NAME_BYTES_MAX)),
    dnsSeconds: state.integer(0, SECONDS_MAX),
  };
  const wrong = refuse(ad);
  if (wrong !== undefined) throw new StateError(wrong);
  return ad;
}

/** RFC 4861 §6.2.1: 0.33 of the greatest interval if the least one is not said, 3 s at least. */
export const leastInterval = (intervalSecondsMax: number): number =>
  intervalSecondsMax >= 9 ? Math.floor(0.33 * intervalSecondsMax) : 3;

const isName = (name: string): boolean => name.length <= NAME_BYTES_MAX && /^[\w-]{1,63}(\.[\w-]{1,63})*$/.test(name);

/** Names, each with its lengths and final zero, padded to 8 bytes; 0 if there are none. */
function domainBytes(ad: Advertisement): number {
  if (ad.domains.length === 0) return 0;
  let bytes = 8;
  for (const name of ad.domains) bytes += name.length + 2;
  return (bytes + 7) & -8;
}

function writePrefix(view: DataView, at: number, prefix: AdvertisedPrefix): number {
  view.setUint16(at, (NdpOption.Prefix << 8) | 4);
  view.setUint8(at + 2, prefix.bits);
  view.setUint8(at + 3, (prefix.isOnLink ? 0x80 : 0) | (prefix.isAutonomous ? 0x40 : 0));
  view.setUint32(at + 4, prefix.validSeconds);
  view.setUint32(at + 8, prefix.preferredSeconds);
  view.setUint32(at + 12, 0);
  write6(view, at + 16, prefix.address);
  return at + PREFIX_OPTION_BYTES;
}

function writeServers(view: DataView, at: number, ad: Advertisement): number {
  view.setUint32(at, (NdpOption.Dns << 24) | ((1 + 2 * ad.servers.length) << 16));
  view.setUint32(at + 4, ad.dnsSeconds);
  let p = at + 8;
  for (const server of ad.servers) {
    write6(view, p, server);
    p += 16;
  }
  return p;
}

function writeDomains(view: DataView, at: number, ad: Advertisement): number {
  const bytes = domainBytes(ad);
  view.setUint32(at, (NdpOption.DnsSearch << 24) | ((bytes >>> 3) << 16));
  view.setUint32(at + 4, ad.dnsSeconds);
  let p = at + 8;
  for (const name of ad.domains) {
    for (const label of name.split('.')) {
      view.setUint8(p++, label.length);
      for (let i = 0; i < label.length; i++) view.setUint8(p++, label.charCodeAt(i));
    }
    view.setUint8(p++, 0);
  }
  while (p < at + bytes) view.setUint8(p++, 0);
  return p;
}
