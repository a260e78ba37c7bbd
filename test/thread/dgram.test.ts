// What Node's own tests of `dgram` ask for, once of Node on the host's loopback and once of our stacks: the same must happen.

import * as realDgram from 'node:dgram';
import { once } from 'node:events';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createDgram, type Dgram } from '../../thread/dgram.io.ts';
import { MemoryNet } from '../kit/two-stacks.ts';

interface Side {
  readonly server: Dgram;
  readonly client: Dgram;
  readonly ip4: string;
  readonly ip6: string;
  readonly own4: string;
}

const lan = new MemoryNet();
let sides: { node: Side; stack: Side };

beforeAll(() => {
  const [a, b] = lan.hosts(2);
  const node = { server: realDgram, client: realDgram, ip4: '127.0.0.1', ip6: '::1', own4: '127.0.0.1' } as Side;
  sides = {
    node,
    stack: { server: createDgram(a!), client: createDgram(b!), ip4: '10.0.0.1', ip6: 'fd00::1', own4: '10.0.0.2' },
  };
});
afterAll(() => lan.close());

function errorOf(error: unknown): unknown {
  const { name, message, code, errno, syscall } = error as NodeJS.ErrnoException;
  return { name, message, code, errno, syscall };
}

function attempt(act: () => unknown): unknown {
  try {
    return act() === undefined ? 'nothing' : 'something';
  } catch (error) {
    return errorOf(error);
  }
}

async function bound(dgram: Dgram, options: realDgram.SocketOptions, host?: string): Promise<realDgram.Socket> {
  const socket = dgram.createSocket(options);
  socket.bind(0, host);
  await once(socket, 'listening');
  return socket;
}

