// ICMPv6 and neighbour discovery. RFC 4443, RFC 4861, RFC 2710 and RFC 3810 for the names of multicast listening.

import { Drop } from '../core/drop.ts';
import { setU8, setU16, setU32, u8, u16, u32 } from './bytes.ts';
import { checksumOf, finish, pseudoHeader6 } from './checksum.ts';
import { Protocol } from './ipv4.ts';

// Offsets from the start of the header.
const TYPE = 0;
const CODE = 1;
const CHECKSUM = 2;
const ID = 4;
const SEQ = 6;
const WORD = 4; // MTU, pointer, flags: what RFC 4443 calls the message body's first word
const TARGET = 8;

/** Bytes before the body. */
export const HEADER_BYTES = 8;
/** Bytes of a neighbour solicitation or advertisement before its options. */
export const NEIGHBOR_BYTES = 24;
/** Bytes of a router advertisement before its options. */
export const ROUTER_ADVERTISEMENT_BYTES = 16;
/** Bytes of a redirect before its options. */
export const REDIRECT_BYTES = 40;

/** Message types. */
export const Type = {
  Unreachable: 1,
  PacketTooBig: 2,
  TimeExceeded: 3,
  ParameterProblem: 4,
  EchoRequest: 128,
  EchoReply: 129,
  ListenerQuery: 130,
  ListenerReport: 131,
  ListenerDone: 132,
  RouterSolicitation: 133,
  RouterAdvertisement: 134,
  NeighborSolicitation: 135,
  NeighborAdvertisement: 136,
  Redirect: 137,
  ListenerReport2: 143,
} as const;

/** Options of neighbour discovery, RFC 4861 §4.6, RFC 8106. */
export const NdpOption = {
  SourceMac: 1,
  TargetMac: 2,
  Prefix: 3,
  Redirected: 4,
  Mtu: 5,
  Dns: 25,
  DnsSearch: 31,
} as const;

/** Flags of a neighbour advertisement's first word. */
export const NeighborFlag = { Router: 0x8000_0000, Solicited: 0x4000_0000, Override: 0x2000_0000 } as const;

const NAMES: ReadonlyMap<number, string> = new Map([
  [Type.Unreachable, 'unreachable'],
  [Type.PacketTooBig, 'packet too big'],
  [Type.TimeExceeded, 'time exceeded'],
  [Type.ParameterProblem, 'parameter problem'],
  [Type.EchoRequest, 'echo request'],
  [Type.EchoReply, 'echo reply'],
  [Type.ListenerQuery, 'listener query'],
  [Type.ListenerReport, 'listener report'],
  [Type.ListenerDone, 'listener done'],
  [Type.RouterSolicitation, 'router solicitation'],
  [Type.RouterAdvertisement, 'router advertisement'],
  [Type.NeighborSolicitation, 'neighbor solicitation'],
  [Type.NeighborAdvertisement, 'neighbor advertisement'],
  [Type.Redirect, 'redirect'],
  [Type.ListenerReport2, 'listener report v2'],
]);

/** The name of a message type, or `type N`. */
export const typeName = (value: number): string => NAMES.get(value) ?? `type ${value}`;

/** The bytes that a type has at least, so that its readers below are safe. */
function bytesMin(value: number): number {
  switch (value) {
    case Type.NeighborSolicitation:
    case Type.NeighborAdvertisement:
      return NEIGHBOR_BYTES;
    case Type.RouterAdvertisement:
      return ROUTER_ADVERTISEMENT_BYTES;
    case Type.Redirect:
      return REDIRECT_BYTES;
    default:
      return HEADER_BYTES;
  }
}

/** None iff every reader below is safe on `avail` bytes at `at`, for the type that it has. */
export function check(view: DataView, at: number, avail: number): Drop {
  if (avail < HEADER_BYTES) return Drop.IcmpTruncated;
  return avail < bytesMin(type(view, at)) ? Drop.IcmpTruncated : Drop.None;
}

/** None iff the checksum over `length` bytes and the pseudo-header of the packet at `ip` is right. RFC 4443 §2.3. */
export const checkSum = (view: DataView, ip: number, at: number, length: number): Drop =>
  checksumOf(view, at, length, pseudoHeader6(view, ip, Protocol.Icmp6, length)) === 0xffff
    ? Drop.None
    : Drop.IcmpChecksum;

/** A value of `Type`, or another. */
export const type = (view: DataView, at: number): number => u8(view, at + TYPE);
/** What the type says in detail, 0 … 255. */
export const code = (view: DataView, at: number): number => u8(view, at + CODE);
/** Identifier of an echo. */
export const id = (view: DataView, at: number): number => u16(view, at + ID);
/** Sequence number of an echo. */
export const seq = (view: DataView, at: number): number => u16(view, at + SEQ);
/** The next hop's MTU of "packet too big", in bytes. */
export const mtu = (view: DataView, at: number): number => u32(view, at + WORD);
/** `NeighborFlag` bits of a neighbour advertisement. */
export const neighborFlags = (view: DataView, at: number): number => u32(view, at + WORD);
/** Where the target address of a solicitation, advertisement or redirect is. */
export const targetAt = (at: number): number => at + TARGET;

/** Writes a value of `Type`. */
export const setType = (view: DataView, at: number, value: number): void => setU8(view, at + TYPE, value);
/** Writes the code, 0 … 255. */
export const setCode = (view: DataView, at: number, value: number): void => setU8(view, at + CODE, value);
/** Writes the identifier of an echo. */
export const setId = (view: DataView, at: number, value: number): void => setU16(view, at + ID, value);
/** Writes the sequence number of an echo. */
export const setSeq = (view: DataView, at: number, value: number): void => setU16(view, at + SEQ, value);
/** Writes the first word of the body: an MTU, a pointer or flags. */
export const setWord = (view: DataView, at: number, value: number): void => setU32(view, at + WORD, value);

/** Computes and writes the checksum of a message of `length` bytes in the packet at `ip`, whose addresses are there. */
export function seal(view: DataView, ip: number, at: number, length: number): void {
  setU16(view, at + CHECKSUM, 0);
  setU16(view, at + CHECKSUM, finish(checksumOf(view, at, length, pseudoHeader6(view, ip, Protocol.Icmp6, length))));
}

/**
 * The option at `option` of a message that ends at `end`, if a whole one is there, else -1. RFC 4861 §4.6: a length of zero
 * makes the message malformed. Kind at the result; `ndpOptionBytes` after it.
 */
export function ndpOption(view: DataView, option: number, end: number): number {
  if (option + 8 > end) return -1;
  const bytes = ndpOptionBytes(view, option);
  return bytes === 0 || option + bytes > end ? -1 : option;
}

/** The whole length of an option, a multiple of 8. */
export const ndpOptionBytes = (view: DataView, option: number): number => u8(view, option + 1) << 3;
