// The IPv4 header. RFC 791 §3.1, RFC 6864 for the identification.

import { Drop } from '../core/drop.ts';
import { setU8, setU16, setU32, u8, u16, u32 } from './bytes.ts';
import { checksumOf, finish } from './checksum.ts';

// Offsets from the start of the header.
const VERSION_IHL = 0;
const TOS = 1;
const TOTAL_LENGTH = 2;
const ID = 4;
const FRAGMENT = 6;
const TTL = 8;
const PROTOCOL = 9;
const CHECKSUM = 10;
const SRC = 12;
const DST = 16;

/** Bytes of a header without options. */
export const HEADER_BYTES = 20;
/** Bytes of a header with as many options as there can be. */
export const HEADER_BYTES_MAX = 60;
/** Bytes of an address. */
export const ADDRESS_BYTES = 4;

/** Protocol numbers, the same in IPv6's next header (IANA). */
export const Protocol = { Icmp: 1, Igmp: 2, Tcp: 6, Udp: 17, Icmp6: 58 } as const;

/** Flag of the fragment word: no router may cut the packet. */
export const DONT_FRAGMENT = 0x4000;
/** Flag of the fragment word: this is not the last piece. */
export const MORE_FRAGMENTS = 0x2000;

/** None iff every reader below is safe on `avail` bytes at `at`, and the packet fits. The checksum is `checkSum`'s. */
export function check(view: DataView, at: number, avail: number): Drop {
  if (avail < HEADER_BYTES) return Drop.Ip4Truncated;
  if (u8(view, at) >>> 4 !== 4) return Drop.Ip4Version;
  const header = headerBytes(view, at);
  if (header < HEADER_BYTES) return Drop.Ip4HeaderLength;
  if (header > avail) return Drop.Ip4Truncated;
  const total = totalLength(view, at); // may be less than `avail`: Ethernet pads to 60 bytes
  return total < header || total > avail ? Drop.Ip4TotalLength : Drop.None;
}

/** None iff the header's checksum is right. After `check`. */
export const checkSum = (view: DataView, at: number): Drop =>
  checksumOf(view, at, headerBytes(view, at)) === 0xffff ? Drop.None : Drop.Ip4Checksum;

/** Bytes of the header with its options, 20 … 60. */
export const headerBytes = (view: DataView, at: number): number => (u8(view, at + VERSION_IHL) & 15) << 2;
/** DSCP in the upper 6 bits, ECN in the lower 2 (RFC 2474, RFC 3168). */
export const tos = (view: DataView, at: number): number => u8(view, at + TOS);
/** Bytes of header and payload. */
export const totalLength = (view: DataView, at: number): number => u16(view, at + TOTAL_LENGTH);
/** Identification, of meaning only for fragments (RFC 6864 §4). */
export const id = (view: DataView, at: number): number => u16(view, at + ID);
/** The fragment word: flags and offset. */
export const fragment = (view: DataView, at: number): number => u16(view, at + FRAGMENT);
/** Where this fragment's payload belongs, in bytes. */
export const fragmentBytes = (view: DataView, at: number): number => (fragment(view, at) & 0x1fff) << 3;
/** True for every piece of a fragmented packet. */
export const isFragment = (view: DataView, at: number): boolean => (fragment(view, at) & 0x3fff) !== 0;
/** Hops left, 0 … 255. */
export const ttl = (view: DataView, at: number): number => u8(view, at + TTL);
/** What the payload is: a value of `Protocol`, or another. */
export const protocol = (view: DataView, at: number): number => u8(view, at + PROTOCOL);
/** The header's checksum as it stands. */
export const checksum = (view: DataView, at: number): number => u16(view, at + CHECKSUM);
/** Source address as a number. */
export const src = (view: DataView, at: number): number => u32(view, at + SRC);
/** Destination address as a number. */
export const dst = (view: DataView, at: number): number => u32(view, at + DST);

/** Writes DSCP and ECN, 8 bits. */
export const setTos = (view: DataView, at: number, value: number): void => setU8(view, at + TOS, value);
/** Writes the bytes of header and payload. */
export const setTotalLength = (view: DataView, at: number, bytes: number): void =>
  setU16(view, at + TOTAL_LENGTH, bytes);
/** Writes the identification, 16 bits. */
export const setId = (view: DataView, at: number, value: number): void => setU16(view, at + ID, value);
/** Writes the fragment word: flags, and the offset in units of 8 bytes. */
export const setFragment = (view: DataView, at: number, value: number): void => setU16(view, at + FRAGMENT, value);
/** Writes the hops left. */
export const setTtl = (view: DataView, at: number, value: number): void => setU8(view, at + TTL, value);
/** Writes what the payload is. */
export const setProtocol = (view: DataView, at: number, value: number): void => setU8(view, at + PROTOCOL, value);
/** Writes the checksum as given; `seal` computes it. */
export const setChecksum = (view: DataView, at: number, value: number): void => setU16(view, at + CHECKSUM, value);
/** Writes the source address. */
export const setSrc = (view: DataView, at: number, address: number): void => setU32(view, at + SRC, address);
/** Writes the destination address. */
export const setDst = (view: DataView, at: number, address: number): void => setU32(view, at + DST, address);
/** Writes version 4 and the header's length, a multiple of 4 in 20 … 60. */
export const setHeaderBytes = (view: DataView, at: number, bytes: number): void =>
  setU8(view, at + VERSION_IHL, 0x40 | (bytes >>> 2));

/** Computes and writes the checksum of the header, whose other fields are there. */
export function seal(view: DataView, at: number): void {
  setChecksum(view, at, 0);
  setChecksum(view, at, finish(checksumOf(view, at, headerBytes(view, at))));
}

/** `10.0.0.1` of an address as a number. */
export const formatAddress = (address: number): string =>
  `${address >>> 24}.${(address >>> 16) & 255}.${(address >>> 8) & 255}.${address & 255}`;

/** The address of `10.0.0.1` as a number; undefined unless four decimal numbers below 256 without leading zeros. */
export function parseAddress(text: string): number | undefined {
  const parts = text.split('.');
  if (parts.length !== 4) return undefined;
  let address = 0;
  for (const part of parts) {
    if (!/^(0|[1-9][0-9]{0,2})$/.test(part) || Number(part) > 255) return undefined;
    address = address * 256 + Number(part);
  }
  return address;
}
