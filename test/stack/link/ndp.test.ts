import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Drop } from '../../../core/drop.ts';
import { format } from '../../../stack/address.ts';
import { bytesOf } from '../../kit/hex.ts';
import {
  Bench,
  type Envelope,
  ip,
  mtuOption,
  na,
  ns,
  OTHER_MAC,
  PEER_MAC,
  prefixOption,
  ra,
  rdnssOption,
  redirect,
  routeOption,
  rs,
  S,
  sourceMac,
  targetMac,
} from '../kit-nd.ts';

const OWN = 'fe80::1';
const PEER = 'fe80::2';
const GROUP = 'ff02::1:ff00:1';
const TO_PEER = 'to 02:00:00:00:00:02';
const LISTENING = { linkLocal: 'none', slaac: true, temporary: false, routerSolicitations: true } as const;

function host(): Bench {
  const bench = new Bench();
  bench.own(OWN);
  bench.autoconf.start(2, LISTENING);
  return bench;
}

const valid: [string, string, string, string][] = [
  ['solicitation', PEER, GROUP, ns(OWN, sourceMac(PEER_MAC))],
  ['advertisement', PEER, OWN, na(PEER, 0x60, targetMac(PEER_MAC))],
  ['router advertisement', PEER, 'ff02::1', ra({ options: sourceMac(PEER_MAC) })],
  ['router solicitation', PEER, 'ff02::2', rs(sourceMac(PEER_MAC))],
];

describe.each(valid)('a %s', (_name, source, target, message) => {
  const bad: [string, string, Envelope][] = [
    ['hop limit 254', message, { hopLimit: 254 }],
    ['code 1', `${message.slice(0, 2)}01${message.slice(4)}`, {}],
    ['an option of length 0', `${message.slice(0, -16)}0100000000000000`, {}],
    ['an option that does not fit', `${message}0102000000000000`, {}],
    ['4 bytes behind the last option', `${message}01010000`, {}],
    ['fragments, RFC 6980 §5', message, { wasReassembled: true }],
  ];

  test('as it should be is taken', () => {
    expect(host().icmp(source, target, message)).toBe(Drop.None);
  });

  test.each(bad)('with %s is discarded, RFC 4861 §6.1, §7.1', (_what, hex, envelope) => {
    const bench = host();
    expect(bench.icmp(source, target, hex, envelope)).toBe(Drop.NdpInvalid);
    expect(bench.sent()).toEqual([]);
    expect(bench.autoconf.neighbors.count).toBe(0);
  });

  test('cut short is discarded', () => {
    const bench = host();
    const fixed = message.length - 16;
    for (let at = 2; at < fixed; at += 2) {
      expect(bench.icmp(source, target, message.slice(0, at))).toBe(Drop.NdpInvalid);
    }
  });

  test('with an option that is not known is taken, §4.6', () => {
    expect(host().icmp(source, target, `${message}f001000000000000`)).toBe(Drop.None);
  });
});

