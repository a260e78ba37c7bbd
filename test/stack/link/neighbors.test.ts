import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Drop } from '../../../core/drop.ts';
import { format } from '../../../stack/address.ts';
import { LIMITS } from '../../../stack/limits.ts';
import { equalAddresses, Family, parseAddress, SocketType, type Stack } from '../../../stack/stack.ts';
import { bytesOf } from '../../kit/hex.ts';
import { HostPair } from '../../kit/stack-kit.ts';
import { Bench, ip, na, ns, OTHER_MAC, OWN_MAC, PEER_MAC, ra, S, sourceMac, targetMac } from '../kit-nd.ts';

const OWN = 'fe80::1';
const PEER = 'fe80::2';
const PEER_TO = '02:00:00:00:00:02';
const [SOLICITED, OVERRIDE, ROUTER] = [0x40, 0x20, 0x80];

function host(): Bench {
  const bench = new Bench();
  bench.own(OWN);
  bench.own('2001:db8::1');
  return bench;
}

/** PEER in a state of RFC 4861 §7.3.2, with PEER_MAC where it has one. */
function inState(state: string): Bench {
  const bench = host();
  if (state === 'INCOMPLETE') bench.send(OWN, PEER);
  else if (state === 'REACHABLE') {
    bench.send(OWN, PEER);
    bench.icmp(PEER, OWN, na(PEER, SOLICITED | OVERRIDE, targetMac(PEER_MAC)));
  } else {
    bench.icmp(PEER, OWN, ns(OWN, sourceMac(PEER_MAC)));
    bench.sent();
    // The answer counts as a packet that is sent, so the entry is in DELAY; a changed address and back makes it STALE.
    if (state === 'STALE') {
      bench.icmp(PEER, OWN, na(PEER, OVERRIDE, targetMac(OTHER_MAC)));
      bench.icmp(PEER, OWN, na(PEER, OVERRIDE, targetMac(PEER_MAC)));
    }
    if (state === 'PROBE') bench.run(5 * S);
  }
  bench.sent();
  expect(bench.state(PEER)).toBe(state);
  return bench;
}

const macOf = (bench: Bench): string | undefined =>
  bench.autoconf.neighbors
    .list()
    .find((one) => one.address === PEER)
    ?.mac.replaceAll(':', '');

