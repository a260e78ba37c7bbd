// UDP forwards: a port of the host leads to a guest, and answers find their way back.

import { describe, expect, test } from 'vitest';
import { DatagramForwards } from '../../slirp/datagram-forwards.ts';
import { Verdict } from '../../slirp/slirp.ts';
import { UdpFlows, type UdpOptions } from '../../slirp/udp-flows.ts';
import { Errno, Family, formatAddress, parseAddress, SocketType } from '../../stack/stack.ts';
import { A, A6, B, GATEWAY, GATEWAY6, GatewayRig, text, words } from '../kit/gateway-rig.ts';
import { HOST_4, HOST_6 } from '../kit/sim-datagrams.ts';

const S = 1_000_000;
const CLIENT = '192.0.2.50';
const CLIENT6 = '2001:db8::50';

interface Wanted {
  readonly bind?: string;
  readonly port?: number;
  readonly guest?: string;
  readonly guestPort?: number;
  readonly keepsSource?: boolean;
}

function newRig(options: Partial<UdpOptions> = {}) {
  const isHost: UdpOptions['isHost'] = (address) => [HOST_4, HOST_6].includes(formatAddress(address));
  const rig = new GatewayRig((parts) => new UdpFlows(parts, { isHost, ...options }));
  const gateway = (isIp6: boolean) => parseAddress(isIp6 ? GATEWAY6 : GATEWAY)!;
  const forwards = new DatagramForwards(rig.parts, rig.flows, gateway);
  const add = ({
    bind = '0.0.0.0',
    port = 8053,
    guest = A,
    guestPort = 53,
    keepsSource = false,
  }: Wanted = {}): number =>
    forwards.add({ bind: parseAddress(bind)!, port, guest: parseAddress(guest)!, guestPort, keepsSource });
  const inject = (from: string, to: string, data: string): void => {
    expect(rig.outside.inject(from, to, text(data))).toBe(true);
    rig.run();
  };
  return { rig, forwards, add, inject };
}

test.each([
  ['IPv4', '0.0.0.0', A, `${CLIENT}:3333`, `${HOST_4}:8053`, `${GATEWAY}:3333`],
  ['IPv6', '::', A6, `[${CLIENT6}]:3333`, `[${HOST_6}]:8053`, `[${GATEWAY6}]:3333`],
  ['IPv4 to an IPv6 guest', '0.0.0.0', A6, `${CLIENT}:3333`, `${HOST_4}:8053`, `[${GATEWAY6}]:3333`],
  ['IPv6 to an IPv4 guest', '::', A, `[${CLIENT6}]:3333`, `[${HOST_6}]:8053`, `${GATEWAY}:3333`],
])('%s: a client is an address and port of the gateway', (_, bind, guest, from, to, seenAs) => {
  const { rig, forwards, add, inject } = newRig();
  const server = rig.udp(guest, 53);
  const forward = add({ bind, guest });
  expect(forwards.portOf(forward)).toBe(8053);
  inject(from, to, 'question');
  const got = rig.got(server);
  expect(got.map((one) => [one.from, words(one.bytes)])).toEqual([[seenAs, 'question']]);
  rig.send(server, formatAddress(parseAddress(seenAs.slice(0, -5).replace(/[[\]]/g, ''))!), 3333, text('answer'));
  rig.run();
  expect(rig.outside.sent.map((one) => [one.from, one.to, words(one.bytes)])).toEqual([[to, from, 'answer']]);
  expect(forwards.clientsOf(forward)).toBe(1);
  expect(rig.counters.forwardsAccepted).toBe(1);
  expect(rig.targets.asked).toBe(0); // an answer needs no rule
});

test.each([
  ['IPv4', '0.0.0.0', A, `${CLIENT}:3333`, HOST_4, CLIENT, `${CLIENT}:3333`],
  ['IPv6', '::', A6, `[${CLIENT6}]:3333`, `[${HOST_6}]`, CLIENT6, `[${CLIENT6}]:3333`],
  [
    'IPv4 to an IPv6 guest, by NAT64',
    '0.0.0.0',
    A6,
    `${CLIENT}:3333`,
    HOST_4,
    '64:ff9b::c000:232',
    '[64:ff9b::c000:232]:3333',
  ],
])('%s: with keep-source a client is itself', (_, bind, guest, from, host, name, seenAs) => {
  const { rig, add, inject } = newRig();
  const server = rig.udp(guest, 53);
  add({ bind, guest, keepsSource: true });
  inject(from, `${host}:8053`, 'question');
  expect(rig.got(server).map((one) => one.from)).toEqual([seenAs]);
  rig.send(server, name, 3333, text('answer'));
  rig.run();
  expect(rig.outside.sent.map((one) => [one.from, one.to])).toEqual([[`${host}:8053`, from]]);
});

