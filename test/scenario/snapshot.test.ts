import { expect, test } from 'vitest';
import { Rng } from '../../core/rng.ts';
import { Trace } from '../../sim/sim.ts';
import { BulkPair } from '../kit/bulk-pair.ts';

const SCENARIO = { seed: 7, connections: 50, bytes: 30_000 };

/** So many different numbers below `below`. */
function draw(rng: Rng, count: number, below: number): Set<number> {
  const drawn = new Set<number>();
  while (drawn.size < count) drawn.add(rng.below(below));
  return drawn;
}

test('50 lossy connections go on byte for byte the same when stacks are saved and restored at 1,000 random events', {
  timeout: 120_000,
}, () => {
  const record = new Trace({ record: true });
  const whole = new BulkPair({ ...SCENARIO, trace: record });
  const hash = whole.finish();
  const moments = draw(new Rng(1), 1_000, whole.events);

  const trace = new Trace({ compare: record.recorded });
  const run = new BulkPair({ ...SCENARIO, trace });
  let restores = 0;
  while (run.step()) if (moments.has(run.events - 1)) run.restore((restores++ & 1) as 0 | 1);
  expect(trace.finish()).toBeUndefined();
  expect(restores).toBe(1_000);
  expect(run.scenario.world.slab.usedBytes, 'what the old stacks had').toBeLessThan(
    2 * whole.scenario.world.slab.usedBytes,
  );
  expect(run.finish()).toBe(hash);
});

test('a stack goes on the same on a host with another clock', { timeout: 60_000 }, () => {
  const scenario = { ...SCENARIO, connections: 12, seed: 8 };
  const whole = new BulkPair(scenario);
  const hash = whole.finish();
  const run = new BulkPair(scenario);
  const rng = new Rng(2);
  const moments = draw(rng, 100, whole.events);
  // Hosts that were started long ago, just now, and in between: clocks of monotonic time begin anywhere.
  while (run.step())
    if (moments.has(run.events - 1)) run.restore(rng.below(2) as 0 | 1, rng.below(2 ** 31) * 1000 - 10_000_000);
  expect(run.finish()).toBe(hash);
});

test('a snapshot is the same when it is loaded and saved again', { timeout: 60_000 }, () => {
  const run = new BulkPair({ ...SCENARIO, connections: 20, seed: 9 });
  while (run.step()) {
    if (run.events % 200 !== 0) continue;
    const snapshot = run.restore(0);
    expect(Buffer.from(run.hosts[0].stack.save()).equals(snapshot), `event ${run.events}`).toBe(true);
  }
});
