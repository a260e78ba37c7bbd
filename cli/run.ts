// `weft run`, the outer half: starts the program in namespaces of its own, hands its device to the engine, mirrors its end.
//
//   weft run (this) ──spawns──▶ unshare ──exec──▶ node dist/enter.js ──exec──▶ CMD
//        │   ▲                                        │ makes a TAP or veth pair, addresses, routes
//        │   └──────── device descriptor ─────────────┘
//        └── `join`: the same descriptor ──▶ engine      no frame ever passes through this process

import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync, readlinkSync, writeSync } from 'node:fs';
import { constants } from 'node:os';
import { fileURLToPath } from 'node:url';
import { UsageError } from '../core/assert.ts';
import { packetPair, receivePacket, sendPacket } from '../sys/fd-passing.io.ts';
import { pollReadable, SysError, sys, whyNoNative } from '../sys/libc.io.ts';
import { addressing, type EnterSpec, type Go, type Ready } from './enter-spec.ts';
import { type JoinConnection, type Joined, type JoinRequest, Membership, reachJoin } from './join.ts';
import { networkDirectory, networkName, networksDirectory } from './net-dir.ts';
import { parseRunOptions, RUN_USAGE, type RunOptions } from './run-options.ts';

const FAILED = 1;
const USAGE = 2;
const SIGNALED = 128;
const MARKED_MAX = 16; // libuv marks descriptors up to this one, and further ones as long as there is no gap

/** A failure with one clear line for the operator. Exit status 1. */
class Failure extends Error {
  override readonly name = 'Failure';
}

/** Runs a program inside a network; the exit status is the program's own. Prints its failures itself. */
export async function run(argv: string[]): Promise<number> {
  try {
    const options = parseRunOptions(argv);
    if (options !== 'help') return await supervise(options);
    writeSync(1, RUN_USAGE);
    return 0;
  } catch (error) {
    if (!(error instanceof UsageError || error instanceof Failure || error instanceof SysError)) throw error;
    complain(error.message);
    return error instanceof UsageError ? USAGE : FAILED;
  }
}

// process.stderr would make the terminal, which the program shares, non-blocking.
const complain = (line: string): void => void writeSync(2, `weft: ${line}\n`);

async function supervise(options: RunOptions): Promise<number> {
  const why = whyNoNative();
  if (why) throw new Failure(`run needs system calls that this host does not give: ${why}`);
  const directory = networkDirectory(options.net);
  const path = `${directory}/join`;
  refuseWithoutNamespaces();
  const engine = await reach(path, options);
  const [ours, theirs] = packetPair();
  const child = launch(options, directory, theirs);
  sys().close(theirs);
  const program = new Program(child, ours);
  let membership: Membership | undefined;
  try {
    const device = await program.device;
    if (device) {
      const { name, mtu } = options;
      // Whoever chose addresses chose all of them.
      const lease = options.addresses.length === 0;
      const request: JoinRequest = { kind: device.kind, name, pid: child.pid ?? 0, mtu, mac: macText(options), lease };
      const joined = await engine.join(request, device.descriptor).catch((error: Error) => {
        throw new Failure(`network '${networkName(options.net)}' gave no port: ${error.message}`);
      });
      membership = new Membership(path, request, device.descriptor, engine, joined.addresses);
      program.go(goOf(options, joined));
    }
    return await program.status;
  } finally {
    program.close();
    membership?.close();
    engine.close();
  }
}

/** What the program gets on top of its options. */
function goOf(options: RunOptions, { addresses, gateways, mtu, dns, search }: Joined): Go {
  const isLeased = options.addresses.length === 0;
  const servers = options.dns ?? (isLeased ? dns : []);
  const names = { servers, search: isLeased ? search : [] };
  // A gateway that was chosen takes the place of the lease's of the same family.
  const others = gateways.filter((gateway) => !options.gateways.some((chosen) => chosen.length === gateway.length));
  const leased = isLeased ? addressing(addresses, others) : addressing([], []);
  return { ...leased, mtu: isLeased && !options.isMtuGiven ? mtu : 0, names };
}

const macText = ({ mac }: RunOptions): string =>
  Array.from(mac, (byte) => byte.toString(16).padStart(2, '0')).join(':');

