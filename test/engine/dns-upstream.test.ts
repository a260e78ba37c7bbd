import { expect, test } from 'vitest';
import { Slab } from '../../core/slab.ts';
import { IDLE_US } from '../../engine/dns-connection.ts';
import {
  fixedServers,
  HostDnsUpstream,
  type NameServers,
  RETIRED_MAX,
  RETIRED_US,
  SOCKET_US,
  SOCKETS,
} from '../../engine/dns-upstream.ts';
import { DatagramBatch } from '../../slirp/slirp.ts';
import { Errno, parseAddress, Stack } from '../../stack/stack.ts';
import { SimDatagrams } from '../kit/sim-datagrams.ts';
import { SimHost } from '../kit/sim-host.ts';
import { secretOf } from '../kit/stack-kit.ts';

const server = (text: string, port = 53) => ({ address: parseAddress(text)!, port });
const query = (id: number, bytes = 20): Uint8Array =>
  Uint8Array.from({ length: bytes }, (_, i) => (i < 2 ? id >> (8 - 8 * i) : i));

class Rig {
  readonly stack: Stack;
  readonly host: SimHost;
  readonly upstream: HostDnsUpstream;
  readonly slab = new Slab({ bytesMax: 1 << 25 });
  datagrams!: SimDatagrams;
  /** `server:id`, over TCP with `t`. */
  readonly answers: string[] = [];
  readonly failures: string[] = [];
  nowUs = 0;

  constructor(servers: NameServers) {
    this.stack = new Stack({ slab: this.slab, secret: secretOf(1, 1), nowUs: 0 });
    this.host = new SimHost(this.slab, {
      datagrams: (handles) => {
        this.datagrams = new SimDatagrams(handles);
        return this.datagrams;
      },
    });
    const batch = new DatagramBatch(this.slab);
    this.upstream = new HostDnsUpstream({ stack: this.stack, host: this.host, slab: this.slab, batch, servers });
    this.upstream.setUser({
      answered: (from, bytes, at, count, isTcp) => {
        this.answers.push(`${isTcp ? 't' : ''}${from}:${bytes[at]! * 256 + bytes[at + 1]!}/${count}`);
      },
      failed: (from, isTcp) => this.failures.push(`${isTcp ? 't' : ''}${from}`),
    });
  }

  ask(server: number, id: number, isTcp = false): boolean {
    this.upstream.servers();
    return this.upstream.send(server, query(id), 0, 20, isTcp);
  }

  turn(us = 0): void {
    this.nowUs += us;
    this.stack.tick(this.nowUs);
    this.stack.expire(this.nowUs);
    this.upstream.flush();
    this.host.dispatch();
  }
}

const A = server('192.0.2.1');
const B = server('2001:db8::1');

test('queries of a turn leave by one call, and answers name the server', () => {
  const rig = new Rig(fixedServers([A, B]));
  rig.datagrams.place('192.0.2.1:53', ({ bytes }) => bytes);
  rig.datagrams.place('[2001:db8::1]:53', ({ bytes }) => bytes);
  for (let id = 1; id <= 5; id++) expect(rig.ask(0, id)).toBe(true);
  expect(rig.datagrams.sent.length).toBe(0);
  rig.turn();
  expect([rig.datagrams.sent.length, rig.datagrams.sendCalls]).toEqual([5, 1]);
  rig.ask(0, 6);
  rig.ask(1, 7); // the other family is another socket
  rig.turn();
  rig.turn();
  expect(rig.answers).toEqual(['0:1/20', '0:2/20', '0:3/20', '0:4/20', '0:5/20', '0:6/20', '1:7/20']);
});

test('more than a batch is no loss', () => {
  const rig = new Rig(fixedServers([A]));
  for (let id = 0; id < 100; id++) expect(rig.ask(0, id)).toBe(true);
  rig.turn();
  expect(rig.datagrams.sent.length).toBe(100);
});

test('ports change, and what was replaced listens on for a while', () => {
  const rig = new Rig(fixedServers([A]));
  const ports = new Set<string>();
  for (let i = 0; i < 40; i++) {
    rig.ask(0, i);
    rig.turn(SOCKET_US / 5);
    ports.add(rig.datagrams.sent.at(-1)!.from);
  }
  expect(ports.size).toBeGreaterThan(SOCKETS);
  const first = rig.datagrams.sent.at(-1)!;
  expect(rig.datagrams.arrive(first.h, '192.0.2.1:53', query(39))).toBe(true);
  rig.turn(SOCKET_US);
  rig.turn();
  expect(rig.answers).toEqual(['0:39/20']);
  for (let i = 0; i < 20; i++) {
    rig.ask(0, i);
    rig.turn();
  }
  rig.turn(RETIRED_US);
  rig.turn(1);
  expect(rig.datagrams.open).toBeLessThanOrEqual(SOCKETS);
});

test('at full rate descriptors are bounded', () => {
  const rig = new Rig(fixedServers([A]));
  for (let i = 0; i < 20_000; i++) {
    rig.ask(0, i & 0xffff);
    if (i % 4 === 0) rig.turn();
  }
  expect(rig.datagrams.open).toBeLessThanOrEqual(SOCKETS + RETIRED_MAX);
});

