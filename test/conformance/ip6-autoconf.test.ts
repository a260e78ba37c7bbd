// RFC 4861 §6.3 and RFC 4862 through a whole stack: a host finds its routers and makes its addresses.

import { describe, expect, test } from 'vitest';
import { AUTOCONF } from '../../stack/autoconf/autoconf.ts';
import {
  echo,
  FAR,
  frame6,
  HOST_MAC,
  mtuOption,
  Next,
  na,
  nd,
  ns,
  PEER,
  PEER_MAC,
  prefixOption,
  ROUTER,
  ROUTER_MAC,
  ROUTER2,
  ROUTER2_MAC,
  ra,
  rs,
  slla,
  text,
  tlla,
} from '../kit/frame-build.ts';
import { FrameHost, S } from '../kit/frame-host.ts';
import { tellWithMac } from '../kit/frame-text.ts';

const EUI = 'fe80::ff:fe00:1';
const EUI_GROUP = 'ff02::1:ff00:1';
const GLOBAL = '2001:db8::ff:fe00:1';
const eui64 = { ...AUTOCONF, linkLocal: 'eui64' as const };
const dad = (target = EUI): string => `:: > ff02::1:ff00:1 ns ${target} nonce`;
const RS = `${EUI} > ff02::2 rs slla=${HOST_MAC}`;

/** A host that configures itself, after its duplicate address detection and the first solicitation if `isUp`. */
function host(isUp = true, dadTransmits = 1): FrameHost {
  const one = new FrameHost({ addresses: [], autoconf: eui64, dadTransmits });
  if (isUp) {
    one.run(3 * S);
    one.take();
  }
  return one;
}

const fromRouter = { from: ROUTER, to: 'ff02::1', fromMac: ROUTER_MAC } as const;
const advertise = (one: FrameHost, ...message: Parameters<typeof ra>): string[] =>
  one.send(nd(ra(...message), fromRouter));
const prefix = (o: Parameters<typeof prefixOption>[1] = {}): number[] => prefixOption('2001:db8::', o);
const ping = (to: string, from = FAR, fromMac = ROUTER_MAC): Uint8Array =>
  frame6({ from, to, fromMac, chain: [[Next.Icmp6, echo()]] });

