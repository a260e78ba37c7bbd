// Runs every ```sh tutorial=NAME block of README.md as an ordinary user in a fresh HOME and XDG_RUNTIME_DIR.

import { spawn } from 'node:child_process';
import {
  accessSync,
  chmodSync,
  chownSync,
  constants,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, type TestContext, test } from 'vitest';
import { AS_USER, needPrograms } from './kit/run-kit.ts';
import { skipIf } from './kit/skip.ts';
import { ROOT } from './kit/tidy.ts';
import { lessonsOf, missingLine } from './kit/tutorial.ts';

const NOBODY = 65534;
const LESSON_MS = 60_000;
const isRoot = process.getuid?.() === 0;
const readme = readFileSync(join(ROOT, 'README.md'), 'utf8');
const lessons = lessonsOf(readme);

// Each lesson has a loopback of its own, so that its ports are free; root gives it a /dev/net/tun as most systems have it.
const ISOLATE = [
  'ip link set lo up',
  '{ mknod -m 666 "$0/tun" c 10 200 && mkdir -p /dev/net && touch /dev/net/tun && mount --bind "$0/tun" /dev/net/tun; } || :',
  'exec "$@"',
].join('\n');

/** The home of one lesson. */
class Desk {
  readonly directory = mkdtempSync(join(tmpdir(), 'weft-lesson-'));

  constructor() {
    chmodSync(this.directory, 0o755);
    for (const name of ['home', 'run', 'bin']) mkdirSync(join(this.directory, name));
    writeFileSync(this.path('bin/weft'), `#!/bin/sh\nexec "${process.execPath}" "${ROOT}/dist/weft.js" "$@"\n`, {
      mode: 0o755,
    });
    cpSync(join(ROOT, 'examples'), this.path('home/examples'), { recursive: true });
    chmodSync(this.path('run'), 0o700);
    if (isRoot) for (const name of ['home', 'run']) chownSync(this.path(name), NOBODY, NOBODY);
  }

  path(name: string): string {
    return join(this.directory, name);
  }

  /** Runs a script; resolves to its status and everything that it and its children printed meanwhile. */
  run(script: string): Promise<{ status: number | null; output: string }> {
    const bash = [...AS_USER, 'bash', '-euo', 'pipefail', '-c', `exec 2>&1\n${script}`];
    // Nothing of a lesson reaches the machine's network, whatever its gateway would let out.
    const apart = isRoot ? ['--mount', '--net'] : ['--user', '--map-current-user', '--keep-caps', '--mount', '--net'];
    const command = ['unshare', ...apart, 'sh', '-c', ISOLATE, this.directory, ...bash];
    const path = `${this.path('bin')}:${process.env.PATH}:/usr/sbin:/sbin`;
    const env = { HOME: this.path('home'), XDG_RUNTIME_DIR: this.path('run'), PATH: path, LANG: 'C.UTF-8' };
    const child = spawn(command[0]!, command.slice(1), { cwd: env.HOME, env, stdio: ['ignore', 'pipe', 'pipe'] });
    const timer = setTimeout(() => this.clear(), LESSON_MS - 5000);
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        output += text;
      });
    }
    return new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (status) => {
        clearTimeout(timer);
        this.clear(); // what was left in the background holds the pipe
        child.once('close', () => resolve({ status, output }));
      });
    });
  }

  /** Ends what the lesson left running: the processes that have this desk's HOME. */
  clear(): void {
    for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
      try {
        const environment = readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0');
        if (environment.includes(`HOME=${this.path('home')}`)) process.kill(Number(pid), 'SIGKILL');
      } catch {
        // It ended by itself, or is somebody else's.
      }
    }
  }

  close(): void {
    this.clear();
    rmSync(this.directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  }
}

/** vdens has no other way in than a TAP; root gives its lessons one. */
function needTap(ctx: TestContext): void {
  try {
    if (!isRoot) accessSync('/dev/net/tun', constants.R_OK | constants.W_OK);
  } catch {
    skipIf(ctx, 'vdens needs a /dev/net/tun that a user may open');
  }
}

describe('README.md', () => {
  test.for(lessons)('$name does what it says', { timeout: LESSON_MS }, async ({ needs, script, expected }, ctx) => {
    needPrograms(ctx, 'bash', 'unshare', ...needs);
    if (needs.includes('vdens')) needTap(ctx);
    const desk = new Desk();
    try {
      const { status, output } = await desk.run(script);
      expect({ status, missing: missingLine(expected, output) }, output).toEqual({ status: 0, missing: undefined });
    } finally {
      desk.close();
    }
  });

  test('has a lesson for every use', () => {
    expect(lessons.length).toBeGreaterThan(15);
    expect(new Set(lessons.map((lesson) => lesson.name)).size).toBe(lessons.length);
  });

  test('mentions every example', () => {
    for (const name of readdirSync(join(ROOT, 'examples'))) expect(readme).toContain(`examples/${name}`);
  });
});

describe('the comparison of what was printed', () => {
  test.each([
    { expected: ['a', 'c'], output: 'a\nb\nc\n', missing: undefined },
    { expected: ['c', 'a'], output: 'a\nb\nc\n', missing: 'a' },
    { expected: ['1 of ... ports'], output: '1  of 1024 ports', missing: undefined },
    { expected: ['...'], output: '', missing: undefined },
    { expected: ['a.c'], output: 'abc', missing: 'a.c' },
    { expected: ['a', 'a'], output: 'a', missing: 'a' },
  ])('$expected in $output', ({ expected, output, missing }) => {
    expect(missingLine(expected, output)).toBe(missing);
  });
});
