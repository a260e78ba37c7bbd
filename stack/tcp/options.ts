// TCP options: read in one pass into the segment in hand, written in the order that everybody writes them.

import { setU8, setU16, setU32, u8, u16, u32 } from '../../wire/bytes.ts';
import * as wire from '../../wire/tcp.ts';
import { Option } from '../../wire/tcp.ts';

/** RFC 7413 §4.1.1. */
export const FAST_OPEN_KIND = 34;
/** RFC 5482 §3. */
export const USER_TIMEOUT_KIND = 28;
/** RFC 7323 §2.3: a larger shift is taken as this. */
export const SCALE_MAX = 14;
/** Bytes that timestamps take, padded. */
export const TIMESTAMPS_BYTES = 12;
/** Blocks that fit 40 bytes of options, RFC 2018 §3. */
export const SACKS_MAX = 4;
/** Bytes of a fast open cookie, RFC 7413 §4.1.1: 4 … 16, even. */
export const COOKIE_BYTES_MAX = 16;

/** What the options of a segment say. One per stack, overwritten by the next segment. */
export class Options {
  /** RFC 9293 §3.7.1; 0 if there is none. */
  mss = 0;
  /** Shift; -1 if there is none. */
  scale = -1;
  isSackPermitted = false;
  hasTimestamps = false;
  tsVal = 0;
  tsEcr = 0;
  /** Start and end of each block. */
  readonly sacks = new Int32Array(2 * SACKS_MAX);
  sackCount = 0;
  /** RFC 7413: bytes of the cookie, 0 for a request, -1 if there is none; and where it is. */
  cookieBytes = -1;
  cookieAt = 0;
  /** RFC 5482: the peer's user timeout in seconds, 0 if it says none. */
  userTimeoutS = 0;

  /** Reads the options of the header at `at`, which passed `wire.check`. Those of a wrong length count as not there. */
  read(view: DataView, at: number): void {
    this.clear();
    const end = at + wire.headerBytes(view, at);
    const first = wire.optionsAt(at);
    // The layout of nearly all segments of a connection, RFC 7323 appendix A: NOP NOP timestamps.
    if (end - first === TIMESTAMPS_BYTES && u32(view, first) === 0x0101080a) {
      this.hasTimestamps = true;
      this.tsVal = view.getInt32(first + 4);
      this.tsEcr = view.getInt32(first + 8);
      return;
    }
    for (let p = wire.nextOption(view, at, first); p >= 0; p = wire.nextOption(view, at, wire.afterOption(view, p))) {
      this.take(view, p, wire.optionKind(view, p), wire.optionBytes(view, p));
    }
  }

  private clear(): void {
    this.mss = 0;
    this.scale = -1;
    this.isSackPermitted = false;
    this.hasTimestamps = false;
    this.sackCount = 0;
    this.cookieBytes = -1;
    this.userTimeoutS = 0;
  }

  private take(view: DataView, p: number, kind: number, bytes: number): void {
    if (kind === Option.Mss && bytes === 4) this.mss = u16(view, p + 2);
    else if (kind === Option.WindowScale && bytes === 3) this.scale = Math.min(SCALE_MAX, u8(view, p + 2));
    else if (kind === Option.SackPermitted && bytes === 2) this.isSackPermitted = true;
    else if (kind === Option.Timestamps && bytes === 10) {
      this.hasTimestamps = true;
      this.tsVal = view.getInt32(p + 2);
      this.tsEcr = view.getInt32(p + 6);
    } else if (kind === Option.Sack && bytes >= 10 && (bytes - 2) % 8 === 0) this.takeSacks(view, p, bytes);
    else if (kind === USER_TIMEOUT_KIND && bytes === 4) this.takeUserTimeout(u16(view, p + 2));
    else if (kind === FAST_OPEN_KIND) this.takeCookie(p, bytes);
  }

  private takeSacks(view: DataView, p: number, bytes: number): void {
    this.sackCount = (bytes - 2) / 8;
    for (let i = 0; i < 2 * this.sackCount; i++) this.sacks[i] = view.getInt32(p + 2 + 4 * i);
  }

  /** RFC 5482 §3: the first bit says that it is minutes. */
  private takeUserTimeout(word: number): void {
    this.userTimeoutS = (word & 0x7fff) * (word >>> 15 === 1 ? 60 : 1);
  }

  /** RFC 7413 §4.1.1: a cookie of another length is none. */
  private takeCookie(p: number, bytes: number): void {
    const cookie = bytes - 2;
    if (cookie !== 0 && (cookie < 4 || cookie > COOKIE_BYTES_MAX || cookie % 2 !== 0)) return;
    this.cookieBytes = cookie;
    this.cookieAt = p + 2;
  }
}

/** Writes an MSS option at `p` and returns where the next goes, as all of these do. */
export function writeMss(view: DataView, p: number, mss: number): number {
  setU16(view, p, 0x0204);
  setU16(view, p + 2, mss);
  return p + 4;
}

/** Timestamps behind two bytes of padding, or behind SACK permitted, which takes its place in a SYN. */
export function writeTimestamps(
  view: DataView,
  p: number,
  value: number,
  echo: number,
  withSackPermitted: boolean,
): number {
  setU16(view, p, withSackPermitted ? 0x0402 : 0x0101);
  setU16(view, p + 2, 0x080a);
  setU32(view, p + 4, value);
  setU32(view, p + 8, echo);
  return p + TIMESTAMPS_BYTES;
}

/** SACK permitted of a SYN without timestamps. */
export function writeSackPermitted(view: DataView, p: number): number {
  setU32(view, p, 0x01010402);
  return p + 4;
}

/** RFC 7323 §2.2. */
export function writeScale(view: DataView, p: number, shift: number): number {
  setU32(view, p, 0x01030300 | shift);
  return p + 4;
}

/** RFC 5482 §3: in seconds up to 32,767, else in minutes, rounded up. */
export function writeUserTimeout(view: DataView, p: number, seconds: number): number {
  setU8(view, p, USER_TIMEOUT_KIND);
  setU8(view, p + 1, 4);
  setU16(view, p + 2, seconds <= 0x7fff ? seconds : 0x8000 | Math.min(0x7fff, Math.ceil(seconds / 60)));
  return p + 4;
}

/** `count` blocks of `sacks`. */
export function writeSacks(view: DataView, p: number, sacks: Int32Array, count: number): number {
  setU16(view, p, 0x0101);
  setU8(view, p + 2, Option.Sack);
  setU8(view, p + 3, 2 + 8 * count);
  for (let i = 0; i < 2 * count; i++) setU32(view, p + 4 + 4 * i, sacks[i]!);
  return p + 4 + 8 * count;
}

/** RFC 7413 §4.1.1: `bytes` of cookie from the column `words`, or a request if 0; padded at the end. */
export function writeCookie(view: DataView, p: number, words: Int32Array, from: number, bytes: number): number {
  setU8(view, p, FAST_OPEN_KIND);
  setU8(view, p + 1, 2 + bytes);
  for (let i = 0; i < bytes; i++) setU8(view, p + 2 + i, words[from + (i >> 2)]! >>> (24 - 8 * (i & 3)));
  let end = p + 2 + bytes;
  for (; (end - p) % 4 !== 0; end++) setU8(view, end, Option.Nop);
  return end;
}
