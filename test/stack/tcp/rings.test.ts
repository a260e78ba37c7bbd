import { expect, test } from 'vitest';
import { Ready } from '../../../stack/tcp/tcp.ts';
import { B, newSlab, Pair, transfer } from '../kit-tcp.ts';

const BYTES = 200_000;

/** Another connection moves data, and stays open. */
function move(pair: Pair, port = 80): void {
  const [a, b] = pair.hosts;
  const listener = b.tcp.open(false);
  expect(b.tcp.bind(listener, B, port, 0)).toBe(0);
  expect(b.tcp.listen(listener, 1)).toBe(0);
  const c = a.tcp.open(false);
  a.tcp.connect(c, B, port, 0);
  while ((b.tcp.readiness(listener) & Ready.In) === 0 && pair.step());
  transfer(pair, [c, b.tcp.accept(listener)], BYTES);
  while (pair.step(pair.nowUs + 1_000_000));
}

test('of many connections that moved data only the one that was emptied last keeps its rings', () => {
  const slab = newSlab();
  const pair = new Pair({}, slab);
  const before = slab.usedBytes;
  move(pair);
  const one = slab.usedBytes - before;
  expect(one).toBeGreaterThan(0);
  for (let i = 1; i <= 5; i++) move(pair, 80 + i);
  expect(slab.usedBytes - before).toBeLessThan(2 * one);
});

test('a snapshot needs no ring that is empty, and gives it back', () => {
  const slab = newSlab();
  const pair = new Pair({}, slab);
  const before = slab.usedBytes;
  move(pair);
  for (const host of pair.hosts) host.snapshot();
  expect(slab.usedBytes).toBe(before);
});
