// Descriptors of what was sent and is not acknowledged: ranges of sequence numbers, shared by all connections.

import { assert } from '../../core/assert.ts';
import type { Column, StateReader, StateWriter } from '../../core/state.ts';
import { NO_SEGMENT, type RecoveryTable } from './recovery-table.ts';

/** Properties of a descriptor. At most one of Sacked and Lost; with neither it is in flight and in the list by time. */
export const Seg = {
  Sacked: 1,
  Lost: 2, // and not retransmitted since
  Resent: 4, // was retransmitted at least once: Karn
  Timed: 8, // is in the list by time of transmission
  Free: 128,
} as const;

const SLOTS_MIN = 64;

/**
 * The pool. Every connection has two lists through it: all of its descriptors in sequence order without gaps, from `una` to
 * `nxt`, and those in flight in the order they were sent last, for RACK. Ends of the lists are columns of `RecoveryTable`.
 *
 * When `segmentsMax` descriptors are in use, new data lengthens the connection's last descriptor, and a split is refused:
 * then a SACK that covers a part of a descriptor is not noted, and what is retransmitted comes in longer pieces.
 */
export class Segments {
  /** Descriptors in use. */
  used = 0;
  seq = new Int32Array(0);
  end = new Int32Array(0);
  atUs = new Float64Array(0); // of the last transmission
  flags = new Uint8Array(0);
  next = new Int32Array(0);
  prev = new Int32Array(0);
  later = new Int32Array(0);
  earlier = new Int32Array(0);

  private readonly table: RecoveryTable;
  private readonly segmentsMax: number;
  private free = NO_SEGMENT; // a list through `next`
  private touched = 0; // slots from here on were never used

  constructor(table: RecoveryTable, segmentsMax: number) {
    assert(segmentsMax >= 0 && segmentsMax < 2 ** 30, 'segmentsMax is a count');
    this.table = table;
    this.segmentsMax = segmentsMax;
  }

  /** True if a descriptor can be had beyond the one that every connection may always have. */
  get hasRoom(): boolean {
    return this.used < this.segmentsMax;
  }

  /** Bytes of sequence space in `s`. */
  bytes(s: number): number {
    return (this.end[s]! - this.seq[s]!) | 0;
  }

  /** Appends new data `seq` … `end` to `c`, sent at `nowUs`. Returns false if no descriptor was left and the last one was not in flight. */
  append(c: number, end: number, nowUs: number): boolean {
    const { table } = this;
    const last = table.last[c]!;
    if (last !== NO_SEGMENT && !this.hasRoom) return this.lengthen(c, last, end, nowUs);
    const s = this.take();
    this.seq[s] = table.nxt[c]!;
    this.end[s] = end;
    this.atUs[s] = nowUs;
    this.flags[s] = 0;
    this.prev[s] = last;
    this.next[s] = NO_SEGMENT;
    if (last === NO_SEGMENT) table.first[c] = s;
    else this.next[last] = s;
    table.last[c] = s;
    table.segmentCount[c] = table.segmentCount[c]! + 1;
    this.stamp(c, s, nowUs);
    return true;
  }

  /** Puts `s` at the end of the list by time, as sent at `nowUs`. */
  stamp(c: number, s: number, nowUs: number): void {
    this.unstamp(c, s);
    this.atUs[s] = nowUs;
    const { newest, oldest } = this.table;
    const before = newest[c]!;
    this.earlier[s] = before;
    this.later[s] = NO_SEGMENT;
    if (before === NO_SEGMENT) oldest[c] = s;
    else this.later[before] = s;
    newest[c] = s;
    this.flags[s] = this.flags[s]! | Seg.Timed;
  }

  /** Takes `s` out of the list by time. */
  unstamp(c: number, s: number): void {
    if ((this.flags[s]! & Seg.Timed) === 0) return;
    const before = this.earlier[s]!;
    const after = this.later[s]!;
    if (before === NO_SEGMENT) this.table.oldest[c] = after;
    else this.later[before] = after;
    if (after === NO_SEGMENT) this.table.newest[c] = before;
    else this.earlier[after] = before;
    this.flags[s] = this.flags[s]! & ~Seg.Timed;
  }

