import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { viewOf } from '../../wire/bytes.ts';
import * as dhcp4 from '../../wire/dhcp4.ts';
import { bytesOf } from '../kit/hex.ts';

const FIELDS: dhcp4.Fields = {
  op: dhcp4.Op.Reply,
  xid: 0xfeedbeef,
  secs: 3,
  flags: dhcp4.BROADCAST,
  ciaddr: 0x0a000001,
  yiaddr: 0x0a000002,
  siaddr: 0x0a000003,
  giaddr: 0x0a000004,
  mac: bytesOf('020000000001'),
};

const build = (options: [number, Uint8Array][]) => dhcp4.buildMessage(FIELDS, options);
const read = (bytes: Uint8Array) => dhcp4.readOptions(viewOf(bytes), 0, bytes.length);

describe('a message', () => {
  test('is read as it was written, RFC 2131 §2', () => {
    const bytes = build([[53, Uint8Array.of(2)]]);
    const view = viewOf(bytes);
    expect(bytes.length).toBe(dhcp4.MESSAGE_BYTES_MIN);
    expect(dhcp4.isMessage(view, 0, bytes.length)).toBe(true);
    expect(dhcp4.op(view, 0)).toBe(2);
    expect(dhcp4.xid(view, 0)).toBe(0xfeedbeef);
    expect(dhcp4.secs(view, 0)).toBe(3);
    expect(dhcp4.flags(view, 0)).toBe(0x8000);
    expect([dhcp4.ciaddr, dhcp4.yiaddr, dhcp4.siaddr, dhcp4.giaddr].map((f) => f(view, 0) & 15)).toEqual([1, 2, 3, 4]);
    expect(bytes.slice(dhcp4.chaddrAt(0), dhcp4.chaddrAt(0) + 6)).toEqual(FIELDS.mac);
    expect(read(bytes)).toEqual(new Map([[53, Uint8Array.of(2)]]));
  });

  test('is none when cut, without the cookie, or not for Ethernet', () => {
    const bytes = build([]);
    expect(dhcp4.isMessage(viewOf(bytes), 0, 239)).toBe(false);
    for (const at of [1, 2, 236, 239]) {
      const bad = bytes.slice();
      bad[at]! ^= 1;
      expect(dhcp4.isMessage(viewOf(bad), 0, bad.length)).toBe(false);
    }
  });
});

describe('options', () => {
  test('of more than 255 bytes are cut and put together, RFC 3396 §7', () => {
    const long = Uint8Array.from({ length: 700 }, (_, i) => i & 255);
    const options: [number, Uint8Array][] = [
      [119, long],
      [12, Uint8Array.of(65)],
    ];
    expect(read(build(options))).toEqual(new Map(options));
  });

  test('continue in file, then in sname, if option 52 says so, RFC 2131 §4.1, RFC 3396 §5', () => {
    const bytes = build([
      [52, Uint8Array.of(3)],
      [12, Uint8Array.of(1)],
    ]);
    bytes.set([12, 1, 2, 255, 99], 108);
    bytes.set([0, 12, 1, 3, 255], 44);
    expect(read(bytes)?.get(12)).toEqual(Uint8Array.of(1, 2, 3));
    bytes[242] = 1; // file only
    expect(read(bytes)?.get(12)).toEqual(Uint8Array.of(1, 2));
    bytes[242] = 2; // sname only
    expect(read(bytes)?.get(12)).toEqual(Uint8Array.of(1, 3));
  });

  test('that do not fit make the message malformed; a missing end does not', () => {
    const bytes = build([[12, new Uint8Array(57)]]).subarray(0, 299);
    expect(read(bytes)?.get(12)?.length).toBe(57);
    expect(read(bytes.subarray(0, 298))).toBeUndefined();
    expect(read(bytes.subarray(0, 241))).toBeUndefined();
  });

  test('of random bytes are read or refused, never thrown over', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), fc.nat(3), (tail, overload) => {
        const bytes = new Uint8Array(244 + tail.length);
        bytes.set(tail, 44);
        bytes.set(build([]).subarray(0, 240));
        bytes.set(tail.subarray(0, 192), 44);
        bytes.set([52, 1, overload], 240);
        bytes.set(tail, 243);
        read(bytes);
        dhcp4.routesOf(tail, 8);
        dhcp4.addressesOf(tail, 8);
      }),
    );
  });
});

test.each([
  ['00 0a000001', [{ prefix: 0, bits: 0, gateway: 0x0a000001 }]],
  ['08 0a 0a000001', [{ prefix: 0x0a000000, bits: 8, gateway: 0x0a000001 }]],
  ['11 0a1180 0a000001', [{ prefix: 0x0a118000, bits: 17, gateway: 0x0a000001 }]],
  ['18 0a1100 00000000', [{ prefix: 0x0a110000, bits: 24, gateway: 0 }]],
  ['20 0a118142 0a000001', [{ prefix: 0x0a118142, bits: 32, gateway: 0x0a000001 }]],
  ['09 ffff 0a000001', [{ prefix: 0xff800000, bits: 9, gateway: 0x0a000001 }]], // host bits are cleared
  ['21 0a118142 0a000001', undefined],
  ['08 0a 0a0000', undefined],
  ['', []],
])('classless routes %s, RFC 3442', (hex, routes) => {
  expect(dhcp4.routesOf(bytesOf(hex), 8)).toEqual(routes);
});
