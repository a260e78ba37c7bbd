// IPv4 options that gather something on their way: record route and internet timestamp. RFC 791 §3.1.

import { setU8, setU32, u8, u32 } from '../../wire/bytes.ts';

const End = 0;
const Nop = 1;
const RecordRoute = 7;
const Timestamp = 68;

const ADDRESS_BYTES = 4;
const TIME_BYTES = 4;
/** Low half of a timestamp option's fourth byte; the upper half counts who found no room. */
const Flag = { TimesOnly: 0, WithAddresses: 1, Prespecified: 3 } as const;
const OVERFLOW_STEP = 0x10;
const OVERFLOW_MAX = 0xf0;

/** Milliseconds that are not of midnight UT, as the highest bit says: RFC 791 §3.1, RFC 792 "Timestamp". */
export const timestampOf = (nowUs: number): number => (Math.floor(nowUs / 1000) | 0x80000000) >>> 0;

/** Copies the options of both kinds from `from` … `end` to `to`, padded to words: their bytes. Lengths were checked. RFC 1122 §3.2.2.6 */
export function copyGathering(view: DataView, from: number, end: number, to: number): number {
  let n = 0;
  for (let o = from; o < end && u8(view, o) !== End; ) {
    const kind = u8(view, o);
    const bytes = kind === Nop ? 1 : u8(view, o + 1);
    if (kind === RecordRoute || kind === Timestamp)
      for (let i = 0; i < bytes; i++) setU8(view, to + n++, u8(view, o + i));
    o += bytes;
  }
  while ((n & 3) !== 0) setU8(view, to + n++, End);
  return n;
}

/** Adds a host of address `own` to the options at `from` … `end`, as far as they have room. Lengths were checked. */
export function gather(view: DataView, from: number, end: number, own: number, nowUs: number): void {
  for (let o = from; o < end && u8(view, o) !== End; ) {
    const kind = u8(view, o);
    if (kind === RecordRoute) record(view, o, own);
    else if (kind === Timestamp) stamp(view, o, own, timestampOf(nowUs));
    o += kind === Nop ? 1 : Math.max(1, u8(view, o + 1));
  }
}

/** True if `bytes` more are free where the option's pointer, which counts from 1, is. */
function hasRoom(view: DataView, option: number, least: number, bytes: number): boolean {
  const length = u8(view, option + 1);
  if (length < least) return false;
  const pointer = u8(view, option + 2);
  return pointer > least && pointer - 1 + bytes <= length;
}

function record(view: DataView, option: number, own: number): void {
  if (!hasRoom(view, option, 3, ADDRESS_BYTES)) return;
  const pointer = u8(view, option + 2);
  setU32(view, option + pointer - 1, own);
  setU8(view, option + 2, pointer + ADDRESS_BYTES);
}

function stamp(view: DataView, option: number, own: number, time: number): void {
  if (u8(view, option + 1) < 4) return;
  const flag = u8(view, option + 3) & 15;
  const bytes = flag === Flag.TimesOnly ? TIME_BYTES : ADDRESS_BYTES + TIME_BYTES;
  if (!hasRoom(view, option, 4, bytes)) {
    const counted = u8(view, option + 3);
    const isFull = u8(view, option + 2) > u8(view, option + 1);
    if (isFull && flag !== Flag.Prespecified && counted < OVERFLOW_MAX)
      setU8(view, option + 3, counted + OVERFLOW_STEP);
    return;
  }
  const pointer = u8(view, option + 2);
  const at = option + pointer - 1;
  if (flag === Flag.Prespecified && u32(view, at) !== own >>> 0) return;
  if (flag !== Flag.TimesOnly) setU32(view, at, own);
  setU32(view, at + bytes - TIME_BYTES, time);
  setU8(view, option + 2, pointer + bytes);
}
