import { expect, test } from 'vitest';
import { UsageError } from '../../core/assert.ts';
import { Ecn, Ending, ecnOf, Fate, type LinkOptions, Pair, type PairOptions } from '../../sim/sim.ts';
import { viewOf } from '../../wire/bytes.ts';
import * as ipv4 from '../../wire/ipv4.ts';
import { tcpFrame } from './frames.ts';
import { frame, markOf, Station } from './kit.ts';

interface Bench {
  readonly pair: Pair;
  readonly a: Station;
  readonly b: Station;
}

function bench(options: PairOptions = {}): Bench {
  const made: Station[] = [];
  const pair = new Pair((slab) => {
    const station = new Station(slab);
    made.push(station);
    return station;
  }, options);
  return { pair, a: made[0]!, b: made[1]! };
}

/** Sends `count` frames of 1000 bytes at once; the bench after it has run dry. */
function flood(count: number, options: PairOptions): Bench {
  const it = bench(options);
  for (let mark = 0; mark < count; mark++) it.a.send(frame(1000, { mark }));
  expect(it.pair.run()).toBe(Ending.Idle);
  return it;
}

/** `count` frames of 1000 bytes, one every ms. */
function trickle(count: number, options: PairOptions): Bench {
  const it = bench(options);
  for (let mark = 0; mark < count; mark++) {
    it.pair.world.at(mark * 1000, () => it.a.send(frame(1000, { mark })));
  }
  it.pair.run();
  return it;
}

const times = ({ b }: Bench): number[] => b.got.map(({ timeUs }) => timeUs);
const marks = ({ b }: Bench): number[] => b.got.map(markOf);

test.each<[claim: string, options: LinkOptions, expected: number[]]>([
  ['at once over a link without numbers', {}, [0, 0, 0]],
  ['after its delay', { delayUs: 1234 }, [1234, 1234, 1234]],
  ['one after the other at 8 Mb/s', { rateBps: 8_000_000 }, [1000, 2000, 3000]],
  ['with rate and delay', { rateBps: 8_000_000, delayUs: 50 }, [1050, 2050, 3050]],
  ['with 24 bytes of overhead each', { rateBps: 8_000_000, overheadBytes: 24 }, [1024, 2048, 3072]],
  ['rounded up to a µs without losing the fraction', { rateBps: 3_000_000_000 }, [3, 6, 8]],
  ['at 1 bit/s', { rateBps: 1 }, [8e9, 16e9, 24e9]],
])('frames arrive %s', (_claim, options, expected) => {
  expect(times(flood(3, options))).toEqual(expected);
});

test('both directions have a transmitter of their own', () => {
  const it = bench({ rateBps: 8_000_000, backward: { rateBps: 80_000_000 } });
  it.a.send(frame(1000));
  it.b.send(frame(1000));
  it.pair.run();
  expect([it.a.got[0]!.timeUs, it.b.got[0]!.timeUs]).toEqual([100, 1000]);
});

test('a queue of 2 frames and the transmitter hold 3', () => {
  const it = flood(6, { rateBps: 8_000_000, queueFramesMax: 2 });
  expect(marks(it)).toEqual([0, 1, 2]);
  expect(it.pair.link.counts(0).dropped[Fate.Queue]).toBe(3);
});

test.each([
  [1999, [0, 1]],
  [2000, [0, 1, 2]],
  [0, [0]],
])('a queue of %i bytes drops at its tail', (queueBytesMax, expected) => {
  expect(marks(flood(6, { rateBps: 8_000_000, queueBytesMax }))).toEqual(expected);
});

test.each([
  [1018, 1],
  [1019, 0],
])('an MTU of 1000 bytes and a frame of %i', (length, arrived) => {
  const it = bench({ mtuBytes: 1000 });
  it.a.send(frame(length));
  it.pair.run();
  expect([it.b.got.length, it.pair.link.counts(0).dropped[Fate.TooLong]]).toEqual([arrived, 1 - arrived]);
});

