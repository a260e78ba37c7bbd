// HyStart++, RFC 9406: leaves slow start when the round trip grows, before there is loss.

import { US_PER_MS } from '../../core/time.ts';
import { Mark, type RecoveryTable } from './recovery-table.ts';

// RFC 9406 §4.3
const MIN_RTT_THRESH_US = 4 * US_PER_MS;
const MAX_RTT_THRESH_US = 16 * US_PER_MS;
const MIN_RTT_DIVISOR = 8;
const N_RTT_SAMPLE = 8;
const CSS_GROWTH_DIVISOR = 4;
const CSS_ROUNDS = 5;

/** §4.2: L of a sender that does not pace. */
export const HYSTART_L = 8;

/** The connection begins, or slow start does: the first round ends with what is in flight at the first ACK. */
export function startHystart(table: RecoveryTable, c: number): void {
  table.roundMinUs[c] = Infinity;
  table.lastRoundMinUs[c] = Infinity;
  table.rttSamples[c] = 0;
  table.set(c, Mark.RoundIdle);
  table.cssBaseUs[c] = 0;
  table.cssRounds[c] = 0;
}

/** By what the growth of slow start is divided: 1, or 4 in conservative slow start. */
export const hystartDivisor = (table: RecoveryTable, c: number): number =>
  table.cssBaseUs[c]! > 0 ? CSS_GROWTH_DIVISOR : 1;

/** An ACK came in slow start, after the window grew. `rttUs`: its sample, 0 if none. May end slow start by setting `ssthresh`. */
export function hystartAck(table: RecoveryTable, c: number, rttUs: number): void {
  if (table.has(c, Mark.RoundIdle)) {
    table.roundEnd[c] = table.nxt[c]!;
    table.unset(c, Mark.RoundIdle);
  }
  if (rttUs > 0) noteSample(table, c, rttUs);
  if (((table.una[c]! - table.roundEnd[c]!) | 0) >= 0) endRound(table, c);
}

function noteSample(table: RecoveryTable, c: number, rttUs: number): void {
  if (rttUs < table.roundMinUs[c]!) table.roundMinUs[c] = rttUs;
  if (table.rttSamples[c]! < N_RTT_SAMPLE) table.rttSamples[c] = table.rttSamples[c]! + 1;
  if (table.rttSamples[c]! < N_RTT_SAMPLE) return;
  const now = table.roundMinUs[c]!;
  const last = table.lastRoundMinUs[c]!;
  if (table.cssBaseUs[c]! > 0) {
    if (now < table.cssBaseUs[c]!) table.cssBaseUs[c] = 0; // it was a spike: slow start again
    return;
  }
  if (last === Infinity) return;
  const threshold = Math.max(MIN_RTT_THRESH_US, Math.min(last / MIN_RTT_DIVISOR, MAX_RTT_THRESH_US));
  if (now < last + threshold) return;
  table.cssBaseUs[c] = now;
  table.cssRounds[c] = 0;
}

function endRound(table: RecoveryTable, c: number): void {
  table.lastRoundMinUs[c] = table.roundMinUs[c]!;
  table.roundMinUs[c] = Infinity;
  table.rttSamples[c] = 0;
  table.roundEnd[c] = table.nxt[c]!;
  if (table.una[c] === table.nxt[c]) table.set(c, Mark.RoundIdle);
  if (table.cssBaseUs[c] === 0) return;
  table.cssRounds[c] = table.cssRounds[c]! + 1;
  if (table.cssRounds[c] !== CSS_ROUNDS) return;
  table.ssthresh[c] = table.cwnd[c]!;
  table.cssBaseUs[c] = 0;
}
