// RFC 8200, RFC 4861 §6.2 and §8.2, RFC 1812 §5 through a whole stack with two interfaces: the router's role.

import { describe, expect, test } from 'vitest';
import { ADVERTISEMENT } from '../../stack/autoconf/advertisement.ts';
import { RouteOrigin } from '../../stack/stack.ts';
import {
  address,
  addressBytes,
  echo,
  FAR,
  FAR4,
  frame4,
  frame6,
  HOST,
  HOST_MAC,
  HOST4,
  join,
  Next,
  nd,
  options,
  type Packet4,
  type Packet6,
  PEER,
  PEER_GLOBAL,
  PEER_MAC,
  PEER4,
  packet6,
  ROUTER2,
  ROUTER2_MAC,
  rs,
  slla,
  text,
  u32,
} from '../kit/frame-build.ts';
import { FrameHost, S } from '../kit/frame-host.ts';
import { tellWithMac } from '../kit/frame-text.ts';

const HOST_GLOBAL = '2001:db8::1';
const NET3 = ['fe80::1/64', '2001:db8:ffff::1/64', '192.0.2.1/24'];
const FAR_MAC = '02:00:00:00:00:99';

/** Between 2001:db8::/64 on interface 2 and 2001:db8:ffff::/64 on 3; likewise 10.0.0.0/24 and 192.0.2.0/24. */
function router(o: { mtuBytes3?: number; mtuBytes?: number } = {}): FrameHost {
  const one = new FrameHost({ isRouter: true, addresses3: NET3, ...o }).meetAll();
  one.meet(FAR, FAR_MAC, 3);
  one.meet(FAR4, FAR_MAC, 3);
  return one;
}

const pass6 = (o: Partial<Packet6> = {}): Uint8Array =>
  frame6({ from: PEER_GLOBAL, to: FAR, mac: HOST_MAC, chain: [[Next.Icmp6, echo()]], ...o });
const pass4 = (o: Partial<Packet4> = {}): Uint8Array =>
  frame4({ to: FAR4, mac: HOST_MAC, protocol: Next.Icmp, data: echo(text(8), 8), ...o });
const error6 = (name: string): string => `${HOST_GLOBAL} > ${PEER_GLOBAL} ${name}`;
const error4 = (name: string): string => `${HOST4} > ${PEER4} ${name}`;

