// The IPv6 header and the walk over its extension headers. RFC 8200; addresses as text RFC 5952.

import { Drop } from '../core/drop.ts';
import { setU8, setU16, setU32, u8, u16, u32 } from './bytes.ts';
import { formatAddress as formatAddress4, parseAddress as parseAddress4 } from './ipv4.ts';

// Offsets from the start of the header.
const VERSION_CLASS_FLOW = 0;
const PAYLOAD_LENGTH = 4;
const NEXT_HEADER = 6;
const HOP_LIMIT = 7;
const SRC = 8;
const DST = 24;

/** Bytes of the fixed header. */
export const HEADER_BYTES = 40;
/** Bytes of an address. */
export const ADDRESS_BYTES = 16;
/** Bytes of a fragment header, RFC 8200 §4.5. */
export const FRAGMENT_BYTES = 8;

/** Next-header values of extension headers. */
export const Extension = {
  HopByHop: 0,
  Routing: 43,
  Fragment: 44,
  Authentication: 51,
  NoNext: 59,
  Destination: 60,
  Mobility: 135,
} as const;

/** Extension headers that are looked through before a packet counts as malformed. */
export const EXTENSIONS_MAX = 8;
/** What `walk` returns when the chain does not fit the packet or is too long. */
export const MALFORMED = -1;

/** None iff every reader below is safe on `avail` bytes at `at`, and the packet fits. Jumbograms do not (RFC 2675). */
export function check(view: DataView, at: number, avail: number): Drop {
  if (avail < HEADER_BYTES) return Drop.Ip6Truncated;
  if (u8(view, at) >>> 4 !== 6) return Drop.Ip6Version;
  return HEADER_BYTES + payloadLength(view, at) > avail ? Drop.Ip6PayloadLength : Drop.None;
}

/** DSCP in the upper 6 bits, ECN in the lower 2 (RFC 2474, RFC 3168). */
export const trafficClass = (view: DataView, at: number): number => (u16(view, at + VERSION_CLASS_FLOW) >>> 4) & 255;
/** Flow label, 20 bits (RFC 6437). */
export const flowLabel = (view: DataView, at: number): number => u32(view, at + VERSION_CLASS_FLOW) & 0xfffff;
/** Bytes after the fixed header, extension headers among them. */
export const payloadLength = (view: DataView, at: number): number => u16(view, at + PAYLOAD_LENGTH);
/** The header after the fixed one: a value of `Extension`, or a protocol. */
export const nextHeader = (view: DataView, at: number): number => u8(view, at + NEXT_HEADER);
/** Hops left, 0 … 255. */
export const hopLimit = (view: DataView, at: number): number => u8(view, at + HOP_LIMIT);
/** Where the source address of the packet at `at` is. */
export const srcAt = (at: number): number => at + SRC;
/** Where the destination address of the packet at `at` is. */
export const dstAt = (at: number): number => at + DST;

/** Writes version 6, traffic class (8 bits) and flow label (20 bits). */
export const setClassFlow = (view: DataView, at: number, class8: number, flow: number): void =>
  setU32(view, at + VERSION_CLASS_FLOW, (0x6000_0000 | (class8 << 20) | flow) >>> 0);
/** Writes the bytes after the fixed header. */
export const setPayloadLength = (view: DataView, at: number, bytes: number): void =>
  setU16(view, at + PAYLOAD_LENGTH, bytes);
/** Writes the header after the fixed one. */
export const setNextHeader = (view: DataView, at: number, value: number): void => setU8(view, at + NEXT_HEADER, value);
/** Writes the hops left. */
export const setHopLimit = (view: DataView, at: number, value: number): void => setU8(view, at + HOP_LIMIT, value);

/**
 * Finds the upper-layer header of a packet that passed `check`: `walkProtocol` and `walkOffset` read the result, the offset
 * from the start of the packet. Stops at a fragment header, whose protocol is then 44, since what follows it may be the
 * middle of something. `MALFORMED` if a header does not fit or there are more than `EXTENSIONS_MAX`. RFC 8200 §4.1.
 */
export function walk(view: DataView, at: number): number {
  const end = HEADER_BYTES + payloadLength(view, at);
  let next = nextHeader(view, at);
  let offset = HEADER_BYTES;
  for (let headers = 0; ; headers++) {
    if (next === Extension.Fragment && offset + FRAGMENT_BYTES > end) return MALFORMED;
    if (!isSkipped(next)) return (offset << 8) | next;
    if (headers === EXTENSIONS_MAX || offset + 8 > end) return MALFORMED;
    const size = u8(view, at + offset + 1);
    // RFC 4302 §2.2: the authentication header alone counts in units of 4 bytes, minus 2.
    const bytes = next === Extension.Authentication ? (size + 2) << 2 : (size + 1) << 3;
    if (offset + bytes > end) return MALFORMED;
    next = u8(view, at + offset);
    offset += bytes;
  }
}