test('a client on the host’s loopback is the gateway, with keep-source, too', () => {
  const { rig, add, inject } = newRig();
  const server = rig.udp(A, 53);
  add({ bind: '127.0.0.1', keepsSource: true });
  inject('127.0.0.1:3333', '127.0.0.1:8053', 'x');
  expect(rig.got(server)[0]!.from).toBe(`${GATEWAY}:3333`);
});

test('clients with one port have different ports of the gateway, and each its own answer', () => {
  const { rig, add, inject } = newRig();
  const server = rig.udp(A, 53);
  add();
  const clients = ['192.0.2.1:3333', '192.0.2.2:3333', '192.0.2.3:3333', '192.0.2.4:53'];
  for (const client of clients) inject(client, `${HOST_4}:8053`, client);
  const got = rig.got(server);
  expect(new Set(got.map(({ from }) => from)).size).toBe(4);
  for (const { from, bytes } of got) rig.send(server, GATEWAY, Number(from.split(':')[1]), bytes);
  rig.run();
  expect(rig.outside.sent.map(({ to, bytes }) => [to, words(bytes)])).toEqual(
    clients.map((client) => [client, client]),
  );
});

test('a port of one of the gateway’s services is nobody’s', () => {
  const { rig, add, inject } = newRig();
  const { sockets } = rig.gate;
  sockets.bind(sockets.socket(Family.Inet, SocketType.Datagram), parseAddress('0.0.0.0')!, 3333);
  const server = rig.udp(A, 53);
  add();
  inject(`${CLIENT}:3333`, `${HOST_4}:8053`, 'x');
  const [got] = rig.got(server);
  expect(Number(got!.from.split(':')[1])).toBeGreaterThanOrEqual(49_152);
});

test('what the guest sends from its port on its own leaves by the forward, too', () => {
  const { rig, add } = newRig();
  const server = rig.udp(A, 53);
  add();
  rig.outside.place('203.0.113.5:53', () => text('pong'));
  rig.send(server, '203.0.113.5', 53, text('ping'));
  rig.run();
  expect(rig.outside.sent.map(({ from }) => from)).toEqual([`${HOST_4}:8053`]);
  expect(rig.got(server).map(({ from }) => from)).toEqual(['203.0.113.5:53']);
  expect(rig.outside.open).toBe(1);
  expect(rig.caps.total).toBe(0);
});

test('a mapping that the guest had stays for whom it talks to; what is new leaves by the forward', () => {
  const { rig, add } = newRig();
  const server = rig.udp(A, 5353);
  rig.send(server, '203.0.113.5', 4000, text('before'));
  rig.run();
  add({ guestPort: 5353 });
  rig.send(server, '203.0.113.5', 4000, text('as before'));
  rig.send(server, '203.0.113.6', 4000, text('new'));
  rig.run();
  expect(rig.outside.sent.map(({ from }) => from)).toEqual([`${HOST_4}:5353`, `${HOST_4}:5353`, `${HOST_4}:8053`]);
});

test('two forwards to one port: a client is answered by the one that it asked', () => {
  const { rig, add, inject } = newRig();
  const server = rig.udp(A, 53);
  add({ port: 8053 });
  add({ port: 8054 });
  for (const [client, port] of [
    [`${CLIENT}:1001`, 8053],
    [`${CLIENT}:1002`, 8054],
    [`${CLIENT}:1002`, 8053],
  ] as const) {
    inject(client, `${HOST_4}:${port}`, 'x');
    const [got] = rig.got(server);
    rig.send(server, GATEWAY, Number(got!.from.split(':')[1]), text('y'));
    rig.run();
    expect(rig.outside.sent.at(-1)).toMatchObject({ from: `${HOST_4}:${port}`, to: client });
  }
});

test('RFC 4787 REQ-9: a guest reaches another’s forward by the host’s address, whatever rules say', () => {
  const { rig, add } = newRig();
  rig.targets.verdicts.set(HOST_4, Verdict.Prohibited);
  const server = rig.udp(A, 53);
  add({ keepsSource: true });
  const other = rig.udp(B, 5000);
  rig.send(other, HOST_4, 8053, text('question'));
  rig.run();
  expect(rig.got(server).map(({ from }) => from)).toEqual([`${HOST_4}:5000`]);
  rig.send(server, HOST_4, 5000, text('answer'));
  rig.run();
  expect(rig.got(other).map(({ from, bytes }) => [from, words(bytes)])).toEqual([[`${HOST_4}:8053`, 'answer']]);
});