/** Says before anything is started if the host forbids user namespaces altogether. */
function refuseWithoutNamespaces(): void {
  const forUsers = process.getuid?.() === 0 ? [] : ['kernel.unprivileged_userns_clone'];
  for (const name of ['user.max_user_namespaces', 'user.max_net_namespaces', ...forUsers]) {
    if (readSysctl(name) === '0') throw new Failure(`run needs user namespaces, which sysctl ${name}=0 forbids`);
  }
}

function readSysctl(name: string): string | undefined {
  try {
    return readFileSync(`/proc/sys/${name.replaceAll('.', '/')}`, 'latin1').trim();
  } catch {
    return undefined;
  }
}

async function reach(path: string, options: RunOptions): Promise<JoinConnection> {
  const network = `network '${networkName(options.net)}'`;
  let engine: JoinConnection;
  try {
    engine = await reachJoin(path, options.waitSeconds * 1000);
  } catch (error) {
    if (!(error instanceof SysError)) throw error;
    if (error.code === 'EACCES') throw new Failure(`${network} belongs to another user (${error.message})`);
    throw new Failure(`${network} is not up (${error.message}); start it with: weft up`);
  }
  // A name may stand for a directory in /tmp that somebody else made first; a directory that was named is trusted.
  const { uid } = engine;
  const isOurs = uid === process.getuid?.() || uid === 0;
  if (!isOurs && path.startsWith(`${networksDirectory()}/`)) {
    engine.close();
    throw new Failure(`${network} is served by user ${uid}; name it by its directory if you trust it`);
  }
  return engine;
}

function launch(options: RunOptions, directory: string, control: number): ChildProcess {
  const keep = inheritedDescriptors();
  const stdio: (number | 'ignore')[] = [0, 1, 2];
  for (const fd of keep) stdio[fd] = fd;
  for (let fd = 3; fd < stdio.length; fd++) stdio[fd] ??= 'ignore'; // close-on-exec in the inner half
  const spec: EnterSpec = {
    device: options.device,
    mac: [...options.mac],
    mtu: options.mtu,
    ...addressing(options.addresses, options.gateways),
    control: stdio.length,
    keep,
    openFiles: parentOpenFiles(),
  };
  const inner = fileURLToPath(new URL('./enter.js', import.meta.url));
  const namespaces = ['--user', '--map-current-user', '--net', '--keep-caps'];
  const args = [
    ...namespaces,
    '--',
    process.execPath,
    '--no-warnings',
    inner,
    JSON.stringify(spec),
    ...options.command,
  ];
  return spawn('unshare', args, {
    stdio: [...stdio, control],
    env: { ...process.env, WEFT_NET: directory },
  });
}

/**
 * Descriptors from 3 on that the user gave us, as `make -j` does, and that Node has marked close-on-exec: the first few.
 * Node opens its own at the lowest free numbers, an epoll first: what is below is not Node's, nor is what names a file.
 */
function inheritedDescriptors(): number[] {
  const found: number[] = [];
  let isBelowNode = true;
  for (let fd = 3; fd <= MARKED_MAX; fd++) {
    const target = linkOf(`/proc/self/fd/${fd}`);
    if (target === undefined || target === 'anon_inode:[eventpoll]') isBelowNode = false;
    else if (isBelowNode || target.startsWith('/')) found.push(fd);
  }
  return found;
}

function linkOf(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}

/** Node raises its soft limit of open files at start; the parent's is what the program would have had. */
function parentOpenFiles(): number | null {
  try {
    const limits = readFileSync(`/proc/${process.ppid}/limits`, 'latin1');
    const soft = /^Max open files +(\d+)/m.exec(limits)?.[1];
    return soft === undefined ? null : Number(soft);
  } catch {
    return null;
  }
}

interface Device {
  readonly kind: JoinRequest['kind'];
  readonly descriptor: number;
}

/** The child: inner half first, later the user's program. */
class Program {
  /** The device as soon as it is there; undefined if the child ended before. */
  readonly device: Promise<Device | undefined>;
  /** Our own exit status once the program ended. */
  readonly status: Promise<number>;
  private readonly child: ChildProcess;
  private readonly control: number;
  private readonly polling: { close(): void };
  private readonly listeners: [NodeJS.Signals, () => void][] = [];
  private settleDevice: (device: Device | undefined) => void = () => {};
  private isStarted = false; // the inner half is there
  private isRunning = false; // it became the program
  private isOpen = true;

