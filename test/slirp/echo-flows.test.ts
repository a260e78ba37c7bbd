// Echo by ping sockets of the host: identifiers, errors, timers, bounds; in virtual time.

import { describe, expect, test } from 'vitest';
import { EchoFlows, type EchoOptions } from '../../slirp/echo-flows.ts';
import { Verdict } from '../../slirp/slirp.ts';
import { Errno, SocketOption } from '../../stack/stack.ts';
import { A, A6, B, GATEWAY, GATEWAY6, GatewayRig, payload } from '../kit/gateway-rig.ts';

const S = 1_000_000;
const FAR = '192.0.2.7';
const FAR6 = '2001:db8::7';
const MAPPED = '64:ff9b::c000:207'; // FAR

type Rig = GatewayRig<EchoFlows>;

function newRig(options: Partial<EchoOptions> = {}): Rig {
  const rig = new GatewayRig((parts) => new EchoFlows(parts, options));
  for (const far of [FAR, FAR6]) rig.outside.echoes.add(far);
  return rig;
}

/** An echo request of a guest's socket, which writes identifier and checksum. */
function request(guest: string, sequence: number, data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(8 + data.length);
  bytes.set([guest.includes(':') ? 128 : 8, 0, 0, 0, 0, 0, sequence >> 8, sequence & 255]);
  bytes.set(data, 8);
  return bytes;
}

function ping(rig: Rig, h: number, guest: string, to: string, sequence: number, data = payload(56, sequence)): void {
  rig.send(h, to, 0, request(guest, sequence, data));
  rig.run();
}

const FAMILIES = [
  ['IPv4', A, FAR],
  ['IPv6', A6, FAR6],
  ['through NAT64', A6, MAPPED],
] as const;

test.each(FAMILIES)('a ping there and back, %s', (_, guest, to) => {
  const rig = newRig();
  const h = rig.echo(guest, 0x1234);
  rig.guests.sockets.setOption(h, guest === A ? SocketOption.Ttl : SocketOption.UnicastHops, 40);
  const data = payload(1000);
  ping(rig, h, guest, to, 0xabcd, data);
  expect(rig.outside.sent).toHaveLength(1);
  const [sent] = rig.outside.sent;
  expect([sent!.hops, sent!.to.replace(/[[\]]/g, '')]).toEqual([39, to === MAPPED ? FAR : to]);
  expect([...sent!.bytes.subarray(0, 2)]).toEqual([to === FAR6 ? 128 : 8, 0]);
  expect(sent!.bytes.subarray(8)).toEqual(data);
  const [got] = rig.got(h);
  expect(got!.from.replace(/[[\]]/g, '')).toMatch(to);
  expect([...got!.bytes.subarray(0, 2), ...got!.bytes.subarray(4, 8)]).toEqual([
    guest === A ? 0 : 129,
    0,
    0x12,
    0x34,
    0xab,
    0xcd,
  ]);
  expect(got!.bytes.subarray(8)).toEqual(data);
  expect(got!.hops).toBe(63);
  expect(rig.counters).toMatchObject({ echoRequests: 1, echoReplies: 1 });
});

test.each([0, 1472, 5000, 60_000])('%i bytes of data, in pieces where needed', (bytes) => {
  const rig = newRig();
  const h = rig.echo(A, 7);
  rig.guests.sockets.setOption(h, SocketOption.MtuDiscover, 0);
  rig.guests.sockets.setOption(h, SocketOption.ReceiveBuffer, 1 << 20);
  ping(rig, h, A, FAR, 1, payload(bytes));
  rig.run(50_000);
  expect(rig.got(h).map((got) => got.bytes.subarray(8))).toEqual([payload(bytes)]);
});

test('an identifier that is taken is translated, and guests do not see each other’s replies', () => {
  const rig = newRig();
  const [a, b] = [rig.echo(A, 99), rig.echo(B, 99)];
  ping(rig, a, A, FAR, 1);
  ping(rig, b, B, FAR, 2);
  const ids = rig.outside.sent.map(({ bytes }) => (bytes[4]! << 8) | bytes[5]!);
  expect(ids[0]).toBe(99);
  expect(ids[1]).not.toBe(99);
  for (const [h, sequence] of [
    [a, 1],
    [b, 2],
  ] as const)
    expect(rig.got(h).map(({ bytes }) => [...bytes.subarray(4, 8)])).toEqual([[0, 99, 0, sequence]]);
});

