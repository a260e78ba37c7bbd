// The memory of the generator's system calls. Every thread that imports this has one of its own.

import { Slab } from '../../core/slab.ts';
import { addressOf } from '../../sys/libc.io.ts';

/** Pages that nobody touches cost nothing, so there is room for 100,000 frames with their headers. */
export const slab = new Slab({ bytesMax: 256 << 20 });

/** The address of the slab's first byte. */
export const base = addressOf(slab);

/** A piece of the slab that lives as long as the thread. */
export function take(bytes: number): number {
  const at = slab.alloc(bytes);
  if (at === 0) throw new Error(`the generator's memory has no room for ${bytes} bytes`);
  return at;
}

/** Writes a 64-bit pointer to slab offset `to` at slab offset `at`. */
export function putPointer(at: number, to: number): void {
  slab.view.setBigUint64(at, BigInt(base + to), true);
}
