// Handles on descriptors, watched in the loop's epoll by edges: a descriptor is told to epoll once, when it is opened, and
// a connection at full speed costs no further call. `ReadyTable` makes levels of the edges: what a socket became ready for
// stands until a call on it says otherwise.

import type { Slab } from '../core/slab.ts';
import { EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT } from '../sys/epoll.io.ts';
import { type InetSockets, SocketOption } from '../sys/inet.io.ts';
import { SysError } from '../sys/libc.io.ts';
import { HostReady } from './host-sockets.ts';
import type { ReadyTable } from './ready-table.ts';

/** Who waits for a descriptor. */
export interface DescriptorWatcher {
  /** `events` as epoll has them. */
  ready(events: number): void;
}

/** The loop that descriptors are watched in: a thread's fabric. */
export interface DescriptorLoop {
  /** Its address is `address`, so that `address + at` is a pointer. */
  readonly slab: Slab;
  readonly address: number;
  /** Throws `SysError` where the host refuses. */
  watch(fd: number, events: number, watcher: DescriptorWatcher): void;
  rewatch(fd: number, events: number): void;
  /** Before closing the descriptor. */
  unwatch(fd: number): void;
  /** `HostSockets.dispatch` has something to tell: the gateway's port is to take its turn soon, never from within. */
  wake(): void;
}

/** What a handle is. */
export const Kind = { Tcp: 0, Unix: 1, Listener: 2, UnixListener: 3, Udp: 4, Echo: 5 } as const;
export type Kind = (typeof Kind)[keyof typeof Kind];

/** What is known of a handle. */
export const Mark = {
  Ip6: 1,
  /** The peer's stream has ended, perhaps behind bytes that are still to be read. */
  Fin: 2,
  /** Everything was read: the next read would give 0. */
  AtEnd: 4,
  /** There is an error to be fetched. */
  Broken: 8,
  /** A short read does not mean that there is no more: reads stop at urgent data, and at a Unix message with descriptors. */
  Ragged: 16,
  /** TCP: something was sent; and Nagle's algorithm is off. */
  Sent: 32,
  NoDelay: 64,
} as const;

const { In, Out, Error: Failed, Hup, End } = HostReady;
const EPOLLPRI = 2;
const EPOLLRDHUP = 0x2000;
const EPOLLET = 0x80000000;
const CLOSED = -1;

/** What epoll is asked for at first. Without `Out`, which is asked for when a socket is full, no event is wasted on it. */
export const Interest = {
  Connecting: (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET) >>> 0,
  Connected: (EPOLLIN | EPOLLRDHUP | EPOLLPRI | EPOLLET) >>> 0,
  Reading: (EPOLLIN | EPOLLET) >>> 0,
} as const;

/** One for each handle number, made when it is first used. */
class HandleWatcher implements DescriptorWatcher {
  private readonly handles: NativeHandles;
  private readonly h: number;

  constructor(handles: NativeHandles, h: number) {
    this.handles = handles;
    this.h = h;
  }

  ready(events: number): void {
    this.handles.heard(this.h, events);
  }
}

/** The columns that streams, listeners and datagram sockets share. */
export class NativeHandles {
  readonly table: ReadyTable;
  readonly calls: InetSockets;
  readonly loop: DescriptorLoop;
  readonly fds: Int32Array;
  readonly kinds: Uint8Array;
  readonly marks: Uint8Array;
  private readonly interests: Uint32Array;
  private readonly watchers: HandleWatcher[] = [];

  constructor(loop: DescriptorLoop, calls: InetSockets, table: ReadyTable) {
    this.loop = loop;
    this.calls = calls;
    this.table = table;
    this.fds = new Int32Array(table.handlesMax).fill(CLOSED);
    this.kinds = new Uint8Array(table.handlesMax);
    this.marks = new Uint8Array(table.handlesMax);
    this.interests = new Uint32Array(table.handlesMax);
  }

  /** Owns `fd` from now on: a handle, or -errno and the descriptor is closed. */
  adopt(fd: number, kind: Kind, marks: number, interest: number): number {
    const isDatagram = kind === Kind.Udp || kind === Kind.Echo;
    const h = this.table.open(isDatagram ? Hup : Failed | Hup);
    if (h < 0) {
      this.calls.close(fd);
      return h;
    }
    this.fds[h] = fd;
    this.kinds[h] = kind;
    this.marks[h] = marks;
    this.interests[h] = interest;
    this.watchers[h] ??= new HandleWatcher(this, h);
    try {
      this.loop.watch(fd, interest, this.watchers[h]);
    } catch (error) {
      if (!(error instanceof SysError)) throw error;
      this.release(h);
      return -error.errno;
    }
    return h;
  }

  /** Closes the descriptor; the number is free. */
  release(h: number): void {
    const fd = this.fds[h]!;
    this.loop.unwatch(fd);
    this.calls.close(fd);
    this.fds[h] = CLOSED;
    this.table.free(h);
  }

  /** A descriptor for calls: -1, which every call refuses with EBADF, if the handle is nobody's. */
  fdOf(h: number): number {
    return this.fds[h] ?? CLOSED;
  }

  /** From now on `Out` is not ready until epoll says so. */
  blocked(h: number): void {
    this.table.clear(h, Out);
    if ((this.interests[h]! & EPOLLOUT) === 0) this.rewatch(h, this.interests[h]! | EPOLLOUT);
  }

  /** What epoll says. */
  heard(h: number, events: number): void {
    const kind = this.kinds[h]!;
    if (kind === Kind.Tcp || kind === Kind.Unix) this.heardOfStream(h, events);
    else this.heardOfOther(h, events);
    // A Unix or datagram socket would be told of every buffer that its peer takes: asked for again when it is full again.
    if (events & EPOLLOUT && kind !== Kind.Tcp) this.rewatch(h, this.interests[h]! & ~EPOLLOUT);
  }

  private heardOfStream(h: number, events: number): void {
    let bits = 0;
    let marks = this.marks[h]!;
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLPRI)) bits |= In;
    if (events & EPOLLOUT) bits |= Out;
    if (events & EPOLLRDHUP) {
      marks |= Mark.Fin;
      bits |= End;
    }
    if (events & EPOLLPRI && (marks & Mark.Ragged) === 0) {
      marks |= Mark.Ragged;
      this.calls.set(this.fds[h]!, SocketOption.InlineUrgent, 1); // or the urgent byte would be missing from the stream
    }
    if (events & EPOLLERR) {
      marks |= Mark.Broken;
      bits |= Failed | In | Out;
    }
    if (events & EPOLLHUP) bits |= Hup | In | Out;
    this.marks[h] = marks;
    this.table.mark(h, bits);
  }

  private heardOfOther(h: number, events: number): void {
    let bits = 0;
    if (events & (EPOLLIN | EPOLLERR)) bits |= In; // a batch that ended at an error is followed by more
    if (events & EPOLLOUT) bits |= Out;
    if (events & EPOLLERR) bits |= Failed;
    this.table.mark(h, bits);
  }

  private rewatch(h: number, interest: number): void {
    this.interests[h] = interest;
    this.loop.rewatch(this.fds[h]!, interest >>> 0);
  }
}
