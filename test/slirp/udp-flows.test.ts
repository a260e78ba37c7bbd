// RFC 4787, requirement by requirement, RFC 7915 where families differ, and bounds: in virtual time.

import { describe, expect, test } from 'vitest';
import { Verdict } from '../../slirp/slirp.ts';
import { type UdpFiltering, UdpFlows, type UdpOptions } from '../../slirp/udp-flows.ts';
import { Errno, formatAddress, parseAddress, SocketOption } from '../../stack/stack.ts';
import * as ipv4 from '../../wire/ipv4.ts';
import { A, A6, B, B6, GATEWAY, GATEWAY6, GatewayRig, payload, text, words } from '../kit/gateway-rig.ts';
import { HOST_4, HOST_6 } from '../kit/sim-datagrams.ts';

const S = 1_000_000;
const FAR = '192.0.2.7';
const FAR2 = '192.0.2.8';
const FAR6 = '2001:db8::7';
const MAPPED = '64:ff9b::c000:207'; // FAR

type Rig = GatewayRig<UdpFlows>;
type Options = Partial<UdpOptions>;
type RigOptions = ConstructorParameters<typeof GatewayRig>[1];

function newRig(options: Options = {}, rigOptions: RigOptions = {}): Rig {
  const isHost: UdpOptions['isHost'] = (address) => [HOST_4, HOST_6].includes(formatAddress(address));
  return new GatewayRig((parts) => new UdpFlows(parts, { isHost, ...options }), rigOptions);
}

/** A host's socket, of the only mapping or the last datagram. */
const lastSocket = (rig: Rig): number => rig.outside.sent.at(-1)!.h;
const lastFrom = (rig: Rig): string => rig.outside.sent.at(-1)!.from;

describe('there and back', () => {
  test.each([
    ['IPv4', A, FAR, `${FAR}:4000`, `${FAR}:4000`, `${HOST_4}:5000`],
    ['IPv6', A6, FAR6, `[${FAR6}]:4000`, `[${FAR6}]:4000`, `[${HOST_6}]:5000`],
    ['an IPv6 guest and an IPv4 target', A6, MAPPED, `${FAR}:4000`, `[${MAPPED}]:4000`, `${HOST_4}:5000`],
    ['the host itself, IPv4', A, GATEWAY, '127.0.0.1:4000', `${GATEWAY}:4000`, `${HOST_4}:5000`],
    ['the host itself, IPv6', A6, GATEWAY6, '[::1]:4000', `[${GATEWAY6}]:4000`, `[${HOST_6}]:5000`],
  ])('%s', (_, guest, target, outside, name, from) => {
    const rig = newRig();
    rig.outside.place(outside, ({ bytes }) => text(`${words(bytes)} back`));
    const u = rig.udp(guest, 5000);
    rig.guests.sockets.setOption(u, guest === A ? SocketOption.Ttl : SocketOption.UnicastHops, 17);
    rig.guests.sockets.setOption(u, guest === A ? SocketOption.Tos : SocketOption.TrafficClass, 0x48);
    rig.send(u, target, 4000, text('there'));
    rig.run();
    expect(rig.outside.sent).toHaveLength(1);
    expect(rig.outside.sent[0]).toMatchObject({ to: outside, from, hops: 16, trafficClass: 0x48 });
    const got = rig.got(u);
    expect(got.map(({ from, bytes }) => [from, words(bytes)])).toEqual([[name, 'there back']]);
    expect(got[0]!.hops).toBe(63); // the gateway is a router
    expect(rig.counters).toMatchObject({ udpOpened: 1, udpDatagramsOut: 1, udpDatagramsIn: 1, udpBytesOut: 5 });
    expect(rig.counters.udpBytesIn).toBe(10);
  });

  test.each([0, 1, 1472, 1473, 9000, 60_000, 65_507])('%i bytes, in pieces where needed (REQ-14)', (bytes) => {
    const rig = newRig();
    rig.outside.place(`${FAR}:4000`, (datagram) => datagram.bytes.slice().reverse());
    const u = rig.udp(A, 5000);
    rig.guests.sockets.setOption(u, SocketOption.MtuDiscover, 0);
    const sent = payload(bytes);
    rig.send(u, FAR, 4000, sent);
    rig.run(20_000);
    expect(rig.outside.sent[0]!.bytes).toEqual(sent);
    expect(rig.got(u)[0]!.bytes).toEqual(sent.slice().reverse());
  });

  test('what is behind a port of its own is known by the port that the guest used', () => {
    const rig = newRig();
    rig.targets.leads.set(`${GATEWAY}:53`, ['192.0.2.53', 5353]);
    rig.outside.place('192.0.2.53:5353', () => text('answer'));
    const u = rig.udp(A, 5000);
    rig.send(u, GATEWAY, 53, text('question'));
    rig.run();
    expect(rig.got(u)[0]!.from).toBe(`${GATEWAY}:53`);
  });

  test('one hop is enough to the gateway itself', () => {
    const rig = newRig();
    const u = rig.udp(A, 5000);
    rig.guests.sockets.setOption(u, SocketOption.Ttl, 1);
    rig.send(u, GATEWAY, 4000, text('near'));
    rig.send(u, FAR, 4000, text('far'));
    rig.run();
    expect(rig.outside.sent.map(({ bytes, hops }) => [words(bytes), hops])).toEqual([['near', 1]]);
    expect(rig.errors(u)).toMatchObject([{ type: 11, reporter: GATEWAY }]);
  });

  test('a rule is asked for a flow, not for a datagram', () => {
    const rig = newRig();
    const u = rig.udp(A, 5000);
    for (let i = 0; i < 10; i++) {
      rig.send(u, FAR, 4000, text(`${i}`));
      rig.run();
    }
    expect(rig.targets.asked).toBe(1);
    rig.send(u, FAR, 4001, text('another port'));
    rig.run();
    expect(rig.targets.asked).toBe(2);
    expect(rig.outside.open).toBe(1);
  });
});

