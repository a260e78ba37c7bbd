// The scoreboard of RFC 2018 and RFC 6675: which descriptors are acknowledged, cumulatively or selectively.

import type { Delivery } from './delivery.ts';
import { DUP_THRESH } from './new-reno.ts';
import { markLost, rackDelivered } from './rack.ts';
import { NO_SEGMENT, type RecoveryTable } from './recovery-table.ts';
import { Seg, type Segments } from './segments.ts';

/** Keeps the byte counts of the connections in step with the flags of their descriptors. */
export class Scoreboard {
  private readonly table: RecoveryTable;
  private readonly segments: Segments;

  constructor(table: RecoveryTable, segments: Segments) {
    this.table = table;
    this.segments = segments;
  }

  /** Everything before `ack` is acknowledged: frees it, and moves `una`. */
  acknowledge(c: number, ack: number, delivery: Delivery): void {
    const { table, segments } = this;
    for (let s = table.first[c]!; s !== NO_SEGMENT; s = table.first[c]!) {
      const isWhole = ((segments.end[s]! - ack) | 0) <= 0;
      const bytes = isWhole ? segments.bytes(s) : (ack - segments.seq[s]!) | 0;
      if (bytes <= 0) break;
      this.settle(c, s, bytes, isWhole ? segments.end[s]! : ack, delivery);
      if (!isWhole) {
        segments.seq[s] = ack;
        break;
      }
      table.sackedParts[c] = table.sackedParts[c]! - segments.parts[s]!;
      segments.remove(c, s);
    }
    table.una[c] = ack;
  }

  /** One SACK block. What of it is not outstanding, or does not make sense, is ignored (RFC 2018 §3, §8). */
  selectivelyAcknowledge(c: number, from: number, to: number, delivery: Delivery): void {
    const { table, segments } = this;
    const start = ((from - table.una[c]!) | 0) < 0 ? table.una[c]! : from;
    if (((to - start) | 0) <= 0 || ((to - table.nxt[c]!) | 0) > 0 || ((start - table.una[c]!) | 0) < 0) return;
    let s = this.find(c, start);
    while (s !== NO_SEGMENT && ((to - segments.seq[s]!) | 0) > 0) {
      table.hint[c] = s;
      s = (segments.flags[s]! & Seg.Sacked) === 0 ? this.markWithin(c, s, start, to, delivery) : segments.next[s]!;
    }
  }

  /** RFC 6675 §4 IsLost, for whoever does not use RACK: marks what has 3 SACKed ranges or more than 2 segments of them above. */
  markBySacks(c: number): void {
    const { table, segments } = this;
    let bytes = 0;
    let ranges = 0;
    for (let s = table.last[c]!; s !== NO_SEGMENT; s = segments.prev[s]!) {
      const flags = segments.flags[s]!;
      if ((flags & Seg.Sacked) !== 0) {
        bytes += segments.bytes(s);
        ranges += 1;
      } else if ((flags & (Seg.Lost | Seg.Resent)) === 0) {
        if (ranges >= DUP_THRESH || bytes > (DUP_THRESH - 1) * table.mss[c]!) markLost(table, segments, c, s);
      }
    }
  }

  /** Marks everything that is in flight lost. */
  markAllLost(c: number): void {
    const { table, segments } = this;
    for (let s = table.first[c]!; s !== NO_SEGMENT; s = segments.next[s]!) {
      if ((segments.flags[s]! & (Seg.Sacked | Seg.Lost)) === 0) markLost(table, segments, c, s);
    }
  }

  /** Marks the first segment lost, if it is not yet. */
  markHeadLost(c: number): void {
    const { table, segments } = this;
    const s = table.first[c]!;
    if (s === NO_SEGMENT || (segments.flags[s]! & (Seg.Sacked | Seg.Lost)) !== 0) return;
    if (segments.bytes(s) > table.mss[c]!) segments.split(c, s, (segments.seq[s]! + table.mss[c]!) | 0);
    markLost(table, segments, c, s);
  }

  /** RFC 2018 §8: the peer dropped what it had SACKed; nothing of it counts any more. */
  forgetSacks(c: number): void {
    const { table, segments } = this;
    for (let s = table.first[c]!; s !== NO_SEGMENT; s = segments.next[s]!) this.unmark(c, s);
  }

