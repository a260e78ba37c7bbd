import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ANY, ANY4 } from '../../../stack/address.ts';
import { Errno } from '../../../stack/errno.ts';
import { Family, SocketOption, SocketType } from '../../../stack/socket/sockets.ts';
import { A4, A6, address, B4, B6, checksum, makeHost } from '../kit-sockets.ts';

const { Inet, Inet6 } = Family;
const into = new Uint8Array(2000);
const raw = (host: ReturnType<typeof makeHost>, family: number, protocol: number): number =>
  host.sockets.socket(family, SocketType.Raw, protocol);

test('IPv4: every socket of the protocol reads header and payload', () => {
  const host = makeHost();
  const all = [raw(host, Inet, 89), raw(host, Inet, 89), raw(host, Inet, 90)];
  expect(host.sockets.raw.hear(host.packet(B4, A4, 89, Uint8Array.of(7, 8)))).toBe(true);
  expect(all.map((h) => host.sockets.receiveFrom(h, into, 0, 99))).toEqual([22, 22, -Errno.EAGAIN]);
  expect([into[0], into[20], into[21]]).toEqual([0x45, 7, 8]);
  expect(host.sockets.message).toMatchObject({ source: B4, target: A4, port: 89 });
});

test('IPv6: the payload only, RFC 3542 §3', () => {
  const host = makeHost();
  const h = raw(host, Inet6, 89);
  expect(host.sockets.raw.hear(host.packet(B6, A6, 89, Uint8Array.of(7, 8)))).toBe(true);
  expect(host.sockets.receiveFrom(h, into, 0, 99)).toBe(2);
});

test('nobody hears other families, other addresses or other peers', () => {
  const host = makeHost();
  expect(host.sockets.raw.hear(host.packet(B4, A4, 89, Uint8Array.of(7)))).toBe(false);
  const h = raw(host, Inet, 89);
  expect(host.sockets.raw.hear(host.packet(B6, A6, 89, Uint8Array.of(7)))).toBe(false);
  expect(host.sockets.bind(h, address('10.0.0.9'), 0)).toBe(-Errno.EADDRNOTAVAIL);
  expect(host.sockets.bind(h, A4, 0)).toBe(0);
  expect(host.sockets.raw.hear(host.packet(B4, address('10.0.0.7'), 89, Uint8Array.of(7)))).toBe(false);
  expect(host.sockets.connect(h, B4, 0)).toBe(0);
  expect(host.sockets.raw.hear(host.packet(address('10.0.0.3'), A4, 89, Uint8Array.of(7)))).toBe(false);
  expect(host.sockets.raw.hear(host.packet(B4, A4, 89, Uint8Array.of(7)))).toBe(true);
});

test('ICMP6_FILTER: a set bit keeps its type out, RFC 3542 §3.2', () => {
  const host = makeHost();
  const h = raw(host, Inet6, 58);
  const filter = new Int32Array(8).fill(-1);
  filter[129 >>> 5]! &= ~(1 << (129 & 31));
  expect(host.sockets.setFilter(h, filter)).toBe(0);
  const message = (type: number) =>
    host.packet(B6, A6, 58, Uint8Array.of(type, 0, 0, 0, 0, 0, 0, 0), { isChecksumKnown: true });
  expect(host.sockets.raw.hear(message(128))).toBe(false);
  expect(host.sockets.raw.hear(message(129))).toBe(true);
});

test('ICMPv6 checksums are written and verified, RFC 3542 §3.1', () => {
  const host = makeHost();
  const h = raw(host, Inet6, 58);
  const bytes = Uint8Array.of(128, 0, 0xaa, 0xaa, 1, 2, 3, 4);
  expect(host.sockets.sendTo(h, bytes, 0, 8, B6, 0)).toBe(8);
  const sent = host.sender.sent[0]!;
  expect(checksum(sent.source, B6, 58, sent.bytes)).toBe(0);
  expect(host.sockets.raw.hear(host.packet(B6, A6, 58, bytes))).toBe(false);
  expect(host.sockets.setOption(h, SocketOption.ChecksumOffset, 4)).toBe(-Errno.EINVAL);
  expect(host.sockets.sendTo(h, bytes, 0, 3, B6, 0)).toBe(-Errno.EINVAL);
});

test('IPV6_CHECKSUM: where another protocol has its checksum', () => {
  const host = makeHost();
  const h = raw(host, Inet6, 200);
  expect(host.sockets.setOption(h, SocketOption.ChecksumOffset, 3)).toBe(-Errno.EINVAL);
  expect(host.sockets.setOption(h, SocketOption.ChecksumOffset, 4)).toBe(0);
  host.sockets.sendTo(h, Uint8Array.of(1, 2, 3, 4, 0, 0), 0, 6, B6, 0);
  expect(checksum(host.sender.sent[0]!.source, B6, 200, host.sender.sent[0]!.bytes)).toBe(0);
});

test('IP_HDRINCL: the header says where to, with which TTL and TOS; options are refused', () => {
  const host = makeHost();
  const h = raw(host, Inet, 255);
  expect(host.sockets.getOption(h, SocketOption.HeaderIncluded)).toBe(1);
  const packet = Uint8Array.of(0x45, 8, 0, 22, 0, 0, 0, 0, 9, 89, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 5, 6);
  expect(host.sockets.send(h, packet, 0, 22)).toBe(22);
  expect(host.sender.sent[0]).toMatchObject({
    target: B4,
    protocol: 89,
    hops: 9,
    trafficClass: 8,
    bytes: Uint8Array.of(5, 6),
  });
  expect(host.sockets.send(h, packet, 0, 19)).toBe(-Errno.EINVAL);
  packet[0] = 0x46;
  expect(host.sockets.send(h, packet, 0, 22)).toBe(-Errno.EOPNOTSUPP);
});

test('without a target EDESTADDRREQ, to the wrong family EAFNOSUPPORT', () => {
  const host = makeHost();
  const h = raw(host, Inet, 89);
  expect(host.sockets.send(h, into, 0, 4)).toBe(-Errno.EDESTADDRREQ);
  expect(host.sockets.sendTo(h, into, 0, 4, B6, 0)).toBe(-Errno.EAFNOSUPPORT);
  expect(host.sockets.bind(h, ANY, 0)).toBe(0);
  expect(host.sockets.sendTo(h, into, 0, 4, B4, 0)).toBe(4);
  expect(host.sockets.bind(raw(host, Inet, 89), ANY4, 0)).toBe(0);
});

test('random packets never throw', () => {
  const host = makeHost();
  for (const protocol of [1, 58, 200]) {
    raw(host, Inet, protocol);
    const h = raw(host, Inet6, protocol);
    host.sockets.setOption(h, SocketOption.ChecksumOffset, 30);
  }
  const protocols = fc.constantFrom(1, 58, 200);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), fc.boolean(), protocols, (bytes, isIp6, protocol) => {
      host.sockets.raw.hear(host.packet(isIp6 ? B6 : B4, isIp6 ? A6 : A4, protocol, bytes));
    }),
  );
});
