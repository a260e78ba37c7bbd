import { expect, test } from 'vitest';
import { Burst } from '../../../core/burst.ts';
import { Drop } from '../../../core/drop.ts';
import { NONE } from '../../../core/slab.ts';
import { StateReader, StateWriter } from '../../../core/state.ts';
import { ANY, ANY4 } from '../../../stack/address.ts';
import { ip, isSumRight, NetKit, UDP, udpData } from '../kit-net.ts';

const pathTo = (kit: NetKit, target: string): number => {
  const p = kit.paths.find(target.includes(':') ? ANY : ANY4, ip(target), 0);
  expect(p).toBeGreaterThanOrEqual(0);
  return p;
};

/** Opens, fills, seals and sends UDP; what `send` said. */
function send(kit: NetKit, target: string, data: Uint8Array, segmentBytes = 0): Drop {
  const at = kit.output.open(pathTo(kit, target), UDP, data.length);
  if (at === NONE) return Drop.TxFull;
  kit.slab.bytes.set(data, at);
  kit.output.seal(6, kit.shared.checksum.sum(at, data.length));
  return kit.output.send(33, 0xb8, segmentBytes);
}

/** Sends a datagram whose data are already in the slab. */
function datagram(kit: NetKit, target: string, data: Uint8Array, mayFragment = true): Drop {
  const at = kit.slab.alloc(data.length);
  kit.slab.bytes.set(data, at);
  return kit.output.sendDatagram(pathTo(kit, target), UDP, at, data.length, 64, 0, mayFragment);
}

test.each(['10.0.0.7', '2001:db8::7', '10.0.0.255', 'ff02::fb'])('a packet to %s is whole and right', (target) => {
  const kit = new NetKit();
  expect(send(kit, target, udpData(33))).toBe(Drop.None);
  const [packet] = kit.sent();
  expect(isSumRight(packet!)).toBe(true);
  if (target.includes(':')) expect([packet![7], packet![0], packet![1]! >>> 4]).toEqual([33, 0x6b, 8]);
  else expect([packet![8], packet![1], packet![6]]).toEqual([33, 0xb8, 0x40]);
});

test.each([
  ['10.0.0.7', [2, 0, 0, 0, 0, 9]],
  ['10.0.0.255', [255, 255, 255, 255, 255, 255]],
  ['224.128.0.251', [1, 0, 0x5e, 0, 0, 251]], // RFC 1112 §6.4
  ['ff02::1:ff12:3456', [0x33, 0x33, 0xff, 0x12, 0x34, 0x56]], // RFC 2464 §7
])('a frame for %s goes to %j', (target, mac) => {
  const kit = new NetKit();
  send(kit, target, udpData(33));
  const [frame] = kit.frames();
  expect([...frame!.slice(0, 12)]).toEqual([...mac, 2, 0, 0, 0, 0, 1]);
});

test('a packet for a neighbour that is not known waits with it and counts as sent', () => {
  const kit = new NetKit();
  kit.hops.isKnown = false;
  expect(send(kit, '10.0.0.7', udpData(33))).toBe(Drop.None);
  expect(kit.hops.held).toEqual([14 + 20 + 33]);
  expect(kit.sent()).toEqual([]);
});

test('a port that completes checksums gets the pseudo-header’s sum and where it goes', () => {
  const kit = new NetKit({ takesOffload: true });
  const at = kit.output.open(pathTo(kit, '10.0.0.7'), UDP, 100);
  expect(kit.output.needsSum).toBe(false);
  kit.slab.bytes.set(udpData(100), at);
  kit.output.seal(6, 0);
  kit.output.send(64, 0, 40);
  const burst = new Burst(4);
  kit.eth0.output.drain(burst);
  const header = burst.offload[0]!;
  expect(header).toBe(burst.at[0]! - 10);
  expect([...kit.slab.bytes.slice(header, header + 10)]).toEqual([1, 5, 42, 0, 40, 0, 34, 0, 6, 0]);
  const pseudo = 0x0a00 + 1 + 0x0a00 + 7 + 17 + 100;
  expect(kit.shared.view.getUint16(at + 6)).toBe(pseudo);
});

test('more than the path takes cannot be opened; a full output neither', () => {
  const kit = new NetKit();
  const p = pathTo(kit, '10.0.0.7');
  expect(kit.output.open(p, UDP, 1481)).toBe(NONE);
  let sent = 0;
  while (send(kit, '10.0.0.7', udpData(1480)) === Drop.None) sent++;
  expect(sent).toBeGreaterThan(300);
  expect(datagram(kit, '10.0.0.7', udpData(1480))).toBe(Drop.TxFull);
});