test('a link that goes down loses what waits and what travels', () => {
  const it = bench({ rateBps: 8_000_000, delayUs: 500 });
  for (let mark = 0; mark < 5; mark++) it.a.send(frame(1000, { mark }));
  it.pair.world.at(1600, () => it.pair.link.setUp(false, it.pair.nowUs)); // 0 arrived, 1 is being sent
  it.pair.world.at(3000, () => it.pair.link.setUp(true, it.pair.nowUs));
  it.pair.world.at(4000, () => it.a.send(frame(1000, { mark: 9 })));
  it.pair.run();
  expect(marks(it)).toEqual([0, 9]);
  expect(it.pair.link.counts(0).dropped[Fate.Down]).toBe(4);
});

test('independent loss has its rate', () => {
  const { pair, b } = flood(20_000, { loss: 0.1 });
  expect(b.got.length / 20_000).toBeCloseTo(0.9, 2);
  expect(pair.link.counts(0).dropped[Fate.Loss]).toBe(20_000 - b.got.length);
});

test('Gilbert-Elliott losses come in bursts of 1/toGood on average', () => {
  const it = flood(40_000, { loss: { toBad: 0.01, toGood: 0.25 } });
  const arrived = marks(it);
  let bursts = 0;
  for (let i = 1; i < arrived.length; i++) if (arrived[i]! - arrived[i - 1]! > 1) bursts++;
  const lost = 40_000 - arrived.length;
  expect(lost / 40_000).toBeGreaterThan(0.032); // toBad / (toBad + toGood) is 0.0385
  expect(lost / 40_000).toBeLessThan(0.045);
  expect(lost / bursts).toBeGreaterThan(3.6);
  expect(lost / bursts).toBeLessThan(4.4);
});

test('duplicates arrive behind the original', () => {
  const it = flood(10_000, { duplicate: 0.2 });
  const { duplicatedFrames } = it.pair.link.counts(0);
  expect(it.b.got.length).toBe(10_000 + duplicatedFrames);
  expect(duplicatedFrames / 10_000).toBeCloseTo(0.2, 1);
  expect(marks(it)).toEqual(marks(it).toSorted((x, y) => x - y));
});

test('a corrupted frame differs in one bit', () => {
  const { pair, b } = flood(5000, { corrupt: 0.1 });
  let changed = 0;
  for (const [mark, { bytes }] of b.got.entries()) {
    const original = frame(1000, { mark });
    const bits = bytes.reduce((sum, byte, i) => sum + bitsOf(byte ^ original[i]!), 0);
    expect(bits).toBeLessThan(2);
    changed += bits;
  }
  expect(changed).toBe(pair.link.counts(0).corruptedFrames);
  expect(changed / 5000).toBeCloseTo(0.1, 1);
});

const bitsOf = (byte: number): number => byte.toString(2).replaceAll('0', '').length;

test('a reordered frame is passed by those that follow within its detour', () => {
  const it = trickle(1000, { delayUs: 100, reorder: { probability: 0.05, delayUs: 2500 } });
  const { reorderedFrames } = it.pair.link.counts(0);
  expect(reorderedFrames).toBeGreaterThan(20);
  const late = it.b.got.filter((got) => got.timeUs !== markOf(got) * 1000 + 100);
  expect(late.length).toBe(reorderedFrames);
  for (const got of late) expect(got.timeUs).toBe(markOf(got) * 1000 + 2600);
  expect(marks(it)).not.toEqual(marks(it).toSorted((x, y) => x - y));
});

test('jitter spreads arrivals and keeps the order', () => {
  const it = trickle(2000, { delayUs: 100, jitterUs: 5000 });
  expect(marks(it)).toEqual(Array.from({ length: 2000 }, (_, i) => i));
  const delays = it.b.got.map((got) => got.timeUs - markOf(got) * 1000);
  expect(Math.min(...delays)).toBeGreaterThanOrEqual(100);
  expect(Math.max(...delays)).toBeLessThanOrEqual(5100);
  expect(new Set(delays).size).toBeGreaterThan(500);
});

test('one impairment more does not move the choices of another', () => {
  const losses = (more: LinkOptions): string => marks(flood(500, { loss: 0.1, ...more })).join();
  expect(losses({ jitterUs: 7, corrupt: 0 })).toBe(losses({}));
  expect(losses({ reorder: { probability: 0, delayUs: 1 } })).toBe(losses({}));
});

