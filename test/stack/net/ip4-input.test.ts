import { expect, test } from 'vitest';
import { Drop } from '../../../core/drop.ts';
import { NetKit, packet4, udpData } from '../kit-net.ts';

test('a packet for this host is given to its transport', () => {
  const kit = new NetKit();
  expect(kit.receive(packet4({ tos: 3 }))).toBe(Drop.None);
  expect(kit.udp.packets).toMatchObject([{ bytes: udpData(16), protocolOffset: 9, trafficClass: 3 }]);
});

test('Ethernet padding is no part of a packet', () => {
  const kit = new NetKit();
  kit.receive(Uint8Array.of(...packet4({}), 0, 0, 0, 0));
  expect(kit.udp.packets[0]!.bytes).toEqual(udpData(16));
});

test('RFC 1122 §3.2.1.1: another version is silently discarded', () => {
  const bytes = packet4({});
  bytes[0] = 0x55;
  expect(new NetKit().receive(bytes)).toBe(Drop.Ip4Version);
});

test('RFC 1122 §3.2.1.2: a header with a wrong checksum is silently discarded', () => {
  const kit = new NetKit();
  const bytes = packet4({});
  bytes[8]!--;
  expect(kit.receive(bytes)).toBe(Drop.Ip4Checksum);
  expect(kit.sent()).toEqual([]);
});

test.each([
  ['0.0.0.0', '10.0.0.1', Drop.BadSource],
  ['0.0.0.9', '10.0.0.1', Drop.BadSource],
  ['127.0.0.1', '10.0.0.1', Drop.BadSource],
  ['224.0.0.1', '10.0.0.1', Drop.BadSource],
  ['255.255.255.255', '10.0.0.1', Drop.BadSource],
  ['10.0.0.255', '10.0.0.1', Drop.BadSource],
  ['250.0.0.1', '10.0.0.1', Drop.BadSource],
  ['10.0.0.1', '10.0.0.1', Drop.BadSource],
  ['10.0.0.2', '127.0.0.1', Drop.BadTarget],
  ['10.0.0.2', '0.0.0.0', Drop.BadTarget],
  ['10.0.0.2', '240.0.0.1', Drop.BadTarget],
  ['10.0.0.2', '10.0.0.3', Drop.NotForUs],
  ['0.0.0.0', '255.255.255.255', Drop.None],
  ['10.0.0.2', '10.0.0.255', Drop.None],
  ['10.0.0.2', '224.0.0.1', Drop.None],
  ['10.0.0.2', '224.0.0.251', Drop.NotForUs],
])('RFC 1122 §3.2.1.3: from %s to %s is %i', (from, to, drop) => {
  const kit = new NetKit();
  expect(kit.receive(packet4({ from, to }))).toBe(drop);
  expect(kit.udp.packets.length).toBe(drop === Drop.None ? 1 : 0);
});

test('RFC 1122 §3.3.6: a unicast packet in a group frame is silently discarded', () => {
  expect(new NetKit().receive(packet4({}), { isGroup: true })).toBe(Drop.BadTarget);
});

test('RFC 1112 §7.2: a joined group is heard', () => {
  const kit = new NetKit();
  kit.joined.add('224.0.0.251');
  expect(kit.receive(packet4({ to: '224.0.0.251' }), { isGroup: true })).toBe(Drop.None);
});

test('a gateway that accepts any target takes them all', () => {
  const kit = new NetKit();
  kit.eth0.acceptsAny = true;
  expect(kit.receive(packet4({ to: '192.0.2.7' }))).toBe(Drop.None);
});

test.each([
  [[1, 1, 1, 0], Drop.None],
  [[148, 4, 0, 0], Drop.None], // router alert
  [[200, 4, 9, 9], Drop.None], // RFC 1122 §3.2.1.8: not understood
  [[131, 7, 4, 10, 0, 0, 9, 0], Drop.Ip4Option],
  [[137, 7, 4, 10, 0, 0, 9, 0], Drop.Ip4Option],
  [[7, 1, 1, 1], Drop.Ip4Option],
  [[7, 5, 1, 1], Drop.Ip4Option],
])('RFC 1122 §3.2.1.8: options %j end in %i', (options, drop) => {
  expect(new NetKit().receive(packet4({ options }))).toBe(drop);
});

test('RFC 1122 §3.2.2.5: a malformed option is told with a pointer to it', () => {
  const kit = new NetKit();
  kit.receive(packet4({ options: [1, 7, 9, 1] }));
  expect([...kit.sent()[0]!.slice(20, 25)]).toEqual([12, 0, expect.any(Number), expect.any(Number), 22]);
});

test('an interface that is down takes nothing', () => {
  const kit = new NetKit();
  kit.eth0.isUp = false;
  expect(kit.receive(packet4({}))).toBe(Drop.NoPort);
});

test.each([
  [Uint8Array.of(1, 0, 0, 0, 0, 0, 34, 0, 6, 0), true, 0],
  [Uint8Array.of(2, 0, 0, 0, 0, 0, 0, 0, 0, 0), true, 0],
  [Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0), false, 0],
  [Uint8Array.of(1, 5, 0, 0, 8, 0, 34, 0, 6, 0), true, 8],
])('the offload header %s says whether the checksum is known', (header, isChecksumKnown, segmentBytes) => {
  const kit = new NetKit();
  kit.receive(packet4({}), { header });
  expect(kit.udp.packets).toMatchObject([{ isChecksumKnown, segmentBytes }]);
});
