import { expect, test } from 'vitest';
import { Errno } from '../../../stack/errno.ts';
import { IcmpError } from '../../../stack/packet.ts';
import { type Listener, SocketError, Streams, type TcpStream } from '../../../stack/socket/streams.ts';
import { A4, address, arrive, B4, type Host, makeHost, text } from '../kit-sockets.ts';

interface World {
  host: Host;
  streams: Streams;
  wakes: number;
}

/** A driver that polls the stack whenever it is woken, after the caller's turn. */
function makeWorld(): World {
  const host = makeHost();
  const world: World = { host, wakes: 0, streams: undefined as unknown as Streams };
  world.streams = new Streams({
    sockets: host.sockets,
    nowUs: () => host.shared.nowUs,
    wake: () => {
      world.wakes++;
      void Promise.resolve().then(() => world.streams.dispatch());
    },
    lookup: async (name) => (name === 'two.test' ? [address('10.0.0.2'), address('10.0.0.1')] : []),
  });
  return world;
}

async function pair(
  { streams }: World,
  port = 80,
): Promise<{ client: TcpStream; server: TcpStream; listener: Listener }> {
  const listener = streams.listen({ host: '0.0.0.0', port });
  const [client, server] = await Promise.all([streams.connect({ host: A4, port }), listener.accept()]);
  return { client, server, listener };
}

/** What a promise failed with. */
const failure = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => 'no failure',
    (error: unknown) => error,
  );

test('connects, writes, reads, ends; both ends are named', async () => {
  const world = makeWorld();
  const { client, server } = await pair(world);
  expect(client.remote).toEqual({ address: '10.0.0.1', port: 80, iface: 0 });
  expect(server.local?.port).toBe(80);
  await client.write(text('hello'));
  expect(await server.read()).toEqual(text('hello'));
  await client.end();
  expect(await server.read()).toBeUndefined();
  expect(await server.read()).toBeUndefined();
  await server.write(text('bye'));
  await server.end();
  await server.closed;
  expect(await client.read(2)).toEqual(text('by'));
  expect(await client.read(new Uint8Array(8))).toEqual(text('e'));
  expect(await client.read()).toBeUndefined();
  await client.closed;
  expect(world.wakes).toBeGreaterThan(5);
});

test('a write waits until the peer reads, and concurrent writes keep their order', async () => {
  const { client, server } = await pair(makeWorld());
  let done = false;
  const writes = [client.write(new Uint8Array(2500).fill(1)), client.write(new Uint8Array(500).fill(2)), client.end()];
  const all = Promise.all(writes).then(() => {
    done = true;
  });
  for (let i = 0; i < 50; i++) await Promise.resolve();
  expect(done).toBe(false);
  const got: number[] = [];
  for await (const chunk of server) got.push(...chunk);
  await all;
  expect(got).toEqual([...new Array(2500).fill(1), ...new Array(500).fill(2)]);
  expect(await failure(client.write(text('x')))).toMatchObject({ code: 'EPIPE', syscall: 'write' });
});

test('refused is an Error like Node’s, and leaves no socket open', async () => {
  const { streams, host } = makeWorld();
  const error = await failure(streams.connect({ host: '10.0.0.1', port: 9 }));
  expect(error).toBeInstanceOf(SocketError);
  expect(error).toMatchObject({
    ...{ code: 'ECONNREFUSED', errno: -111, syscall: 'connect', address: '10.0.0.1', port: 9 },
    message: 'connect ECONNREFUSED 10.0.0.1:9',
  });
  expect(host.sockets.socket(2, 1)).toBe(0);
});

test('a name’s addresses are tried in their order; a name without any is an error', async () => {
  const { streams, host } = makeWorld();
  const listener = streams.listen({ host: '10.0.0.1', port: 80 });
  const [stream] = await Promise.all([streams.connect({ host: 'two.test', port: 80 }), listener.accept()]);
  expect(stream.remote?.address).toBe('10.0.0.2');
  expect(await failure(streams.connect({ host: 'none.test', port: 80 }))).toMatchObject({ syscall: 'getaddrinfo' });
  expect(host.tcp.list).toHaveLength(3);
});

test('a connect ends with its timeout, in the stack’s time, not before', async () => {
  const { streams, host } = makeWorld();
  const result = failure(streams.connect({ host: A4, port: 7 }, { timeoutUs: 1000 }));
  await Promise.resolve();
  await Promise.resolve();
  expect(streams.deadlineUs()).toBe(1000);
  host.shared.nowUs = 999;
  streams.expire();
  expect(streams.deadlineUs()).toBe(1000);
  host.shared.nowUs = 1000;
  streams.expire();
  expect(await result).toMatchObject({ code: 'ETIMEDOUT' });
  expect(streams.deadlineUs()).toBe(Infinity);
});

