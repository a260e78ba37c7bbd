import { describe, expect, test } from 'vitest';
import { format } from '../../../stack/address.ts';
import { AutoconfEvent } from '../../../stack/autoconf/autoconf-events.ts';
import { Bench, ip, mtuOption, PEER_MAC, prefixOption, ra, rdnssOption, routeOption, S, sourceMac } from '../kit-nd.ts';

const ROUTER = 'fe80::2';
const OTHER = 'fe80::3';
const LISTENING = { linkLocal: 'none', slaac: false, temporary: false, routerSolicitations: true } as const;
const FAR = ip('2001:db8:77::7');

function host(): Bench {
  const bench = new Bench();
  bench.own('fe80::1');
  bench.autoconf.start(2, LISTENING);
  return bench;
}

const hear = (bench: Bench, o: Parameters<typeof ra>[0], from = ROUTER): number => bench.icmp(from, 'ff02::1', ra(o));

const way = (bench: Bench): string => {
  const r = bench.routes.lookup(FAR, 0);
  return r < 0 ? 'none' : format(bench.routes.gatewayOf(r));
};

describe('default routers, RFC 4861 §6.3.4', () => {
  test('a lifetime makes one, until it ends', () => {
    const bench = host();
    hear(bench, { lifetime: 30 });
    expect(way(bench)).toBe(ROUTER);
    bench.run(30 * S - 1);
    expect(way(bench)).toBe(ROUTER);
    bench.run(1);
    expect([way(bench), bench.autoconf.routers.all().length]).toEqual(['none', 0]);
    expect(bench.events().filter((e) => e.kind === AutoconfEvent.RouterChange).length).toBe(2);
  });

  test('each advertisement renews it', () => {
    const bench = host();
    hear(bench, { lifetime: 30 });
    bench.run(20 * S);
    hear(bench, { lifetime: 30 });
    bench.run(29 * S);
    expect(way(bench)).toBe(ROUTER);
  });

  test('a lifetime of 0 ends it at once, and makes none', () => {
    const bench = host();
    hear(bench, { lifetime: 0 });
    expect(way(bench)).toBe('none');
    hear(bench, { lifetime: 30 });
    hear(bench, { lifetime: 0 });
    expect(way(bench)).toBe('none');
  });

  test('the list is bounded', () => {
    const bench = host();
    for (let i = 0; i < 100; i++) hear(bench, {}, `fe80::5:${i.toString(16)}`);
    expect(bench.autoconf.routers.all().length).toBe(16);
  });

  test('its hardware address is learned, and that it is a router', () => {
    const bench = host();
    hear(bench, { options: sourceMac(PEER_MAC) });
    expect(bench.autoconf.neighbors.list()).toMatchObject([{ address: ROUTER, state: 'STALE', isRouter: true }]);
  });

  test('one that does not answer comes after one that may, §6.3.6', () => {
    const bench = host();
    hear(bench, {});
    hear(bench, {}, OTHER);
    expect(way(bench)).toBe(ROUTER);
    bench.send('fe80::1', ROUTER);
    bench.run(4 * S);
    expect(bench.state(ROUTER)).toBe('FAILED');
    expect(way(bench)).toBe(OTHER);
  });
});

describe('variables, RFC 4861 §6.3.4', () => {
  test('hop limit, reachable and retransmission time are taken, 0 means nothing was said', () => {
    const bench = host();
    hear(bench, { hopLimit: 33, reachable: 10_000, retrans: 500 });
    const { iface } = bench;
    expect([iface.curHopLimit, iface.baseReachableUs, iface.retransUs]).toEqual([33, 10 * S, S / 2]);
    expect(iface.reachableUs).toBeGreaterThanOrEqual(5 * S);
    expect(iface.reachableUs).toBeLessThanOrEqual(15 * S);
    hear(bench, { hopLimit: 0 });
    expect([iface.curHopLimit, iface.baseReachableUs, iface.retransUs]).toEqual([33, 10 * S, S / 2]);
  });

  test.each([
    [1, 1, 100_000, 10_000],
    [0xffffffff, 0xffffffff, 3600 * S, 3600 * S],
  ])('times of %i and %i ms are taken within bounds, §6.2.1', (reachable, retrans, baseUs, retransUs) => {
    const bench = host();
    hear(bench, { reachable, retrans });
    expect([bench.iface.baseReachableUs, bench.iface.retransUs]).toEqual([baseUs, retransUs]);
  });

  test('the same base is not drawn anew, but every two hours it is', () => {
    const bench = host();
    hear(bench, { reachable: 10_000 });
    const drawn = bench.iface.reachableUs;
    hear(bench, { reachable: 10_000 });
    expect(bench.iface.reachableUs).toBe(drawn);
    bench.run(7200 * S);
    expect(bench.iface.reachableUs).not.toBe(drawn);
  });

  test.each([
    [1400, 1400],
    [1280, 1280],
    [1279, 1500],
    [1501, 1500],
    [9000, 1500],
  ])('an MTU of %i makes the link %i, §6.3.4', (mtu, link) => {
    const bench = host();
    hear(bench, { options: mtuOption(mtu) });
    expect(bench.iface.linkMtuBytes).toBe(link);
  });

  test('the M and O flags are told when they change', () => {
    const bench = host();
    for (const flags of [0xc0, 0xc0, 0x40]) hear(bench, { flags });
    const told = bench.events().filter((e) => e.kind === AutoconfEvent.RaFlags);
    expect(told.map((e) => e.value)).toEqual([3, 2]);
  });
});

