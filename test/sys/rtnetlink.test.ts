import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  eachMessage,
  newAddress,
  newDefaultRoute,
  newVeth,
  readLink,
  setLink,
  setSequence,
} from '../../sys/rtnetlink.ts';

const hex = (bytes: Uint8Array): string =>
  Buffer.from(bytes)
    .toString('hex')
    .replace(/(.{8})(?!$)/g, '$1 ');

test('sets a device up with a new name', () => {
  const message = setLink(7, { isUp: true, name: 'eth0' });
  setSequence(message, 0x1234);
  expect(hex(message)).toBe(
    [
      '2c000000 10000500 34120000 00000000', // length 44, RTM_NEWLINK, REQUEST | ACK, sequence
      '00000000 07000000 01000000 01000000', // family, index, flags, change: IFF_UP
      '09000300 65746830 00000000', // IFLA_IFNAME, length 9, padded
    ].join(' '),
  );
});

test.each([
  { prefixLength: 24, address: [10, 1, 2, 3], broadcast: '0a0102ff' },
  { prefixLength: 8, address: [10, 1, 2, 3], broadcast: '0affffff' },
  { prefixLength: 30, address: [10, 1, 2, 5], broadcast: '0a010207' },
  { prefixLength: 0, address: [10, 1, 2, 3], broadcast: 'ffffffff' },
])('an IPv4 address in a /$prefixLength has broadcast $broadcast', ({ prefixLength, address, broadcast }) => {
  expect(hex(newAddress(2, Uint8Array.from(address), prefixLength))).toMatch(new RegExp(`08000400 ${broadcast}$`));
});

test.each([31, 32])('an IPv4 address in a /%i has no broadcast (RFC 3021)', (prefixLength) => {
  expect(newAddress(2, Uint8Array.of(10, 0, 0, 1), prefixLength)).toHaveLength(16 + 8 + 2 * 8);
});

test('an IPv6 address skips duplicate detection', () => {
  const message = newAddress(2, new Uint8Array(16).fill(0xfd), 64);
  expect([...message.subarray(16, 24)]).toEqual([10, 64, 0x02, 0, 2, 0, 0, 0]); // IFA_F_NODAD
});

test('a default route has a destination of no bits', () => {
  const message = newDefaultRoute(2, Uint8Array.of(10, 0, 0, 1));
  expect(hex(message.subarray(16))).toBe('02000000 fe040001 00000000 08000500 0a000001 08000400 02000000');
});

test('the messages of a veth pair nest to its length', () => {
  const message = newVeth({ name: 'far', mtu: 1500 }, { name: 'eth0', mac: new Uint8Array(6), namespace: 9 });
  const view = new DataView(message.buffer);
  const seen: number[] = [];
  eachMessage(message, (type, body, end) => {
    seen.push(type, body, end);
    expect(readLink(message, body, end)).toMatchObject({ name: 'far', mtu: 1500, isUp: false });
  });
  expect(seen).toEqual([16, 16, view.getUint32(0, true)]);
});

test('no bytes of a reply make the readers throw', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 128 }), fc.nat(140), (bytes, length) => {
      if (bytes.length >= 4) new DataView(bytes.buffer, bytes.byteOffset).setUint32(0, length, true);
      eachMessage(bytes, (_, body, end) => {
        expect(end).toBeLessThanOrEqual(bytes.length);
        readLink(bytes, body, end);
      });
    }),
    { numRuns: 500 },
  );
});
