// The Ethernet header: two addresses and a type. IEEE 802.3 §3.1.

import { Drop } from '../core/drop.ts';
import { setU16, u8, u16, u32 } from './bytes.ts';

// Offsets from the start of the frame.
const DST = 0;
const SRC = 6;
const TYPE = 12;

/** Bytes before the payload of an untagged frame. */
export const HEADER_BYTES = 14;
/** Bytes in a hardware address. */
export const MAC_BYTES = 6;
/** The shortest frame on a wire, without FCS. Virtual ports may carry shorter ones. */
export const FRAME_BYTES_MIN = 60;

/** EtherTypes that weft reads. Values below 0x600 are lengths (IEEE 802.2 LLC). */
export const EtherType = {
  Ip4: 0x0800,
  Arp: 0x0806,
  Vlan: 0x8100, // customer tag
  Ip6: 0x86dd,
  ServiceVlan: 0x88a8, // provider tag
  Experimental: 0x88b5,
  Lldp: 0x88cc,
} as const;

/** None iff every reader below is safe on `avail` bytes at `at`. */
export const check = (_view: DataView, _at: number, avail: number): Drop =>
  avail < HEADER_BYTES ? Drop.EthTruncated : Drop.None;

/** The type as it stands after the addresses; a tag's if the frame is tagged. */
export const etherType = (view: DataView, at: number): number => u16(view, at + TYPE);
/** The upper 16 bits of the address at `at`; with `macLow` for comparing and hashing without a string. */
export const macHigh = (view: DataView, at: number): number => u16(view, at);
/** The lower 32 bits of the address at `at`. */
export const macLow = (view: DataView, at: number): number => u32(view, at + 2);
/** Where the destination address of the frame at `at` is. */
export const dstAt = (at: number): number => at + DST;
/** Where the source address of the frame at `at` is. */
export const srcAt = (at: number): number => at + SRC;
/** True for a multicast or broadcast address at `at` (the I/G bit). */
export const isGroup = (view: DataView, at: number): boolean => (u8(view, at) & 1) !== 0;
/** True for ff:ff:ff:ff:ff:ff at `at`. */
export const isBroadcast = (view: DataView, at: number): boolean =>
  u32(view, at) === 0xffff_ffff && u16(view, at + 4) === 0xffff;

/** Writes the type of the frame at `at`. */
export const setEtherType = (view: DataView, at: number, type: number): void => setU16(view, at + TYPE, type);

/** Writes a whole header: addresses of 6 bytes each. */
export function writeHeader(view: DataView, at: number, dst: Uint8Array, src: Uint8Array, type: number): void {
  setMac(view, at + DST, dst);
  setMac(view, at + SRC, src);
  setEtherType(view, at, type);
}

/** Writes the 6 bytes of an address at `at`. */
export function setMac(view: DataView, at: number, mac: Uint8Array): void {
  for (let i = 0; i < MAC_BYTES; i++) view.setUint8(at + i, mac[i]!);
}

/** The 6 bytes of the address at `at`, copied. */
export const mac = (view: DataView, at: number): Uint8Array =>
  Uint8Array.from({ length: MAC_BYTES }, (_, i) => u8(view, at + i));

/** The address at `at` as `02:00:00:00:00:01`. For people; not for the frame path. */
export const macText = (view: DataView, at: number): string => formatMac(mac(view, at));

/** `02:00:00:00:00:01` of 6 bytes. */
export const formatMac = (bytes: Uint8Array): string =>
  Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join(':');

/** The 6 bytes of `02:00:00:00:00:01`, with `:` or `-` between pairs or nothing at all; undefined if it is none. */
export function parseMac(text: string): Uint8Array | undefined {
  if (!/^([0-9a-f]{2}([:-]?))([0-9a-f]{2}\2){4}[0-9a-f]{2}$/i.test(text)) return undefined;
  const digits = text.replace(/[:-]/g, '');
  return Uint8Array.from({ length: MAC_BYTES }, (_, i) => Number.parseInt(digits.slice(2 * i, 2 * i + 2), 16));
}
