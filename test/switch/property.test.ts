import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Fdb, NO_PORT } from '../../switch/fdb.ts';
import { keyOf } from '../../switch/mac.ts';
import { type Switch, VID_NONE } from '../../switch/switch.ts';
import { AT, BROADCAST_MAC, type FrameSpec, MULTICAST_MAC, newSwitch, send, station } from './kit.ts';
import { Model } from './model.ts';

const PORTS = 6;
const AGE_US = 1000;

const port = fc.integer({ min: 0, max: PORTS - 1 });
const vid = fc.constantFrom(1, 2, 3, 4094);
const mac = fc.oneof(
  { weight: 9, arbitrary: fc.integer({ min: 1, max: 12 }).map(station) },
  { weight: 1, arbitrary: fc.constantFrom(BROADCAST_MAC, MULTICAST_MAC) },
);
const tci = fc.option(
  fc.tuple(fc.constantFrom(0, 1, 2, 3, 4094, 4095), fc.nat(15)).map(([v, pcp]) => pcp * 4096 + v),
  { nil: undefined },
);

/** One thing that happens to both; returns what both say, or nothing. */
type Step = (sw: Switch, model: Model, clock: { nowUs: number }) => [string, string] | undefined;

const frames = fc.record({ dst: mac, src: mac, tci }).chain((spec: FrameSpec) =>
  port.map(
    (ingress): Step =>
      (sw, model, { nowUs }) => [send(sw, ingress, spec, nowUs), model.forward(ingress, spec, nowUs)],
  ),
);
const times = fc.constantFrom(1, AGE_US / 2, AGE_US - 1, AGE_US, 2 ** 33).map(
  (us): Step =>
    (sw, _, clock) => {
      clock.nowUs += us;
      if (us % 2 === 0) sw.expire(clock.nowUs); // whether it is called must not matter
      return undefined;
    },
);
const links = fc.tuple(port, fc.boolean(), fc.boolean()).map(
  ([n, isSet, isLink]): Step =>
    (sw, model, { nowUs }) => {
      if (isLink && isSet) sw.portUp(n, nowUs);
      else if (isLink) sw.portDown(n);
      else sw.setBlocked(n, isSet);
      if (isLink) model.ports[n]!.isUp = isSet;
      else model.ports[n]!.isBlocked = isSet;
      if (!(isLink && isSet)) model.flush(n);
      return undefined;
    },
);
const configurations = fc
  .record({
    n: port,
    pvid: fc.oneof(vid, fc.constantFrom(0, VID_NONE)),
    tagged: fc.oneof(fc.constant('all' as const), fc.array(vid)),
  })
  .map(
    ({ n, pvid, tagged }): Step =>
      (sw, model) => {
        sw.setTrunk(n, { native: pvid, allowed: tagged });
        model.flush(n);
        model.ports[n]!.pvid = pvid === VID_NONE ? undefined : pvid;
        model.ports[n]!.tagged = tagged === 'all' ? 'all' : new Set(tagged);
        return undefined;
      },
  );
const hubs = fc.boolean().map(
  (isHub): Step =>
    (sw, model) => {
      sw.setHub(isHub);
      model.isHub = isHub;
      model.flush();
      return undefined;
    },
);
const flushes = fc.option(port, { nil: undefined }).map(
  (n): Step =>
    (sw, model) => {
      sw.fdb.flush(n);
      model.flush(n);
      return undefined;
    },
);

const step = fc.oneof(
  { weight: 80, arbitrary: frames },
  { weight: 8, arbitrary: times },
  { weight: 4, arbitrary: links },
  { weight: 4, arbitrary: configurations },
  { weight: 1, arbitrary: hubs },
  { weight: 1, arbitrary: flushes },
);

test('decides like the model', () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 20, maxLength: 150 }), fc.nat(), (steps, hashSeed) => {
      // 150 steps make no station move 254 times, so nothing is pinned: the model knows no pins.
      const sw = newSwitch({ portsMax: PORTS, fdbEntriesMax: 64, ageUs: AGE_US, movesMax: 254, hashSeed });
      const model = new Model(PORTS, AGE_US);
      const clock = { nowUs: 0 };
      for (const next of steps) {
        const both = next(sw, model, clock);
        if (both) expect(both[0]).toBe(both[1]);
      }
    }),
    { numRuns: 300 },
  );
});

