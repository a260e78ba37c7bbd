// The ICMP header. RFC 792, RFC 1191 for the next-hop MTU.

import { Drop } from '../core/drop.ts';
import { setU8, setU16, u8, u16 } from './bytes.ts';
import { checksumOf, finish } from './checksum.ts';

// Offsets from the start of the header.
const TYPE = 0;
const CODE = 1;
const CHECKSUM = 2;
const ID = 4;
const SEQ = 6;

/** Bytes before the payload. */
export const HEADER_BYTES = 8;

/** Message types. */
export const Type = {
  EchoReply: 0,
  Unreachable: 3,
  Redirect: 5,
  EchoRequest: 8,
  TimeExceeded: 11,
  ParameterProblem: 12,
  Timestamp: 13,
  TimestampReply: 14,
} as const;

/** Codes of `Type.Unreachable`, RFC 1122 §3.2.2.1 and RFC 1812 §5.2.7.1. */
export const Unreachable = { Net: 0, Host: 1, Protocol: 2, Port: 3, FragmentationNeeded: 4, Prohibited: 13 } as const;

/** None iff every reader below is safe on `avail` bytes at `at`. */
export const check = (_view: DataView, _at: number, avail: number): Drop =>
  avail < HEADER_BYTES ? Drop.IcmpTruncated : Drop.None;

/** None iff the checksum over `length` bytes, header and payload, is right. */
export const checkSum = (view: DataView, at: number, length: number): Drop =>
  checksumOf(view, at, length) === 0xffff ? Drop.None : Drop.IcmpChecksum;

/** A value of `Type`, or another. */
export const type = (view: DataView, at: number): number => u8(view, at + TYPE);
/** What the type says in detail, 0 … 255. */
export const code = (view: DataView, at: number): number => u8(view, at + CODE);
/** Identifier of an echo. */
export const id = (view: DataView, at: number): number => u16(view, at + ID);
/** Sequence number of an echo. */
export const seq = (view: DataView, at: number): number => u16(view, at + SEQ);
/** The next hop's MTU of "fragmentation needed", in bytes; 0 if an old router did not say. RFC 1191 §4. */
export const mtu = (view: DataView, at: number): number => u16(view, at + SEQ);

/** Writes a value of `Type`. */
export const setType = (view: DataView, at: number, value: number): void => setU8(view, at + TYPE, value);
/** Writes the code, 0 … 255. */
export const setCode = (view: DataView, at: number, value: number): void => setU8(view, at + CODE, value);
/** Writes the identifier of an echo. */
export const setId = (view: DataView, at: number, value: number): void => setU16(view, at + ID, value);
/** Writes the sequence number of an echo. */
export const setSeq = (view: DataView, at: number, value: number): void => setU16(view, at + SEQ, value);
/** Writes the next hop's MTU of "fragmentation needed", in bytes. */
export const setMtu = setSeq;

/** Computes and writes the checksum over `length` bytes, header and payload. */
export function seal(view: DataView, at: number, length: number): void {
  setU16(view, at + CHECKSUM, 0);
  setU16(view, at + CHECKSUM, finish(checksumOf(view, at, length)));
}
