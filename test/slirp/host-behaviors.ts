// What both grants of host sockets do alike, against the kernel by loopback.

import { createHash } from 'node:crypto';
import * as dgram from 'node:dgram';
import { once } from 'node:events';
import { chmodSync, existsSync, statSync, writeFileSync } from 'node:fs';
import * as net from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { BATCH_DATAGRAMS, HostReady } from '../../slirp/slirp.ts';
import { Errno, formatAddress, SocketName } from '../../stack/stack.ts';
import { tempDir, until } from '../kit/test-host.ts';
import { ANY, address, closedPort, End, type Grant, Listening, local, fill as put, row, Server } from './kit-host.ts';

const { In, Out, Error: Failed, Hup } = HostReady;
const LONG_BYTES = 10_000_000;

/** Every byte depends on its place. */
export function pattern(bytes: number): Buffer {
  const words = new Uint32Array(Math.ceil(bytes / 4));
  for (let i = 0; i < words.length; i++) words[i] = Math.imul(i + 1, 0x9e3779b1);
  return Buffer.from(words.buffer, 0, bytes);
}

const sha = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

export const FAMILIES = [
  { host: '127.0.0.1', any: '0.0.0.0', isIp6: false },
  { host: '::1', any: '::', isIp6: true },
];

export function streamBehaviors(make: (handlesMax?: number) => Grant): void {
  let grant: Grant;
  const open: { close(): void }[] = [];
  const home = tempDir();

  beforeEach(() => {
    grant = make();
  });
  afterEach(() => {
    for (const each of open.splice(0)) each.close();
    grant.end();
  });

  const serve = async (where: string | { host: string }, onSocket?: (socket: net.Socket) => void): Promise<Server> => {
    const server = await new Server(onSocket).listen(where);
    open.push(server);
    return server;
  };
  const dial = (server: Server, host = '127.0.0.1'): End =>
    new End(grant, grant.host.connectTcp(address(host), server.port, ANY));
  const echo = (socket: net.Socket): void => void socket.pipe(socket);

  describe.each(FAMILIES)('TCP by $host', ({ host, any, isIp6 }) => {
    test('a connection is told to be open, and known by its name', async () => {
      const server = await serve({ host });
      const user = new Listening(grant, grant.host.connectTcp(address(host), server.port, ANY), Out);
      await user.hears(Out);
      expect(user.seen).toBe(Out);
      expect(grant.host.takeError(user.h)).toBe(0);
      const name = await local(grant, user.h);
      const { remoteAddress, remotePort } = await server.socket();
      expect([formatAddress(name.address), name.port]).toEqual([remoteAddress, remotePort]);
    });

    test('a refused connection is told as an error', async () => {
      const user = new Listening(grant, grant.host.connectTcp(address(host), await closedPort(host), ANY), Out);
      await user.hears(Failed);
      expect(grant.host.takeError(user.h)).toBe(Errno.ECONNREFUSED);
      expect(grant.host.takeError(user.h)).toBe(0);
    });

    test('leaves from the source that it is given', async () => {
      const server = await serve({ host });
      new End(grant, grant.host.connectTcp(address(host), server.port, address(host)));
      expect((await server.socket()).remoteAddress).toBe(host);
    });

    test('accepts, and says who', async () => {
      const h = grant.host.listenTcp(address(host), 0, 16);
      const user = new Listening(grant, h, In);
      const name = await local(grant, h);
      expect(formatAddress(name.address)).toBe(host);
      const peer = new SocketName();
      expect(grant.host.accept(h, peer)).toBe(-Errno.EAGAIN);
      const client = net.connect({ host, port: name.port });
      open.push({ close: () => client.destroy() });
      await user.hears(In);
      const end = new End(grant, grant.host.accept(h, peer));
      expect([formatAddress(peer.address), peer.port]).toEqual([host, client.localPort]);
      expect(grant.host.accept(h, peer)).toBe(-Errno.EAGAIN);
      client.write('hello');
      await until(() => end.bytes.toString() === 'hello', 'what the client wrote');
      end.send(Buffer.from('and hello'));
      const [answer] = await once(client, 'data');
      expect(String(answer)).toBe('and hello');
    });

    test('refuses to listen where somebody else does', async () => {
      const server = await serve({ host });
      const h = grant.host.listenTcp(address(host), server.port, 1);
      if (h >= 0) {
        const user = new Listening(grant, h);
        await user.hears(Failed);
        expect(grant.host.takeError(h)).toBe(Errno.EADDRINUSE);
      } else expect(h).toBe(-Errno.EADDRINUSE);
    });

    test('a listener for all addresses is one of its family only', async () => {
      const h = grant.host.listenTcp(address(any), 0, 1);
      const user = new Listening(grant, h, In);
      const { port } = await local(grant, h);
      const other = net.connect({ host: isIp6 ? '127.0.0.1' : '::1', port });
      const [error] = await once(other, 'error');
      expect((error as NodeJS.ErrnoException).code).toBe('ECONNREFUSED');
      const client = net.connect({ host, port });
      open.push({ close: () => client.destroy() });
      await user.hears(In);
    });
  });

  test('10 MB go there and back', async () => {
    const bytes = pattern(LONG_BYTES);
    const server = await serve({ host: '127.0.0.1' }, echo);
    const end = dial(server).send(bytes).finish();
    await until(() => end.hasEnded || end.code !== 0, 'the end of 10 MB', 20_000);
    expect([end.code, end.receivedBytes]).toEqual([0, LONG_BYTES]);
    expect(sha(end.bytes)).toBe(sha(bytes));
  }, 30_000);

  test('who does not read holds the other one back', async () => {
    const bytes = pattern(LONG_BYTES);
    const server = await serve({ host: '127.0.0.1' });
    const end = dial(server);
    end.reads(false);
    const peer = await server.socket();
    let written = 0;
    for (let at = 0; at < bytes.length; at += 65536) {
      peer.write(bytes.subarray(at, at + 65536), () => {
        written = Math.min(at + 65536, bytes.length);
      });
    }
    peer.end();
    await until(() => written > 0, 'a first part');
    await settled(() => written);
    expect(written).toBeLessThan(bytes.length);
    const { turns } = grant;
    await settled(() => grant.turns);
    expect(grant.turns - turns).toBeLessThan(5); // readiness that nobody wants costs no turns
    end.reads(true);
    await until(() => end.hasEnded, 'the end', 20_000);
    expect(sha(end.bytes)).toBe(sha(bytes));
  }, 30_000);

  test('a peer that does not read holds us back, and we hear when it does', async () => {
    const bytes = pattern(LONG_BYTES);
    const got = createHash('sha256');
    const server = await serve({ host: '127.0.0.1' }, (socket) => socket.pause());
    const end = dial(server).send(bytes).finish();
    const peer = await server.socket();
    await settled(() => peer.bytesRead + grant.turns);
    peer.on('data', (chunk) => got.update(chunk));
    peer.resume();
    await until(() => peer.readableEnded, 'the end', 20_000);
    expect(end.code).toBe(0);
    expect(got.digest('hex')).toBe(sha(bytes));
  }, 30_000);

  test('after our end the peer may still send', async () => {
    const server = await serve({ host: '127.0.0.1' });
    const end = dial(server).send(Buffer.from('question')).finish();
    const peer = await server.socket();
    let asked = '';
    peer.on('data', (chunk) => {
      asked += chunk;
    });
    await until(() => peer.readableEnded, 'the end');
    expect(asked).toBe('question');
    expect(end.hasEnded).toBe(false);
    peer.end('answer');
    await until(() => end.hasEnded, 'the end');
    expect(end.bytes.toString()).toBe('answer');
  });

  test('after the peer’s end we may still send', async () => {
    const server = await serve({ host: '127.0.0.1' });
    const end = dial(server);
    const peer = await server.socket();
    peer.end('bye');
    await until(() => end.hasEnded, 'the end');
    expect(end.bytes.toString()).toBe('bye');
    end.send(Buffer.from('one more')).finish();
    const [said] = await once(peer, 'data');
    expect(String(said)).toBe('one more');
  });

  test('what was sent before a close is delivered', async () => {
    const server = await serve({ host: '127.0.0.1' }, (socket) => socket.pause());
    const bytes = pattern(100_000);
    const end = dial(server).send(bytes);
    const peer = await server.socket();
    await until(() => end.isConnected, 'a connection');
    await settled(() => grant.turns);
    grant.host.close(end.h);
    const got: Buffer[] = [];
    peer.on('data', (chunk) => got.push(chunk as Buffer));
    peer.resume();
    await until(() => peer.readableEnded, 'the end');
    expect(sha(Buffer.concat(got))).toBe(sha(bytes));
  });

  test('an abort resets', async () => {
    const server = await serve({ host: '127.0.0.1' });
    const end = dial(server);
    const peer = await server.socket();
    await until(() => end.isConnected, 'a connection');
    grant.host.abort(end.h);
    const [error] = await once(peer, 'error');
    expect((error as NodeJS.ErrnoException).code).toBe('ECONNRESET');
  });

  test('a reset is told', async () => {
    const server = await serve({ host: '127.0.0.1' });
    const end = dial(server);
    const peer = await server.socket();
    await until(() => end.isConnected, 'a connection');
    peer.resetAndDestroy();
    await until(() => end.code !== 0, 'an error');
    expect(end.code).toBe(-Errno.ECONNRESET);
  });

  test('a socket that was shut sends no more', async () => {
    const server = await serve({ host: '127.0.0.1' });
    const end = dial(server).finish();
    const peer = await server.socket();
    peer.resume();
    await until(() => peer.readableEnded, 'the end');
    end.send(Buffer.from('late'));
    await until(() => end.code !== 0, 'an error');
    expect(end.code).toBe(-Errno.EPIPE);
  });

  test('a user may close its handle, and any other, in what it is told', async () => {
    const server = await serve({ host: '127.0.0.1' });
    grant.isOnLoop = false;
    const users = [0, 1, 2].map(
      () => new Listening(grant, grant.host.connectTcp(address('127.0.0.1'), server.port, ANY), Out),
    );
    const closeAll = (): void => {
      for (const { h } of users) grant.host.close(h);
    };
    for (const user of users) user.act = closeAll;
    await until(() => server.sockets.length === 3, 'three connections');
    await until(() => {
      grant.host.dispatch();
      return grant.host.count === 0;
    }, 'all closed');
    expect(users.map(({ told }) => told).sort()).toEqual([0, 0, 1]);
    for (const socket of server.sockets) socket.resume();
    await until(() => server.sockets.every((socket) => socket.readableEnded), 'three ends');
  });

  test('who is given the number of a handle that was closed hears nothing of it', async () => {
    const server = await serve({ host: '127.0.0.1' });
    grant.isOnLoop = false;
    const users = [0, 1].map(
      () => new Listening(grant, grant.host.connectTcp(address('127.0.0.1'), server.port, ANY), Out),
    );
    await until(() => server.sockets.length === 2, 'two connections');
    for (const socket of server.sockets) socket.write('ready');
    await settled(() => server.sockets.length);
    const told: string[] = [];
    let fresh: Listening | undefined;
    for (const [i, user] of users.entries()) {
      user.act = () => {
        told.push('old');
        const other = users[1 - i]!;
        grant.host.close(other.h);
        fresh = new Listening(grant, grant.host.listenTcp(address('127.0.0.1'), 0, 1), In | Out);
        fresh.act = () => told.push('fresh');
        expect(fresh.h).toBe(other.h);
        user.act = undefined;
        grant.host.want(user.h, 0);
      };
    }
    await until(() => {
      grant.host.dispatch();
      return fresh !== undefined;
    }, 'one of them');
    for (let i = 0; i < 10; i++) {
      await settled(() => 0);
      grant.host.dispatch();
    }
    expect(told).toEqual(['old']);
  });

  test('what a user leaves is told again; what nobody wants is not', async () => {
    const server = await serve({ host: '127.0.0.1' });
    const user = new Listening(grant, grant.host.connectTcp(address('127.0.0.1'), server.port, ANY), In);
    (await server.socket()).write('something');
    await user.hears(In);
    await until(() => user.told > 3, 'again');
    grant.host.want(user.h, 0);
    const { told } = user;
    await settled(() => grant.turns);
    expect(user.told).toBe(told);
    grant.host.want(user.h, In);
    await until(() => user.told > told, 'again');
    expect(user.seen & Hup).toBe(0);
  });

  test('as many handles as it may have, and no more', async () => {
    grant.end();
    grant = make(3);
    const server = await serve({ host: '127.0.0.1' });
    const listener = new Listening(grant, grant.host.listenTcp(address('127.0.0.1'), 0, 16), In);
    const { port } = await local(grant, listener.h);
    const ends = [dial(server), dial(server)];
    expect(grant.host.connectTcp(address('127.0.0.1'), server.port, ANY)).toBe(-Errno.EMFILE);
    expect(grant.host.connectUnix('/nowhere')).toBe(-Errno.EMFILE);
    expect(grant.host.openUdp(false, ANY, 0)).toBe(-Errno.EMFILE);
    const client = net.connect({ host: '127.0.0.1', port });
    open.push({ close: () => client.destroy() });
    await listener.hears(In);
    const peer = new SocketName();
    expect(grant.host.accept(listener.h, peer)).toBe(-Errno.EMFILE);
    const { told } = listener;
    await settled(() => grant.turns);
    expect(listener.told - told).toBeLessThan(2); // it waits for a handle
    grant.host.close(ends[0]!.h);
    await until(() => listener.told > told, 'room again');
    expect(grant.host.accept(listener.h, peer)).toBeGreaterThanOrEqual(0);
    expect(peer.port).toBe(client.localPort);
  });

  test('calls on a handle that is closed do nothing', () => {
    const h = grant.host.openUdp(false, ANY, 0);
    grant.host.close(h);
    grant.host.close(h);
    grant.host.want(h, In);
    expect(grant.host.count).toBe(0);
    expect(grant.host.receiveDatagrams(h, grant.batch)).toBe(-Errno.EBADF);
    expect(grant.host.local(h, new SocketName())).toBe(-Errno.EBADF);
    expect(grant.host.shutdown(h)).toBe(-Errno.EBADF);
  });

  describe('Unix sockets', () => {
    test('connect, and carry both directions', async () => {
      const path = home.file('echo');
      await serve(path, echo);
      const bytes = pattern(1_000_000);
      const end = new End(grant, grant.host.connectUnix(path)).send(bytes).finish();
      await until(() => end.hasEnded, 'the end', 20_000);
      expect(sha(end.bytes)).toBe(sha(bytes));
    });

    test.each([
      ['nobody', Errno.ECONNREFUSED],
      ['nothing', 2],
    ])('say that %s is there', async (what, errno) => {
      const path = home.file(what);
      if (what === 'nobody') await leaveSocket(path);
      expect(await failure(grant, grant.host.connectUnix(path))).toBe(errno);
    });

    test('listen for their owner only, and are gone afterwards', async () => {
      const path = home.file('listener');
      const h = grant.host.listenUnix(path, 4);
      const user = new Listening(grant, h, In);
      await until(() => existsSync(path), 'the file');
      await until(() => (statSync(path).mode & 0o777) === 0o600, 'mode 0600');
      const client = net.connect({ path });
      open.push({ close: () => client.destroy() });
      await user.hears(In);
      const peer = new SocketName();
      peer.port = 1;
      const end = new End(grant, grant.host.accept(h, peer)).send(Buffer.from('hi'));
      expect([formatAddress(peer.address), peer.port]).toEqual(['::', 0]);
      const [said] = await once(client, 'data');
      expect(String(said)).toBe('hi');
      grant.host.close(end.h);
      grant.host.close(h);
      await until(() => !existsSync(path), 'the file gone');
    });

    test('take the place of one that nobody listens to', async () => {
      const path = home.file('stale');
      await leaveSocket(path);
      const user = new Listening(grant, grant.host.listenUnix(path, 4), In);
      const client = await connectWhenUp(path);
      open.push({ close: () => client.destroy() });
      await user.hears(In);
    });

    test('leave alone what somebody listens to, and what is no socket', async () => {
      const path = home.file('served');
      await serve(path);
      expect(await failure(grant, grant.host.listenUnix(path, 4))).toBe(Errno.EADDRINUSE);
      const file = home.file('file');
      writeFileSync(file, 'precious');
      chmodSync(file, 0o644);
      expect(await failure(grant, grant.host.listenUnix(file, 4))).toBe(Errno.EADDRINUSE);
      expect(existsSync(path) && existsSync(file)).toBe(true);
      expect(statSync(file).mode & 0o777).toBe(0o644);
    });
  });
}

