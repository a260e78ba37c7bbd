// Was the timeout spurious? F-RTO (RFC 5682) looks at what the next two ACKs acknowledge.

import type { Delivery } from './delivery.ts';
import { Mark, Option, type RecoveryTable } from './recovery-table.ts';

/** Where the algorithm stands. */
export const Frto = {
  None: 0, // conventional recovery
  First: 1, // §2.1 step 1: the first segment was retransmitted, nothing else is
  Second: 2, // step 2b: two new segments were sent instead of retransmissions
} as const;

/** §2.1 step 2b: segments of new data that are sent to find out. */
const SEGMENTS_NEW = 2;
/** §2.1 step 3a: the window that lets one retransmission go beside the two. */
const SEGMENTS_AFTER = 3;

/** The timer expired outside of a recovery (step 1). */
export function startFrto(table: RecoveryTable, c: number): void {
  table.frto[c] = Frto.First;
  table.frtoNxt[c] = table.nxt[c]!;
}

/** Bytes of new data that step 2b allows now. */
export function frtoAllowance(table: RecoveryTable, c: number): number {
  if (table.frto[c] !== Frto.Second) return 0;
  return Math.max(0, SEGMENTS_NEW * table.mss[c]! - ((table.nxt[c]! - table.frtoNxt[c]!) | 0));
}

/**
 * Steps 2 and 3, with the SACK variant of §3.1. `bytes` were acknowledged cumulatively, `unsent` bytes could be sent.
 * Returns true if the timeout was spurious.
 */
export function frtoAck(
  table: RecoveryTable,
  c: number,
  bytes: number,
  isDuplicate: boolean,
  unsent: number,
  delivery: Delivery,
): boolean {
  if (table.frto[c] === Frto.First) {
    if (bytes > 0) return afterFirst(table, c, unsent, delivery);
    if (isDuplicate) table.frto[c] = Frto.None; // step 2a
    return false;
  }
  const isSack = table.can(c, Option.Sack);
  if (delivery.isOriginal && (bytes > 0 || isSack)) return true; // step 3b
  if (!isDuplicate) return false;
  table.frto[c] = Frto.None;
  table.cwnd[c] = SEGMENTS_AFTER * table.mss[c]!; // step 3a
  return false;
}

function afterFirst(table: RecoveryTable, c: number, unsent: number, delivery: Delivery): boolean {
  // With SACK, what is acknowledged now and was not before did arrive after the timer was set last.
  if (delivery.isOriginal && table.can(c, Option.Sack)) return true;
  const isAll = ((table.una[c]! - table.recover[c]!) | 0) >= 0;
  table.frto[c] = isAll || unsent <= 0 || table.has(c, Mark.HeadDue) ? Frto.None : Frto.Second;
  return false;
}
