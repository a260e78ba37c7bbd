// CUBIC, RFC 9438: the window is a cubic function of the time since the last congestion.
//
// Windows are in segments and may have fractions. Only + - * / are used, which every platform rounds alike.

import { US_PER_S } from '../../core/time.ts';
import type { CongestionControl } from './congestion.ts';
import { HYSTART_L, hystartAck, hystartDivisor } from './hystart.ts';
import { slowStartBy } from './new-reno.ts';
import type { RecoveryTable } from './recovery-table.ts';

// RFC 9438 §4.1
const C = 0.4;
const BETA = 0.7;
/** §4.3: as aggressive as Reno with a factor of 0.5. */
const ALPHA = (3 * (1 - BETA)) / (1 + BETA);
const TARGET_MAX = 1.5; // §4.2: in one round trip

const MS_CUBED_PER_S_CUBED = 1e9;
const US_PER_MS = 1000;
const EXACT_MAX = 2 ** 53 - 1;

/** The whole part of the cube root of a whole number 0 … 2^53 - 1. */
export function cubeRoot(n: number): number {
  if (n < 1) return 0;
  const high = n >= 2 ** 32 ? 64 - Math.clz32(n / 2 ** 32) : 32 - Math.clz32(n);
  let root = (1 << Math.ceil(high / 3)) >>> 0; // not below the root, so that the steps go down to it
  for (;;) {
    const next = Math.floor((2 * root + Math.floor(n / (root * root))) / 3);
    if (next >= root) break;
    root = next;
  }
  while (root * root * root > n) root--; // the quotient was rounded
  return root;
}

/** §4.2: K in µs, the time from `window` to `windowMax` segments; exact to 1 ms. 0 unless `windowMax` is more. */
export function cubicKUs(window: number, windowMax: number): number {
  if (windowMax <= window) return 0;
  const cube = Math.floor(((windowMax - window) / C) * MS_CUBED_PER_S_CUBED);
  return cubeRoot(Math.min(EXACT_MAX, cube)) * US_PER_MS;
}

/** W_cubic of §4.2 in segments, `sinceUs` after the time K. */
function cubicWindow(table: RecoveryTable, c: number, tUs: number): number {
  const s = (tUs - table.cubicKUs[c]!) / US_PER_S;
  return C * s * s * s + table.cubicOrigin[c]!;
}

/** §4.2: congestion avoidance begins. After slow start that no loss ended, and after a timeout (§4.8), K is 0. */
function beginEpoch(table: RecoveryTable, c: number, window: number, nowUs: number): void {
  const windowMax = table.cubicMax[c]!;
  table.cubicEpochUs[c] = nowUs;
  table.cubicReno[c] = window;
  table.cubicKUs[c] = cubicKUs(window, windowMax);
  table.cubicOrigin[c] = Math.max(window, windowMax);
}

export const cubic: CongestionControl = {
  slowStart(table, c, bytes) {
    if (table.ssthresh[c] !== Infinity) return slowStartBy(table, c, bytes, HYSTART_L, 1);
    const left = slowStartBy(table, c, bytes, HYSTART_L, hystartDivisor(table, c));
    hystartAck(table, c, table.lastRttUs[c]!);
    return left;
  },

  avoid(table, c, bytes, nowUs) {
    const mss = table.mss[c]!;
    const window = table.cwnd[c]! / mss;
    const acked = bytes / mss;
    if (table.cubicEpochUs[c] === -1) beginEpoch(table, c, window, nowUs);
    const t = nowUs - table.cubicEpochUs[c]!;

    // §4.3: W_est, with alpha 1 once it is where the window was
    const alpha = table.cubicReno[c]! >= table.cubicPrior[c]! ? 1 : ALPHA;
    const reno = table.cubicReno[c]! + (alpha * acked) / window;
    table.cubicReno[c] = reno;
    if (cubicWindow(table, c, t) < reno) {
      table.cwnd[c] = Math.max(window, reno) * mss;
      return;
    }
    // §4.4, §4.5: concave and convex. Per segment that is acknowledged, as an ACK may cover many.
    const target = Math.min(Math.max(cubicWindow(table, c, t + table.srttUs[c]!), window), TARGET_MAX * window);
    table.cwnd[c] = Math.min(target, window + ((target - window) / window) * acked) * mss;
  },

  /** §4.6, with fast convergence §4.7. */
  threshold(table, c, flight) {
    const mss = table.mss[c]!;
    const window = table.cwnd[c]! / mss;
    table.cubicPrior[c] = window;
    table.cubicMax[c] = window < table.cubicMax[c]! ? (window * (1 + BETA)) / 2 : window;
    table.cubicEpochUs[c] = -1;
    return Math.max(Math.round(flight * BETA), 2 * mss);
  },

  /** §4.8: after a timeout the first congestion avoidance has K = 0. */
  timedOut(table, c) {
    table.cubicMax[c] = 0;
  },
};

/** §4.2: time in which the application or the peer limited the flight does not count. */
export function shiftEpoch(table: RecoveryTable, c: number, byUs: number): void {
  if (table.cubicEpochUs[c]! >= 0) table.cubicEpochUs[c] = table.cubicEpochUs[c]! + byUs;
}

/** The mss changed by `factor` = old / new: windows in segments change with it. */
export function rescaleCubic(table: RecoveryTable, c: number, factor: number): void {
  table.cubicMax[c] = table.cubicMax[c]! * factor;
  table.cubicPrior[c] = table.cubicPrior[c]! * factor;
  table.cubicReno[c] = table.cubicReno[c]! * factor;
  table.cubicOrigin[c] = table.cubicOrigin[c]! * factor;
}