describe('prefixes, RFC 4861 §6.3.4', () => {
  const onLink = (bench: Bench): boolean => bench.routes.isOnLink(ip('2001:db8::9'), 2);

  test('the L flag puts a prefix on the link until its lifetime ends', () => {
    const bench = host();
    hear(bench, { lifetime: 0, options: prefixOption('2001:db8::', { flags: 0x80, valid: 60 }) });
    bench.run(60 * S - 1);
    expect(onLink(bench)).toBe(true);
    bench.run(1);
    expect(onLink(bench)).toBe(false);
  });

  test('without it nothing is on the link; a lifetime of 0 ends it at once; the link-local prefix is not touched', () => {
    const bench = host();
    hear(bench, { options: prefixOption('2001:db8::', { flags: 0x40 }) });
    expect(onLink(bench)).toBe(false);
    hear(bench, { options: prefixOption('2001:db8::', { flags: 0x80 }) });
    expect(onLink(bench)).toBe(true);
    hear(bench, { options: prefixOption('2001:db8::', { flags: 0x80, valid: 0, preferred: 0 }) });
    expect(onLink(bench)).toBe(false);
    const before = bench.routes.ids().length;
    hear(bench, { options: prefixOption('fe80::', { flags: 0x80, valid: 60 }) });
    expect(bench.routes.ids().length).toBe(before);
  });

  test('all ones is for ever', () => {
    const bench = host();
    hear(bench, { options: prefixOption('2001:db8::', { flags: 0x80, valid: 0xffffffff }) });
    bench.run(1e6 * S);
    expect(onLink(bench)).toBe(true);
  });

  test('the list is bounded', () => {
    const bench = host();
    for (let i = 1; i < 300; i++)
      hear(bench, { options: prefixOption(`2001:db8:${i.toString(16)}::`, { flags: 0x80 }) });
    expect(bench.routes.ids().length).toBeLessThanOrEqual(66);
  });
});

describe('preferences and routes, RFC 4191', () => {
  test('the router of the higher preference is taken, §3.1', () => {
    const bench = host();
    hear(bench, { flags: 0x18 }); // low
    hear(bench, { flags: 0x08 }, OTHER); // high
    expect(way(bench)).toBe(OTHER);
    hear(bench, { flags: 0x18 }, OTHER);
    hear(bench, { flags: 0x10 }); // reserved: medium
    expect(way(bench)).toBe(ROUTER);
  });

  test('a route option wins by its length, and ends with lifetime 0, §2.3', () => {
    const bench = host();
    hear(bench, {});
    hear(bench, { lifetime: 0, options: routeOption('2001:db8:77::', 48, 0, 600) }, OTHER);
    expect(way(bench)).toBe(OTHER);
    hear(bench, { lifetime: 0, options: routeOption('2001:db8:77::', 48, 0, 0) }, OTHER);
    expect(way(bench)).toBe(ROUTER);
  });

  test.each([
    ['the reserved preference', routeOption('2001:db8:77::', 48, 0x10, 600)],
    ['more than 128 bits', routeOption('2001:db8:77::', 129, 0, 600)],
    ['a length too short for its bits', `18013000000002582001`.padEnd(16, '0').slice(0, 16)],
  ])('one with %s is ignored, §2.3', (_what, option) => {
    const bench = host();
    hear(bench, { lifetime: 0, options: option }, OTHER);
    expect(way(bench)).toBe('none');
  });
});

