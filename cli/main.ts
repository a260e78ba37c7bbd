#!/usr/bin/env node
// The command's entry: answers what needs nothing at once, loads the rest when it is asked for.

import { VERSION } from '../engine/engine.ts';

const [first, ...rest] = process.argv.slice(2);

if (first === '--version' || first === '-V') {
  process.stdout.write(`weft ${VERSION}\n`);
} else if (first === 'run') {
  // No parser in the way: everything behind `--` is the program's.
  const { run } = await import('./run.ts');
  process.exitCode = await run(rest);
} else {
  const { weft } = await import('./weft.ts');
  process.exitCode = await weft(process.argv.slice(2));
}
