import { expect, test } from 'vitest';
import { StateReader, StateWriter } from '../../../core/state.ts';
import { ANY, ANY4, format } from '../../../stack/address.ts';
import { Errno } from '../../../stack/errno.ts';
import { PathKind } from '../../../stack/net/paths.ts';
import { ip, NetKit } from '../kit-net.ts';

const find = (kit: NetKit, target: string, source = '', iface = 0): number =>
  kit.paths.find(source === '' ? (target.includes(':') ? ANY : ANY4) : ip(source), ip(target), iface);
const show = (kit: NetKit, p: number): string =>
  p < 0 ? `${p}` : `${format(kit.paths.sourceOf(p))} by ${kit.paths.ifaceOf(p)} via ${format(kit.paths.hopOf(p))}`;

const routed = (): NetKit => {
  const kit = new NetKit();
  kit.route('0.0.0.0/0', '10.0.0.254', 2);
  kit.route('::/0', 'fe80::99', 2);
  return kit;
};

test.each([
  ['10.0.0.7', '10.0.0.1 by 2 via 10.0.0.7'],
  ['192.0.2.1', '10.0.0.1 by 2 via 10.0.0.254'],
  ['2001:db8::7', '2001:db8::1 by 2 via 2001:db8::7'],
  ['2001:db8:9::7', '2001:db8::1 by 2 via fe80::99'],
  ['fe80::7', 'fe80::1 by 2 via fe80::7'],
  ['127.0.0.5', '127.0.0.1 by 1 via 127.0.0.5'],
  ['::1', '::1 by 1 via ::1'],
  ['10.0.0.1', '10.0.0.1 by 1 via 10.0.0.1'],
  ['10.0.0.255', '10.0.0.1 by 2 via 10.0.0.255'],
  ['224.0.0.251', '10.0.0.1 by 2 via 224.0.0.251'],
  ['ff02::fb', 'fe80::1 by 2 via ff02::fb'],
])('RFC 1122 §3.3.1: the path to %s is %s', (target, path) => {
  const kit = routed();
  expect(show(kit, find(kit, target))).toBe(path);
  expect(show(kit, find(kit, target))).toBe(path);
});

test.each([
  ['0.0.0.0', '', 0, Errno.EINVAL],
  ['::', '', 0, Errno.EINVAL],
  ['10.0.0.7', '10.0.0.9', 0, Errno.EADDRNOTAVAIL],
  ['10.0.0.7', '127.0.0.1', 0, Errno.EINVAL],
  ['10.0.0.7', '2001:db8::1', 0, Errno.EINVAL],
  ['10.0.0.7', '', 9, Errno.ENETUNREACH],
  ['fe80::7', '', 9, Errno.EINVAL],
])('no path to %s from "%s" by %i: errno %i', (target, source, iface, errno) => {
  const kit = routed();
  for (let again = 0; again < 3; again++) expect(find(kit, target, source, iface)).toBe(-errno);
});

test('without a route a network is unreachable; an interface that is down is down', () => {
  const kit = new NetKit();
  for (let again = 0; again < 3; again++) expect(find(kit, '192.0.2.1')).toBe(-Errno.ENETUNREACH);
  kit.eth0.isUp = false;
  for (let again = 0; again < 3; again++) expect(find(kit, '10.0.0.7')).toBe(-Errno.ENETDOWN);
});

test('RFC 4007 §6: a link-local target needs a zone where there are two', () => {
  const kit = new NetKit();
  kit.link('eth1');
  expect(find(kit, 'fe80::7')).toBe(-Errno.EINVAL);
  expect(show(kit, find(kit, 'fe80::7', '', 2))).toBe('fe80::1 by 2 via fe80::7');
  expect(show(kit, find(kit, 'fe80::7', 'fe80::1'))).toBe('fe80::1 by 2 via fe80::7');
});

test('RFC 1122 §3.2.1.3 (a): a host without address may speak to all on its link', () => {
  const kit = new NetKit();
  kit.link('eth1');
  expect(show(kit, find(kit, '255.255.255.255', '', 3))).toBe('0.0.0.0 by 3 via 255.255.255.255');
});

test('a gateway sends from any source', () => {
  const kit = new NetKit();
  kit.eth0.acceptsAny = true;
  expect(show(kit, find(kit, '10.0.0.7', '198.51.100.1'))).toBe('198.51.100.1 by 2 via 10.0.0.7');
});

test('a change of routes, addresses or interfaces is seen at once', () => {
  const kit = routed();
  find(kit, '192.0.2.1');
  kit.route('192.0.2.0/24', '10.0.0.253', 2);
  expect(show(kit, find(kit, '192.0.2.1'))).toContain('10.0.0.253');
  kit.eth0.linkMtuBytes = 1400;
  expect(kit.paths.mtuOf(find(kit, '192.0.2.1'))).toBe(1400);
  kit.addresses.remove(kit.addresses.find(ip('10.0.0.1'), 2));
  expect(find(kit, '192.0.2.1')).toBe(-Errno.EADDRNOTAVAIL);
});