describe('mapping', () => {
  test('REQ-1: one socket for all targets of a family', () => {
    const rig = newRig();
    const u = rig.udp(A, 5000);
    for (const [to, port] of [
      [FAR, 4000],
      [FAR, 4001],
      [FAR2, 4000],
      ['203.0.113.9', 53],
    ] as const) {
      rig.send(u, to, port, text('x'));
      rig.run();
    }
    expect(new Set(rig.outside.sent.map(({ from }) => from))).toEqual(new Set([`${HOST_4}:5000`]));
    expect(rig.outside.open).toBe(1);
  });

  test('REQ-3: the port is kept where it is free, and never shared', () => {
    const rig = newRig();
    rig.outside.takenPorts.add(6000);
    for (const [guest, port] of [
      [A, 5000],
      [B, 5000],
      [A6, 5000],
      [A, 6000],
      [A, 700],
    ] as const)
      rig.send(rig.udp(guest, port), guest === A6 ? FAR6 : FAR, 4000, text(`${guest} ${port}`));
    rig.run();
    const ports = new Map(rig.outside.sent.map(({ from, bytes }) => [words(bytes), from]));
    expect(ports.get(`${A} 5000`)).toBe(`${HOST_4}:5000`);
    expect(ports.get(`${A6} 5000`)).toBe(`[${HOST_6}]:5000`);
    expect(new Set(ports.values()).size).toBe(5);
    // REQ-3 (a): what is above 1023 stays there.
    for (const where of ports.values()) expect(Number(where.split(':').at(-1))).toBeGreaterThan(1023);
  });

  test('REQ-2: sockets have the outbound address', () => {
    const rig = newRig();
    rig.targets.source4 = Int32Array.of(0, 0, 0xffff, 0xc6336405 | 0);
    rig.send(rig.udp(A, 5000), FAR, 4000, text('x'));
    rig.run();
    expect(lastFrom(rig)).toBe('198.51.100.5:5000');
  });

  test('an IPv6 guest has a socket of each family', () => {
    const rig = newRig();
    const u = rig.udp(A6, 5000);
    rig.send(u, FAR6, 4000, text('x'));
    rig.send(u, MAPPED, 4000, text('x'));
    rig.run();
    expect(rig.outside.sent.map(({ from }) => from).sort()).toEqual([`${HOST_4}:5000`, `[${HOST_6}]:5000`]);
  });
});

