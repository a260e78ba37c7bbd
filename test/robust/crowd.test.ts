// What many stacks and many connections cost, each measured in a process of its own: crowd.ts.

import { expect, test } from 'vitest';
import { bundled } from '../kit/bundle.ts';

const PATIENT = { timeout: 120_000 };
const start = bundled('test/robust/crowd.ts');

const run = (what: string, count: number): Record<string, number> => start(what, count) as Record<string, number>;

test('two hundred stacks on one switch answer pings and requests, each with less than 1 MB', PATIENT, () => {
  const { answered, asked, heapEach, slabEach, slabLeft } = run('stacks', 200);
  expect([answered, asked]).toEqual([199, 199]);
  expect(heapEach! + slabEach!).toBeLessThan(1_000_000);
  expect(slabLeft).toBeLessThanOrEqual(0); // the switch gives some back, too
});

test('a stack that is closed leaves nothing behind, and nobody who waits for ever', PATIENT, () => {
  const { slabLeft, heapGrowth } = run('reopen', 1000);
  expect(slabLeft).toBe(0);
  expect(heapGrowth).toBeLessThan(3_000_000); // of 750 stacks
});

test('ten thousand idle connections take about a kilobyte each and have nothing to do', PATIENT, () => {
  const { received, heapEach, slabEach, isQuietAll } = run('idle', 10_000);
  expect(received).toBe(1_000_000);
  expect(heapEach! + slabEach!).toBeLessThan(1300);
  expect(isQuietAll).toBe(true);
});