const ECT0 = (mark: number): Uint8Array => tcpFrame({ seq: mark, payload: 946, ecn: Ecn.Ect0 });
const PLAIN_TCP = (mark: number): Uint8Array => tcpFrame({ seq: mark, payload: 946 });

function ecnFlood(make: (mark: number) => Uint8Array, options: LinkOptions): Bench {
  const it = bench({ rateBps: 8_000_000, ...options });
  for (let mark = 0; mark < 10; mark++) it.a.send(make(mark));
  it.pair.run();
  return it;
}

const ecns = ({ b }: Bench): number[] => b.got.map(({ bytes }) => ecnOf(viewOf(bytes), 0, bytes.length));

test('a threshold marks those that find as much waiting, with a right checksum', () => {
  const discipline = { kind: 'ecn-threshold', bytes: 3000 } as const;
  const it = ecnFlood(ECT0, { discipline });
  expect(ecns(it)).toEqual([2, 2, 2, 2, 3, 3, 3, 3, 3, 3]); // one is being sent, three wait
  for (const { bytes } of it.b.got) expect(ipv4.checkSum(viewOf(bytes), 14)).toBe(0);
  expect(ecns(ecnFlood(PLAIN_TCP, { discipline }))).toEqual(new Array(10).fill(0));
});

test('RED drops nothing below its minimum, everything above its maximum, some between', () => {
  const red = { kind: 'red', bytesMin: 20_000, bytesMax: 60_000, probabilityMax: 0.1, weight: 0.02 } as const;
  const share = (perMs: number): number => {
    const it = bench({ rateBps: 8_000_000, discipline: red });
    for (let ms = 0; ms < 2000; ms++) {
      it.pair.world.at(ms * 1000, () => {
        for (let i = 0; i < (ms % 10 < perMs * 10 - 10 ? 2 : 1); i++) it.a.send(frame(1000));
      });
    }
    it.pair.run();
    return it.pair.link.counts(0).dropped[Fate.Discipline] / it.pair.link.counts(0).sentFrames;
  };
  expect(share(1)).toBe(0);
  expect(share(1.1)).toBeGreaterThan(0.04); // the excess is 1/11 of what is sent
  expect(share(1.1)).toBeLessThan(0.1);
});

test('CoDel brings the delay of a standing queue down to its target', () => {
  const it = bench({ rateBps: 8_000_000, discipline: { kind: 'codel' } });
  for (let mark = 0; mark < 100; mark++) it.a.send(frame(1000, { mark }));
  for (let ms = 0; ms < 5000; ms++) it.pair.world.at(ms * 1000, () => it.a.send(frame(1000, { mark: 1000 + ms })));
  it.pair.run();
  const delayOf = (got: (typeof it.b.got)[0]): number => got.timeUs - (markOf(got) - 1000) * 1000;
  const fresh = it.b.got.filter((got) => markOf(got) >= 1000);
  expect(delayOf(fresh[0]!)).toBeGreaterThan(90_000);
  expect(delayOf(fresh.at(-1)!)).toBeLessThan(10_000);
  expect(it.pair.link.counts(0).dropped[Fate.Discipline]).toBeGreaterThan(80);
});

test('CoDel marks instead, if it may', () => {
  const it = bench({ rateBps: 8_000_000, discipline: { kind: 'codel', ecn: true } });
  for (let mark = 0; mark < 300; mark++) it.a.send(ECT0(mark));
  it.pair.run();
  expect(it.b.got.length).toBe(300);
  expect(ecns(it).filter((ecn) => ecn === Ecn.Ce).length).toBe(it.pair.link.counts(0).markedFrames);
  expect(it.pair.link.counts(0).markedFrames).toBeGreaterThan(1);
});

test.each<LinkOptions>([
  { rateBps: 0 },
  { rateBps: 1.5 },
  { delayUs: -1 },
  { loss: 1.1 },
  { duplicate: -0.1 },
  { jitterUs: 0.5 },
  { rateBps: 1000, takesOffload: true },
  { loss: { toBad: 2, toGood: 0 } },
])('refuses %o', (options) => {
  expect(() => bench(options)).toThrow(UsageError);
});
