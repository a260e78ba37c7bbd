import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Drop } from '../../../core/drop.ts';
import { icmpPacket, ip, isSumRight, NetKit, packet4, udpData } from '../kit-net.ts';

const echo = (o: { from?: string; to?: string } = {}, bytes = 32): Uint8Array =>
  icmpPacket(false, [8, 0, 0, 0, 0, 7, 0, 1], udpData(bytes), o);
/** Type and code of what was sent. */
const kinds = (kit: NetKit): number[][] => kit.sent().map((p) => [...p.slice(20, 22)]);

test.each([0, 32, 3000])('RFC 1122 §3.2.2.6: an echo request of %i bytes is answered with the same data', (bytes) => {
  const kit = new NetKit({ mtuBytes: 9000 });
  expect(kit.receive(echo({}, bytes))).toBe(Drop.None);
  const [reply] = kit.sent();
  expect([...reply!.slice(12, 22)]).toEqual([10, 0, 0, 1, 10, 0, 0, 2, 0, 0]);
  expect(reply!.slice(24)).toEqual(echo({}, bytes).slice(24));
  expect(isSumRight(reply!)).toBe(true);
});

test.each(['10.0.0.255', '224.0.0.1'])('RFC 1122 §3.2.2.6: an echo request to %s may be left alone', (to) => {
  const kit = new NetKit();
  kit.receive(echo({ to }));
  expect(kit.sent()).toEqual([]);
});

test('a wrong checksum is silently discarded', () => {
  const kit = new NetKit();
  const bytes = echo();
  bytes[30]! ^= 1;
  expect(kit.receive(bytes)).toBe(Drop.IcmpChecksum);
  expect(kit.sent()).toEqual([]);
});

test.each([1, 2, 7, 4, 17, 255])('RFC 1122 §3.2.2: type %i is silently discarded', (type) => {
  const kit = new NetKit();
  expect(kit.receive(icmpPacket(false, [type, 0, 0, 0, 0, 0, 0, 0], udpData(8)))).toBe(Drop.None);
  expect(kit.sent()).toEqual([]);
});

test('RFC 1122 §3.2.2.1: port and protocol unreachable', () => {
  const kit = new NetKit();
  kit.udp.answer = Drop.NoSocket;
  kit.receive(packet4({}));
  kit.receive(packet4({ protocol: 200 }));
  const sent = kit.sent();
  expect(sent.map((p) => [p[20], p[21]])).toEqual([
    [3, 3],
    [3, 2],
  ]);
  expect(sent.every(isSumRight)).toBe(true);
  expect(sent[0]!.slice(28)).toEqual(packet4({}));
});

test('RFC 1812 §4.3.2.3: as much of the packet is quoted as fits into 576 bytes', () => {
  const kit = new NetKit();
  kit.receive(packet4({ protocol: 200, data: udpData(1400) }));
  expect(kit.sent()[0]!.length).toBe(576);
});

test.each([
  ['an ICMP error', icmpPacket(false, [3, 1, 0, 0, 0, 0, 0, 0], packet4({ from: '10.0.0.1', to: '10.0.0.2' })), {}],
  ['a broadcast', packet4({ to: '10.0.0.255' }), {}],
  ['a multicast', packet4({ to: '224.0.0.1' }), {}],
  ['a packet from nobody', packet4({ from: '0.0.0.0', to: '255.255.255.255' }), {}],
])('RFC 1122 §3.2.2: no error about %s', (_, bytes, o) => {
  const kit = new NetKit();
  kit.udp.answer = Drop.NoSocket;
  kit.receive(bytes, o);
  expect(kit.sent()).toEqual([]);
});

test.each([
  ['a later piece', packet4({ fragment: 5 }), false],
  ['a group frame', packet4({}), true],
  ['an ICMP error', icmpPacket(false, [3, 1, 0, 0, 0, 0, 0, 0], udpData(28)), false],
  ['an ICMP of unknown type', icmpPacket(false, [99, 1, 0, 0, 0, 0, 0, 0], udpData(28)), false],
])('RFC 1122 §3.2.2: even when asked to, no error about %s', (_, bytes, isGroup) => {
  const kit = new NetKit();
  const at = kit.slab.alloc(4096);
  kit.slab.bytes.set(bytes, at);
  kit.icmp.sendError(2, at, bytes.length, isGroup, 11, 1, 0);
  expect(kit.sent()).toEqual([]);
});

test('RFC 1812 §4.3.2.8: errors are limited, for each target and for all, and come back with time', () => {
  const kit = new NetKit();
  const flood = (from: string, n: number): number => {
    for (let i = 0; i < n; i++) kit.receive(packet4({ from, protocol: 200 }));
    return kit.sent().length;
  };
  expect(flood('10.0.0.2', 100)).toBe(10);
  kit.shared.nowUs += 100_000;
  expect(flood('10.0.0.2', 100)).toBe(1);
  let all = 0;
  for (let i = 10; i < 200; i++) all += flood(`10.0.0.${i}`, 1);
  expect(all).toBeLessThanOrEqual(50);
});

/** An error about a packet of ours. */
const error = (type: number, code: number, word: number, packet: Uint8Array): Uint8Array =>
  icmpPacket(false, [type, code, 0, 0, word >>> 24, (word >>> 16) & 255, (word >>> 8) & 255, word & 255], packet);