describe('forwarding IPv6 (RFC 8200 §3, RFC 4443 §3)', () => {
  test('a packet leaves as it came but for its hop limit and MACs', () => {
    const one = router();
    const frame = pass6({ trafficClass: 0xb8, flow: 0x12345, hop: 9 });
    one.send(frame);
    const sent = one.take()[0]!;
    expect(sent.iface).toBe(3);
    expect(tellWithMac(sent.bytes)).toBe(`${FAR_MAC} ${PEER_GLOBAL} > ${FAR} hop=8 echo id=1 seq=1 data=8`);
    expect(sent.bytes.slice(14, 21)).toEqual(frame.slice(14, 21));
    expect(sent.bytes.slice(22)).toEqual(frame.slice(22));
  });

  test.each<[string, Partial<Packet6>, string[]]>([
    ['hop limit 2', { hop: 2 }, [`${PEER_GLOBAL} > ${FAR} hop=1 echo id=1 seq=1 data=8`]],
    ['hop limit 1: time exceeded 0', { hop: 1 }, [error6('exceeded code=0 0 quoted=56')]],
    ['hop limit 0', { hop: 0 }, [error6('exceeded code=0 0 quoted=56')]],
    ['no route: unreachable 0', { to: '2001:db9::1' }, [error6('unreachable code=0 0 quoted=56')]],
    ['from :: it is not passed on', { from: '::' }, []],
    [
      'from a link-local address: beyond its scope, unreachable 2',
      { from: PEER },
      [`${HOST} > ${PEER} unreachable code=2 0 quoted=56`],
    ],
    ['to a link-local address it is not passed on', { to: 'fe80::99' }, []],
    ['to a group', { to: 'ff0e::1' }, []],
    ['in a group frame', { mac: '33:33:00:00:00:01' }, []],
    ['from loopback', { from: '::1' }, []],
    ['from a group', { from: 'ff02::1' }, []],
  ])('%s', (_name, change, want) => {
    expect(router().send(pass6(change))).toEqual(want);
  });

  test('to the address of its other interface: delivered, whatever the hop limit', () => {
    expect(router().send(pass6({ to: '2001:db8:ffff::1', hop: 1 }))).toEqual([
      `2001:db8:ffff::1 > ${PEER_GLOBAL} echo-reply id=1 seq=1 data=8`,
    ]);
  });

  test('too big for the next link: its MTU is told, and the packet is not cut (RFC 8200 §5)', () => {
    const one = router({ mtuBytes3: 1300 });
    const big = (bytes: number): Uint8Array => pass6({ chain: [[Next.Icmp6, echo(text(bytes - 48))]] });
    expect(one.send(big(1300))).toHaveLength(1);
    expect(one.send(big(1301))).toEqual([error6('too-big code=0 1300 quoted=1232')]);
    one.run(S);
    expect(one.send(pass6({ from: PEER, chain: [[Next.Icmp6, echo(text(1400))]] }))[0]).toMatch(/unreachable code=2/);
  });

  test('only hop-by-hop options are read on the way (§4)', () => {
    const one = router();
    const unknown = [0x87, 4, 0, 0, 0, 0];
    expect(
      one.send(
        pass6({
          chain: [
            [Next.Dest, options(unknown)],
            [Next.Icmp6, echo()],
          ],
        }),
      ),
    ).toHaveLength(1);
    expect(
      one.send(
        pass6({
          chain: [
            [Next.Routing, [0, 0, 0, 1, 0, 0, 0, 0]],
            [Next.Icmp6, echo()],
          ],
        }),
      ),
    ).toHaveLength(1);
    expect(one.send(pass6({ chain: [[200, text(8)]] }))).toHaveLength(1);
    expect(
      one.send(
        pass6({
          chain: [
            [Next.HopByHop, options([7, 4, 0, 0, 0, 0])],
            [Next.Icmp6, echo()],
          ],
        }),
      ),
    ).toHaveLength(1);
    expect(
      one.send(
        pass6({
          chain: [
            [Next.HopByHop, options([0x47, 4, 0, 0, 0, 0])],
            [Next.Icmp6, echo()],
          ],
        }),
      ),
    ).toEqual([]);
    expect(
      one.send(
        pass6({
          chain: [
            [Next.HopByHop, options(unknown)],
            [Next.Icmp6, echo()],
          ],
        }),
      ),
    ).toEqual([error6('problem code=2 42 quoted=64')]);
  });

  test('pieces are passed on as they are (§4.5)', () => {
    const chain = [
      [Next.Fragment, [0, 0, 0x05, 0xa9, 0, 0, 0, 1]],
      [Next.Icmp6, text(64)],
    ] as const;
    expect(router().send(pass6({ isRaw: true, chain }))).toEqual([
      `${PEER_GLOBAL} > ${FAR} frag=1448+ id=1 next=58 data=64`,
    ]);
  });

  test('a neighbour that does not answer: unreachable 3 after three solicitations (RFC 4861 §7.2.2)', () => {
    const one = router();
    expect(one.send(pass6({ to: '2001:db8:ffff::7' }))[0]).toMatch(/ns 2001:db8:ffff::7/);
    expect(one.run(3 * S).at(-1)).toBe(error6('unreachable code=3 0 quoted=56'));
  });

  test('a host does not forward (RFC 8200 §2)', () => {
    const one = new FrameHost({ addresses3: NET3 }).meetAll();
    expect(one.send(pass6())).toEqual([]);
    expect(one.send(pass4())).toEqual([]);
  });
});

