// Frames as text, one a line, so that awk, sed and grep can work on them; and as a hexdump that text2pcap reads.
//
//   [0123456789ABCDEF ]DST SRC TYPE B0 B1 …     EtherPIPE's form; the time is 16 hex digits of µs

import { Drop } from '../core/drop.ts';
import { SUPER_FRAME_BYTES } from '../core/port.ts';
import { HEADER_BYTES } from './ethernet.ts';

const TIME_DIGITS = 16;
const DUMP_BYTES_PER_LINE = 16;

/** A longer line is no frame: every byte with a blank, a time and a comment. */
export const LINE_CHARS_MAX = 3 * SUPER_FRAME_BYTES + 4096;

// Two upper-case digits of every byte, with and without a blank before them: a table is seven times as fast as joins.
const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).toUpperCase().padStart(2, '0'));
const SPACED = HEX.map((digits) => ` ${digits}`);

/** The frame of `length` bytes at `at` as a line with its newline. With `timeUs`, which is not negative, it begins with the time. */
export function writeAscii(view: DataView, at: number, length: number, timeUs?: number): string {
  let line = timeUs === undefined ? '' : `${timeUs.toString(16).toUpperCase().padStart(TIME_DIGITS, '0')} `;
  const end = at + length;
  for (let p = at; p < end; p++) {
    const offset = p - at;
    const isApart = offset === 6 || offset === 12 || offset >= HEADER_BYTES;
    line += (isApart ? SPACED : HEX)[view.getUint8(p)]!;
  }
  return `${line}\n`;
}

/** What a line held: a frame's bytes written into the target, or why there is none. */
export interface AsciiFrame {
  readonly drop: Drop;
  readonly length: number; // bytes written; 0 with Drop.None is an empty line or a comment
  readonly timeUs: number | undefined;
}

/**
 * Reads one line, without its newline, into `target` at `at`, which holds `bytesMax`. Tolerant: blanks count for nothing
 * but after a time, case does not matter, `#` begins a comment. So a line is still valid after an editor took a tag out.
 * `RxLength` for an odd number of digits, other characters or too long a line, `Runt` for less than a header.
 */
export function readAscii(line: string, target: Uint8Array, at: number, bytesMax: number): AsciiFrame {
  if (line.length > LINE_CHARS_MAX) return failed(Drop.RxLength);
  const comment = line.indexOf('#');
  const text = (comment < 0 ? line : line.slice(0, comment)).trim();
  const timed = /^([0-9a-f]{16})\s+(?=\S)/i.exec(text);
  const timeUs = timed ? Number.parseInt(timed[1]!, 16) : undefined;
  let length = 0;
  let high = -1;
  for (let i = timed ? timed[0].length : 0; i < text.length; i++) {
    const digit = digitOf(text.charCodeAt(i));
    if (digit === BLANK) continue;
    if (digit === NO_DIGIT) return failed(Drop.RxLength);
    if (high < 0) {
      high = digit;
      continue;
    }
    if (length === bytesMax) return failed(Drop.RxLength);
    target[at + length++] = (high << 4) | digit;
    high = -1;
  }
  if (high >= 0) return failed(Drop.RxLength);
  if (length !== 0 && length < HEADER_BYTES) return failed(Drop.Runt);
  return { drop: Drop.None, length, timeUs };
}

const failed = (drop: Drop): AsciiFrame => ({ drop, length: 0, timeUs: undefined });

const BLANK = -1;
const NO_DIGIT = -2;

function digitOf(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  const lower = code | 0x20;
  if (lower >= 0x61 && lower <= 0x66) return lower - 0x57;
  return code === 0x20 || code === 0x09 || code === 0x0d ? BLANK : NO_DIGIT;
}

/** The frame as `text2pcap` reads it: an offset and up to 16 bytes a line; every frame begins at offset 0. */
export function writeHexdump(view: DataView, at: number, length: number): string {
  let dump = '';
  for (let offset = 0; offset < length; offset += DUMP_BYTES_PER_LINE) {
    dump += offset.toString(16).padStart(6, '0');
    const end = Math.min(length, offset + DUMP_BYTES_PER_LINE);
    for (let p = at + offset; p < at + end; p++) dump += SPACED[view.getUint8(p)]!;
    dump += '\n';
  }
  return dump;
}
