import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Drop } from '../../../core/drop.ts';
import { StateReader, StateWriter } from '../../../core/state.ts';
import { icmpPacket, ip, isSumRight, NetKit, packet6, udpData } from '../kit-net.ts';

const echo = (o: { from?: string; to?: string } = {}, bytes = 32): Uint8Array =>
  icmpPacket(true, [128, 0, 0, 0, 0, 7, 0, 1], udpData(bytes), o);
const source = (packet: Uint8Array): string[] => [...packet.slice(8, 24)].map((b) => b.toString(16));

test('RFC 4443 §4.2: an echo request is answered from where it was sent to', () => {
  const kit = new NetKit();
  expect(kit.receive(echo())).toBe(Drop.None);
  const [reply] = kit.sent();
  expect([...reply!.slice(40, 42)]).toEqual([129, 0]);
  expect(reply!.slice(44)).toEqual(echo().slice(44));
  expect(isSumRight(reply!)).toBe(true);
});

test('RFC 4443 §4.2: one to a group is answered from a unicast address', () => {
  const kit = new NetKit();
  kit.receive(echo({ from: 'fe80::2', to: 'ff02::1' }), { isGroup: true });
  const [reply] = kit.sent();
  expect(source(reply!).slice(0, 2)).toEqual(['fe', '80']);
  expect(isSumRight(reply!)).toBe(true);
});

test('a long reply goes out in pieces', () => {
  const kit = new NetKit({ mtuBytes: 1280 });
  kit.receive(echo({}, 3000));
  expect(kit.sent().map((p) => p[6])).toEqual([44, 44, 44]);
});

test('RFC 4443 §2.3: a wrong checksum is discarded', () => {
  const bytes = echo();
  bytes[50]! ^= 1;
  expect(new NetKit().receive(bytes)).toBe(Drop.IcmpChecksum);
});

test('RFC 4443 §2.4 (b): unknown information is silently discarded', () => {
  const kit = new NetKit();
  expect(kit.receive(icmpPacket(true, [200, 0, 0, 0, 0, 0, 0, 0], udpData(8)))).toBe(Drop.None);
  expect(kit.sent()).toEqual([]);
});

test('RFC 4443 §2.4 (c), §3.1: port unreachable, with as much of the packet as fits 1280 bytes', () => {
  const kit = new NetKit();
  kit.udp.answer = Drop.NoSocket;
  kit.receive(packet6({ data: udpData(1400) }));
  const [sent] = kit.sent();
  expect(sent!.length).toBe(1280);
  expect([...sent!.slice(40, 42)]).toEqual([1, 4]);
  expect(sent!.slice(48)).toEqual(packet6({ data: udpData(1400) }).slice(0, 1232));
  expect(isSumRight(sent!)).toBe(true);
});

test.each([
  ['(e.1) an error', icmpPacket(true, [1, 4, 0, 0, 0, 0, 0, 0], udpData(48)), false, 0],
  ['(e.1) an unknown error', icmpPacket(true, [99, 4, 0, 0, 0, 0, 0, 0], udpData(48)), false, 0],
  ['(e.2) a redirect', icmpPacket(true, [137, 0, 0, 0, 0, 0, 0, 0], udpData(48)), false, 0],
  ['(e.3) a multicast packet', packet6({ to: 'ff02::1' }), false, 0],
  ['(e.4) a group frame', packet6({}), true, 0],
  ['(e.6) a packet from nobody', packet6({ from: '::' }), false, 0],
  ['(e.6) a packet from a group', packet6({ from: 'ff02::1' }), false, 0],
  ['an ordinary packet', packet6({}), false, 1],
  ['an echo', echo(), false, 1],
])('RFC 4443 §2.4: errors about %s', (_, bytes, isGroup, count) => {
  const kit = new NetKit();
  const at = kit.slab.alloc(4096);
  kit.slab.bytes.set(bytes, at);
  kit.icmp6.sendError(2, at, bytes.length, isGroup, 3, 1, 0);
  expect(kit.sent().length).toBe(count);
});

