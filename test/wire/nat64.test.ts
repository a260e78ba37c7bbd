import fc from 'fast-check';
import { expect, test } from 'vitest';
import { format, parse } from '../../stack/address.ts';
import { embed, embedded, isEmbedding, PREFIX_BITS, WELL_KNOWN, WELL_KNOWN_BITS } from '../../wire/nat64.ts';
import '../kit/seed.ts';

const at = (text: string): Int32Array => parse(text)!;

// RFC 6052 §2.4.
test.each([
  ['2001:db8::', 32, '2001:db8:c000:221::'],
  ['2001:db8:100::', 40, '2001:db8:1c0:2:21::'],
  ['2001:db8:122::', 48, '2001:db8:122:c000:2:2100::'],
  ['2001:db8:122:300::', 56, '2001:db8:122:3c0:0:221::'],
  ['2001:db8:122:344::', 64, '2001:db8:122:344:c0:2:2100::'],
  ['2001:db8:122:344::', 96, '2001:db8:122:344::c000:221'],
])('192.0.2.33 in %s/%i is %s', (prefix, bits, text) => {
  const into = new Int32Array(4);
  embed(at(prefix), bits, 0xc0000221, into);
  expect(format(into)).toBe(format(at(text)));
  expect(embedded(into, bits)).toBe(0xc0000221);
  expect(isEmbedding(into, at(prefix), bits)).toBe(true);
});

test('the well-known prefix', () => {
  expect(format(WELL_KNOWN)).toBe('64:ff9b::');
  expect(isEmbedding(at('64:ff9b::192.0.2.33'), WELL_KNOWN, WELL_KNOWN_BITS)).toBe(true);
  expect(isEmbedding(at('64:ff9b:0:1::192.0.2.33'), WELL_KNOWN, WELL_KNOWN_BITS)).toBe(false);
});

test('u is zero, and a suffix is ignored', () => {
  expect(isEmbedding(at('2001:db8:122:344:1c0:2:2100::'), at('2001:db8:122:344::'), 64)).toBe(false);
  const withSuffix = at('2001:db8:122:344:c0:2:21ff:ffff');
  expect(isEmbedding(withSuffix, at('2001:db8:122:344::'), 64)).toBe(true);
  expect(embedded(withSuffix, 64)).toBe(0xc0000221);
});

test('what is embedded comes back, and nothing else is set', () => {
  const words = fc.tuple(fc.integer(), fc.integer(), fc.integer(), fc.integer());
  fc.assert(
    fc.property(words, fc.constantFrom(...PREFIX_BITS), fc.nat(0xffffffff), (noise, bits, address) => {
      const prefix = Int32Array.from(noise);
      if (bits === 96) prefix[2] = prefix[2]! & 0xffffff;
      const into = new Int32Array(4);
      embed(prefix, bits, address, into);
      expect(embedded(into, bits)).toBe(address);
      expect(isEmbedding(into, prefix, bits)).toBe(true);
      embed(into, bits, 0, into);
      expect(embedded(into, bits)).toBe(0);
      embed(prefix, bits, 0, prefix);
      expect(into).toEqual(prefix);
    }),
  );
});