describe('resolution', () => {
  test('asks in the solicited-node group with the source of the packet and our address, RFC 4861 §7.2.2', () => {
    const bench = host();
    bench.send('2001:db8::1', '2001:db8::22');
    const [sent] = bench.sent();
    expect(sent!.text).toBe('ns 2001:db8::22 2001:db8::1 > ff02::1:ff00:22 hop 255 to 33:33:ff:00:00:22');
    expect(Buffer.from(sent!.bytes.subarray(78)).toString('hex')).toBe(`0101${OWN_MAC}`);
  });

  test('asks from an own address if the packet that waits has another source, §7.2.2', () => {
    const bench = host();
    bench.send('2001:db8:9::9', '2001:db8::22');
    expect(bench.texts()).toEqual(['ns 2001:db8::22 2001:db8::1 > ff02::1:ff00:22 hop 255 to 33:33:ff:00:00:22']);
  });

  test('asks three times, RetransTimer apart, then refuses what waits, §7.2.2', () => {
    const bench = host();
    const refused: number[] = [];
    bench.autoconf.neighbors.onUnreachable = (iface, at, bytes) =>
      refused.push(iface, bench.slab.bytes[at + 63]!, bytes);
    bench.send(OWN, PEER, 7);
    expect(bench.run(10 * S).map((one) => one.us)).toEqual([0, 1 * S, 2 * S]);
    expect(refused).toEqual([2, 7, 64]);
    expect(bench.state(PEER)).toBe('FAILED');
    expect(bench.shared.drops.counts[Drop.NoNeighbor]).toBe(1);
  });

  test('fails at RetransTimer after the third, not a µs before, §7.2.2', () => {
    const bench = host();
    bench.send(OWN, PEER);
    bench.run(3 * S - 1);
    expect(bench.state(PEER)).toBe('INCOMPLETE');
    bench.run(1);
    expect(bench.state(PEER)).toBe('FAILED');
  });

  test('asks at most once per RetransTimer and neighbour, §7.2.2', () => {
    const bench = host();
    for (let i = 0; i < 50; i++) {
      bench.send(OWN, PEER);
      bench.run(S / 10);
    }
    bench.autoconf.neighbors.remove(2, ip(PEER));
    const bench2 = host();
    const times: number[] = [];
    for (let i = 0; i < 100; i++) {
      bench2.send(OWN, PEER);
      times.push(...bench2.run(S / 10).map((one) => one.us));
    }
    for (let i = 1; i < times.length; i++) expect(times[i]! - times[i - 1]!).toBeGreaterThanOrEqual(0.9 * S);
    expect(times.length).toBeLessThanOrEqual(11);
  });

  test('keeps the newest packets, sends them in order when the answer comes, RFC 1122 §2.3.2.2, RFC 4861 §7.2.5', () => {
    const bench = host();
    for (let mark = 1; mark <= 5; mark++) bench.send(OWN, PEER, mark);
    bench.sent();
    bench.icmp(PEER, OWN, na(PEER, SOLICITED | OVERRIDE, targetMac(PEER_MAC)));
    const sent = bench.sent();
    expect(sent.map((one) => one.bytes[63])).toEqual([3, 4, 5]);
    expect(sent.every((one) => one.text.endsWith(`to ${PEER_TO}`))).toBe(true);
    expect(bench.autoconf.neighbors.heldBytes).toBe(0);
  });

  test('a packet after a failure begins anew, §7.2.2', () => {
    const bench = host();
    bench.send(OWN, PEER);
    bench.run(10 * S);
    bench.send(OWN, PEER);
    expect(bench.texts().length).toBe(1);
    expect(bench.state(PEER)).toBe('INCOMPLETE');
  });
});

// Appendix C and the table of §7.2.5: flags are S solicited, O override; `same` is the address that is cached.
const TABLE: [string, number, string, string, string][] = [
  ['INCOMPLETE', SOLICITED, PEER_MAC, 'REACHABLE', PEER_MAC],
  ['INCOMPLETE', OVERRIDE, PEER_MAC, 'DELAY', PEER_MAC], // STALE, and what waited was sent at once
  ['INCOMPLETE', SOLICITED, '', 'INCOMPLETE', ''],
  ['REACHABLE', SOLICITED, PEER_MAC, 'REACHABLE', PEER_MAC],
  ['REACHABLE', SOLICITED, OTHER_MAC, 'STALE', PEER_MAC],
  ['REACHABLE', 0, OTHER_MAC, 'STALE', PEER_MAC],
  ['STALE', SOLICITED, OTHER_MAC, 'STALE', PEER_MAC],
  ['STALE', 0, OTHER_MAC, 'STALE', PEER_MAC],
  ['PROBE', SOLICITED, OTHER_MAC, 'PROBE', PEER_MAC],
  ['DELAY', SOLICITED, OTHER_MAC, 'DELAY', PEER_MAC],
  ['STALE', SOLICITED | OVERRIDE, PEER_MAC, 'REACHABLE', PEER_MAC],
  ['STALE', SOLICITED | OVERRIDE, OTHER_MAC, 'REACHABLE', OTHER_MAC],
  ['STALE', SOLICITED, PEER_MAC, 'REACHABLE', PEER_MAC],
  ['PROBE', SOLICITED | OVERRIDE, OTHER_MAC, 'REACHABLE', OTHER_MAC],
  ['PROBE', SOLICITED, '', 'REACHABLE', PEER_MAC],
  ['REACHABLE', OVERRIDE, OTHER_MAC, 'STALE', OTHER_MAC],
  ['REACHABLE', OVERRIDE, PEER_MAC, 'REACHABLE', PEER_MAC],
  ['PROBE', OVERRIDE, PEER_MAC, 'PROBE', PEER_MAC],
  ['PROBE', OVERRIDE, OTHER_MAC, 'STALE', OTHER_MAC],
  ['DELAY', 0, '', 'DELAY', PEER_MAC],
];

