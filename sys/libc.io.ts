// The host's system calls that Node lacks, called directly through koffi on memory of ours.

import { createRequire } from 'node:module';
import { endianness } from 'node:os';
import type { Slab } from '../core/slab.ts';

/** Pointers are passed as plain numbers: user addresses are below 2^47, so a double holds them exactly. */
type Call = (...args: number[]) => number;
type Koffi = typeof import('koffi');

/** Errors of the C library by number (Linux, every architecture that we run on). */
export const Errno = {
  EPERM: 1,
  ENOENT: 2,
  EINTR: 4,
  EIO: 5,
  EBADF: 9,
  EAGAIN: 11,
  ENOMEM: 12,
  ENXIO: 6,
  E2BIG: 7,
  ENOEXEC: 8,
  EACCES: 13,
  EBUSY: 16,
  EEXIST: 17,
  ENODEV: 19,
  ENOTDIR: 20,
  EISDIR: 21,
  EINVAL: 22,
  ENOSPC: 28,
  EPIPE: 32,
  ENAMETOOLONG: 36,
  ELOOP: 40,
  EMSGSIZE: 90,
  EPROTONOSUPPORT: 93,
  EOPNOTSUPP: 95,
  EAFNOSUPPORT: 97,
  EADDRINUSE: 98,
  EADDRNOTAVAIL: 99,
  ENETDOWN: 100,
  ENETUNREACH: 101,
  ECONNRESET: 104,
  ENOBUFS: 105,
  ENOTCONN: 107,
  ECONNREFUSED: 111,
  EHOSTUNREACH: 113,
  EINPROGRESS: 115,
} as const;

const ERRNO_NAMES = new Map<number, string>(Object.entries(Errno).map(([name, value]) => [value, name]));

/** A system call that failed: `code` is the name of the errno, as in Node's own errors. */
export class SysError extends Error {
  override readonly name = 'SysError';
  readonly code: string;
  readonly errno: number;

  constructor(what: string, errno: number) {
    const code = ERRNO_NAMES.get(errno) ?? `errno ${errno}`;
    super(`${what}: ${code}`);
    this.code = code;
    this.errno = errno;
  }
}

// Architectures whose struct layouts and constants are the ones written down in this room.
const ARCHITECTURES: ReadonlySet<string> = new Set(['x64', 'arm64', 'riscv64']);

let koffi: Koffi | undefined;
let refusal: string | undefined;

/** Why native calls cannot be used on this host, or undefined if they can. Loads koffi at the first call. */
export function whyNoNative(): string | undefined {
  if (koffi || refusal) return refusal;
  if (process.env.WEFT_NO_NATIVE) refusal = 'WEFT_NO_NATIVE is set';
  else if (process.platform !== 'linux') refusal = `native ports need Linux, this is ${process.platform}`;
  else if (!ARCHITECTURES.has(process.arch) || endianness() !== 'LE') refusal = `no native ports on ${process.arch}`;
  else {
    try {
      koffi = createRequire(import.meta.url)('koffi') as Koffi;
    } catch (error) {
      refusal = `koffi cannot be loaded (${(error as Error).message.split('\n')[0]})`;
    }
  }
  return refusal;
}

function loaded(): Koffi {
  const why = whyNoNative();
  if (why || !koffi) throw new SysError(`system calls are not available: ${why}`, Errno.ENODEV);
  return koffi;
}

/** The errno of the last call of this thread; read it at once. */
export const errno = (): number => loaded().errno();

/** Throws `SysError` if `result` is negative, else returns it. */
export function check(result: number, what: string): number {
  if (result < 0) throw new SysError(what, errno());
  return result;
}

/** A descriptor that is polled. `unref`: the process need not go on for it. */
export interface Polling {
  close(): void;
  unref(): void;
}

/** Calls `callback` on this thread's libuv loop whenever `fd` is readable. Keep the handle: if it is collected, polling ends. */
export function pollReadable(fd: number, callback: () => void): Polling {
  const handle = (loaded() as unknown as { node: { poll(fd: number, cb: () => void): Polling } }).node.poll(
    fd,
    callback,
  );
  return handle;
}

