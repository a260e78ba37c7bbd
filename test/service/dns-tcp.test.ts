import { expect, test } from 'vitest';
import {
  CONNECTIONS_MAX,
  GUEST_CONNECTIONS_MAX,
  IDLE_US,
  IN_FLIGHT_MAX,
  UNREAD_BYTES_MAX,
} from '../../service/dns-tcp.ts';
import { Errno } from '../../stack/stack.ts';
import * as dns from '../../wire/dns.ts';
import { a, answerTo, dataOf, ip, Lab, queryOf, S, SERVER6, type TcpClient, txt } from './kit-dns.ts';

const { Type } = dns;

const lab = (): Lab => new Lab({ names: [{ name: 'db', address: ip('10.0.0.9') }] });

test('queries one behind the other, whole or in pieces, are answered over both families', () => {
  for (const to of [undefined, SERVER6]) {
    const world = lab();
    const client = world.connect(to);
    client.send(...[1, 2, 3].map((id) => queryOf('db.weft.internal', Type.A, { id })));
    world.run();
    expect(client.received().map((one) => [one.id, ...dataOf(one)])).toEqual([1, 2, 3].map((id) => [id, '10.0.0.9']));
    const query = queryOf('db.weft.internal', Type.A, { id: 4 });
    for (const byte of [0, query.length, ...query]) {
      client.raw(Uint8Array.of(byte));
      world.run(2000);
    }
    world.run();
    expect(client.received().map((one) => one.id)).toEqual([4]);
    expect(world.server.counters).toMatchObject({ queries: 4, overTcp: 4, local: 4 });
  }
});

test('answers come as they are there, not in the order of the queries', () => {
  const world = lab();
  const client = world.connect();
  client.send(queryOf('slow.example', Type.A, { id: 1 }), queryOf('db', Type.A, { id: 2 }));
  world.run();
  expect(client.received().map((one) => one.id)).toEqual([2]);
  const asked = world.upstream.asked[0]!;
  expect(asked.isTcp).toBe(true);
  world.upstream.give(0, answerTo(asked.message, { answers: [a('slow.example', '192.0.2.1')] }), true);
  world.run();
  expect(client.received().map((one) => one.id)).toEqual([1]);
});

test('a connection that is idle is closed, one that waits for an answer is not', () => {
  const world = lab();
  const idle = world.connect();
  const waiting = world.connect();
  waiting.send(queryOf('slow.example', Type.A));
  world.run(IDLE_US - S);
  expect([idle.state, waiting.received().map(dns.rcode)]).toEqual([-Errno.EAGAIN, [dns.Rcode.ServFail]]);
  world.run(2 * S);
  expect([idle.state, waiting.state]).toEqual([0, -Errno.EAGAIN]);
  world.run(IDLE_US);
  expect(waiting.state).toBe(0);
  expect(world.server.sizes.connections).toBe(0);
});

test('a query that never becomes whole does not keep a connection', () => {
  const world = lab();
  const client = world.connect();
  for (let i = 0; i < 12; i++) {
    client.raw(Uint8Array.of(0));
    world.run(S);
  }
  expect(client.state).toBe(0);
  expect(world.server.sizes.connections).toBe(0);
});

test('what was asked before the end of the stream is answered', () => {
  const world = lab();
  const client = world.connect();
  client.send(queryOf('db', Type.A, { id: 1 }), queryOf('slow.example', Type.A, { id: 2 }));
  world.guest.sockets.shutdown(client.h, 1);
  world.run();
  world.upstream.give(0, answerTo(world.upstream.asked[0]!.message, {}), true);
  world.run();
  expect(client.received().map((one) => one.id)).toEqual([1, 2]);
  expect(client.state).toBe(0);
});

test.each([
  ['longer than any query', Uint8Array.of(2, 1, 0, 0)],
  ['shorter than a header', Uint8Array.of(0, 3, 1, 2, 3)],
  [
    'a response',
    (() => {
      const bytes = queryOf('db', Type.A, { flags: 0x8000 });
      return Uint8Array.from([0, bytes.length, ...bytes]);
    })(),
  ],
])('a message that is %s ends the connection', (_, bytes) => {
  const world = lab();
  const client = world.connect();
  client.raw(bytes);
  world.run();
  expect(client.state).toBe(-Errno.ECONNRESET);
  expect(world.server.counters.malformed).toBe(1);
});

