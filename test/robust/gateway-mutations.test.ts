// The campaign of gateway-campaign.ts, short and bundled, as in mutations.test.ts. A long one by hand:
// `npx esbuild test/robust/gateway-main.ts --bundle --platform=node --format=esm --outfile=main.mjs && node main.mjs SEED COUNT`.

import { expect, test } from 'vitest';
import { bundled } from '../kit/bundle.ts';
import type { GatewayCampaignReport } from './gateway-campaign.ts';

const FRAMES = 100_000;
const MIB = 1 << 20;
const run = bundled('test/robust/gateway-main.ts');

test.each([1, 2])('mutated frames of a guest (seed %i) do no harm to another one', { timeout: 120_000 }, (seed) => {
  const report = run(seed, FRAMES) as GatewayCampaignReport;
  expect(report).toMatchObject({
    frames: FRAMES,
    escaped: [],
    flowsAfter: [],
    handlesAfterClose: 0,
    usedBytesAfterClose: 0,
  });
  expect(report.friendAsked).toBe(15);
  expect(report.friendHeard).toBe(15);
  expect(report.friendBytes).toBeGreaterThan(100 * FRAMES);
  expect(report.usedBytesMax).toBeLessThan(16 * MIB);
  expect(report.left).toBeGreaterThan(500);
  // Something of everything happened.
  const { counters } = report;
  for (const name of ['tcpOpened', 'tcpFailed', 'udpOpened', 'echoReplies', 'errorsToGuests', 'forwardsAccepted'])
    expect([name, counters[name]! > 0]).toEqual([name, true]);
  expect(counters.forged).toBeGreaterThan(10);
  expect(Object.keys(report.drops).length).toBeGreaterThan(30);
  expect(report.drops.None).toBeGreaterThan(FRAMES / 8);
});