test.each(['first', 'last'])('of two on one port the right one is reached, added %s, and without the other', (when) => {
  const { rig, forwards, add } = newRig();
  rig.targets.verdicts.set(HOST_4, Verdict.Prohibited);
  const server = rig.udp(A, 53);
  const other = rig.udp(B, 5000);
  if (when === 'first') add({ bind: HOST_4 });
  const loopback = add({ bind: '127.0.0.1', guest: B });
  if (when === 'last') add({ bind: HOST_4 });
  for (let i = 0; i < 2; i++) {
    rig.send(other, HOST_4, 8053, text('question'));
    rig.run();
    expect(rig.got(server)).toHaveLength(1);
    forwards.remove(loopback);
  }
});

test('one that listens on the loopback is not reached by the host’s other addresses', () => {
  const { rig, add } = newRig();
  rig.targets.verdicts.set(HOST_4, Verdict.Prohibited);
  const server = rig.udp(A, 53);
  add({ bind: '127.0.0.1' });
  const other = rig.udp(B, 5000);
  rig.send(other, HOST_4, 8053, text('question'));
  rig.run();
  expect(rig.got(server)).toEqual([]);
  expect(rig.errors(other)).toMatchObject([{ type: 3, code: 13 }]);
});

describe('clients end', () => {
  test.each([
    [false, 30],
    [true, 120],
  ])('answered: %s, after %i s', (isAnswered, seconds) => {
    const { rig, forwards, add, inject } = newRig();
    const server = rig.udp(A, 53);
    const forward = add();
    inject(`${CLIENT}:3333`, `${HOST_4}:8053`, 'x');
    if (isAnswered) {
      rig.send(server, GATEWAY, 3333, text('y'));
      rig.run();
    }
    const r = rig.flows.table.oldestOf(forward);
    const endUs = rig.flows.table.remoteUsed(r) + seconds * S;
    rig.runTo(endUs - 1);
    expect(forwards.clientsOf(forward)).toBe(1);
    rig.runTo(endUs);
    expect(forwards.clientsOf(forward)).toBe(0);
    expect(rig.flows.deadlineUs()).toBe(Infinity);
    inject(`${CLIENT}:3334`, `${HOST_4}:8053`, 'still here');
    expect(rig.got(server)).toHaveLength(2);
  });

  test('a client that goes on sending stays the same to the guest', () => {
    const { rig, add, inject } = newRig();
    const server = rig.udp(A, 53);
    add();
    for (let i = 0; i < 10; i++) {
      inject(`${CLIENT}:53`, `${HOST_4}:8053`, `${i}`);
      rig.run(20 * S);
    }
    expect(new Set(rig.got(server).map(({ from }) => from)).size).toBe(1);
  });

  test('more clients than may be: the longest silent one goes', () => {
    const { rig, forwards, add, inject } = newRig({ clientsMax: 10 });
    const server = rig.udp(A, 53);
    const forward = add();
    for (let i = 0; i < 25; i++) inject(`192.0.2.${i}:3333`, `${HOST_4}:8053`, 'x');
    expect(forwards.clientsOf(forward)).toBe(10);
    const ports = rig.got(server).map(({ from }) => Number(from.split(':')[1]));
    rig.send(server, GATEWAY, ports[24]!, text('y'));
    rig.run();
    expect(rig.outside.sent.at(-1)!.to).toBe('192.0.2.24:3333');
  });
});

test('what is wrong with a client’s answer the guest hears', () => {
  const { rig, add, inject } = newRig();
  const server = rig.udp(A, 53);
  add();
  inject(`${CLIENT}:3333`, `${HOST_4}:8053`, 'x');
  rig.send(server, GATEWAY, 3333, text('y'));
  rig.run();
  const { h, bytes } = rig.outside.sent[0]!;
  rig.outside.fail(h, { errno: 111, type: 3, code: 3, reporter: CLIENT, target: CLIENT, port: 3333, bytes });
  rig.run();
  expect(rig.errors(server)).toMatchObject([{ type: 3, code: 3, reporter: GATEWAY, to: `${GATEWAY}:3333` }]);
});

test('begins and ends: ports that are taken, free ones, one removed', () => {
  const { rig, forwards, add } = newRig({ mappingsMax: 2 });
  rig.outside.takenPorts.add(9999);
  expect(add({ port: 9999 })).toBe(-Errno.EADDRINUSE);
  expect(add({ port: 53 })).toBe(-Errno.EACCES);
  const forward = add({ port: 0 });
  expect(forwards.portOf(forward)).toBeGreaterThan(1023);
  const flow = [...rig.flows.flows()][0]!;
  expect(flow).toMatchObject({ direction: 'in', guest: `${A}:53`, target: '' });
  expect(add({ port: 8053 })).toBeGreaterThanOrEqual(0);
  expect(add({ port: 8054 })).toBe(-Errno.ENOBUFS);
  expect(rig.outside.open).toBe(2);
  expect(forwards.remove(forward)).toBe(true);
  expect(forwards.remove(forward)).toBe(false);
  expect(rig.outside.open).toBe(1);
  rig.flows.close();
  expect(rig.outside.open).toBe(0);
});