describe('REQ-5, REQ-6: timers', () => {
  /** How long after `sinceUs` the mapping lasted, to the µs. */
  function lifeUs(rig: Rig, sinceUs: number): number {
    const deadlineUs = rig.flows.deadlineUs();
    rig.runTo(deadlineUs - 1);
    expect(rig.outside.open).toBe(1);
    rig.runTo(deadlineUs);
    if (rig.outside.open === 0) return deadlineUs - sinceUs;
    return lifeUs(rig, sinceUs);
  }

  /** When the gateway last got something. */
  const used = (rig: Rig): number => rig.flows.table.usedUs(0);

  test.each([
    ['a question to a well-known port', 53, false, 30],
    ['an exchange with a well-known port (REQ-5a)', 53, true, 30],
    ['a datagram to any other port', 4000, false, 120],
    ['an exchange with any other port', 4000, true, 120],
  ])('%s', (_, port, isAnswered, seconds) => {
    const rig = newRig();
    if (isAnswered) rig.outside.place(`${FAR}:${port}`, () => text('answer'));
    rig.send(rig.udp(A, 5000), FAR, port, text('x'));
    rig.run();
    expect(lifeUs(rig, used(rig))).toBe(seconds * S);
    expect(rig.caps.total).toBe(0);
  });

  test.each([
    [1.9, 30],
    [2.1, 120],
  ])('an answered exchange with a well-known port that goes on for %d s', (after, seconds) => {
    const rig = newRig();
    rig.outside.place(`${FAR}:443`, () => text('answer'));
    const u = rig.udp(A, 5000);
    rig.send(u, FAR, 443, text('x'));
    rig.run(after * S);
    rig.send(u, FAR, 443, text('y'));
    rig.run();
    expect(lifeUs(rig, used(rig))).toBe(seconds * S);
  });

  test.each([
    [false, 0],
    [true, 100 * S],
  ])('what comes in refreshes: %s', (inboundRefreshes, laterUs) => {
    const rig = newRig({ inboundRefreshes });
    rig.send(rig.udp(A, 5000), FAR, 4000, text('x'));
    rig.run();
    const sinceUs = used(rig);
    rig.runTo(sinceUs + 100 * S);
    rig.outside.inject(`${FAR}:4000`, `${HOST_4}:5000`, text('in'));
    rig.run(0);
    expect(lifeUs(rig, sinceUs)).toBe(laterUs + 120 * S);
  });

  test('what goes out refreshes', () => {
    const rig = newRig();
    const u = rig.udp(A, 5000);
    for (let i = 0; i < 5; i++) {
      rig.send(u, FAR, 4000, text('x'));
      rig.run(100 * S);
    }
    expect(rig.counters.udpOpened).toBe(1);
    expect(lifeUs(rig, used(rig))).toBe(120 * S);
  });

  test('a remote that was not used for as long has to be allowed anew, and may not come in', () => {
    const rig = newRig();
    const u = rig.udp(A, 5000);
    rig.send(u, FAR, 4000, text('x'));
    rig.run(100 * S);
    rig.send(u, FAR2, 4000, text('x'));
    rig.run(30 * S);
    rig.outside.inject(`${FAR}:4000`, `${HOST_4}:5000`, text('late'));
    rig.outside.inject(`${FAR2}:4000`, `${HOST_4}:5000`, text('in time'));
    rig.run();
    expect(rig.got(u).map(({ bytes }) => words(bytes))).toEqual(['in time']);
    rig.targets.verdicts.set(FAR, Verdict.Prohibited);
    rig.send(u, FAR, 4000, text('x'));
    rig.run();
    expect(rig.counters).toMatchObject({ filtered: 1, prohibited: 1 });
  });
});

describe('REQ-8: filtering', () => {
  test.each<[UdpFiltering, boolean, boolean, boolean]>([
    ['endpoint', true, true, true],
    ['address', true, true, false],
    ['address-port', true, false, false],
  ])('%s', (filtering, fromPort, fromAddress, fromAnybody) => {
    const rig = newRig({ filtering });
    const u = rig.udp(A, 5000);
    rig.send(u, FAR, 4000, text('x'));
    rig.run();
    const comes = (from: string): boolean => {
      rig.outside.inject(from, `${HOST_4}:5000`, text(from));
      rig.run();
      const got = rig.got(u);
      for (const one of got) expect([one.from, words(one.bytes)]).toEqual([from, from]);
      return got.length === 1;
    };
    expect([comes(`${FAR}:4000`), comes(`${FAR}:4001`), comes(`${FAR2}:4000`)]).toEqual([
      fromPort,
      fromAddress,
      fromAnybody,
    ]);
    expect(rig.counters.filtered).toBe([fromPort, fromAddress, fromAnybody].filter((yes) => !yes).length);
  });

  test('who has no name does not reach a guest', () => {
    const rig = newRig({ filtering: 'endpoint' });
    const u = rig.udp(A, 5000);
    rig.send(u, FAR, 4000, text('x'));
    rig.run();
    rig.targets.nameless.add('172.16.0.1');
    rig.outside.inject('172.16.0.1:4000', `${HOST_4}:5000`, text('x'));
    rig.run();
    expect(rig.got(u)).toEqual([]);
    expect(rig.counters.unnamed).toBe(1);
  });
});

