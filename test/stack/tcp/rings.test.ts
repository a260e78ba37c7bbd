import { expect, test } from 'vitest';
import { Pair, transfer } from '../kit-tcp.ts';

const BYTES = 200_000;

function move(pair: Pair): void {
  transfer(pair, pair.connect(), BYTES);
  while (pair.step(pair.nowUs + 1_000_000));
}

test('of many connections that moved data only the one that was emptied last keeps its rings', () => {
  const pair = new Pair();
  const { slab } = pair.hosts[0];
  const before = slab.usedBytes;
  move(pair);
  const one = slab.usedBytes - before;
  expect(one).toBeGreaterThan(0);
  for (let i = 0; i < 5; i++) move(pair);
  expect(slab.usedBytes - before).toBeLessThan(2 * one);
});

test('a snapshot needs no ring that is empty, and gives it back', () => {
  const pair = new Pair();
  const { slab } = pair.hosts[0];
  const before = slab.usedBytes;
  move(pair);
  for (const host of pair.hosts) host.snapshot();
  expect(slab.usedBytes).toBe(before);
});
