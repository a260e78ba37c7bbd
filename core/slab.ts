// One fixed memory in which every frame of a thread lives, so that system calls, WebAssembly and the cores work in place.

import { assert, Bug } from './assert.ts';

/** What `alloc` returns when the slab is exhausted. Offset 0 is never handed out. */
export const NONE = 0;

const PAGE_BYTES = 65536;
const CLASS_MIN_LOG2 = 6; // 64 bytes: a cache line, so neighbours never share one
const CLASS_MAX_LOG2 = 27;

/**
 * A memory of fixed size and address, cut into power-of-two pieces that are reused by size.
 *
 * Pages that nobody touched cost no memory, so a generous size is free. An address in the slab is a byte offset; every
 * piece is 64-byte aligned. Pieces are for buffers that live as long as a port does; frames are never allocated.
 */
export class Slab {
  readonly memory: WebAssembly.Memory;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly words: Uint32Array;
  private top: number;
  private used = 0;
  private readonly free: number[][] = [];

  /** @param bytesMax rounded up to 64 KiB; at most 4 GiB - 64 KiB. */
  constructor({ bytesMax }: { bytesMax: number }) {
    const pages = Math.ceil(bytesMax / PAGE_BYTES);
    assert(pages > 0 && pages < 65536, `a slab of ${bytesMax} bytes`);
    this.memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
    this.bytes = new Uint8Array(this.memory.buffer);
    this.view = new DataView(this.memory.buffer);
    this.words = new Uint32Array(this.memory.buffer);
    this.top = 1 << CLASS_MIN_LOG2;
    for (let log2 = 0; log2 <= CLASS_MAX_LOG2; log2++) this.free.push([]);
  }

  /** A zeroed piece of at least `bytes`, or `NONE` when there is no room. The caller gives it back with the same size. */
  alloc(bytes: number): number {
    const log2 = classOf(bytes);
    const size = 1 << log2;
    const again = this.free[log2]!.pop();
    if (again !== undefined) {
      this.bytes.fill(0, again, again + size);
      this.used += size;
      return again;
    }
    if (this.top + size > this.bytes.length) return NONE;
    const at = this.top;
    this.top += size;
    this.used += size;
    return at;
  }

  /** Gives back what `alloc(bytes)` returned. */
  release(at: number, bytes: number): void {
    if (at === NONE) return;
    const log2 = classOf(bytes);
    this.used -= 1 << log2;
    this.free[log2]!.push(at);
  }

  /** More than half is in use: who holds a piece for later should give it back. */
  get isTight(): boolean {
    return this.used > this.bytes.length / 2;
  }

  /** Bytes in pieces that are in use. */
  get usedBytes(): number {
    return this.used;
  }
}

function classOf(bytes: number): number {
  // The text is made only when it is needed: connections take and give pieces all the time.
  if (!(bytes > 0 && bytes <= 1 << CLASS_MAX_LOG2)) throw new Bug(`a piece of ${bytes} bytes`);
  return Math.max(CLASS_MIN_LOG2, 32 - Math.clz32(bytes - 1));
}
