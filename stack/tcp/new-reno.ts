// The window of RFC 5681 with byte counting of RFC 3465, and the fast retransmit of RFC 6582 for peers without SACK.

import type { CongestionControl } from './congestion.ts';
import { Phase, type RecoveryTable } from './recovery-table.ts';

/** RFC 5681 §3.2: duplicate ACKs that mean a loss. */
export const DUP_THRESH = 3;
/** RFC 3465 §2.2: an ACK opens the window by at most 2 segments in slow start. */
const L = 2;

/**
 * Slow start with byte counting: by at most `limit` segments an ACK. While a timeout is repaired the limit is one segment.
 * Deviates from RFC 3465 §2.3 (one segment in the whole slow start after a timeout): because once everything that was
 * outstanding at the timeout is acknowledged, an ACK covers data of the present window only.
 */
export function slowStartBy(table: RecoveryTable, c: number, bytes: number, limit: number, divisor: number): number {
  const mss = table.mss[c]!;
  const most = table.phase[c] === Phase.Loss ? mss : limit * mss;
  const step = Math.min(bytes, most) / divisor;
  const room = table.ssthresh[c]! - table.cwnd[c]!;
  if (step < room) {
    table.cwnd[c] = table.cwnd[c]! + step;
    return 0;
  }
  table.cwnd[c] = table.ssthresh[c]!;
  return Math.min(bytes, most) - room;
}

export const newReno: CongestionControl = {
  slowStart: (table, c, bytes) => slowStartBy(table, c, bytes, L, 1),

  /** RFC 3465 §2.1: a segment more for each window of bytes. */
  avoid(table, c, bytes) {
    const mss = table.mss[c]!;
    const sum = table.grown[c]! + bytes;
    if (sum < table.cwnd[c]!) {
      table.grown[c] = sum;
      return;
    }
    table.grown[c] = Math.min(sum - table.cwnd[c]!, table.cwnd[c]!);
    table.cwnd[c] = table.cwnd[c]! + mss;
  },

  threshold: (table, c, flight) => Math.max(Math.floor(flight / 2), 2 * table.mss[c]!),

  timedOut() {},
};

/**
 * A duplicate ACK from a peer without SACK: one segment left the network (RFC 3042, RFC 6582 §3.2 step 3). Returns true if
 * it is the one that means a loss: the third, and no echo of what was retransmitted before (§3.2 step 2).
 */
export function countDuplicate(table: RecoveryTable, c: number): boolean {
  const mss = table.mss[c]!;
  const out = (table.nxt[c]! - table.una[c]!) | 0;
  const left = out - mss - table.lostBytes[c]!; // the segment that is missing did not leave
  table.dupAcks[c] = table.dupAcks[c]! + 1;
  if (table.phase[c] === Phase.Loss) return false;
  table.dupBytes[c] = Math.max(0, Math.min(table.dupBytes[c]! + mss, left));
  if (table.phase[c] === Phase.Recovery || table.dupAcks[c]! < DUP_THRESH) return false;
  return ((table.una[c]! - table.lossRecover[c]!) | 0) > 0;
}

/** The ACK covered `bytes` new bytes: of the segments counted by duplicates, those it covers are no longer outstanding. */
export function settleDuplicates(table: RecoveryTable, c: number, bytes: number): void {
  table.dupAcks[c] = 0;
  if (table.phase[c] !== Phase.Recovery) {
    table.dupBytes[c] = 0;
    return;
  }
  const out = (table.nxt[c]! - table.una[c]!) | 0;
  const left = table.dupBytes[c]! - Math.max(0, bytes - table.mss[c]!);
  table.dupBytes[c] = Math.max(0, Math.min(left, out - table.mss[c]! - table.lostBytes[c]!));
}
