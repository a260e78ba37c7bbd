// Loads of stacks in a process of their own: takes one job as an argument, prints one result, ends.

import type { StackJob, StackResult } from './kit/stack-job.ts';
import { runStackIperf } from './load/stack-iperf.ts';
import { Transfer } from './load/stack-transfer.ts';

const LOADS: Readonly<Record<StackJob['load'], (job: StackJob) => Promise<StackResult>>> = {
  transfer: async (job) => {
    const transfer = new Transfer(job);
    transfer.run(job.warmSeconds);
    return { bitsPerSecond: transfer.run(job.seconds) };
  },
  iperf: async (job) => ({ bitsPerSecond: await runStackIperf({ isReverse: false, ...job }) }),
};

try {
  const job = JSON.parse(process.argv[2] ?? '{}') as StackJob;
  process.stdout.write(`${JSON.stringify(await LOADS[job.load](job))}\n`);
  process.exit(0);
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exit(1);
}
