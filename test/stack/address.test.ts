import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import * as address from '../../stack/address.ts';

const of = (text: string): address.Address => address.parse(text)!;

describe('an address', () => {
  test.each([
    ['10.0.0.1'],
    ['255.255.255.255'],
    ['0.0.0.0'],
    ['::'],
    ['::1'],
    ['fe80::1'],
    ['2001:db8::8:800:200c:417a'],
    ['ff02::1:ff00:1'],
  ])('%s is read and shown alike', (text) => {
    expect(address.format(of(text))).toBe(text);
  });

  test.each([[''], ['10.0.0'], ['10.0.0.256'], ['fe80::1%eth0'], ['1::2::3'], ['host']])('%j is none', (text) => {
    expect(address.parse(text)).toBeUndefined();
  });

  test('of IPv4 is the mapped one', () => {
    expect(address.equal(of('::ffff:10.0.0.1'), of('10.0.0.1'))).toBe(true);
    expect(address.isIp4(of('::ffff:10.0.0.1'))).toBe(true);
    expect(address.isIp4(of('::10.0.0.1'))).toBe(false);
    expect(address.ip4Of(of('200.0.0.1'))).toBe(0xc8000001);
  });

  test.each([
    [address.isAny.name, address.isAny, ['::', '0.0.0.0'], ['::1', '0.0.0.1', '::ffff:0:0:0']],
    [
      address.isMulticast.name,
      address.isMulticast,
      ['224.0.0.1', '239.255.255.255', 'ff02::1'],
      ['223.255.255.255', '240.0.0.0', 'fe02::1'],
    ],
    [
      address.isLinkLocal.name,
      address.isLinkLocal,
      ['169.254.0.1', 'fe80::1', 'febf::1'],
      ['169.253.0.1', 'fec0::1', 'fe7f::1'],
    ],
    [address.isLoopback.name, address.isLoopback, ['127.0.0.1', '127.255.0.1', '::1'], ['128.0.0.1', '::2', '::']],
    [
      address.isBroadcast.name,
      address.isBroadcast,
      ['255.255.255.255'],
      ['255.255.255.254', '::255.255.255.255', 'ffff::ffff'],
    ],
  ] as const)('%s knows which', (_name, holds, yes, no) => {
    for (const text of yes) expect([text, holds(of(text))]).toEqual([text, true]);
    for (const text of no) expect([text, holds(of(text))]).toEqual([text, false]);
  });

  test('is compared by its first bits', () => {
    expect(address.commonBits(of('10.0.0.1'), of('10.0.0.2'))).toBe(96 + 30);
    expect(address.commonBits(of('::1'), of('::1'))).toBe(128);
    expect(address.samePrefix(of('2001:db8::1'), of('2001:db8:0:1::1'), 48)).toBe(true);
    expect(address.samePrefix(of('2001:db8::1'), of('2001:db8:0:1::1'), 64)).toBe(false);
  });

  const words = fc.array(fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }), { minLength: 4, maxLength: 4 });

  test('shares a prefix of exactly as many bits as are common', () => {
    fc.assert(
      fc.property(words, fc.integer({ min: 0, max: 127 }), (a, bit) => {
        const one = Int32Array.from(a);
        const other = one.slice();
        other[bit >> 5]! ^= 1 << (31 - (bit & 31));
        expect(address.commonBits(one, other)).toBe(bit);
        expect(address.samePrefix(one, other, bit)).toBe(true);
        expect(address.samePrefix(one, other, bit + 1)).toBe(false);
      }),
    );
  });

  test('goes to bytes and back', () => {
    fc.assert(
      fc.property(words, (a) => {
        const view = new DataView(new ArrayBuffer(20));
        const back = new Int32Array(4);
        address.write6(view, 3, Int32Array.from(a));
        address.read6(view, 3, back);
        expect([...back]).toEqual(a);
      }),
    );
    const view = new DataView(new ArrayBuffer(4));
    address.write4(view, 0, of('1.2.3.4'));
    expect([...new Uint8Array(view.buffer)]).toEqual([1, 2, 3, 4]);
    const back = new Int32Array(4);
    address.read4(view, 0, back);
    expect(address.format(back)).toBe('1.2.3.4');
  });
});
