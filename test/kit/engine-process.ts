// An engine as a process of its own, as users start it, and what /proc says of it.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createConnection, type Socket } from 'node:net';
import { join } from 'node:path';
import { tempDir, until } from './test-host.ts';
import { ROOT } from './tidy.ts';

const WEFT = join(ROOT, 'dist/weft.js');
const TICKS_MS = 10; // of utime and stime, USER_HZ

/** The built command; fails with what to do where it is missing. */
export function weftCommand(): string[] {
  if (!existsSync(WEFT)) throw new Error('dist/weft.js is missing; run: npm run build');
  return [process.execPath, WEFT];
}

/** Runs a command of weft to its end. */
export function weft(args: readonly string[], options: { env?: NodeJS.ProcessEnv; prefix?: readonly string[] } = {}) {
  const [program, ...rest] = [...(options.prefix ?? []), ...weftCommand(), ...args];
  const { status, stdout, stderr } = spawnSync(program!, rest, {
    encoding: 'utf8',
    timeout: 20_000,
    env: { ...process.env, ...options.env },
  });
  return { status, stdout, stderr };
}

/** One `weft switch` in a directory of its own. */
export class EngineProcess {
  readonly directory: string;
  readonly child: ChildProcess;
  stdout = '';
  stderr = '';
  private readonly home: ReturnType<typeof tempDir>;
  private control: ControlClient | undefined;

  private constructor(home: ReturnType<typeof tempDir>, command: readonly string[], env: NodeJS.ProcessEnv) {
    this.home = home;
    this.directory = home.file('net');
    this.child = spawn(command[0]!, command.slice(1), { stdio: 'pipe', env: { ...process.env, ...env } });
    this.child.stdout!.on('data', (chunk) => {
      this.stdout += chunk;
    });
    this.child.stderr!.on('data', (chunk) => {
      this.stderr += chunk;
    });
  }

  /** Starts one and waits until it serves. `shell` is a command in which "$@" is the engine. */
  static async start(
    args: readonly string[] = [],
    {
      env = {},
      shell,
      home = tempDir(),
    }: { env?: NodeJS.ProcessEnv; shell?: string; home?: ReturnType<typeof tempDir> } = {},
  ): Promise<EngineProcess> {
    const engine = [...weftCommand(), 'switch', home.file('net'), ...args];
    const command = shell === undefined ? engine : ['sh', '-c', shell, 'sh', ...engine];
    const started = new EngineProcess(home, command, env);
    const isOver = (): boolean => started.child.exitCode !== null || existsSync(join(started.directory, 'control'));
    await until(isOver, 'the engine', 15_000);
    if (started.child.exitCode === null) await started.ask('status');
    else {
      home.remove();
      throw new Error(`the engine ended: ${started.stderr}`);
    }
    return started;
  }

  get pid(): number {
    return this.child.pid!;
  }

  /** Asks on one connection that stays open. */
  async ask(...words: string[]): Promise<unknown> {
    const path = join(this.directory, 'control');
    // It is there a moment before anybody listens.
    for (let tries = 0; !this.control; tries++) {
      this.control = await ControlClient.connect(path).catch(async (error: NodeJS.ErrnoException) => {
        if (error.code !== 'ECONNREFUSED' || tries > 1000) throw error;
        await new Promise((resolve) => setTimeout(resolve, 3));
        return undefined;
      });
    }
    return this.control.ask(words);
  }

  /** What is attached, as `port/list` has it. */
  async ports(): Promise<{ port: number; kind: string; state: string; drops: Record<string, number> }[]> {
    return (await this.ask('port/list')) as never;
  }

  countDescriptors(): number {
    return readdirSync(`/proc/${this.pid}/fd`).length;
  }

  rssBytes(): number {
    return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${this.pid}/status`, 'utf8'))![1]) * 1024;
  }

  /** CPU time used so far, in ms. */
  cpuMs(): number {
    const fields = readFileSync(`/proc/${this.pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
    return (Number(fields[11]) + Number(fields[12])) * TICKS_MS;
  }

  /** Share of one core that it takes while nobody asks anything. */
  async idleLoad(): Promise<number> {
    const [cpu, now] = [this.cpuMs(), performance.now()];
    await new Promise((resolve) => setTimeout(resolve, 600)); // the one thing that takes time is time
    return (this.cpuMs() - cpu) / (performance.now() - now);
  }

  /** Ends it; resolves to its exit status. What it left stays until `remove`. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    this.control?.close();
    if (this.child.exitCode === null && this.child.signalCode === null) {
      const ended = new Promise((resolve) => this.child.once('exit', resolve));
      this.child.kill(signal);
      const timer = setTimeout(() => this.child.kill('SIGKILL'), 10_000);
      await ended;
      clearTimeout(timer);
    }
    return this.child.exitCode;
  }

  /** Sockets and other files that it left behind. */
  leftovers(): string[] {
    return existsSync(this.directory) ? readdirSync(this.directory) : [];
  }

  remove(): void {
    this.home.remove();
  }
}

/** A client of the control socket. */
export class ControlClient {
  readonly socket: Socket;
  private readonly waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  private rest = '';
  private nextId = 1;
  answers = 0;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.setEncoding('utf8').on('data', (text: unknown) => this.take(String(text)));
    socket.on('error', () => {});
    socket.on('close', () => {
      for (const { reject } of this.waiting.values()) reject(new Error('the engine closed the control connection'));
    });
  }

  static connect(path: string): Promise<ControlClient> {
    return new Promise((resolve, reject) => {
      const socket = createConnection(path);
      socket.once('error', reject);
      socket.once('connect', () => resolve(new ControlClient(socket)));
    });
  }

  ask(words: readonly string[]): Promise<unknown> {
    const id = this.nextId++;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.socket.write(`${JSON.stringify({ id, do: words })}\n`);
    });
  }

  close(): void {
    this.socket.destroy();
  }

  private take(text: string): void {
    const lines = (this.rest + text).split('\n');
    this.rest = lines.pop()!;
    this.answers += lines.length;
    if (this.waiting.size === 0) return;
    for (const line of lines) {
      const { id, ok, result, error } = JSON.parse(line) as { id: number; ok: boolean; result: unknown; error: string };
      const waiting = this.waiting.get(id);
      this.waiting.delete(id);
      if (ok) waiting?.resolve(result);
      else waiting?.reject(new Error(error));
    }
  }
}
