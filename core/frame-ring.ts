// Frames that wait for a full port: copied once, in order, in a bounded ring of the slab.

import { NONE, type Slab } from './slab.ts';

const PREFIX_BYTES = 4; // u32 big-endian length, so that a record is at once what a stream cable sends
const WRAP = 0xffffffff; // "the next record is at the start of the ring"

/**
 * A queue of byte records in one piece of the slab, each `u32be length + bytes`, none of them split by the ring's end.
 *
 * The memory is taken at the first push and kept until `close`, after which a push takes some again.
 */
export class FrameRing {
  private readonly slab: Slab;
  private readonly bytesMax: number;
  private base: number = NONE;
  private head = 0; // offset of the oldest record
  private tail = 0; // where the next one goes
  private used = 0; // bytes between them, padding at the end included
  count = 0;

  constructor(slab: Slab, { bytesMax }: { bytesMax: number }) {
    this.slab = slab;
    this.bytesMax = bytesMax;
  }

  /** Copies `length` bytes in; false if there is no room. */
  push(at: number, length: number): boolean {
    if (this.base === NONE) {
      this.base = this.slab.alloc(this.bytesMax);
      if (this.base === NONE) return false;
    }
    const record = length + PREFIX_BYTES;
    if (this.count === 0) {
      this.head = 0;
      this.tail = 0;
      this.used = 0;
    }
    const toEnd = this.bytesMax - this.tail;
    const wraps = record > toEnd; // toEnd may be 0
    const padding = wraps ? toEnd : 0;
    if (this.used + padding + record > this.bytesMax) return false;
    if (wraps) {
      if (padding >= PREFIX_BYTES) this.slab.view.setUint32(this.base + this.tail, WRAP);
      this.used += padding;
      this.tail = 0;
    }
    const to = this.base + this.tail;
    this.slab.view.setUint32(to, length);
    this.slab.bytes.copyWithin(to + PREFIX_BYTES, at, at + length);
    this.tail += record;
    this.used += record;
    this.count++;
    return true;
  }

  /** Offset in the slab of the oldest record's bytes. Only while `count` > 0. */
  get at(): number {
    this.skipPadding();
    return this.base + this.head + PREFIX_BYTES;
  }

  /** Length of the oldest record's bytes. */
  get length(): number {
    this.skipPadding();
    return this.slab.view.getUint32(this.base + this.head);
  }

  /** Forgets the oldest record. */
  shift(): void {
    const record = this.length + PREFIX_BYTES;
    this.head += record;
    this.used -= record;
    this.count--;
  }

  /** Visits the offsets of up to `most` oldest records in `at` and `length`; how many. */
  peek(at: Int32Array, length: Int32Array, most: number): number {
    let offset = this.head;
    const n = Math.min(most, this.count);
    for (let i = 0; i < n; i++) {
      if (this.isPadding(offset)) offset = 0;
      const bytes = this.slab.view.getUint32(this.base + offset);
      at[i] = this.base + offset + PREFIX_BYTES;
      length[i] = bytes;
      offset += bytes + PREFIX_BYTES;
    }
    return n;
  }

  clear(): void {
    this.count = 0;
    this.used = 0;
  }

  get usedBytes(): number {
    return this.count === 0 ? 0 : this.used;
  }

  close(): void {
    this.clear();
    this.slab.release(this.base, this.bytesMax);
    this.base = NONE;
  }

  private isPadding(offset: number): boolean {
    return this.bytesMax - offset < PREFIX_BYTES || this.slab.view.getUint32(this.base + offset) === WRAP;
  }

  private skipPadding(): void {
    if (!this.isPadding(this.head)) return;
    this.used -= this.bytesMax - this.head;
    this.head = 0;
  }
}
