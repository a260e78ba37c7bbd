// Socket calls that return what they did or -errno, for sockets whose failures are news of the network and not of a bug.
// Addresses as in socket-address.ts; payloads are ranges of the slab.

import { Buffer } from 'node:buffer';
import { assert } from '../core/assert.ts';
import { NONE, type Slab } from '../core/slab.ts';
import type { Span } from '../core/span.ts';
import { Errno, errno, sys } from './libc.io.ts';
import { AF_INET, AF_INET6, AF_UNIX, MSG_NOSIGNAL, UNIX_PATH_BYTES_MAX } from './socket.io.ts';
import { readSocketAddress, SOCKET_ADDRESS_BYTES, writeSocketAddress } from './socket-address.ts';

const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SHUT_WR = 1;
const SOL_SOCKET = 1;
const SO_ERROR = 4;
const SO_LINGER = 13;

export { isAnyAt, isIp4At } from './socket-address.ts';

/** Options of sockets by level and name: `set(fd, ...Option.NoDelay, 1)` would allocate, so they are two numbers in one. */
const option = (level: number, name: number): number => level * 256 + name;
const SOL_IP = 0;
const SOL_TCP = 6;
const SOL_IPV6 = 41;

/** Integer options, for `set`. */
export const SocketOption = {
  ReuseAddress: option(SOL_SOCKET, 2),
  ReceiveBuffer: option(SOL_SOCKET, 8),
  InlineUrgent: option(SOL_SOCKET, 10), // SO_OOBINLINE
  NoDelay: option(SOL_TCP, 1),
  Tos: option(SOL_IP, 1),
  Ttl: option(SOL_IP, 2),
  MtuDiscover: option(SOL_IP, 10),
  ReceiveErrors: option(SOL_IP, 11),
  ReceiveTtl: option(SOL_IP, 12),
  ReceiveTos: option(SOL_IP, 13),
  BindAddressNoPort: option(SOL_IP, 24), // of IPv6 sockets, too
  Hops6: option(SOL_IPV6, 16),
  MtuDiscover6: option(SOL_IPV6, 23),
  ReceiveErrors6: option(SOL_IPV6, 25),
  OnlyIp6: option(SOL_IPV6, 26),
  ReceiveHops6: option(SOL_IPV6, 51),
  ReceiveTrafficClass6: option(SOL_IPV6, 66),
  TrafficClass6: option(SOL_IPV6, 67),
} as const;

/** Values of `MtuDiscover`: fragment freely; refuse what is longer than the path's MTU. */
export const MTU_DISCOVER_DONT = 0;
export const MTU_DISCOVER_DO = 2;

// Scratch memory of one call.
const NAME = 0; // a sockaddr of any kind
const NAME_LENGTH = 112;
const VALUE = 120; // an option's value, and its length at + 8
const VECTOR = 144; // struct iovec[2]
const MESSAGE = 176; // struct msghdr
const SCRATCH_BYTES = 256;
const MSG_IOV = 16;
const MSG_IOVLEN = 24;

/** Result of a system call: itself, or -errno. */
export const resultOf = (code: number): number => (code < 0 ? -errno() : code);

/** Calls on scratch memory of one slab, whose address is `address`. */
export class InetSockets {
  private readonly slab: Slab;
  private readonly view: DataView;
  private readonly address: number;
  private readonly scratch: number;
  private readonly base: number; // address of the scratch memory

  constructor(slab: Slab, address: number) {
    this.slab = slab;
    this.view = slab.view;
    this.address = address;
    this.scratch = slab.alloc(SCRATCH_BYTES);
    assert(this.scratch !== NONE, 'the slab has no room for socket calls');
    this.base = address + this.scratch;
    const vector = this.base + VECTOR;
    this.view.setBigUint64(this.scratch + MESSAGE + MSG_IOV, BigInt(vector), true);
    this.view.setUint32(this.scratch + MESSAGE + MSG_IOVLEN, 2, true);
  }

  /** A new non-blocking, close-on-exec socket. */
  open(isIp6: boolean, type: number, protocol: number): number {
    return resultOf(sys().socket(isIp6 ? AF_INET6 : AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol));
  }

