// Handles of host sockets: who has each, what it is ready for, what it wants to hear. Columns of numbers, one row a handle.
//
// A grant marks what a socket became ready for and clears it when a call says that it is no more. So the users see levels,
// although the grant itself may hear of changes only; and what nobody wants costs nothing until somebody wants it again.

import { assert } from '../core/assert.ts';
import { Errno } from '../stack/stack.ts';
import { HostReady, type HostUser } from './host-sockets.ts';

/** Handles of one gateway unless its owner says otherwise. */
export const HANDLES_MAX = 32768;

const { In, Out, Error: Failed, Hup, End } = HostReady;
const FREE = 0x80; // in `wanted`: nobody has the handle

export interface ReadyTableOptions {
  readonly handlesMax: number;
  /** `dispatch` has something to tell: it is to be called soon, never from within. */
  readonly wake: () => void;
}

/** Bookkeeping of handles 0 … handlesMax - 1. */
export class ReadyTable {
  readonly handlesMax: number;
  /** How many are open. */
  count = 0;
  private readonly wake: () => void;
  private readonly users: (HostUser | undefined)[] = [];
  private readonly ready: Uint8Array; // bits of HostReady
  private readonly wanted: Uint8Array; // In and Out, or FREE
  private readonly once: Uint8Array; // bits that are told once for every time they are marked
  private readonly isQueued: Uint8Array;
  private readonly nextFree: Int32Array;
  private firstFree = -1;
  private top = 0; // handles from here on were never used
  // Handles that may have something to tell; two lists that take turns.
  private queue: Int32Array;
  private spare: Int32Array;
  private queued = 0;
  private readonly starved: number[] = [];
  private isAwake = false;

  constructor({ handlesMax, wake }: ReadyTableOptions) {
    assert(handlesMax > 0, `a table of ${handlesMax} handles`);
    this.handlesMax = handlesMax;
    this.wake = wake;
    this.ready = new Uint8Array(handlesMax);
    this.wanted = new Uint8Array(handlesMax).fill(FREE);
    this.once = new Uint8Array(handlesMax);
    this.isQueued = new Uint8Array(handlesMax);
    this.nextFree = new Int32Array(handlesMax);
    this.queue = new Int32Array(handlesMax);
    this.spare = new Int32Array(handlesMax);
  }

  /**
   * A fresh handle, or -EMFILE.
   * @param once bits of `HostReady` that are told once a `mark` instead of for as long as they stand.
   */
  open(once: number): number {
    let h = this.firstFree;
    if (h >= 0) this.firstFree = this.nextFree[h]!;
    else if (this.top < this.handlesMax) h = this.top++;
    else return -Errno.EMFILE;
    this.ready[h] = 0;
    this.wanted[h] = 0;
    this.once[h] = once;
    this.count++;
    return h;
  }

  /** `open` would fail. */
  get isFull(): boolean {
    return this.count === this.handlesMax;
  }

  isOpen(h: number): boolean {
    return h >= 0 && h < this.top && this.wanted[h] !== FREE;
  }

  free(h: number): void {
    this.users[h] = undefined;
    this.ready[h] = 0;
    this.wanted[h] = FREE;
    this.nextFree[h] = this.firstFree;
    this.firstFree = h;
    this.count--;
    if (this.starved.length > 0) this.feed();
  }

  claim(h: number, user: HostUser): void {
    if (!this.isOpen(h)) return;
    this.users[h] = user;
    this.consider(h);
  }

  want(h: number, events: number): void {
    if (!this.isOpen(h)) return;
    this.wanted[h] = events & (In | Out);
    if (this.starved.length > 0 && (events & In) !== 0) this.retry(h);
    this.consider(h);
  }

  wants(h: number, bits: number): boolean {
    return (this.wanted[h]! & bits) !== 0;
  }

  /** `h` is ready for `bits` from now on. */
  mark(h: number, bits: number): void {
    if (!this.isOpen(h)) return;
    this.ready[h] = this.ready[h]! | bits;
    this.consider(h);
  }

  /** `h` is no more ready for `bits`. */
  clear(h: number, bits: number): void {
    this.ready[h] = this.ready[h]! & ~bits;
  }

  /**
   * A listener that cannot accept for want of handles waits until one is free, instead of being told at once again. Or until
   * its user wants to hear anew: the want may be the whole machine's.
   */
  starve(h: number): void {
    this.clear(h, In);
    if (!this.starved.includes(h)) this.starved.push(h);
  }

  /** Tells every user once of what its handles are ready for. What still stands afterwards is told in the next call. */
  dispatch(): void {
    const { queue, queued, isQueued } = this;
    this.isAwake = false;
    if (queued === 0) return;
    this.queue = this.spare;
    this.spare = queue;
    this.queued = 0;
    for (let i = 0; i < queued; i++) {
      const h = queue[i]!;
      isQueued[h] = 0;
      const events = this.due(h);
      if (events === 0) continue;
      this.ready[h] = this.ready[h]! & ~this.once[h]!;
      this.users[h]!.ready(h, events);
      this.consider(h); // or whoever has this number now
    }
  }

  private retry(h: number): void {
    const i = this.starved.indexOf(h);
    if (i < 0) return;
    this.starved.splice(i, 1);
    this.ready[h] = this.ready[h]! | In;
  }

  private feed(): void {
    const { starved } = this;
    for (let h = starved.pop(); h !== undefined; h = starved.pop()) this.mark(h, In); // if it was closed: one needless look
  }

  private consider(h: number): void {
    if (this.isQueued[h] !== 0 || this.due(h) === 0) return;
    this.isQueued[h] = 1;
    this.queue[this.queued++] = h;
    if (this.isAwake) return;
    this.isAwake = true;
    this.wake();
  }

  /** What there is to tell about `h` now. */
  private due(h: number): number {
    if (this.users[h] === undefined) return 0;
    const ready = this.ready[h]!;
    const due = ready & (this.wanted[h]! | Failed | Hup);
    return (due & In) === 0 ? due : due | (ready & End);
  }
}
