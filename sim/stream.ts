// A stream of chance for every purpose of every thing, so that one more draw here moves nothing there.

import { Rng } from '../core/rng.ts';

/** What a stream is for. Numbers are never used again for something else: old seeds would tell another story. */
export const Purpose = {
  Loss: 1,
  LossState: 2,
  Duplicate: 3,
  Reorder: 4,
  Corrupt: 5,
  CorruptBit: 6,
  Jitter: 7,
  Discipline: 8,
  Rule: 9,
  Node: 10,
} as const;
export type Purpose = (typeof Purpose)[keyof typeof Purpose];

/** The stream of thing number `subject` for `purpose` under `seed`; all whole numbers, `seed` below 2^53. */
export function streamOf(seed: number, subject: number, purpose: number): Rng {
  const words = [seed >>> 0, Math.floor(seed / 2 ** 32) >>> 0, subject >>> 0, purpose >>> 0];
  const state = new Uint32Array(4);
  let x = 0x9e3779b9;
  for (let round = 0; round < 2; round++) {
    for (let i = 0; i < 4; i++) {
      x = mix((x + 0x9e3779b9 + words[i]!) >>> 0);
      state[i] = mix((state[i]! ^ x) >>> 0);
    }
  }
  if ((state[0]! | state[1]! | state[2]! | state[3]!) === 0) state[0] = 1;
  const rng = new Rng(seed);
  rng.load(state);
  return rng;
}

/** The finisher of MurmurHash3: a bijection of 32 bits in which every bit depends on every other. */
function mix(word: number): number {
  let z = word;
  z = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
  z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
  return (z ^ (z >>> 16)) >>> 0;
}
