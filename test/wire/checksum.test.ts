import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Slab } from '../../core/slab.ts';
import { Checksum, checksumOf, finish, fold, pseudoHeader4, pseudoHeader6 } from '../../wire/checksum.ts';
import { checksumModule } from '../kit/checksum-module.ts';
import { bytesOf, viewOfHex } from '../kit/hex.ts';

/** RFC 1071 §4.1 word by word, as slow and plain as it is written there. */
function plainly(bytes: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i++) sum += i % 2 === 0 ? bytes[i]! << 8 : bytes[i]!;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}

test('the embedded module is the assembled source', () => {
  const text = readFileSync(new URL('../../wire/checksum.ts', import.meta.url), 'utf8');
  const embedded = [...text.split('const MODULE =')[1]!.matchAll(/'([^']+)'/g)].map((m) => m[1]).join('');
  expect(Buffer.from(embedded, 'base64').equals(checksumModule())).toBe(true);
});

test.each([
  ['RFC 1071 §3', '0001 f203 f4f5 f6f7', 0xddf2],
  ['nothing', '', 0],
  ['an odd last byte', '01', 0x0100],
  ['all ones', 'ffff ffff', 0xffff],
  ['an IPv4 header with its right checksum', '4500 0073 0000 4000 4011 b861 c0a8 0001 c0a8 00c7', 0xffff],
])('sums %s', (_name, hex, expected) => {
  const view = viewOfHex(hex);
  expect(checksumOf(view, 0, view.byteLength)).toBe(expected);
});

test('folds sums of any size', () => {
  expect([0, 0xffff, 0x10000, 0x1fffe, 2 ** 32, 2 ** 40 + 5].map(fold)).toEqual([0, 0xffff, 1, 0xffff, 1, 0x105]);
  expect(finish(0xffff)).toBe(0);
});

test.each([true, false])('agrees with the plain sum at every length and alignment (simd %s)', (simd) => {
  const slab = new Slab({ bytesMax: 1 << 17 });
  const checksum = new Checksum(slab.memory, { simd });
  expect(checksum.isSimd).toBe(simd);
  for (let i = 0; i < 4096; i++) slab.bytes[i] = (i * 7919) >> 3;
  for (let length = 0; length < 200; length++) {
    for (const at of [64, 65, 66, 67, 71]) {
      const expected = plainly(slab.bytes.subarray(at, at + length));
      expect(checksum.sum(at, length)).toBe(expected);
      expect(checksum.copy(at, 8193, length)).toBe(expected);
      expect(slab.bytes.subarray(8193, 8193 + length)).toEqual(slab.bytes.subarray(at, at + length));
      expect(slab.bytes[8193 + length]).toBe(0);
      slab.bytes.fill(0, 8192, 8192 + 512);
    }
  }
});

test('does not overflow on 64 KiB of ones', () => {
  const slab = new Slab({ bytesMax: 1 << 19 });
  slab.bytes.fill(0xff);
  for (const simd of [true, false]) expect(new Checksum(slab.memory, { simd }).sum(1, 1 << 18)).toBe(0xffff);
});

test('agrees with the plain sum on random bytes', () => {
  const slab = new Slab({ bytesMax: 1 << 17 });
  const checksum = new Checksum(slab.memory);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 3000 }), fc.nat(63), (bytes, at) => {
      slab.bytes.set(bytes, 64 + at);
      expect(checksum.sum(64 + at, bytes.length)).toBe(plainly(bytes));
    }),
    { numRuns: 500 },
  );
});

test('sums the pseudo-headers', () => {
  const ip4 = viewOfHex('4500 001c 0000 0000 4011 0000 0a00 0001 0a00 0002');
  expect(fold(pseudoHeader4(ip4, 0, 17, 8))).toBe(plainly(bytesOf('0a00 0001 0a00 0002 0011 0008')));
  const addresses = 'fe80 0000 0000 0000 0000 0000 0000 0001 ff02 0000 0000 0000 0000 0000 0000 0002';
  const ip6 = viewOfHex(`6000 0000 0010 3aff ${addresses}`);
  expect(fold(pseudoHeader6(ip6, 0, 58, 0x12345))).toBe(plainly(bytesOf(`${addresses} 0001 2345 0000 003a`)));
});
