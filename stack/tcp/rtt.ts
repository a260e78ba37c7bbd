// Round-trip time and retransmission timeout, RFC 6298.

import { US_PER_MS, US_PER_S } from '../../core/time.ts';
import { Mark, type RecoveryTable } from './recovery-table.ts';

/** RFC 6298 §2.1, before the first sample. */
export const RTO_US_INITIAL = US_PER_S;
/** RFC 6298 §5.7: after a handshake whose SYN was lost. */
export const RTO_US_AFTER_SYN_LOSS = 3 * US_PER_S;
/**
 * Deviates from RFC 6298 §2.4 (1 s): because round trips are measured in µs, not in ticks of 500 ms, and a delayed
 * acknowledgment comes within 200 ms.
 */
export const RTO_US_MIN = 200 * US_PER_MS;
/** RFC 6298 §2.5 asks for at least 60 s. */
export const RTO_US_MAX = 120 * US_PER_S;

const GRANULARITY_US = US_PER_MS; // G: of the timers that wake the stack
const K = 4;
const ALPHA = 1 / 8;
const BETA = 1 / 4;
const MIN_RTT_WINDOW_US = 300 * US_PER_S; // RFC 8985 §6.2 step 1: the minimum is of a window of time

/** The row begins: no sample. */
export function startRtt(table: RecoveryTable, c: number): void {
  table.rtoUs[c] = RTO_US_INITIAL;
  table.minRttUs[c] = Infinity;
}

/**
 * Takes one sample, in µs. RFC 6298 §2.2, §2.3; as more than one segment is timed in a round trip, the gains are divided
 * by the number of samples that a round trip has (RFC 7323 Appendix G). Ends a back-off (RFC 6298 §5, Karn).
 */
export function sampleRtt(table: RecoveryTable, c: number, rttUs: number): void {
  const r = rttUs < 1 ? 1 : rttUs;
  const srtt = table.srttUs[c]!;
  if (srtt === 0) {
    table.srttUs[c] = r;
    table.rttvarUs[c] = r / 2;
  } else {
    const flight = (table.nxt[c]! - table.una[c]!) | 0;
    const samples = Math.max(1, Math.ceil(flight / (2 * Math.max(1, table.mss[c]!))));
    const deviation = Math.abs(srtt - r);
    table.rttvarUs[c] = table.rttvarUs[c]! + (BETA / samples) * (deviation - table.rttvarUs[c]!);
    table.srttUs[c] = srtt + (ALPHA / samples) * (r - srtt);
  }
  table.unset(c, Mark.SynLost);
  table.backoff[c] = 0;
  const rto = table.srttUs[c]! + Math.max(GRANULARITY_US, K * table.rttvarUs[c]!);
  table.rtoUs[c] = Math.round(Math.min(RTO_US_MAX, Math.max(RTO_US_MIN, rto)));
}

/** Keeps the least round trip of the last 5 minutes. */
export function noteMinRtt(table: RecoveryTable, c: number, rttUs: number, nowUs: number): void {
  if (rttUs > table.minRttUs[c]! && nowUs - table.minRttAtUs[c]! < MIN_RTT_WINDOW_US) return;
  table.minRttUs[c] = rttUs;
  table.minRttAtUs[c] = nowUs;
}

/** RFC 6298 §5.5: the timeout doubles, and stays so until there is a new sample. */
export function backOffRto(table: RecoveryTable, c: number): void {
  if (table.backoff[c]! < 255) table.backoff[c] = table.backoff[c]! + 1;
  table.rtoUs[c] = Math.min(RTO_US_MAX, 2 * table.rtoUs[c]!);
}