describe('name servers, RFC 8106', () => {
  const DOMAINS = (seconds: string): string => `1f030000${seconds}0765786103636f6d`;
  const search = `1f03 0000 00000258 03666f6f 03636f6d 00 0162 00 00 000000`.replaceAll(' ', '');
  const servers = (bench: Bench): string[] => bench.autoconf.dns.listServers().map((one) => format(one.address));

  test('are taken until their lifetime ends, §5.1', () => {
    const bench = host();
    hear(bench, { options: rdnssOption(600, '2001:db8::53', 'fe80::53') });
    expect(servers(bench)).toEqual(['2001:db8::53', 'fe80::53']);
    bench.run(600 * S - 1);
    expect(servers(bench).length).toBe(2);
    bench.run(1);
    expect(servers(bench)).toEqual([]);
    expect(bench.events().filter((e) => e.kind === AutoconfEvent.DnsServers).length).toBeGreaterThan(1);
  });

  test('a lifetime of 0 ends one at once, all ones never, §5.1', () => {
    const bench = host();
    hear(bench, { options: rdnssOption(0xffffffff, '2001:db8::53', '2001:db8::54') });
    hear(bench, { options: rdnssOption(0, '2001:db8::53') });
    bench.run(1e6 * S);
    expect(servers(bench)).toEqual(['2001:db8::54']);
  });

  test('the list is bounded, and the longest lived stay, §5.3.1', () => {
    const bench = host();
    for (let i = 1; i <= 50; i++) hear(bench, { options: rdnssOption(100 + i, `2001:db8::${i}`) });
    expect(servers(bench)).toEqual([43, 44, 45, 46, 47, 48, 49, 50].map((i) => `2001:db8::${i}`));
  });

  test('an option of an even length is ignored, §5.1', () => {
    const bench = host();
    hear(bench, { options: `${rdnssOption(600, '2001:db8::53')}0000000000000000`.replace('1903', '1904') });
    expect(servers(bench)).toEqual([]);
  });

  test('search domains are taken, and what is no name is not, §5.2', () => {
    const bench = host();
    hear(bench, { options: search });
    expect(bench.autoconf.dns.listDomains().map((one) => one.name)).toEqual(['foo.com', 'b']);
    hear(bench, { options: DOMAINS('00000258') });
    expect(bench.autoconf.dns.listDomains().length).toBe(2);
  });
});

describe('solicitation of routers, RFC 4861 §6.3.7, RFC 7559', () => {
  test('after up to a second, then 4 s and twice as long each time, up to an hour, for ever', () => {
    const bench = host();
    const us = bench.run(6 * 3600 * S).map((one) => one.us);
    expect(us[0]).toBeLessThanOrEqual(S);
    let last = 4 * S;
    for (let i = 1; i < us.length; i++) {
      const gap = us[i]! - us[i - 1]!;
      expect(gap).toBeLessThanOrEqual(1.1 * 3600 * S);
      if (i === 1) expect(Math.abs(gap - 4 * S)).toBeLessThanOrEqual(0.4 * S);
      else if (gap < 0.9 * 3600 * S) expect(Math.abs(gap - 2 * last)).toBeLessThanOrEqual(0.1 * last + 1);
      last = gap;
    }
    expect(us.length).toBeGreaterThan(12);
  });

  test('carries the hardware address, to all routers, with hop limit 255', () => {
    const bench = host();
    const [sent] = bench.run(S);
    expect(sent!.text).toBe('rs fe80::1 > ff02::2 hop 255 to 33:33:00:00:00:02');
    expect(sent!.bytes.length).toBe(14 + 40 + 8 + 8);
  });

  test('from :: without hardware address, §4.1', () => {
    const bench = new Bench();
    bench.autoconf.start(2, LISTENING);
    const [sent] = bench.run(S);
    expect(sent!.text).toBe('rs :: > ff02::2 hop 255 to 33:33:00:00:00:02');
    expect(sent!.bytes.length).toBe(14 + 40 + 8);
  });

  test('ends with an advertisement of a lifetime above 0, not with another, RFC 7559 §2.1', () => {
    const bench = host();
    bench.run(2 * S);
    hear(bench, { lifetime: 0 });
    expect(bench.run(10 * S).length).toBeGreaterThan(0);
    hear(bench, { lifetime: 60 });
    expect(bench.run(3600 * S)).toEqual([]);
  });
});

test('a restored host goes on alike, to the byte and the µs', () => {
  const bench = host();
  hear(bench, {
    lifetime: 0,
    options: rdnssOption(600, '2001:db8::53') + prefixOption('2001:db8::', { flags: 0x80, valid: 60 }),
  });
  bench.run(7 * S);
  const twin = bench.twin();
  expect(twin.run(900 * S)).toEqual(bench.run(900 * S));
  expect(twin.save()).toEqual(bench.save());
});
