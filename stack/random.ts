// What nobody may guess: initial sequence numbers, ports, identifications, interface identifiers.

import { sipHash } from '../core/siphash.ts';
import type { StateReader, StateWriter } from '../core/state.ts';

/** Words of a key, 16 bytes. */
export const KEY_WORDS = 4;

/** Numbers from a key and a counter: SipHash-2-4 of the counter. The same key gives the same numbers, in any process. */
export class Random {
  /** For keyed hashes of one's own; do not share it between purposes. */
  readonly key = new Int32Array(KEY_WORDS);
  private readonly counter = new Int32Array(2);

  /** @param secret a key of 4 words, from a good source or, in virtual time, from a seed. `purpose` keeps streams apart. */
  constructor(secret: Int32Array, purpose: number) {
    for (let i = 0; i < KEY_WORDS; i++) this.key[i] = sipHash(secret, Int32Array.of(purpose, i), 0, 2);
  }

  /** A whole number in 0 … 2^32 - 1. */
  u32(): number {
    const { counter } = this;
    counter[0] = counter[0]! + 1;
    if (counter[0] === 0) counter[1] = counter[1]! + 1;
    return sipHash(this.key, counter, 0, 2) >>> 0;
  }

  /** A whole number in 0 … n - 1. */
  below(n: number): number {
    return Math.floor((this.u32() / 2 ** 32) * n);
  }

  /** A number in `min` … `max`, for delays in µs. */
  between(min: number, max: number): number {
    return min + this.below(max - min + 1);
  }

  save(state: StateWriter): void {
    state.column(this.key).column(this.counter);
  }

  load(state: StateReader): void {
    state.into(this.key);
    state.into(this.counter);
  }
}
