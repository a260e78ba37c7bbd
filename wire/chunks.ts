// Bytes that arrive in chunks of any size, read as if they were one: for incremental parsers of capture files.

import { assert } from '../core/assert.ts';

/**
 * What was pushed and not yet taken. It holds at most `bytesMax` and one chunk: whoever pushes has drained before, down to a
 * part of a record that is shorter than `bytesMax`.
 */
export class Chunks {
  private bytes = new Uint8Array(0);
  private start = 0;
  private end = 0;
  private readonly bytesMax: number;

  constructor({ bytesMax }: { bytesMax: number }) {
    this.bytesMax = bytesMax;
  }

  /** Bytes that can be taken. */
  get length(): number {
    return this.end - this.start;
  }

  /** Appends a copy of `chunk`. */
  push(chunk: Uint8Array): void {
    assert(this.length <= this.bytesMax, 'chunks are drained before more is pushed');
    const length = this.length + chunk.length;
    if (length > this.bytes.length) {
      const next = new Uint8Array(Math.max(length, Math.min(this.bytesMax, 2 * this.bytes.length)));
      next.set(this.bytes.subarray(this.start, this.end));
      this.bytes = next;
    } else if (this.end + chunk.length > this.bytes.length) {
      this.bytes.copyWithin(0, this.start, this.end);
    } else {
      this.bytes.set(chunk, this.end);
      this.end += chunk.length;
      return;
    }
    this.bytes.set(chunk, length - chunk.length);
    this.start = 0;
    this.end = length;
  }

  /** A view of the next `length` bytes, of which there are enough. They are valid until the next `push`. */
  peek(length: number): DataView {
    return new DataView(this.bytes.buffer, this.start, length);
  }

  /** Takes the next `length` bytes away. */
  skip(length: number): void {
    this.start += length;
  }
}
