// A network served by the stand-in engine, and programs run inside it as an ordinary user, for tests of `weft run`.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { chmodSync, chownSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import type { TestContext } from 'vitest';
import { skipIf } from './skip.ts';
import { ROOT } from './tidy.ts';

const NOBODY = 65534;
export const isRoot = process.getuid?.() === 0;

/** In front of a command: makes it run as an ordinary user. */
export const AS_USER: readonly string[] = isRoot
  ? ['setpriv', `--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups', '--']
  : [];

/** Bundles the two halves and the stand-in into dist/`name`, where they find their packages; returns that directory. */
export async function buildRunKit(name: string): Promise<string> {
  const outdir = join(ROOT, 'dist', name);
  await build({
    absWorkingDir: ROOT,
    entryPoints: { run: 'test/kit/run-main.ts', enter: 'cli/enter.ts', 'join-server': 'test/kit/join-server.io.ts' },
    outdir,
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    external: ['koffi'],
  });
  return outdir;
}

const isInstalled = (program: string): boolean => {
  try {
    execFileSync('sh', ['-c', 'command -v "$1"', 'sh', program], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
};

/** Skips the test with a reason if a program is missing; fails it where nothing may be skipped. */
export function needPrograms(ctx: TestContext, ...programs: string[]): void {
  const missing = programs.filter((program) => !isInstalled(program));
  skipIf(ctx, missing.length > 0 ? `not installed: ${missing.join(', ')}` : undefined);
}

/** Skips unless root, which tests need that make a device node. */
export function needRoot(ctx: TestContext): void {
  skipIf(ctx, isRoot ? undefined : 'only root can make a /dev/net/tun for the test');
}

export interface Ended {
  status: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

/** A child with what it wrote so far. */
export class Running {
  stdout = '';
  stderr = '';
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  private readonly watchers = new Set<() => void>();

  constructor(command: readonly string[], options: { cwd?: string; env?: NodeJS.ProcessEnv } = {}) {
    this.child = spawn(command[0]!, command.slice(1), { stdio: 'pipe', ...options });
    this.child.stdin!.on('error', () => {}); // a program may end before it read everything
    this.child.stdout!.setEncoding('latin1').on('data', (text: string) => {
      this.stdout += text;
      for (const watch of this.watchers) watch();
    });
    this.child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
    });
    this.ended = new Promise((resolve) => {
      this.child.once('close', (status, signal) => {
        resolve({ status, signal, stdout: this.stdout, stderr: this.stderr });
        for (const watch of this.watchers) watch();
      });
    });
  }

  /** Resolves when `pattern` was written `times` times; rejects if the child ends before. */
  said(pattern: RegExp, times = 1): Promise<void> {
    const global = new RegExp(pattern.source, 'g');
    return new Promise((resolve, reject) => {
      const watch = (): void => {
        if ((this.stdout.match(global) ?? []).length >= times) resolve();
        else if (this.child.exitCode !== null || this.child.signalCode !== null) {
          reject(new Error(`ended without saying ${pattern}: ${this.stdout}${this.stderr}`));
        } else return;
        this.watchers.delete(watch);
      };
      this.watchers.add(watch);
      watch();
    });
  }
}

/** A network in a temporary directory. */
export class TestNetwork {
  readonly directory: string;
  server!: Running;
  private readonly dist: string;
  private readonly running: Running[] = [];

  constructor(dist: string) {
    this.dist = dist;
    this.directory = mkdtempSync(join(tmpdir(), 'weft-run-'));
    chmodSync(this.directory, 0o700);
    if (isRoot) chownSync(this.directory, NOBODY, NOBODY);
  }

  /** Starts the stand-in; `mode` `refuse` makes it refuse every port, `lease` give addresses. */
  async up(mode = 'hub'): Promise<void> {
    this.server = this.start([...AS_USER, process.execPath, join(this.dist, 'join-server.js'), this.directory, mode]);
    await this.server.said(/ready/);
  }

  /** Ends the stand-in as a crash would: its socket file stays behind, and is removed as a new engine does. */
  async crash(): Promise<void> {
    this.server.child.kill('SIGKILL');
    await this.server.ended;
    rmSync(join(this.directory, 'join'), { force: true });
  }

  /** The command line of `weft run` with these arguments. */
  command(...args: string[]): string[] {
    return [process.execPath, join(this.dist, 'run.js'), ...args];
  }

  /** Starts `weft run --net HERE ARGS` as an ordinary user. */
  run(args: readonly string[], options: { cwd?: string; env?: NodeJS.ProcessEnv } = {}): Running {
    return this.start([...AS_USER, ...this.command('--net', this.directory, ...args)], options);
  }

  start(command: readonly string[], options: { cwd?: string; env?: NodeJS.ProcessEnv } = {}): Running {
    const running = new Running(command, options);
    this.running.push(running);
    return running;
  }

  async close(): Promise<void> {
    for (const { child } of this.running) child.kill('SIGKILL');
    await Promise.all(this.running.map((each) => each.ended));
    rmSync(this.directory, { recursive: true, force: true });
  }
}