test('a signal ends connect, read and accept with its reason', async () => {
  const world = makeWorld();
  const { client, listener } = await pair(world);
  const controller = new AbortController();
  const { signal } = controller;
  const waits = [
    world.streams.connect({ host: A4, port: 7 }, { signal }),
    client.read(9, { signal }),
    listener.accept({ signal }),
  ];
  const results = Promise.all(waits.map(failure));
  controller.abort(new Error('enough'));
  for (const error of await results) expect(error).toMatchObject({ message: 'enough' });
  expect(await failure(client.read(9, { signal }))).toMatchObject({ message: 'enough' });
});

test('a reset fails whoever reads or writes, and closes', async () => {
  const { client, server } = await pair(makeWorld());
  const read = failure(server.read());
  client.abort();
  expect(await read).toMatchObject({ code: 'ECONNRESET', syscall: 'read' });
  await Promise.all([client.closed, server.closed]);
  expect(await failure(client.write(text('x')))).toMatchObject({ code: 'ECONNABORTED' });
});

test('a listener is iterated over until it is closed', async () => {
  const { streams } = makeWorld();
  const listener = streams.listen({ host: '0.0.0.0', port: 80 });
  const seen: TcpStream[] = [];
  const loop = (async () => {
    for await (const stream of listener) {
      seen.push(stream);
      if (seen.length === 2) listener.close();
    }
  })();
  await streams.connect({ host: A4, port: 80 });
  await streams.connect({ host: A4, port: 80 });
  await loop;
  expect(seen).toHaveLength(2);
  expect(await failure(listener.accept())).toMatchObject({ code: 'ECONNABORTED' });
});

test('UDP: sends, receives in order, and names what went wrong', async () => {
  const { streams, host } = makeWorld();
  const socket = streams.udp({ host: '0.0.0.0', port: 5000 });
  const waiting = socket.receive();
  arrive(host, B4, A4, 9, 5000, 'one');
  streams.dispatch();
  expect(await waiting).toMatchObject({
    bytes: text('one'),
    address: '10.0.0.2',
    port: 9,
    target: '10.0.0.1',
    hops: 61,
  });
  await socket.send(text('two'), { address: B4, port: 9 });
  expect(host.sender.sent[0]!.bytes.subarray(8)).toEqual(text('two'));
  expect(await failure(socket.send(text('x')))).toMatchObject({ code: 'EDESTADDRREQ' });
  expect(await failure(Promise.resolve().then(() => streams.udp({ host: '0.0.0.0', port: 5000 })))).toMatchObject({
    code: 'EADDRINUSE',
  });
  const last = failure(socket.receive());
  socket.close();
  expect(await last).toMatchObject({ code: 'EBADF' });
});

test('UDP: a send waits for room in the output', async () => {
  const { streams, host } = makeWorld();
  const socket = streams.udp({ peer: { host: B4, port: 9 } });
  host.sender.isFull = true;
  const sent = socket.send(text('x'));
  host.sender.isFull = false;
  host.sockets.outputDrained();
  streams.dispatch();
  await sent;
  expect(host.sender.sent).toHaveLength(1);
});

test('ping: the round trip in µs, an error, or ETIMEDOUT', async () => {
  const { streams, host } = makeWorld();
  const { sockets, sender, shared } = host;
  const answer = streams.ping('10.0.0.2', { bytes: 4 });
  await Promise.resolve();
  const reply = sender.sent[0]!.bytes.slice();
  reply[0] = 0;
  shared.nowUs = 1234;
  sockets.echo.receive(host.packet(B4, A4, 1, reply));
  streams.dispatch();
  expect(await answer).toEqual({ address: '10.0.0.2', rttUs: 1234, hops: 61, bytes: 4 });

  const failed = failure(streams.ping('10.0.0.2'));
  await Promise.resolve();
  const { at } = host.packet(A4, B4, 1, sender.sent[1]!.bytes);
  const error = Object.assign(new IcmpError(), { iface: 2, at, bytes: 8, type: 3, code: 1, errno: Errno.EHOSTUNREACH });
  error.source.set(A4);
  error.target.set(B4);
  sockets.echo.fail(error);
  streams.dispatch();
  expect(await failed).toMatchObject({ code: 'EHOSTUNREACH', syscall: 'ping', address: '10.0.0.2' });

  const late = failure(streams.ping('10.0.0.2', { timeoutUs: 10 }));
  await Promise.resolve();
  shared.nowUs += 10;
  streams.expire();
  expect(await late).toMatchObject({ code: 'ETIMEDOUT' });
  expect(sockets.socket(2, 2)).toBe(0);
});