test('datagrams of somebody else are ignored', () => {
  const rig = new Rig(fixedServers([A]));
  rig.ask(0, 1);
  rig.turn();
  const { h } = rig.datagrams.sent[0]!;
  rig.datagrams.arrive(h, '192.0.2.66:53', query(1));
  rig.datagrams.arrive(h, '192.0.2.1:5353', query(1));
  rig.turn();
  expect([rig.answers, rig.upstream.ignored]).toEqual([[], 2]);
});

test('an answer of a link-local server is his, whether its interface is told or not', () => {
  const address = parseAddress('fe80:7::1')!;
  const rig = new Rig(fixedServers([{ address, port: 53 }]));
  rig.ask(0, 1);
  rig.turn();
  const { h, to } = rig.datagrams.sent[0]!;
  expect(to).toBe('[fe80:7::1]:53');
  rig.datagrams.arrive(h, '[fe80::1]:53', query(1));
  rig.datagrams.arrive(h, '[fe80:7::1]:53', query(2));
  rig.datagrams.arrive(h, '[fe80::2]:53', query(3));
  rig.turn();
  expect(rig.answers).toEqual(['0:1/20', '0:2/20']);
});

test('a port that is closed is told', () => {
  const rig = new Rig(fixedServers([A, server('192.0.2.2')]));
  rig.ask(1, 1);
  rig.turn();
  const { h } = rig.datagrams.sent[0]!;
  rig.datagrams.fail(h, { errno: Errno.ECONNREFUSED, type: 3, code: 3, target: '192.0.2.2', port: 53 });
  rig.turn();
  expect(rig.failures).toEqual(['1']);
});

test('without descriptors a query is not taken', () => {
  const rig = new Rig(fixedServers([A]));
  rig.datagrams.socketsMax = 0;
  expect(rig.ask(0, 1)).toBe(false);
  expect(rig.ask(3, 1)).toBe(false);
});

test('queries go one behind the other over one connection, answers come in pieces', () => {
  const rig = new Rig(fixedServers([A]));
  rig.host.answer('192.0.2.1:53', 'accept');
  for (let id = 1; id <= 3; id++) expect(rig.ask(0, id, true)).toBe(true);
  rig.turn();
  rig.turn();
  expect(rig.host.peers.length).toBe(1);
  const peer = rig.host.peers[0]!;
  const sent = peer.read();
  expect(sent.length).toBe(3 * 22);
  expect(Array.from(sent.subarray(0, 4))).toEqual([0, 20, 0, 1]);
  for (const byte of sent) {
    peer.write(Uint8Array.of(byte));
    rig.turn();
  }
  expect(rig.answers).toEqual(['t0:1/20', 't0:2/20', 't0:3/20']);
  rig.turn(IDLE_US - 1);
  expect(peer.isClosed).toBe(false);
  rig.turn(1);
  expect([peer.isClosed, rig.failures]).toEqual([true, []]);
  rig.ask(0, 4, true);
  expect(rig.host.peers.length).toBe(2);
});

test('the longest message comes whole', () => {
  const rig = new Rig(fixedServers([A]));
  rig.host.answer('192.0.2.1:53', 'accept');
  rig.ask(0, 9, true);
  rig.turn();
  rig.turn();
  const peer = rig.host.peers[0]!;
  const message = new Uint8Array(2 + 65_535).fill(0);
  message.set([255, 255, 0, 9]);
  for (let at = 0; at < message.length; ) {
    at += peer.write(message.subarray(at));
    rig.turn();
  }
  expect(rig.answers).toEqual(['t0:9/65535']);
});

test.each([
  ['refused', Errno.ECONNREFUSED],
  ['unreachable', Errno.EHOSTUNREACH],
])('a connection that is %s fails what waits', (_, errno) => {
  const rig = new Rig(fixedServers([A]));
  rig.host.answer('192.0.2.1:53', errno);
  expect(rig.ask(0, 1, true)).toBe(true);
  rig.turn();
  rig.turn();
  expect(rig.failures).toEqual(['t0']);
});

test('a connection that is closed with queries in it fails them; memory is given back', () => {
  const rig = new Rig(fixedServers([A]));
  rig.host.answer('192.0.2.1:53', 'accept');
  const before = rig.slab.usedBytes;
  rig.ask(0, 1, true);
  rig.turn();
  rig.turn();
  rig.host.peers[0]!.end();
  rig.turn();
  rig.turn();
  expect(rig.failures).toEqual(['t0']);
  expect(rig.slab.usedBytes).toBe(before);
});

test('too many queries for one connection are not taken', () => {
  const rig = new Rig(fixedServers([A]));
  rig.host.answer('192.0.2.1:53', 'never');
  let taken = 0;
  while (taken < 5000 && rig.ask(0, taken, true)) taken++;
  expect(taken).toBeLessThan(2000);
  rig.turn(IDLE_US);
  rig.turn();
  expect(rig.failures).toEqual(['t0']);
});

test('other servers end all that was open', () => {
  let list = [A];
  const servers = { current: () => list, generation: 0 };
  const rig = new Rig(servers);
  rig.host.answer('192.0.2.1:53', 'accept');
  rig.ask(0, 1);
  rig.ask(0, 2, true);
  rig.turn();
  list = [B];
  servers.generation++;
  expect(rig.upstream.servers()).toBe(1);
  expect([rig.datagrams.open, rig.host.openHandles]).toEqual([0, 0]);
  rig.ask(0, 3);
  rig.turn();
  expect(rig.datagrams.sent.at(-1)!.to).toBe('[2001:db8::1]:53');
  rig.upstream.close();
  expect(rig.host.openHandles).toBe(0);
});