  openUnix(type: number): number {
    return resultOf(sys().socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  }

  bind(fd: number, isIp6: boolean, words: Int32Array, port: number): number {
    const length = writeSocketAddress(this.view, this.scratch + NAME, isIp6, words, 0, port);
    return resultOf(sys().bind(fd, this.base + NAME, length));
  }

  /** -EINPROGRESS as a rule. */
  connect(fd: number, isIp6: boolean, words: Int32Array, port: number): number {
    const length = writeSocketAddress(this.view, this.scratch + NAME, isIp6, words, 0, port);
    return resultOf(sys().connect(fd, this.base + NAME, length));
  }

  bindUnix(fd: number, path: string): number {
    const length = this.writePath(path);
    return length < 0 ? length : resultOf(sys().bind(fd, this.base + NAME, length));
  }

  connectUnix(fd: number, path: string): number {
    const length = this.writePath(path);
    return length < 0 ? length : resultOf(sys().connect(fd, this.base + NAME, length));
  }

  listen(fd: number, backlog: number): number {
    return resultOf(sys().listen(fd, backlog));
  }

  /** The next connection; its peer's address goes to `words`, its port to `peerPort`. */
  accept(fd: number, words: Int32Array): number {
    const { view, scratch, base } = this;
    view.setUint32(scratch + NAME_LENGTH, SOCKET_ADDRESS_BYTES, true);
    const code = sys().accept4(fd, base + NAME, base + NAME_LENGTH, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (code < 0) return -errno();
    this.peerPort = readSocketAddress(view, scratch + NAME, words, 0);
    return code;
  }

  /** Of what `accept` returned last. */
  peerPort = 0;

  /** Where the socket is bound: its port, 0 for Unix sockets. */
  local(fd: number, words: Int32Array): number {
    const { view, scratch, base } = this;
    view.setUint32(scratch + NAME_LENGTH, SOCKET_ADDRESS_BYTES, true);
    if (sys().getsockname(fd, base + NAME, base + NAME_LENGTH) < 0) return -errno();
    return readSocketAddress(view, scratch + NAME, words, 0);
  }

  /** Sets one of `SocketOption`. */
  set(fd: number, option: number, value: number): number {
    this.view.setInt32(this.scratch + VALUE, value, true);
    return resultOf(sys().setsockopt(fd, option >> 8, option & 0xff, this.base + VALUE, 4));
  }

  /** SO_ERROR, positive; reading takes it. */
  takeError(fd: number): number {
    const { view, scratch, base } = this;
    view.setUint32(scratch + VALUE + 8, 4, true);
    if (sys().getsockopt(fd, SOL_SOCKET, SO_ERROR, base + VALUE, base + VALUE + 8) < 0) return errno();
    return view.getInt32(scratch + VALUE, true);
  }

  /** From now on `close` resets the connection. */
  setAbortive(fd: number): number {
    this.view.setInt32(this.scratch + VALUE, 1, true); // struct linger: on, for no time
    this.view.setInt32(this.scratch + VALUE + 4, 0, true);
    return resultOf(sys().setsockopt(fd, SOL_SOCKET, SO_LINGER, this.base + VALUE, 8));
  }

  /** Reads into the ranges. */
  receive(fd: number, into: Span): number {
    if (into.moreBytes === 0) return resultOf(sys().recv(fd, this.address + into.at, into.bytes, 0));
    this.point(into);
    return resultOf(sys().readv(fd, this.base + VECTOR, 2));
  }

  /** Writes from the ranges. */
  send(fd: number, from: Span): number {
    if (from.moreBytes === 0) return resultOf(sys().send(fd, this.address + from.at, from.bytes, MSG_NOSIGNAL));
    this.point(from);
    return resultOf(sys().sendmsg(fd, this.base + MESSAGE, MSG_NOSIGNAL));
  }

  shutdown(fd: number): number {
    return resultOf(sys().shutdown(fd, SHUT_WR));
  }

  close(fd: number): void {
    sys().close(fd);
  }

  /** Gives the scratch memory back. */
  end(): void {
    this.slab.release(this.scratch, SCRATCH_BYTES);
  }

  private point({ at, bytes, moreAt, moreBytes }: Span): void {
    const { view, address } = this;
    const vector = this.scratch + VECTOR;
    writePointer(view, vector, address + at);
    view.setUint32(vector + 8, bytes, true);
    writePointer(view, vector + 16, address + moreAt);
    view.setUint32(vector + 24, moreBytes, true);
  }

  /** Writes a struct sockaddr_un: its length or -errno. */
  private writePath(path: string): number {
    const bytes = Buffer.from(path);
    if (bytes.length > UNIX_PATH_BYTES_MAX) return -Errno.ENAMETOOLONG;
    const at = this.scratch + NAME;
    this.view.setUint16(at, AF_UNIX, true);
    this.slab.bytes.set(bytes, at + 2);
    this.slab.bytes[at + 2 + bytes.length] = 0;
    return 2 + bytes.length + 1;
  }
}

/** Stores a pointer, which is below 2^47, without a BigInt. */
export function writePointer(view: DataView, at: number, pointer: number): void {
  view.setUint32(at, pointer >>> 0, true);
  view.setUint32(at + 4, Math.floor(pointer / 2 ** 32), true);
}
