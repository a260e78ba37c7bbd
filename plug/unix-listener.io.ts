// Listening AF_UNIX sockets in a network's directory: stale ones are replaced, foreign ones are refused with one line.

import { Buffer } from 'node:buffer';
import { chmodSync, chownSync, lstatSync, mkdirSync, type Stats, unlinkSync } from 'node:fs';
import { UsageError } from '../core/assert.ts';
import { US_PER_MS } from '../core/time.ts';
import { EPOLLIN } from '../sys/epoll.io.ts';
import { Errno, errno, sys } from '../sys/libc.io.ts';
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
  if (gid !== undefined) chownSync(path, uid, gid);
  chmodSync(path, mode);
}

/** One listening socket. Never throws after construction. */
export class UnixListener {
  private readonly host: NativeHost;
  private readonly sockets: Sockets;
  private readonly options: ListenOptions;
  private readonly fd: number;
  private readonly inode: number;

  /** Throws `UsageError` if somebody serves the path already or something else is in the way. */
  constructor(host: NativeHost, sockets: Sockets, options: ListenOptions) {
    this.host = host;
    this.sockets = sockets;
    this.options = options;
    clearStale(sockets, options.path, options.type);
    this.fd = sockets.open(AF_UNIX, options.type);
    sockets.bindUnix(this.fd, options.path);
    if (options.gid !== undefined) chownSync(options.path, process.geteuid!(), options.gid);
    chmodSync(options.path, options.mode);
    this.inode = lstatSync(options.path).ino;
    sockets.listen(this.fd, BACKLOG);
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
      this.options.onConnection(fd, this.sockets.peer(fd));
    }
  }

  close(): void {
    this.host.unwatch(this.fd);
    sys().close(this.fd);
    const found = stat(this.options.path);
    if (found && found.ino === this.inode) unlinkSync(this.options.path);
  }

  private rest(): void {
    this.host.rewatch(this.fd, 0);
    this.host.at(this.host.nowUs() + NO_DESCRIPTORS_PAUSE_US, () => this.host.rewatch(this.fd, EPOLLIN));
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

function stat(path: string): Stats | undefined {
  return lstatSync(path, { throwIfNoEntry: false });
}
