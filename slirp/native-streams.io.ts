// TCP and Unix streams of the host: connecting, listening, and bytes between a connection's ring in the slab and a socket.

import { chmodSync, lstatSync, unlinkSync } from 'node:fs';
import type { Span } from '../core/span.ts';
import { type Address, Errno, type SocketName } from '../stack/stack.ts';
import { type InetSockets, isAnyAt, isIp4At, SocketOption } from '../sys/inet.io.ts';
import { SOCK_STREAM } from '../sys/socket.io.ts';
import { HostReady } from './host-sockets.ts';
import { Interest, Kind, Mark, type NativeHandles } from './native-handles.io.ts';
import type { ReadyTable } from './ready-table.ts';

const { In, Out, Error: Failed } = HostReady;
const SOCKET_MODE = 0o600;
// accept(2): nothing is wrong with the connection, only with what we have left.
const ENFILE = 23;
const ENOENT = 2;

/** The stream half of `HostSockets`. */
export class NativeStreams {
  private readonly handles: NativeHandles;
  private readonly calls: InetSockets;
  private readonly table: ReadyTable;
  /** Files of Unix listeners by handle. */
  private readonly files = new Map<number, { path: string; inode: number }>();

  constructor(handles: NativeHandles) {
    this.handles = handles;
    this.calls = handles.calls;
    this.table = handles.table;
  }

  connectTcp(target: Address, port: number, source: Address): number {
    const { calls, handles } = this;
    if (this.table.isFull) return -Errno.EMFILE;
    const isIp6 = !isIp4At(target, 0);
    const fd = calls.open(isIp6, SOCK_STREAM, 0);
    if (fd < 0) return codeOf(fd);
    let code = isAnyAt(source, 0) ? 0 : this.leaveFrom(fd, isIp6, source);
    if (code >= 0) code = calls.connect(fd, isIp6, target, port);
    if (code < 0 && code !== -Errno.EINPROGRESS) {
      calls.close(fd);
      return code;
    }
    const h = handles.adopt(fd, Kind.Tcp, isIp6 ? Mark.Ip6 : 0, Interest.Connecting);
    if (h >= 0 && code === 0) this.table.mark(h, Out);
    return h;
  }

  /** -EAGAIN where the listener has as many connections waiting as it takes. */
  connectUnix(path: string): number {
    const { calls } = this;
    if (this.table.isFull) return -Errno.EMFILE;
    const fd = calls.openUnix(SOCK_STREAM);
    if (fd < 0) return codeOf(fd);
    const code = calls.connectUnix(fd, path); // decided at once
    if (code < 0) {
      calls.close(fd);
      return code;
    }
    return this.adoptConnected(fd, Kind.Unix, Mark.Ragged);
  }

  listenTcp(address: Address, port: number, backlog: number): number {
    const { calls } = this;
    if (this.table.isFull) return -Errno.EMFILE;
    const isIp6 = !isIp4At(address, 0);
    const fd = calls.open(isIp6, SOCK_STREAM, 0);
    if (fd < 0) return codeOf(fd);
    calls.set(fd, SocketOption.ReuseAddress, 1);
    calls.set(fd, SocketOption.NoDelay, 1); // what it accepts inherits this
    let code = isIp6 ? calls.set(fd, SocketOption.OnlyIp6, 1) : 0;
    if (code >= 0) code = calls.bind(fd, isIp6, address, port);
    if (code >= 0) code = calls.listen(fd, backlog);
    if (code < 0) {
      calls.close(fd);
      return code;
    }
    return this.handles.adopt(fd, Kind.Listener, isIp6 ? Mark.Ip6 : 0, Interest.Reading);
  }

  listenUnix(path: string, backlog: number): number {
    const { calls, handles } = this;
    if (this.table.isFull) return -Errno.EMFILE;
    const fd = calls.openUnix(SOCK_STREAM);
    if (fd < 0) return codeOf(fd);
    let code = calls.bindUnix(fd, path);
    if (code === -Errno.EADDRINUSE && this.removeStale(path)) code = calls.bindUnix(fd, path);
    const inode = code >= 0 ? restrict(path) : code;
    if (inode >= 0)
      code = calls.listen(fd, backlog); // only now can anybody connect
    else code = inode;
    if (code < 0) {
      calls.close(fd);
      return code;
    }
    const h = handles.adopt(fd, Kind.UnixListener, 0, Interest.Reading);
    if (h >= 0) this.files.set(h, { path, inode });
    return h;
  }

