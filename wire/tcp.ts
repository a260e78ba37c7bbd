// The TCP header and its options. RFC 9293 §3.1, §3.2; window scale and timestamps RFC 7323; SACK RFC 2018.

import { Drop } from '../core/drop.ts';
import { setU8, setU16, setU32, u8, u16, u32 } from './bytes.ts';

// Offsets from the start of the header.
const SRC_PORT = 0;
const DST_PORT = 2;
const SEQ = 4;
const ACK = 8;
const DATA_OFFSET = 12;
const FLAGS = 13;
const WINDOW = 14;
const CHECKSUM = 16;
const URGENT = 18;

/** Bytes of a header without options. */
export const HEADER_BYTES = 20;
/** Bytes of a header with as many options as there can be. */
export const HEADER_BYTES_MAX = 60;
/** Offset of the checksum, as virtio's `csum_offset` wants it. */
export const CHECKSUM_AT = CHECKSUM;

/** Control bits; ECE and CWR are RFC 3168 §6.1. */
export const Flag = { Fin: 1, Syn: 2, Rst: 4, Psh: 8, Ack: 16, Urg: 32, Ece: 64, Cwr: 128 } as const;

/** Option kinds. */
export const Option = { End: 0, Nop: 1, Mss: 2, WindowScale: 3, SackPermitted: 4, Sack: 5, Timestamps: 8 } as const;

/** None iff every reader below is safe on `avail` bytes at `at`. */
export function check(view: DataView, at: number, avail: number): Drop {
  if (avail < HEADER_BYTES) return Drop.TcpTruncated;
  const header = headerBytes(view, at);
  return header < HEADER_BYTES || header > avail ? Drop.TcpDataOffset : Drop.None;
}

/** Source port. */
export const srcPort = (view: DataView, at: number): number => u16(view, at + SRC_PORT);
/** Destination port. */
export const dstPort = (view: DataView, at: number): number => u16(view, at + DST_PORT);
/** Sequence numbers live on a circle of 2^32. */
export const seq = (view: DataView, at: number): number => u32(view, at + SEQ);
/** The next sequence number expected; of meaning with `Flag.Ack`. */
export const ack = (view: DataView, at: number): number => u32(view, at + ACK);
/** Bytes of the header with its options, 20 … 60. */
export const headerBytes = (view: DataView, at: number): number => (u8(view, at + DATA_OFFSET) >>> 4) << 2;
/** Bits of `Flag`. */
export const flags = (view: DataView, at: number): number => u8(view, at + FLAGS);
/** As it stands: not scaled. */
export const window = (view: DataView, at: number): number => u16(view, at + WINDOW);
/** The checksum as it stands. */
export const checksum = (view: DataView, at: number): number => u16(view, at + CHECKSUM);
/** Urgent pointer; of meaning with `Flag.Urg`. */
export const urgent = (view: DataView, at: number): number => u16(view, at + URGENT);

/** Writes the source port. */
export const setSrcPort = (view: DataView, at: number, port: number): void => setU16(view, at + SRC_PORT, port);
/** Writes the destination port. */
export const setDstPort = (view: DataView, at: number, port: number): void => setU16(view, at + DST_PORT, port);
/** Writes the sequence number, 32 bits. */
export const setSeq = (view: DataView, at: number, value: number): void => setU32(view, at + SEQ, value);
/** Writes the acknowledgement number, 32 bits. */
export const setAck = (view: DataView, at: number, value: number): void => setU32(view, at + ACK, value);
/** Writes the header's length, a multiple of 4 in 20 … 60, and clears the reserved bits. */
export const setHeaderBytes = (view: DataView, at: number, bytes: number): void =>
  setU8(view, at + DATA_OFFSET, bytes << 2);
/** Writes bits of `Flag`. */
export const setFlags = (view: DataView, at: number, value: number): void => setU8(view, at + FLAGS, value);
/** Writes the window, already scaled down. */
export const setWindow = (view: DataView, at: number, value: number): void => setU16(view, at + WINDOW, value);
/** Writes the checksum as given. */
export const setChecksum = (view: DataView, at: number, value: number): void => setU16(view, at + CHECKSUM, value);
/** Writes the urgent pointer. */
export const setUrgent = (view: DataView, at: number, value: number): void => setU16(view, at + URGENT, value);

/** Where the first option of the header at `at` may be: the start of a walk with `nextOption`. */
export const optionsAt = (at: number): number => at + HEADER_BYTES;

/**
 * The option at or after `option`, in the header at `at`, that is not padding; -1 when there is none or it does not fit
 * (RFC 9293 §3.1: an illegal length ends the walk). Kind at the result, length at the byte after it, 2 … 40.
 */
export function nextOption(view: DataView, at: number, option: number): number {
  const end = at + headerBytes(view, at);
  let p = option;
  while (p < end && u8(view, p) === Option.Nop) p++;
  if (p + 2 > end || u8(view, p) === Option.End) return -1;
  const bytes = u8(view, p + 1);
  return bytes < 2 || p + bytes > end ? -1 : p;
}

/** The kind of an option that `nextOption` found. */
export const optionKind = (view: DataView, option: number): number => u8(view, option);
/** The whole length of an option, 2 … 40. */
export const optionBytes = (view: DataView, option: number): number => u8(view, option + 1);
/** Where to go on after it. */
export const afterOption = (view: DataView, option: number): number => option + u8(view, option + 1);
