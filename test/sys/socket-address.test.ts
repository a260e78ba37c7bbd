import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  isAnyAt,
  isIp4At,
  readSocketAddress,
  SOCKET_ADDRESS_BYTES,
  writeSocketAddress,
} from '../../sys/socket-address.ts';

const MAPPED = 0xffff;
const view = new DataView(new ArrayBuffer(64));
const hex = (at: number, bytes: number): string => Buffer.from(view.buffer, at, bytes).toString('hex');

test('a struct sockaddr_in', () => {
  const words = Int32Array.of(9, 0, 0, MAPPED, 0x7f000001);
  expect(writeSocketAddress(view, 4, false, words, 1, 8080)).toBe(16);
  expect(hex(4, 16)).toBe('02001f907f0000010000000000000000');
});

test('a struct sockaddr_in6', () => {
  const words = Int32Array.of(0xfe800000, 0, 0, 1);
  expect(writeSocketAddress(view, 0, true, words, 0, 53)).toBe(SOCKET_ADDRESS_BYTES);
  expect(hex(0, 28)).toBe('0a00003500000000fe80000000000000000000000000000100000000');
});

test('what is written is read', () => {
  const word = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
  fc.assert(
    fc.property(fc.boolean(), fc.tuple(word, word, word, word), fc.nat(65535), (isIp6, four, port) => {
      const words = isIp6 ? Int32Array.from(four) : Int32Array.of(0, 0, MAPPED, four[3]);
      const back = new Int32Array(6);
      writeSocketAddress(view, 8, isIp6, words, 0, port);
      expect(readSocketAddress(view, 8, back, 1)).toBe(port);
      expect([...back.subarray(1, 5)]).toEqual([...words]);
    }),
  );
});

test('another family has no address', () => {
  view.setUint16(0, 1, true);
  const words = Int32Array.of(1, 2, 3, 4);
  expect(readSocketAddress(view, 0, words, 0)).toBe(0);
  expect([...words]).toEqual([0, 0, 0, 0]);
});

test.each([
  { words: [0, 0, 0, 0], any: true, ip4: false },
  { words: [0, 0, MAPPED, 0], any: true, ip4: true },
  { words: [0, 0, MAPPED, 1], any: false, ip4: true },
  { words: [0, 0, 0, 1], any: false, ip4: false },
  { words: [1, 0, MAPPED, 0], any: false, ip4: false },
])('$words: any $any, IPv4 $ip4', ({ words, any, ip4 }) => {
  const at = Int32Array.of(7, ...words);
  expect([isAnyAt(at, 1), isIp4At(at, 1)]).toEqual([any, ip4]);
});
