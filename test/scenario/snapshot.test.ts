import { expect, test } from 'vitest';
import { Rng } from '../../core/rng.ts';
import { Slab } from '../../core/slab.ts';
import { StateError, sealSnapshot } from '../../core/state.ts';
import { Trace } from '../../sim/sim.ts';
import { Stack } from '../../stack/stack.ts';
import { BulkPair } from '../kit/bulk-pair.ts';
import { secretOf } from '../kit/stack-kit.ts';

/** More were tried by hand, see FORGERIES in the environment. */
const FORGERIES = Number(process.env.FORGERIES ?? 150);
const SCENARIO = { seed: 7, connections: 50, bytes: 30_000 };

/** So many different numbers below `below`. */
function draw(rng: Rng, count: number, below: number): Set<number> {
  const drawn = new Set<number>();
  while (drawn.size < count) drawn.add(rng.below(below));
  return drawn;
}

test('50 lossy connections go on byte for byte the same when stacks are saved and restored at 1,000 random events', {
  timeout: 600_000,
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

test('a stack goes on the same on a host with another clock', { timeout: 600_000 }, () => {
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

test('a snapshot is the same when it is loaded and saved again', { timeout: 600_000 }, () => {
  const run = new BulkPair({ ...SCENARIO, connections: 20, seed: 9 });
  while (run.step()) {
    if (run.events % 200 !== 0) continue;
    const snapshot = run.restore(0);
    expect(Buffer.from(run.hosts[0].stack.save()).equals(snapshot), `event ${run.events}`).toBe(true);
  }
});

/** A stack like host 2 of `BulkPair`, with nothing in it. */
function newStack(): Stack {
  const stack = new Stack({ slab: new Slab({ bytesMax: 1 << 23 }), secret: secretOf(4, 2), nowUs: 0 });
  stack.addInterface({ name: 'eth0', mac: Uint8Array.of(2, 0, 0, 0, 0, 2), mtuBytes: 1500, dadTransmits: 1 });
  return stack;
}

/** True if `snapshot` was loaded, false if it was refused; whatever was loaded is then used for a while. */
function tryLoad(snapshot: Uint8Array): boolean {
  const stack = newStack();
  try {
    stack.load(snapshot, 0);
  } catch (error) {
    expect(error).toBeInstanceOf(StateError);
    return false;
  }
  for (let step = 0, nowUs = 0; step < 20; step++) {
    stack.poll(nowUs);
    nowUs = Math.max(nowUs, Math.min(stack.deadlineUs(), nowUs + 1e9));
    stack.expire(nowUs);
    stack.dispatch(nowUs);
  }
  return true;
}

/** Where the sections of a snapshot begin. */
function sectionsOf(snapshot: Uint8Array): number[] {
  const view = new DataView(snapshot.buffer, snapshot.byteOffset, snapshot.byteLength);
  const starts: number[] = [];
  for (let at = 10; at < snapshot.length; ) {
    const header = 1 + view.getUint8(at) + 6;
    starts.push(at + header);
    at += header + view.getUint32(at + header - 4, true);
  }
  return starts;
}

test('a damaged or cut snapshot is refused; one that was forged is refused or does no harm', {
  timeout: 600_000,
}, () => {
  const run = new BulkPair({ seed: 4, connections: 8, bytes: 40_000, checks: false });
  while (run.scenario.world.nowUs < 10_040_000) run.step();
  const good = run.hosts[1].stack.save();
  expect(tryLoad(good)).toBe(true);
  const rng = new Rng(10);
  for (let i = 0; i < 50; i++) {
    expect(tryLoad(good.subarray(0, rng.below(good.length)))).toBe(false);
    const bad = good.slice();
    const at = rng.below(bad.length);
    bad[at] = bad[at]! ^ (1 + rng.below(255));
    expect(tryLoad(bad), `byte ${at}`).toBe(false);
  }
  // With the right hash: near the head of every section, where its counts are, and anywhere.
  const starts = sectionsOf(good);
  for (let i = 0; i < FORGERIES; i++) {
    const bad = good.slice();
    const from = i % 4 === 0 ? 0 : starts[rng.below(starts.length)]!;
    const room = Math.min(good.length - from, i % 4 === 0 ? good.length : 4 ** (2 + rng.below(6)));
    for (let n = rng.below(3); n >= 0; n--) bad[from + rng.below(room)] = [0, 255, rng.below(256)][rng.below(3)]!;
    sealSnapshot(bad);
    tryLoad(bad);
  }
});