test.each([
  ['192.0.2.1', '10.0.0.1', 1300],
  ['2001:db8:9::1', '2001:db8::1', 1300],
])('RFC 1191 §6.3, RFC 8201 §4: a lowered MTU to %s is forgotten after ten minutes', (target, source, mtu) => {
  const kit = routed();
  expect(kit.paths.lowerMtu(ip(source), ip(target), 0, mtu)).toBe(true);
  expect(kit.paths.lowerMtu(ip(source), ip(target), 0, mtu + 50)).toBe(false); // never up
  kit.shared.nowUs = 600_000_000 - 1;
  expect(kit.paths.mtuOf(find(kit, target))).toBe(mtu);
  kit.shared.nowUs = 600_000_000;
  expect(kit.paths.mtuOf(find(kit, target))).toBe(1500);
});

test('RFC 1191 §3: below 552 routers may cut instead', () => {
  const kit = routed();
  kit.paths.lowerMtu(ip('10.0.0.1'), ip('192.0.2.1'), 0, 100);
  const p = find(kit, '192.0.2.1');
  expect([kit.paths.mtuOf(p), kit.paths.mayCut(p)]).toEqual([552, true]);
});

test('a route may limit the MTU', () => {
  const kit = new NetKit();
  kit.routes.add({ prefix: ip('192.0.2.0'), bits: 24, iface: 2, mtuBytes: 1300 });
  expect(kit.paths.mtuOf(find(kit, '192.0.2.1'))).toBe(1300);
});

test('super-frames only where the port takes them and the neighbour is known', () => {
  const plain = new NetKit();
  expect(plain.paths.superOf(find(plain, '10.0.0.7'))).toBe(1500);
  const kit = new NetKit({ takesOffload: true });
  const p = find(kit, '10.0.0.7');
  expect(kit.paths.superOf(p)).toBe(65535);
  kit.hops.isKnown = false;
  expect(kit.paths.superOf(p)).toBe(1500);
});

test('RFC 4861 §7.3.1: progress is told to the next hop', () => {
  const kit = routed();
  kit.paths.confirm(find(kit, '192.0.2.1'));
  expect([kit.hops.confirmed, kit.hops.asked]).toEqual([1, ['10.0.0.254']]);
  kit.paths.confirm(find(kit, '127.0.0.1'));
  expect(kit.hops.confirmed).toBe(1);
});

test('RFC 4861 §8.3: a redirect to the target itself, and its end when the target is gone', () => {
  const kit = routed();
  const target = ip('2001:db8:9::1');
  expect(kit.paths.redirect(2, target, target, ip('fe80::98'))).toBe(false);
  expect(kit.paths.redirect(2, target, target, ip('fe80::99'))).toBe(true);
  expect(show(kit, find(kit, '2001:db8:9::1'))).toBe('2001:db8::1 by 2 via 2001:db8:9::1');
  kit.paths.gatewayGone(2, target);
  expect(show(kit, find(kit, '2001:db8:9::1'))).toBe('2001:db8::1 by 2 via fe80::99');
});

test('the table is bounded, and what is found again is right', () => {
  const kit = new NetKit({ limits: { pathsMax: 128 } });
  for (let round = 0; round < 2; round++) {
    for (let i = 2; i < 250; i++) expect(show(kit, find(kit, `10.0.0.${i}`))).toBe(`10.0.0.1 by 2 via 10.0.0.${i}`);
  }
  expect(find(kit, '10.0.0.249')).toBeLessThan(128);
});

test('what was learnt survives a restart', () => {
  const kit = routed();
  kit.paths.lowerMtu(ip('10.0.0.1'), ip('192.0.2.1'), 0, 1300);
  kit.paths.redirect(2, ip('192.0.2.2'), ip('10.0.0.253'), ip('10.0.0.254'));
  const state = new StateWriter();
  kit.paths.save(state);
  const copy = routed();
  copy.paths.load(new StateReader(state.finish()));
  expect(copy.paths.mtuOf(find(copy, '192.0.2.1'))).toBe(1300);
  expect(show(copy, find(copy, '192.0.2.2'))).toContain('10.0.0.253');
  expect(copy.paths.kindOf(find(copy, '192.0.2.2'))).toBe(PathKind.Unicast);
  expect(copy.paths.flowOf(find(copy, '2001:db8::7'), 5)).toBe(kit.paths.flowOf(find(kit, '2001:db8::7'), 5));
});
