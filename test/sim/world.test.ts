import { expect, test } from 'vitest';
import { Bug } from '../../core/assert.ts';
import { NEVER } from '../../core/time.ts';
import {
  between,
  Capture,
  chain,
  compareRuns,
  DROP,
  delayBy,
  drop,
  dropNth,
  dumbbell,
  duplicateAfter,
  Ending,
  Fate,
  Fnv64,
  fairness,
  GoodputMeter,
  type LinkOptions,
  lossy,
  matching,
  onLink,
  PASS,
  Pair,
  pair,
  type Rule,
  sentBy,
  split,
  star,
  streamOf,
  Trace,
  World,
} from '../../sim/sim.ts';
import { viewOf } from '../../wire/bytes.ts';
import { writeGso, writeNeedsChecksum } from '../../wire/offload.ts';
import { PcapngReader } from '../../wire/pcapng.ts';
import { partialFrame } from '../kit/frames.ts';
import { Echo, frame, markOf, Station, stations } from './kit.ts';

const SLAB = 1 << 25;

function joined(
  options: LinkOptions = {},
  seed = 1,
): { world: World; a: Station; b: Station } & ReturnType<typeof pair> {
  const world = new World({ seed, slabBytes: SLAB });
  const { make, by } = stations();
  const made = pair(world, make, options);
  return { world, ...made, a: by.get('a')![0]!, b: by.get('b')![0]! } as never;
}

/** A bad link with 300 frames, its trace hash and its capture. */
function badDay(seed: number): { hash: string; bytes: Buffer; world: World } {
  const { world, a, link } = joined(
    {
      rateBps: 1e7,
      delayUs: 700,
      jitterUs: 900,
      loss: 0.1,
      duplicate: 0.1,
      corrupt: 0.1,
      reorder: { probability: 0.1, delayUs: 5000 },
    },
    seed,
  );
  const trace = new Trace();
  world.observe(trace);
  const capture = new Capture(world, link);
  for (let mark = 0; mark < 300; mark++) a.send(frame(500, { mark }));
  world.run();
  return { hash: trace.hash, bytes: Buffer.concat(capture.take()), world };
}

test('the same seed gives the same trace and the same capture, another seed others', () => {
  const [first, again, other] = [badDay(7), badDay(7), badDay(8)];
  expect([again.hash, again.bytes.equals(first.bytes)]).toEqual([first.hash, true]);
  expect([other.hash === first.hash, other.bytes.equals(first.bytes)]).toEqual([false, false]);
});

test('a capture has an interface for each end, and the times of the world', () => {
  const { world, a, link } = joined({ delayUs: 250 });
  const capture = new Capture(world, link);
  world.at(1000, () => a.send(frame(60)));
  world.run();
  const reader = new PcapngReader();
  for (const chunk of capture.take()) reader.push(chunk);
  const seen = [reader.next()!, reader.next()!].map((f) => [
    reader.interfaces[f.interface]!.name,
    f.timeUs,
    f.direction,
  ]);
  expect(seen).toEqual([
    ['a:a-b', 1000, 2],
    ['b:a-b', 1250, 1],
  ]);
  expect(reader.next()).toBeUndefined();
});

test('events of one time happen in the order in which they were asked for', () => {
  const world = new World({ seed: 1, slabBytes: SLAB });
  const order: number[] = [];
  const times = Array.from({ length: 500 }, (_, i) => (i * 7919) % 13);
  for (const [i, time] of times.entries()) world.at(time, () => order.push(i));
  world.run();
  expect(order).toEqual(times.map((_, i) => i).toSorted((x, y) => times[x]! - times[y]! || x - y));
});

test('a step jumps to the next deadline, and a run ends on time', () => {
  const { world, a, b } = joined({ delayUs: 10 });
  a.timerUs = 1_000_000_000;
  a.onTimer = () => a.send(frame(60));
  expect(world.run({ untilUs: 999_999_999 })).toBe(Ending.Time);
  expect([world.nowUs, b.got.length]).toEqual([999_999_999, 0]);
  expect(world.step()).toBe(true);
  expect(world.nowUs).toBe(1_000_000_000);
  expect(world.run({ until: () => b.got.length === 1 })).toBe(Ending.Condition);
  expect(world.nowUs).toBe(1_000_000_010);
  expect([world.run(), world.step()]).toEqual([Ending.Idle, false]);
});

test('a deadline that never moves is a bug with the name of its node', () => {
  const { world, a } = joined();
  a.timerUs = 5;
  a.expire = () => {};
  expect(() => world.run()).toThrow(Bug);
  expect(() => world.run()).toThrow('a: its deadline stays at 5 µs');
});