describe('redirects (RFC 4861 §8.2)', () => {
  function detoured(gateway: string): FrameHost {
    const one = router();
    one.meet(ROUTER2, ROUTER2_MAC);
    one.meet('2001:db8::f2', ROUTER2_MAC);
    const { routes } = one.stack;
    const { Static: origin } = RouteOrigin;
    routes.add({ prefix: address('fd00::'), bits: 16, gateway: address(gateway), iface: 2, metric: 0, origin });
    return one;
  }

  test('to the better router on the same link, with its MAC and the packet; the packet is passed on', () => {
    const one = detoured(ROUTER2);
    const frame = pass6({ to: 'fd00::5' });
    expect(one.send(frame)).toEqual([
      `${HOST} > ${PEER_GLOBAL} redirect ${ROUTER2} for fd00::5 tlla=${ROUTER2_MAC} quoted=56`,
      `${PEER_GLOBAL} > fd00::5 hop=63 echo id=1 seq=1 data=8`,
    ]);
    expect(one.take()[0]!.bytes.slice(-56)).toEqual(frame.slice(14));
  });

  test('to the target itself, where that is on the link', () => {
    const one = router();
    one.meet('2001:db8::bb', '02:00:00:00:00:bb');
    expect(one.send(pass6({ to: '2001:db8::bb' }))[0]).toBe(
      `${HOST} > ${PEER_GLOBAL} redirect 2001:db8::bb for 2001:db8::bb tlla=02:00:00:00:00:bb quoted=56`,
    );
  });

  test('at most 1280 bytes', () => {
    const one = detoured(ROUTER2);
    one.send(pass6({ to: 'fd00::5', chain: [[Next.Icmp6, echo(text(1400))]] }));
    expect(one.take()[0]!.bytes.length - 14).toBeLessThanOrEqual(1280);
  });

  test.each<[string, string, Partial<Packet6>]>([
    ['the source is no neighbour', ROUTER2, { from: '2001:dead::1' }],
    ['the next hop is not known by its link-local address', '2001:db8::f2', {}],
  ])('none where %s', (_name, gateway, change) => {
    const lines = detoured(gateway).send(pass6({ to: 'fd00::5', ...change }));
    expect(lines.filter((line) => line.includes('redirect'))).toEqual([]);
    expect(lines).toHaveLength(1);
  });

  test('they are limited in their rate', () => {
    const one = detoured(ROUTER2);
    let count = 0;
    for (let i = 0; i < 50; i++) count += one.send(pass6({ to: 'fd00::5' })).length - 1;
    expect(count).toBeGreaterThan(0);
    expect(count).toBeLessThan(20);
  });
});

