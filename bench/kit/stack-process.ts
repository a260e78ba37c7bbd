// Runs a load of stacks in a process of its own, wherever a command line puts it.

import { withNamespaces } from './hosts.ts';
import { finish, start } from './processes.ts';
import type { Side } from './rounds.ts';
import { STACK_JOB, type StackJob, type StackResult } from './stack-job.ts';
import { built } from './switches.ts';

const SECONDS_MAX = 40;

/** One sample: a new process, which ends. `on` wraps its command line. */
export async function runStack(
  job: Partial<StackJob> & Pick<StackJob, 'load'>,
  on: (command: readonly string[]) => readonly string[] = (command) => command,
): Promise<StackResult> {
  const whole = JSON.stringify({ ...STACK_JOB, ...job });
  const child = start(on([process.execPath, '--expose-gc', built('bench-stack.js'), whole]), { withChildren: true });
  return JSON.parse(await finish(child, 'the load of stacks', SECONDS_MAX)) as StackResult;
}

/** A side that runs `job` each time and takes `value` of what it measured, multiplied by `unit`. */
export function stackSide(
  name: string,
  job: Partial<StackJob> & Pick<StackJob, 'load'>,
  value: string,
  unit: number,
): Side {
  return { name, sample: async () => (await runStack(job))[value]! * unit };
}

/** As `stackSide`, in a namespace of its own that knows nobody: for those that make a TAP. */
export function apartSide(
  name: string,
  job: Partial<StackJob> & Pick<StackJob, 'load'>,
  value: string,
  unit: number,
): Side {
  return {
    name,
    sample: async () => {
      const space = withNamespaces(['stack'], ([one]) => [one!, one!]);
      try {
        return (await runStack(job, (words) => space.on(0, words)))[value]! * unit;
      } finally {
        await space.close();
      }
    },
  };
}