describe('advertisements, RFC 4861 §7.2.5', () => {
  test.each(TABLE)('%s, flags %i, address %s: %s with %s', (state, flags, mac, next, cached) => {
    const bench = inState(state);
    bench.icmp(PEER, (flags & SOLICITED) !== 0 ? OWN : 'ff02::1', na(PEER, flags, mac === '' ? '' : targetMac(mac)));
    expect([bench.state(PEER), macOf(bench)]).toEqual([next, cached]);
  });

  test('one that nobody asked for makes no entry', () => {
    const bench = host();
    bench.icmp(PEER, 'ff02::1', na(PEER, OVERRIDE, targetMac(PEER_MAC)));
    expect(bench.autoconf.neighbors.count).toBe(0);
  });

  test('a router that says it is none is removed as default router', () => {
    const bench = host();
    bench.autoconf.start(2, { linkLocal: 'none', slaac: false, temporary: false, routerSolicitations: true });
    bench.icmp(PEER, 'ff02::1', ra({ options: sourceMac(PEER_MAC) }));
    expect(bench.autoconf.routers.all().length).toBe(1);
    bench.icmp(PEER, 'ff02::1', na(PEER, OVERRIDE | ROUTER, targetMac(PEER_MAC)));
    expect(bench.autoconf.routers.all().length).toBe(1);
    bench.icmp(PEER, 'ff02::1', na(PEER, OVERRIDE, targetMac(PEER_MAC)));
    expect(bench.autoconf.routers.all()).toEqual([]);
    expect(bench.routes.lookup(ip('2001:db8:5::5'), 0)).toBe(-1);
  });
});

