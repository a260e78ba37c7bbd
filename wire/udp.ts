// The UDP header. RFC 768; zero checksums over IPv6 RFC 6935.

import { Drop } from '../core/drop.ts';
import { setU16, u16 } from './bytes.ts';

// Offsets from the start of the header.
const SRC_PORT = 0;
const DST_PORT = 2;
const LENGTH = 4;
const CHECKSUM = 6;

/** Bytes before the payload. */
export const HEADER_BYTES = 8;
/** Offset of the checksum, as virtio's `csum_offset` wants it. */
export const CHECKSUM_AT = CHECKSUM;
/** A checksum that computes to zero is sent so, since zero means none. */
export const CHECKSUM_ZERO = 0xffff;

/** None iff every reader below is safe on `avail` bytes at `at`, and the datagram fits. */
export function check(view: DataView, at: number, avail: number): Drop {
  if (avail < HEADER_BYTES) return Drop.UdpTruncated;
  const bytes = length(view, at); // may be less than `avail`: Ethernet pads to 60 bytes
  return bytes < HEADER_BYTES || bytes > avail ? Drop.UdpLength : Drop.None;
}

/** Source port; 0 if no answer is wanted. */
export const srcPort = (view: DataView, at: number): number => u16(view, at + SRC_PORT);
/** Destination port. */
export const dstPort = (view: DataView, at: number): number => u16(view, at + DST_PORT);
/** Bytes of header and payload. */
export const length = (view: DataView, at: number): number => u16(view, at + LENGTH);
/** Zero means that the sender computed none. */
export const checksum = (view: DataView, at: number): number => u16(view, at + CHECKSUM);

/** Writes the source port. */
export const setSrcPort = (view: DataView, at: number, port: number): void => setU16(view, at + SRC_PORT, port);
/** Writes the destination port. */
export const setDstPort = (view: DataView, at: number, port: number): void => setU16(view, at + DST_PORT, port);
/** Writes the bytes of header and payload. */
export const setLength = (view: DataView, at: number, bytes: number): void => setU16(view, at + LENGTH, bytes);
/** Writes the checksum as given; `CHECKSUM_ZERO` where it computes to zero. */
export const setChecksum = (view: DataView, at: number, value: number): void => setU16(view, at + CHECKSUM, value);
