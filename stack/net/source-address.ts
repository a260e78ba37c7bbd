// Which of its addresses a host uses for a target, and which of a name's addresses it tries first. RFC 6724.

import {
  type Address,
  commonBits,
  equal,
  isBroadcast,
  isIp4,
  isLinkLocal,
  isLoopback,
  isMulticast,
  samePrefix,
} from '../address.ts';
import { type Addresses, AddressOrigin, AddressState } from '../autoconf/addresses.ts';

/** A row of the policy table, RFC 6724 §2.1. `bits` counts from the start of the 16 bytes. */
export interface Policy {
  readonly prefix: Address;
  readonly bits: number;
  readonly precedence: number;
  readonly label: number;
}

const row = (words: number[], bits: number, precedence: number, label: number): Policy => ({
  prefix: Int32Array.from(words),
  bits,
  precedence,
  label,
});

/** RFC 6724 §2.1, the default table, the longest prefix first. */
export const POLICIES: readonly Policy[] = [
  row([0, 0, 0, 1], 128, 50, 0),
  row([0, 0, 0xffff, 0], 96, 35, 4),
  row([0, 0, 0, 0], 96, 1, 3),
  row([0x20010000, 0, 0, 0], 32, 5, 5), // Teredo
  row([0x20020000, 0, 0, 0], 16, 30, 2), // 6to4
  row([0x3ffe0000, 0, 0, 0], 16, 1, 12), // 6bone
  row([0xfec00000, 0, 0, 0], 10, 1, 11), // site-local
  row([0xfc000000, 0, 0, 0], 7, 3, 13), // unique local
  row([0, 0, 0, 0], 0, 40, 1),
];

/** Scopes as in multicast addresses, RFC 4291 §2.7. */
export const Scope = { Interface: 1, Link: 2, Site: 5, Global: 14 } as const;

const IP4_BITS = 96;

/** The scope of an address of either family, RFC 6724 §3.1 and §3.2. */
export function scopeOf(a: Address): number {
  if (isMulticast(a) && !isIp4(a)) return (a[0]! >>> 16) & 15;
  if (isLinkLocal(a) || isLoopback(a)) return Scope.Link;
  if (!isIp4(a) && a[0]! >>> 22 === 0xfec00000 >>> 22) return Scope.Site;
  return Scope.Global;
}

/** The row of an address: the longest prefix. */
export const policyOf = (a: Address, policies: readonly Policy[] = POLICIES): Policy =>
  policies.find((p) => samePrefix(p.prefix, a, p.bits)) ?? POLICIES.at(-1)!;

/**
 * The number of the best source address for `target` by way of `iface`, or -1 if there is none. RFC 6724 §5.
 *
 * Candidates are those of the interface (§4), or where it has none and the target's scope is wider than the link, the ones of
 * the other interfaces. Rule 4 does not apply: there are no home addresses. `isOfHop` says whether the next hop advertised the
 * prefix of an address, for rule 5.5.
 */
export function selectSource(
  addresses: Addresses,
  target: Address,
  iface: number,
  isOfHop: (a: number) => boolean = NOBODY_ADVERTISED,
  policies: readonly Policy[] = POLICIES,
): number {
  const wish: Wish = { addresses, target, iface, isOfHop, policies };
  const own = best(wish, true);
  const isNarrow = scopeOf(target) <= Scope.Link || isMulticast(target) || isBroadcast(target);
  return own >= 0 || isNarrow ? own : best(wish, false);
}

/** What a source is looked for. */
interface Wish {
  readonly addresses: Addresses;
  readonly target: Address;
  readonly iface: number;
  readonly isOfHop: (a: number) => boolean;
  readonly policies: readonly Policy[];
}

const NOBODY_ADVERTISED = (): boolean => false;