describe('solicitations, RFC 4861 §7.1.1, §7.2.3, §7.2.4', () => {
  test.each([
    ['a multicast target', PEER, GROUP, ns('ff02::1')],
    ['from :: to no solicited-node group', '::', OWN, ns(OWN)],
    ['from :: with a hardware address', '::', GROUP, ns(OWN, sourceMac(PEER_MAC))],
  ])('%s is invalid', (_what, source, target, message) => {
    expect(host().icmp(source, target, message)).toBe(Drop.NdpInvalid);
  });

  test('is answered with solicited and override flags, our address as source, and its option', () => {
    const bench = host();
    bench.icmp(PEER, GROUP, ns(OWN, sourceMac(PEER_MAC)));
    const [sent] = bench.sent();
    expect(sent!.text).toBe(`na ${OWN} 011 ${OWN} > ${PEER} hop 255 ${TO_PEER}`);
    expect(Buffer.from(sent!.bytes.subarray(78)).toString('hex')).toBe(targetMac('020000000001'));
  });

  test("a router's answer says so", () => {
    const bench = host();
    bench.iface.forwards6 = true;
    bench.icmp(PEER, GROUP, ns(OWN, sourceMac(PEER_MAC)));
    expect(bench.texts()).toEqual([`na ${OWN} 111 ${OWN} > ${PEER} hop 255 ${TO_PEER}`]);
  });

  test('makes an entry STALE, and a changed address too; the same changes nothing', () => {
    const bench = host();
    const learn = (mac: string): void => {
      bench.autoconf.neighbors.confirm(bench.autoconf.neighbors.lookup(2, ip(PEER)));
      bench.icmp(PEER, GROUP, ns(OWN, sourceMac(mac)));
      bench.sent();
    };
    bench.autoconf.neighbors.find(2, ip(PEER));
    learn(PEER_MAC);
    expect(bench.state(PEER)).toBe('DELAY'); // STALE, and the answer used it
    learn(PEER_MAC);
    expect(bench.state(PEER)).toBe('REACHABLE');
    learn(OTHER_MAC);
    expect(bench.state(PEER)).toBe('DELAY');
  });

  test('without hardware address is answered once the sender is resolved', () => {
    const bench = host();
    bench.icmp(PEER, OWN, ns(OWN));
    expect(bench.texts()).toEqual([`ns ${PEER} ${OWN} > ff02::1:ff00:2 hop 255 to 33:33:ff:00:00:02`]);
    bench.icmp(PEER, OWN, na(PEER, 0x60, targetMac(PEER_MAC)));
    expect(bench.texts()).toEqual([`na ${OWN} 011 ${OWN} > ${PEER} hop 255 ${TO_PEER}`]);
  });

  test('for another host is not answered and teaches nothing, §7.2.3', () => {
    const bench = host();
    expect(bench.icmp(PEER, 'ff02::1:ff00:9', ns('fe80::9', sourceMac(PEER_MAC)))).toBe(Drop.None);
    expect([bench.sent(), bench.autoconf.neighbors.count]).toEqual([[], 0]);
  });
});

describe('advertisements, RFC 4861 §7.1.2', () => {
  test.each([
    ['a multicast target', OWN, na('ff02::1', 0x20, targetMac(PEER_MAC))],
    ['the solicited flag in a multicast', 'ff02::1', na(PEER, 0x40, targetMac(PEER_MAC))],
  ])('%s is invalid', (_what, target, message) => {
    expect(host().icmp(PEER, target, message)).toBe(Drop.NdpInvalid);
  });
});

describe('router messages, RFC 4861 §6.1', () => {
  test('an advertisement from a global address is invalid, §6.1.2', () => {
    const bench = host();
    expect(bench.icmp('2001:db8::2', 'ff02::1', ra())).toBe(Drop.NdpInvalid);
    expect(bench.autoconf.routers.all()).toEqual([]);
  });

  test('a solicitation from :: with a hardware address is invalid, §6.1.1', () => {
    expect(host().icmp('::', 'ff02::2', rs(sourceMac(PEER_MAC)))).toBe(Drop.NdpInvalid);
  });

  test('a host discards solicitations, and learns nothing, §6.2.6', () => {
    const bench = host();
    bench.icmp(PEER, 'ff02::2', rs(sourceMac(PEER_MAC)));
    expect([bench.run(0), bench.autoconf.neighbors.count]).toEqual([[], 0]);
  });
});

