// What an address is to the host: nothing special, or something that guests are kept from. IPv6 addresses that carry IPv4
// addresses are what those are: no notation is a way around.

import { ADDRESS_WORDS, type Address, equalAddresses, isIp4, samePrefix } from '../stack/stack.ts';
import * as nat64 from '../wire/nat64.ts';

/** What an address is. */
export const Place = {
  /** Nothing special. */
  Open: 0,
  /** No target of anybody: "this network" and unspecified, multicast, broadcast, IPv4-compatible. */
  Never: 1,
  Loopback: 2,
  LinkLocal: 3,
  /** Where clouds tell a machine its secrets. */
  Metadata: 4,
  /** One of the machine's own. */
  Own: 5,
  /** In a private network that the machine is in itself. */
  Near: 6,
} as const;
export type Place = (typeof Place)[keyof typeof Place];

/** What the host is, as the engine finds it; copied by whoever takes it. */
export interface HostPlaces {
  /** All of the machine's own addresses. */
  readonly addresses: readonly Address[];
  /** The subnets of its interfaces; `bits` of the address's own family. Those that are not private are left alone. */
  readonly networks: readonly { readonly address: Address; readonly bits: number }[];
}

interface Block {
  readonly address: Address;
  readonly bits: number; // of four words
}

const block4 = (a: number, b: number, bits: number): Block => ({
  address: Int32Array.of(0, 0, 0xffff, (a << 24) | (b << 16)),
  bits: 96 + bits,
});
const block6 = (first: number, bits: number): Block => ({ address: Int32Array.of(first, 0, 0, 0), bits });
const of4 = (a: number, b: number, c: number, d: number): Address =>
  Int32Array.of(0, 0, 0xffff, (a << 24) | (b << 16) | (c << 8) | d);

/** RFC 1918, RFC 6598, RFC 4193. */
const PRIVATE: readonly Block[] = [
  block4(10, 0, 8),
  block4(172, 16, 12),
  block4(192, 168, 16),
  block4(100, 64, 10),
  block6(0xfc000000, 7),
];

/** Not globally reachable besides: the IANA special-purpose registry of IPv4, RFC 6890. */
const SPECIAL4: readonly Block[] = [
  ...PRIVATE.slice(0, 4),
  block4(0, 0, 8),
  block4(127, 0, 8),
  block4(169, 254, 16),
  { address: of4(192, 0, 0, 0), bits: 96 + 24 },
  { address: of4(192, 0, 2, 0), bits: 96 + 24 },
  block4(198, 18, 15),
  { address: of4(198, 51, 100, 0), bits: 96 + 24 },
  { address: of4(203, 0, 113, 0), bits: 96 + 24 },
  block4(224, 0, 4),
  block4(240, 0, 4),
];

/** Amazon and most others; Azure; Alibaba; Oracle; Amazon, Google and Scaleway over IPv6. */
const METADATA: readonly Address[] = [
  of4(169, 254, 169, 254),
  of4(168, 63, 129, 16),
  of4(100, 100, 100, 200),
  of4(192, 0, 0, 192),
  Int32Array.of(0xfd000ec2, 0, 0, 0x254),
  Int32Array.of(0xfd2000ce, 0, 0, 0x254),
  Int32Array.of(0xfd000042, 0, 0, 0x42),
];

const LINK_LOCAL4_BITS = 96 + 16;
const LINK_LOCAL6_BITS = 10;
const LOOPBACK4_BITS = 96 + 8;
const WHOLE = 128;

/** Sorts addresses. What the last `look` found stands in its fields. */
export class Places {
  /** What it is. */
  place: Place = Place.Open;
  /** How many bits a prefix has that names it: a wider one says "everything", not this. */
  nameBits = 0;
  /** True if it is so because of an IPv4 address that it carries. */
  isCarried = false;
  /** The IPv4 addresses that it carries, or may be read to: the first `carriedCount` of `carried`. */
  readonly carried: readonly Address[] = Array.from({ length: CARRIED_MAX }, () => Int32Array.of(0, 0, 0xffff, 0));
  carriedCount = 0;
  private own: readonly Address[] = [];
  private near: readonly Block[] = [];

  /** The host's addresses and networks changed. */
  set({ addresses, networks }: HostPlaces): void {
    this.own = addresses.map((address) => Int32Array.from(address));
    this.near = networks
      .map(({ address, bits }) => ({ address: Int32Array.from(address), bits: bits + (isIp4(address) ? 96 : 0) }))
      .filter(({ address }) => isPrivate(address));
  }

  look(address: Address): void {
    this.isCarried = false;
    this.carriedCount = 0;
    this.sort(address, 0);
    if (isIp4(address)) return;
    const before = this.findCarried(address);
    for (let i = 0; i < this.carriedCount && this.place === Place.Open; i++) {
      this.sort(this.carried[i]!, before);
      this.isCarried = this.place !== Place.Open;
    }
  }

