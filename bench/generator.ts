// The load generator, a process of its own: takes one job as an argument, prints one result, ends.

import { isMainThread, workerData } from 'node:worker_threads';
import type { Job, Result } from './kit/job.ts';
import { busySeconds, cpuNs } from './kit/machine.ts';
import { quantile } from './kit/statistics.ts';
import type { Load } from './load/load.ts';
import { openOverload } from './load/overload.ts';
import { openPaced } from './load/paced.ts';
import { openPing } from './load/ping.ts';
import { openSaturate } from './load/saturate.ts';
import { openStream } from './load/stream.ts';
import { type ThreadData, work } from './load/threads.ts';

const LOADS: Readonly<Record<Job['load'], (job: Job) => Load>> = {
  saturate: openSaturate,
  overload: openOverload,
  ping: openPing,
  paced: openPaced,
  stream: openStream,
};

const NS = 1e9;

/** CPU time so far: of the switch, of this process, of everybody. */
function usage({ pids }: Job): { switchNs: number; ownNs: number; allNs: number } {
  const switchNs = pids.reduce((sum, pid) => sum + cpuNs(pid), 0);
  return { switchNs, ownNs: cpuNs(process.pid), allNs: busySeconds() * NS };
}

async function measure(job: Job): Promise<Result> {
  const load = LOADS[job.load](job);
  await load.run(job.warmSeconds);
  const before = usage(job);
  const startMs = performance.now();
  const counts = await load.run(job.seconds);
  const after = usage(job);
  const elapsedNs = (performance.now() - startMs) * 1e6;
  await load.close();
  const switchNs = after.switchNs - before.switchNs;
  const otherNs = after.allNs - before.allNs - switchNs - (after.ownNs - before.ownNs);
  const rtts = counts.rttsUs.sort();
  return {
    sent: counts.sent,
    delivered: counts.delivered,
    strays: counts.strays,
    seconds: counts.seconds,
    switchNs,
    otherCores: Math.max(0, otherNs / elapsedNs),
    p50Us: quantile(rtts, 0.5),
    p99Us: quantile(rtts, 0.99),
  };
}

if (isMainThread) {
  try {
    const job = JSON.parse(process.argv[2] ?? '{}') as Job;
    process.stdout.write(`${JSON.stringify(await measure(job))}\n`);
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n`);
    process.exitCode = 1;
  }
} else {
  work(workerData as ThreadData);
}
