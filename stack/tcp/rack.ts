// RACK, RFC 8985 §6: a segment is lost if one that was sent sufficiently later has been delivered.

import type { Delivery } from './delivery.ts';
import { DUP_THRESH } from './new-reno.ts';
import { Mark, NO_SEGMENT, Phase, type RecoveryTable } from './recovery-table.ts';
import { noteMinRtt } from './rtt.ts';
import { Seg, type Segments } from './segments.ts';

// RFC 8985 §6.2 step 4
const REO_WND_PERSIST = 16;
const REO_WND_MULT_MAX = 255;

/** RACK_sent_after of §6.2: by time, then by sequence number. */
const sentAfter = (atUs: number, end: number, otherUs: number, otherEnd: number): boolean =>
  atUs > otherUs || (atUs === otherUs && ((end - otherEnd) | 0) > 0);

/** The connection begins. */
export function startRack(table: RecoveryTable, c: number): void {
  table.rackMult[c] = 1;
}

/** Marks descriptor `s`, which is in flight, lost. Until it is retransmitted it is not in flight. */
export function markLost(table: RecoveryTable, segments: Segments, c: number, s: number): void {
  segments.unstamp(c, s);
  segments.flags[s] = segments.flags[s]! | Seg.Lost;
  table.lostBytes[c] = table.lostBytes[c]! + segments.bytes(s);
  const hint = table.lostHint[c]!;
  if (hint === NO_SEGMENT || ((segments.seq[s]! - segments.seq[hint]!) | 0) < 0) table.lostHint[c] = s;
}

/**
 * §6.2 steps 1 to 3: the bytes of descriptor `s` up to `end` were delivered just now, cumulatively or selectively, and not
 * before. `delivery` collects the round-trip samples of the ACK.
 */
export function rackDelivered(
  table: RecoveryTable,
  segments: Segments,
  c: number,
  s: number,
  end: number,
  delivery: Delivery,
): void {
  const atUs = segments.atUs[s]!;
  const isResent = (segments.flags[s]! & Seg.Resent) !== 0;
  const rttUs = Math.max(1, delivery.nowUs - atUs);
  delivery.isAny = true;
  if (!isResent) {
    noteMinRtt(table, c, rttUs, delivery.nowUs);
    delivery.sample(atUs, end);
  } else if (atUs > delivery.resentAtUs) delivery.resentAtUs = atUs;
  noteOrder(table, c, end, isResent, delivery);
  // Step 2: the ACK of a retransmission may be that of the original.
  if (isResent && (delivery.echoesBefore(atUs) || rttUs < table.minRttUs[c]!)) return;
  if (table.has(c, Mark.HasRack) && !sentAfter(atUs, end, table.rackXmitUs[c]!, table.rackEnd[c]!)) return;
  table.rackXmitUs[c] = atUs;
  table.rackEnd[c] = end;
  table.rackRttUs[c] = rttUs;
  table.set(c, Mark.HasRack);
}

/** Step 3: RACK_detect_reordering. */
function noteOrder(table: RecoveryTable, c: number, end: number, isResent: boolean, delivery: Delivery): void {
  if (!table.has(c, Mark.HasFack) || ((end - table.rackFack[c]!) | 0) > 0) {
    table.rackFack[c] = end;
    table.set(c, Mark.HasFack);
  }
  if (!isResent && delivery.hasFack && ((end - delivery.fack) | 0) < 0) table.set(c, Mark.Reordered);
}

/** Step 4: a DSACK in the ACK, at most once in a round trip, makes the reordering window larger. */
export function noteDsackRound(table: RecoveryTable, c: number, hasDsack: boolean): void {
  if (table.has(c, Mark.DsackRound) && ((table.una[c]! - table.rackRound[c]!) | 0) >= 0) {
    table.unset(c, Mark.DsackRound);
  }
  if (!hasDsack || table.has(c, Mark.DsackRound)) return;
  table.rackRound[c] = table.nxt[c]!;
  table.set(c, Mark.DsackRound);
  table.rackMult[c] = Math.min(REO_WND_MULT_MAX, table.rackMult[c]! + 1);
  table.rackPersist[c] = REO_WND_PERSIST;
}

/** Step 4: a recovery ended; after 16 without a DSACK the window is small again. */
export function settleReordering(table: RecoveryTable, c: number): void {
  if (table.rackPersist[c] === 0) return;
  table.rackPersist[c] = table.rackPersist[c]! - 1;
  if (table.rackPersist[c] === 0) table.rackMult[c] = 1;
}

/** Step 4: how long RACK waits for a segment that may only be late, in µs. */
export function reorderWindowUs(table: RecoveryTable, c: number): number {
  if (!table.has(c, Mark.Reordered)) {
    if (table.phase[c]! >= Phase.Recovery || table.sackedParts[c]! >= DUP_THRESH) return 0;
  }
  if (table.minRttUs[c] === Infinity) return 0;
  return Math.floor(Math.min((table.rackMult[c]! * table.minRttUs[c]!) / 4, table.srttUs[c]!));
}

/**
 * Step 5: marks what is lost at `nowUs`, oldest transmission first. Returns in how many µs to look again for the next one,
 * 0 if none waits.
 */
export function rackDetectLoss(table: RecoveryTable, segments: Segments, c: number, nowUs: number): number {
  if (!table.has(c, Mark.HasRack)) return 0;
  const xmitUs = table.rackXmitUs[c]!;
  const window = table.rackRttUs[c]! + reorderWindowUs(table, c);
  let waitUs = 0;
  let s = table.oldest[c]!;
  // Of what was sent in the same µs the list has the lower sequence numbers first, but for rare copies: those wait for a later ACK.
  while (s !== NO_SEGMENT && sentAfter(xmitUs, table.rackEnd[c]!, segments.atUs[s]!, segments.end[s]!)) {
    const after = segments.later[s]!;
    const leftUs = segments.atUs[s]! + window - nowUs;
    if (leftUs <= 0) markLost(table, segments, c, s);
    else if (leftUs > waitUs) waitUs = leftUs;
    s = after;
  }
  return waitUs;
}

/** §6.3: the retransmission timer expired: the first segment is lost, and what was sent as long ago as RACK waits. */
export function rackTimedOut(table: RecoveryTable, segments: Segments, c: number, nowUs: number): void {
  const window = table.has(c, Mark.HasRack) ? table.rackRttUs[c]! + reorderWindowUs(table, c) : 0;
  const first = table.first[c]!;
  for (let s = first; s !== NO_SEGMENT; s = segments.next[s]!) {
    if ((segments.flags[s]! & (Seg.Sacked | Seg.Lost)) !== 0) continue;
    if (s === first || segments.atUs[s]! + window - nowUs <= 0) markLost(table, segments, c, s);
  }
}