describe('router advertisements (RFC 4861 §6.2)', () => {
  const prefix = {
    address: address('2001:db8::'),
    bits: 64,
    isOnLink: true,
    isAutonomous: true,
    validSeconds: 2592000,
    preferredSeconds: 604800,
  };
  function advertising(): FrameHost {
    const one = router();
    const ad = { ...ADVERTISEMENT, intervalSecondsMax: 60, intervalSecondsMin: 20, prefixes: [prefix], mtuBytes: 1400 };
    expect(one.stack.autoconf.advertise(2, ad)).toBeUndefined();
    return one;
  }
  const RA = `${HOST} > ff02::1 ra hop=64 flags=0 life=1800 reach=0 retrans=0 mtu=1400 prefix=2001:db8::/64 slla=${HOST_MAC}`;

  test('three soon, at most 16 s apart, then between the least and the greatest interval (§6.2.4)', () => {
    const one = advertising();
    one.take();
    one.run(600 * S);
    const sent = one.take().filter((frame) => frame.text.includes(' ra '));
    expect(new Set(sent.map((frame) => frame.text))).toEqual(new Set([RA]));
    const gaps = sent.slice(1).map((frame, i) => (frame.atUs - sent[i]!.atUs) / S);
    for (const gap of gaps.slice(0, 2)) expect(gap).toBeLessThanOrEqual(16);
    for (const gap of gaps.slice(2)) {
      expect(gap).toBeGreaterThanOrEqual(20);
      expect(gap).toBeLessThanOrEqual(60);
    }
  });

  test('a solicitation is answered within half a second, not within 3 s of the last (§6.2.6)', () => {
    const one = advertising();
    one.run(200 * S);
    one.run(15 * S);
    one.take();
    const before = one.nowUs;
    one.send(nd(rs(slla()), { to: 'ff02::2' }));
    one.run(4 * S);
    const times = one
      .take()
      .filter((frame) => frame.text === RA)
      .map((frame) => frame.atUs - before);
    expect(times.length).toBeGreaterThan(0);
    expect(times[0]).toBeLessThanOrEqual(3.5 * S);
    one.send(nd(rs(slla()), { to: 'ff02::2' }));
    const again = one.run(2 * S);
    expect(again.filter((line) => line === RA).length).toBeLessThanOrEqual(1);
  });

  test.each<[string, Parameters<typeof nd>[0], Parameters<typeof nd>[1]]>([
    ['hop limit 254', rs(slla()), { hop: 254 }],
    ['a wrong checksum', rs(slla()), { isRaw: true }],
    ['code 1', Uint8Array.from(rs(slla()), (b, i) => (i === 1 ? 1 : b)), {}],
    ['less than 8 bytes', rs().slice(0, 7), {}],
    ['an option of length 0', rs([1, 0, 0, 0, 0, 0, 0, 0]), {}],
    ['from :: with a MAC', rs(slla()), { from: '::' }],
  ])('invalid solicitations are discarded: %s (§6.1.1)', (_name, message, change) => {
    const one = advertising();
    one.run(100 * S);
    const quiet = one.stack.deadlineUs();
    one.send(nd(message, { to: 'ff02::2', ...change }));
    expect(one.stack.deadlineUs()).toBe(quiet);
  });

  test('it ceases with lifetime 0, three times, and is a host then (§6.2.5)', () => {
    const one = advertising();
    one.run(100 * S);
    one.take();
    one.stack.autoconf.ceaseAdvertising(2);
    const lines = one.run(60 * S);
    expect(lines).toEqual(new Array<string>(3).fill(RA.replace('life=1800', 'life=0')));
    expect(one.send(pass6())).toEqual([]);
  });

  test('its neighbour advertisements have the router flag (§7.2.4), and it is in the all-routers group (RFC 4291 §2.8)', () => {
    const one = router();
    one.send(nd(join([135, 0, 0, 0, 0, 0, 0, 0], addressBytes(HOST), slla()), { to: 'ff02::1:ff00:1' }));
    expect(one.take()[0]!.text).toBe(`${HOST} > ${PEER} na ${HOST} RSO tlla=${HOST_MAC}`);
    expect(one.send(frame6({ to: 'ff02::2', chain: [[Next.Icmp6, echo()]] }))).toHaveLength(1);
    expect(new FrameHost().meetAll().send(frame6({ to: 'ff02::2', chain: [[Next.Icmp6, echo()]] }))).toEqual([]);
  });
});