test('programs sleep in virtual time, and their failures are the run’s', async () => {
  const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  const world = new World({ seed: 1, slabBytes: SLAB });
  const log: string[] = [];
  const program = async (name: string, us: number): Promise<void> => {
    for (let i = 0; i < 2; i++) {
      await world.sleep(us);
      log.push(`${name} ${world.nowUs}`);
    }
  };
  world.start(program('slow', 300));
  world.start(program('fast', 200));
  expect(await world.runPrograms(settle)).toBe(Ending.Programs);
  expect(log).toEqual(['fast 200', 'slow 300', 'fast 400', 'slow 600']);
  world.start(world.sleep(1).then(() => Promise.reject(new Error('no'))));
  await expect(world.runPrograms(settle)).rejects.toThrow('no');
});

/** The marks that arrive of 6 frames, one every 100 µs, and when. */
function under(rule: Rule, remove = false): string {
  const { world, a, b } = joined({ delayUs: 50 });
  const undo = world.rule(rule);
  if (remove) undo();
  for (let mark = 0; mark < 6; mark++) world.at(mark * 100, () => a.send(frame(60, { mark })));
  world.run();
  return b.got.map((got) => `${markOf(got)}@${got.timeUs}`).join(' ');
}

const ALL = '0@50 1@150 2@250 3@350 4@450 5@550';

test.each<[claim: string, rule: Rule, expected: string]>([
  ['nothing', () => PASS, ALL],
  ['exact losses', dropNth([0, 3, 4]), '1@150 2@250 5@550'],
  ['everything for a time', between(100, 301, drop), '0@50 4@450 5@550'],
  ['what bytes say', matching(({ view, at }) => view.getUint32(at + 14) === 2, drop), '0@50 1@150 3@350 4@450 5@550'],
  ['a partition', split([['a'], ['b']]), ''],
  ['no partition within a set', split([['a', 'b'], ['c']]), ALL],
  ['the other side', sentBy('b', drop), ALL],
  ['another link', onLink('a-c', drop), ALL],
  [
    'a delay of one',
    matching(
      (hop) => hop.index === 1,
      () => delayBy(150),
    ),
    '0@50 2@250 1@300 3@350 4@450 5@550',
  ],
  [
    'a second copy',
    matching(
      (hop) => hop.index === 5,
      () => duplicateAfter(30),
    ),
    `${ALL} 5@580`,
  ],
])('a rule can say %s', (_claim, rule, expected) => {
  expect(under(rule)).toBe(expected);
});

test('a rule that was removed says nothing, and the first verdict counts', () => {
  expect(under(drop, true)).toBe(ALL);
  const { world, a, b, link } = joined();
  world.rule(() => delayBy(5));
  world.rule(() => DROP);
  a.send(frame(60));
  world.run();
  expect([b.got[0]?.timeUs, link.counts(0).dropped[Fate.Rule]]).toEqual([5, 0]);
});

test('a lossy rule has its rate', () => {
  const { world, a, b } = joined();
  world.rule(lossy(0.3));
  for (let i = 0; i < 5000; i++) a.send(frame(60));
  world.run();
  expect(b.got.length / 5000).toBeCloseTo(0.7, 1);
});

test('a star learns; a hub repeats', () => {
  for (const hub of [false, true]) {
    const world = new World({ seed: 1, slabBytes: SLAB });
    const { make, by } = stations();
    star(world, make, { stations: 3, hub, link: { delayUs: 10 } });
    const [s1, s2, s3] = ['s1', 's2', 's3'].map((name) => by.get(name)![0]!);
    s1!.send(frame(60, { from: 1, to: 2 }));
    world.run({ untilUs: 1000 }); // to idle would be until stations have aged
    s2!.send(frame(60, { from: 2, to: 1 }));
    world.run({ untilUs: 2000 });
    expect([s1!.got.length, s2!.got.length, s3!.got.length]).toEqual([1, 1, hub ? 2 : 1]);
    expect(s2!.got[0]!.timeUs).toBe(20);
  }
});

test('a switch changes tags as its VLANs say', () => {
  const world = new World({ seed: 1, slabBytes: SLAB });
  const { make, by } = stations();
  const { center } = star(world, make, { stations: 2 });
  center.switch.setAccess(0, 5);
  center.switch.setTrunk(1, { native: 0, allowed: [5] });
  by.get('s1')![0]!.send(frame(60, { mark: 7 }));
  world.run();
  const { bytes } = by.get('s2')![0]!.got[0]!;
  expect([bytes.length, [...bytes.subarray(12, 18)]]).toEqual([64, [0x81, 0, 0, 5, 0x88, 0xb5]]);
  by.get('s2')![0]!.send(bytes.map((byte, i) => (i === 5 ? 1 : i === 11 ? 2 : byte)));
  world.run();
  expect([...by.get('s1')![0]!.got[0]!.bytes]).toEqual([...frame(60, { from: 2, to: 1, mark: 7 })]);
});