  accept(h: number, peer: SocketName): number {
    const { calls, handles, table } = this;
    const isUnix = handles.kinds[h] === Kind.UnixListener;
    const fd = table.isFull ? -Errno.EMFILE : calls.accept(handles.fdOf(h), peer.address);
    if (fd >= 0) {
      peer.port = calls.peerPort;
      peer.iface = 0;
      if (isUnix) return this.adoptConnected(fd, Kind.Unix, Mark.Ragged);
      return this.adoptConnected(fd, Kind.Tcp, (handles.marks[h]! & Mark.Ip6) | Mark.NoDelay);
    }
    if (fd === -Errno.EAGAIN) table.clear(h, In);
    else if (isShortage(fd)) table.starve(h);
    return codeOf(fd);
  }

  receive(h: number, into: Span): number {
    const { handles } = this;
    const marks = handles.marks[h]!;
    if (marks & Mark.AtEnd) return 0;
    const wanted = into.total;
    if (wanted === 0) return -Errno.EINVAL; // it would read as the end
    const n = this.calls.receive(handles.fdOf(h), into);
    if (n === wanted) return n;
    if (n === 0) handles.marks[h] = marks | Mark.AtEnd;
    else if (n === -Errno.EAGAIN) this.table.clear(h, In);
    else if (n > 0 && (marks & (Mark.Ragged | Mark.Broken)) === 0) {
      // All of it was read, so epoll will say when there is more; or there never is.
      if (marks & Mark.Fin) handles.marks[h] = marks | Mark.AtEnd;
      else this.table.clear(h, In);
    }
    return n;
  }

  send(h: number, from: Span): number {
    const { handles } = this;
    const fd = handles.fdOf(h);
    const wanted = from.total;
    if (handles.kinds[h] === Kind.Tcp && (handles.marks[h]! & Mark.NoDelay) === 0) this.delayNothing(h, fd);
    const n = this.calls.send(fd, from);
    if (n === wanted) return n;
    if (n >= 0 || n === -Errno.EAGAIN) handles.blocked(h);
    return n;
  }

  shutdown(h: number): number {
    return this.calls.shutdown(this.handles.fdOf(h));
  }

  /** Nothing is asked of the host unless epoll told of an error. */
  takeError(h: number): number {
    const { handles } = this;
    if ((handles.marks[h]! & Mark.Broken) === 0) return 0;
    this.table.clear(h, Failed);
    return this.calls.takeError(handles.fdOf(h));
  }

  /** What is to be done before a handle is released. */
  closing(h: number): void {
    const file = this.files.get(h);
    if (!file) return;
    this.files.delete(h);
    try {
      if (lstatSync(file.path).ino === file.inode) unlinkSync(file.path);
    } catch {
      // It is gone, or its directory is: nothing to clean.
    }
  }

  private adoptConnected(fd: number, kind: Kind, marks: number): number {
    const h = this.handles.adopt(fd, kind, marks, Interest.Connected);
    if (h >= 0) this.table.mark(h, Out);
    return h;
  }

  /** The port is chosen when it connects, so that targets do not take each other's. */
  private leaveFrom(fd: number, isIp6: boolean, source: Address): number {
    const code = this.calls.set(fd, SocketOption.BindAddressNoPort, 1);
    return code < 0 ? code : this.calls.bind(fd, isIp6, source, 0);
  }

  /**
   * Nagle's algorithm lets the first short segment pass at once and holds a second one back until that is acknowledged: it
   * is switched off before the second call, and a connection that sends one request saves the call.
   */
  private delayNothing(h: number, fd: number): void {
    const { marks } = this.handles;
    if (marks[h]! & Mark.Sent) {
      marks[h] = marks[h]! | Mark.NoDelay;
      this.calls.set(fd, SocketOption.NoDelay, 1);
    } else marks[h] = marks[h]! | Mark.Sent;
  }

  /** Removes a socket that nobody listens on; false if `path` is something else. */
  private removeStale(path: string): boolean {
    const { calls } = this;
    try {
      if (!lstatSync(path).isSocket()) return false;
      const fd = calls.openUnix(SOCK_STREAM);
      if (fd < 0) return false;
      const code = calls.connectUnix(fd, path);
      calls.close(fd);
      if (code === -Errno.ECONNREFUSED) unlinkSync(path);
      return code === -Errno.ECONNREFUSED || code === -ENOENT;
    } catch {
      return false;
    }
  }
}

/** Only its owner may connect: its inode, or -errno. */
function restrict(path: string): number {
  try {
    chmodSync(path, SOCKET_MODE);
    return lstatSync(path).ino;
  } catch (error) {
    return (error as NodeJS.ErrnoException).errno ?? -Errno.EACCES;
  }
}

const isShortage = (code: number): boolean =>
  code === -Errno.EMFILE || code === -ENFILE || code === -Errno.ENOBUFS || code === -Errno.ENOMEM;

/** No descriptors left is one thing, whoever has none. */
const codeOf = (code: number): number => (code === -ENFILE ? -Errno.EMFILE : code);
