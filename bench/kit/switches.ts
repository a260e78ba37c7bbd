// The switches that are compared, and how to start one.

import type { ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { SWITCH_CPU } from './machine.ts';
import { start, stop, temporaryFolder, until } from './processes.ts';

const START_SECONDS_MAX = 10;

/** A switch that can be started. */
export interface SwitchUnderTest {
  readonly name: string;
  command(dir: string, ports: number): readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  /** The socket in its directory that says it is ready; `ctl` if not given. */
  readonly door?: string;
}

/** A started switch that accepts connections. */
export interface RunningSwitch {
  readonly dir: string;
  readonly pid: number;
  stop(): Promise<void>;
}

/** A program that the build put beside this one. */
export const built = (file: string): string => fileURLToPath(new URL(file, import.meta.url));

/** weft's switch as it was built last. */
export function weft(env: NodeJS.ProcessEnv = {}): SwitchUnderTest {
  const command = (dir: string, ports: number) => [
    process.execPath,
    built('weft.js'),
    'switch',
    dir,
    '--ports',
    `${ports}`,
  ];
  return { name: 'weft', command, env, door: doorOf(env) };
}

/** Debian's switch, with more options where a case asks for them. */
export function vdeSwitch(...options: string[]): SwitchUnderTest {
  return { name: 'vde_switch', command: (dir, ports) => ['vde_switch', '-s', dir, '-n', `${ports}`, ...options] };
}

/** Any other switch: a command line in which `{dir}` and `{ports}` are replaced, to compare two builds for instance. */
export function other(line: string, env: NodeJS.ProcessEnv = {}): SwitchUnderTest {
  const words = line.split(' ').filter((word) => word !== '');
  const command = (dir: string, ports: number) =>
    words.map((word) => word.replaceAll('{dir}', dir).replaceAll('{ports}', `${ports}`));
  return { name: words[0] ?? 'other', command, env, door: doorOf(env) };
}

// Without native code there are no VDE sockets, only the stream.
const doorOf = (env: NodeJS.ProcessEnv): string => (env.WEFT_NO_NATIVE ? 'stream' : 'ctl');

/** Starts a switch, on its CPU unless `isPinned` is false, and waits until it accepts a connection. */
export async function startSwitch(kind: SwitchUnderTest, ports: number, isPinned = true): Promise<RunningSwitch> {
  const dir = join(temporaryFolder(), 'net');
  const child = start(kind.command(dir, ports), { ...(isPinned ? { cpu: SWITCH_CPU } : {}), env: kind.env ?? {} });
  const door = join(dir, kind.door ?? 'ctl');
  const said = listen(child);
  const ready = async (): Promise<boolean> => {
    if (child.exitCode !== null) throw new Error(`${kind.name} ended with ${child.exitCode}: ${said().trim()}`);
    return existsSync(door) && (await accepts(door));
  };
  await until(ready, `${kind.name} accepts connections`, START_SECONDS_MAX);
  return { dir, pid: child.pid!, stop: () => stop(child) };
}

/** Keeps the end of what a program says, so that it never blocks on a full pipe. */
function listen(child: ChildProcess): () => string {
  let text = '';
  const keep = (data: Buffer): void => {
    text = (text + data).slice(-1000);
  };
  child.stdout?.on('data', keep);
  child.stderr?.on('data', keep);
  child.once('error', (error) => keep(Buffer.from(error.message)));
  return () => text;
}

function accepts(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const answer = (is: boolean) => () => {
      socket.destroy();
      resolve(is);
    };
    socket.once('connect', answer(true));
    socket.once('error', answer(false));
  });
}
