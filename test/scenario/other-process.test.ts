import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildSync } from 'esbuild';
import { expect, test } from 'vitest';
import { BulkPair } from '../kit/bulk-pair.ts';

test('a stack goes on the same in another process, from a file, on a clock that is a day ahead', {
  timeout: 600_000,
}, () => {
  const scenario = { seed: 12, connections: 10, bytes: 20_000 };
  const run = new BulkPair({ ...scenario, checks: false });
  while (run.scenario.world.nowUs < 10_060_000) run.step();
  const { events } = run;
  const snapshot = run.hosts[0].stack.save();
  const hash = run.finish();
  const dir = mkdtempSync(join(tmpdir(), 'weft-snapshot-'));
  try {
    const program = join(dir, 'continue.mjs');
    const entryPoints = [join(import.meta.dirname, '../kit/continue-snapshot.ts')];
    buildSync({ entryPoints, outfile: program, bundle: true, platform: 'node', format: 'esm', logLevel: 'error' });
    const file = join(dir, 'stack.state');
    writeFileSync(file, snapshot);
    const { seed, connections, bytes } = scenario;
    const args = [program, file, ...[seed, connections, bytes, events].map(String)];
    expect(execFileSync(process.execPath, args, { encoding: 'utf8' })).toBe(hash);
    expect(run.events).toBeGreaterThan(events + 100);
  } finally {
    rmSync(dir, { recursive: true });
  }
});
