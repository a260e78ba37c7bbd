// What a plug on descriptors of its own gets besides `PlugHost`: epoll, shared receive memory and timers.

import type { Port } from '../core/port.ts';
import type { PlugHost } from './host.ts';

/** Somebody who waits for a descriptor. */
export interface Watcher {
  /** `events` as epoll has them: EPOLLIN 1, EPOLLOUT 4, EPOLLERR 8, EPOLLHUP 16. */
  ready(events: number): void;
}

/** Memory that every port of the thread receives into: what is in it is gone when the breath is over. */
export interface ReceiveArea {
  /** A block for streams and super-frames: its first byte is 64-byte aligned and has headroom in front. */
  readonly block: number;
  readonly blockBytes: number;
  /** mmsghdr[cells], each with one iovec of one cell; for recvmmsg. */
  readonly messages: number;
  readonly cells: number;
  /** Offset of cell 0's frame, and from there to the next cell's. */
  readonly cell: number;
  readonly cellStride: number;
  /** The longest frame a cell takes. */
  readonly cellBytes: number;
}

/** One per thread that may call the host natively. */
export interface NativeHost extends PlugHost {
  /** Address of the slab's byte 0: `address + at` is a pointer. */
  readonly address: number;
  readonly area: ReceiveArea;
  watch(fd: number, events: number, watcher: Watcher): void;
  rewatch(fd: number, events: number): void;
  /** Before closing the descriptor. */
  unwatch(fd: number): void;
  /** Calls `act` once, at `deadlineUs` or a little later. Returns a handle for `cancel`. */
  at(deadlineUs: number, act: () => void): number;
  cancel(timer: number): void;
  /** A port that held frames has sent them: its ingress may go on. */
  drained(port: Port): void;
}