describe('duplicate address detection (RFC 4862 §5.4)', () => {
  test('the solicited-node group is joined first, the probe is sent within a second, the address is used a second later', () => {
    const one = host(false);
    one.run(S);
    const lines = one.take().map((sent) => sent.text);
    expect(lines.findIndex((line) => line.includes('report2'))).toBe(0);
    expect(lines.filter((line) => line.includes(' ns '))).toEqual([dad()]);
    expect(one.addresses()).toEqual([`${EUI} tentative`]);
    one.run(S);
    expect(one.addresses()).toEqual([`${EUI} preferred`]);
  });

  test.each([0, 1, 2, 3])('DupAddrDetectTransmits %i', (transmits) => {
    const one = host(false, transmits);
    const lines = one.run(transmits * S + S).filter((line) => line.includes('nonce'));
    expect(lines).toEqual(new Array<string>(transmits).fill(dad()));
    expect(one.addresses()).toEqual([`${EUI} preferred`]);
  });

  test.each<[string, Uint8Array, boolean]>([
    ['a probe of another', nd(ns(EUI), { from: '::', to: EUI_GROUP }), true],
    ['an advertisement to all nodes', nd(na(EUI, 'O', tlla()), { from: EUI, to: 'ff02::1' }), true],
    ['an advertisement without its MAC', nd(na(EUI, 'O'), { from: EUI, to: 'ff02::1' }), true],
    ['a solicitation of one who resolves (§5.4.3)', nd(ns(EUI, slla()), { to: EUI_GROUP }), false],
    ['a probe for somebody else', nd(ns('fe80::5'), { from: '::', to: 'ff02::1:ff00:5' }), false],
    ['a probe with hop limit 254', nd(ns(EUI), { from: '::', to: EUI_GROUP, hop: 254 }), false],
    ['a probe with a wrong checksum', nd(ns(EUI), { from: '::', to: EUI_GROUP, isRaw: true }), false],
    [
      'a probe with code 1',
      nd(
        Uint8Array.from(ns(EUI), (b, i) => (i === 1 ? 1 : b)),
        { from: '::', to: EUI_GROUP },
      ),
      false,
    ],
    ['a probe to all nodes', nd(ns(EUI), { from: '::', to: 'ff02::1' }), false],
    ['a probe with a MAC', nd(ns(EUI, slla()), { from: '::', to: EUI_GROUP }), false],
    ['a probe that is too short', nd(ns(EUI).slice(0, 16), { from: '::', to: EUI_GROUP }), false],
    ['an advertisement with hop limit 254', nd(na(EUI, 'O', tlla()), { from: EUI, to: 'ff02::1', hop: 254 }), false],
    ['a solicited advertisement to a group', nd(na(EUI, 'SO', tlla()), { from: EUI, to: 'ff02::1' }), false],
    ['an advertisement for somebody else', nd(na('fe80::5', 'O', tlla()), { from: 'fe80::5', to: 'ff02::1' }), false],
  ])('%s: duplicate or not', (_name, frame, isDuplicate) => {
    const one = host(false);
    one.run(S);
    expect(one.send(frame)).toEqual([]);
    one.run(3 * S);
    expect(one.addresses()).toEqual([`${EUI} ${isDuplicate ? 'duplicate' : 'preferred'}`]);
  });

  test('of the hardware’s own identifier that is the end of IPv6 on the interface (§5.4.5)', () => {
    const one = host(false);
    one.run(S);
    one.send(nd(ns(EUI), { from: '::', to: EUI_GROUP }));
    one.take();
    expect(one.run(60 * S)).toEqual([]);
    expect(one.send(ping('ff02::1', PEER, PEER_MAC))).toEqual([]);
    expect(one.send(nd(ns(EUI, slla()), { to: EUI_GROUP }))).toEqual([]);
  });

  test('a tentative address takes no packet, and answers no solicitation (§5.4)', () => {
    const one = host(false);
    one.run(S);
    expect(one.send(ping(EUI, PEER, PEER_MAC))).toEqual([]);
    expect(one.send(nd(ns(EUI, slla())))).toEqual([]);
    one.run(S);
    expect(one.send(nd(ns(EUI, slla()), { to: EUI_GROUP }))).toEqual([
      `${EUI} > ${PEER} na ${EUI} SO tlla=${HOST_MAC}`,
    ]);
    expect(one.send(ping(EUI, PEER, PEER_MAC))).toEqual([`${EUI} > ${PEER} echo-reply id=1 seq=1 data=8`]);
  });

  test('its own probe, come back, is no duplicate (RFC 7527 §4.1)', () => {
    const one = host(false);
    one.run(S);
    const own = one.take().find((sent) => sent.text.includes('nonce'))!;
    one.send(own.bytes);
    one.run(10 * S);
    expect(one.addresses()).toEqual([`${EUI} preferred`]);
  });

  test('every address is tested for itself: also a global one (§5.4)', () => {
    const one = host();
    advertise(one, {}, slla(ROUTER_MAC), prefix());
    expect(one.run(S)).toEqual([dad(GLOBAL)]);
    one.send(nd(ns(GLOBAL), { from: '::', to: EUI_GROUP }));
    one.run(2 * S);
    expect(one.addresses()).toEqual([`${EUI} preferred`, `${GLOBAL} duplicate`]);
    expect(one.send(ping(EUI, PEER, PEER_MAC)).length).toBe(1);
  });
});

describe('router solicitations (RFC 4861 §6.3.7, RFC 7559)', () => {
  test('the first one within a second after the address, with the MAC; then after about 4, 8, 16 s', () => {
    const one = host(false);
    one.run(40 * S);
    const times = one
      .take()
      .filter((sent) => sent.text === RS)
      .map((sent) => sent.atUs / S);
    expect(times[0]).toBeLessThan(3);
    const gaps = times.slice(1).map((t, i) => t - times[i]!);
    expect(gaps).toHaveLength(3);
    gaps.forEach((gap, i) => {
      expect(gap).toBeGreaterThan(3.6 * 2 ** i * 0.85);
      expect(gap).toBeLessThan(4.4 * 2 ** i * 1.15);
    });
  });

  test('to all routers, hop limit 255', () => {
    const one = host(false);
    one.run(3 * S);
    expect(tellWithMac(one.last())).toBe(`33:33:00:00:00:02 ${RS}`);
  });

  test('it ends with a valid advertisement of a router', () => {
    const one = host();
    advertise(one, {}, slla(ROUTER_MAC));
    expect(one.run(3600 * S)).toEqual([]);
  });

  test('not with one of lifetime 0, nor an invalid one', () => {
    const one = host();
    advertise(one, { life: 0 }, slla(ROUTER_MAC));
    one.send(nd(ra(), { ...fromRouter, hop: 64 }));
    expect(one.run(20 * S).length).toBeGreaterThan(0);
  });

  test('a host discards solicitations (§6.2.6)', () => {
    const one = host();
    expect(one.send(nd(rs(slla()), { to: 'ff02::2' }))).toEqual([]);
    expect(one.neighbor(PEER)).toBe('');
  });
});