  /** The machine's loopback, or an address of its own. */
  isOwn(address: Address): boolean {
    if (isIp4(address)) return address[3]! >>> 24 === 127 || this.hasOwn(address);
    return isOne(address) || this.hasOwn(address);
  }

  private hasOwn(address: Address): boolean {
    for (const own of this.own) if (equalAddresses(own, address)) return true;
    return false;
  }

  /** Sets `place` and `nameBits`; of a carried IPv4 address `before` bits stand before it instead of 96. */
  private sort(address: Address, before: number): void {
    this.place = isIp4(address) ? placeOf4(address[3]!) : placeOf6(address);
    if (this.place === Place.Open || this.place === Place.LinkLocal) {
      if (METADATA.some((one) => equalAddresses(one, address))) this.place = Place.Metadata;
      else if (this.place === Place.Open && this.hasOwn(address)) this.place = Place.Own;
    }
    this.nameBits = nameBitsOf(this.place, isIp4(address));
    if (this.place === Place.Open) this.sortNear(address);
    if (before > 0 && this.place !== Place.Open) this.nameBits += before - 96;
  }

  private sortNear(address: Address): void {
    for (const { address: near, bits } of this.near) {
      if (!samePrefix(address, near, bits)) continue;
      for (const block of PRIVATE) {
        if (!samePrefix(address, block.address, block.bits)) continue;
        this.place = Place.Near;
        this.nameBits = block.bits;
        return;
      }
    }
  }

  /** Finds the IPv4 addresses in an IPv6 one; how many bits stand before them. */
  private findCarried(a: Address): number {
    const [w0 = 0, w1 = 0, w2 = 0, w3 = 0] = a;
    if (w0 >>> 16 === 0x2002) {
      this.carry((w0 << 16) | (w1 >>> 16)); // 6to4, RFC 3056
      return 16;
    }
    if (w0 === 0x20010000) {
      this.carry(~w3); // Teredo, RFC 4380 §4: client and server
      this.carry(w1);
    } else if (w0 === 0x0064ff9b && w1 >>> 16 === 1) this.carryLocal(a);
    else if (w0 === 0x0064ff9b && w1 === 0 && w2 === 0) this.carry(w3);
    else if (w0 === 0 && w1 === 0 && w2 === -65536)
      this.carry(w3); // ::ffff:0:0:0/96, RFC 2765 §2.1
    else if ((w2 & ~0x02000000) === 0x00005efe) this.carry(w3); // ISATAP, RFC 5214 §6.1
    return 96;
  }

  /** 64:ff9b:1::/48 is for translators of any prefix length, RFC 8215; which one it is nobody says. */
  private carryLocal(a: Address): void {
    for (const bits of LOCAL_BITS) {
      const address4 = nat64.embedded(a, bits);
      nat64.embed(a, bits, address4, this.probe);
      if (address4 !== 0 && equalAddresses(this.probe, a)) this.carry(address4);
    }
  }

  private carry(address4: number): void {
    this.carried[this.carriedCount++]![3] = address4;
  }

  private readonly probe: Address = new Int32Array(ADDRESS_WORDS);
}

const CARRIED_MAX = 4;
const LOCAL_BITS: readonly number[] = [48, 56, 64, 96];

/** RFC 1918, 6598 and 4193. */
export function isPrivate(address: Address): boolean {
  for (const block of PRIVATE) if (samePrefix(address, block.address, block.bits)) return true;
  return false;
}

/** RFC 6052 §3.1: what 64:ff9b::/96 must not stand for. */
export function isSpecial4(address: Address): boolean {
  for (const block of SPECIAL4) if (samePrefix(address, block.address, block.bits)) return true;
  return false;
}

const isOne = (a: Address): boolean => a[3] === 1 && a[2] === 0 && a[1] === 0 && a[0] === 0;

function placeOf4(address4: number): Place {
  const first = address4 >>> 24;
  if (first === 0 || first >>> 4 === 14 || address4 === -1) return Place.Never;
  if (first === 127) return Place.Loopback;
  return address4 >>> 16 === 0xa9fe ? Place.LinkLocal : Place.Open;
}

function placeOf6(a: Address): Place {
  if (a[0] === 0 && a[1] === 0 && a[2] === 0) return isOne(a) ? Place.Loopback : Place.Never;
  if (a[0]! >>> 24 === 0xff) return Place.Never;
  return a[0]! >>> 22 === 0xfe800000 >>> 22 ? Place.LinkLocal : Place.Open;
}

function nameBitsOf(place: Place, is4: boolean): number {
  if (place === Place.Open) return 0;
  if (place === Place.Loopback && is4) return LOOPBACK4_BITS;
  if (place === Place.LinkLocal) return is4 ? LINK_LOCAL4_BITS : LINK_LOCAL6_BITS;
  return WHOLE;
}
