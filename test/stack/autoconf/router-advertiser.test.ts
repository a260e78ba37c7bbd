import { describe, expect, test } from 'vitest';
import { format } from '../../../stack/address.ts';
import { AddressOrigin } from '../../../stack/autoconf/addresses.ts';
import { ADVERTISEMENT, type Advertisement, refuse } from '../../../stack/autoconf/advertisement.ts';
import { Bench, ip, OTHER_MAC, rs, S, type Sent, sourceMac } from '../kit-nd.ts';

const HOST = 'fe80::3';
const AD: Advertisement = {
  ...ADVERTISEMENT,
  prefixes: [
    {
      address: ip('2001:db8:5::'),
      bits: 64,
      isOnLink: true,
      isAutonomous: true,
      validSeconds: 86400,
      preferredSeconds: 14400,
    },
  ],
  hasOther: true,
  preference: 1,
  reachableMs: 20_000,
  retransMs: 1500,
  mtuBytes: 1400,
  servers: [ip('2001:db8:5::53')],
  domains: ['lab.example', 'example'],
};

function router(): Bench {
  const bench = new Bench();
  bench.own('fe80::1');
  expect(bench.autoconf.advertise(2, AD)).toBeUndefined();
  return bench;
}

const ads = (sent: Sent[]): Sent[] => sent.filter((one) => one.text.startsWith('ra '));

describe('advertising, RFC 4861 §6.2', () => {
  test('to all nodes from the link-local address with hop limit 255, §6.1.2', () => {
    const [first] = ads(router().run(S));
    expect(first!.text).toBe('ra 1800s fe80::1 > ff02::1 hop 255 to 33:33:00:00:00:01');
  });

  test('joins all-routers, §6.2.2', () => {
    expect(router().autoconf.multicast.isMember(2, ip('ff02::2'), ip(HOST))).toBe(true);
  });

  test('the first three at most 16 s apart, then between the least and the greatest interval, §6.2.4', () => {
    const us = ads(router().run(20_000 * S)).map((one) => one.us);
    expect(us[0]).toBeLessThanOrEqual(S);
    for (let i = 1; i < us.length; i++) {
      const gap = us[i]! - us[i - 1]!;
      expect(gap).toBeLessThanOrEqual(i < 3 ? 16 * S : 600 * S);
      expect(gap).toBeGreaterThanOrEqual(i < 3 ? 3 * S : 200 * S);
    }
    expect(us.length).toBeGreaterThan(30);
  });

  test('waits for a link-local address, §4.2', () => {
    const bench = new Bench();
    bench.autoconf.advertise(2, AD);
    expect(ads(bench.run(10 * S))).toEqual([]);
    bench.own('fe80::1');
    expect(ads(bench.run(2 * S)).length).toBe(1);
  });

  test('a host hears what was meant: every option', () => {
    const [first] = ads(router().run(S));
    const bench = new Bench({ seed: 9 });
    bench.autoconf.start(2, { linkLocal: 'none', slaac: true, temporary: false, routerSolicitations: true });
    expect(bench.message('fe80::1', 'ff02::1', first!.bytes.slice(54), {})).toBe(0);
    const { iface, routes } = bench;
    expect([iface.curHopLimit, iface.baseReachableUs, iface.retransUs, iface.linkMtuBytes]).toEqual([
      64,
      20 * S,
      1.5 * S,
      1400,
    ]);
    expect(routes.isOnLink(ip('2001:db8:5::9'), 2)).toBe(true);
    expect(format(routes.gatewayOf(routes.lookup(ip('2001:db8:6::9'), 2)))).toBe('fe80::1');
    expect(bench.listAddresses().filter((one) => one.origin === AddressOrigin.Slaac).length).toBe(1);
    expect(bench.autoconf.dns.listServers().map((one) => format(one.address))).toEqual(['2001:db8:5::53']);
    expect(bench.autoconf.dns.listDomains().map((one) => one.name)).toEqual(['lab.example', 'example']);
    expect(bench.autoconf.neighbors.list()).toMatchObject([
      { address: 'fe80::1', mac: '02:00:00:00:00:01', isRouter: true },
    ]);
    expect(routes.preferenceOf(routes.lookup(ip('2001:db8:6::9'), 2))).toBe(1);
  });
});

