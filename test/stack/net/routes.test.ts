import { expect, test } from 'vitest';
import { StateReader, StateWriter } from '../../../core/state.ts';
import { format } from '../../../stack/address.ts';
import { Errno } from '../../../stack/errno.ts';
import { RouteOrigin } from '../../../stack/net/routes.ts';
import { BaseKit, ip } from '../kit-net.ts';

const via = (kit: BaseKit, target: string, iface = 0): string => {
  const r = kit.routes.lookup(ip(target), iface);
  return r < 0 ? 'none' : kit.routes.hasGateway(r) ? format(kit.routes.gatewayOf(r)) : `link ${kit.routes.ifaceOf(r)}`;
};

test('RFC 1122 §3.3.1.1: the longest prefix wins', () => {
  const kit = new BaseKit();
  kit.route('0.0.0.0/0', '10.0.0.1', 2);
  kit.route('10.0.0.0/8', undefined, 2);
  kit.route('10.1.0.0/16', '10.0.0.2', 2);
  expect(via(kit, '192.0.2.1')).toBe('10.0.0.1');
  expect(via(kit, '10.2.0.1')).toBe('link 2');
  expect(via(kit, '10.1.2.3')).toBe('10.0.0.2');
});

test('a default route is of its own family', () => {
  const kit = new BaseKit();
  kit.route('::/0', 'fe80::1', 2);
  expect(via(kit, '192.0.2.1')).toBe('none');
  kit.route('0.0.0.0/0', '10.0.0.1', 2);
  expect(via(kit, '2001:db8::1')).toBe('fe80::1');
  expect(via(kit, '192.0.2.1')).toBe('10.0.0.1');
});

test('among equal prefixes the lower metric wins, and an interface can be asked for', () => {
  const kit = new BaseKit();
  kit.route('10.0.0.0/8', undefined, 2, 20);
  kit.route('10.0.0.0/8', undefined, 3, 10);
  expect(via(kit, '10.0.0.1')).toBe('link 3');
  expect(via(kit, '10.0.0.1', 2)).toBe('link 2');
  expect(via(kit, '10.0.0.1', 4)).toBe('none');
});

const routers = (kit: BaseKit, ...list: [string, number][]): void => {
  for (const [gateway, preference] of list) {
    kit.routes.add({
      prefix: ip('::'),
      bits: 0,
      gateway: ip(gateway),
      iface: 2,
      preference,
      origin: RouteOrigin.Router,
    });
  }
};

test('RFC 4191 §3.2: the preferred router, unless it does not answer', () => {
  const kit = new BaseKit();
  routers(kit, ['fe80::1', -1], ['fe80::2', 1], ['fe80::3', 0]);
  expect(via(kit, '2001:db8::1')).toBe('fe80::2');
  const dead = new Set(['fe80::2']);
  kit.routes.setUnreachableTest((_, gateway) => dead.has(format(gateway)));
  expect(via(kit, '2001:db8::1')).toBe('fe80::3');
  dead.add('fe80::3');
  expect(via(kit, '2001:db8::1')).toBe('fe80::1');
});

test('RFC 4191 §3.2: a specific advertised route by a dead router gives way to the default', () => {
  const kit = new BaseKit();
  routers(kit, ['fe80::1', 0]);
  const prefix = ip('2001:db8::');
  kit.routes.add({ prefix, bits: 32, gateway: ip('fe80::2'), iface: 2, origin: RouteOrigin.Router });
  expect(via(kit, '2001:db8::1')).toBe('fe80::2');
  kit.routes.setUnreachableTest((_, gateway) => format(gateway) === 'fe80::2');
  expect(via(kit, '2001:db8::1')).toBe('fe80::1');
});

test('RFC 4861 §6.3.6: routers that do not answer take turns', () => {
  const kit = new BaseKit();
  routers(kit, ['fe80::1', 0], ['fe80::2', 0]);
  kit.routes.setUnreachableTest(() => true);
  const seen = [0, 1, 2].map((second) => {
    kit.shared.nowUs = second * 1e6;
    return via(kit, '2001:db8::1');
  });
  expect(seen).toEqual(['fe80::1', 'fe80::2', 'fe80::1']);
});

test('a route ends at its time and no earlier', () => {
  const kit = new BaseKit();
  kit.routes.add({ prefix: ip('10.0.0.0'), bits: 8, iface: 2, expiresUs: 1000 });
  expect(kit.routes.deadlineUs()).toBe(1000);
  kit.shared.nowUs = 999;
  kit.routes.expire();
  expect(via(kit, '10.0.0.1')).toBe('link 2');
  kit.shared.nowUs = 1000;
  expect(via(kit, '10.0.0.1')).toBe('none');
  kit.routes.expire();
  expect(kit.routes.ids()).toEqual([]);
  expect(kit.routes.deadlineUs()).toBe(Infinity);
});

test('adding a route again renews it', () => {
  const kit = new BaseKit();
  const r = kit.route('10.0.0.0/8', '10.0.0.1', 2, 1);
  expect(kit.route('10.0.0.0/8', '10.0.0.1', 2, 9)).toBe(r);
  expect(kit.routes.list()).toEqual([
    expect.objectContaining({ prefix: '10.0.0.0', bits: 8, gateway: '10.0.0.1', iface: 2, metric: 9 }),
  ]);
});

test.each([
  { prefix: '10.0.0.0', bits: 33, iface: 2 },
  { prefix: '::', bits: 129, iface: 2 },
  { prefix: '10.0.0.0', bits: 8, iface: 0 },
  { prefix: '10.0.0.0', bits: 8, iface: 2, gateway: 'fe80::1' },
])('refuses %o', ({ prefix, bits, iface, gateway }) => {
  const more = gateway === undefined ? {} : { gateway: ip(gateway) };
  expect(new BaseKit().routes.add({ prefix: ip(prefix), bits, iface, ...more })).toBe(-Errno.EINVAL);
});

test('the table is bounded, grows, and gives up a gateway’s routes at once', () => {
  const kit = new BaseKit({ routesMax: 40 });
  for (let i = 0; i < 40; i++) kit.route(`10.${i}.0.0/16`, i % 2 ? '10.0.0.1' : undefined, 2);
  expect(kit.route('11.0.0.0/8', undefined, 2)).toBe(-Errno.ENOMEM);
  expect(via(kit, '10.38.0.1')).toBe('link 2');
  expect(kit.routes.removeGateway(2, ip('10.0.0.1'))).toBe(20);
  expect(via(kit, '10.39.0.1')).toBe('none');
  expect(kit.route('11.0.0.0/8', undefined, 2)).toBeGreaterThanOrEqual(0);
});

test('saved routes are the same after loading', () => {
  const kit = new BaseKit();
  for (let i = 0; i < 20; i++) kit.route(`10.${i}.0.0/16`, '10.0.0.1', 2, i);
  kit.routes.setExpiresUs(3, 77);
  kit.routes.remove(2);
  const state = new StateWriter();
  kit.routes.save(state);
  const copy = new BaseKit().routes;
  copy.load(new StateReader(state.finish()));
  expect(copy.list()).toEqual(kit.routes.list());
  expect(copy.deadlineUs()).toBe(77);
  expect(copy.ids()).toEqual(kit.routes.ids());
});
