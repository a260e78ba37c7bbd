import { expect, test } from 'vitest';
import { fairness, type LinkOptions } from '../../sim/sim.ts';
import type { SenderOptions } from '../kit/bulk.ts';
import { Dumbbell } from '../kit/routed.ts';

// What can be computed before it is measured. Goodput is payload, so of a link's rate 1448 of 1514 bytes at most.

const PAYLOAD = 1448 / 1514;
const BEGIN_US = 1_000_000;

interface Measured {
  /** Bytes per second of each flow, in the second half of the time. */
  readonly rates: number[];
  /** Smoothed round trip of the first flow at the end. */
  readonly srttUs: number;
}

/** Bulk flows, one for each entry, all at once over one bottleneck. */
function measure(bottleneck: LinkOptions, flows: readonly Partial<SenderOptions>[], seconds: number): Measured {
  const net = new Dumbbell({
    seed: 11,
    pairs: flows.length,
    bottleneck,
    checks: flows.length === 1,
    slabBytes: 1 << 26,
  });
  const receivers = net.receive(flows[0]);
  const senders = flows.map((options, i) =>
    net.flow(i, i + 1, i % 2 === 1, { bytes: 1e9, startUs: BEGIN_US, ...options }),
  );
  const { world } = net.scenario;
  const got = (): number[] => receivers.map((receiver, i) => receiver.gotBytes[i] ?? 0);
  world.run({ untilUs: BEGIN_US + (seconds * 1e6) / 2 });
  const before = got();
  world.run({ untilUs: BEGIN_US + seconds * 1e6 });
  expect([...net.scenario.violations(), ...receivers.flatMap((receiver) => receiver.errors)]).toEqual([]);
  const { stack } = net.senders[0]!;
  const rates = got().map((bytes, i) => (2 * (bytes - before[i]!)) / seconds);
  expect(senders.every((sender) => sender.errno === 0)).toBe(true);
  return { rates, srttUs: stack.tcp.info(0).srttUs };
}

/** 8 Mb/s, 20 ms, and 80 ms of queue; 2 Mb/s, 150 ms, and 2 s of queue: the two paths of the MPTCP experiments. */
const WIFI: LinkOptions = { rateBps: 8_000_000, delayUs: 10_000, queueBytesMax: 80_000 };
const MOBILE: LinkOptions = { rateBps: 2_000_000, delayUs: 75_000, queueBytesMax: 500_000 };

test.each([
  ['8 Mb/s, 20 ms', WIFI, 8_192],
  ['8 Mb/s, 20 ms', WIFI, 16_384],
  ['2 Mb/s, 150 ms', MOBILE, 16_384],
  ['2 Mb/s, 150 ms', MOBILE, 32_768],
] as const)('below the knee the buffer decides: %s', { timeout: 600_000 }, (_name, link, bufferBytes) => {
  const { rates } = measure(link, [{ bufferBytes }], 5);
  // A round trip is the path's and the time that the link needs for a window, of which the ACK of the first part does not wait.
  const bytesPerS = link.rateBps! / 8;
  const pathS = (2 * link.delayUs!) / 1e6;
  expect(rates[0]).toBeLessThanOrEqual((1.01 * bufferBytes) / pathS);
  expect(rates[0]).toBeGreaterThan((0.98 * bufferBytes) / (pathS + (2 * 1514) / bytesPerS));
});

test.each([
  ['8 Mb/s, 20 ms', WIFI, 65_536],
  ['2 Mb/s, 150 ms', MOBILE, 131_072],
] as const)(
  'above the knee the link is full and the rest of the window waits in the queue: %s',
  { timeout: 600_000 },
  (_name, link, bufferBytes) => {
    const { rates, srttUs } = measure(link, [{ bufferBytes }], 10);
    const bytesPerS = link.rateBps! / 8;
    expect(rates[0]).toBeGreaterThan(0.97 * PAYLOAD * bytesPerS);
    expect(rates[0]).toBeLessThanOrEqual(PAYLOAD * bytesPerS);
    const windowUs = ((bufferBytes / PAYLOAD) * 1e6) / bytesPerS;
    expect(srttUs).toBeGreaterThan(0.9 * windowUs);
    expect(srttUs).toBeLessThan(1.1 * windowUs);
  },
);

const SHARED: LinkOptions = { rateBps: 10_000_000, delayUs: 10_000, queueBytesMax: 40_000 };
const CUBIC = { congestion: 1 };
const RENO = { congestion: 0 };

test('two CUBIC flows share a bottleneck fairly, one of each family (RFC 9438 §1)', { timeout: 600_000 }, () => {
  const { rates } = measure(SHARED, [CUBIC, CUBIC], 40);
  expect(fairness(rates), `${rates.map(Math.round)}`).toBeGreaterThan(0.9);
  expect(rates[0]! + rates[1]!).toBeGreaterThan(0.9 * PAYLOAD * 1_250_000);
});

test('CUBIC lets NewReno live where both would grow alike (RFC 9438 §4.3)', { timeout: 600_000 }, () => {
  const { rates } = measure(SHARED, [CUBIC, RENO], 40);
  expect(fairness(rates), `${rates.map(Math.round)}`).toBeGreaterThan(0.8);
});

test('a long queue makes a long round trip, and CoDel a short one at the same rate (RFC 8289)', {
  timeout: 600_000,
}, () => {
  const bloated = measure(MOBILE, [CUBIC], 30);
  const managed = measure({ ...MOBILE, discipline: { kind: 'codel' } }, [CUBIC], 30);
  expect(bloated.srttUs).toBeGreaterThan(700_000);
  expect(managed.srttUs).toBeLessThan(250_000);
  expect(bloated.rates[0]).toBeGreaterThan(0.95 * PAYLOAD * 250_000);
  expect(managed.rates[0]).toBeGreaterThan(0.75 * PAYLOAD * 250_000);
});
