import * as dgram from 'node:dgram';
import { once } from 'node:events';
import * as net from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Span } from '../../core/span.ts';
import { HostError, HostReady } from '../../slirp/slirp.ts';
import { Errno, formatAddress, SocketName } from '../../stack/stack.ts';
import { whyNoNative } from '../../sys/libc.io.ts';
import { needsNative } from '../kit/raw.ts';
import { skipIf } from '../kit/skip.ts';
import { until } from '../kit/test-host.ts';
import { datagramBehaviors, FAMILIES, pattern, settled, streamBehaviors } from './host-behaviors.ts';
import { ANY, address, End, fill, Grant, Listening, row, Server } from './kit-host.ts';
import { behindRouter, inNamespace, whyNoNamespace } from './namespace.io.ts';
import { urgentClient } from './urgent-client.ts';

const { In, Error: Failed } = HostReady;

const make = (handlesMax?: number): Grant => new Grant('native', handlesMax === undefined ? {} : { handlesMax });

beforeEach((ctx) => needsNative(ctx, whyNoNative()));

describe('as both grants', () => {
  streamBehaviors(make);
  datagramBehaviors(make);
});

describe('system calls', () => {
  let grant: Grant;
  const open: { close(): void }[] = [];
  beforeEach(() => {
    grant = make();
  });
  afterEach(() => {
    for (const each of open.splice(0)) each.close();
    grant?.end();
  });

  test('a long transfer asks epoll for nothing on its way', async () => {
    const server = await new Server((socket) => void socket.pipe(socket)).listen({ host: '127.0.0.1' });
    open.push(server);
    const end = new End(grant, grant.host.connectTcp(address('127.0.0.1'), server.port, ANY));
    end.send(pattern(10_000_000)).finish();
    await until(() => end.hasEnded, 'the end', 20_000);
    grant.host.close(end.h);
    expect(grant.epollCalls).toBe(2);
  }, 30_000);

  test('one request and its answer cost two epoll calls, too', async () => {
    const h = grant.host.listenTcp(address('127.0.0.1'), 0, 16);
    const listener = new Listening(grant, h, In);
    const name = new SocketName();
    expect(grant.host.local(h, name)).toBe(0);
    const client = net.connect({ host: '127.0.0.1', port: name.port });
    open.push({ close: () => client.destroy() });
    client.end('request');
    await listener.hears(In);
    const before = grant.epollCalls;
    const end = new End(grant, grant.host.accept(h, name));
    await until(() => end.hasEnded, 'a request');
    end.send(Buffer.from('answer')).finish();
    const [answer] = await once(client, 'data');
    expect(String(answer)).toBe('answer');
    grant.host.close(end.h);
    expect(grant.epollCalls - before).toBe(2);
  });

  test('an end that came with the last bytes is told with them, and costs no call', async () => {
    grant.isOnLoop = false;
    const server = await new Server((socket) => void socket.end('all')).listen({ host: '127.0.0.1' });
    open.push(server);
    const h = grant.host.connectTcp(address('127.0.0.1'), server.port, ANY);
    await until(() => server.sockets.some((socket) => socket.writableFinished), 'the server has said all');
    const user = new Listening(grant, h, In);
    await until(() => {
      grant.host.dispatch();
      return (user.seen & HostReady.End) !== 0;
    }, 'the end');
    expect(user.seen & In).toBe(In);
    const span = new Span();
    span.set(grant.slab.alloc(64), 64, 0, 0);
    expect(grant.host.receive(h, span)).toBe(3);
    expect(grant.host.receive(h, span)).toBe(0);
  });

  test('urgent data are a part of the stream, and do not stop it', async () => {
    const h = grant.host.listenTcp(address('127.0.0.1'), 0, 16);
    const listener = new Listening(grant, h, In);
    const name = new SocketName();
    grant.host.local(h, name);
    const urgent = urgentClient(name.port);
    open.push(urgent);
    await listener.hears(In);
    const end = new End(grant, grant.host.accept(h, name));
    urgent.send('one', false);
    urgent.send('!', true);
    urgent.send('two', false);
    await until(() => end.receivedBytes >= 7, 'all of it');
    expect(end.bytes.toString()).toBe('one!two');
  });

  describe.each(FAMILIES)('datagrams by $host', ({ host, isIp6 }) => {
    const target = address(host);

    test('tell hops and traffic class, and are sent with those that were set', async () => {
      const a = grant.host.openUdp(isIp6, target, 0);
      const b = grant.host.openUdp(isIp6, target, 0);
      const name = new SocketName();
      grant.host.local(b, name);
      const user = new Listening(grant, b, In);
      grant.host.setHops(a, 7);
      grant.host.setTrafficClass(a, 0xb9); // EF, CE: the host's ECN bits may be its own
      fill(grant, 0, Buffer.from('x'), target, name.port);
      expect(grant.host.sendDatagrams(a, grant.batch, 0, 1)).toBe(1);
      await user.hears(In);
      expect(grant.host.receiveDatagrams(b, grant.batch)).toBe(1);
      expect(grant.batch.hops[0]).toBe(7);
      expect(grant.batch.trafficClass[0]! & 0xfc).toBe(0xb8);
    });

    test('an unreachable port is told with what was sent there', async () => {
      const h = grant.host.openUdp(isIp6, target, 0);
      const user = new Listening(grant, h);
      const closed = await closedUdpPort(host, isIp6);
      fill(grant, 0, Buffer.from('is anybody there?'), target, closed);
      expect(grant.host.sendDatagrams(h, grant.batch, 0, 1)).toBe(1);
      await user.hears(Failed);
      const error = new HostError();
      expect(grant.host.receiveError(h, error)).toBe(true);
      expect(error).toMatchObject({ errno: Errno.ECONNREFUSED, port: closed, isIp6, code: isIp6 ? 4 : 3 });
      expect(error.type).toBe(isIp6 ? 1 : 3);
      expect([formatAddress(error.reporter), formatAddress(error.target)]).toEqual([host, host]);
      const quoted = grant.slab.bytes.slice(error.at, error.at + error.bytes);
      expect(Buffer.from(quoted).toString()).toBe('is anybody there?');
      expect(grant.host.receiveError(h, error)).toBe(false);
      const { told } = user;
      await settled(() => grant.turns);
      expect(user.told).toBe(told);
    });

    test('an error that is pending loses no datagram in either direction', async () => {
      const h = grant.host.openUdp(isIp6, target, 0);
      const other = grant.host.openUdp(isIp6, target, 0);
      const own = new SocketName();
      const name = new SocketName();
      grant.host.local(h, own);
      grant.host.local(other, name);
      const closed = await closedUdpPort(host, isIp6);
      // Every other one goes to nobody: each of those is answered before the next is sent.
      for (let i = 0; i < 32; i++) fill(grant, i, Buffer.from(`${i}`), target, i % 2 === 0 ? closed : name.port);
      expect(grant.host.sendDatagrams(h, grant.batch, 0, 32)).toBe(32);
      const user = new Listening(grant, other, In);
      await user.hears(In);
      expect(grant.host.receiveDatagrams(other, grant.batch)).toBe(16);
      for (let i = 0; i < 16; i++) fill(grant, i, Buffer.from(`answer ${i}`), target, own.port);
      expect(grant.host.sendDatagrams(other, grant.batch, 0, 16)).toBe(16);
      expect(grant.host.receiveDatagrams(h, grant.batch)).toBe(16);
      expect(row(grant, 15).toString()).toBe('answer 15');
      const error = new HostError();
      const quoted: string[] = [];
      while (grant.host.receiveError(h, error)) {
        quoted.push(Buffer.from(grant.slab.bytes.slice(error.at, error.at + error.bytes)).toString());
      }
      expect(quoted).toEqual(Array.from({ length: 16 }, (_, i) => `${2 * i}`));
    });

    test('errors that are not fetched are told again', async () => {
      const h = grant.host.openUdp(isIp6, target, 0);
      const user = new Listening(grant, h);
      fill(grant, 0, Buffer.from('x'), target, await closedUdpPort(host, isIp6));
      grant.host.sendDatagrams(h, grant.batch, 0, 1);
      await until(() => user.told > 3, 'again');
      expect(grant.host.receiveError(h, new HostError())).toBe(true);
      expect(grant.host.receiveError(h, new HostError())).toBe(false);
    });

    test('what is too long for the path is refused or fragmented, as wished', (ctx) => {
      skipIf(ctx, whyNoNamespace());
      const [from, to] = inNamespace(1500, () => [
        grant.host.openUdp(isIp6, target, 0),
        grant.host.openUdp(isIp6, target, 0),
      ]);
      const name = new SocketName();
      grant.host.local(to!, name);
      fill(grant, 0, pattern(2000), target, name.port);
      grant.host.setDontFragment(from!, true);
      expect(grant.host.sendDatagrams(from!, grant.batch, 0, 1)).toBe(-Errno.EMSGSIZE);
      const error = new HostError();
      expect(grant.host.receiveError(from!, error)).toBe(true);
      expect(error).toMatchObject({ errno: Errno.EMSGSIZE, type: -1, info: 1500, port: name.port, bytes: 2000 });
      expect(formatAddress(error.target)).toBe(host);
      expect(Buffer.from(grant.slab.bytes.slice(error.at, error.at + 2000)).equals(pattern(2000))).toBe(true);
      expect(grant.host.receiveError(from!, error)).toBe(false);
      grant.host.setDontFragment(from!, false);
      expect(grant.host.sendDatagrams(from!, grant.batch, 0, 1)).toBe(1);
      expect(grant.host.receiveDatagrams(to!, grant.batch)).toBe(1);
      expect(row(grant, 0).equals(pattern(2000))).toBe(true);
    });

    describe('ping sockets', () => {
      const request = (sequence: number, payload: string): Buffer => {
        const header = Buffer.from([isIp6 ? 128 : 8, 0, 0, 0, 0xab, 0xcd, sequence >> 8, sequence & 0xff]);
        return Buffer.concat([header, Buffer.from(payload)]);
      };

      test('are refused where the host forbids them', (ctx) => {
        skipIf(ctx, whyNoNamespace());
        const h = inNamespace(65536, () => grant.host.openEcho(isIp6, 0), '1 0');
        expect(h).toBe(-Errno.EACCES);
      });

      test('send requests under their identifier and hear the replies', async (ctx) => {
        skipIf(ctx, whyNoNamespace());
        const h = inNamespace(65536, () => grant.host.openEcho(isIp6, 4711));
        const user = new Listening(grant, h, In);
        const name = new SocketName();
        expect(grant.host.local(h, name)).toBe(0);
        expect(name.port).toBe(4711);
        for (let i = 0; i < 3; i++) fill(grant, i, request(i, `ping ${i}`), target, 0);
        expect(grant.host.sendDatagrams(h, grant.batch, 0, 3)).toBe(3);
        await user.hears(In);
        expect(grant.host.receiveDatagrams(h, grant.batch)).toBe(3);
        for (let i = 0; i < 3; i++) {
          const reply = row(grant, i);
          expect([reply[0], reply[1]]).toEqual([isIp6 ? 129 : 0, 0]);
          expect([reply.readUInt16BE(4), reply.readUInt16BE(6)]).toEqual([4711, i]);
          expect(reply.subarray(8).toString()).toBe(`ping ${i}`);
          expect(formatAddress(grant.batch.address.slice(4 * i, 4 * i + 4))).toBe(host);
          expect(grant.batch.hops[i]).toBe(64);
        }
      });

      test('do not share identifiers, and take any if they have none', (ctx) => {
        skipIf(ctx, whyNoNamespace());
        const handles = inNamespace(65536, () => [4711, 4711, 0, 0].map((id) => grant.host.openEcho(isIp6, id)));
        expect(handles[1]).toBe(-Errno.EADDRINUSE);
        const ids = [0, 2, 3].map((i) => {
          const name = new SocketName();
          expect(grant.host.local(handles[i]!, name)).toBe(0);
          return name.port;
        });
        expect(ids[0]).toBe(4711);
        expect(new Set(ids).size).toBe(3);
        expect(ids).not.toContain(0);
      });

      test('hear of what the host refuses', (ctx) => {
        skipIf(ctx, whyNoNamespace());
        const h = inNamespace(1500, () => grant.host.openEcho(isIp6, 0));
        grant.host.setDontFragment(h, true);
        fill(grant, 0, request(1, 'x'.repeat(2000)), target, 0);
        expect(grant.host.sendDatagrams(h, grant.batch, 0, 1)).toBe(-Errno.EMSGSIZE);
        const error = new HostError();
        expect(grant.host.receiveError(h, error)).toBe(true);
        expect(error).toMatchObject({ errno: Errno.EMSGSIZE, type: -1, info: 1500, port: 0 });
        expect(grant.slab.view.getUint16(error.at + 6)).toBe(1); // the sequence number of the echo that it is about
      });
    });
  });

  describe.each([
    { router: '10.99.0.1', beyond: '10.98.0.1', isIp6: false, exceeded: 11, unreachable: 3 },
    { router: 'fd99::1', beyond: 'fd98::1', isIp6: true, exceeded: 3, unreachable: 1 },
  ])('behind $router', ({ router, beyond, isIp6, exceeded, unreachable }) => {
    const echo = Buffer.concat([Buffer.from([isIp6 ? 128 : 8, 0, 0, 0, 0, 0, 0, 9]), Buffer.from('far')]);

    test.for([
      { kind: 'datagram', hops: 1, type: exceeded },
      { kind: 'datagram', hops: 64, type: unreachable },
      { kind: 'echo', hops: 1, type: exceeded },
      { kind: 'echo', hops: 64, type: unreachable },
    ])('a router reports of $kind with $hops hops', async ({ kind, hops, type }, ctx) => {
      skipIf(ctx, whyNoNamespace());
      const isEcho = kind === 'echo';
      const { result: h, close } = behindRouter(type === exceeded, () =>
        isEcho ? grant.host.openEcho(isIp6, 77) : grant.host.openUdp(isIp6, ANY, 0),
      );
      open.push({ close });
      const user = new Listening(grant, h);
      grant.host.setHops(h, hops);
      fill(grant, 0, isEcho ? echo : Buffer.from('far'), address(beyond), isEcho ? 0 : 9);
      expect(grant.host.sendDatagrams(h, grant.batch, 0, 1)).toBe(1);
      await user.hears(Failed);
      const error = new HostError();
      expect(grant.host.receiveError(h, error)).toBe(true);
      expect(error).toMatchObject({ type, code: 0, isIp6, port: isEcho ? 0 : 9 });
      expect([formatAddress(error.reporter), formatAddress(error.target)]).toEqual([router, beyond]);
      const quoted = Buffer.from(grant.slab.bytes.slice(error.at, error.at + error.bytes));
      expect(quoted.subarray(isEcho ? 8 : 0).toString()).toBe('far');
      if (isEcho) expect([quoted[0], quoted.readUInt16BE(4), quoted.readUInt16BE(6)]).toEqual([isIp6 ? 128 : 8, 77, 9]);
    });
  });
});

async function closedUdpPort(host: string, isIp6: boolean): Promise<number> {
  const socket = dgram.createSocket(isIp6 ? 'udp6' : 'udp4');
  socket.bind({ address: host, port: 0 });
  await once(socket, 'listening');
  const { port } = socket.address();
  socket.close();
  await once(socket, 'close');
  return port;
}
