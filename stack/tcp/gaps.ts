// What lies behind a gap in the receive ring: a sorted list of pieces, and which of them to tell the sender (RFC 2018, 2883).

import type { Core } from './core.ts';
import { freeGaps, takeGaps } from './ring.ts';
import { earlier, later } from './sequence.ts';
import { Is } from './table.ts';

/** Pieces that a connection keeps; what would be one more is dropped. */
export const GAPS_MAX = 64;
const STEP = 12; // start, end, stamp: 4 bytes each, in the slab at `gapsAt`

/** Blocks of the next SACK option: `start, end` each. */
export const sacks = new Int32Array(8);
const stamps = new Int32Array(4);

const startOf = (view: DataView, p: number): number => view.getInt32(p);
const endOf = (view: DataView, p: number): number => view.getInt32(p + 4);

/**
 * Notes that `start` … `end` came, ahead of RCV.NXT. Pieces that touch become one, which is then the most recent (RFC 2018
 * §4). False if there is no room. What had come already is noted for a D-SACK (RFC 2883 §4).
 */
export function addGap(core: Core, c: number, start: number, end: number): boolean {
  if (!takeGaps(core, c)) return false;
  const { col } = core;
  const { view } = core.shared;
  const at = col.gapsAt[c]!;
  const count = col.gapsCount[c]!;
  let i = 0;
  while (i < count && ((endOf(view, at + STEP * i) - start) | 0) < 0) i++;
  let k = i; // pieces i … k - 1 touch the new one
  let from = start;
  let to = end;
  while (k < count && ((startOf(view, at + STEP * k) - end) | 0) <= 0) {
    noteOverlap(core, c, at + STEP * k, start, end);
    from = earlier(from, startOf(view, at + STEP * k));
    to = later(to, endOf(view, at + STEP * k));
    k++;
  }
  if (k === i && count === GAPS_MAX) return false;
  const { bytes } = core.shared;
  bytes.copyWithin(at + STEP * (i + 1), at + STEP * k, at + STEP * count);
  col.gapsCount[c] = count + 1 - (k - i);
  col.gapsStamp[c] = (col.gapsStamp[c]! + 1) | 0;
  view.setInt32(at + STEP * i, from);
  view.setInt32(at + STEP * i + 4, to);
  view.setInt32(at + STEP * i + 8, col.gapsStamp[c]!);
  return true;
}

function noteOverlap(core: Core, c: number, p: number, start: number, end: number): void {
  const { view } = core.shared;
  const from = later(start, startOf(view, p));
  const to = earlier(end, endOf(view, p));
  if (((to - from) | 0) > 0) noteDuplicate(core, c, from, to);
}

/** RFC 2883 §4: the first duplicate since the last ACK is told in the next. */
export function noteDuplicate(core: Core, c: number, start: number, end: number): void {
  if (!core.has(c, Is.Sack) || core.has(c, Is.Dsack)) return;
  core.col.dsackStart[c] = start;
  core.col.dsackEnd[c] = end;
  core.set(c, Is.Dsack);
}

/** RCV.NXT moved to `next`: where it can go on to over pieces that follow, which are forgotten. */
export function closeGaps(core: Core, c: number, next: number): number {
  const { col } = core;
  const { view, bytes } = core.shared;
  const at = col.gapsAt[c]!;
  const count = col.gapsCount[c]!;
  let edge = next;
  let i = 0;
  while (i < count && ((startOf(view, at + STEP * i) - edge) | 0) <= 0) {
    // What lies before `next` came twice.
    noteOverlap(core, c, at + STEP * i, startOf(view, at + STEP * i), next);
    edge = later(edge, endOf(view, at + STEP * i));
    i++;
  }
  if (i === 0) return edge;
  bytes.copyWithin(at, at + STEP * i, at + STEP * count);
  col.gapsCount[c] = count - i;
  if (count === i) freeGaps(core, c);
  return edge;
}

/** The end of the last piece; of meaning if there is one. */
export function lastGapEnd(core: Core, c: number): number {
  const { col } = core;
  return endOf(core.shared.view, col.gapsAt[c]! + STEP * (col.gapsCount[c]! - 1));
}

/**
 * Fills `sacks` with at most `max` blocks and returns how many: a duplicate first (RFC 2883 §4), then the piece that holds
 * it, then the pieces as they came, most recent first (RFC 2018 §4).
 */
export function gapSacks(core: Core, c: number, max: number): number {
  const { col } = core;
  let count = 0;
  if (core.has(c, Is.Dsack)) {
    sacks[0] = col.dsackStart[c]!;
    sacks[1] = col.dsackEnd[c]!;
    count = 1;
  }
  const first = count;
  const { view } = core.shared;
  for (let i = 0; i < col.gapsCount[c]!; i++) {
    const p = col.gapsAt[c]! + STEP * i;
    count = insertRecent(view, p, first, count, max);
  }
  return count;
}

/** Inserts a piece into `sacks` behind `first`, by its stamp, and returns how many there are. */
function insertRecent(view: DataView, p: number, first: number, count: number, max: number): number {
  const stamp = view.getInt32(p + 8);
  let i = count;
  while (i > first && ((stamps[i - 1]! - stamp) | 0) < 0) i--;
  if (i >= max) return count;
  const next = Math.min(count + 1, max);
  for (let k = next - 1; k > i; k--) {
    sacks[2 * k] = sacks[2 * k - 2]!;
    sacks[2 * k + 1] = sacks[2 * k - 1]!;
    stamps[k] = stamps[k - 1]!;
  }
  sacks[2 * i] = startOf(view, p);
  sacks[2 * i + 1] = endOf(view, p);
  stamps[i] = stamp;
  return next;
}