function best(wish: Wish, onIface: boolean): number {
  const { addresses, target, iface } = wish;
  let chosen = -1;
  for (const a of addresses.ids()) {
    const address = addresses.addressOf(a);
    if (!addresses.isUsable(a) || isIp4(address) !== isIp4(target)) continue;
    if (onIface ? addresses.ifaceOf(a) !== iface : scopeOf(address) <= Scope.Link) continue;
    if (chosen < 0 || isBetter(wish, a, chosen)) chosen = a;
  }
  return chosen;
}

/** True if `a` is better than `b`, which came first. The rules' numbers are those of RFC 6724 §5. */
function isBetter(wish: Wish, a: number, b: number): boolean {
  const { addresses, target, iface, policies } = wish;
  const source = addresses.addressOf(a);
  const other = addresses.addressOf(b);
  if (equal(source, target) !== equal(other, target)) return equal(source, target); // 1
  const scope = scopeOf(source);
  const otherScope = scopeOf(other);
  const wanted = scopeOf(target);
  if (scope < otherScope) return scope >= wanted; // 2
  if (otherScope < scope) return otherScope < wanted;
  const isPreferred = addresses.stateOf(a) === AddressState.Preferred;
  if (isPreferred !== (addresses.stateOf(b) === AddressState.Preferred)) return isPreferred; // 3
  const isOutgoing = addresses.ifaceOf(a) === iface;
  if (isOutgoing !== (addresses.ifaceOf(b) === iface)) return isOutgoing; // 5
  const isOfHop = wish.isOfHop(a);
  if (isOfHop !== wish.isOfHop(b)) return isOfHop; // 5.5
  const label = policyOf(target, policies).label;
  const matches = policyOf(source, policies).label === label;
  if (matches !== (policyOf(other, policies).label === label)) return matches; // 6
  const isTemporary = addresses.originOf(a) === AddressOrigin.Temporary;
  if (isTemporary !== (addresses.originOf(b) === AddressOrigin.Temporary)) return isTemporary; // 7
  return prefixBits(addresses, a, target) > prefixBits(addresses, b, target); // 8
}

/** RFC 6724 §2.2: no longer than the source's own prefix. */
function prefixBits(addresses: Addresses, a: number, target: Address): number {
  const address = addresses.addressOf(a);
  return Math.min(commonBits(address, target), addresses.bitsOf(a) + (isIp4(address) ? IP4_BITS : 0));
}

/** What is known of a target before it is tried: the source that would be used, and whether that is deprecated. */
export interface Candidate {
  readonly target: Address;
  /** Undefined if there is no way there. */
  readonly source: Address | undefined;
  readonly isDeprecated: boolean;
}

/** Puts targets into the order of RFC 6724 §6; equal ones stay as they are. A new list. Rules 4 and 7 have nothing to tell here. */
export function sortTargets(candidates: readonly Candidate[], policies: readonly Policy[] = POLICIES): Candidate[] {
  return [...candidates].sort((a, b) => compareTargets(a, b, policies));
}

/** Below 0 if `a` comes first. */
function compareTargets(a: Candidate, b: Candidate, policies: readonly Policy[]): number {
  if (!a.source || !b.source) return Number(!a.source) - Number(!b.source); // 1
  const scopeA = scopeOf(a.target);
  const scopeB = scopeOf(b.target);
  const policyA = policyOf(a.target, policies);
  const policyB = policyOf(b.target, policies);
  const isSame = isIp4(a.target) === isIp4(b.target);
  return (
    Number(scopeB === scopeOf(b.source)) - Number(scopeA === scopeOf(a.source)) || // 2
    Number(a.isDeprecated) - Number(b.isDeprecated) || // 3
    Number(policyOf(b.source, policies).label === policyB.label) -
      Number(policyOf(a.source, policies).label === policyA.label) || // 5
    policyB.precedence - policyA.precedence || // 6
    scopeA - scopeB || // 8
    // 9: of IPv6 only. Round-robin among a name's IPv4 addresses would come to nothing.
    (isSame && !isIp4(a.target) ? commonBits(b.source, b.target) - commonBits(a.source, a.target) : 0)
  );
}