describe('advertisements: validity (§6.1.2)', () => {
  test.each<[string, Uint8Array, Parameters<typeof nd>[1]]>([
    ['a source that is not link-local', ra({}, prefix()), { from: '2001:db8::f1' }],
    ['hop limit 254', ra({}, prefix()), { hop: 254 }],
    ['a wrong checksum', ra({}, prefix()), { isRaw: true }],
    ['code 1', Uint8Array.from(ra({}, prefix()), (b, i) => (i === 1 ? 1 : b)), {}],
    ['less than 16 bytes', ra().slice(0, 12), {}],
    ['an option of length 0', ra({}, prefix(), [1, 0, 0, 0, 0, 0, 0, 0]), {}],
  ])('%s: nothing is taken', (_name, message, change) => {
    const one = host();
    expect(one.send(nd(message, { ...fromRouter, ...change }))).toEqual([]);
    one.run(3 * S);
    expect(one.addresses()).toEqual([`${EUI} preferred`]);
    expect(one.sendUdp(FAR, 8)).toBeLessThan(0);
  });

  test('unknown options and reserved bits are skipped', () => {
    const one = host();
    const message = ra({ flags: 7 }, [253, 1, 0, 0, 0, 0, 0, 0], prefix());
    one.send(nd(message, fromRouter));
    one.run(3 * S);
    expect(one.addresses()).toContain(`${GLOBAL} preferred`);
  });
});

