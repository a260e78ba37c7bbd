// Processes of a benchmark: each is ended by its own pid, also when the benchmark is interrupted.

import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const STOP_MS_MAX = 2000;
const ERROR_CHARS_MAX = 2000;

const alive = new Set<ChildProcess>();
const leaders = new Set<ChildProcess>(); // of a process group
const folders = new Set<string>();

const undo = new Set<() => void>();

process.on('exit', () => {
  for (const child of alive) end(child, 'SIGKILL');
  for (const action of undo) action();
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(130));

/** A directory that is removed when the benchmark ends. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'weft-bench-'));
  folders.add(folder);
  return folder;
}

/** Does `action` when the benchmark ends, also when it is interrupted; call what is returned to do it now. */
export function finallyDo(action: () => void): () => void {
  undo.add(action);
  return () => {
    if (undo.delete(action)) action();
  };
}

/** How a program is started: on which CPU, with what more in its environment, with children that end when it does. */
export interface StartOptions {
  readonly cpu?: number;
  readonly env?: NodeJS.ProcessEnv;
  readonly withChildren?: boolean;
}

/** Starts a program. Its standard input stays open (`vde_switch` ends when it is closed). */
export function start(command: readonly string[], { cpu, env, withChildren = false }: StartOptions = {}): ChildProcess {
  const pinned = cpu === undefined ? command : ['taskset', '-c', String(cpu), ...command];
  const options: SpawnOptions = {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
    detached: withChildren,
  };
  const child = spawn(pinned[0]!, pinned.slice(1), options);
  if (withChildren) leaders.add(child);
  alive.add(child);
  child.once('exit', () => alive.delete(child));
  child.once('error', () => alive.delete(child));
  child.stdin?.on('error', () => undefined); // a program that ended early
  return child;
}

/** What a program prints until it ends. Rejects when it fails or is not done after `secondsMax`. */
export async function finish(child: ChildProcess, what: string, secondsMax: number): Promise<string> {
  let out = '';
  let error = '';
  child.stdout?.on('data', (data: Buffer) => {
    out += data;
  });
  child.stderr?.on('data', (data: Buffer) => {
    error = (error + data).slice(-ERROR_CHARS_MAX);
  });
  const timer = setTimeout(() => end(child, 'SIGKILL'), secondsMax * 1000);
  try {
    const [code, signal] = (await once(child, 'close')) as [number | null, string | null];
    if (code !== 0)
      throw new Error(`${what} ended with ${signal ?? code}: ${(error || out.slice(-ERROR_CHARS_MAX)).trim()}`);
    return out;
  } finally {
    clearTimeout(timer);
  }
}

/** Ends a program politely, then by force. */
export async function stop(child: ChildProcess): Promise<void> {
  if (leaders.has(child)) end(child, 'SIGTERM'); // its children may outlive it
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  const timer = setTimeout(() => end(child, 'SIGKILL'), STOP_MS_MAX);
  await ended;
  clearTimeout(timer);
}

function end(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return; // it never started
  try {
    process.kill(leaders.has(child) ? -child.pid : child.pid, signal);
  } catch {
    // it has ended by itself
  }
}

/** Asks `condition` every few milliseconds until it holds. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  what: string,
  secondsMax: number,
): Promise<void> {
  const end = performance.now() + secondsMax * 1000;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`${what}: not after ${secondsMax} s`);
    await pause(4);
  }
}

/** Waits. */
export const pause = (milliseconds: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, milliseconds));