describe('unreachability detection, RFC 4861 §7.3', () => {
  test('REACHABLE is STALE after the reachable time, and asks nothing until it is used', () => {
    const bench = inState('REACHABLE');
    bench.run(bench.iface.reachableUs - 1);
    expect(bench.state(PEER)).toBe('REACHABLE');
    bench.run(1);
    expect(bench.state(PEER)).toBe('STALE');
    expect(bench.run(1000 * S)).toEqual([]);
  });

  test('STALE, used: DELAY for 5 s, then three unicast probes a second apart, then FAILED', () => {
    const bench = inState('STALE');
    bench.send(OWN, PEER);
    bench.sent();
    expect(bench.state(PEER)).toBe('DELAY');
    const start = bench.nowUs;
    const sent = bench.run(20 * S);
    expect(sent.map((one) => one.us - start)).toEqual([5 * S, 6 * S, 7 * S]);
    expect(sent[0]!.text).toBe(`ns fe80::2 fe80::1 > fe80::2 hop 255 to ${PEER_TO}`);
    expect(bench.state(PEER)).toBe('FAILED');
  });

  test('a hint of progress from above makes it REACHABLE again, §7.3.1', () => {
    for (const state of ['STALE', 'DELAY', 'PROBE']) {
      const bench = inState(state);
      bench.autoconf.neighbors.confirm(bench.autoconf.neighbors.lookup(2, ip(PEER)));
      expect(bench.state(PEER)).toBe('REACHABLE');
      expect(bench.run(6 * S)).toEqual([]);
    }
  });

  test('hints keep it REACHABLE for as long as they come', () => {
    const bench = inState('REACHABLE');
    for (let i = 0; i < 10; i++) {
      bench.run(20 * S);
      bench.autoconf.neighbors.confirm(bench.autoconf.neighbors.lookup(2, ip(PEER)));
      expect(bench.state(PEER)).toBe('REACHABLE');
    }
  });

  test('who remembers ways is told when one ceases to answer, and when one answers', () => {
    const bench = host();
    const told: unknown[] = [];
    bench.autoconf.neighbors.onReachability = (iface, address, isUsable) => told.push(iface, format(address), isUsable);
    bench.send(OWN, PEER);
    bench.icmp(PEER, OWN, na(PEER, SOLICITED | OVERRIDE, targetMac(PEER_MAC)));
    bench.icmp(PEER, OWN, na(PEER, SOLICITED | OVERRIDE, targetMac(OTHER_MAC)));
    bench.run(60 * S);
    bench.send(OWN, PEER);
    bench.run(60 * S);
    expect(told).toEqual([2, PEER, true, 2, PEER, false]);
  });

  test('a packet held although the address is known goes at once', () => {
    const bench = inState('REACHABLE');
    const { neighbors } = bench.autoconf;
    const { at, bytes } = bench.frame(OWN, PEER);
    expect(neighbors.hold(neighbors.lookup(2, ip(PEER)), at, bytes)).toBe(Drop.None);
    expect(bench.texts()).toEqual([`ip6 ${OWN} > ${PEER} to ${PEER_TO}`]);
    expect(bench.state(PEER)).toBe('REACHABLE');
  });

  test('nothing is sent on an interface that is down', () => {
    const bench = host();
    bench.iface.isUp = false;
    bench.send(OWN, PEER);
    bench.autoconf.multicast.join(2, ip('ff05::1'));
    expect(bench.run(60 * S)).toEqual([]);
  });

  test('a hint does nothing for INCOMPLETE', () => {
    const bench = inState('INCOMPLETE');
    bench.autoconf.neighbors.confirm(bench.autoconf.neighbors.lookup(2, ip(PEER)));
    expect(bench.state(PEER)).toBe('INCOMPLETE');
  });

  test('the reachable time is drawn from 0.5 … 1.5 of the base, §6.3.2', () => {
    const seen = new Set<number>();
    for (let seed = 1; seed <= 20; seed++) {
      const bench = new Bench({ seed });
      bench.autoconf.start(2);
      expect(bench.iface.reachableUs).toBeGreaterThanOrEqual(15 * S);
      expect(bench.iface.reachableUs).toBeLessThanOrEqual(45 * S);
      seen.add(bench.iface.reachableUs);
    }
    expect(seen.size).toBeGreaterThan(15);
  });
});

function applyStep(bench: Bench, [kind, who, flags]: [number, number, number]): void {
  const peer = `fe80::1${who.toString(16)}`;
  if (kind === 0) bench.send(OWN, peer);
  else if (kind === 1) bench.icmp(peer, OWN, ns(OWN, sourceMac(PEER_MAC)));
  else if (kind === 2) bench.icmp(peer, OWN, na(peer, flags & 0xe0, targetMac(flags & 1 ? PEER_MAC : OTHER_MAC)));
  else if (kind === 3) bench.run(flags * 50_000);
  else bench.autoconf.neighbors.remove(2, ip(peer));
  bench.sent();
}

