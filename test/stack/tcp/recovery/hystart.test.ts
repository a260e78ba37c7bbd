import { describe, expect, test } from 'vitest';
import { Algorithm } from '../../../../stack/tcp/recovery.ts';
import { MS, Sender } from './kit.ts';

/** One round: sends what the window allows and acknowledges each segment after `rttUs`. Returns the segments. */
function round(s: Sender, rttUs: number): number {
  const n = s.fill();
  const from = ((s.una - s.isn) | 0) / s.mss;
  s.after(rttUs);
  for (let i = 1; i <= n; i++) s.ack(from + i);
  return n;
}

describe('HyStart++ (RFC 9406)', () => {
  const start = (): Sender => new Sender({ algorithm: Algorithm.Cubic });

  test('slow start doubles while the round trip is steady', () => {
    const s = start();
    expect([1, 2, 3, 4].map(() => round(s, 50 * MS))).toEqual([10, 20, 40, 80]);
    expect(s.recovery.ssthresh(0)).toBe(Number.POSITIVE_INFINITY);
  });

  test.each([
    [50, 56, false], // threshold: 50 / 8 = 6.25 ms
    [50, 57, true],
    [10, 13, false], // at least 4 ms
    [10, 14, true],
    [400, 415, false], // at most 16 ms
    [400, 416, true],
  ])('from %d ms to %d ms in a round: conservative slow start %s (§4.2)', (before, after, isCss) => {
    const s = start();
    round(s, before * MS);
    round(s, after * MS);
    round(s, after * MS);
    const n = Math.floor(s.recovery.cwnd(0) / 1000);
    expect(n < 70).toBe(isCss);
  });

  test('conservative slow start grows by a quarter and ends in congestion avoidance after 5 rounds', () => {
    const s = start();
    for (let i = 0; i < 3; i++) round(s, 50 * MS);
    const windows: number[] = [];
    for (let i = 0; i < 8; i++) {
      round(s, 80 * MS);
      windows.push(s.recovery.ssthresh(0));
    }
    const at = windows.findIndex((w) => w < Number.POSITIVE_INFINITY);
    expect(at).toBe(4);
  });

  test('a round trip that falls again was a spike: slow start goes on', () => {
    const s = start();
    for (let i = 0; i < 2; i++) round(s, 50 * MS);
    round(s, 80 * MS);
    round(s, 50 * MS);
    const before = s.recovery.cwnd(0);
    round(s, 50 * MS);
    expect(s.recovery.cwnd(0) / before).toBeGreaterThan(1.9);
    expect(s.recovery.ssthresh(0)).toBe(Number.POSITIVE_INFINITY);
  });
});