describe('forwarding IPv4 (RFC 1812 §5)', () => {
  test.each<[string, Partial<Packet4>, string[]]>([
    ['TTL 9', { ttl: 9 }, [`${PEER4} > ${FAR4} ttl=8 echo id=1 seq=1 data=8`]],
    ['TTL 2', { ttl: 2 }, [`${PEER4} > ${FAR4} ttl=1 echo id=1 seq=1 data=8`]],
    ['TTL 1: time exceeded 0 (§5.3.1)', { ttl: 1 }, [error4('exceeded code=0 0 quoted=36')]],
    ['TTL 0', { ttl: 0 }, [error4('exceeded code=0 0 quoted=36')]],
    ['no route: unreachable 0 (§5.2.7.1)', { to: '198.51.100.1' }, [error4('unreachable code=0 0 quoted=36')]],
    ['the next link’s broadcast address (RFC 2644)', { to: '192.0.2.255' }, []],
    ['the limited broadcast', { to: '255.255.255.255' }, []],
    ['a group', { to: '239.1.1.1' }, []],
    ['in a broadcast frame (§5.3.4)', { mac: 'ff:ff:ff:ff:ff:ff' }, []],
    ['from a link-local address (RFC 3927 §7)', { from: '169.254.1.1' }, []],
    ['from loopback (§5.3.7)', { from: '127.0.0.1' }, []],
    ['from 0.0.0.0', { from: '0.0.0.0' }, []],
    ['a wrong checksum', { isBadSum: true }, []],
    ['a source route (RFC 7126)', { options: [131, 7, 4, 192, 0, 2, 9, 0] }, []],
    [
      'a bad option: parameter problem',
      { options: [200, 0, 0, 0] },
      [error4(`problem code=0 ${21 * 0x1000000} quoted=40`)],
    ],
  ])('%s', (_name, change, want) => {
    expect(router().send(pass4(change))).toEqual(want);
  });

  test('too long with "do not fragment": unreachable 4 and the MTU (RFC 1191 §4)', () => {
    const data = echo(text(1000), 8);
    expect(router({ mtuBytes3: 600 }).send(pass4({ data, fragment: 0x4000 }))).toEqual([
      error4('unreachable code=4 600 quoted=548'),
    ]);
  });

  test('too long without: cut into pieces, options with the copy bit in all of them (RFC 791 §3.2)', () => {
    const data = echo(text(1000), 8);
    const lines = router({ mtuBytes3: 600 }).send(pass4({ data, id: 5, options: [148, 4, 0, 0, 7, 3, 4, 0] }));
    expect(lines).toEqual([
      `${PEER4} > ${FAR4} options=148.4.0.0.7.3.4.0 ttl=63 frag=0+ id=5 data=568`,
      `${PEER4} > ${FAR4} options=148.4.0.0.1.1.1.0 ttl=63 frag=568 id=5 data=440`,
    ]);
  });

  test('record route and timestamp get this router’s address on the way out (§5.3.13)', () => {
    const one = router();
    one.send(pass4({ options: [7, 11, 4, ...new Array<number>(8).fill(0), 0] }));
    expect(one.log.at(-1)!.text).toMatch('options=7.11.8.192.0.2.1.0.0.0.0.0 ttl=63 echo');
    one.send(pass4({ options: [68, 12, 5, 3, ...addressBytes('192.0.2.1'), ...u32(0)] }));
    expect(one.log.at(-1)!.text).toMatch('options=68.12.13.3.192.0.2.1.');
    one.send(pass4({ options: [68, 12, 5, 3, ...addressBytes('192.0.2.77'), ...u32(0)] }));
    expect(one.log.at(-1)!.text).toMatch('options=68.12.5.3.192.0.2.77.0.0.0.0 ');
    expect(one.log.some((sent) => sent.text.includes('BAD'))).toBe(false);
  });

  test('a redirect to the better router on the same link (§5.2.7.2), and the packet is passed on', () => {
    const one = router();
    one.meet('10.0.0.9', '02:00:00:00:00:bb');
    expect(one.send(pass4({ to: '10.0.0.9' }))).toEqual([
      error4('redirect code=1 to 10.0.0.9 quoted=36'),
      `${PEER4} > 10.0.0.9 ttl=63 echo id=1 seq=1 data=8`,
    ]);
  });

  test('a neighbour that does not answer: host unreachable (§5.2.7.1)', () => {
    const one = router();
    one.send(pass4({ to: '192.0.2.7' }));
    expect(one.run(5 * S).at(-1)).toBe(error4('unreachable code=1 0 quoted=36'));
  });
});

test('what comes by the other interface goes the other way', () => {
  const one = router();
  const back = packet6({ from: FAR, to: PEER_GLOBAL, chain: [[Next.Icmp6, echo()]] });
  one.send(join([2, 0, 0, 0, 1, 1], [2, 0, 0, 0, 0, 0x99], [0x86, 0xdd], back), 3);
  expect(tellWithMac(one.last())).toBe(`${PEER_MAC} ${FAR} > ${PEER_GLOBAL} hop=63 echo id=1 seq=1 data=8`);
});
