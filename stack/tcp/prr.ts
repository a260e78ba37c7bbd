// Proportional Rate Reduction, RFC 9937: paces fast recovery so that it ends with `ssthresh` bytes in flight.

import type { RecoveryTable } from './recovery-table.ts';

/** §6.1: recovery begins. `flight`: RecoverFS, bytes in flight before the ACK, those SACKed earlier not among them. */
export function startPrr(table: RecoveryTable, c: number, flight: number): void {
  table.prrDelivered[c] = 0;
  table.prrOut[c] = 0;
  table.prrFlight[c] = Math.max(1, flight);
}

/**
 * §6.2: an ACK in recovery that told of `delivered` more bytes at the receiver. `isSafe`: it advanced and showed no more
 * loss. `pipe` bytes are in flight now. Sets the window.
 */
export function prrAck(table: RecoveryTable, c: number, delivered: number, isSafe: boolean, pipe: number): void {
  if (delivered <= 0) return;
  const mss = table.mss[c]!;
  const ssthresh = table.ssthresh[c]!;
  const sum = table.prrDelivered[c]! + delivered;
  const out = table.prrOut[c]!;
  table.prrDelivered[c] = sum;
  let count: number;
  if (pipe > ssthresh) {
    count = Math.ceil((sum * ssthresh) / table.prrFlight[c]!) - out;
  } else {
    count = Math.max(sum - out, delivered);
    if (isSafe) count += mss;
    count = Math.min(ssthresh - pipe, count);
  }
  // The fast retransmit itself. Less than a segment is as good as the RFC's 0, as only whole segments are retransmitted.
  if (out === 0 && count < mss) count = mss;
  table.cwnd[c] = pipe + Math.max(0, count);
}

/** §6.2: `bytes` were sent or retransmitted in recovery. */
export function prrSent(table: RecoveryTable, c: number, bytes: number): void {
  table.prrOut[c] = table.prrOut[c]! + bytes;
}
