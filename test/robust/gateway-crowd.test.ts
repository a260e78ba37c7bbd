// A gateway with a hundred guests, and under attack: gateway-attacks.ts, bundled as in mutations.test.ts. With more by hand:
// `npx esbuild test/robust/gateway-main.ts --bundle --platform=node --format=esm --outfile=main.mjs && node main.mjs NAME COUNT`.

import { describe, expect, test } from 'vitest';
import type { SlirpCounters } from '../../slirp/slirp.ts';
import { bundled } from '../kit/bundle.ts';

const MIB = 1 << 20;
const PATIENT = { timeout: 180_000 };
const start = bundled('test/robust/gateway-main.ts');

type Counts = Readonly<Record<string, number>>;

interface Attack {
  /** Of what a transfer moved alone. */
  readonly share: number;
  readonly isThere: boolean;
  readonly others: { readonly asked: number; readonly tcp: number; readonly udp: number; readonly ping: number };
  readonly usedMax: number;
  readonly ringMax: number;
  readonly flowsMax: Counts;
  readonly left: Counts;
  readonly counters: SlirpCounters;
  readonly drops: Counts;
  readonly handles: number;
  readonly ringBytes: number;
}

const run = <T>(name: string, count: number): T => start(name, count) as T;

test(
  'a hundred guests have 10,000 connections and 5,000 mappings at a time, and cost nothing while idle',
  PATIENT,
  () => {
    const report = run<Record<string, number>>('crowd', 100);
    expect(report).toMatchObject({
      first: { tcp: 200, udp: 200, pings: 200 },
      most: { tcp: 10_000, udp: 5000 },
      good: 15_000,
      goodLater: 10_000,
      idleCalls: 0,
      left: {},
      connections: 0,
      handles: 0,
      ringBytes: 0,
    });
    // Ten minutes: advertisements, and nothing that asks each flow.
    expect(report.idleTurns).toBeLessThan(10);
    // Of both ends, the gateway's flow and the host of memory together.
    expect(report.heapEach! + report.slabEach!).toBeLessThan(10_000);
  },
);

describe('while one guest attacks', () => {
  test.each([
    ['synFlood', 20_000, 'opens under all addresses'],
    ['halfOpen', 20_000, 'opens to where nobody answers'],
    ['forgedMacs', 20_000, 'forges hardware addresses'],
    ['udpFlood', 20_000, 'floods ports by UDP'],
    ['echoFlood', 20_000, 'floods with pings'],
    ['fragments', 20_000, 'sends first pieces'],
    ['spoofs', 20_000, 'sends by addresses of others'],
    ['icmpErrors', 20_000, 'guesses numbers of connections (RFC 5927, RFC 5961)'],
    ['fullHouse', 60_000, 'and four others take all there is'],
  ])('%s: others keep their share and are let in', PATIENT, (name, count) => {
    const attack = run<Attack>(name, count);
    expect(attack.share).toBeGreaterThan(0.5);
    expect(attack.isThere).toBe(true);
    const { asked, tcp, udp, ping } = attack.others;
    expect(asked).toBe(count / 5000);
    expect(tcp).toBe(asked);
    // What the link loses nobody sends again.
    expect(Math.min(udp, ping)).toBeGreaterThanOrEqual(asked - 1);
    expect(attack.usedMax).toBeLessThan(24 * MIB);
    expect(attack.ringMax).toBeLessThan(4 * MIB);
    // The transfer is left, and when all is closed nothing is.
    expect([attack.left, attack.handles, attack.ringBytes]).toEqual([{ tcp: 1 }, 0, 0]);
    check[name]!(attack);
  });
});

const check: Record<string, (attack: Attack) => void> = {
  synFlood: ({ flowsMax, counters }) => {
    expect(flowsMax.tcp).toBeLessThanOrEqual(4096 + 10);
    expect(counters.guestFull).toBeGreaterThan(10_000);
  },
  halfOpen: ({ flowsMax, counters }) => {
    expect(flowsMax.tcp).toBeLessThanOrEqual(1024 + 10);
    expect(counters.guestFull).toBeGreaterThan(15_000);
  },
  forgedMacs: ({ flowsMax }) => expect(flowsMax.tcp).toBeLessThanOrEqual(4096 + 10),
  udpFlood: ({ flowsMax, counters }) => {
    expect(flowsMax.udp).toBeLessThanOrEqual(2048 + 10);
    expect(counters.guestFull).toBeGreaterThan(10_000);
  },
  echoFlood: ({ flowsMax }) => expect(flowsMax.icmp).toBeLessThanOrEqual(64 + 10),
  fragments: ({ drops }) => expect(drops['fragment-limit']).toBeGreaterThan(10_000),
  spoofs: ({ counters, flowsMax }) => {
    expect(counters.forged).toBeGreaterThan(19_000);
    expect(flowsMax.udp).toBeLessThan(100);
  },
  icmpErrors: ({ drops }) => expect(drops['tcp-sequence']! + drops['tcp-paws']!).toBeGreaterThan(4000),
  fullHouse: ({ flowsMax, counters }) => {
    expect(flowsMax).toMatchObject({ tcp: 16_384, udp: 8192 });
    expect(counters.evicted).toBeGreaterThanOrEqual(12);
  },
};

interface Slow {
  readonly opened: number;
  readonly ringMax: number;
  readonly bytes: number;
  readonly evicted: number;
  readonly others: Attack['others'];
  readonly ringAfter: number;
  readonly isThere: boolean;
}

test('a thousand connections that nobody reads take bounded memory, and others move on', PATIENT, () => {
  const slow = run<Slow>('slowReaders', 1000);
  expect(slow).toMatchObject({ opened: 1000, evicted: 0, isThere: true });
  expect(slow.others).toMatchObject({ tcp: slow.others.asked, udp: slow.others.asked });
  expect(slow.ringMax).toBeLessThan(96 * MIB);
  expect(slow.bytes).toBeGreaterThan(50 * MIB);
  expect(slow.ringAfter).toBeLessThan(4 * MIB);
});

test('when buffers are used up, connections go that do not move', PATIENT, () => {
  const slow = run<Slow>('fewBuffers', 1000);
  expect(slow).toMatchObject({ opened: 1000, isThere: true });
  expect(slow.others).toMatchObject({ tcp: slow.others.asked, udp: slow.others.asked });
  expect(slow.evicted).toBeGreaterThan(10);
  expect(slow.ringMax).toBeLessThan(28 * MIB);
  expect(slow.bytes).toBeGreaterThan(50 * MIB);
});

test('of guests that vanish nothing is left', PATIENT, () => {
  const { before, ringMax, ...after } = run<{ before: Counts; ringMax: number }>('blackHole', 1000);
  expect(before.tcp).toBe(1000);
  expect(ringMax).toBeLessThan(96 * MIB);
  expect(after).toEqual({ left: {}, handles: 0, ringBytes: 0 });
});

test('of a guest that resets what it opens nothing is left', PATIENT, () => {
  const { opened, ...after } = run<{ opened: number }>('resets', 3000);
  expect(opened).toBeGreaterThan(1000);
  expect(after).toEqual({ slabLeft: 0, left: {}, connections: 0, handles: 0, ringBytes: 0 });
});
