// Addresses of both families as four words, IPv4 as ::ffff:a.b.c.d (RFC 4291 §2.5.5.2), so that every table has one kind.

import { u32 } from '../wire/bytes.ts';
import * as ipv4 from '../wire/ipv4.ts';
import * as ipv6 from '../wire/ipv6.ts';

/**
 * Four words in network order, signed. Whoever keeps one copies it: those that a function is given may be a packet's, which
 * the next packet overwrites.
 */
export type Address = Int32Array;

/** Words of an address. */
export const ADDRESS_WORDS = 4;

const MAPPED = 0xffff;

/** `::`, which stands for "any" and for "none". Never written to. */
export const ANY: Address = new Int32Array(ADDRESS_WORDS);
/** `::ffff:0.0.0.0`: any, of IPv4. Never written to. */
export const ANY4: Address = of4(0);

/** A new address of an IPv4 address as a number. */
export function of4(address: number): Address {
  return Int32Array.of(0, 0, MAPPED, address);
}

/** True for an IPv4 address, any of IPv4 among them. */
export const isIp4 = (a: Address): boolean => a[2] === MAPPED && a[0] === 0 && a[1] === 0;

/** The IPv4 address as a number, 0 … 2^32 - 1; of meaning if `isIp4`. */
export const ip4Of = (a: Address): number => a[3]! >>> 0;

/** True if all words are equal. */
export const equal = (a: Address, b: Address): boolean =>
  a[3] === b[3] && a[2] === b[2] && a[1] === b[1] && a[0] === b[0];

/** True for `::` and `0.0.0.0`. */
export const isAny = (a: Address): boolean => a[3] === 0 && a[0] === 0 && a[1] === 0 && (a[2] === 0 || a[2] === MAPPED);

/** 224.0.0.0/4 and ff00::/8. */
export const isMulticast = (a: Address): boolean => (isIp4(a) ? a[3]! >>> 28 === 14 : a[0]! >>> 24 === 0xff);

/** fe80::/10 and 169.254.0.0/16. */
export const isLinkLocal = (a: Address): boolean =>
  isIp4(a) ? a[3]! >>> 16 === 0xa9fe : (a[0]! >>> 22) << 22 === (0xfe800000 | 0);

/** ::1 and 127.0.0.0/8. */
export const isLoopback = (a: Address): boolean =>
  isIp4(a) ? a[3]! >>> 24 === 127 : a[3] === 1 && a[2] === 0 && a[1] === 0 && a[0] === 0;

/** 255.255.255.255. A subnet's own broadcast address is the routes' to know. */
export const isBroadcast = (a: Address): boolean => a[3] === -1 && isIp4(a);

/** Copies `from` into `to`. */
export function assign(to: Address, from: Address): void {
  to[0] = from[0]!;
  to[1] = from[1]!;
  to[2] = from[2]!;
  to[3] = from[3]!;
}

/** Reads the 16 bytes at `at`. */
export function read6(view: DataView, at: number, to: Address): void {
  to[0] = view.getInt32(at);
  to[1] = view.getInt32(at + 4);
  to[2] = view.getInt32(at + 8);
  to[3] = view.getInt32(at + 12);
}

/** Reads the 4 bytes at `at`. */
export function read4(view: DataView, at: number, to: Address): void {
  to[0] = 0;
  to[1] = 0;
  to[2] = MAPPED;
  to[3] = u32(view, at);
}

/** Writes 16 bytes. */
export function write6(view: DataView, at: number, a: Address): void {
  view.setInt32(at, a[0]!);
  view.setInt32(at + 4, a[1]!);
  view.setInt32(at + 8, a[2]!);
  view.setInt32(at + 12, a[3]!);
}

/** Writes the 4 bytes of an IPv4 address. */
export function write4(view: DataView, at: number, a: Address): void {
  view.setInt32(at, a[3]!);
}

/** True if the first `bits` bits are equal; `bits` counts from the start of the 16 bytes, so 96 more for IPv4. */
export function samePrefix(a: Address, b: Address, bits: number): boolean {
  let left = bits;
  for (let i = 0; left > 0; i++, left -= 32) {
    const differs = a[i]! ^ b[i]!;
    if (differs !== 0 && (left >= 32 || differs >>> (32 - left) !== 0)) return false;
  }
  return true;
}

/** How many leading bits are equal, 0 … 128. */
export function commonBits(a: Address, b: Address): number {
  for (let i = 0; i < ADDRESS_WORDS; i++) {
    const differs = a[i]! ^ b[i]!;
    if (differs !== 0) return 32 * i + Math.clz32(differs);
  }
  return 128;
}

/** A number for hash tables, 32 bits. */
export function hash(a: Address): number {
  let h = Math.imul(a[0]! ^ 0x9e3779b9, 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 15) ^ a[1]!, 0xc2b2ae35);
  h = Math.imul(h ^ (h >>> 15) ^ a[2]!, 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 15) ^ a[3]!, 0xc2b2ae35);
  return h ^ (h >>> 16);
}

/** A new address of text in any form of either family, without zone; undefined if it is none. */
export function parse(text: string): Address | undefined {
  const four = ipv4.parseAddress(text);
  if (four !== undefined) return of4(four);
  const bytes = ipv6.parseAddress(text);
  if (!bytes) return undefined;
  const address = new Int32Array(ADDRESS_WORDS);
  read6(new DataView(bytes.buffer, bytes.byteOffset), 0, address);
  return address;
}

/** `10.0.0.1` or `fe80::1`. For people. */
export function format(a: Address): string {
  if (isIp4(a)) return ipv4.formatAddress(ip4Of(a));
  const view = new DataView(new ArrayBuffer(16));
  write6(view, 0, a);
  return ipv6.addressText(view, 0);
}