test('a malformed query is answered, and the connection goes on', () => {
  const world = lab();
  const client = world.connect();
  const bad = queryOf('db', Type.A, { id: 1 });
  bad[5] = 9; // questions
  client.send(bad, queryOf('db', Type.A, { id: 2 }));
  world.run();
  expect(client.received().map((one) => [one.id, dns.rcode(one)])).toEqual([
    [1, dns.Rcode.FormErr],
    [2, 0],
  ]);
});

test('only so many queries of a connection are in flight', () => {
  const world = lab();
  const client = world.connect();
  const ids = Array.from({ length: 200 }, (_, i) => i);
  client.send(...ids.map((id) => queryOf(`n${id}.example`, Type.A, { id })));
  world.run();
  expect(world.upstream.asked.length).toBe(IN_FLIGHT_MAX);
  world.upstream.respond = ({ message }) =>
    answerTo(message, { answers: [a(message.questions[0]!.name, '192.0.2.1')] });
  for (const { message } of world.upstream.asked.slice()) world.upstream.give(0, answerTo(message, {}), true);
  world.run();
  expect(
    client
      .received()
      .map((one) => one.id)
      .sort((x, y) => x - y),
  ).toEqual(ids);
});

test('a guest has so many connections, all guests together so many', () => {
  const world = lab();
  const clients: TcpClient[] = [];
  for (let i = 0; i < GUEST_CONNECTIONS_MAX + 4; i++) clients.push(world.connect());
  world.run();
  expect(world.server.sizes.connections).toBe(GUEST_CONNECTIONS_MAX);
  expect(world.server.counters.full).toBe(4);
  expect(clients.at(-1)!.state).toBe(-Errno.ECONNRESET);
  expect(clients[0]!.state).toBe(-Errno.EAGAIN);
  world.guest.sockets.abort(clients[0]!.h);
  world.run();
  expect(world.connect().state).toBe(-Errno.EAGAIN); // a place is free
  expect(CONNECTIONS_MAX).toBeGreaterThan(GUEST_CONNECTIONS_MAX);
});

test('who does not read answers is not read, and others are', () => {
  const world = lab();
  world.upstream.respond = ({ message }) => answerTo(message, { answers: [txt(message.questions[0]!.name, 60_000)] });
  const { sockets } = world.guest;
  const client = world.connect();
  let sent = 0;
  for (let round = 0; round < 80; round++) {
    const query = queryOf('big.example', Type.TXT, { id: round });
    const bytes = Uint8Array.from([0, query.length, ...query]);
    if (sockets.send(client.h, bytes, 0, bytes.length) !== bytes.length) break;
    sent++;
    world.run(1000);
  }
  world.run(S);
  const { queries, hits } = world.server.counters;
  expect(queries).toBeLessThan(sent + 1);
  expect(hits).toBeLessThan(60); // the rest waits with the guest
  const other = world.connect();
  other.send(queryOf('db', Type.A));
  world.run();
  expect(other.received().length).toBe(1);
  // Read at last, all come.
  let got = 0;
  for (let round = 0; round < 2000 && got < sent; round++) {
    got += client.received().length;
    world.run(2000);
  }
  expect(got).toBe(sent);
  expect(UNREAD_BYTES_MAX).toBeLessThan(1 << 20);
});

test('an answer for a connection that is gone goes nowhere', () => {
  const world = lab();
  const client = world.connect();
  client.send(queryOf('slow.example', Type.A, { id: 1 }));
  world.run();
  world.guest.sockets.abort(client.h);
  world.run();
  const next = world.connect();
  next.send(queryOf('db', Type.A, { id: 2 }));
  world.run();
  world.upstream.give(0, answerTo(world.upstream.asked[0]!.message, {}), true);
  world.run();
  expect(next.received().map((one) => one.id)).toEqual([2]);
  expect(world.server.sizes.waiting).toBe(0);
});
