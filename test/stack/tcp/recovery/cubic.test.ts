import { describe, expect, test } from 'vitest';
import { growWindow, reduceThreshold } from '../../../../stack/tcp/congestion.ts';
import { cubeRoot, cubic, cubicKUs, rescaleCubic, shiftEpoch } from '../../../../stack/tcp/cubic.ts';
import { Algorithm } from '../../../../stack/tcp/recovery.ts';
import { Mark, Option, RecoveryTable } from '../../../../stack/tcp/recovery-table.ts';
import { MS, Sender } from './kit.ts';

const MSS = 1000;
const S = 1_000_000;

function row(window: number, rttUs: number): RecoveryTable {
  const table = new RecoveryTable();
  table.grow(1);
  table.options[0] = Option.Cubic;
  table.mss[0] = MSS;
  table.cwnd[0] = window * MSS;
  table.ssthresh[0] = window * MSS;
  table.srttUs[0] = rttUs;
  table.cubicEpochUs[0] = -1;
  return table;
}

/** RFC 9438 §5.1: one of every 1/p segments is lost; the average window, in segments, over whole cycles. */
function averageWindow(p: number, rttUs: number, cycles: number, start: number): number {
  const table = row(start, rttUs);
  let nowUs = 0;
  let acked = 0;
  let since = 0;
  for (let cycle = 0; cycle < cycles; cycle++) {
    if (cycle === Math.floor(cycles / 2)) {
      acked = 0;
      since = nowUs;
    }
    for (let n = 0; n < 1 / p; n++) {
      nowUs += rttUs / (table.cwnd[0]! / MSS);
      growWindow(table, 0, MSS, nowUs);
      acked++;
    }
    reduceThreshold(table, 0, table.cwnd[0]!);
    table.cwnd[0] = table.ssthresh[0]!;
  }
  return (acked * rttUs) / (nowUs - since);
}

describe('the cube root', () => {
  test('is the whole part, compared with BigInt around cubes and at random', () => {
    const check = (n: number): void => {
      const root = BigInt(cubeRoot(n));
      expect(root ** 3n <= BigInt(n) && (root + 1n) ** 3n > BigInt(n), `cubeRoot(${n}) = ${root}`).toBe(true);
    };
    for (let r = 1; r < 208_000; r += 97) {
      for (const n of [r ** 3 - 1, r ** 3, r ** 3 + 1]) check(n);
    }
    let x = 1;
    for (let i = 0; i < 5000; i++) {
      x = (x * 48271) % 2147483647;
      check((x % 2 ** (i % 31)) * 2 ** (i % 22) + (i % 7));
    }
    for (const n of [0, 1, 7, 8, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1]) check(n);
  });
});

