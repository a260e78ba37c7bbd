// What DHCPv6 gave: addresses with lifetimes and how the network is used. RFC 8415 §18.2.10.1, options RFC 3646.

import { NEVER, US_PER_S } from '../../core/time.ts';
import { viewOf } from '../../wire/bytes.ts';
import * as dhcp6 from '../../wire/dhcp6.ts';
import { ADDRESS_WORDS, type Address, equal, isAny, isMulticast, read6 } from '../address.ts';
import { isHostName } from './domain-list.ts';

// Ours: how much of each list is kept.
/** Addresses of one lease. */
export const ADDRESSES_MAX = 4;
const SERVERS_MAX = 4;
const SEARCH_MAX = 8;

const INFINITE_S = 0xffffffff;

/** An address and until when it may be used, on the stack's clock. */
export interface LeasedAddress {
  readonly address: Address;
  readonly preferredUntilUs: number;
  readonly validUntilUs: number;
}

/** Everything that the network told; `addresses` is empty where it is stateless. */
export interface Lease6 {
  readonly addresses: readonly LeasedAddress[];
  readonly dnsServers: readonly Address[];
  readonly search: readonly string[];
}

/** `fromUs` and so many seconds; NEVER for infinity. */
export const after = (fromUs: number, seconds: number): number =>
  seconds === INFINITE_S ? NEVER : fromUs + seconds * US_PER_S;

/** When an IA is renewed and rebound, on the stack's clock. */
export interface IaTimes {
  readonly t1Us: number;
  readonly t2Us: number;
}

/** §21.4: as the server says, or 0.5 and 0.8 of the shortest preferred lifetime if it leaves that to the client. */
export function timesOf(ia: dhcp6.Ia, nowUs: number): IaTimes {
  const preferred = ia.addresses.filter((a) => a.validS > 0).map((a) => a.preferredS);
  const shortest = preferred.length === 0 ? 0 : Math.min(...preferred);
  const share = (fifths: number): number =>
    shortest === INFINITE_S ? INFINITE_S : Math.floor((shortest * fifths) / 10);
  const t1S = ia.t1S === 0 ? share(5) : ia.t1S;
  const t2S = ia.t2S === 0 ? Math.max(t1S, share(8)) : ia.t2S;
  return { t1Us: after(nowUs, Math.min(t1S, t2S)), t2Us: after(nowUs, t2S) };
}

/**
 * The addresses after a reply with `ia`: its own with new lifetimes, those of `old` that it does not name as they were, without
 * those whose lifetime is 0. §18.2.10.1.
 */
export function mergeAddresses(old: readonly LeasedAddress[], ia: dhcp6.Ia, nowUs: number): LeasedAddress[] {
  const merged: LeasedAddress[] = [];
  const named: Address[] = [];
  for (const { address, preferredS, validS, status } of ia.addresses) {
    const words = addressOf(address);
    if (isMulticast(words) || isAny(words) || named.some((n) => equal(n, words))) continue;
    named.push(words);
    if (validS === 0 || status !== dhcp6.Status.Success) continue;
    merged.push({ address: words, preferredUntilUs: after(nowUs, preferredS), validUntilUs: after(nowUs, validS) });
  }
  for (const kept of old) {
    const isKept = kept.validUntilUs > nowUs && !named.some((n) => equal(n, kept.address));
    if (isKept && merged.length < ADDRESSES_MAX) merged.push(kept);
  }
  return merged;
}

/** An address of 16 bytes. */
export function addressOf(bytes: Uint8Array): Address {
  const address = new Int32Array(ADDRESS_WORDS);
  read6(viewOf(bytes), 0, address);
  return address;
}

/** The servers of option 23; none if its length is wrong. */
export function dnsServersOf(view: DataView, options: readonly dhcp6.Option6[]): Address[] {
  const option = dhcp6.find(options, dhcp6.Option.DnsServers);
  if (!option || option.bytes % 16 !== 0) return [];
  const servers: Address[] = [];
  for (let i = 0; i < option.bytes && servers.length < SERVERS_MAX; i += 16) {
    const address = new Int32Array(ADDRESS_WORDS);
    read6(view, option.at + i, address);
    if (!isAny(address) && !isMulticast(address)) servers.push(address);
  }
  return servers;
}

/** The search list of option 24; empty if it is malformed. */
export function searchOf(view: DataView, options: readonly dhcp6.Option6[]): string[] {
  const option = dhcp6.find(options, dhcp6.Option.DomainList);
  const names = option && dhcp6.namesOf(dhcp6.optionBytes(view, option), SEARCH_MAX);
  return names?.filter(isHostName) ?? [];
}
