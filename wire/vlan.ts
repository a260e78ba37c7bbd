// VLAN tags: 4 bytes between the source address and the type. IEEE 802.1Q §9.

import { Drop } from '../core/drop.ts';
import { setU16, u16 } from './bytes.ts';
import { EtherType } from './ethernet.ts';

// Offsets from the tag, which starts where an untagged frame has its type.
const TPID = 0;
const TCI = 2;

/** Bytes of one tag: TPID and TCI. */
export const TAG_BYTES = 4;
/** Offset of the first tag from the start of the frame. */
export const TAG_AT = 12;
/** The largest VLAN ID; 0 is a priority tag, 0xfff is reserved. */
export const VID_MAX = 4094;
/** Tags that are looked through: one provider and one customer tag (802.1ad). */
export const TAGS_MAX = 2;

/** True for the TPID of a customer or of a provider tag. */
export const isTpid = (type: number): boolean => type === EtherType.Vlan || type === EtherType.ServiceVlan;
/** True if the frame at `at` has a tag. It has an Ethernet header at least. */
export const isTagged = (view: DataView, at: number): boolean => isTpid(u16(view, at + TAG_AT));

/** None iff every reader below is safe on a tag with `avail` bytes at `at` and the type that follows it. */
export const check = (_view: DataView, _at: number, avail: number): Drop =>
  avail < TAG_BYTES + 2 ? Drop.VlanTruncated : Drop.None;

/** The type of the tag at `at`. */
export const tpid = (view: DataView, at: number): number => u16(view, at + TPID);
/** The control information of the tag at `at`, 16 bits. */
export const tci = (view: DataView, at: number): number => u16(view, at + TCI);
/** VLAN ID, 0 … 4095. */
export const vid = (view: DataView, at: number): number => tci(view, at) & 0xfff;
/** Priority, 0 … 7. */
export const pcp = (view: DataView, at: number): number => tci(view, at) >>> 13;
/** Drop eligible indicator, 0 or 1. */
export const dei = (view: DataView, at: number): number => (tci(view, at) >>> 12) & 1;
/** Control information of its parts. */
export const tciOf = (id: number, priority: number, eligible = 0): number => (priority << 13) | (eligible << 12) | id;

/** Writes the tag at `at`. */
export function writeTag(view: DataView, at: number, type: number, control: number): void {
  setU16(view, at + TPID, type);
  setU16(view, at + TCI, control);
}

/**
 * Where the payload of the frame of `length` bytes at `at` begins, through at most two tags; its type is the `u16` before
 * it. -1 if the frame ends before.
 */
export function payloadAt(view: DataView, at: number, length: number): number {
  let type = at + TAG_AT;
  const end = at + length;
  for (let tags = 0; type + 2 <= end; tags++) {
    if (tags === TAGS_MAX || !isTpid(u16(view, type))) return type + 2;
    type += TAG_BYTES;
  }
  return -1;
}
