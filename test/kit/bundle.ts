// Programs of the tests that run in a process of their own: bundled, since they are ten times as fast then.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildSync } from 'esbuild';
import { afterAll, beforeAll } from 'vitest';
import { ROOT } from './tidy.ts';

/** Bundles `entry` (relative to the repository) for the tests of this file: how to run it, which gives what it printed, read as JSON. */
export function bundled(entry: string): (...args: readonly (string | number)[]) => unknown {
  let home = '';
  beforeAll(() => {
    home = mkdtempSync(join(tmpdir(), 'weft-bundle-'));
    const outfile = join(home, 'main.mjs');
    const entryPoints = [join(ROOT, entry)];
    buildSync({ entryPoints, outfile, bundle: true, platform: 'node', format: 'esm', sourcemap: 'inline' });
  });
  afterAll(() => rmSync(home, { recursive: true }));
  return (...args) => {
    const node = ['--enable-source-maps', '--expose-gc', join(home, 'main.mjs'), ...args.map(String)];
    return JSON.parse(execFileSync(process.execPath, node, { encoding: 'utf8' }));
  };
}