test('takes any bytes from anywhere', () => {
  const bytes = fc.uint8Array({ minLength: 0, maxLength: 40 });
  fc.assert(
    fc.property(fc.array(fc.tuple(bytes, fc.integer({ min: -2, max: PORTS + 1 })), { maxLength: 50 }), (rows) => {
      const sw = newSwitch({ portsMax: PORTS, fdbEntriesMax: 8 });
      sw.setAccess(1, 7);
      sw.setTrunk(2, { native: VID_NONE, allowed: [7] });
      sw.setMirror({ from: 'all', direction: 'both', to: 5 });
      for (const [data, ingress] of rows) {
        // The frame ends where its buffer ends: reading one byte beyond it would throw.
        const view = new DataView(new Uint8Array([...new Uint8Array(AT), ...data]).buffer);
        const count = sw.forward(view, AT, data.length, ingress, 5);
        const egress = [...sw.egress.subarray(0, count)];
        expect(new Set(egress).size).toBe(count);
        expect(egress.every((n) => n >= 0 && n < PORTS && n !== ingress)).toBe(true);
        expect(count === 0).toBe(sw.lastDrop !== 0);
      }
    }),
    { numRuns: 200 },
  );
});

const fdbStep = fc.record({
  what: fc.constantFrom<'learn' | 'remove' | 'wait' | 'expire' | 'flush'>(
    ...(['learn', 'learn', 'learn', 'learn', 'remove', 'wait', 'expire', 'flush'] as const),
  ),
  n: fc.nat(39),
  at: port,
});

/** The table and a map, side by side. */
class Pair {
  readonly fdb: Fdb;
  nowUs = 0;
  private readonly model = new Map<number, { port: number; seenUs: number }>();

  constructor(fdb: Fdb) {
    this.fdb = fdb;
    fdb.tick(0);
  }

  learn(n: number, at: number): void {
    this.fdb.learn(n, keyOf(0, 1), at);
    this.model.set(n, { port: at, seenUs: this.nowUs });
  }

  remove(n: number): void {
    this.fdb.remove(macOfLow(n), 1);
    this.model.delete(n);
  }

  flush(_: number, at: number): void {
    this.fdb.flush(at);
    for (const [key, entry] of this.model) if (entry.port === at) this.model.delete(key);
  }

  wait(n: number): void {
    this.nowUs += 40 * n;
    this.fdb.tick(this.nowUs);
  }

  expire(n: number): void {
    this.nowUs += 10 * n;
    this.fdb.expire(this.nowUs);
    this.fdb.tick(this.nowUs);
  }

  expected(n: number): number {
    const entry = this.model.get(n);
    return entry && this.nowUs - entry.seenUs < AGE_US ? entry.port : NO_PORT;
  }
}

test.each([
  ['exact while it has room', 64, true],
  ['never wrong when it is full', 8, false],
])('the table is %s', (_, entriesMax, isExact) => {
  fc.assert(
    fc.property(fc.array(fdbStep, { maxLength: 200 }), fc.nat(), (steps, hashSeed) => {
      const fdb = new Fdb({ portsMax: PORTS, entriesMax, ageUs: AGE_US, movesMax: 254, hashSeed });
      const pair = new Pair(fdb);
      for (const { what, n, at } of steps) {
        pair[what](n, at);
        for (let i = 0; i < 40; i++) {
          const found = fdb.lookup(i, keyOf(0, 1), at);
          if (isExact || found !== NO_PORT) expect(found).toBe(pair.expected(i));
        }
        expect(fdb.count).toBeLessThanOrEqual(entriesMax);
        expect(macsOf(fdb)).toBe(fdb.count);
      }
    }),
    { numRuns: 60 },
  );
});

function macsOf(fdb: Fdb): number {
  let macs = 0;
  for (let n = 0; n < PORTS; n++) macs += fdb.macsOf(n);
  return macs;
}

/** The MAC whose first four bytes are `low` little-endian, below 256, and whose others are 0. */
const macOfLow = (low: number): number => low * 2 ** 40;
