// Runs a load of stacks in a process of its own, wherever a command line puts it.

import { finish, start } from './processes.ts';
import type { StackJob, StackResult } from './stack-job.ts';
import { built } from './switches.ts';

const SECONDS_MAX = 30;

/** One sample: a new process, which ends. `on` wraps its command line. */
export async function runStack(
  job: StackJob,
  on: (command: readonly string[]) => readonly string[] = (command) => command,
): Promise<StackResult> {
  const command = on([process.execPath, built('bench-stack.js'), JSON.stringify(job)]);
  return JSON.parse(
    await finish(start(command, { withChildren: true }), 'the load of stacks', SECONDS_MAX),
  ) as StackResult;
}