  /** Splits `s` so that it ends at `at`, which lies within it; returns the rest, with the same properties, or NO_SEGMENT if none is left. */
  split(c: number, s: number, at: number): number {
    assert(((at - this.seq[s]!) | 0) > 0 && ((this.end[s]! - at) | 0) > 0, 'a descriptor is split within');
    if (!this.hasRoom) return NO_SEGMENT;
    const { table } = this;
    const rest = this.take();
    const after = this.next[s]!;
    this.seq[rest] = at;
    this.end[rest] = this.end[s]!;
    this.end[s] = at;
    this.atUs[rest] = this.atUs[s]!;
    this.flags[rest] = this.flags[s]!;
    this.prev[rest] = s;
    this.next[rest] = after;
    this.next[s] = rest;
    if (after === NO_SEGMENT) table.last[c] = rest;
    else this.prev[after] = rest;
    if ((this.flags[s]! & Seg.Timed) !== 0) this.putLater(c, s, rest);
    table.segmentCount[c] = table.segmentCount[c]! + 1;
    return rest;
  }

  /** Joins `s` with its successor, which has the same Sacked and Lost; neither is in the list by time afterwards unless both were. */
  join(c: number, s: number): void {
    const after = this.next[s]!;
    if (this.atUs[after]! > this.atUs[s]!) this.atUs[s] = this.atUs[after]!;
    this.flags[s] = this.flags[s]! | (this.flags[after]! & Seg.Resent);
    this.end[s] = this.end[after]!;
    this.remove(c, after);
  }

  /** Takes `s` out of its lists and frees it. Hints that named it name a neighbour. */
  remove(c: number, s: number): void {
    const { table } = this;
    this.unstamp(c, s);
    const before = this.prev[s]!;
    const after = this.next[s]!;
    if (before === NO_SEGMENT) table.first[c] = after;
    else this.next[before] = after;
    if (after === NO_SEGMENT) table.last[c] = before;
    else this.prev[after] = before;
    if (table.hint[c] === s) table.hint[c] = before === NO_SEGMENT ? after : before;
    if (table.lostHint[c] === s) table.lostHint[c] = before === NO_SEGMENT ? after : before;
    table.segmentCount[c] = table.segmentCount[c]! - 1;
    this.flags[s] = Seg.Free;
    this.next[s] = this.free;
    this.free = s;
    this.used--;
  }

  /** Frees all of `c`. */
  removeAll(c: number): void {
    for (let s = this.table.first[c]!; s !== NO_SEGMENT; s = this.table.first[c]!) this.remove(c, s);
  }

  save(state: StateWriter): void {
    const n = this.touched;
    state.number(n).number(this.used).number(this.free);
    for (const column of this.columns()) state.column(column.subarray(0, n) as Column);
  }

  load(state: StateReader): void {
    const slots = this.segmentsMax + this.table.rows;
    this.touched = state.integer(0, slots);
    this.used = state.integer(0, this.touched);
    this.free = state.integer(NO_SEGMENT, this.touched - 1);
    this.resize(this.touched);
    for (const column of this.columns()) state.into(column.subarray(0, this.touched) as Column);
  }

  /** True if `s` is a descriptor in use: for checks of what was loaded. */
  isUsed(s: number): boolean {
    return s >= 0 && s < this.touched && (this.flags[s]! & Seg.Free) === 0;
  }

  private columns(): Column[] {
    return [this.seq, this.end, this.atUs, this.flags, this.next, this.prev, this.later, this.earlier];
  }

  /** Lengthens the last descriptor by new data. */
  private lengthen(c: number, last: number, end: number, nowUs: number): boolean {
    this.end[last] = end;
    if ((this.flags[last]! & (Seg.Sacked | Seg.Lost)) !== 0) return false;
    this.stamp(c, last, nowUs);
    return true;
  }

  private putLater(c: number, s: number, rest: number): void {
    const after = this.later[s]!;
    this.earlier[rest] = s;
    this.later[rest] = after;
    this.later[s] = rest;
    if (after === NO_SEGMENT) this.table.newest[c] = rest;
    else this.earlier[after] = rest;
  }

  private take(): number {
    this.used++;
    const s = this.free;
    if (s !== NO_SEGMENT) {
      this.free = this.next[s]!;
      return s;
    }
    if (this.touched === this.seq.length) this.resize(Math.max(SLOTS_MIN, 2 * this.touched));
    return this.touched++;
  }

  private resize(slots: number): void {
    if (slots <= this.seq.length) return;
    const grow = <T extends Int32Array | Float64Array | Uint8Array>(from: T, to: T): T => {
      to.set(from);
      return to;
    };
    this.seq = grow(this.seq, new Int32Array(slots));
    this.end = grow(this.end, new Int32Array(slots));
    this.atUs = grow(this.atUs, new Float64Array(slots));
    this.flags = grow(this.flags, new Uint8Array(slots));
    this.next = grow(this.next, new Int32Array(slots));
    this.prev = grow(this.prev, new Int32Array(slots));
    this.later = grow(this.later, new Int32Array(slots));
    this.earlier = grow(this.earlier, new Int32Array(slots));
  }
}