export function datagramBehaviors(make: (handlesMax?: number) => Grant): void {
  let grant: Grant;
  const open: dgram.Socket[] = [];

  beforeEach(() => {
    grant = make();
  });
  afterEach(() => {
    for (const each of open.splice(0)) each.close();
    grant.end();
  });

  describe.each(FAMILIES)('UDP by $host', ({ host, any, isIp6 }) => {
    const bindPeer = async (): Promise<dgram.Socket> => {
      const peer = dgram.createSocket({ type: isIp6 ? 'udp6' : 'udp4', recvBufferSize: 1 << 20 });
      open.push(peer);
      peer.bind({ address: host, port: 0 });
      await once(peer, 'listening');
      return peer;
    };
    const fill = (row: number, bytes: Uint8Array, port: number): void => put(grant, row, bytes, address(host), port);

    test('1,000 datagrams go there and back, in batches', async () => {
      const peer = await bindPeer();
      peer.on('message', (bytes, { address, port }) => peer.send(bytes, port, address));
      const h = grant.host.openUdp(isIp6, ANY, 0);
      const got: string[] = [];
      const user = new Listening(grant, h, In);
      let biggest = 0;
      user.act = () => {
        const { batch } = grant;
        const n = grant.host.receiveDatagrams(h, batch);
        for (let i = 0; i < n; i++) {
          const from = formatAddress(batch.address.slice(4 * i, 4 * i + 4));
          expect([from, batch.port[i]]).toEqual([host, peer.address().port]);
          got.push(row(grant, i).toString());
        }
        biggest = Math.max(biggest, n);
      };
      const sent = Array.from({ length: 1000 }, (_, i) => `datagram ${i}`);
      for (let i = 0; i < 1000; i += BATCH_DATAGRAMS) {
        const count = Math.min(BATCH_DATAGRAMS, 1000 - i);
        for (let k = 0; k < count; k++) fill(k, Buffer.from(sent[i + k]!), peer.address().port);
        const taken = grant.host.sendDatagrams(h, grant.batch, 0, count);
        expect(taken).toBe(count);
        await until(() => got.length === i + count, `${i + count} datagrams, ${got.length} so far`);
      }
      expect(got).toEqual(sent);
      expect(biggest).toBeLessThanOrEqual(BATCH_DATAGRAMS);
      expect(grant.host.receiveDatagrams(h, grant.batch)).toBe(-Errno.EAGAIN);
    });

    test('is bound where it says, from the beginning', async () => {
      const peer = await bindPeer();
      const [message] = await Promise.all([
        once(peer, 'message'),
        (async () => {
          const h = grant.host.openUdp(isIp6, ANY, 0);
          const name = new SocketName();
          expect(grant.host.local(h, name)).toBe(0);
          expect(name.port).toBeGreaterThan(0);
          fill(0, Buffer.from([name.port >> 8, name.port & 0xff]), peer.address().port);
          expect(grant.host.sendDatagrams(h, grant.batch, 0, 1)).toBe(1);
        })(),
      ]);
      const [bytes, from] = message as [Buffer, dgram.RemoteInfo];
      expect(bytes.readUInt16BE(0)).toBe(from.port);
    });

    test('takes an address and port that are free, and no others', async () => {
      const peer = await bindPeer();
      expect(grant.host.openUdp(isIp6, address(host), peer.address().port)).toBe(-Errno.EADDRINUSE);
      expect(grant.host.count).toBe(0);
      peer.close();
      open.length = 0;
      const h = grant.host.openUdp(isIp6, address(host), 0);
      const name = new SocketName();
      expect(grant.host.local(h, name)).toBe(0);
      expect(formatAddress(name.address)).toBe(host);
      expect(formatAddress(address(any))).toBe(any);
    });

    test('carries no bytes, and as many as there can be', async () => {
      const peer = await bindPeer();
      const lengths: number[] = [];
      peer.on('message', (bytes) => lengths.push(bytes.length));
      const longest = isIp6 ? 65527 : 65507;
      const h = grant.host.openUdp(isIp6, ANY, 0);
      fill(0, new Uint8Array(0), peer.address().port);
      fill(1, pattern(isIp6 ? 65000 : longest), peer.address().port); // longer ones of IPv6 do not fit loopback's MTU
      expect(grant.host.sendDatagrams(h, grant.batch, 0, 2)).toBe(2);
      await until(() => lengths.length === 2, 'both');
      expect(lengths).toEqual([0, isIp6 ? 65000 : longest]);
      fill(0, pattern(longest + 1), peer.address().port);
      expect(grant.host.sendDatagrams(h, grant.batch, 0, 1)).toBe(-Errno.EMSGSIZE);
      fill(1, Buffer.from('next'), peer.address().port);
      expect(grant.host.sendDatagrams(h, grant.batch, 1, 1)).toBe(1);
      await until(() => lengths.length === 3, 'the next one');
    });

    test('says at once that there is no port 0', () => {
      const h = grant.host.openUdp(isIp6, ANY, 0);
      fill(0, Buffer.from('to nobody'), 0);
      expect(grant.host.sendDatagrams(h, grant.batch, 0, 1)).toBe(-Errno.EINVAL);
    });

    test('options of what is sent may be set again and again', () => {
      const h = grant.host.openUdp(isIp6, ANY, 0);
      for (const hops of [1, 1, 64, 255]) grant.host.setHops(h, hops);
      for (const isSet of [true, true, false]) grant.host.setDontFragment(h, isSet);
      grant.host.setTrafficClass(h, 0xb8);
      expect(grant.host.takeError(h)).toBe(0);
    });
  });
}