/** The upper-layer protocol of a walk. */
export const walkProtocol = (walked: number): number => walked & 0xff;
/** Where the upper-layer header is, from the start of the packet. */
export const walkOffset = (walked: number): number => walked >>> 8;

const isSkipped = (next: number): boolean =>
  next === Extension.HopByHop ||
  next === Extension.Routing ||
  next === Extension.Destination ||
  next === Extension.Authentication ||
  next === Extension.Mobility;

/** Where the piece with the fragment header at `at` belongs, in bytes. */
export const fragmentBytes = (view: DataView, at: number): number => u16(view, at + 2) & 0xfff8;
/** True if the fragment header at `at` is not the last piece's. */
export const fragmentMore = (view: DataView, at: number): boolean => (u16(view, at + 2) & 1) !== 0;
/** Identification of the packet that the piece belongs to, 32 bits. */
export const fragmentId = (view: DataView, at: number): number => u32(view, at + 4);
/** The header after the fragment header, in the first piece. */
export const fragmentNext = (view: DataView, at: number): number => u8(view, at);

/** The 16 bytes at `at`, copied. */
export const address = (view: DataView, at: number): Uint8Array =>
  Uint8Array.from({ length: ADDRESS_BYTES }, (_, i) => u8(view, at + i));

/** Writes the 16 bytes of an address at `at`. */
export function setAddress(view: DataView, at: number, bytes: Uint8Array): void {
  for (let i = 0; i < ADDRESS_BYTES; i++) view.setUint8(at + i, bytes[i]!);
}

/** The address at `at` in its one canonical form, RFC 5952 §4. For people; not for the frame path. */
export function addressText(view: DataView, at: number): string {
  const groups = Array.from({ length: 8 }, (_, i) => u16(view, at + 2 * i));
  // §5: the mapped prefix is well known, so the rest is shown as an IPv4 address.
  if (groups.slice(0, 5).every((g) => g === 0) && groups[5] === 0xffff) {
    return `::ffff:${formatAddress4(u32(view, at + 12))}`;
  }
  const { start, count } = longestZeros(groups);
  const hex = groups.map((g) => g.toString(16));
  if (count < 2) return hex.join(':'); // §4.2.2: one group of zeros is not shortened
  return `${hex.slice(0, start).join(':')}::${hex.slice(start + count).join(':')}`;
}

/** The first of the longest runs of zeros, §4.2.3. */
function longestZeros(groups: readonly number[]): { start: number; count: number } {
  let best = { start: 0, count: 0 };
  let count = 0;
  for (let i = 0; i < groups.length; i++) {
    count = groups[i] === 0 ? count + 1 : 0;
    if (count > best.count) best = { start: i - count + 1, count };
  }
  return best;
}

/** `fe80::1` of 16 bytes. */
export const formatAddress = (bytes: Uint8Array): string =>
  addressText(new DataView(bytes.buffer, bytes.byteOffset, ADDRESS_BYTES), 0);

/** The 16 bytes of an address in any form of RFC 4291 §2.2; undefined if it is none. A zone (`%eth0`) is none. */
export function parseAddress(text: string): Uint8Array | undefined {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const left = parseGroups(halves[0]!, halves.length === 1);
  const right = halves.length === 2 ? parseGroups(halves[1]!, true) : [];
  if (!left || !right) return undefined;
  const missing = 8 - left.length - right.length;
  // §2.2 (2): "::" stands for one or more groups.
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  const groups = [...left, ...new Array<number>(missing).fill(0), ...right];
  return Uint8Array.from(groups.flatMap((g) => [g >>> 8, g & 255]));
}

/** The groups of one side of the `::`; the last may be an IPv4 address if the text ends there. */
function parseGroups(text: string, isEnd: boolean): number[] | undefined {
  if (text === '') return [];
  const groups: number[] = [];
  const parts = text.split(':');
  for (let i = 0; i < parts.length; i++) {
    const part = parts[i]!;
    const address4 = isEnd && i === parts.length - 1 && part.includes('.') ? parseAddress4(part) : undefined;
    if (address4 !== undefined) groups.push(address4 >>> 16, address4 & 0xffff);
    else if (/^[0-9a-f]{1,4}$/i.test(part)) groups.push(Number.parseInt(part, 16));
    else return undefined;
  }
  return groups;
}
