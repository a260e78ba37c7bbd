// Frames that a stack built and that its port has not fetched yet: a ring in the slab, written in place.

import { type Burst, PLAIN } from '../core/burst.ts';
import { HEADROOM_BYTES } from '../core/port.ts';
import { NONE, type Slab } from '../core/slab.ts';
import { OFFLOAD_HEADER_BYTES } from '../wire/offload.ts';

/** In front of every frame: headroom for a length prefix, then an offload header; 14 bytes, so that an IP header behind an Ethernet header of 14 is 4-byte aligned. */
export const FRONT_BYTES = HEADROOM_BYTES + OFFLOAD_HEADER_BYTES;

const ALIGN = 4;

/**
 * Frames in order. `reserve` gives room for one, `commit` adds it, and nothing else is reserved in between; what was
 * reserved and not committed is forgotten. `drain` and `drainMore` report frames, which stay until the next `drain`.
 */
export class Output {
  private readonly slab: Slab;
  private readonly bytesMax: number;
  private base: number = NONE;
  // Frame k of the queue lies at at[k & mask]; `first` … `last` are pending, `given` … `first` were reported.
  private readonly at: Int32Array;
  private readonly length: Int32Array;
  private readonly offload: Int32Array;
  private readonly end: Int32Array; // where the ring is free again after it
  private readonly mask: number;
  private given = 0;
  private first = 0;
  private last = 0;
  private head = 0; // the ring is in use from head …
  private tail = 0; // … to tail
  private reserved = NONE;
  private reservedTail = 0;

  /** @param framesMax a power of two. */
  constructor(slab: Slab, { bytesMax, framesMax }: { bytesMax: number; framesMax: number }) {
    this.slab = slab;
    this.bytesMax = bytesMax;
    this.mask = framesMax - 1;
    this.at = new Int32Array(framesMax);
    this.length = new Int32Array(framesMax);
    this.offload = new Int32Array(framesMax);
    this.end = new Int32Array(framesMax);
  }

  /** Frames that wait for `drain`. */
  get pending(): number {
    return this.last - this.first;
  }

  /** Room for a frame of up to `bytes`: where it begins, with `FRONT_BYTES` before it that are its own; NONE if full. */
  reserve(bytes: number): number {
    if (this.last - this.given > this.mask) return NONE;
    if (this.base === NONE) {
      this.base = this.slab.alloc(this.bytesMax);
      if (this.base === NONE) return NONE;
    }
    const need = (FRONT_BYTES + bytes + ALIGN - 1) & -ALIGN;
    const isEmpty = this.last === this.given;
    if (isEmpty) {
      this.head = 0;
      this.tail = 0;
    }
    // Free is tail … end and 0 … head, or tail … head once it wrapped; never filled to the last byte, so equal means empty.
    const wrapped = this.tail < this.head;
    let start = this.tail;
    if (wrapped ? start + need >= this.head : start + need > this.bytesMax) {
      if (wrapped || need >= this.head) return NONE;
      start = 0;
    }
    this.reserved = start;
    this.reservedTail = start + need;
    return this.base + start + FRONT_BYTES;
  }

  /** Adds the reserved frame, of `bytes` (at most what was reserved). `offload` is where its offload header is, or PLAIN. */
  commit(bytes: number, offload: number): void {
    const k = this.last++ & this.mask;
    this.at[k] = this.base + this.reserved + FRONT_BYTES;
    this.length[k] = bytes;
    this.offload[k] = offload;
    this.tail = Math.min(this.reservedTail, (this.reserved + FRONT_BYTES + bytes + ALIGN - 1) & -ALIGN);
    this.end[k] = this.tail;
  }

  /** Frees what the last call reported and adds as many pending frames to `burst` as fit. True if more are pending. */
  drain(burst: Burst): boolean {
    if (this.given !== this.first) {
      this.head = this.end[(this.first - 1) & this.mask]!;
      this.given = this.first;
    }
    return this.drainMore(burst);
  }

  /** Adds more of what is pending, and frees nothing: for a second time in a turn, while what the first reported is still used. */
  drainMore(burst: Burst): boolean {
    while (this.first !== this.last && !burst.full) {
      const k = this.first++ & this.mask;
      burst.push(this.at[k]!, this.length[k]!, this.offload[k]!);
    }
    return this.first !== this.last;
  }

  /** Copies a complete frame in; false if there is no room. */
  push(at: number, length: number): boolean {
    const to = this.reserve(length);
    if (to === NONE) return false;
    this.slab.bytes.copyWithin(to, at, at + length);
    this.commit(length, PLAIN);
    return true;
  }

  /** Bytes of the frames that are here, for snapshots: oldest first, pending ones only. `visit` gets offset, length, offload. */
  visit(visit: (at: number, length: number, offload: number) => void): void {
    for (let i = this.first; i !== this.last; i++) {
      const k = i & this.mask;
      visit(this.at[k]!, this.length[k]!, this.offload[k]!);
    }
  }

  /** Gives the memory back; frames are forgotten. */
  close(): void {
    this.slab.release(this.base, this.bytesMax);
    this.base = NONE;
    this.given = this.first = this.last;
  }
}