test.each([
  ['10.0.0.7', 4000],
  ['2001:db8::7', 4000],
  ['10.0.0.7', 65515],
  ['2001:db8::7', 65535],
])('RFC 791 §3.2, RFC 8200 §4.5: to %s %i bytes go in pieces that come together again', (target, bytes) => {
  const kit = new NetKit();
  expect(datagram(kit, target, udpData(bytes))).toBe(Drop.None);
  const pieces = kit.sent();
  expect(pieces.length).toBeGreaterThan(2);
  expect(pieces.every((p) => p.length <= 1500)).toBe(true);
  const other = new NetKit();
  other.addresses.remove(other.addresses.find(ip('10.0.0.1'), 2));
  other.addresses.remove(other.addresses.find(ip('2001:db8::1'), 2));
  other.address(2, '10.0.0.7/24');
  other.address(2, '2001:db8::7/64');
  for (const piece of pieces.reverse()) other.receive(piece);
  expect(other.udp.packets[0]!.bytes).toEqual(udpData(bytes));
});

test('RFC 1191: what is not to be cut is refused when long, and never marked so when it was cut', () => {
  const kit = new NetKit();
  expect(datagram(kit, '10.0.0.7', udpData(1481), false)).toBe(Drop.TooBig);
  expect(datagram(kit, '10.0.0.7', udpData(65516))).toBe(Drop.TooBig);
  expect(kit.sent()).toEqual([]);
  datagram(kit, '10.0.0.7', udpData(1481));
  expect(kit.sent().map((p) => p[6]! & 0x40)).toEqual([0, 0]);
});

test('RFC 6864 §4.3: identifications of pieces differ from packet to packet, and go on after a restart', () => {
  const kit = new NetKit();
  const ids = (one: NetKit): number[] => {
    datagram(one, '10.0.0.7', udpData(1481));
    return one.sent().map((p) => p[4]! * 256 + p[5]!);
  };
  const first = ids(kit);
  const state = new StateWriter();
  kit.output.save(state);
  const second = ids(kit);
  expect(first[0]).toBe(first[1]);
  expect(second[0]).not.toBe(first[0]);
  const copy = new NetKit();
  copy.output.load(new StateReader(state.finish()));
  expect(ids(copy)).toEqual(second);
});

test('RFC 6437 §3: the flow label is the flow’s, not zero, and another flow has another', () => {
  const kit = new NetKit();
  const label = (first: number): number => {
    const data = udpData(33);
    data[0] = first;
    send(kit, '2001:db8::7', data);
    const [p] = kit.sent();
    return ((p![1]! & 15) << 16) | (p![2]! << 8) | p![3]!;
  };
  const one = label(1);
  expect(one).not.toBe(0);
  expect(label(1)).toBe(one);
  expect(label(2)).not.toBe(one);
});

test('RFC 1191 §3: below the least MTU that is believed, routers may cut, so there is an identification', () => {
  const kit = new NetKit();
  kit.paths.lowerMtu(ip('10.0.0.1'), ip('10.0.0.7'), 0, 300);
  send(kit, '10.0.0.7', udpData(500));
  const [p] = kit.sent();
  expect(p![6]! & 0x40).toBe(0);
  expect(p![4]! * 256 + p![5]!).not.toBe(0);
});

test('what the host sends to itself comes in at the next poll, unverified', () => {
  const kit = new NetKit();
  for (const target of ['127.0.0.1', '10.0.0.1', '::1', 'fe80::1'])
    expect(send(kit, target, udpData(33))).toBe(Drop.None);
  expect(kit.sent()).toEqual([]);
  expect(kit.udp.packets).toEqual([]);
  const state = new StateWriter();
  kit.loopback.save(state);
  expect(kit.loopback.poll()).toBe(false);
  expect(kit.udp.packets.map((p) => p.isChecksumKnown)).toEqual([true, true, true, true]);
  const copy = new NetKit();
  copy.loopback.load(new StateReader(state.finish()));
  copy.loopback.poll();
  expect(copy.udp.packets.map((p) => p.bytes)).toEqual(kit.udp.packets.map((p) => p.bytes));
});

test('packets between the host and itself do not recurse: an answer waits for the next poll', () => {
  const kit = new NetKit();
  kit.udp.answer = Drop.NoSocket;
  send(kit, '127.0.0.1', udpData(33));
  expect(kit.loopback.poll()).toBe(true);
  expect(kit.udp.errors).toEqual([]);
  expect(kit.loopback.poll()).toBe(false);
  expect(kit.udp.errors).toMatchObject([{ errno: 111 }]);
});
