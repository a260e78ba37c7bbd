import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { namesOf } from '../../stack/config/domain-list.ts';
import * as dhcp4 from '../../wire/dhcp4.ts';
import { FqdnFlag, fqdnBytes, readFqdn, routesBytes, searchBytes } from '../../wire/dhcp4-values.ts';
import { bytesOf } from '../kit/hex.ts';

const label = fc.stringMatching(/^[a-z0-9]{1,20}$/);
const name = fc.array(label, { minLength: 1, maxLength: 4 }).map((labels) => labels.join('.'));

describe('a search list', () => {
  test('is compressed as RFC 3397 shows', () => {
    // RFC 3397 §2: eng.apple.com. marketing.apple.com.
    expect(searchBytes(['eng.apple.com', 'marketing.apple.com'])).toEqual(
      bytesOf('03656e67056170706c6503636f6d00096d61726b6574696e67c004'),
    );
  });

  test('leaves out what is no name', () => {
    expect(searchBytes(['', '.', 'a..b', 'x'])).toEqual(bytesOf('017800'));
    expect(searchBytes([])).toHaveLength(0);
  });

  test('is read as it was written', () => {
    fc.assert(
      fc.property(fc.array(name, { maxLength: 12 }), (names) => {
        expect(namesOf(searchBytes(names), 99)).toEqual(names);
      }),
      { seed: 5 },
    );
  });
});

describe('routes', () => {
  test('have as many bytes of the prefix as RFC 3442 shows', () => {
    const gateway = 0x0a000001;
    const routes = [
      { prefix: 0, bits: 0, gateway },
      { prefix: 0x0a000000, bits: 8, gateway },
      { prefix: 0x0a110000, bits: 16, gateway },
      { prefix: 0x0a1b8100, bits: 24, gateway },
      { prefix: 0x0ae50080, bits: 25, gateway },
      { prefix: 0x0ac67a2f, bits: 32, gateway },
    ];
    expect(routesBytes(routes)).toEqual(
      bytesOf('000a000001080a0a000001100a110a000001180a1b810a000001190ae500800a000001200ac67a2f0a000001'),
    );
    expect(dhcp4.routesOf(routesBytes(routes), 9)).toEqual(routes);
  });
});

describe('a full name', () => {
  test.each([0, FqdnFlag.Encoded])('is read as it was written, flags %i', (flags) => {
    fc.assert(
      fc.property(name, (text) => {
        const bytes = fqdnBytes({ flags, name: text });
        expect(readFqdn(bytes)).toEqual({ flags, name: text });
        expect([...bytes.subarray(1, 3)]).toEqual([255, 255]);
      }),
      { seed: 5 },
    );
  });

  test.each([
    ['040000036162', undefined], // a label that is cut
    ['0400', undefined],
    ['040000', ''],
    ['040000036162630364656600', 'abc.def'],
    ['0400000361626303646566', 'abc.def'], // without a final zero: partial
    ['000000', ''],
  ])('%s is %s', (hex, text) => {
    expect(readFqdn(bytesOf(hex))?.name).toBe(text);
  });

  test('of any bytes does not throw', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        const read = readFqdn(bytes);
        expect(read === undefined || typeof read.name === 'string').toBe(true);
      }),
      { seed: 5, numRuns: 1000 },
    );
  });
});