const ours = (o = {}): Uint8Array => packet4({ from: '10.0.0.1', to: '192.0.2.1', ...o });

test.each([
  [3, 0, 101, false],
  [3, 1, 113, false],
  [3, 2, 92, true],
  [3, 3, 111, true],
  [3, 13, 113, false],
  [11, 0, 113, false],
  [12, 0, 71, false],
])('RFC 1122 §3.2.2.1: type %i code %i is given to the transport as %i', (type, code, errno, isHard) => {
  const kit = new NetKit();
  expect(kit.receive(error(type, code, 0, ours()))).toBe(Drop.None);
  expect(kit.udp.errors).toMatchObject([{ type, code, errno, isHard, protocol: 17, bytes: 16 }]);
});

test.each([
  ['of somebody else', packet4({ from: '10.0.0.9', to: '192.0.2.1' })],
  ['that is a later piece', ours({ fragment: 4 })],
  ['of 7 bytes', ours({ data: udpData(7) })],
])('an error about a packet %s is not believed', (_, packet) => {
  const kit = new NetKit();
  expect(kit.receive(error(3, 3, 0, packet))).not.toBe(Drop.None);
  expect(kit.udp.errors).toEqual([]);
});

test.each([
  [1400, 0, 1400, 1400],
  [0, 1500, 1492, 1492],
  [300, 0, 300, 552],
  [60, 0, 60, 1500], // RFC 1191 §3: never below 68
  [2000, 0, 2000, 1500],
])('RFC 1191 §4, §5: "needs %i" about %i bytes: told %i, the path has %i', (said, length, told, mtu) => {
  const kit = new NetKit();
  kit.route('0.0.0.0/0', '10.0.0.254', 2);
  const packet = ours();
  if (length > 0) new DataView(packet.buffer).setUint16(2, length);
  kit.receive(error(3, 4, said, packet));
  expect(kit.udp.errors).toMatchObject([{ errno: 90, isHard: false, mtuBytes: told }]);
  expect(kit.paths.mtuOf(kit.paths.find(ip('10.0.0.1'), ip('192.0.2.1'), 0))).toBe(mtu);
});

test('RFC 5927 §7.2: about TCP the path learns from TCP only', () => {
  const kit = new NetKit();
  kit.route('0.0.0.0/0', '10.0.0.254', 2);
  kit.receive(error(3, 4, 1400, ours({ protocol: 6 })));
  expect(kit.paths.mtuOf(kit.paths.find(ip('10.0.0.1'), ip('192.0.2.1'), 0))).toBe(1500);
});

const redirect = (from: string, gateway: string): Uint8Array =>
  icmpPacket(false, [5, 1, 0, 0, ...gateway.split('.').map(Number)], ours(), { from });

test.each([
  ['its router', '10.0.0.254', '10.0.0.253', '10.0.0.253'],
  ['a stranger', '10.0.0.9', '10.0.0.253', '10.0.0.254'],
  ['its router to somewhere off the link', '10.0.0.254', '192.0.2.9', '10.0.0.254'],
  ['its router to the host itself', '10.0.0.254', '10.0.0.1', '10.0.0.254'],
])('RFC 1122 §3.2.2.2: a redirect from %s', (_, from, gateway, hop) => {
  const kit = new NetKit();
  kit.route('0.0.0.0/0', '10.0.0.254', 2);
  kit.receive(redirect(from, gateway));
  expect(kit.paths.hopOf(kit.paths.find(ip('10.0.0.1'), ip('192.0.2.1'), 0))).toEqual(ip(hop));
});

test('a next hop that never answered is told to the sender, ours or another’s', () => {
  const kit = new NetKit();
  const at = kit.slab.alloc(4096);
  kit.slab.bytes.set(ours(), at + 14);
  kit.reports.unreachable(2, at, 14 + 36);
  expect(kit.udp.errors).toMatchObject([{ type: 3, code: 1, errno: 113 }]);
  kit.slab.bytes.set(packet4({ to: '10.0.0.77' }), at + 14);
  kit.reports.unreachable(2, at, 14 + 36);
  expect(kinds(kit)).toEqual([[3, 1]]);
});

test('mutated and truncated packets never throw', () => {
  const kit = new NetKit();
  const seeds = [
    echo(),
    error(3, 4, 1400, ours()),
    redirect('10.0.0.254', '10.0.0.253'),
    packet4({ options: [7, 3, 4, 0] }),
  ];
  const change = fc.tuple(fc.nat(80), fc.nat(255));
  fc.assert(
    fc.property(
      fc.nat(seeds.length - 1),
      fc.array(change, { maxLength: 4 }),
      fc.nat(90),
      fc.boolean(),
      (s, changes, cut, seal) => {
        const bytes = seeds[s]!.slice();
        for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
        const short = bytes.slice(0, Math.max(1, Math.min(bytes.length, cut + 10)));
        if (seal && short.length >= 20) {
          const view = new DataView(short.buffer);
          let sum = 0;
          view.setUint16(10, 0);
          const header = Math.min(short.length, (short[0]! & 15) * 4) & ~1;
          for (let i = 0; i < header; i += 2) sum += view.getUint16(i);
          while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
          view.setUint16(10, ~sum & 0xffff);
        }
        if (short[0]! >>> 4 !== 6) kit.receive(short);
        kit.sent();
      },
    ),
    { numRuns: 2000 },
  );
});
