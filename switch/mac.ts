// A MAC as the table has it (two little-endian words) and as a listing has it (one number).

/** Marks a used slot: no key is 0. */
export const OCCUPIED = 1 << 31;

const VID_SHIFT = 16;
const VID_MASK = 0x0fff;
const HIGH_MASK = 0xffff;

/** The second word: MAC bytes 4..5 as a little-endian number, and the VID (0 … 4095). */
export const keyOf = (high: number, vid: number): number => OCCUPIED | (vid << VID_SHIFT) | high;

/** The VID in a second word. */
export const vidOf = (key: number): number => (key >>> VID_SHIFT) & VID_MASK;

/** The six bytes as one number, first byte highest. */
export const macOf = (lo: number, key: number): number => swap32(lo) * 0x10000 + swap16(key & HIGH_MASK);

/** The first word of such a number: bytes 0..3. */
export const lowOf = (mac: number): number => swap32(Math.floor(mac / 0x10000)) | 0;

/** Bytes 4..5 of such a number, for `keyOf`. */
export const highOf = (mac: number): number => swap16(mac % 0x10000);

/** True if the number is six bytes and not a group address. */
export const isStation = (mac: number): boolean =>
  Number.isInteger(mac) && mac >= 0 && mac < 2 ** 48 && (Math.floor(mac / 2 ** 40) & 1) === 0;

const swap16 = (x: number): number => ((x & 0xff) << 8) | ((x >>> 8) & 0xff);
const swap32 = (x: number): number => ((swap16(x & 0xffff) << 16) | swap16(x >>> 16)) >>> 0;
