// epoll: one wait for every descriptor of a thread.

import type { Slab } from '../core/slab.ts';
import { addressOf, check, sys } from './libc.io.ts';

export const EPOLLIN = 1;
export const EPOLLOUT = 4;
export const EPOLLERR = 8;
export const EPOLLHUP = 0x10;

const EPOLL_CLOEXEC = 0o2000000;
const CTL_ADD = 1;
const CTL_DEL = 2;
const CTL_MOD = 3;

// struct epoll_event is packed on x86-64 only: the one layout that differs between our architectures.
const EVENT_BYTES = process.arch === 'x64' ? 12 : 16;
const DATA = process.arch === 'x64' ? 4 : 8;

/** Level-triggered readiness of up to `eventsMax` descriptors a wait. */
export class Epoll {
  readonly fd: number;
  private readonly slab: Slab;
  private readonly events: number; // offset of epoll_event[eventsMax + 1]; the last one is for `ctl`
  private readonly eventsMax: number;
  private readonly address: number;

  constructor(slab: Slab, { eventsMax }: { eventsMax: number }) {
    this.slab = slab;
    this.eventsMax = eventsMax;
    this.events = slab.alloc((eventsMax + 1) * EVENT_BYTES);
    this.address = addressOf(slab) + this.events;
    this.fd = check(sys().epoll_create1(EPOLL_CLOEXEC), 'epoll_create1');
  }

  add(fd: number, events: number): void {
    this.ctl(CTL_ADD, fd, events);
  }

  modify(fd: number, events: number): void {
    this.ctl(CTL_MOD, fd, events);
  }

  /** Does nothing if the descriptor was closed, which removes it as well. */
  remove(fd: number): void {
    sys().epoll_ctl(this.fd, CTL_DEL, fd, this.address);
  }

  /** Waits at most `ms` milliseconds; how many descriptors are ready. 0 also when a signal came. */
  wait(ms: number): number {
    return Math.max(0, sys().epoll_wait(this.fd, this.address, this.eventsMax, ms));
  }

  /** The descriptor of the `i`-th ready one. */
  readyFd(i: number): number {
    return this.slab.view.getUint32(this.events + i * EVENT_BYTES + DATA, true);
  }

  /** What it is ready for. */
  readyEvents(i: number): number {
    return this.slab.view.getUint32(this.events + i * EVENT_BYTES, true);
  }

  close(): void {
    sys().close(this.fd);
  }

  private ctl(operation: number, fd: number, events: number): void {
    const at = this.events + this.eventsMax * EVENT_BYTES;
    const { view } = this.slab;
    view.setUint32(at, events, true);
    view.setUint32(at + DATA, fd, true);
    view.setUint32(at + DATA + 4, 0, true);
    check(sys().epoll_ctl(this.fd, operation, fd, this.address + this.eventsMax * EVENT_BYTES), 'epoll_ctl');
  }
}
