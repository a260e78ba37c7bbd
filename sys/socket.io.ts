// Sockets that node:net and node:dgram cannot make: AF_UNIX datagrams and packets, peers' credentials, exact errors.

import { Buffer } from 'node:buffer';
import type { Slab } from '../core/slab.ts';
import { addressOf, check, Errno, errno, SysError, sys } from './libc.io.ts';

export const AF_UNIX = 1;
export const AF_INET = 2;
export const AF_INET6 = 10;
export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_SEQPACKET = 5;
export const MSG_DONTWAIT = 0x40;
export const MSG_NOSIGNAL = 0x4000;
export const MSG_TRUNC = 0x20;

const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_TYPE = 3;
const SO_ERROR = 4;
const SO_SNDBUF = 7;
const SO_RCVBUF = 8;
const SO_PEERCRED = 17;
const SO_SNDBUFFORCE = 32;
const SO_RCVBUFFORCE = 33;
const IPPROTO_TCP = 6;
const TCP_NODELAY = 1;

/** Bytes of struct sockaddr_un; its path may have 107 bytes and a NUL. */
export const SOCKADDR_UN_BYTES = 110;
export const UNIX_PATH_BYTES_MAX = 107;

/** Who is at the other end, as the kernel says. */
export interface PeerCredentials {
  pid: number;
  uid: number;
  gid: number;
}

/** Socket calls on scratch memory of one slab. One per thread. */
export class Sockets {
  readonly slab: Slab;
  private readonly scratch: number;
  private readonly base: number;

  constructor(slab: Slab) {
    this.slab = slab;
    this.scratch = slab.alloc(512);
    this.base = addressOf(slab);
  }

