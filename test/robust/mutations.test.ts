// The campaign of campaign.ts, short and bundled, since it is ten times as fast then. A long one by hand:
// `npx esbuild test/robust/main.ts --bundle --platform=node --format=esm --outfile=main.mjs && node main.mjs SEED COUNT`.

import { expect, test } from 'vitest';
import { bundled } from '../kit/bundle.ts';
import type { CampaignReport } from './campaign.ts';
import { newCorpus } from './corpus.ts';
import { repair } from './packets.ts';

const FRAMES = 100_000;
const run = bundled('test/robust/main.ts');

test.each([
  [1, 'a router'],
  [2, 'a host'],
])('mutated frames (seed %i, %s) do no harm to what they do not hit', { timeout: 120_000 }, (seed) => {
  const report = run(seed, FRAMES) as CampaignReport;
  expect(report.frames).toBe(FRAMES);
  expect(report.usedBytesAfterClose).toBe(0);
  expect(report.friendBytes).toBeGreaterThan(10 * FRAMES);
  expect(report.peerConnections).toBeGreaterThan(100);
  // Most reasons to drop a frame are met, and enough frames got through all checks.
  expect(Object.keys(report.drops).length).toBeGreaterThan(35);
  expect(report.drops.None).toBeGreaterThan(FRAMES / 8);
});

test('the frames made by hand have right checksums to begin with', () => {
  for (const frame of newCorpus()) {
    const again = frame.slice();
    repair(again, again.length, true);
    expect(Buffer.compare(again, frame)).toBe(0);
  }
});
