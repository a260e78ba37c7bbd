import { expect, test } from 'vitest';
import { Drop } from '../../../core/drop.ts';
import { isSumRight, NetKit, packet4, packet6, udpData } from '../kit-net.ts';

/** A router between eth0 (10.0.0.0/24, 2001:db8::/64) and eth1 (10.1.0.0/24, 2001:db8:1::/64). */
function router(options: { mtuBytes?: number; takesOffload?: boolean } = {}): NetKit {
  const kit = new NetKit();
  const eth1 = kit.link('eth1', options);
  kit.address(3, '10.1.0.1/24');
  kit.address(3, '2001:db8:1::1/64');
  for (const one of [kit.eth0, eth1]) {
    one.forwards4 = true;
    one.forwards6 = true;
  }
  return kit;
}

const to4 = (o = {}): Uint8Array => packet4({ to: '10.1.0.7', ...o });
const to6 = (o = {}): Uint8Array => packet6({ to: '2001:db8:1::7', ...o });

test('RFC 1812 §5.3.1: IPv4 goes on with one hop less and a right checksum', () => {
  const kit = router();
  for (const id of [0, 1, 0x1234, 0xfeff, 0xffff]) {
    expect(kit.receive(to4({ id }))).toBe(Drop.None);
    const [sent] = kit.sent(3);
    expect(sent![8]).toBe(63);
    expect(sent).toEqual(to4({ id, ttl: 63 }));
  }
});

test('RFC 8200 §3: IPv6 goes on with one hop less', () => {
  const kit = router();
  expect(kit.receive(to6())).toBe(Drop.None);
  expect(kit.sent(3)).toEqual([to6({ hopLimit: 63 })]);
});

test('RFC 1122 §3.3.1, RFC 8200: a host passes nothing on', () => {
  const kit = new NetKit();
  kit.route('10.1.0.0/24', '10.0.0.254', 2);
  expect(kit.receive(to4())).toBe(Drop.NotForUs);
  expect(kit.receive(to6())).toBe(Drop.NotForUs);
  expect(kit.sent()).toEqual([]);
});

test.each([
  ['RFC 1812 §5.3.1: no hops left', to4({ ttl: 1 }), Drop.HopLimit, [11, 0]],
  ['RFC 1812 §5.2.7.1: no route', to4({ to: '192.0.2.1' }), Drop.NoRoute, [3, 0]],
  ['RFC 1191 §4: too big, not to be cut', to4({ data: udpData(1400), fragment: 0x4000 }), Drop.TooBig, [3, 4]],
  ['RFC 2644: a directed broadcast', to4({ to: '10.1.0.255' }), Drop.BadTarget, undefined],
  ['RFC 3927 §7: a link-local source', to4({ from: '169.254.1.1' }), Drop.NotForUs, undefined],
  ['RFC 3927 §7: a link-local target', to4({ to: '169.254.1.1' }), Drop.NotForUs, undefined],
  ['a group', to4({ to: '224.0.1.1' }), Drop.NotForUs, undefined],
  ['RFC 8200 §3: no hops left', to6({ hopLimit: 1 }), Drop.HopLimit, [3, 0]],
  ['RFC 4443 §3.1: no route', to6({ to: '2001:db8:9::1' }), Drop.NoRoute, [1, 0]],
  ['RFC 4443 §3.2: too big', to6({ data: udpData(1400) }), Drop.TooBig, [2, 0]],
  ['RFC 4007 §9: a link-local source', to6({ from: 'fe80::9' }), Drop.BadSource, [1, 2]],
  ['RFC 4007 §9: a link-local target', to6({ to: 'fe80::9' }), Drop.NotForUs, undefined],
])('%s is not passed on', (_, packet, drop, told) => {
  const kit = router({ mtuBytes: 1300 });
  expect(kit.receive(packet)).toBe(drop);
  expect(kit.sent(3)).toEqual([]);
  const [sent] = kit.sent(2);
  const at = packet[0]! >>> 4 === 6 ? 40 : 20;
  expect(sent && [...sent.slice(at, at + 2)]).toEqual(told);
  if (drop === Drop.TooBig) expect(sent![at + 6]! * 256 + sent![at + 7]!).toBe(1300);
});

test('RFC 1122 §3.3.6: a packet in a group frame is not passed on', () => {
  const kit = router();
  kit.receive(to4(), { isGroup: true });
  kit.receive(to6(), { isGroup: true });
  expect(kit.sent(3)).toEqual([]);
});

test('RFC 791 §3.2: a packet that may be cut is, and its options go along as they say', () => {
  const kit = router({ mtuBytes: 576 });
  const data = udpData(1400);
  kit.receive(to4({ data, id: 7, options: [7, 3, 4, 148, 4, 0, 0, 0] }));
  const pieces = kit.sent(3);
  expect(pieces.length).toBe(3);
  expect(pieces.every((p) => p.length <= 576 && p[8] === 63)).toBe(true);
  expect(pieces.map((p) => [...p.slice(20, 28)])).toEqual([
    [7, 3, 4, 148, 4, 0, 0, 0],
    [1, 1, 1, 148, 4, 0, 0, 0],
    [1, 1, 1, 148, 4, 0, 0, 0],
  ]);
  const host = new NetKit();
  host.address(2, '10.1.0.7/24');
  for (const p of pieces) host.receive(p);
  expect(host.udp.packets[0]!.bytes).toEqual(data);
});

test('RFC 8200 §4.3: a router reads hop-by-hop options only', () => {
  const kit = router();
  const bad = Uint8Array.of(17, 0, 0x9e, 4, 0, 0, 0, 0, ...udpData(16));
  expect(kit.receive(to6({ next: 0, data: bad }))).toBe(Drop.Ip6Option);
  expect(kit.receive(to6({ next: 60, data: bad }))).toBe(Drop.None);
});

test.each([
  [false, 3],
  [true, 1],
])('a super-frame is cut for a port that takes none (%s): %i frames', (takesOffload, count) => {
  const kit = router({ takesOffload });
  const header = Uint8Array.of(1, 5, 42, 0, 40, 0, 34, 0, 6, 0);
  expect(kit.receive(to4({ data: udpData(8 + 100) }), { header })).toBe(Drop.None);
  const sent = kit.sent(3);
  expect(sent.length).toBe(count);
  expect(sent.every((p) => p[8] === 63)).toBe(true);
});

test('RFC 1812 §5.2.7.2: a neighbour that could go directly is told, and its packet passed on', () => {
  const kit = router();
  kit.route('192.0.2.0/24', '10.0.0.9', 2);
  expect(kit.receive(packet4({ to: '192.0.2.1' }))).toBe(Drop.None);
  const [redirect, passed] = kit.sent(2);
  expect([...redirect!.slice(20, 22), ...redirect!.slice(24, 28)]).toEqual([5, 1, 10, 0, 0, 9]);
  expect(passed!.slice(16, 20)).toEqual(Uint8Array.of(192, 0, 2, 1));
});

test('RFC 4861 §8.2: so is an IPv6 neighbour, from the link-local address with hop limit 255', () => {
  const kit = router();
  kit.route('2001:db8:9::/48', 'fe80::9', 2);
  kit.receive(packet6({ to: '2001:db8:9::1' }));
  const [redirect, passed] = kit.sent(2);
  expect([redirect![40], redirect![7], redirect![8], redirect![9]]).toEqual([137, 255, 0xfe, 0x80]);
  expect(isSumRight(redirect!)).toBe(true);
  expect(redirect![48]).toBe(0xfe);
  expect(redirect![63]).toBe(9);
  expect(passed![7]).toBe(63);
});
