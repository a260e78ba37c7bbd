import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { viewOf } from '../../wire/bytes.ts';
import * as dhcp6 from '../../wire/dhcp6.ts';
import { bytesOf, hexOf } from '../kit/hex.ts';

const IP = '20010db8 00000000 00000000 00000001';

describe('a message', () => {
  test('is type, 24 bits of transaction, and options that may hold options, RFC 8415 §8, §21.1', () => {
    const out = new dhcp6.Dhcp6Writer(1, 0xabcdef).option(14);
    out.begin(3).u32(7).u32(0).u32(0).option(13, [0, 2]).end();
    const bytes = out.finish();
    expect(hexOf(bytes)).toBe('01abcdef 000e0000 00030012 00000007 00000000 00000000 000d0002 0002'.replace(/ /g, ''));
    const view = viewOf(bytes);
    expect([dhcp6.messageType(view, 0), dhcp6.xid(view, 0)]).toEqual([1, 0xabcdef]);
    const options = dhcp6.readOptions(view, 4, bytes.length - 4)!;
    expect(options.map((o) => o.code)).toEqual([14, 3]);
    expect(dhcp6.readIa(view, options[1]!, 4)).toMatchObject({ iaid: 7, status: 2, addresses: [] });
  });

  test('cut within an option is refused', () => {
    const bytes = bytesOf('000e0000 000d0002 0002');
    for (const cut of [1, 2, 3, 5, 6, 7, 8, 9]) expect(dhcp6.readOptions(viewOf(bytes), 0, cut)).toBeUndefined();
    expect(dhcp6.readOptions(viewOf(bytes), 0, 4)).toHaveLength(1);
    expect(dhcp6.readOptions(viewOf(bytes), 0, 10)).toHaveLength(2);
  });

  test('with more than 128 options is refused', () => {
    expect(dhcp6.readOptions(viewOf(new Uint8Array(4 * 128)), 0, 4 * 128)).toHaveLength(128);
    expect(dhcp6.readOptions(viewOf(new Uint8Array(4 * 129)), 0, 4 * 129)).toBeUndefined();
  });
});

describe('an IA_NA, RFC 8415 §21.4', () => {
  const ia = (hex: string) => {
    const value = bytesOf(hex);
    return dhcp6.readIa(viewOf(value), { code: 3, at: 0, bytes: value.length }, 2);
  };

  test('has addresses with lifetimes', () => {
    expect(ia(`00000002 00000005 00000008 00050018 ${IP} 0000000a 00000014`)).toEqual({
      iaid: 2,
      t1S: 5,
      t2S: 8,
      status: 0,
      addresses: [{ address: bytesOf(IP), preferredS: 10, validS: 20, status: 0 }],
    });
  });

  test.each([
    ['is short', '00000002 00000005 000000'],
    ['has T1 after T2', '00000002 00000009 00000008'],
    ['has a short address', '00000002 00000005 00000008 00050004 00000000'],
    ['has a short status', '00000002 00000005 00000008 000d0001 00'],
  ])('that %s is refused', (_what, hex) => {
    expect(ia(hex)).toBeUndefined();
  });

  test('leaves out what is preferred for longer than it is valid, and what is too much', () => {
    const one = (lifetimes: string) => `00050018 ${IP} ${lifetimes}`;
    const ok = one('00000001 00000002');
    expect(ia(`00000002 00000005 00000000 ${one('00000003 00000002')} ${ok} ${ok} ${ok}`)!.addresses).toHaveLength(2);
  });
});

test('names are uncompressed, RFC 8415 §10', () => {
  expect(dhcp6.namesOf(bytesOf('036c6162 00 0161036c616200'), 4)).toEqual(['lab', 'a.lab']);
  expect(dhcp6.namesOf(bytesOf('036c616200 c000'), 4)).toBeUndefined();
  expect(dhcp6.namesOf(bytesOf('036c61'), 4)).toBeUndefined();
});

test('a host name is whole with its end, or partial without, RFC 4704 §4.2', () => {
  expect(hexOf(dhcp6.fqdnBytes('a.lab'))).toBe('0161036c616200');
  expect(hexOf(dhcp6.fqdnBytes('a'))).toBe('0161');
});

test('a DUID-LL has type 3 and hardware 1, RFC 8415 §11.4', () => {
  expect(hexOf(dhcp6.duidOf(bytesOf('020000000001')))).toBe('00030001020000000001');
});

test('random bytes are read or refused, never thrown over', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 120 }), (bytes) => {
      const view = viewOf(bytes);
      for (const option of dhcp6.readOptions(view, 0, bytes.length) ?? []) dhcp6.readIa(view, option, 4);
      dhcp6.readIa(view, { code: 3, at: 0, bytes: bytes.length }, 4);
      dhcp6.namesOf(bytes, 4);
    }),
  );
});
