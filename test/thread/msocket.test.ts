import { afterAll, beforeAll, expect, test } from 'vitest';
import { Errno, Family, How, Ready, SocketOption, SocketType, TcpOption } from '../../stack/stack.ts';
import { MultiSocket, msocket } from '../../thread/msocket.io.ts';
import type { StackContext } from '../../thread/place.io.ts';
import { MemoryNet } from '../kit/two-stacks.ts';

const lan = new MemoryNet();
let a: StackContext;
let b: StackContext;

beforeAll(() => {
  [a, b] = lan.hosts(2) as [StackContext, StackContext];
});
afterAll(() => lan.close());

const bytes = new Uint8Array(100);
const text = (count: number): string => Buffer.from(bytes.subarray(0, count)).toString();

test('a stream is connected, written, shut and read to its end, and no call blocks', async () => {
  const listener = msocket(a, Family.Inet6, SocketType.Stream);
  expect([listener.bind('::', 700), listener.listen(), listener.accept()]).toEqual([0, 0, -Errno.EAGAIN]);
  const client = msocket(b, Family.Inet, SocketType.Stream);
  expect(client.connect('10.0.0.1', 700)).toBe(-Errno.EINPROGRESS);
  expect((await client.ready(Ready.Out)) & Ready.Error).toBe(0);
  await listener.ready(Ready.In);
  const server = listener.accept() as MultiSocket;
  expect(server).toBeInstanceOf(MultiSocket);
  expect([client.peer, server.local]).toEqual(Array(2).fill({ address: '10.0.0.1', port: 700 }));
  expect(server.recv(bytes)).toBe(-Errno.EAGAIN);
  expect([client.send(Buffer.from('hello')), client.shutdown(How.Write)]).toEqual([5, 0]);
  await server.ready(Ready.In);
  expect(text(server.recv(bytes))).toBe('hello');
  await server.ready(Ready.ReadHup);
  expect(server.recv(bytes)).toBe(0);
  expect([
    client.send(bytes),
    client.setTcpOption(TcpOption.NoDelay, 1),
    client.getTcpOption(TcpOption.NoDelay),
  ]).toEqual([-Errno.EPIPE, 0, 1]);
  for (const socket of [server, client, listener]) expect(socket.close()).toBe(0);
  expect([client.close(), client.recv(bytes), client.poll()]).toEqual([-Errno.EBADF, -Errno.EBADF, Ready.Error]);
});

test('a refused connection says so', async () => {
  const client = msocket(b, Family.Inet6, SocketType.Stream);
  client.connect('fd00::1', 9);
  expect((await client.ready(Ready.Out)) & Ready.Error).toBe(Ready.Error);
  expect(client.getOption(SocketOption.Error)).toBe(Errno.ECONNREFUSED);
  client.close();
});

test('datagrams come with their source', async () => {
  const server = msocket(a, Family.Inet, SocketType.Datagram);
  server.bind('10.0.0.1', 701);
  const client = msocket(b, Family.Inet, SocketType.Datagram);
  client.bind('10.0.0.2', 702);
  expect(client.sendTo(Buffer.from('x'), '10.0.0.1', 701)).toBe(1);
  await server.ready(Ready.In);
  expect(server.recvFrom(bytes)).toEqual({ count: 1, address: '10.0.0.2', port: 702 });
  expect(server.recvFrom(bytes).count).toBe(-Errno.EAGAIN);
  expect(client.sendTo(bytes, 'nonsense', 1)).toBe(-Errno.EINVAL);
  const waiting = server.ready(Ready.In);
  server.close();
  expect(await waiting).toBe(Ready.Error);
  client.abort();
});

test('what there is no socket for is an error', () => {
  expect(() => msocket(a, 99, SocketType.Stream)).toThrow('socket EAFNOSUPPORT');
  expect(() => msocket(a, Family.Inet, 9)).toThrow('socket EINVAL');
});