describe('bounds', () => {
  test('a flood of solicitations fills the table and no more, and spares who is used', () => {
    const limits = { ...LIMITS, neighborsMax: 64 };
    const bench = new Bench({ limits });
    bench.own(OWN);
    bench.send(OWN, PEER);
    bench.icmp(PEER, OWN, na(PEER, SOLICITED | OVERRIDE, targetMac(PEER_MAC)));
    for (let i = 0; i < 5000; i++) {
      bench.icmp(`fe80::1:${i.toString(16)}`, OWN, ns(OWN, sourceMac(OTHER_MAC)));
      bench.sent();
    }
    expect(bench.autoconf.neighbors.count).toBe(64);
    expect(bench.state(PEER)).toBe('REACHABLE');
  });

  test('packets to many silent neighbours are held within bounds', () => {
    const limits = { ...LIMITS, neighborsMax: 128 };
    const bench = new Bench({ limits });
    bench.own(OWN);
    for (let i = 0; i < 3000; i++) {
      for (let k = 0; k < 5; k++) bench.send(OWN, `fe80::2:${i.toString(16)}`);
      bench.sent();
    }
    expect(bench.autoconf.neighbors.count).toBe(128);
    expect(bench.autoconf.neighbors.heldBytes).toBeLessThanOrEqual(128 * LIMITS.neighborPacketsMax * 64);
  });

  test('PERMANENT ones are neither recycled nor changed by peers', () => {
    const limits = { ...LIMITS, neighborsMax: 4 };
    const bench = new Bench({ limits });
    bench.own(OWN);
    for (let i = 0; i < 4; i++)
      expect(bench.autoconf.neighbors.setStatic(2, ip(`fe80::${i + 10}`), bytesOf(PEER_MAC))).toBe(true);
    expect(bench.autoconf.neighbors.setStatic(2, ip(PEER), bytesOf(PEER_MAC))).toBe(false);
    expect(bench.autoconf.neighbors.find(2, ip(PEER))).toBe(-1);
    bench.icmp('fe80::10', OWN, ns(OWN, sourceMac(OTHER_MAC)));
    expect(bench.autoconf.neighbors.list().every((one) => one.state === 'PERMANENT' && one.mac === PEER_TO)).toBe(true);
  });

  test('any sequence of what peers and we do keeps the table whole, and saves and loads', () => {
    const step = fc.tuple(
      fc.integer({ min: 0, max: 4 }),
      fc.integer({ min: 1, max: 12 }),
      fc.integer({ min: 0, max: 255 }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const bench = new Bench({ limits: { ...LIMITS, neighborsMax: 6 } });
        bench.own(OWN);
        for (const one of steps) {
          applyStep(bench, one);
          expect(bench.autoconf.neighbors.count).toBeLessThanOrEqual(6);
          expect(bench.autoconf.neighbors.list().length).toBe(bench.autoconf.neighbors.count);
        }
        const twin = new Bench({ limits: { ...LIMITS, neighborsMax: 6 } });
        twin.load(bench.save(), bench.nowUs);
        expect(twin.save()).toEqual(bench.save());
      }),
      { numRuns: 40 },
    );
  });
});

test('a restored cache in the middle of resolution and probing goes on alike, to the byte and the µs', () => {
  const bench = inState('DELAY');
  bench.send(OWN, 'fe80::77');
  bench.sent();
  bench.run(S / 2);
  const twin = bench.twin();
  twin.autoconf.neighbors.list();
  expect(twin.run(30 * S)).toEqual(bench.run(30 * S));
  expect(twin.save()).toEqual(bench.save());
});

test.each([
  ['10.0.0.1', 'ARP'],
  ['fd00::1', 'neighbour discovery'],
])('who knows better whose %s is, is asked before %s is believed', (text) => {
  const { pair, a, b } = new HostPair({ link: { delayUs: 100 } });
  const { neighbors } = b.autoconf;
  const address = parseAddress(text)!;
  const run = (us: number): void => {
    pair.world.touch(pair.a);
    pair.world.touch(pair.b);
    pair.run(us);
  };
  const send = (from: Stack, to: string): void => {
    const u = from.sockets.socket(to.includes(':') ? Family.Inet6 : Family.Inet, SocketType.Datagram);
    from.sockets.sendTo(u, Uint8Array.of(1), 0, 1, parseAddress(to)!, 9);
    run(10_000);
    from.sockets.close(u);
  };
  const asked: number[] = [];
  neighbors.mayHave = (one, mac) => {
    if (equalAddresses(one, address)) asked.push(mac);
    return !equalAddresses(one, address);
  };
  send(a, text.replace(/1$/, '2')); // it asks for us and tells its own
  send(b, text); // it answers
  expect(new Set(asked)).toEqual(new Set([0x020000000001]));
  expect(asked.length).toBeGreaterThanOrEqual(2);
  const n = neighbors.lookup(2, address);
  expect(n < 0 ? 0 : neighbors.macOf(n)).toBe(0);
  neighbors.mayHave = undefined;
  run(10_000_000);
  send(b, text);
  expect(neighbors.macOf(neighbors.lookup(2, address))).toBe(0x020000000001);
});
