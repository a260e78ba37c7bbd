import { expect, test } from 'vitest';
import { StateReader, StateWriter } from '../../../core/state.ts';
import { AddressOrigin, AddressState } from '../../../stack/autoconf/addresses.ts';
import { Errno } from '../../../stack/errno.ts';
import { BaseKit, ip } from '../kit-net.ts';

test('an address is found by interface or by any', () => {
  const kit = new BaseKit();
  const a = kit.address(2, '10.0.0.1/24');
  expect(kit.addresses.find(ip('10.0.0.1'), 2)).toBe(a);
  expect(kit.addresses.find(ip('10.0.0.1'), 0)).toBe(a);
  expect(kit.addresses.find(ip('10.0.0.1'), 3)).toBe(-1);
  expect(kit.addresses.find(ip('10.0.0.2'), 0)).toBe(-1);
});

test.each([
  [AddressState.Tentative, false],
  [AddressState.Preferred, true],
  [AddressState.Deprecated, true],
  [AddressState.Duplicate, false],
])('RFC 4862 §5.4: an address in state %i is ours: %s', (state, ours) => {
  const kit = new BaseKit();
  kit.address(2, '2001:db8::1/64', state);
  expect(kit.addresses.isOurs(ip('2001:db8::1'), 2)).toBe(ours);
});

test('RFC 1122 §3.2.1.3: all of 127/8 and ::1 are the host’s', () => {
  const { addresses } = new BaseKit();
  for (const text of ['127.0.0.1', '127.255.3.4', '::1']) expect(addresses.isOurs(ip(text), 0)).toBe(true);
  expect(addresses.isOurs(ip('::2'), 0)).toBe(false);
});

test('RFC 1122 §3.3.4.2: the weak model, but RFC 4007 §5: link-local only on its own link', () => {
  const kit = new BaseKit();
  kit.address(2, '10.0.0.1/24');
  kit.address(2, 'fe80::1/64');
  expect(kit.addresses.isTarget(ip('10.0.0.1'), 3)).toBe(true);
  expect(kit.addresses.isTarget(ip('fe80::1'), 3)).toBe(false);
  expect(kit.addresses.isTarget(ip('fe80::1'), 2)).toBe(true);
});

test.each([
  ['10.0.0.255', '10.0.0.1/24', true],
  ['10.0.0.254', '10.0.0.1/24', false],
  ['255.255.255.255', '10.0.0.1/24', true],
  ['10.0.0.3', '10.0.0.2/31', false], // RFC 3021
  ['10.0.0.2', '10.0.0.2/32', false],
  ['127.255.255.255', '10.0.0.2/32', false],
])('RFC 1122 §3.3.6: %s is a broadcast for %s: %s', (target, own, is) => {
  const kit = new BaseKit();
  kit.address(2, own);
  expect(kit.addresses.isBroadcast(ip(target), 2)).toBe(is);
});

test.each(['0.0.0.0', '::', '224.0.0.1', 'ff02::1', '255.255.255.255'])('no host has %s', (text) => {
  expect(new BaseKit().address(2, `${text}/0`)).toBe(-Errno.EINVAL);
});

test('an interface has an address once; two may have the same', () => {
  const kit = new BaseKit();
  kit.address(2, 'fe80::1/64');
  expect(kit.address(2, 'fe80::1/64')).toBe(-Errno.EADDRINUSE);
  expect(kit.address(3, 'fe80::1/64')).toBeGreaterThan(0);
});

test('the table is bounded, and a removed address makes room', () => {
  const kit = new BaseKit({ addressesMax: 3 });
  const made = [1, 2, 3].map((i) => kit.address(2, `10.0.0.${i}/24`));
  expect(kit.address(2, '10.0.0.4/24')).toBe(-Errno.ENOMEM);
  kit.addresses.remove(made[1]!);
  expect(kit.address(2, '10.0.0.4/24')).toBe(made[1]);
  expect(kit.addresses.isOurs(ip('10.0.0.2'), 0)).toBe(false);
  expect(kit.addresses.isOurs(ip('10.0.0.3'), 0)).toBe(true);
});

test('a static address brings the route of its prefix, which goes with the last one', () => {
  const kit = new BaseKit();
  const a = kit.address(2, '10.0.0.1/24');
  const b = kit.address(2, '10.0.0.2/24');
  expect(kit.routes.isOnLink(ip('10.0.0.9'), 2)).toBe(true);
  kit.addresses.remove(a);
  expect(kit.routes.isOnLink(ip('10.0.0.9'), 2)).toBe(true);
  kit.addresses.remove(b);
  expect(kit.routes.isOnLink(ip('10.0.0.9'), 2)).toBe(false);
});

test('RFC 5942 §4: an address from SLAAC says nothing about what is on the link', () => {
  const kit = new BaseKit();
  kit.addresses.add(2, ip('2001:db8::1'), 64, AddressState.Preferred, AddressOrigin.Slaac, 1e6, 2e6);
  expect(kit.routes.ids()).toEqual([]);
});

test('every change makes a new generation', () => {
  const kit = new BaseKit();
  const seen = [kit.addresses.generation];
  const a = kit.address(2, '10.0.0.1/24', AddressState.Tentative);
  seen.push(kit.addresses.generation);
  kit.addresses.setState(a, AddressState.Preferred);
  seen.push(kit.addresses.generation);
  kit.addresses.setPreferredUntilUs(a, 5);
  seen.push(kit.addresses.generation);
  kit.addresses.remove(a);
  seen.push(kit.addresses.generation);
  expect(new Set(seen).size).toBe(5);
});

test('saved addresses are the same after loading', () => {
  const kit = new BaseKit();
  const a = kit.addresses.add(2, ip('2001:db8::1'), 64, AddressState.Deprecated, AddressOrigin.Temporary, 5, 7);
  kit.address(3, '10.0.0.1/8');
  const state = new StateWriter();
  kit.addresses.save(state);
  const copy = new BaseKit().addresses;
  copy.load(new StateReader(state.finish()));
  expect(copy.ids()).toEqual(kit.addresses.ids());
  expect(copy.find(ip('2001:db8::1'), 2)).toBe(a);
  expect([copy.stateOf(a), copy.originOf(a), copy.bitsOf(a), copy.preferredUntilUs(a), copy.validUntilUs(a)]).toEqual([
    AddressState.Deprecated,
    AddressOrigin.Temporary,
    64,
    5,
    7,
  ]);
});