test('a chain and a dumbbell join what they say', () => {
  const names = (world: World): string => world.links.map(({ name }) => name).join(' ');
  const one = new World({ seed: 1, slabBytes: SLAB });
  chain(one, stations().make, { routers: 2, link: (hop) => ({ delayUs: hop }) });
  expect(names(one)).toBe('a-r1 r1-r2 r2-b');
  const two = new World({ seed: 1, slabBytes: SLAB });
  dumbbell(two, stations().make, { pairs: 2, access: {}, bottleneck: {} });
  expect(names(two)).toBe('a1-r0 r1-b1 a2-r0 r1-b2 r0-r1');
});

test.each([
  [false, false, 3],
  [true, false, 3],
  [true, true, 1],
])('a super-frame over a link that takes them: %s, to a port that does: %s, arrives as %i', (link, port, frames) => {
  const world = new World({ seed: 1, slabBytes: SLAB });
  const [a, b] = [new Station(world.slab, { takesOffload: true }), new Station(world.slab, { takesOffload: port })];
  world.link(world.node('a', [a]), world.node('b', [b]), { takesOffload: link });
  const { bytes, transport, headerBytes } = partialFrame({ payload: 2500 });
  const header = new DataView(new ArrayBuffer(10));
  writeNeedsChecksum(header, 0, transport, 16);
  writeGso(header, 0, 1, headerBytes, 1000);
  a.send(bytes, new Uint8Array(header.buffer));
  world.run();
  expect(b.got.map(({ bytes: got }) => got.length)).toEqual(
    frames === 1 ? [bytes.length] : [headerBytes + 1000, headerBytes + 1000, headerBytes + 500],
  );
  expect(b.got[0]!.hasOffload).toBe(frames === 1);
});

test('the hash is FNV-1a with 64 bits', () => {
  for (const [text, expected] of [
    ['', 'cbf29ce484222325'],
    ['a', 'af63dc4c8601ec8c'],
    ['foobar', '85944171f73967e8'],
  ] as const) {
    const fnv = new Fnv64();
    for (const letter of text) fnv.byte(letter.charCodeAt(0));
    expect(fnv.toString()).toBe(expected);
    const whole = new Fnv64();
    whole.bytes(viewOf(new TextEncoder().encode(text)), 0, text.length);
    expect(whole.toString()).toBe(expected);
  }
});

test('comparing two runs shows the first event that differs', () => {
  let runs = 0;
  const scenario = (trace: Trace, frames: number, odd: number): void => {
    const { world, a } = joined();
    world.observe(trace);
    for (let mark = 0; mark < frames; mark++) a.send(frame(mark === odd ? 61 : 60, { mark }));
    world.run();
  };
  expect(compareRuns((trace) => scenario(trace, 5, -1))).toBeUndefined();
  const differs = compareRuns((trace) => scenario(trace, 5, runs++ === 0 ? -1 : 3));
  expect(differs).toEqual({
    event: 3,
    recorded: '0.000000 a-b from a 02:00:00:00:00:01 > 02:00:00:00:00:02 type 0x88b5 length 46',
    seen: '0.000000 a-b from a 02:00:00:00:00:01 > 02:00:00:00:00:02 type 0x88b5 length 47',
  });
  runs = 0;
  expect(compareRuns((trace) => scenario(trace, runs++ === 0 ? 5 : 4, -1))).toMatchObject({
    event: 4,
    seen: 'nothing',
  });
});

test('streams differ by seed, subject and purpose', () => {
  const first = (seed: number, subject: number, purpose: number): number => streamOf(seed, subject, purpose).u32();
  const all = [first(1, 1, 1), first(2, 1, 1), first(1, 2, 1), first(1, 1, 2), first(1 + 2 ** 32, 1, 1)];
  expect(new Set(all).size).toBe(5);
  expect(first(1, 1, 1)).toBe(all[0]);
});

test('a pair echoes, and runs until a condition', () => {
  const made: Station[] = [];
  const it = new Pair((slab, name) => made[made.push(name === 'a' ? new Station(slab) : new Echo(slab)) - 1]!, {
    delayUs: 40,
  });
  made[0]!.send(frame(60));
  expect(it.runUntil(() => made[0]!.got.length === 1, 79)).toBe(false);
  expect(it.runUntil(() => made[0]!.got.length === 1, 1)).toBe(true);
  expect([it.nowUs, it.run(), it.step()]).toEqual([80, Ending.Idle, false]);
});

test('goodput is bytes read over the time that they took', () => {
  const { world, a, b } = joined({ rateBps: 8_000_000 });
  let read = 0;
  const meter = new GoodputMeter(world, {
    bytesTotal: 10_000,
    write: () => {
      a.send(frame(1000));
      return 1000;
    },
    read: () => (read < b.got.length ? b.got[read++]!.bytes.length : 0),
  });
  expect(world.run({ until: () => meter.isDone })).toBe(Ending.Condition);
  expect([meter.readBytes, meter.firstUs, meter.lastUs, meter.bytesPerS]).toEqual([10_000, 0, 10_000, 1_000_000]);
  expect([fairness([1, 1, 1, 1]), fairness([1, 0, 0, 0])]).toEqual([1, 0.25]);
  expect(world.nextUs()).toBe(NEVER);
});