test('RFC 4443 §2.4 (f): errors are limited, and the limit survives a restart', () => {
  const kit = new NetKit();
  for (let i = 0; i < 100; i++) kit.receive(packet6({ next: 200 }));
  expect(kit.sent().length).toBe(10);
  const state = new StateWriter();
  kit.icmp6.save(state);
  const copy = new NetKit();
  copy.icmp6.load(new StateReader(state.finish()));
  copy.receive(packet6({ next: 200 }));
  expect(copy.sent().length).toBe(0);
  copy.shared.nowUs = 100_000;
  copy.receive(packet6({ next: 200 }));
  expect(copy.sent().length).toBe(1);
});

const ours = (o = {}): Uint8Array => packet6({ from: '2001:db8::1', to: '2001:db8:9::1', ...o });
const error = (type: number, code: number, word: number, packet: Uint8Array): Uint8Array =>
  icmpPacket(true, [type, code, 0, 0, word >>> 24, (word >>> 16) & 255, (word >>> 8) & 255, word & 255], packet);

test.each([
  [1, 0, 101, false],
  [1, 1, 13, false],
  [1, 3, 113, false],
  [1, 4, 111, true],
  [3, 0, 113, false],
  [4, 1, 71, true],
  [4, 0, 71, false],
  [99, 0, 71, false],
])('RFC 4443 §2.4 (a), (d): type %i code %i goes up as %i', (type, code, errno, isHard) => {
  const kit = new NetKit();
  expect(kit.receive(error(type, code, 0, ours()))).toBe(Drop.None);
  expect(kit.udp.errors).toMatchObject([{ type, code, errno, isHard, protocol: 17, bytes: 16 }]);
});

test('RFC 4443 §2.4 (d): the protocol is found behind extension headers', () => {
  const kit = new NetKit();
  const data = Uint8Array.of(44, 0, 1, 4, 0, 0, 0, 0, 17, 0, 0, 1, 0, 0, 0, 1, ...udpData(16));
  kit.receive(error(1, 4, 0, ours({ next: 60, data })));
  expect(kit.udp.errors).toMatchObject([{ protocol: 17, bytes: 16 }]);
});

test.each([
  [1400, 1400],
  [1280, 1280],
  [1279, 1500],
  [3000, 1500],
])('RFC 8201 §4: "too big, %i" makes the path %i', (said, mtu) => {
  const kit = new NetKit();
  kit.route('::/0', 'fe80::99', 2);
  kit.receive(error(2, 0, said, ours()));
  expect(kit.paths.mtuOf(kit.paths.find(ip('2001:db8::1'), ip('2001:db8:9::1'), 0))).toBe(mtu);
});

test('an error about somebody else’s packet is not believed', () => {
  const kit = new NetKit();
  expect(kit.receive(error(2, 0, 1300, packet6({ from: '2001:db8::7' })))).toBe(Drop.NotForUs);
});

test('discovery and listening are given away with their checksum verified', () => {
  const kit = new NetKit();
  const seen: string[] = [];
  const listener = (name: string) => ({
    receive(): Drop {
      seen.push(name);
      return Drop.None;
    },
  });
  kit.icmp6.setNdp(listener('ndp'));
  kit.icmp6.setMld(listener('mld'));
  for (const type of [130, 131, 132, 133, 134, 135, 136, 137, 143]) {
    kit.receive(icmpPacket(true, [type, 0, 0, 0, 0, 0, 0, 0], new Uint8Array(40)));
  }
  expect(seen.join(' ')).toBe('mld mld mld ndp ndp ndp ndp ndp mld');
});

test('mutated and truncated packets never throw', () => {
  const kit = new NetKit();
  const options = Uint8Array.of(
    44,
    1,
    5,
    2,
    0,
    0,
    1,
    8,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    43,
    0,
    0,
    1,
    0,
    0,
    0,
    1,
    ...udpData(16),
  );
  const seeds = [
    echo(),
    error(2, 0, 1300, ours()),
    packet6({ next: 0, data: options }),
    packet6({ next: 43, data: options }),
  ];
  const change = fc.tuple(fc.nat(110), fc.nat(255));
  fc.assert(
    fc.property(fc.nat(seeds.length - 1), fc.array(change, { maxLength: 5 }), fc.nat(110), (s, changes, cut) => {
      const bytes = seeds[s]!.slice();
      for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
      const short = bytes.slice(0, Math.max(1, cut));
      if (short.length > 40) new DataView(short.buffer).setUint16(4, short.length - 40);
      if (short[0]! >>> 4 === 6) kit.receive(short);
      kit.sent();
    }),
    { numRuns: 2000 },
  );
});