describe('redirects, RFC 4861 §8', () => {
  const [NEXT, FAR] = ['fe80::3', '2001:db8:9::9'];

  function redirected(
    source: string,
    message: string,
    isFirstHop = true,
  ): { drop: number; seen: string[]; bench: Bench } {
    const bench = host();
    const seen: string[] = [];
    bench.autoconf.onRedirect = (iface, router, target, next) => {
      seen.push(`${iface} ${format(router)} ${format(target)} ${format(next)}`);
      return isFirstHop;
    };
    return { drop: bench.icmp(source, OWN, message), seen, bench };
  }

  test('tells who keeps the paths, and learns the target, §8.3', () => {
    const { drop, seen, bench } = redirected(PEER, redirect(NEXT, FAR, targetMac(OTHER_MAC)));
    expect([drop, seen]).toEqual([Drop.None, [`2 ${PEER} ${FAR} ${NEXT}`]]);
    expect(bench.autoconf.neighbors.list()).toMatchObject([{ address: NEXT, state: 'STALE', isRouter: true }]);
  });

  test('to the destination itself means that it is on the link, §8.3', () => {
    const { seen, bench } = redirected(PEER, redirect(FAR, FAR, targetMac(OTHER_MAC)));
    expect(seen).toEqual([`2 ${PEER} ${FAR} ${FAR}`]);
    expect(bench.autoconf.neighbors.list()).toMatchObject([{ address: FAR, isRouter: false }]);
  });

  test.each([
    ['from a global address', '2001:db8::2', redirect(NEXT, FAR)],
    ['about a multicast destination', PEER, redirect(NEXT, 'ff0e::1')],
    ['to a global router', PEER, redirect('2001:db8::3', FAR)],
  ])('%s is invalid, §8.1', (_what, source, message) => {
    const { drop, seen } = redirected(source, message);
    expect([drop, seen]).toEqual([Drop.NdpInvalid, []]);
  });

  test('from who is not the first hop is invalid, and teaches nothing, §8.1', () => {
    const { drop, bench } = redirected(PEER, redirect(NEXT, FAR, targetMac(OTHER_MAC)), false);
    expect([drop, bench.autoconf.neighbors.count]).toEqual([Drop.NdpInvalid, 0]);
  });

  test('a router does not follow, §8.3', () => {
    const bench = host();
    bench.iface.forwards6 = true;
    bench.autoconf.onRedirect = () => {
      throw new Error('followed');
    };
    expect(bench.icmp(PEER, OWN, redirect(NEXT, FAR))).toBe(Drop.None);
  });
});

test('announce tells all own addresses once, to all nodes and by gratuitous ARP, RFC 4861 §7.2.6, RFC 5227 §2.3', () => {
  const bench = host();
  bench.own('10.0.0.1', 24);
  bench.autoconf.announce(bench.iface);
  expect(bench.texts()).toEqual([
    `na ${OWN} 001 ${OWN} > ff02::1 hop 255 to 33:33:00:00:00:01`,
    'arp who-has 10.0.0.1 tell 10.0.0.1 to ff:ff:ff:ff:ff:ff',
  ]);
});

test('random and mutated messages never throw, and every table stays bounded', () => {
  const bench = host();
  bench.autoconf.onRedirect = () => true;
  const options = [
    sourceMac(PEER_MAC),
    mtuOption(1400),
    prefixOption('2001:db8::'),
    routeOption('2001:db8:1::', 48, 8, 600),
    rdnssOption(600, '2001:db8::53'),
    '1f030000000002580365786103636f6d0000000000000000',
  ].join('');
  const seeds = [...valid.map((one) => one[3]), ra({ options }), redirect('fe80::3', '2001:db8:9::9')].map(bytesOf);
  const edit = fc.tuple(fc.nat(200), fc.nat(255));
  fc.assert(
    fc.property(fc.nat(seeds.length - 1), fc.array(edit, { maxLength: 6 }), fc.nat(200), (which, edits, cut) => {
      const message = Uint8Array.from(seeds[which]!);
      for (const [at, value] of edits) if (at > 0) message[at % message.length] = value;
      const type = seeds[which]![0]!;
      message[0] = type;
      bench.message(PEER, OWN, message.subarray(0, Math.max(1, message.length - (cut % 40))), {});
      bench.run(S / 10);
      expect(bench.listAddresses().length).toBeLessThanOrEqual(66);
      expect(bench.autoconf.routers.all().length).toBeLessThanOrEqual(16);
      expect(bench.autoconf.dns.listServers().length).toBeLessThanOrEqual(8);
      expect(bench.routes.ids().length).toBeLessThanOrEqual(100);
    }),
    { numRuns: 400 },
  );
});