describe('REQ-9: hairpins', () => {
  test.each([
    ['IPv4', A, B, HOST_4, FAR],
    ['IPv6', A6, B6, HOST_6, FAR6],
  ])(
    '%s: two guests behind one gateway see each other outside, whatever rules say of the host',
    (_, a, b, host, far) => {
      const rig = newRig();
      rig.targets.verdicts.set(host, Verdict.Prohibited);
      const [ua, ub] = [rig.udp(a, 5000), rig.udp(b, 6000)];
      rig.send(ua, far, 4000, text('who am I')); // as to a STUN server
      rig.send(ub, far, 4000, text('who am I'));
      rig.run();
      rig.send(ua, host, 6000, text('punch')); // B has not sent there yet: filtered
      rig.run();
      expect(rig.got(ub)).toEqual([]);
      rig.send(ub, host, 5000, text('from B'));
      rig.send(ua, host, 6000, text('from A'));
      rig.run();
      const where = (port: number): string => (host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`);
      expect(rig.got(ua).map(({ from, bytes, hops }) => [from, words(bytes), hops])).toEqual([
        [where(6000), 'from B', 63],
      ]);
      expect(rig.got(ub).map(({ from, bytes }) => [from, words(bytes)])).toEqual([[where(5000), 'from A']]);
      expect(rig.outside.sent).toHaveLength(2); // nothing else left
    },
  );

  test('a guest without a mapping gets one by it', () => {
    const rig = newRig({ filtering: 'endpoint' });
    rig.targets.verdicts.set(HOST_4, Verdict.Prohibited);
    const [ua, ub] = [rig.udp(A, 5000), rig.udp(B, 5000)];
    rig.send(ub, FAR, 4000, text('x'));
    rig.run();
    rig.send(ua, HOST_4, 5000, text('hello'));
    rig.run();
    const [got] = rig.got(ub);
    expect(got!.from).toMatch(new RegExp(`^${HOST_4}:4\\d{4}$`)); // 5000 was taken
    rig.send(ub, HOST_4, Number(got!.from.split(':')[1]), text('and back'));
    rig.run();
    expect(rig.got(ua).map(({ from, bytes }) => [from, words(bytes)])).toEqual([[`${HOST_4}:5000`, 'and back']]);
  });

  test('a port of the host that is nobody’s mapping is for rules to allow, and a mapping that ended is no place', () => {
    const rig = newRig();
    rig.targets.verdicts.set(HOST_4, Verdict.Prohibited);
    const [ua, ub] = [rig.udp(A, 5000), rig.udp(B, 6000)];
    rig.send(ua, HOST_4, 7000, text('x'));
    rig.run();
    expect(rig.errors(ua)).toMatchObject([{ type: 3, code: 13, reporter: GATEWAY, to: `${HOST_4}:7000` }]);
    rig.send(ub, FAR, 53, text('x'));
    rig.run();
    rig.send(ua, HOST_4, 6000, text('x'));
    rig.run(31 * S);
    rig.errors(ua);
    rig.send(ua, HOST_4, 6000, text('x'));
    rig.run();
    expect(rig.errors(ua)).toMatchObject([{ type: 3, code: 3, reporter: HOST_4 }]);
    expect(rig.got(ub)).toEqual([]);
  });
});

describe('errors', () => {
  test.each([
    [Verdict.Prohibited, A, FAR, 3, 13, GATEWAY],
    [Verdict.Refused, A, FAR, 3, 3, FAR],
    [Verdict.Unreachable, A, FAR, 3, 0, GATEWAY],
    [Verdict.Prohibited, A6, FAR6, 1, 1, GATEWAY6],
    [Verdict.Refused, A6, FAR6, 1, 4, FAR6],
    [Verdict.Unreachable, A6, FAR6, 1, 0, GATEWAY6],
    [Verdict.Refused, A6, MAPPED, 1, 4, MAPPED],
  ])('verdict %i of %s to %s is type %i code %i from %s', (verdict, guest, to, type, code, reporter) => {
    const rig = newRig();
    rig.targets.verdicts.set(to, verdict);
    const u = rig.udp(guest, 5000);
    rig.send(u, to, 4000, text('refused'));
    rig.run();
    const where = to.includes(':') ? `[${to}]:4000` : `${to}:4000`;
    const errors = rig.errors(u);
    expect(errors).toMatchObject([{ type, code, reporter, to: where }]);
    expect(words(errors[0]!.bytes)).toBe('refused');
    expect(rig.outside.open).toBe(0);
    expect(rig.counters.errorsToGuests).toBe(1);
    expect(rig.counters.prohibited).toBe(verdict === Verdict.Prohibited ? 1 : 0);
  });

  test.each([
    ['port unreachable', A, FAR, { errno: 111, type: 3, code: 3, reporter: FAR }, [3, 3, 0, FAR]],
    [
      'host unreachable by a router',
      A,
      FAR,
      { errno: 113, type: 3, code: 1, reporter: '203.0.113.1' },
      [3, 1, 0, '203.0.113.1'],
    ],
    [
      'fragmentation needed',
      A,
      FAR,
      { errno: 90, type: 3, code: 4, info: 1400, reporter: '203.0.113.1' },
      [3, 4, 1400, '203.0.113.1'],
    ],
    ['port unreachable 6', A6, FAR6, { errno: 111, type: 1, code: 4, reporter: FAR6 }, [1, 4, 0, FAR6]],
    [
      'too big 6',
      A6,
      FAR6,
      { errno: 90, type: 2, code: 0, info: 1400, reporter: '2001:db8::1' },
      [2, 0, 1400, '2001:db8::1'],
    ],
    ['port unreachable 64', A6, MAPPED, { errno: 111, type: 3, code: 3, reporter: FAR }, [1, 4, 0, MAPPED]],
    [
      'too big 64',
      A6,
      MAPPED,
      { errno: 90, type: 3, code: 4, info: 1400, reporter: '203.0.113.1' },
      [2, 0, 1420, '64:ff9b::cb00:7101'],
    ],
    [
      'TTL exceeded 64',
      A6,
      MAPPED,
      { errno: 113, type: 11, code: 0, reporter: '203.0.113.1' },
      [3, 0, 0, '64:ff9b::cb00:7101'],
    ],
    [
      'from one without a name',
      A,
      FAR,
      { errno: 113, type: 11, code: 0, reporter: '192.168.7.1' },
      [11, 0, 0, GATEWAY],
    ],
  ] as const)(
    '%s is told as it came, and the mapping stays (REQ-12)',
    (_, guest, to, error, [type, code, info, reporter]) => {
      const rig = newRig();
      rig.targets.nameless.add('192.168.7.1');
      const u = rig.udp(guest, 5000);
      const sent = text('did it arrive?');
      rig.send(u, to, 4000, sent);
      rig.run();
      const target = to === MAPPED ? FAR : to;
      rig.outside.fail(lastSocket(rig), { ...error, target, port: 4000, bytes: sent });
      rig.run();
      const where = to.includes(':') ? `[${to}]:4000` : `${to}:4000`;
      const errors = rig.errors(u);
      expect(errors.map((e) => [e.type, e.code, e.info, e.reporter, e.to])).toEqual([
        [type, code, info, reporter, where],
      ]);
      expect(errors[0]!.bytes).toEqual(sent);
      rig.outside.inject(
        to.includes(':') && to !== MAPPED ? `[${to}]:4000` : `${target}:4000`,
        lastFrom(rig),
        text('yes'),
      );
      rig.run();
      expect(rig.got(u).map(({ bytes }) => words(bytes))).toEqual(['yes']);
    },
  );

  test('an error about what a guest did not send is nobody’s', () => {
    const rig = newRig();
    const u = rig.udp(A, 5000);
    rig.send(u, FAR, 4000, text('x'));
    rig.run();
    rig.outside.fail(lastSocket(rig), { errno: 111, type: 3, code: 3, reporter: FAR2, target: FAR2, port: 4000 });
    rig.run();
    expect(rig.errors(u)).toEqual([]);
    expect(rig.counters.filtered).toBe(1);
  });

  test.each([
    ['IPv4', A, FAR, SocketOption.Ttl],
    ['IPv6', A6, FAR6, SocketOption.UnicastHops],
    ['through NAT64', A6, MAPPED, SocketOption.UnicastHops],
  ])('traceroute, %s: the gateway, real routers, the target', (_, guest, to, option) => {
    const rig = newRig();
    rig.outside.routers4 = ['203.0.113.1', '203.0.113.2'];
    rig.outside.routers6 = ['2001:db8::1', '2001:db8::2'];
    const u = rig.udp(guest, 5000);
    const hops: string[] = [];
    for (let ttl = 1; ttl <= 3; ttl++) {
      rig.guests.sockets.setOption(u, option, ttl);
      rig.send(u, to, 33_434 + ttl, text('probe'));
      rig.run();
      const [error] = rig.errors(u);
      expect(error!.type).toBe(guest === A ? 11 : 3);
      hops.push(error!.reporter);
    }
    const routers = { [FAR]: rig.outside.routers4, [FAR6]: rig.outside.routers6 }[to];
    expect(hops).toEqual([
      guest === A ? GATEWAY : GATEWAY6,
      ...(routers ?? ['64:ff9b::cb00:7101', '64:ff9b::cb00:7102']),
    ]);
  });

  test.each([
    [A, FAR, SocketOption.MtuDiscover, 1400 - 28, [3, 4, 1400]],
    [A6, FAR6, SocketOption.MtuDiscover6, 1400 - 48, [2, 0, 1400]],
    [A6, MAPPED, SocketOption.MtuDiscover6, 1400 - 28, [2, 0, 1420]],
  ])('REQ-13: what may not be cut and is too long for %s’s path to %s', (guest, to, option, most, told) => {
    const rig = newRig();
    rig.outside.mtuBytes = 1400;
    const u = rig.udp(guest, 5000);
    rig.guests.sockets.setOption(u, option, 2);
    rig.send(u, to, 4000, payload(most));
    rig.run();
    expect(rig.outside.sent).toHaveLength(1);
    expect(rig.outside.sent[0]!.isWhole).toBe(true);
    rig.send(u, to, 4000, payload(most + 1));
    rig.run();
    const errors = rig.errors(u);
    expect(errors.map(({ type, code, info }) => [type, code, info])).toEqual([told]);
    expect(errors[0]!.reporter).toBe(guest === A ? GATEWAY : GATEWAY6);
    expect(errors[0]!.bytes).toEqual(payload(most + 1).subarray(0, errors[0]!.bytes.length));
    expect(errors[0]!.bytes.length).toBeGreaterThan(400);
    expect(rig.outside.sent).toHaveLength(1);
  });

  test('RFC 7915 §5.1: IPv6 packets of up to 1280 bytes may be cut behind NAT64', () => {
    const rig = newRig();
    rig.outside.mtuBytes = 1000;
    const u = rig.udp(A6, 5000);
    rig.send(u, MAPPED, 4000, payload(1280 - 48));
    rig.send(u, MAPPED, 4000, payload(1280 - 47));
    rig.run();
    expect(rig.outside.sent.map(({ bytes, isWhole }) => [bytes.length, isWhole])).toEqual([[1232, false]]);
    expect(rig.errors(u)).toMatchObject([{ type: 2, info: 1280 }]);
  });

  test('without DF the host may cut', () => {
    const rig = newRig();
    rig.outside.mtuBytes = 1000;
    const u = rig.udp(A, 5000);
    rig.guests.sockets.setOption(u, SocketOption.MtuDiscover, 0);
    rig.send(u, FAR, 4000, payload(1600));
    rig.run();
    expect(rig.outside.sent).toMatchObject([{ isWhole: false }]);
  });

  test.each([
    [Errno.ENETUNREACH, 3, 0],
    [Errno.EHOSTUNREACH, 3, 1],
    [Errno.EACCES, 3, 13],
    [Errno.EPERM, 3, 13],
  ])('the host refuses with errno %i: type %i code %i', (errno, type, code) => {
    const rig = newRig();
    rig.outside.refuses = errno;
    const u = rig.udp(A, 5000);
    for (let i = 0; i < 3; i++) rig.send(u, FAR, 4000, text(`${i}`));
    rig.run();
    expect(rig.errors(u).map((e) => [e.type, e.code, words(e.bytes)])).toEqual(
      ['0', '1', '2'].map((i) => [type, code, i]),
    );
  });

  test('an error of an earlier datagram does not stop a later one', () => {
    const rig = newRig();
    const u = rig.udp(A, 5000);
    rig.send(u, FAR, 4000, text('first'));
    rig.run();
    const h = lastSocket(rig);
    rig.outside.fail(h, { errno: 111, type: 3, code: 3, reporter: FAR, target: FAR, port: 4000, bytes: text('first') });
    rig.send(u, FAR2, 4000, text('second'));
    rig.run();
    expect(rig.outside.sent.map(({ bytes }) => words(bytes))).toEqual(['first', 'second']);
    expect(rig.errors(u)).toHaveLength(1);
  });

  test('what a full socket does not take is lost, and counted', () => {
    const rig = newRig();
    const u = rig.udp(A, 5000);
    rig.outside.isBlocked = true;
    for (let i = 0; i < 5; i++) rig.send(u, FAR, 4000, text('x'));
    rig.run();
    rig.outside.isBlocked = false;
    rig.send(u, FAR, 4000, text('y'));
    rig.run();
    expect(rig.outside.sent).toHaveLength(1);
    expect(rig.counters.lost).toBe(5);
  });
});

describe('bounds', () => {
  /** Sends from ports `first` … of a guest, one datagram each. */
  function flood(rig: Rig, guest: string, count: number, port = 4000, first = 10_000): void {
    for (let i = 0; i < count; i++) {
      const h = rig.udp(guest, first + i);
      rig.send(h, FAR, port, text(`${first + i}`));
      rig.guests.sockets.close(h);
      if (i % 64 === 63) rig.run();
    }
    rig.run();
  }

  test('5,000 mappings, each with its own answer', () => {
    const rig = newRig();
    flood(rig, A, 5000);
    expect(rig.outside.open).toBe(5000);
    expect(new Set(rig.outside.sent.map(({ from }) => from)).size).toBe(5000);
    expect([...rig.flows.flows()]).toHaveLength(5000);
    for (const i of [0, 1, 2500, 4999]) {
      const u = rig.udp(A, 10_000 + i);
      rig.outside.inject(`${FAR}:4000`, `${HOST_4}:${10_000 + i}`, text(`for ${i}`));
      rig.run();
      expect(rig.got(u).map(({ bytes }) => words(bytes))).toEqual([`for ${i}`]);
    }
    rig.run(121 * S);
    expect(rig.outside.open).toBe(0);
    expect(rig.flows.table.mappings + rig.flows.table.remotes).toBe(0);
    expect(rig.flows.deadlineUs()).toBe(Infinity);
  });

  test('a full table refuses new mappings until old ones end; who has one goes on', () => {
    const rig = newRig({ mappingsMax: 4 });
    flood(rig, A, 6);
    expect(rig.outside.open).toBe(4);
    expect(rig.counters.guestFull).toBe(2);
    expect(rig.caps.total).toBe(4);
    const u = rig.udp(A, 10_000);
    rig.send(u, FAR2, 4000, text('goes on'));
    rig.run();
    expect(words(rig.outside.sent.at(-1)!.bytes)).toBe('goes on');
    rig.guests.sockets.close(u);
    rig.run(121 * S);
    flood(rig, A, 1);
    expect(rig.outside.open).toBe(1);
  });

  test('full, exchanges that are done make room, the longest idle first', () => {
    const rig = newRig({ mappingsMax: 4 });
    rig.outside.place(`${FAR}:53`, () => text('answer'));
    flood(rig, A, 1, 4000, 9000); // lasting
    for (let i = 0; i < 20; i++) {
      flood(rig, A, 1, 53, 10_000 + i);
      rig.run(S);
    }
    expect(rig.counters.guestFull).toBe(0);
    expect([...rig.flows.flows()].map(({ guest }) => guest.split(':')[1]).sort()).toEqual([
      '10017',
      '10018',
      '10019',
      '9000',
    ]);
  });

  test('a guest that floods takes nothing from another', () => {
    const rig = newRig();
    rig.caps.perGuest = 100;
    const u = rig.udp(B, 5000);
    rig.outside.place(`${FAR}:4000`, ({ bytes }) => bytes);
    flood(rig, A, 500);
    expect(rig.counters.guestFull).toBe(400);
    rig.send(u, FAR, 4000, text('still here'));
    rig.run();
    expect(rig.got(u).map(({ bytes }) => words(bytes))).toEqual(['still here']);
  });

  test('remotes: a guest that sends everywhere forgets its own; every mapping has one', () => {
    const rig = newRig({ mappingsMax: 8, remotesMax: 16, remotesOfOneMax: 12 });
    rig.outside.place(`${FAR}:4000`, ({ bytes }) => bytes);
    const greedy = rig.udp(A, 5000);
    const other = rig.udp(A, 5001);
    const modest = rig.udp(B, 5000);
    for (const u of [greedy, other])
      for (let port = 20_000; port < 20_100; port++) {
        rig.send(u, FAR2, port, text('x'));
        rig.run();
      }
    expect(rig.flows.table.remotes).toBe(12 + 6); // one more than the pool each
    rig.send(modest, FAR, 4000, text('one is enough'));
    rig.run();
    expect(rig.got(modest)).toHaveLength(1);
    rig.send(modest, '192.0.2.9', 4000, text('x'));
    rig.run();
    expect(rig.flows.table.remotes).toBe(12 + 6 + 1);
    rig.outside.inject(`${FAR2}:20099`, `${HOST_4}:5000`, text('last'));
    rig.outside.inject(`${FAR2}:20000`, `${HOST_4}:5000`, text('other port, same address'));
    rig.run();
    expect(rig.got(greedy)).toHaveLength(2);
  });

  test('remotes: a guest that takes all that it may leaves others theirs', () => {
    const rig = newRig({ mappingsMax: 8, remotesMax: 40, remotesOfStationMax: 10, remotesOfOneMax: 12 });
    const greedy = [5000, 5001, 5002].map((port) => rig.udp(A, port));
    const modest = rig.udp(B, 5000);
    for (let i = 0; i < 20; i++) {
      for (const u of greedy) rig.send(u, FAR2, 20_000 + i, text('x'));
      rig.run();
    }
    expect(rig.flows.table.remotes).toBe(10 + 3);
    for (let i = 0; i < 5; i++) rig.send(modest, FAR, 4000 + i, text('x'));
    rig.run();
    expect(rig.flows.table.remotes).toBe(10 + 3 + 5);
    rig.run(121 * S);
    expect(rig.flows.table.remotes).toBe(0);
    for (let i = 0; i < 20; i++) rig.send(greedy[0]!, FAR2, 20_000 + i, text('x'));
    rig.run();
    expect(rig.flows.table.remotes).toBe(10 + 1);
  });

  test('the host has no descriptor', () => {
    const rig = newRig();
    rig.outside.socketsMax = 2;
    flood(rig, A, 3);
    expect(rig.counters.hostFull).toBe(1);
    expect(rig.caps.total).toBe(2);
  });

  test.each([
    ['to port 0', A, 5000, 0],
    ['from port 0', A, 0, 4000],
    ['from nobody', '0.0.0.0', 5000, 4000],
    ['from the loopback', '127.0.0.1', 5000, 4000],
    ['from a group', '224.0.0.1', 5000, 4000],
  ])('nonsense opens nothing: %s', (_, from, sourcePort, port) => {
    const rig = newRig();
    const packet = new Uint8Array(28);
    const view = new DataView(packet.buffer);
    const send = (source: string, sourcePort: number, port: number): void => {
      packet.set([0x45, 0, 0, 28, 0, 1, 0, 0, 64, 17]);
      view.setInt32(12, parseAddress(source)![3]!);
      view.setInt32(16, parseAddress(FAR)![3]!);
      view.setUint16(20, sourcePort);
      view.setUint16(22, port);
      view.setUint16(24, 8);
      ipv4.seal(view, 0);
      rig.frame(0x0800, packet);
    };
    send(from, sourcePort, port);
    expect([rig.outside.open, rig.outside.sent.length, rig.targets.asked]).toEqual([0, 0, 0]);
    send(A, 5000, 4000);
    expect(rig.outside.open).toBe(1); // it was only that
  });

  test('closing ends all', () => {
    const rig = newRig();
    flood(rig, A, 10);
    rig.flows.close();
    expect(rig.outside.open).toBe(0);
    expect(rig.caps.total).toBe(0);
    const again = new UdpFlows(rig.parts);
    expect([...again.flows()]).toEqual([]);
  });
});

describe('batches', () => {
  const script = (rig: Rig, pause: () => void, run: () => void = () => rig.run()): string[] => {
    const sockets = [rig.udp(A, 5000), rig.udp(A, 5001), rig.udp(B, 5000), rig.udp(A6, 5000)];
    for (let i = 0; i < 300; i++) {
      const u = sockets[(i >> 4) % sockets.length]!;
      if (u === sockets[0]) rig.guests.sockets.setOption(u, SocketOption.Ttl, 30 + ((i >> 5) % 3));
      rig.send(u, u === sockets[3] ? MAPPED : i % 5 === 0 ? FAR2 : FAR, 4000 + (i % 3), payload((i * 37) % 1400, i));
      pause();
    }
    run();
    const { sent } = rig.outside;
    return sent.map(
      ({ from, to, bytes, hops, isWhole }) => `${from} ${to} ${hops} ${isWhole} ${Buffer.from(bytes).toString('hex')}`,
    );
  };

  test('what goes out is the same as one by one, in fewer calls', () => {
    const one = newRig();
    const single = script(one, () => one.run());
    const many = newRig();
    const run = (): void => many.inOneBreath(() => many.run(50_000));
    const batched = script(many, () => {}, run);
    expect(single).toHaveLength(300);
    const sorted = (all: string[]) => [...all].sort();
    expect(sorted(batched)).toEqual(sorted(single));
    for (const from of ['198.51.100.1:5000 ', '198.51.100.1:5001 '])
      expect(batched.filter((line) => line.startsWith(from))).toEqual(single.filter((line) => line.startsWith(from)));
    expect(many.outside.sendCalls).toBeLessThan(one.outside.sendCalls / 4);
  });

  test('each is known by its own target, also where remotes are short', () => {
    const rig = newRig({ remotesOfOneMax: 2 });
    rig.outside.refuses = Errno.ENETUNREACH;
    const u = rig.udp(A, 5000);
    const ports = Array.from({ length: 10 }, (_, i) => 4000 + i);
    rig.inOneBreath(() => {
      for (const port of ports) rig.send(u, FAR, port, text(`${port}`));
      rig.run();
    });
    expect(rig.errors(u).map(({ to, bytes }) => [to, words(bytes)])).toEqual(
      ports.map((port) => [`${FAR}:${port}`, `${port}`]),
    );
  });

  test('short ones out, long ones back', () => {
    const rig = newRig();
    rig.outside.place(`${FAR}:4000`, ({ bytes }) => payload(1000 + bytes[0]!, bytes[0]!));
    const u = rig.udp(A, 5000);
    rig.inOneBreath(() => {
      for (let i = 0; i < 32; i++) rig.send(u, FAR, 4000, Uint8Array.of(i));
      rig.run();
    });
    expect(rig.got(u).map(({ bytes }) => bytes)).toEqual(Array.from({ length: 32 }, (_, i) => payload(1000 + i, i)));
  });

  test('what comes in is delivered in order, also more than a turn takes', () => {
    const rig = newRig();
    const u = rig.udp(A, 5000);
    rig.send(u, FAR, 4000, text('x'));
    rig.run();
    for (let i = 0; i < 1000; i++) rig.outside.inject(`${FAR}:4000`, `${HOST_4}:5000`, text(`${i}`));
    rig.run(50_000);
    expect(rig.got(u).map(({ bytes }) => Number(words(bytes)))).toEqual(Array.from({ length: 1000 }, (_, i) => i));
    expect(rig.counters.lost).toBe(0);
  });
});

test('a flow in words', () => {
  const rig = newRig();
  rig.outside.place(`${FAR}:4000`, () => text('four'));
  rig.send(rig.udp(A6, 5000), MAPPED, 4000, text('x'));
  rig.run(2 * S);
  const [flow] = [...rig.flows.flows()];
  expect(flow).toMatchObject({
    protocol: 'udp',
    guest: `[${A6}]:5000`,
    target: `[${MAPPED}]:4000`,
    host: '0.0.0.0:5000',
  });
  expect(flow).toMatchObject({ direction: 'out', state: 'open', bytesOut: 1, bytesIn: 4 });
  expect(flow!.idleSeconds).toBeGreaterThan(1.9);
});
