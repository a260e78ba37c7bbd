// The machine that a number belongs to, and who uses its cores.

import { readdirSync, readFileSync } from 'node:fs';
import { availableParallelism, cpus, release } from 'node:os';

/** The switch runs here, the generator on `GENERATOR_CPU`. */
export const SWITCH_CPU = 0;
export const GENERATOR_CPU = 1;

const JIFFIES_PER_SECOND = 100; // USER_HZ, the unit of /proc/stat on every architecture

/** One line: processor, cores, kernel, Node. */
export function machineLine(): string {
  return `${cpus()[0]?.model.trim() ?? process.arch} x ${availableParallelism()}, Linux ${release()}, Node ${process.version}`;
}

/** CPU time of all threads of a process so far, ns; 0 once it is gone. */
export function cpuNs(pid: number): number {
  let sum = 0;
  for (const thread of threads(pid)) sum += Number(readOr(`/proc/${pid}/task/${thread}/schedstat`).split(' ')[0] ?? 0);
  return sum;
}

/** How often the threads of a process have gone to sleep of their own will. */
export function voluntarySwitches(pid: number): number {
  let sum = 0;
  for (const thread of threads(pid)) {
    sum += Number(/^voluntary_ctxt_switches:\s+(\d+)/m.exec(readOr(`/proc/${pid}/task/${thread}/status`))?.[1] ?? 0);
  }
  return sum;
}

/** Resident memory of a process, MiB. */
export function residentMib(pid: number): number {
  return Number(/^VmRSS:\s+(\d+)/m.exec(readOr(`/proc/${pid}/status`))?.[1] ?? 0) / 1024;
}

/** A process and all that it started and they started. */
export function withChildren(pid: number): readonly number[] {
  const children = threads(pid).flatMap((thread) => readOr(`/proc/${pid}/task/${thread}/children`).split(' '));
  return [pid, ...children.filter((child) => child !== '').flatMap((child) => withChildren(Number(child)))];
}

/** CPU seconds that all processes and the kernel have used since boot. Stolen time is not theirs. */
export function busySeconds(): number {
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = (
    /^cpu +(.*)$/m.exec(readOr('/proc/stat'))?.[1] ?? ''
  )
    .split(' ')
    .map(Number);
  return (user + nice + system + irq + softirq) / JIFFIES_PER_SECOND;
}

function threads(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    return [];
  }
}

function readOr(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return ''; // the process or thread has ended meanwhile
  }
}