/** Waits until `value` has not changed for some turns of the loop. */
export async function settled(value: () => number): Promise<void> {
  for (let same = 0, last = value(); same < 20; same++) {
    await new Promise((resolve) => setTimeout(resolve, 1));
    const now = value();
    if (now !== last) same = 0;
    last = now;
  }
}

/** What a call failed with: at once, or as an error that is told. */
async function failure(grant: Grant, h: number): Promise<number> {
  if (h < 0) return -h;
  const user = new Listening(grant, h);
  await user.hears(Failed);
  const errno = grant.host.takeError(h);
  grant.host.close(h);
  return errno;
}

/** A socket file without a listener: its server was renamed away from it before it closed. */
async function leaveSocket(path: string): Promise<void> {
  const { renameSync } = await import('node:fs');
  const server = net.createServer().listen(`${path}.first`);
  await once(server, 'listening');
  renameSync(`${path}.first`, path);
  server.close();
  await once(server, 'close');
  expect(statSync(path).isSocket()).toBe(true);
}

async function connectWhenUp(path: string): Promise<net.Socket> {
  let client: net.Socket | undefined;
  await until(() => {
    if (client?.readyState === 'open') return true;
    if (!client || client.destroyed) client = net.connect({ path }).on('error', () => {});
    return false;
  }, `somebody at ${path}`);
  return client!;
}
