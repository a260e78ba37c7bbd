// Listening AF_UNIX sockets in a network's directory: stale ones are replaced, foreign ones are refused with one line.

import { Buffer } from 'node:buffer';
import { chmodSync, chownSync, lstatSync, mkdirSync, type Stats, unlinkSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { UsageError } from '../core/assert.ts';
import { US_PER_MS } from '../core/time.ts';
import { EPOLLIN } from '../sys/epoll.io.ts';
import { Errno, errno, SysError, sys } from '../sys/libc.io.ts';
import { AF_UNIX, type PeerCredentials, type Sockets, UNIX_PATH_BYTES_MAX } from '../sys/socket.io.ts';
import type { NativeHost } from './native-host.ts';

const BACKLOG = 128;
const ACCEPTS_A_TURN = 64;
const NO_DESCRIPTORS_PAUSE_US = 200 * US_PER_MS;
/** `/NNNNN.NNNNNN` and `/.NNNNN-NNNNN` must still fit behind a network's directory. */
const SUFFIX_BYTES = 16;
const DIRECTORY_BYTES_MAX = UNIX_PATH_BYTES_MAX - SUFFIX_BYTES;

export interface ListenOptions {
  path: string;
  /** SOCK_STREAM or SOCK_SEQPACKET. */
  type: number;
  /** Permissions of the socket file, 0600 by default. */
  mode: number;
  /** Group of the socket file; undefined leaves it. */
  gid?: number | undefined;
  /** Owns `fd` from then on. */
  onConnection: (fd: number, peer: PeerCredentials) => void;
}

/** Makes sure that `path` is a directory of ours for sockets. Throws `UsageError` with one line. */
export function prepareDirectory(path: string, mode: number, gid?: number): void {
  const bytes = Buffer.byteLength(path);
  if (bytes > DIRECTORY_BYTES_MAX) {
    throw new UsageError(`${path}: path of ${bytes} bytes, at most ${DIRECTORY_BYTES_MAX} for a network's directory`);
  }
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw new UsageError(`${path}: cannot be made a directory (${(error as NodeJS.ErrnoException).code})`);
  }
  const found = lstatSync(path);
  if (found.isSymbolicLink()) throw new UsageError(`${path}: is a symbolic link; name the directory itself`);
  const uid = process.geteuid!();
  if (found.uid !== uid) throw new UsageError(`${path}: belongs to user ${found.uid}, not to you (${uid})`);
  checkParent(dirname(resolve(path)), uid);
  try {
    if (gid !== undefined) chownSync(path, uid, gid);
    chmodSync(path, mode);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new UsageError(`${path}: its group or mode cannot be changed (${code}); take a group that you are in`);
  }
}

/** Who may rename our directory could put another in its place: only we and root, or a sticky directory like /tmp. */
function checkParent(parent: string, uid: number): void {
  const { uid: owner, mode } = lstatSync(parent);
  const isShared = (mode & 0o022) !== 0 && (mode & 0o1000) === 0;
  if ((owner === uid || owner === 0) && !isShared) return;
  const why = isShared ? 'may be changed by others' : `belongs to user ${owner}`;
  throw new UsageError(`${parent}: ${why}, so who serves in it is not certain; choose another directory`);
}

/** One listening socket. Never throws after construction. */
export class UnixListener {
  private readonly host: NativeHost;
  private readonly sockets: Sockets;
  private readonly options: ListenOptions;
  private readonly fd: number;
  private readonly inode: number;
  private isClosed = false;

  /** Throws `UsageError` if somebody serves the path already or something else is in the way. */
  constructor(host: NativeHost, sockets: Sockets, options: ListenOptions) {
    this.host = host;
    this.sockets = sockets;
    this.options = options;
    this.fd = sockets.open(AF_UNIX, options.type);
    try {
      this.inode = this.bind();
    } catch (error) {
      sockets.close(this.fd);
      throw usageOf(options.path, error);
    }
    host.watch(this.fd, EPOLLIN, this);
  }

  ready(): void {
    for (let i = 0; i < ACCEPTS_A_TURN; i++) {
      const fd = this.sockets.accept(this.fd);
      if (fd < 0) {
        const code = errno();
        // No descriptor left: the connection stays queued, so stop looking at it for a while instead of spinning.
        if (code !== Errno.EAGAIN && code !== Errno.EINTR) this.rest();
        return;
      }
      this.admit(fd);
    }
  }

  /** Who finds no room, for want of memory or descriptors, is sent away. */
  private admit(fd: number): void {
    try {
      this.options.onConnection(fd, this.sockets.peer(fd));
    } catch (error) {
      if (!(error instanceof SysError)) throw error;
      this.sockets.close(fd);
    }
  }

  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.host.unwatch(this.fd);
    sys().close(this.fd);
    try {
      if (lstatSync(this.options.path).ino === this.inode) unlinkSync(this.options.path);
    } catch {
      // It is gone, or its directory is: nothing to clean.
    }
  }

  private bind(): number {
    const { path, type, mode, gid } = this.options;
    clearStale(this.sockets, path, type);
    this.sockets.bindUnix(this.fd, path);
    if (gid !== undefined) chownSync(path, process.geteuid!(), gid);
    chmodSync(path, mode);
    this.sockets.listen(this.fd, BACKLOG); // only now can anybody connect
    return lstatSync(path).ino;
  }

  private rest(): void {
    this.host.rewatch(this.fd, 0);
    this.host.at(this.host.nowUs() + NO_DESCRIPTORS_PAUSE_US, () => {
      if (!this.isClosed) this.host.rewatch(this.fd, EPOLLIN); // the number may be somebody else's by then
    });
  }
}

/** Removes a socket that nobody listens on; throws if somebody does, or if the path is not a socket. */
function clearStale(sockets: Sockets, path: string, type: number): void {
  const found = stat(path);
  if (!found) return;
  if (found.isSymbolicLink()) throw new UsageError(`${path}: a symbolic link is in the place of a socket; remove it`);
  if (!found.isSocket()) throw new UsageError(`${path}: is in the way and not a socket; remove it`);
  const fd = sockets.open(AF_UNIX, type);
  const code = sockets.connectUnix(fd, path);
  const pid = code === 0 ? sockets.peer(fd).pid : 0;
  sockets.close(fd);
  if (code === Errno.ECONNREFUSED) {
    unlinkSync(path);
    return;
  }
  const by = pid > 0 ? ` by process ${pid}` : '';
  throw new UsageError(`${path}: is already served${by}; stop that one first (weft down) or choose another directory`);
}

/** One line for the operator where the host refused. */
function usageOf(path: string, error: unknown): unknown {
  const { code } = error as NodeJS.ErrnoException;
  return error instanceof UsageError || code === undefined
    ? error
    : new UsageError(`${path}: cannot be served (${code}); choose another directory`);
}

function stat(path: string): Stats | undefined {
  return lstatSync(path, { throwIfNoEntry: false });
}
