// `ptp://PATH`: a cable of two ends, where whoever comes first listens. Packets of an AF_UNIX SEQPACKET socket are frames.

import { lstatSync, unlinkSync } from 'node:fs';
import { UsageError } from '../core/assert.ts';
import { US_PER_MS } from '../core/time.ts';
import { EPOLLIN } from '../sys/epoll.io.ts';
import { Errno, errno, SysError, sys } from '../sys/libc.io.ts';
import { AF_UNIX, MSG_DONTWAIT, MSG_NOSIGNAL, SOCK_SEQPACKET, type Sockets } from '../sys/socket.io.ts';
import { DatagramPort } from './datagram-port.io.ts';
import type { NativeHost } from './native-host.ts';
import type { Slot } from './native-plugs.io.ts';
import { UnixListener } from './unix-listener.io.ts';
import type { Vnl } from './vnl.ts';

const RETRY_US = 100 * US_PER_MS;
const WORD_US_MAX = 1000 * US_PER_MS; // a listener speaks at once
const BUFFER_BYTES = 1 << 20;
const OK = 0;
const EISCONN = 106;

/** Opens it: listens if nobody does, else connects; changes roles when the other end goes away. */
export function openPtp(host: NativeHost, sockets: Sockets, vnl: Vnl, slot: Slot): () => void {
  const end = new PtpEnd(host, sockets, vnl.address, Number.parseInt(vnl.options.get('mode') ?? '600', 8), slot);
  return () => end.close();
}

class PtpEnd {
  private readonly host: NativeHost;
  private readonly sockets: Sockets;
  private readonly path: string;
  private readonly mode: number;
  private readonly slot: Slot;
  private listener: UnixListener | undefined;
  private port: DatagramPort | undefined;
  private pending = -1; // connected, its word not heard
  private timer = 0;
  private isClosed = false;

  constructor(host: NativeHost, sockets: Sockets, path: string, mode: number, slot: Slot) {
    this.host = host;
    this.sockets = sockets;
    this.path = path;
    this.mode = mode;
    this.slot = slot;
    this.begin();
  }

  close(): void {
    this.isClosed = true;
    this.host.cancel(this.timer);
    this.listener?.close();
    this.forget();
    if (this.port) this.slot.detach(this.port);
  }

  private begin(): void {
    const fd = this.sockets.open(AF_UNIX, SOCK_SEQPACKET);
    const code = this.connect(fd);
    if (code === 0) {
      this.waitForWord(fd);
      return;
    }
    this.sockets.close(fd);
    if (code === Errno.ECONNREFUSED) removeSocket(this.path);
    this.listener = new UnixListener(this.host, this.sockets, {
      path: this.path,
      type: SOCK_SEQPACKET,
      mode: this.mode,
      onConnection: (connection) => this.accept(connection),
    });
    this.slot.state('waiting for the other end');
  }

  private connect(fd: number): number {
    try {
      return this.sockets.connectUnix(fd, this.path);
    } catch (error) {
      this.sockets.close(fd);
      throw error;
    }
  }

  /** The listener says in one byte whether it is free. */
  private waitForWord(fd: number): void {
    this.pending = fd;
    const ready = (): void => {
      const at = this.host.slab.alloc(64);
      const n = sys().recv(fd, this.host.address + at, 1, MSG_DONTWAIT);
      const isAgain = n < 0 && errno() === Errno.EAGAIN;
      const word = n === 1 ? this.host.slab.bytes[at]! : -1;
      this.host.slab.release(at, 64);
      if (isAgain) return;
      if (word === OK) {
        this.host.unwatch(fd);
        this.pending = -1;
        this.use(fd);
      } else this.again(word === EISCONN ? 'both ends are taken' : 'the other end refused');
    };
    this.host.watch(fd, EPOLLIN, { ready });
    this.timer = this.host.at(this.host.nowUs() + WORD_US_MAX, () => {
      if (this.pending === fd) this.again('the other end says nothing');
    });
  }

  private forget(): void {
    if (this.pending < 0) return;
    this.host.unwatch(this.pending);
    this.sockets.close(this.pending);
    this.pending = -1;
  }

  private accept(fd: number): void {
    const at = this.host.slab.alloc(64);
    this.host.slab.bytes[at] = this.port ? EISCONN : OK;
    sys().send(fd, this.host.address + at, 1, MSG_NOSIGNAL);
    this.host.slab.release(at, 64);
    if (this.port) this.sockets.close(fd);
    else this.use(fd);
  }

  private use(fd: number): void {
    this.sockets.setBuffers(fd, BUFFER_BYTES);
    const port: DatagramPort = new DatagramPort(this.host, fd, () => this.lost(port), { endsAtZero: true });
    this.host.cancel(this.timer);
    this.port = port;
    this.slot.attach(port, { kind: 'ptp', description: this.path });
    port.start();
    this.slot.state('connected');
  }

  private lost(port: DatagramPort): void {
    if (this.port !== port) return;
    this.port = undefined;
    this.slot.detach(port);
    if (this.listener) this.slot.state('waiting for the other end');
    else this.again('the other end left');
  }

  private again(why: string): void {
    this.forget();
    if (this.isClosed) return;
    this.slot.state(`${why}; trying again`);
    this.host.cancel(this.timer);
    this.timer = this.host.at(this.host.nowUs() + RETRY_US, () => this.retry());
  }

  /** What was possible at the start may not be now: the directory is gone, no descriptor is left. */
  private retry(): void {
    try {
      this.begin();
    } catch (error) {
      if (!(error instanceof SysError || error instanceof UsageError)) throw error;
      this.again(error.message);
    }
  }
}

function removeSocket(path: string): void {
  try {
    if (lstatSync(path).isSocket()) unlinkSync(path);
  } catch {
    // The listener will say what is wrong.
  }
}
