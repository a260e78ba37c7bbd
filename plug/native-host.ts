// What a plug on descriptors of its own gets besides `PlugHost`: epoll, shared receive memory and timers.

import type { Port } from '../core/port.ts';
import type { PlugHost } from './host.ts';

/** Somebody who waits for a descriptor. */
export interface Watcher {
  /** `events` as epoll has them: EPOLLIN 1, EPOLLOUT 4, EPOLLERR 8, EPOLLHUP 16. */
  ready(events: number): void;
}

/** Memory that every port of the thread receives into: what is in it is gone when the ports were flushed. */
export interface ReceiveArea {
  /** A block for streams and super-frames: its first byte is 64-byte aligned and has headroom in front. */
  readonly block: number;
  readonly blockBytes: number;
  /** Cells of a group: so many datagrams a call. */
  readonly cells: number;
  /** From one cell's frame to the next one's. */
  readonly cellStride: number;
  /** The longest frame a cell takes. */
  readonly cellBytes: number;
  /** mmsghdr[cells] of the group that was claimed last, each with one iovec of one cell; for recvmmsg. */
  readonly messages: number;
  /** Offset of the frame in that group's cell 0. */
  readonly cell: number;
  /** Takes the next group of cells for this breath; flushes the ports first if there is none left. */
  claimCells(): void;
  /** Takes the block for this breath; flushes the ports first if somebody's frames are in it. */
  claimBlock(): void;
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
