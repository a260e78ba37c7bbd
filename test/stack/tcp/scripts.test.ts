// Every packet script of test/scripts/tcp against a whole stack: one behaviour each, which its first line names.

import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'vitest';
import { parseScript, runScript } from '../../../sim/sim.ts';
import { StackScriptHost } from '../../kit/script-host.ts';

const DIR = new URL('../../scripts/tcp/', import.meta.url);
const files = readdirSync(DIR)
  .filter((name) => name.endsWith('.script'))
  .sort();

test.each(files)('%s', (file) => {
  const source = readFileSync(new URL(file, DIR), 'utf8');
  const script = parseScript(source, file);
  runScript(script, new StackScriptHost(script.isIp6));
});
