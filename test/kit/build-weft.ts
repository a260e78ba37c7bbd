// Before the first test: dist/weft.js is built from what is being tested.

import { execFileSync } from 'node:child_process';
import { ROOT } from './tidy.ts';

export function setup(): void {
  execFileSync(process.execPath, ['build.mjs'], { cwd: ROOT, stdio: 'inherit' });
}