  /** A new non-blocking, close-on-exec socket. */
  open(family: number, type: number, protocol = 0): number {
    return check(sys().socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol), 'socket');
  }

  /** Two connected stream sockets. */
  pair(type = SOCK_STREAM): [number, number] {
    check(sys().socketpair(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, this.base + this.scratch), 'socketpair');
    const { view } = this.slab;
    return [view.getInt32(this.scratch, true), view.getInt32(this.scratch + 4, true)];
  }

  /** Binds to a path that must not exist. */
  bindUnix(fd: number, path: string): void {
    check(sys().bind(fd, this.base + this.scratch, this.unixAddress(path)), `bind ${path}`);
  }

  /** Connects to a path. Returns 0, or the errno: connecting is allowed to fail. */
  connectUnix(fd: number, path: string): number {
    return this.result(sys().connect(fd, this.base + this.scratch, this.unixAddress(path)));
  }

  /** Connects to 110 bytes of sockaddr_un at `at`, as a peer gave them: a path or an abstract name. 0 or the errno. */
  connectRaw(fd: number, at: number): number {
    const { bytes } = this.slab;
    bytes.copyWithin(this.scratch, at, at + SOCKADDR_UN_BYTES);
    return this.result(sys().connect(fd, this.base + this.scratch, SOCKADDR_UN_BYTES));
  }

  /** Binds or connects to an IPv4 or IPv6 address given in bytes (4 or 16, network order). 0 or the errno. */
  bindIp(fd: number, address: Uint8Array, port: number): number {
    return this.result(sys().bind(fd, this.base + this.scratch, this.ipAddress(address, port)));
  }

  connectIp(fd: number, address: Uint8Array, port: number): number {
    return this.result(sys().connect(fd, this.base + this.scratch, this.ipAddress(address, port)));
  }

  listen(fd: number, backlog: number): void {
    check(sys().listen(fd, backlog), 'listen');
  }

  /** The next connection, non-blocking; -1 if there is none (or it failed: see errno). */
  accept(fd: number): number {
    return sys().accept4(fd, 0, 0, SOCK_NONBLOCK | SOCK_CLOEXEC);
  }

  /** SO_PEERCRED of a connected AF_UNIX stream or packet socket. */
  peer(fd: number): PeerCredentials {
    const { view } = this.slab;
    const { scratch, base } = this;
    view.setUint32(scratch + 16, 12, true);
    check(sys().getsockopt(fd, SOL_SOCKET, SO_PEERCRED, base + scratch, base + scratch + 16), 'SO_PEERCRED');
    return {
      pid: view.getInt32(scratch, true),
      uid: view.getUint32(scratch + 4, true),
      gid: view.getUint32(scratch + 8, true),
    };
  }

  /** SO_ERROR: the errno of an asynchronous connect, 0 if it succeeded. */
  takeError(fd: number): number {
    const { view } = this.slab;
    const { scratch, base } = this;
    view.setUint32(scratch + 16, 4, true);
    if (sys().getsockopt(fd, SOL_SOCKET, SO_ERROR, base + scratch, base + scratch + 16) < 0) return errno();
    return view.getInt32(scratch, true);
  }

  /** `SOCK_STREAM`, `SOCK_DGRAM`, …; -1 if the descriptor is no socket. */
  type(fd: number): number {
    const { view } = this.slab;
    const { scratch, base } = this;
    view.setUint32(scratch + 16, 4, true);
    if (sys().getsockopt(fd, SOL_SOCKET, SO_TYPE, base + scratch, base + scratch + 16) < 0) return -1;
    return view.getInt32(scratch, true);
  }

  /** Local and remote TCP or UDP port numbers of a connected socket. */
  ports(fd: number): { local: number; remote: number } {
    const { view } = this.slab;
    const { scratch, base } = this;
    const read = (call: (fd: number, at: number, length: number) => number): number => {
      view.setUint32(scratch + 128, 64, true);
      return call(fd, base + scratch, base + scratch + 128) < 0 ? 0 : view.getUint16(scratch + 2);
    };
    return { local: read(sys().getsockname), remote: read(sys().getpeername) };
  }

  /** Asks for socket buffers of `bytes` each, past the host's limit where we may. */
  setBuffers(fd: number, bytes: number): void {
    this.setOption(fd, SOL_SOCKET, SO_SNDBUFFORCE, bytes) || this.setOption(fd, SOL_SOCKET, SO_SNDBUF, bytes);
    this.setOption(fd, SOL_SOCKET, SO_RCVBUFFORCE, bytes) || this.setOption(fd, SOL_SOCKET, SO_RCVBUF, bytes);
  }

  setNoDelay(fd: number): void {
    this.setOption(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  }

  /** Sets an integer option; false if the host refused. */
  setOption(fd: number, level: number, name: number, value: number): boolean {
    this.slab.view.setInt32(this.scratch, value, true);
    return sys().setsockopt(fd, level, name, this.base + this.scratch, 4) === 0;
  }

  close(fd: number): void {
    sys().close(fd);
  }

  private result(code: number): number {
    return code < 0 ? errno() : 0;
  }

  private unixAddress(path: string): number {
    const bytes = Buffer.from(path);
    if (bytes.length > UNIX_PATH_BYTES_MAX) {
      throw new SysError(`socket path of ${bytes.length} bytes, at most ${UNIX_PATH_BYTES_MAX}: ${path}`, Errno.EINVAL);
    }
    const { view } = this.slab;
    this.slab.bytes.fill(0, this.scratch, this.scratch + SOCKADDR_UN_BYTES);
    view.setUint16(this.scratch, AF_UNIX, true);
    this.slab.bytes.set(bytes, this.scratch + 2);
    return 2 + bytes.length + 1;
  }

  private ipAddress(address: Uint8Array, port: number): number {
    const { view } = this.slab;
    const at = this.scratch;
    this.slab.bytes.fill(0, at, at + 28);
    view.setUint16(at + 2, port);
    if (address.length === 4) {
      view.setUint16(at, AF_INET, true);
      this.slab.bytes.set(address, at + 4);
      return 16;
    }
    view.setUint16(at, AF_INET6, true);
    this.slab.bytes.set(address, at + 8);
    return 28;
  }
}
