// Becoming another program: what Node changed about the process is put back, then execvp(3).

import { CallMemory, callMemory } from './call-memory.io.ts';
import { check, errno, sys } from './libc.io.ts';

const F_GETFD = 1;
const F_SETFD = 2;
const FD_CLOEXEC = 1;
const SIGPIPE = 13;
const SIGXFSZ = 25;
const SIG_DFL = 0;
const RLIMIT_NOFILE = 7;
const PR_SET_PDEATHSIG = 1;
const PR_CAP_AMBIENT = 47;
const PR_CAP_AMBIENT_RAISE = 2;
const PR_CAP_AMBIENT_CLEAR_ALL = 4;
const CAPABILITY_VERSION_3 = 0x20080522;

const POINTER_BYTES = 8;
const SLACK_BYTES = 4096;

/** Capabilities by number, capabilities(7). */
export const Capability = { NetBindService: 10, NetAdmin: 12, NetRaw: 13 } as const;

/** Undoes what Node sets and a program would inherit: SIGPIPE and SIGXFSZ are ignored. */
export function restoreSignals(): void {
  for (const signal of [SIGPIPE, SIGXFSZ]) sys().signal(signal, SIG_DFL);
}

/** Lets `fd` survive an exec: Node marks every descriptor that it was started with close-on-exec. */
export function keepOnExec(fd: number): void {
  const flags = check(sys().fcntl(fd, F_GETFD, 0), `descriptor ${fd}`);
  check(sys().fcntl(fd, F_SETFD, flags & ~FD_CLOEXEC), `descriptor ${fd}`);
}

/** Keeps `fd` from surviving an exec. */
export function closeOnExec(fd: number): void {
  check(sys().fcntl(fd, F_SETFD, FD_CLOEXEC), `descriptor ${fd}`);
}

/** Sets the soft limit of open files, which Node raises to the hard limit at its start. Never above the hard limit. */
export function limitOpenFiles(soft: number): void {
  const memory = callMemory();
  const limit = memory.zeros(16); // struct rlimit: soft, hard
  if (sys().prlimit(0, RLIMIT_NOFILE, 0, memory.base + limit) < 0) return;
  const hard = memory.view.getBigUint64(limit + 8, true);
  if (BigInt(soft) > hard) return;
  memory.view.setBigUint64(limit, BigInt(soft), true);
  sys().prlimit(0, RLIMIT_NOFILE, memory.base + limit, 0);
}

/** Raises the soft limit of open files to the hard one: Node does at its start, but who started it may have asked otherwise. */
export function raiseOpenFiles(): void {
  const memory = callMemory();
  const limit = memory.zeros(16);
  if (sys().prlimit(0, RLIMIT_NOFILE, 0, memory.base + limit) < 0) return;
  const hard = memory.view.getBigUint64(limit + 8, true);
  if (memory.view.getBigUint64(limit, true) === hard) return;
  memory.view.setBigUint64(limit, hard, true);
  sys().prlimit(0, RLIMIT_NOFILE, memory.base + limit, 0);
}

/** Asks for `signal` when the parent dies. */
export function signalOnParentDeath(signal: number): void {
  check(sys().prctl(PR_SET_PDEATHSIG, signal, 0, 0, 0), 'PR_SET_PDEATHSIG');
}

/** Gives up every capability but `kept`, and lets those survive an exec of an ordinary program (ambient). For this thread. */
export function keepCapabilities(kept: readonly number[]): void {
  check(sys().prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0), 'PR_CAP_AMBIENT');
  const memory = callMemory();
  const header = memory.zeros(8);
  memory.view.setUint32(header, CAPABILITY_VERSION_3, true);
  const data = memory.zeros(24); // effective, permitted, inheritable; twice, for 64 bits
  for (const number of kept) {
    const word = data + 12 * Math.floor(number / 32);
    const bit = 2 ** (number % 32);
    for (let set = 0; set < 12; set += 4) {
      memory.view.setUint32(word + set, (memory.view.getUint32(word + set, true) | bit) >>> 0, true);
    }
  }
  check(sys().capset(memory.base + header, memory.base + data), 'capset');
  for (const number of kept) check(sys().prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, number, 0, 0), 'PR_CAP_AMBIENT');
}

/** Replaces this process by `argv[0]`, looked up in PATH, with this environment. Returns only on failure: the errno. */
export function execute(argv: readonly string[]): number {
  const texts = argv.map((text) => new TextEncoder().encode(`${text}\0`));
  const textBytes = texts.reduce((sum, text) => sum + text.length + POINTER_BYTES, 0);
  const vectorBytes = (argv.length + 1) * POINTER_BYTES;
  const memory = new CallMemory({ bytesMax: textBytes + vectorBytes + SLACK_BYTES });
  const vector = memory.zeros(vectorBytes);
  const offsets = texts.map((text) => memory.copy(text));
  for (const [i, offset] of offsets.entries()) memory.setPointer(vector + i * POINTER_BYTES, offset);
  sys().execvp(memory.base + offsets[0]!, memory.base + vector);
  return errno();
}
