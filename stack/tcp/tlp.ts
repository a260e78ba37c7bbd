// Tail loss probes, RFC 8985 §7: when the last segments of a flight are lost, nothing that is sent later tells so.

import { US_PER_MS, US_PER_S } from '../../core/time.ts';
import type { Delivery } from './delivery.ts';
import { Mark, Option, Phase, type RecoveryTable } from './recovery-table.ts';

/** §7.2: the worst case of a delayed acknowledgment. */
const WCDELACK_US = 200 * US_PER_MS;
/** §7.2: PTO without a sample. */
const PTO_US_INITIAL = US_PER_S;

/** §7.2: from now to the probe, in µs; the RTO may come before. */
export function ptoUs(table: RecoveryTable, c: number): number {
  const srtt = table.srttUs[c]!;
  if (srtt === 0) return PTO_US_INITIAL;
  const flight = (table.nxt[c]! - table.una[c]!) | 0;
  return Math.ceil(2 * srtt) + (flight <= table.mss[c]! ? WCDELACK_US : 0);
}

/** §7.2: a probe may be scheduled: the peer sends SACK, nothing is missing, and no probe is out. */
export function mayProbe(table: RecoveryTable, c: number): boolean {
  const has = Option.Sack | Option.Rack;
  if ((table.options[c]! & has) !== has || table.phase[c]! >= Phase.Recovery) return false;
  if (table.sackedBytes[c] !== 0 || table.lostBytes[c] !== 0) return false;
  return (table.state[c]! & (Mark.Probed | Mark.ProbeDue)) === 0;
}

/** §7.3: the probe was sent, as new data or as a copy. */
export function probeSent(table: RecoveryTable, c: number, isCopy: boolean): void {
  table.unset(c, Mark.ProbeDue | Mark.ProbeIsCopy);
  table.set(c, isCopy ? Mark.Probed | Mark.ProbeIsCopy : Mark.Probed);
  table.tlpEnd[c] = table.nxt[c]!;
}

/**
 * §7.4.2: looks whether an ACK ends the probe's episode. `isPlain`: a duplicate ACK without SACK. Returns true if the
 * probe repaired a loss, which is congestion.
 */
export function probeAcked(table: RecoveryTable, c: number, delivery: Delivery, isPlain: boolean): boolean {
  table.unset(c, Mark.ProbeDue);
  if (!table.has(c, Mark.Probed)) return false;
  const past = (table.una[c]! - table.tlpEnd[c]!) | 0;
  if (past < 0) return false;
  const isOver =
    !table.has(c, Mark.ProbeIsCopy) || // new data arrived
    (delivery.dsackBytes > 0 && delivery.dsackEnd === table.tlpEnd[c]) || // original and copy arrived
    isPlain; // the copy arrived after the original, and the peer does not send DSACK
  if (isOver || past > 0) table.unset(c, Mark.Probed | Mark.ProbeIsCopy);
  return !isOver && past > 0;
}