describe('CUBIC', () => {
  test.each([
    [70, 100, 4_217_000], // cbrt(30 / 0.4) = 4.2172 s
    [7, 10, 1_957_000], // cbrt(7.5) = 1.9574 s
    [700, 1000, 9_085_000],
    [7000, 10000, 19_574_000],
    [10, 10, 0],
    [11, 10, 0],
  ])('K from %d to %d segments is %d µs (RFC 9438 §4.2)', (window, max, kUs) => {
    expect(cubicKUs(window, max)).toBe(kUs);
  });

  test.each([
    [0.1, 1e-2, 12],
    [0.1, 1e-3, 38],
    [0.1, 1e-4, 187],
    [0.1, 1e-5, 1054],
    [0.1, 1e-6, 5926],
    [0.01, 1e-2, 12],
    [0.01, 1e-3, 38],
    [0.01, 1e-4, 120],
    [0.01, 1e-5, 379],
    [0.01, 1e-6, 1200],
  ])('at RTT %f s and loss %f the average window is %d segments (RFC 9438 §5.1 tables 1 and 2)', (rtt, p, window) => {
    const found = averageWindow(p, rtt * S, p > 1e-6 ? 40 : 12, window);
    expect(found / window).toBeGreaterThan(0.95);
    expect(found / window).toBeLessThan(1.08);
  });

  test('multiplies by 0.7 and remembers the window (§4.6)', () => {
    const table = row(100, 100 * MS);
    expect(cubic.threshold(table, 0, 100 * MSS)).toBe(70 * MSS);
    expect(table.cubicMax[0]).toBe(100);
    expect(table.cubicPrior[0]).toBe(100);
  });

  test('gives way to newcomers: W_max is 0.85 of a window that was reached less than before (§4.7)', () => {
    const table = row(100, 100 * MS);
    table.cubicMax[0] = 120;
    cubic.threshold(table, 0, 100 * MSS);
    expect(table.cubicMax[0]).toBeCloseTo(85, 9);
  });

  test('ssthresh is at least 2 segments (RFC 5681 eq. 4)', () => {
    expect(cubic.threshold(row(2, MS), 0, MSS)).toBe(2 * MSS);
  });

  test('is concave up to W_max at K and convex beyond (§4.4, §4.5)', () => {
    const table = row(1000, 50 * MS);
    table.cwnd[0] = cubic.threshold(table, 0, 1000 * MSS);
    table.ssthresh[0] = table.cwnd[0]!;
    const at: number[] = [];
    for (let t = 0; t <= 18 * S; t += 50 * MS) {
      growWindow(table, 0, table.cwnd[0]!, t);
      if (t % S === 0) at.push(table.cwnd[0]! / MSS);
    }
    const k = cubicKUs(700, 1000) / S;
    for (const t of [1, 4, 9, 14, 18]) {
      const ideal = 1000 + 0.4 * (t + 0.05 - k) ** 3;
      expect(Math.abs(at[t]! - ideal) / ideal).toBeLessThan(0.01);
    }
    expect(at[1]! - at[0]!).toBeGreaterThan(at[5]! - at[4]!);
    expect(at[18]! - at[17]!).toBeGreaterThan(at[11]! - at[10]!);
  });

  test('never aims higher than 1.5 windows in a round trip (§4.2)', () => {
    const table = row(10, 100 * MS);
    table.cubicEpochUs[0] = 0;
    table.cubicOrigin[0] = 10;
    growWindow(table, 0, 10 * MSS, 60 * S);
    expect(table.cwnd[0]).toBe(15 * MSS);
  });

  test('after a timeout the next congestion avoidance has K = 0 (§4.8)', () => {
    const table = row(100, 100 * MS);
    cubic.threshold(table, 0, 100 * MSS);
    cubic.timedOut(table, 0);
    table.cwnd[0] = 70 * MSS;
    cubic.avoid(table, 0, MSS, S);
    expect(table.cubicKUs[0]).toBe(0);
    expect(table.cubicOrigin[0]).toBe(70);
  });

  test('time without a full window does not count (§4.2, §5.8)', () => {
    const table = row(100, 100 * MS);
    cubic.avoid(table, 0, MSS, S);
    shiftEpoch(table, 0, 10 * S);
    expect(table.cubicEpochUs[0]).toBe(11 * S);
  });

  test('a change of the mss leaves windows in bytes alone', () => {
    const table = row(100, 100 * MS);
    table.cubicMax[0] = 80;
    rescaleCubic(table, 0, 2);
    expect(table.cubicMax[0]).toBe(160);
  });

  test('an application-limited sender does not grow (RFC 9438 §5.8, RFC 7661 §4)', () => {
    const s = new Sender({ algorithm: Algorithm.Cubic });
    for (let i = 0; i < 100; i++)
      s.send(1)
        .after(50 * MS)
        .ack(i + 1);
    expect(s.recovery.cwnd(0)).toBe(10_000);
  });

  test('the mark of a full window is set by sending it', () => {
    const s = new Sender({ algorithm: Algorithm.Cubic });
    s.send(10)
      .after(50 * MS)
      .ack(10);
    expect(s.recovery.cwnd(0)).toBe(18_000); // L = 8 (RFC 9406 §4.2)
    expect(Mark.CwndLimited).toBe(1);
  });
});
