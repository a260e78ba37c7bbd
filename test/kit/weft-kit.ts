// Real engines (dist/weft.js) in a directory of their own, and programs around them, all as an ordinary user.

import { execFileSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { chownSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { AS_USER, type Ended, needRoot, Running } from './run-kit.ts';
import { ROOT } from './tidy.ts';

const NOBODY = 65534;
const isRoot = process.getuid?.() === 0;
const WEFT_JS = join(ROOT, 'dist', 'weft.js');
const PATH = '/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin'; // not root's own
const POLL_MS = 25;
const PATIENCE_MS = 30_000;

/** What `describe` gets: the machine is shared, and a failure should say more than that it was slow. */
export const PATIENT = { timeout: 60_000 };

/** A command line of weft, as `weft WORDS` would be typed. */
export const weft = (...words: readonly string[]): string[] => [process.execPath, WEFT_JS, ...words];

/** The same within a line for `sh -c`. */
export const WEFT = `'${process.execPath}' '${WEFT_JS}'`;

/** Skips unless programs can be given a /dev/net/tun that an ordinary user may open. */
export const needTun = needRoot;

type Maybe<T> = T | false | undefined;

/** Asks until `look` finds something that is not false; at most for half a minute. */
export async function eventually<T>(what: string, look: () => Maybe<T> | Promise<Maybe<T>>): Promise<T> {
  const lastMs = performance.now() + PATIENCE_MS;
  for (;;) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    if (performance.now() > lastMs) throw new Error(`waited in vain: ${what}`);
    await pause(POLL_MS);
  }
}

/** A UDP port of loopback that is free now. */
export async function freePort(): Promise<number> {
  const socket = createSocket('udp4').bind(0, '127.0.0.1');
  await once(socket, 'listening');
  const { port } = socket.address();
  socket.close();
  return port;
}

/** What `weft status --json` says; see engine/report.ts. */
export interface Inspection {
  pid: number;
  networks: { name: string; directory: string; ports: number; attached: number; stations: number }[];
  attached: {
    port: number;
    kind: string;
    description: string;
    uid?: number;
    pid?: number;
    pvid?: number;
    tagged?: 'all' | number[];
    rx: { frames: number };
    tx: { frames: number };
    drops: Record<string, number>;
  }[];
}

export interface StartOptions {
  /** With a /dev/net/tun that may be opened by everybody, in a mount namespace of its own. */
  tun?: boolean;
  /** As another user than all the others; only root can. */
  uid?: number;
  env?: NodeJS.ProcessEnv;
}

/** A temporary home with engines and programs; `close` ends everything that it started. */
export class Home {
  /** HOME, XDG_RUNTIME_DIR and working directory of everything in it. Short, for the paths of sockets. */
  readonly directory: string;
  private readonly running: Running[] = [];
  private readonly inside: readonly string[];
  private hasTun = false;

  /** With `inside`, everything runs behind that command: a world's `inHost`. */
  constructor({ inside = [] }: { inside?: readonly string[] } = {}) {
    this.inside = inside;
    this.directory = mkdtempSync('/tmp/weft-');
    if (isRoot) chownSync(this.directory, NOBODY, NOBODY);
  }

  file(name: string): string {
    return join(this.directory, name);
  }

  makeDirectory(name: string): string {
    const path = this.file(name);
    mkdirSync(path, { mode: 0o700 });
    if (isRoot) chownSync(path, NOBODY, NOBODY);
    return path;
  }

  /** Starts a program as an ordinary user. */
  start(command: readonly string[], { tun, uid, env }: StartOptions = {}): Running {
    const user = uid === undefined ? AS_USER : ['setpriv', `--reuid=${uid}`, `--regid=${uid}`, '--clear-groups', '--'];
    const running = new Running([...this.inside, ...(tun ? this.withTun() : []), ...user, ...command], {
      cwd: this.directory,
      env: { ...process.env, PATH, HOME: this.directory, XDG_RUNTIME_DIR: this.directory, WEFT_NET: '', ...env },
    });
    this.running.push(running);
    return running;
  }

  /** Runs a program to its end, with nothing on its standard input. */
  exec(command: readonly string[], options?: StartOptions): Promise<Ended> {
    const running = this.start(command, options);
    running.child.stdin!.end();
    return running.ended;
  }

  /** Runs a line of shell; the output of one that succeeds. Rejects with what it said otherwise. */
  async sh(line: string, options?: StartOptions): Promise<string> {
    const { status, stdout, stderr } = await this.exec(['sh', '-c', line], options);
    if (status !== 0) throw new Error(`status ${status}: ${line}\n${stdout}${stderr}`);
    return stdout;
  }

  /** Starts `weft WORDS`, an engine, in the foreground; resolves when it serves its networks. */
  async engine(...words: readonly string[]): Promise<Running> {
    const engine = this.start(weft(...words));
    await engine.said(/ is up in /);
    return engine;
  }

  /** An engine with one switch; resolves to its directory. */
  async switch(name: string, ...options: readonly string[]): Promise<string> {
    const directory = this.file(name);
    await this.engine('switch', ...options, directory);
    return directory;
  }

  /** Starts a C vde_switch; resolves to its directory and process. */
  async vdeSwitch(name: string, ...options: readonly string[]): Promise<{ directory: string; process: Running }> {
    const directory = this.file(name);
    const started = this.start(['vde_switch', '-s', directory, ...options]);
    await eventually('vde_switch', () => this.isSocket(`${directory}/ctl`));
    return { directory, process: started };
  }

  /** Starts `weft run OPTIONS -- sh` with a shell that waits; resolves when it is in the network. */
  async program(net: string, options: readonly string[], line: string, start?: StartOptions): Promise<Running> {
    const program = this.start(weft('run', '--net', net, ...options, '--', 'sh', '-c', `echo inside; ${line}`), start);
    await program.said(/inside/);
    return program;
  }

  /** Starts `vdens` in a network with an address on its device, and a line of shell in it. */
  vdens(net: string, address: string, line: string): Running {
    const setUp = `ip address add ${address} dev vde0 && ip link set vde0 up && echo inside &&`;
    return this.start(['vdens', `vde://${net}`, 'sh', '-c', `${setUp} ${line}`], { tun: true });
  }

  /** `weft status NET --json`. */
  async inspect(net?: string): Promise<Inspection> {
    const { stdout, stderr } = await this.exec(weft('status', ...(net === undefined ? [] : [net]), '--json'));
    if (stdout === '') throw new Error(stderr);
    return JSON.parse(stdout) as Inspection;
  }

  /** `weft ctl --net NET --json WORDS`; rejects with the engine's complaint. */
  async ctl(net: string, ...words: readonly string[]): Promise<unknown> {
    const { status, stdout, stderr } = await this.exec(weft('ctl', '--net', net, '--json', ...words));
    if (status !== 0) throw new Error(stderr.trim());
    return JSON.parse(stdout) as unknown;
  }

  /** Resolves when so many ports are attached to the network. */
  async attached(net: string, count: number): Promise<Inspection['attached']> {
    return eventually(`${count} ports in ${net}`, async () => {
      const { attached } = await this.inspect(net);
      return attached.length === count && attached;
    });
  }

  /** A `vde_plug vde://NET` with frames on its standard input and output. */
  async vdePlug(net: string, port = ''): Promise<FramePipe> {
    const before = (await this.inspect(net)).attached.length;
    const plug = new FramePipe(this.start(['vde_plug', `vde://${net}${port}`]));
    await this.attached(net, before + 1);
    return plug;
  }

  isSocket(path: string): boolean {
    try {
      execFileSync('test', ['-S', path]);
      return true;
    } catch {
      return false;
    }
  }

  /** Ends one program now, as a crash would. */
  async kill(running: Running): Promise<void> {
    running.child.kill('SIGKILL');
    await running.ended;
  }

  async close(): Promise<void> {
    for (const { child } of this.running) child.kill('SIGTERM');
    const gone = Promise.all(this.running.map(({ ended }) => ended));
    await Promise.race([gone, pause(1000, undefined, { ref: false })]);
    for (const { child } of this.running) child.kill('SIGKILL');
    await gone;
    rmSync(this.directory, { recursive: true, force: true });
  }

  private withTun(): string[] {
    const node = this.file('tun');
    if (!this.hasTun) execFileSync('mknod', ['-m', '666', node, 'c', '10', '200']);
    this.hasTun = true;
    return ['unshare', '--mount', 'sh', '-c', 'mount --bind "$0" /dev/net/tun && exec "$@"', node];
  }
}

/** A program with frames on its standard input and output, a 2-byte length before each. */
export class FramePipe {
  readonly running: Running;

  constructor(running: Running) {
    this.running = running;
  }

  send(...frames: readonly Uint8Array[]): void {
    for (const frame of frames) {
      this.running.child.stdin!.write(Buffer.from([frame.length >> 8, frame.length & 0xff]));
      this.running.child.stdin!.write(frame);
    }
  }

  /** Every frame so far. */
  get frames(): Buffer[] {
    const bytes = Buffer.from(this.running.stdout, 'latin1');
    const frames: Buffer[] = [];
    for (let at = 0; at + 2 <= bytes.length; ) {
      const end = at + 2 + bytes.readUInt16BE(at);
      if (end > bytes.length) break;
      frames.push(bytes.subarray(at + 2, end));
      at = end;
    }
    return frames;
  }

  /** Every frame so far as hexadecimal text, when there are `count`. */
  async heard(count: number): Promise<string[]> {
    const frames = await eventually(`${count} frames`, () => this.frames.length >= count && this.frames);
    return frames.map(hex);
  }
}

export const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

export const BROADCAST = 'ff:ff:ff:ff:ff:ff';

/** A frame of the experimental EtherType with a text in it; `tags` are 4 bytes each as hexadecimal text. */
export function frame({ to = BROADCAST, from, tags = [], text }: FrameParts): Buffer {
  const head = [to, from, ...tags, '88b5'].join('').replaceAll(':', '');
  return Buffer.concat([Buffer.from(head, 'hex'), Buffer.from(text.padEnd(46, '.'))]);
}

export interface FrameParts {
  to?: string;
  from: string;
  tags?: readonly string[];
  text: string;
}