  constructor(child: ChildProcess, control: number) {
    this.child = child;
    this.control = control;
    this.device = new Promise((resolve) => {
      this.settleDevice = resolve;
    });
    this.status = new Promise((resolve, reject) => {
      child.once('error', (error: NodeJS.ErrnoException) => reject(this.cannotStart(error)));
      child.once('exit', (code, signal) => resolve(this.ended(code, signal)));
    });
    this.polling = pollReadable(control, () => this.read());
    this.passSignals();
  }

  /** Lets the inner half become the program. If it is no longer there, `status` says how it ended. */
  go(go: Go): void {
    if (!this.isOpen) return; // it failed already, and said so
    try {
      sendPacket(this.control, new TextEncoder().encode(JSON.stringify(go)));
    } catch (error) {
      if (!(error instanceof SysError && error.code === 'EPIPE')) throw error;
    }
  }

  /** Without a `go` before, the inner half ends. */
  close(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.polling.close();
    sys().close(this.control);
    for (const [signal, listener] of this.listeners) process.removeListener(signal, listener);
  }

  private read(): void {
    if (!this.isOpen || this.isRunning) return;
    const packet = receivePacket(this.control);
    if (packet && packet.bytes.length > 0) {
      const { kind } = JSON.parse(new TextDecoder().decode(packet.bytes)) as Ready; // our own other half wrote it
      this.isStarted = true;
      this.settleDevice(kind === 'failed' ? undefined : { kind, descriptor: packet.descriptors[0]! });
    } else if (packet) {
      this.isRunning = this.isStarted; // its end closed by exec, or with the process
      this.polling.close();
    }
  }

  private cannotStart(error: NodeJS.ErrnoException): Failure {
    this.settleDevice(undefined);
    return new Failure(`run needs the program unshare of util-linux 2.36 or later (${error.code})`);
  }

  private ended(code: number | null, signal: NodeJS.Signals | null): number {
    this.settleDevice(undefined);
    this.close();
    if (signal) return endBySignal(signal);
    if (!this.isStarted && code !== 0) explainNoStart();
    return code ?? FAILED;
  }

  private passSignals(): void {
    // SIGTSTP and its like stop this process with its group, as a shell's job control expects.
    const always: NodeJS.Signals[] = ['SIGTERM', 'SIGHUP', 'SIGUSR1', 'SIGUSR2', 'SIGCONT'];
    const fromTerminal: NodeJS.Signals[] = ['SIGINT', 'SIGQUIT', 'SIGWINCH']; // it sends these to the whole group
    for (const signal of always) this.on(signal, () => this.pass(signal));
    for (const signal of fromTerminal) this.on(signal, () => isForeground() || this.pass(signal));
  }

  private on(signal: NodeJS.Signals, listener: () => void): void {
    process.on(signal, listener);
    this.listeners.push([signal, listener]);
  }

  private pass(signal: NodeJS.Signals): void {
    // SIGUSR1 would open Node's debugger in the inner half.
    if (this.isRunning || !signal.startsWith('SIGUSR')) this.child.kill(signal);
  }
}

/** True if a terminal has this process group in its foreground, so that its signals reach the program without us. */
function isForeground(): boolean {
  const stat = readFileSync('/proc/self/stat', 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' '); // state, ppid, pgrp, session, tty, tpgid
  return fields[2] === fields[5];
}

// These write a core file: ours would be of no use.
const CORE_SIGNALS: ReadonlySet<string> = new Set(
  'SIGQUIT SIGILL SIGTRAP SIGABRT SIGBUS SIGFPE SIGSEGV SIGXCPU SIGXFSZ SIGSYS'.split(' '),
);

/** Ends this process as the program ended, so that a shell sees the same. */
function endBySignal(signal: NodeJS.Signals): number {
  if (!CORE_SIGNALS.has(signal)) process.kill(process.pid, signal);
  return SIGNALED + (constants.signals[signal] ?? 0);
}

/** Called when not even the inner half came up; unshare has printed which system call failed. */
function explainNoStart(): void {
  const restricted = 'kernel.apparmor_restrict_unprivileged_userns';
  if (readSysctl(restricted) === '1') complain(`run needs user namespaces, which sysctl ${restricted}=1 forbids`);
  else complain('run could not make a user and network namespace (needs unshare of util-linux 2.36 or later)');
}
