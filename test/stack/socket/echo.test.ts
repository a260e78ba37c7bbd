import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Drop } from '../../../core/drop.ts';
import { ANY, ANY4 } from '../../../stack/address.ts';
import { Errno } from '../../../stack/errno.ts';
import { IcmpError } from '../../../stack/packet.ts';
import { Family, SocketName, SocketOption, SocketType } from '../../../stack/socket/sockets.ts';
import { checksumOf } from '../../../wire/checksum.ts';
import { A4, A6, B4, B6, checksum, makeHost, next } from '../kit-sockets.ts';

const request = (type: number): Uint8Array => Uint8Array.of(type, 0, 9, 9, 0xff, 0xff, 0, 5, 1, 2, 3);

test('ICMP: identifier and checksum are the stack’s, the rest the program’s (RFC 792)', () => {
  const { sockets, sender } = makeHost();
  const h = sockets.socket(Family.Inet, SocketType.Datagram, 1);
  expect(sockets.bind(h, ANY4, 77)).toBe(0);
  expect(sockets.sendTo(h, request(8), 0, 11, B4, 0)).toBe(11);
  const { bytes } = sender.sent[0]!;
  expect([bytes[0], bytes[5], bytes[7], bytes[10]]).toEqual([8, 77, 5, 3]);
  expect(checksumOf(new DataView(bytes.buffer), 0, 11)).toBe(0xffff);
});

test('ICMPv6: the checksum has a pseudo-header (RFC 4443 §2.3), the identifier is chosen', () => {
  const { sockets, sender } = makeHost();
  const h = sockets.socket(Family.Inet6, SocketType.Datagram, 58);
  expect(sockets.sendTo(h, request(128), 0, 11, B6, 0)).toBe(11);
  const { bytes, source } = sender.sent[0]!;
  expect(checksum(source, B6, 58, bytes)).toBe(0);
  const name = new SocketName();
  sockets.local(h, name);
  expect(new DataView(bytes.buffer).getUint16(4)).toBe(name.port);
  expect(name.port).toBeGreaterThan(0);
});

test.each([
  ['a reply', Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0)],
  ['a code', Uint8Array.of(8, 1, 0, 0, 0, 0, 0, 0)],
  ['a stub', Uint8Array.of(8, 0, 0)],
])('sends no %s: EINVAL', (_what, bytes) => {
  const { sockets } = makeHost();
  const h = sockets.socket(Family.Inet, SocketType.Datagram, 1);
  expect(sockets.sendTo(h, bytes, 0, bytes.length, B4, 0)).toBe(-Errno.EINVAL);
});

test('replies come to the socket of their identifier and family', () => {
  const host = makeHost();
  const { sockets } = host;
  const four = sockets.socket(Family.Inet, SocketType.Datagram, 1);
  const six = sockets.socket(Family.Inet6, SocketType.Datagram, 58);
  sockets.bind(four, ANY4, 77);
  expect(sockets.bind(six, ANY, 77)).toBe(0);
  const reply = (type: number) => Uint8Array.of(type, 0, 0, 0, 0, 77, 0, 1, 65);
  expect(sockets.echo.receive(host.packet(B6, A6, 58, reply(129)))).toBe(Drop.None);
  expect(next(host, four)).toBe(-Errno.EAGAIN);
  expect(sockets.available(six)).toBe(9);
  expect(sockets.echo.receive(host.packet(B4, A4, 1, reply(0)))).toBe(Drop.None);
  expect(String(next(host, four)).at(-1)).toBe('A');
  expect(sockets.message).toMatchObject({ source: B4, port: 77, hops: 61 });
  expect(sockets.echo.receive(host.packet(B4, A4, 1, reply(8)))).toBe(Drop.NoSocket);
});

test('an identifier is taken once: EADDRINUSE', () => {
  const { sockets } = makeHost();
  const make = () => sockets.bind(sockets.socket(Family.Inet, SocketType.Datagram, 1), A4, 77);
  expect([make(), make()]).toEqual([0, -Errno.EADDRINUSE]);
});

test('an error about a request is told', () => {
  const host = makeHost();
  const { sockets } = host;
  const h = sockets.socket(Family.Inet, SocketType.Datagram, 1);
  sockets.setOption(h, SocketOption.ReceiveErrors, 1);
  sockets.bind(h, ANY4, 77);
  const { at } = host.packet(A4, B4, 1, Uint8Array.of(8, 0, 0, 0, 0, 77, 0, 1));
  const error = Object.assign(new IcmpError(), {
    iface: 2,
    protocol: 1,
    at,
    bytes: 8,
    type: 11,
    errno: Errno.EHOSTUNREACH,
  });
  error.source.set(A4);
  error.target.set(B4);
  sockets.echo.fail(error);
  expect(next(host, h)).toBe(-Errno.EHOSTUNREACH);
});

test('random bytes never throw', () => {
  const host = makeHost();
  host.sockets.bind(host.sockets.socket(Family.Inet, SocketType.Datagram, 1), ANY4, 77);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 20 }), (bytes) => {
      const packet = host.packet(B4, A4, 1, bytes);
      host.sockets.echo.receive(packet);
      host.sockets.echo.fail(Object.assign(new IcmpError(), { at: packet.at, bytes: bytes.length, errno: 113 }));
    }),
  );
});
