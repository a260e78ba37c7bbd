// The campaign of campaign.ts, short and bundled, since it is ten times as fast then. A long one by hand:
// `npx esbuild test/robust/main.ts --bundle --platform=node --format=esm --outfile=main.mjs && node main.mjs SEED COUNT`.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildSync } from 'esbuild';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ROOT } from '../kit/tidy.ts';
import type { CampaignReport } from './campaign.ts';
import { newCorpus } from './corpus.ts';
import { repair } from './packets.ts';

const FRAMES = 100_000;
let home = '';

beforeAll(() => {
  home = mkdtempSync(join(tmpdir(), 'weft-mutations-'));
  buildSync({
    entryPoints: [join(ROOT, 'test/robust/main.ts')],
    outfile: join(home, 'main.mjs'),
    bundle: true,
    platform: 'node',
    format: 'esm',
    sourcemap: 'inline',
  });
});
afterAll(() => rmSync(home, { recursive: true }));

test.each([
  [1, 'a router'],
  [2, 'a host'],
])('mutated frames (seed %i, %s) do no harm to what they do not hit', { timeout: 120_000 }, (seed) => {
  const args = ['--enable-source-maps', join(home, 'main.mjs'), String(seed), String(FRAMES)];
  const report = JSON.parse(execFileSync(process.execPath, args, { encoding: 'utf8' })) as CampaignReport;
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
