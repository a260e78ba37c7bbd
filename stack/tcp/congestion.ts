// What the algorithms of congestion control have in common, and which one a connection uses.

import { cubic } from './cubic.ts';
import { newReno } from './new-reno.ts';
import { Option, type RecoveryTable } from './recovery-table.ts';

/** An algorithm. It reads and writes the window columns of row `c`, and columns of its own. */
export interface CongestionControl {
  /** Growth below `ssthresh`, by an ACK for `bytes` new bytes. Returns how many of them are left for `avoid`. */
  slowStart(table: RecoveryTable, c: number, bytes: number): number;
  /** Growth from `ssthresh` on. */
  avoid(table: RecoveryTable, c: number, bytes: number, nowUs: number): void;
  /** Congestion: the next `ssthresh`, with `flight` bytes outstanding. At least 2 segments (RFC 5681 eq. 4). */
  threshold(table: RecoveryTable, c: number, flight: number): number;
  /** The retransmission timer expired, after `threshold`. */
  timedOut(table: RecoveryTable, c: number): void;
}

/** The algorithm of row `c`. */
export const congestionOf = (table: RecoveryTable, c: number): CongestionControl =>
  table.can(c, Option.Cubic) ? cubic : newReno;

/** Grows the window for an ACK of `bytes` new bytes. */
export function growWindow(table: RecoveryTable, c: number, bytes: number, nowUs: number): void {
  const control = congestionOf(table, c);
  const left = table.cwnd[c]! < table.ssthresh[c]! ? control.slowStart(table, c, bytes) : bytes;
  if (left > 0 && table.cwnd[c]! >= table.ssthresh[c]!) control.avoid(table, c, left, nowUs);
}

/** Reduces `ssthresh` for congestion that met a window with `flight` bytes outstanding; the window stays. */
export function reduceThreshold(table: RecoveryTable, c: number, flight: number): void {
  table.ssthresh[c] = congestionOf(table, c).threshold(table, c, flight);
  table.grown[c] = 0;
  table.cssBaseUs[c] = 0;
}
