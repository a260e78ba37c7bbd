import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { VERSION } from '../engine/engine.ts';
import { ROOT } from './kit/tidy.ts';

const read = (file: string): { version: string; packages?: Record<string, { version: string }> } =>
  JSON.parse(readFileSync(join(ROOT, file), 'utf8'));

test('the version is the same everywhere', () => {
  expect(read('package.json').version).toBe(VERSION);
  expect(read('package-lock.json').version).toBe(VERSION);
  expect(readFileSync(join(ROOT, 'CHANGELOG.md'), 'utf8')).toContain(`## ${VERSION}`);
});
