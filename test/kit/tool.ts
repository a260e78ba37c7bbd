// Programs that a test needs and that a machine may lack.

import { spawnSync } from 'node:child_process';
import type { TestContext } from 'vitest';
import { skipIf } from './skip.ts';

/** Skips the test if `name` is not installed; with WEFT_NO_SKIP set, fails it instead. */
export function needTool(ctx: TestContext, name: string): void {
  const found = spawnSync('sh', ['-c', `command -v "$0"`, name]).status === 0;
  skipIf(ctx, found ? undefined : `${name} is not installed`);
}

/** What `name` writes to its standard output when it is given `input`. Throws with its complaints if it fails. */
export function runTool(name: string, args: string[], input: Uint8Array | string): string {
  // Through a pipe: Node gives a socket, which tshark refuses.
  const piped = ['-c', 'cat | "$@"', 'sh', name, ...args];
  const { status, stdout, stderr, error } = spawnSync('sh', piped, { input, encoding: 'utf8', timeout: 60_000 });
  if (error) throw error;
  if (status !== 0) throw new Error(`${name} ${args.join(' ')}: ${stderr}`);
  return stdout;
}
