// The one send timer of a connection: retransmission timeout, loss probe or reordering, whichever is due first.

import { NEVER } from '../../core/time.ts';
import { type RecoveryTable, Timer } from './recovery-table.ts';
import { mayProbe, ptoUs } from './tlp.ts';

/** RFC 6298 §5.1, §5.3: the timeout counts from now. */
export function restartRto(table: RecoveryTable, c: number, nowUs: number): void {
  table.rtoAtUs[c] = nowUs + table.rtoUs[c]!;
}

/** Sets the timer. `reorderUs`: RACK looks again in so many µs, 0: it does not wait (RFC 8985 §8). */
export function armTimer(table: RecoveryTable, c: number, nowUs: number, reorderUs: number): void {
  if (table.una[c] === table.nxt[c]) {
    table.timer[c] = Timer.None;
    table.deadlineUs[c] = NEVER;
    return;
  }
  const rtoAtUs = table.rtoAtUs[c]!;
  table.timer[c] = Timer.Rto;
  table.deadlineUs[c] = rtoAtUs;
  if (reorderUs > 0) {
    if (nowUs + reorderUs >= rtoAtUs) return;
    table.timer[c] = Timer.Reorder;
    table.deadlineUs[c] = nowUs + Math.ceil(reorderUs);
  } else if (mayProbe(table, c)) {
    table.timer[c] = Timer.Probe;
    table.deadlineUs[c] = Math.min(nowUs + ptoUs(table, c), rtoAtUs);
  }
}