describe('advertisements: what they set (§6.3.4)', () => {
  /** A host with the router and the global address. */
  function routed(...message: Parameters<typeof ra>): FrameHost {
    const one = host();
    advertise(one, message[0] ?? {}, slla(ROUTER_MAC), prefix(), ...message.slice(1).map((part) => part as number[]));
    one.run(3 * S);
    one.take();
    return one;
  }
  const isRouted = (one: FrameHost): boolean => {
    const sent = one.sendUdp(FAR, 8);
    one.run(0);
    return sent >= 0;
  };

  test('current hop limit: in all packets from then on; 0 says nothing', () => {
    const one = routed({ hop: 15 });
    expect(one.send(ping(GLOBAL))).toEqual([`${GLOBAL} > ${FAR} hop=15 echo-reply id=1 seq=1 data=8`]);
    advertise(one, { hop: 0 });
    expect(one.send(ping(GLOBAL))).toEqual([`${GLOBAL} > ${FAR} hop=15 echo-reply id=1 seq=1 data=8`]);
    one.sendUdp(FAR, 8);
    expect(one.log.at(-1)!.text).toMatch(/hop=15 udp/);
    advertise(one, { hop: 200 });
    expect(one.send(ping(GLOBAL))).toEqual([`${GLOBAL} > ${FAR} hop=200 echo-reply id=1 seq=1 data=8`]);
  });

  test('router lifetime: it is a default router for so long, 0 ends it at once', () => {
    const one = routed({ life: 100 });
    expect(isRouted(one)).toBe(true);
    one.run(96 * S);
    expect(isRouted(one)).toBe(true);
    one.run(S);
    expect(isRouted(one)).toBe(false);
    advertise(one, { life: 100 });
    expect(isRouted(one)).toBe(true);
    advertise(one, { life: 0 });
    expect(isRouted(one)).toBe(false);
  });

  test('a later lifetime replaces the earlier one, also a shorter', () => {
    const one = routed({ life: 9000 });
    advertise(one, { life: 10 });
    one.run(11 * S);
    expect(isRouted(one)).toBe(false);
  });

  test('reachable time: 0.5 … 1.5 of it; 0 says nothing', () => {
    const one = routed({ reachableMs: 10_000 });
    for (const ms of [0, 10_000]) {
      advertise(one, { reachableMs: ms });
      one.send(nd(ns(EUI, slla()), { to: EUI_GROUP }));
      one.run(5 * S);
      one.send(nd(na(PEER, 'SO', tlla()), { to: EUI }));
      expect(one.neighbor(PEER)).toMatch('REACHABLE');
      one.run(5 * S - 1);
      expect(one.neighbor(PEER)).toMatch('REACHABLE');
      one.run(10 * S + 1);
      expect(one.neighbor(PEER)).toMatch('STALE');
    }
  });

  test('retransmission time: between solicitations; 0 says nothing', () => {
    const one = routed({ retransMs: 5000 });
    advertise(one, { retransMs: 0 });
    one.send(ping(EUI, PEER, PEER_MAC));
    one.take();
    one.run(20 * S);
    expect(
      one
        .take()
        .map((sent) => sent.atUs / S)
        .map((t, _i, all) => t - all[0]!),
    ).toEqual([0, 5]);
  });

  test.each([
    [1280, true],
    [1400, true],
    [1279, false],
    [1501, false],
    [0, false],
  ])('MTU option %i: taken if between 1280 and the link’s: %s', (mtuBytes, isTaken) => {
    const one = routed();
    advertise(one, {}, mtuOption(mtuBytes));
    one.send(frame6({ from: FAR, to: GLOBAL, fromMac: ROUTER_MAC, chain: [[Next.Icmp6, echo(text(1452))]] }));
    const lines = one.take().map((sent) => sent.bytes.length - 14);
    expect(lines).toHaveLength(isTaken ? 2 : 1);
    if (isTaken) expect(lines[0]! <= mtuBytes && lines[0]! > mtuBytes - 8).toBe(true);
  });

  test('source link-layer address: the entry is STALE and a router’s; a new one replaces it', () => {
    const one = host();
    advertise(one, {}, slla(ROUTER_MAC));
    expect(one.neighbor(ROUTER)).toBe(`STALE router ${ROUTER_MAC}`);
    advertise(one, {}, slla(ROUTER2_MAC));
    expect(one.neighbor(ROUTER)).toBe(`STALE router ${ROUTER2_MAC}`);
    advertise(one, {});
    expect(one.neighbor(ROUTER)).toBe(`STALE router ${ROUTER2_MAC}`);
  });

  test('without one no entry is made; the router is asked when it is needed', () => {
    const one = host();
    advertise(one, {}, prefix());
    one.run(3 * S);
    expect(one.neighbor(ROUTER)).toBe('');
    const lines = one.send(ping(GLOBAL));
    expect(lines[0]).toMatch(/ns fe80::f1 slla/);
  });

  test('a router that says in an advertisement that it is none is no default router any more (§7.2.5)', () => {
    const one = routed();
    one.send(ping(GLOBAL));
    one.send(nd(na(ROUTER, 'SO', tlla(ROUTER_MAC)), { from: ROUTER, to: EUI, fromMac: ROUTER_MAC }));
    expect(isRouted(one)).toBe(false);
  });

  test('of two routers the one that does not answer is left for the other (§6.3.6, §7.3.3)', () => {
    const one = routed();
    one.send(nd(ra({}, slla(ROUTER2_MAC)), { ...fromRouter, from: ROUTER2, fromMac: ROUTER2_MAC }));
    one.send(ping(GLOBAL));
    const first = tellWithMac(one.last()).slice(0, 17);
    one.run(10 * S); // probed in vain
    one.send(ping(GLOBAL));
    const second = tellWithMac(one.last()).slice(0, 17);
    expect([first, second].sort()).toEqual([ROUTER_MAC, ROUTER2_MAC]);
  });

  test('on-link flag: prefixes without it, or behind a lifetime of 0, go by the router (§6.3.4)', () => {
    const one = host();
    advertise(one, {}, slla(ROUTER_MAC), prefix({ flags: 0x40 }));
    one.run(3 * S);
    const near = '2001:db8::aa';
    expect(one.send(ping(GLOBAL, near))).toEqual([`${GLOBAL} > ${near} echo-reply id=1 seq=1 data=8`]);
    advertise(one, {}, prefix());
    expect(one.send(ping(GLOBAL, near))[0]).toMatch(/ns 2001:db8::aa/);
    advertise(one, {}, prefix({ valid: 0, preferred: 0 }));
    one.run(5 * S);
    expect(one.send(ping(GLOBAL, near))).toEqual([`${GLOBAL} > ${near} echo-reply id=1 seq=1 data=8`]);
  });

  test('an on-link prefix ends with its lifetime', () => {
    const one = host();
    advertise(one, {}, slla(ROUTER_MAC), prefix({ flags: 0x40 }), prefix({ flags: 0x80, valid: 20, preferred: 20 }));
    one.run(10 * S);
    expect(one.send(ping(GLOBAL, '2001:db8::aa'))[0]).toMatch(/ns 2001:db8::aa/);
    one.run(11 * S);
    expect(one.send(ping(GLOBAL, '2001:db8::ab'))).toEqual([`${GLOBAL} > 2001:db8::ab echo-reply id=1 seq=1 data=8`]);
  });
});

