import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ROOMS, ROOT, tidy } from './kit/tidy.ts';

const files = execFileSync('git', ['ls-files', '-co', '--exclude-standard', '*.ts'], { cwd: ROOT, encoding: 'utf8' })
  .split('\n')
  .filter((file) => file !== '' && file.split('/')[0]! in ROOMS);

test('there is something to check', () => {
  expect(files.length).toBeGreaterThan(10);
});

test.each(files)('%s keeps the house rules', (file) => {
  expect(tidy(file, readFileSync(join(ROOT, file), 'utf8'))).toEqual([]);
});

test.each([
  ['wire/a.ts', "import { x } from '../switch/switch.ts';", 'may not import switch/'],
  ['engine/a.ts', "import { x } from '../switch/fdb.ts';", 'use the front door'],
  ['switch/a.ts', "import fs from 'node:fs';", 'only *.io.ts may'],
  ['plug/a.ts', "import { sys } from '../sys/libc.io.ts';", 'only *.io.ts may'],
  ['engine/a.ts', 'const t = Date.now();', 'take it as an argument'],
  ['core/a.ts', 'const t = Math.random();', 'take it as an argument'],
  ['core/a.ts', 'const t = Math.exp(1);', 'take it as an argument'],
  ['core/a.io.ts', '', 'no I/O in core/'],
  ['wire/a.ts', "import x from 'left-pad';", 'not in PACKAGES'],
])('catches a planted breach in %s: %s', (file, text, reason) => {
  expect(tidy(file, text).join()).toContain(reason);
});