// Every parameter is an integer: at most six of them, no conversions, koffi's fast path.
const SIGNATURES = {
  socket: ['int', 'int', 'int', 'int'],
  socketpair: ['int', 'int', 'int', 'int', 'long'],
  bind: ['int', 'int', 'long', 'int'],
  connect: ['int', 'int', 'long', 'int'],
  listen: ['int', 'int', 'int'],
  accept4: ['int', 'int', 'long', 'long', 'int'],
  getsockname: ['int', 'int', 'long', 'long'],
  getpeername: ['int', 'int', 'long', 'long'],
  getsockopt: ['int', 'int', 'int', 'int', 'long', 'long'],
  setsockopt: ['int', 'int', 'int', 'int', 'long', 'int'],
  shutdown: ['int', 'int', 'int'],
  recv: ['long', 'int', 'long', 'long', 'int'],
  send: ['long', 'int', 'long', 'long', 'int'],
  recvfrom: ['long', 'int', 'long', 'long', 'int', 'long', 'long'],
  sendto: ['long', 'int', 'long', 'long', 'int', 'long', 'int'],
  recvmsg: ['long', 'int', 'long', 'int'],
  sendmsg: ['long', 'int', 'long', 'int'],
  recvmmsg: ['int', 'int', 'long', 'int', 'int', 'long'],
  sendmmsg: ['int', 'int', 'long', 'int', 'int'],
  read: ['long', 'int', 'long', 'long'],
  write: ['long', 'int', 'long', 'long'],
  readv: ['long', 'int', 'long', 'int'],
  writev: ['long', 'int', 'long', 'int'],
  open: ['int', 'long', 'int', 'int'],
  close: ['int', 'int'],
  dup: ['int', 'int'],
  fcntl: ['int', 'int', 'int', 'long'],
  ioctl: ['int', 'int', 'ulong', 'long'],
  poll: ['int', 'long', 'ulong', 'int'],
  epoll_create1: ['int', 'int'],
  epoll_ctl: ['int', 'int', 'int', 'int', 'long'],
  epoll_wait: ['int', 'int', 'long', 'int', 'int'],
  eventfd: ['int', 'uint', 'int'],
  usleep: ['int', 'uint'],
  prctl: ['int', 'int', 'ulong', 'ulong', 'ulong', 'ulong'],
  if_nametoindex: ['uint', 'long'],
  unshare: ['int', 'int'],
  mount: ['int', 'long', 'long', 'long', 'ulong', 'long'],
  umount2: ['int', 'long', 'int'],
  getuid: ['uint'],
  kill: ['int', 'int', 'int'],
  execvp: ['int', 'long', 'long'],
  dup2: ['int', 'int', 'int'],
  setns: ['int', 'int', 'int'],
  signal: ['long', 'int', 'long'],
  capset: ['int', 'long', 'long'],
  prlimit: ['int', 'int', 'int', 'long', 'long'],
} as const;

export type Libc = Readonly<Record<keyof typeof SIGNATURES, Call>>;

let libc: Libc | undefined;

/** The system calls by their C names. A pointer argument is `addressOf(…) + offset`. Throws `SysError` where they cannot be had. */
export function sys(): Libc {
  if (libc) return libc;
  const program = loaded().load(null);
  const calls: Record<string, Call> = {};
  for (const [name, [result, ...params]] of Object.entries(SIGNATURES)) {
    calls[name] = lazily(calls, name, () => program.func(name, result, params) as unknown as Call);
  }
  libc = calls as Libc;
  return libc;
}

/** Binds a function at its first call: declaring all of them would cost milliseconds at every start. */
function lazily(calls: Record<string, Call>, name: string, make: () => Call): Call {
  let bound: Call | undefined; // who kept this wrapper must not pay again
  return (...args) => {
    bound ??= make();
    calls[name] = bound;
    return bound(...args);
  };
}

// An address does not keep its memory alive: everything that was ever given one stays here for the life of the process.
const pinned: { bytes: Uint8Array; address: number }[] = [];

/** The address of a slab's first byte. The slab is kept alive for good, since the kernel may write into it. */
export function addressOf(memory: Slab | Uint8Array): number {
  const bytes = memory instanceof Uint8Array ? memory : memory.bytes;
  for (const pin of pinned) if (pin.bytes === bytes) return pin.address;
  const address = Number(loaded().address(bytes));
  pinned.push({ bytes, address });
  return address;
}
