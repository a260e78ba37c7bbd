// Loads of stacks in a process of their own: takes one job as an argument, prints one result, ends.

import { STACK_JOB, type StackJob, type StackResult } from './kit/stack-job.ts';
import { quantile } from './kit/statistics.ts';
import { kernelCycles, kernelRequests } from './load/kernel-load.ts';
import { cycles, idle } from './load/stack-crowd.ts';
import { runStackIperf } from './load/stack-iperf.ts';
import { requestsInProcess, requestsToKernel } from './load/stack-request.ts';
import { Transfer } from './load/stack-transfer.ts';

const CONNECTIONS = 10_000;
const REQUESTS = 10_000;

const LOADS: Readonly<Record<StackJob['load'], (job: StackJob) => Promise<StackResult>>> = {
  transfer: async (job) => {
    const transfer = new Transfer(job);
    transfer.warm(job.warmSeconds);
    return transfer.run(job.seconds);
  },
  iperf: async (job) => ({ bitsPerSecond: await runStackIperf({ isReverse: false, ...job }) }),
  idle: async ({ count = CONNECTIONS, isIp6, seconds }) => ({ ...idle(count, isIp6, seconds) }),
  cycles: async ({ isIp6, seconds }) => ({ ...cycles(isIp6, seconds) }),
  'kernel-cycles': async ({ isIp6, seconds }) => ({ perSecond: await kernelCycles(loopback(isIp6), seconds) }),
  request: async (job) => rtts(requestsInProcess({ ...job, count: job.count ?? REQUESTS })),
  'request-kernel': async (job) => rtts(await requestsToKernel({ ...job, count: job.count ?? REQUESTS })),
  'kernel-request': async ({ isIp6, count = REQUESTS, isApart = false }) =>
    rtts(await kernelRequests(loopback(isIp6), count, isApart)),
};

const loopback = (isIp6: boolean): string => (isIp6 ? '::1' : '127.0.0.1');

const rtts = (sorted: Float64Array): StackResult => ({ p50Us: quantile(sorted, 0.5), p99Us: quantile(sorted, 0.99) });

try {
  const job = { ...STACK_JOB, ...(JSON.parse(process.argv[2] ?? '{}') as StackJob) };
  process.stdout.write(`${JSON.stringify(await LOADS[job.load](job))}\n`);
  process.exit(0);
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exit(1);
}
