import { expect, test } from 'vitest';
import { Pair, transfer } from '../kit-tcp.ts';

/** Loss by a seeded choice, in percent. */
function lossy(pair: Pair, percent: number, seed: number): void {
  let x = seed;
  pair.loses = () => {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    return x / 2 ** 32 < percent / 100;
  };
}

test('a megabyte arrives whole and in order', () => {
  const pair = new Pair();
  transfer(pair, pair.connect(), 1 << 20);
});

test.each([1, 5, 15])('a transfer survives %i %% loss in both directions', (percent) => {
  const pair = new Pair();
  lossy(pair, percent, 7);
  transfer(pair, pair.connect(), 200_000);
});

test('super-frames carry the same bytes', () => {
  const pair = new Pair();
  for (const h of pair.hosts) h.superBytes = 65535;
  transfer(pair, pair.connect(), 1 << 20);
  expect(pair.count).toBeLessThan(400);
});

test('without a checksum to sum, the same bytes', () => {
  const pair = new Pair();
  for (const h of pair.hosts) h.needsSum = false;
  transfer(pair, pair.connect(), 100_000);
});