describe('solicitations, RFC 4861 §6.2.6', () => {
  test('are answered within half a second if the last one is 3 s ago', () => {
    const bench = router();
    bench.run(200 * S);
    const start = bench.nowUs;
    bench.icmp(HOST, 'ff02::2', rs(sourceMac(OTHER_MAC)));
    const sent = ads(bench.run(S));
    expect(sent.length).toBe(1);
    expect(sent[0]!.us - start).toBeLessThanOrEqual(S / 2);
    expect(bench.autoconf.neighbors.list()).toMatchObject([{ address: HOST, state: 'STALE', isRouter: false }]);
  });

  test('many of them are answered at most every 3 s', () => {
    const bench = router();
    bench.run(200 * S);
    const us: number[] = [];
    for (let i = 0; i < 300; i++) {
      bench.icmp('::', 'ff02::2', rs());
      us.push(...ads(bench.run(S / 10)).map((one) => one.us));
    }
    for (let i = 1; i < us.length; i++) expect(us[i]! - us[i - 1]!).toBeGreaterThanOrEqual(3 * S);
    expect(us.length).toBeGreaterThan(7);
  });

  test('from :: teach nothing', () => {
    const bench = router();
    bench.icmp('::', 'ff02::2', rs());
    expect(bench.autoconf.neighbors.count).toBe(0);
  });
});

test('ceases with up to three advertisements of lifetime 0, 3 s apart, and is a host again, RFC 4861 §6.2.5', () => {
  const bench = router();
  bench.run(200 * S);
  bench.autoconf.ceaseAdvertising(2);
  const sent = ads(bench.run(10_000 * S));
  expect(sent.map((one) => one.text.slice(0, 5))).toEqual(['ra 0s', 'ra 0s', 'ra 0s']);
  expect(sent[2]!.us - sent[0]!.us).toBe(6 * S);
  expect(bench.iface.forwards6).toBe(false);
  expect(bench.autoconf.multicast.isMember(2, ip('ff02::2'), ip(HOST))).toBe(false);
});

test.each([
  [{ intervalSecondsMax: 3 }, 'interval 3'],
  [{ intervalSecondsMax: 1801 }, 'interval 1801'],
  [{ intervalSecondsMin: 2 }, 'least interval 2'],
  [{ intervalSecondsMin: 451 }, 'least interval 451'],
  [{ lifetimeSeconds: 9001 }, 'lifetime 9001'],
  [{ lifetimeSeconds: 599 }, 'lifetime 599'],
  [{ reachableMs: 3_600_001 }, 'reachable time'],
  [{ domains: ['a..b'] }, 'no name'],
])('%o is refused, RFC 4861 §6.2.1', (change, words) => {
  expect(refuse({ ...AD, ...change })).toContain(words);
});

test('the defaults and the least and greatest values are accepted, RFC 4861 §6.2.1', () => {
  expect(refuse(ADVERTISEMENT)).toBeUndefined();
  expect(refuse({ ...AD, lifetimeSeconds: 0, intervalSecondsMax: 4, intervalSecondsMin: 3 })).toBeUndefined();
});

test('a restored router goes on alike, to the byte and the µs', () => {
  const bench = router();
  bench.run(20 * S);
  bench.icmp(HOST, 'ff02::2', rs(sourceMac(OTHER_MAC)));
  const twin = bench.twin();
  expect(twin.run(5000 * S)).toEqual(bench.run(5000 * S));
  expect(twin.save()).toEqual(bench.save());
});