const SCENARIOS: Record<string, (side: Side) => Promise<unknown>> = {
  'sends and answers': async (side) => {
    const server = await bound(side.server, { type: 'udp4' }, side.ip4);
    server.on('message', (bytes, from) => server.send([bytes, ' back'], from.port, from.address));
    const client = side.client.createSocket('udp4');
    client.send('hello', server.address().port, side.ip4);
    const [bytes, from] = await once(client, 'message');
    const log = [String(bytes), from.address === side.ip4, from.family, from.size, from.port === server.address().port];
    const { address, family, port } = client.address();
    log.push(address, family, port > 0);
    const sent = await new Promise((done) =>
      client.send(Buffer.alloc(100), 10, 20, server.address().port, side.ip4, (_e, n) => done(n)),
    );
    log.push(sent as number);
    await Promise.all([client, server].map((one) => new Promise<void>((done) => one.close(done))));
    return log;
  },
  'connects to a peer': async (side) => {
    const server = await bound(side.server, { type: 'udp4' }, side.ip4);
    server.on('message', (bytes, from) => server.send(bytes, from.port, from.address));
    const client = side.client.createSocket('udp4');
    const log: unknown[] = [attempt(() => client.remoteAddress())];
    client.connect(server.address().port, side.ip4);
    await once(client, 'connect');
    client.send('x');
    log.push(String((await once(client, 'message'))[0]), client.remoteAddress().address === side.ip4);
    log.push(
      attempt(() => client.send('x', 1, side.ip4)),
      attempt(() => client.connect(1)),
    );
    client.disconnect();
    log.push(attempt(() => client.remoteAddress()));
    client.close();
    server.close();
    return log;
  },
  'hears that nobody is there': async (side) => {
    const server = await bound(side.server, { type: 'udp4' }, side.ip4);
    const { port } = server.address();
    server.close();
    await once(server, 'close');
    const client = side.client.createSocket('udp4');
    client.connect(port, side.ip4);
    await once(client, 'connect');
    client.send('x');
    const [error] = await once(client, 'error');
    client.close();
    return errorOf(error);
  },
  'speaks IPv6, and IPv4 through it': async (side) => {
    const server = await bound(side.server, { type: 'udp6' });
    const froms: unknown[] = [];
    server.on('message', (bytes, from) => froms.push([String(bytes), from.family, from.address.includes('::ffff:')]));
    const six = side.client.createSocket('udp6');
    six.send('six', server.address().port, side.ip6);
    await once(server, 'message');
    const four = side.client.createSocket('udp4');
    four.send('four', server.address().port, side.ip4);
    await once(server, 'message');
    for (const socket of [six, four, server]) socket.close();
    return froms;
  },
  'refuses what is wrong': async (side) => {
    const socket = side.client.createSocket('udp4');
    const log: unknown[] = [
      attempt(() => side.client.createSocket('udp5' as 'udp4')),
      attempt(() => socket.send(5 as unknown as string, 1, side.ip4)),
      attempt(() => socket.setTTL('x' as unknown as number)),
    ];
    socket.bind(0, side.own4);
    await once(socket, 'listening');
    log.push(
      attempt(() => socket.setTTL(0)),
      attempt(() => socket.setTTL(64)),
      attempt(() => socket.setBroadcast(true)),
    );
    log.push(
      attempt(() => socket.setMulticastTTL(3)),
      attempt(() => socket.setMulticastLoopback(true)),
    );
    log.push(
      attempt(() => socket.bind(0)),
      attempt(() => socket.addMembership('10.1.1.1')),
    );
    log.push(socket.getSendQueueCount(), socket.getSendQueueSize());
    socket.close();
    log.push(
      attempt(() => socket.close()),
      attempt(() => socket.address()),
      attempt(() => socket.send('x', 1, side.ip4)),
    );
    return log;
  },
  'shares a port only if it is told to': async (side) => {
    const first = await bound(side.server, { type: 'udp4' }, side.ip4);
    const { port } = first.address();
    const second = side.server.createSocket('udp4');
    second.bind(port, side.ip4);
    const [error] = await once(second, 'error');
    first.close();
    const reusing = [1, 2].map(() => side.server.createSocket({ type: 'udp4', reuseAddr: true }));
    for (const socket of reusing) {
      socket.bind(port, side.ip4);
      await once(socket, 'listening');
    }
    for (const socket of reusing) socket.close();
    second.close();
    const foreign = side.server.createSocket('udp4').bind(0, '192.0.2.1');
    const [other] = await once(foreign, 'error');
    foreign.close();
    return [
      { ...(errorOf(error) as object), message: '' },
      { ...(errorOf(other) as object), message: '' },
    ];
  },
  'sends datagrams of every size': async (side) => {
    const server = await bound(side.server, { type: 'udp4' }, side.ip4);
    const client = side.client.createSocket('udp4');
    const sizes: number[] = [];
    for (const size of [0, 1, 1472, 9000, 65_507]) {
      client.send(Buffer.alloc(size, 7), server.address().port, side.ip4);
      const [bytes] = await once(server, 'message');
      sizes.push(bytes.length, bytes.at(-1) ?? -1);
    }
    const error = await new Promise((done) => client.send(Buffer.alloc(65_508), server.address().port, side.ip4, done));
    client.close();
    server.close();
    return [sizes, { ...(errorOf(error) as object), message: '' }];
  },
  'is closed by a signal': async (side) => {
    const abort = new AbortController();
    const socket = side.client.createSocket({ type: 'udp4', signal: abort.signal });
    socket.bind(0, side.own4);
    await once(socket, 'listening');
    abort.abort();
    await once(socket, 'close');
    return [attempt(() => socket.address())];
  },
};

test.each(Object.keys(SCENARIOS))('%s', async (name) => {
  const expected = await SCENARIOS[name]!(sides.node);
  const found = await SCENARIOS[name]!(sides.stack);
  expect(expected).toBeTruthy();
  expect(found).toEqual(expected);
});

test('joins a group of the network', async () => {
  const { server, client } = sides.stack;
  const listener = server.createSocket('udp4');
  listener.bind(5353);
  await once(listener, 'listening');
  listener.addMembership('239.1.2.3', '10.0.0.1');
  const sender = client.createSocket('udp4');
  await new Promise<void>((done) => sender.bind(0, () => done()));
  sender.setMulticastInterface('10.0.0.2');
  sender.setMulticastTTL(1);
  sender.send('to all', 5353, '239.1.2.3');
  const [bytes, from] = await once(listener, 'message');
  expect([String(bytes), from.address]).toEqual(['to all', '10.0.0.2']);
  listener.dropMembership('239.1.2.3', '10.0.0.1');
  expect(() => listener.dropMembership('239.1.2.3', '10.0.0.1')).toThrow('EADDRNOTAVAIL');
  listener.close();
  sender.close();
});