test('one socket for an identifier whatever it asks, one of each family', () => {
  const rig = newRig();
  const h = rig.echo(A, 5);
  for (const to of [FAR, '192.0.2.8', '192.0.2.9']) ping(rig, h, A, to, 1);
  expect(rig.outside.open).toBe(1);
  const h6 = rig.echo(A6, 5);
  ping(rig, h6, A6, FAR6, 1);
  ping(rig, h6, A6, MAPPED, 1);
  expect(rig.outside.open).toBe(3);
  expect([...rig.flows.flows()].map(({ protocol, guest }) => `${protocol} ${guest}`)).toEqual([
    `icmp ${A}:5`,
    `icmp6 [${A6}]:5`,
    `icmp6 [${A6}]:5`,
  ]);
});

test('who was not asked does not answer, nor does what is no reply', () => {
  const rig = newRig();
  const h = rig.echo(A, 5);
  ping(rig, h, A, FAR, 1);
  rig.got(h);
  const reply = Uint8Array.of(0, 0, 0, 0, 0, 5, 0, 1);
  const socket = rig.outside.sent[0]!.h;
  rig.outside.arrive(socket, '192.0.2.8:0', reply);
  rig.outside.arrive(socket, `${FAR}:0`, Uint8Array.of(3, 3, 0, 0, 0, 5, 0, 1));
  rig.outside.arrive(socket, `${FAR}:0`, reply.subarray(0, 7));
  rig.run();
  expect(rig.got(h)).toEqual([]);
  expect(rig.counters.filtered).toBe(3);
  rig.outside.arrive(socket, `${FAR}:0`, reply);
  rig.run();
  expect(rig.got(h)).toHaveLength(1);
});

describe('errors', () => {
  test.each(FAMILIES)('traceroute -I, %s', (_, guest, to) => {
    const rig = newRig();
    rig.outside.routers4 = ['203.0.113.1', '203.0.113.2'];
    rig.outside.routers6 = ['2001:db8::1', '2001:db8::2'];
    const h = rig.echo(guest, 77);
    const hops: string[] = [];
    for (let ttl = 1; ttl <= 4; ttl++) {
      rig.guests.sockets.setOption(h, guest === A ? SocketOption.Ttl : SocketOption.UnicastHops, ttl);
      ping(rig, h, guest, to, ttl);
      const errors = rig.errors(h);
      hops.push(
        ...errors.map(({ reporter }) => reporter),
        ...rig.got(h).map(({ from }) => from.slice(0, from.lastIndexOf(':'))),
      );
      for (const error of errors) {
        expect([error.type, error.code]).toEqual([guest === A ? 11 : 3, 0]);
        // Type, identifier, sequence and data of what the guest had sent.
        expect([error.bytes[0], ...error.bytes.subarray(4, 8)]).toEqual([guest === A ? 8 : 128, 0, 77, 0, ttl]);
        expect(error.bytes.subarray(8)).toEqual(payload(56, ttl));
      }
    }
    const between = {
      [FAR]: rig.outside.routers4,
      [FAR6]: rig.outside.routers6,
      [MAPPED]: ['64:ff9b::cb00:7101', '64:ff9b::cb00:7102'],
    }[to]!;
    expect(hops.map((hop) => hop.replace(/[[\]]/g, ''))).toEqual([guest === A ? GATEWAY : GATEWAY6, ...between, to]);
  });

  test('with an identifier that is translated, the guest’s own is told', () => {
    const rig = newRig();
    const [a, b] = [rig.echo(A, 99), rig.echo(B, 99)];
    ping(rig, a, A, FAR, 1);
    ping(rig, b, B, FAR, 2);
    const { h, bytes } = rig.outside.sent[1]!;
    rig.outside.fail(h, { errno: 113, type: 3, code: 1, reporter: '203.0.113.1', target: FAR, port: 0, bytes });
    rig.run();
    expect(rig.errors(a)).toEqual([]);
    const [error] = rig.errors(b);
    expect([error!.type, error!.code, ...error!.bytes.subarray(4, 8)]).toEqual([3, 1, 0, 99, 0, 2]);
  });

  test.each([
    ['IPv4', A, FAR, SocketOption.MtuDiscover, 3, 1000],
    ['IPv6', A6, FAR6, SocketOption.MtuDiscover6, 2, 1280],
  ])('too long for the path, %s', (_, guest, to, option, type, info) => {
    const rig = newRig();
    rig.outside.mtuBytes = info;
    const h = rig.echo(guest, 3);
    rig.guests.sockets.setOption(h, option, 2);
    ping(rig, h, guest, to, 9, payload(1400));
    const errors = rig.errors(h);
    expect(errors).toMatchObject([{ type, info }]);
    expect([...errors[0]!.bytes.subarray(4, 8)]).toEqual([0, 3, 0, 9]);
  });

  test.each([
    [A, FAR, 3, 13, GATEWAY],
    [A6, FAR6, 1, 1, GATEWAY6],
    [A6, MAPPED, 1, 1, GATEWAY6],
  ])('where the host forbids ping sockets %s is told so, and nothing is forged', (guest, to, type, code, reporter) => {
    const rig = newRig();
    rig.outside.isEchoForbidden = true;
    const h = rig.echo(guest, 3);
    ping(rig, h, guest, to, 1);
    ping(rig, h, guest, to, 2);
    expect(rig.errors(h)).toMatchObject([{ type, code, reporter }]); // the second one met a pending error
    expect(rig.got(h)).toEqual([]);
    expect(rig.counters.echoForbidden).toBeGreaterThan(0);
    expect(rig.counters.echoReplies).toBe(0);
    expect(rig.caps.total).toBe(0);
  });

  test.each([
    [Verdict.Prohibited, 3, 13, 1],
    [Verdict.Refused, 3, 13, 0],
    [Verdict.Unreachable, 3, 0, 0],
  ])('verdict %i is type %i code %i', (verdict, type, code, prohibited) => {
    const rig = newRig();
    rig.targets.verdicts.set(FAR, verdict);
    const h = rig.echo(A, 3);
    ping(rig, h, A, FAR, 1);
    expect(rig.errors(h)).toMatchObject([{ type, code, reporter: GATEWAY }]);
    expect(rig.counters.prohibited).toBe(prohibited);
    expect(rig.outside.open).toBe(0);
  });

  test('the host has no route', () => {
    const rig = newRig();
    rig.outside.refuses = Errno.ENETUNREACH;
    const h = rig.echo(A, 3);
    ping(rig, h, A, FAR, 1);
    expect(rig.errors(h)).toMatchObject([{ type: 3, code: 0, reporter: GATEWAY }]);
  });
});