describe('addresses of prefixes (RFC 4862 §5.5.3, §5.5.4)', () => {
  test.each<[string, number[], boolean]>([
    ['a prefix with the autonomous flag', prefix(), true],
    ['(a) without it', prefix({ flags: 0x80 }), false],
    ['(b) the link-local prefix', prefixOption('fe80::'), false],
    ['(c) preferred for longer than valid', prefix({ valid: 100, preferred: 101 }), false],
    ['(d) a valid lifetime of 0', prefix({ valid: 0, preferred: 0 }), false],
    ['(d) 63 bits: with the identifier not 128', prefix({ bits: 63 }), false],
    ['(d) 65 bits', prefix({ bits: 65 }), false],
    ['a group', prefixOption('ff0e::'), false],
  ])('%s', (_name, option, isFormed) => {
    const one = host();
    advertise(one, {}, option);
    one.run(3 * S);
    expect(one.addresses()).toEqual([`${EUI} preferred`, ...(isFormed ? [`${GLOBAL} preferred`] : [])]);
  });

  test('several prefixes in one advertisement, and one with and one without lifetime', () => {
    const one = host();
    advertise(
      one,
      {},
      prefix(),
      prefixOption('2001:db8:1::'),
      prefixOption('2001:db8:2::', { valid: 0, preferred: 0 }),
    );
    one.run(3 * S);
    expect(one.addresses()).toEqual([`${EUI} preferred`, `${GLOBAL} preferred`, '2001:db8:1::ff:fe00:1 preferred']);
  });

  test('preferred, deprecated, gone', () => {
    const one = host();
    advertise(one, {}, slla(ROUTER_MAC), prefix({ valid: 60, preferred: 30 }));
    one.run(29 * S);
    expect(one.addresses()).toContain(`${GLOBAL} preferred`);
    one.run(S);
    expect(one.addresses()).toContain(`${GLOBAL} deprecated`);
    expect(one.send(ping(GLOBAL))).toHaveLength(1); // §5.5.4: it still takes packets
    one.run(30 * S);
    expect(one.addresses()).toEqual([`${EUI} preferred`]);
    expect(one.send(ping(GLOBAL))).toEqual([]);
  });

  const HOUR = 3600;
  // How long it was valid, what is advertised, what is left then. §5.5.3 (e)
  test.each([
    [4 * HOUR, 3 * HOUR, 3 * HOUR],
    [4 * HOUR, 1 * HOUR, 2 * HOUR],
    [4 * HOUR, 0, 2 * HOUR],
    [1 * HOUR, 60, 1 * HOUR],
    [60, 90, 90],
    [1 * HOUR, 3 * HOUR, 3 * HOUR],
  ])('two-hour rule: %i s left, %i s advertised, then %i s', (left, advertised, want) => {
    const one = host();
    advertise(one, {}, prefix({ valid: left, preferred: Math.min(left, 30) }));
    one.run(0);
    advertise(one, {}, prefix({ valid: advertised, preferred: 0 }));
    one.run(want * S - 1);
    expect(one.addresses()).toHaveLength(2);
    one.run(1);
    expect(one.addresses()).toHaveLength(1);
  });

  test('a preferred lifetime is taken as it is, also 0 (e)', () => {
    const one = host();
    advertise(one, {}, prefix());
    one.run(3 * S);
    advertise(one, {}, prefix({ preferred: 0 }));
    one.run(0);
    expect(one.addresses()).toContain(`${GLOBAL} deprecated`);
    advertise(one, {}, prefix({ preferred: 100 }));
    expect(one.addresses()).toContain(`${GLOBAL} preferred`);
  });

  test('a lifetime of all ones never ends', () => {
    const one = host();
    advertise(one, {}, prefix({ valid: 0xffffffff, preferred: 0xffffffff }));
    one.run(400 * 86400 * S);
    expect(one.addresses()).toContain(`${GLOBAL} preferred`);
  });
});

test('the source is of a prefix that the next hop advertised (RFC 6724 §5 rule 5.5)', () => {
  const one = host();
  advertise(one, { life: 0 }, slla(ROUTER_MAC), prefix({ flags: 0x40 }));
  const other = { ...fromRouter, from: ROUTER2, fromMac: ROUTER2_MAC };
  one.send(nd(ra({}, slla(ROUTER2_MAC), prefixOption('2001:db8:1::', { flags: 0x40 })), other));
  one.run(3 * S);
  one.sendUdp(FAR, 8);
  expect(one.log.at(-1)!.text).toBe(`2001:db8:1::ff:fe00:1 > ${FAR} udp 5000 > 9 data=8`);
  advertise(one, {}, prefix({ flags: 0x40 }));
  one.send(nd(ra({ life: 0 }), other));
  one.sendUdp(FAR, 8);
  expect(one.log.at(-1)!.text).toBe(`${GLOBAL} > ${FAR} udp 5000 > 9 data=8`);
});
