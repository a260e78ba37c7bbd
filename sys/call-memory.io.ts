// Memory for the arguments of single system calls: structs, paths and buffers that nobody needs after the call.

import { assert } from '../core/assert.ts';
import { Slab } from '../core/slab.ts';
import { addressOf } from './libc.io.ts';

const ALIGN_BYTES = 8; // every struct that we pass is aligned to at most 8

/** A slab that is filled from the front and forgotten as a whole. Offsets are in `bytes` and `view`; `base` is their address. */
export class CallMemory {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly base: number;
  private top = 0;

  /** @param bytesMax what one call may need at most; rounded up to 64 KiB. */
  constructor({ bytesMax }: { bytesMax: number }) {
    const slab = new Slab({ bytesMax });
    this.bytes = slab.bytes;
    this.view = slab.view;
    this.base = addressOf(slab);
  }

  /** Forgets everything. Whoever makes a call begins with this; nothing survives into the next call. */
  reset(): this {
    this.top = 0;
    return this;
  }

  /** The offset of `length` zeroed bytes. */
  zeros(length: number): number {
    const at = this.top;
    assert(at + length <= this.bytes.length, `call memory for ${length} bytes`);
    this.top = Math.ceil((at + length) / ALIGN_BYTES) * ALIGN_BYTES;
    this.bytes.fill(0, at, at + length);
    return at;
  }

  /** The offset of a copy of `data`. */
  copy(data: Uint8Array): number {
    const at = this.zeros(data.length);
    this.bytes.set(data, at);
    return at;
  }

  /** The offset of `text` in UTF-8 with a NUL behind it. */
  text(text: string): number {
    return this.copy(new TextEncoder().encode(`${text}\0`));
  }

  /** Stores a pointer to `target`, an offset in this memory, at `at`. */
  setPointer(at: number, target: number): void {
    this.view.setBigUint64(at, BigInt(this.base + target), true);
  }
}

const BYTES_MAX = 256 * 1024;
let shared: CallMemory | undefined;

/** The call memory of this thread, empty. */
export function callMemory(): CallMemory {
  shared ??= new CallMemory({ bytesMax: BYTES_MAX });
  return shared.reset();
}