test('RFC 5508 REQ-1: 60 s after the last request, to the µs', () => {
  const rig = newRig();
  const h = rig.echo(A, 3);
  ping(rig, h, A, FAR, 1);
  rig.run(40 * S);
  ping(rig, h, A, FAR, 2);
  const endUs = rig.flows.table.usedUs(0) + 60 * S;
  rig.runTo(endUs - 1);
  expect(rig.outside.open).toBe(1);
  rig.runTo(endUs);
  expect([rig.outside.open, rig.caps.total, rig.flows.deadlineUs()]).toEqual([0, 0, Infinity]);
});

describe('bounds', () => {
  function pings(rig: Rig, guest: string, count: number, to: string, first = 1000): void {
    for (let i = 0; i < count; i++) {
      const h = rig.echo(guest, first + i);
      ping(rig, h, guest, to, 1);
      rig.guests.sockets.close(h);
    }
  }

  test('a guest that floods takes nothing from another', () => {
    const rig = newRig();
    rig.caps.perGuest = 10;
    pings(rig, A, 30, '192.0.2.99');
    expect(rig.outside.open).toBe(10);
    expect(rig.counters.guestFull).toBe(20);
    const h = rig.echo(B, 1);
    ping(rig, h, B, FAR, 1);
    expect(rig.got(h)).toHaveLength(1);
  });

  test('what is answered makes room for the next one', () => {
    const rig = newRig();
    rig.caps.perGuest = 10;
    for (let i = 0; i < 30; i++) {
      pings(rig, A, 1, FAR, 1000 + i);
      rig.run(S);
    }
    expect([rig.outside.open, rig.counters.guestFull]).toEqual([10, 0]);
  });

  test('a full table, a host without descriptors', () => {
    const rig = newRig({ mappingsMax: 4 });
    pings(rig, A, 6, '192.0.2.99');
    expect([rig.outside.open, rig.counters.guestFull]).toEqual([4, 2]);
    const other = newRig();
    other.outside.socketsMax = 1;
    pings(other, A, 2, FAR);
    expect([other.counters.hostFull, other.caps.total]).toEqual([1, 1]);
  });

  test('closing ends all', () => {
    const rig = newRig();
    pings(rig, A, 5, FAR);
    rig.flows.close();
    expect([rig.outside.open, rig.caps.total]).toEqual([0, 0]);
    expect([...new EchoFlows(rig.parts).flows()]).toEqual([]);
  });
});

test('the gateway answers for itself', () => {
  const rig = newRig();
  const h = rig.echo(A, 3);
  ping(rig, h, A, GATEWAY, 1);
  expect(rig.got(h)).toHaveLength(1);
  expect(rig.outside.open).toBe(0);
});
