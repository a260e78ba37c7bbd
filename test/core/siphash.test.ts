import { expect, test } from 'vitest';
import { sipHash, sipHigh } from '../../core/siphash.ts';

const KEY = Int32Array.of(0x03020100, 0x07060504, 0x0b0a0908, 0x0f0e0d0c);

// The vectors of the reference implementation for messages 00 01 02 … of 0, 4, 8 and 12 bytes.
test.each([
  [0, 0x726fdb47, 0xdd0e0e31],
  [1, 0xcf2794e0, 0x277187b7],
  [2, 0x93f5f579, 0x9a932462],
])('hashes %i words as the reference does', (count, high, low) => {
  const words = Int32Array.of(0x03020100, 0x07060504, 0x0b0a0908);
  const hash = sipHash(KEY, words, 0, count);
  expect([sipHigh >>> 0, hash >>> 0]).toEqual([high, low]);
});

test('hashes from a place within the words', () => {
  const words = Int32Array.of(9, 0x03020100, 9);
  expect(sipHash(KEY, words, 1, 1) >>> 0).toBe(0x277187b7);
});
