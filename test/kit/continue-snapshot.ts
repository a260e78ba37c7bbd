// A program: comes to the same event of the same scenario in a process of its own, throws host 1's stack away, goes on with the
// one in a file, and prints the hash of the whole trace.

import { readFileSync } from 'node:fs';
import { BulkPair } from './bulk-pair.ts';

const [file, seed, connections, bytes, event] = process.argv.slice(2) as [string, string, string, string, string];
const run = new BulkPair({ seed: Number(seed), connections: Number(connections), bytes: Number(bytes), checks: false });
while (run.events < Number(event)) run.step();
run.hosts[0].restore(readFileSync(file), run.scenario.world.nowUs, 86_400_000_000);
process.stdout.write(run.finish());
