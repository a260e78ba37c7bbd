import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseAddress, parseMac, parsePrefixed } from '../../cli/address.ts';

const hex = (bytes: Uint8Array | undefined): string | undefined => bytes && Buffer.from(bytes).toString('hex');

test.each([
  ['10.0.0.1', '0a000001'],
  ['255.255.255.255', 'ffffffff'],
  ['::', '00000000000000000000000000000000'],
  ['::1', '00000000000000000000000000000001'],
  ['fe80::', 'fe800000000000000000000000000000'],
  ['2001:db8::8:800:200c:417a', '20010db80000000000080800200c417a'], // RFC 4291 §2.2
  ['ff01:0:0:0:0:0:0:101', 'ff010000000000000000000000000101'],
  ['::ffff:129.144.52.38', '00000000000000000000ffff81903426'],
  ['::13.1.68.3', '0000000000000000000000000d014403'],
  ['1:2:3:4:5:6:7.8.9.10', '0001000200030004000500060708090a'],
])('%s is %s', (text, bytes) => {
  expect(hex(parseAddress(text))).toBe(bytes);
});

test.each(['', '10.0.0', '10.0.0.256', '1::2::3', 'fe80::1%eth0', 'g::', '10.0.0.1/8'])('%j is no address', (text) => {
  expect(parseAddress(text)).toBeUndefined();
});

test('every IPv6 address is read as it was written', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), fc.nat(8), fc.nat(8), (bytes, from, to) => {
      const words = Array.from({ length: 8 }, (_, i) => ((bytes[2 * i]! << 8) | bytes[2 * i + 1]!).toString(16));
      const [start, end] = [Math.min(from, to), Math.max(from, to)];
      if (start < end) bytes.fill(0, 2 * start, 2 * end);
      const short = `${words.slice(0, start).join(':')}::${words.slice(end).join(':')}`;
      expect(parseAddress(start < end ? short : words.join(':'))).toEqual(bytes);
    }),
    { numRuns: 300 },
  );
});

test.each([
  ['10.0.0.1/24', '0a000001', 24],
  ['10.0.0.1/0', '0a000001', 0],
  ['::1/128', '00000000000000000000000000000001', 128],
])('%s has a prefix', (text, bytes, prefixLength) => {
  const prefixed = parsePrefixed(text);
  expect([hex(prefixed?.address), prefixed?.prefixLength]).toEqual([bytes, prefixLength]);
});

test.each(['02:00:00:00:00', '02-00-00-00-00-01', '03:00:00:00:00:01', '02:00:00:00:00:100', ''])(
  '%j is no MAC address of a station',
  (text) => {
    expect(parseMac(text)).toBeUndefined();
  },
);