  /** Takes a descriptor's mark away, so that it is in flight again. */
  unmark(c: number, s: number): void {
    const { table, segments } = this;
    const flags = segments.flags[s]!;
    if ((flags & Seg.Sacked) !== 0) {
      table.sackedBytes[c] = table.sackedBytes[c]! - segments.bytes(s);
      table.sackedParts[c] = table.sackedParts[c]! - segments.parts[s]!;
      segments.parts[s] = 0;
    } else if ((flags & Seg.Lost) !== 0) {
      table.lostBytes[c] = table.lostBytes[c]! - segments.bytes(s);
    }
    if ((flags & (Seg.Sacked | Seg.Lost)) === 0) return;
    segments.flags[s] = flags & ~(Seg.Sacked | Seg.Lost);
    segments.restamp(c, s);
  }

  /** The losses were none: all of them are in flight again. */
  forgetLosses(c: number): void {
    const { table, segments } = this;
    if (table.lostBytes[c] === 0) return;
    for (let s = table.first[c]!; s !== NO_SEGMENT; s = segments.next[s]!) {
      if ((segments.flags[s]! & Seg.Lost) !== 0) this.unmark(c, s);
    }
    table.lostHint[c] = NO_SEGMENT;
  }

  /** The first `bytes` of `s` leave by the cumulative acknowledgment. */
  private settle(c: number, s: number, bytes: number, end: number, delivery: Delivery): void {
    const { table, segments } = this;
    const flags = segments.flags[s]!;
    if ((flags & Seg.Sacked) !== 0) {
      table.sackedBytes[c] = table.sackedBytes[c]! - bytes;
      return;
    }
    if ((flags & Seg.Lost) !== 0) table.lostBytes[c] = table.lostBytes[c]! - bytes;
    rackDelivered(table, segments, c, s, end, delivery);
  }

  /** The descriptor that holds `seq`. Searched from where the last search ended, as blocks repeat from ACK to ACK. */
  private find(c: number, seq: number): number {
    const { table, segments } = this;
    let s = table.hint[c]!;
    if (s === NO_SEGMENT) s = table.first[c]!;
    while (s !== NO_SEGMENT && ((segments.seq[s]! - seq) | 0) > 0) s = segments.prev[s]!;
    while (s !== NO_SEGMENT && ((segments.end[s]! - seq) | 0) <= 0) s = segments.next[s]!;
    return s;
  }

  /** Marks the part of `s` between `start` and `to`; returns the next descriptor to look at. */
  private markWithin(c: number, s: number, start: number, to: number, delivery: Delivery): number {
    const { segments } = this;
    if (((start - segments.seq[s]!) | 0) > 0) {
      const rest = segments.split(c, s, start);
      return rest === NO_SEGMENT ? segments.next[s]! : rest;
    }
    if (((segments.end[s]! - to) | 0) > 0 && segments.split(c, s, to) === NO_SEGMENT) return NO_SEGMENT;
    return this.mark(c, s, delivery);
  }

  /** Marks `s` and joins it with SACKed neighbours; returns what follows. */
  private mark(c: number, s: number, delivery: Delivery): number {
    const { table, segments } = this;
    const bytes = segments.bytes(s);
    rackDelivered(table, segments, c, s, segments.end[s]!, delivery);
    delivery.isSacked = true;
    if ((segments.flags[s]! & Seg.Lost) !== 0) table.lostBytes[c] = table.lostBytes[c]! - bytes;
    segments.unstamp(c, s);
    segments.flags[s] = (segments.flags[s]! & ~Seg.Lost) | Seg.Sacked;
    segments.parts[s] = Math.max(1, Math.ceil(bytes / table.mss[c]!));
    table.sackedBytes[c] = table.sackedBytes[c]! + bytes;
    table.sackedParts[c] = table.sackedParts[c]! + segments.parts[s]!;
    return this.joinAround(c, s);
  }

  private joinAround(c: number, s: number): number {
    const { segments } = this;
    const after = segments.next[s]!;
    if (after !== NO_SEGMENT && (segments.flags[after]! & Seg.Sacked) !== 0) segments.join(c, s);
    const before = segments.prev[s]!;
    let joined = s;
    if (before !== NO_SEGMENT && (segments.flags[before]! & Seg.Sacked) !== 0) {
      segments.join(c, before);
      joined = before;
    }
    this.table.hint[c] = joined;
    return segments.next[joined]!;
  }
}
