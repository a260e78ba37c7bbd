// SipHash-2-4 (Aumasson and Bernstein): a keyed hash of words, for what nobody outside may guess or collide.

// One state for all: a hash never runs inside another.
let v0l = 0;
let v0h = 0;
let v1l = 0;
let v1h = 0;
let v2l = 0;
let v2h = 0;
let v3l = 0;
let v3h = 0;

function round(): void {
  let low = (v0l >>> 0) + (v1l >>> 0);
  v0h = (v0h + v1h + (low > 0xffffffff ? 1 : 0)) | 0;
  v0l = low | 0;
  let h = (v1h << 13) | (v1l >>> 19);
  v1l = (v1l << 13) | (v1h >>> 19);
  v1h = h ^ v0h;
  v1l ^= v0l;
  h = v0h;
  v0h = v0l;
  v0l = h;
  low = (v2l >>> 0) + (v3l >>> 0);
  v2h = (v2h + v3h + (low > 0xffffffff ? 1 : 0)) | 0;
  v2l = low | 0;
  h = (v3h << 16) | (v3l >>> 16);
  v3l = (v3l << 16) | (v3h >>> 16);
  v3h = h ^ v2h;
  v3l ^= v2l;
  low = (v0l >>> 0) + (v3l >>> 0);
  v0h = (v0h + v3h + (low > 0xffffffff ? 1 : 0)) | 0;
  v0l = low | 0;
  h = (v3h << 21) | (v3l >>> 11);
  v3l = (v3l << 21) | (v3h >>> 11);
  v3h = h ^ v0h;
  v3l ^= v0l;
  low = (v2l >>> 0) + (v1l >>> 0);
  v2h = (v2h + v1h + (low > 0xffffffff ? 1 : 0)) | 0;
  v2l = low | 0;
  h = (v1h << 17) | (v1l >>> 15);
  v1l = (v1l << 17) | (v1h >>> 15);
  v1h = h ^ v2h;
  v1l ^= v2l;
  h = v2h;
  v2h = v2l;
  v2l = h;
}

function start(key: Int32Array): void {
  v0l = key[0]! ^ 0x70736575;
  v0h = key[1]! ^ 0x736f6d65;
  v1l = key[2]! ^ 0x6e646f6d;
  v1h = key[3]! ^ 0x646f7261;
  v2l = key[0]! ^ 0x6e657261;
  v2h = key[1]! ^ 0x6c796765;
  v3l = key[2]! ^ 0x79746573;
  v3h = key[3]! ^ 0x74656462;
}

function block(low: number, high: number): void {
  v3l ^= low;
  v3h ^= high;
  round();
  round();
  v0l ^= low;
  v0h ^= high;
}

function finish(low: number, bytes: number): void {
  block(low, bytes << 24);
  v2l ^= 0xff;
  round();
  round();
  round();
  round();
}

/** The upper half of the last hash, 32 bits, signed: for those who need 64. */
export let sipHigh = 0;

/**
 * Hashes `count` words of `words` from `from` on, each as its 4 bytes little-endian, under a key of 4 words (16 bytes
 * little-endian). The lower half of the hash, signed; the upper half is then in `sipHigh`.
 */
export function sipHash(key: Int32Array, words: Int32Array, from: number, count: number): number {
  start(key);
  let i = from;
  const end = from + count;
  for (; i + 1 < end; i += 2) block(words[i]!, words[i + 1]!);
  // The last block holds what is left, and the length modulo 256 in its highest byte.
  if (i < end) finish4(words[i]!, count * 4);
  else finish(0, count * 4);
  sipHigh = v0h ^ v1h ^ v2h ^ v3h;
  return v0l ^ v1l ^ v2l ^ v3l;
}

const finish4 = (word: number, bytes: number): void => finish(word, bytes);
