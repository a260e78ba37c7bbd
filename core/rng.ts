// Chance comes from a seed, so that every run can be replayed.

/** xoshiro128** 1.1 (Blackman and Vigna): 32 bits at a time, the same on every platform. Not for keys. */
export class Rng {
  private readonly s = new Uint32Array(4);

  /** @param seed any whole number below 2^53; equal seeds give equal sequences. */
  constructor(seed: number) {
    // splitmix32 spreads the seed over the state, which must not be all zero.
    let x = (seed ^ Math.trunc(seed / 2 ** 32)) >>> 0;
    for (let i = 0; i < 4; i++) {
      x = (x + 0x9e3779b9) >>> 0;
      let z = x;
      z = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
      z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
      this.s[i] = z ^ (z >>> 16);
    }
    if ((this.s[0]! | this.s[1]! | this.s[2]! | this.s[3]!) === 0) this.s[0] = 1;
  }

  /** A whole number in 0 … 2^32 - 1. */
  u32(): number {
    const s = this.s;
    const scrambled = Math.imul(rotateLeft(Math.imul(s[1]!, 5), 7), 9) >>> 0;
    const t = s[1]! << 9;
    s[2]! ^= s[0]!;
    s[3]! ^= s[1]!;
    s[1]! ^= s[2]!;
    s[0]! ^= s[3]!;
    s[2]! ^= t;
    s[3] = rotateLeft(s[3]!, 11);
    return scrambled;
  }

  /** A whole number in 0 … n - 1, without bias worth noticing below n = 2^20. */
  below(n: number): number {
    return Math.floor((this.u32() / 2 ** 32) * n);
  }

  /** True with probability `p`, 0 … 1. */
  chance(p: number): boolean {
    return this.u32() < p * 2 ** 32;
  }

  /** The state, to be given to `load`. */
  save(): Uint32Array {
    return this.s.slice();
  }

  load(state: Uint32Array): void {
    this.s.set(state.subarray(0, 4));
  }
}

const rotateLeft = (x: number, bits: number): number => ((x << bits) | (x >>> (32 - bits))) >>> 0;
