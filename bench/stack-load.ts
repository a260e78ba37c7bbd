// Loads of stacks in a process of their own: takes one job as an argument, prints one result, ends.

import type { StackJob, StackResult } from './kit/stack-job.ts';
import { Transfer } from './load/stack-transfer.ts';

function measure(job: StackJob): StackResult {
  const transfer = new Transfer(job);
  transfer.run(job.warmSeconds);
  return { bitsPerSecond: transfer.run(job.seconds) };
}

try {
  const job = JSON.parse(process.argv[2] ?? '{}') as StackJob;
  process.stdout.write(`${JSON.stringify(measure(job))}\n`);
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exitCode = 1;
}
