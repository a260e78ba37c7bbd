// Unmodified code in scopes: http, https, tls, http2, ws, fetch, dgram and dns, each on the stack of its scope.

import { execFileSync, spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import dgram from 'node:dgram';
import * as dns from 'node:dns';
import { lookup } from 'node:dns/promises';
import { on, once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import * as http from 'node:http';
import * as http2 from 'node:http2';
import * as https from 'node:https';
import * as net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tls from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import type { StackContext } from '../../thread/place.io.ts';
import { type NodeApi, nodeApi, runEverywhere, runOutside } from '../../thread/run.io.ts';
import { needs } from '../kit/test-host.ts';
import { MemoryNet } from '../kit/two-stacks.ts';

const lan = new MemoryNet();
let a: NodeApi;
let b: NodeApi;
let contexts: StackContext[];
let secrets: { key: Buffer; cert: Buffer };

beforeAll(() => {
  contexts = lan.hosts(2);
  [a, b] = contexts.map(nodeApi) as [NodeApi, NodeApi];
  for (const { stack } of contexts) stack.configuration.setHosts('10.0.0.1 www.lab\nfd00::1 six.lab\n');
  if (spawnSync('openssl', ['version']).error) return; // those who need it are skipped
  const directory = mkdtempSync(join(tmpdir(), 'weft-tls-'));
  const [key, cert] = [join(directory, 'key'), join(directory, 'cert')];
  const words = `req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=www.lab`;
  execFileSync(
    'openssl',
    [...words.split(' '), '-keyout', key, '-out', cert, '-addext', 'subjectAltName=DNS:www.lab'],
    { stdio: 'ignore' },
  );
  secrets = { key: readFileSync(key), cert: readFileSync(cert) };
  rmSync(directory, { recursive: true });
});
afterAll(() => lan.close());

/** A server of any kind on host `a`, on a port that is free there; closed by `close`. */
async function onA<T extends net.Server>(
  make: () => T,
): Promise<{ server: T; port: number; close(): Promise<unknown> }> {
  const server = a.run(() => make().listen(0));
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  return { server, port, close: () => new Promise((done) => server.close(done)) };
}

/** The answer to a request, and its connection's local port. */
function get(
  options: http.RequestOptions,
  module: Pick<typeof http, 'get'> = http,
): Promise<{ text: string; port: number }> {
  return new Promise((resolve, reject) => {
    const request = module.get(options, async (response) => {
      const { localPort } = request.socket!;
      let text = '';
      for await (const chunk of response) text += chunk;
      resolve({ text, port: localPort! });
    });
    request.on('error', reject);
  });
}

describe('http', () => {
  test('keeps a connection alive, and closes idle ones', async () => {
    const { server, port, close } = await onA(() =>
      http.createServer((request, response) => response.end(request.url)),
    );
    await b.run(async () => {
      const agent = new http.Agent({ keepAlive: true });
      const answers: { text: string; port: number }[] = [];
      for (const path of ['/1', '/2', '/3']) {
        answers.push(await get({ host: 'www.lab', port, path, agent }));
        await new Promise(setImmediate);
      }
      expect(answers.map(({ text }) => text)).toEqual(['/1', '/2', '/3']);
      expect(new Set(answers.map((one) => one.port)).size).toBe(1);
      agent.destroy();
      const once = await get({ host: '10.0.0.1', port, path: '/once', agent: false });
      expect(once.text).toBe('/once');
      server.closeIdleConnections();
    });
    await close();
  });

  test('carries large bodies both ways', async () => {
    const { port, close } = await onA(() => http.createServer((request, response) => request.pipe(response)));
    const body = randomBytes(3 << 20);
    await b.run(async () => {
      const request = http.request({ host: 'fd00::1', port, method: 'POST' });
      request.end(body);
      const [response] = await once(request, 'response');
      const hash = createHash('sha256');
      for await (const chunk of response) hash.update(chunk);
      expect(hash.digest('hex')).toBe(createHash('sha256').update(body).digest('hex'));
    });
    await close();
  });

  test('upgrades, expects 100-continue, streams and times out', async () => {
    const { server, port, close } = await onA(() => http.createServer());
    server.on('checkContinue', (_request, response) => {
      response.writeContinue();
      response.end('went on');
    });
    server.on('upgrade', (_request, socket) =>
      socket.end('HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nraw'),
    );
    await b.run(async () => {
      const upgraded = http.get({ host: '10.0.0.1', port, headers: { connection: 'upgrade', upgrade: 'x' } });
      const [, socket, head] = await once(upgraded, 'upgrade');
      let text = String(head);
      for await (const chunk of socket) text += chunk;
      expect(text).toBe('raw');
      const asking = http.request({ host: '10.0.0.1', port, method: 'POST', headers: { expect: '100-continue' } });
      const answered = once(asking, 'response');
      asking.flushHeaders();
      await once(asking, 'continue');
      asking.end();
      const [response] = await answered;
      expect(String(await response.toArray())).toBe('went on');
      const silent = http.get({ host: '10.0.0.1', port, timeout: 20 });
      await once(silent, 'timeout');
      silent.destroy();
      await expect(once(silent, 'response')).rejects.toThrow('socket hang up');
    });
    await close();
  });
});

describe('tls', () => {
  test('serves https with a certificate of its own', async (ctx) => {
    needs(ctx, 'openssl');
    const { port, close } = await onA(() =>
      https.createServer(secrets, (request, response) => {
        const socket = request.socket as tls.TLSSocket;
        response.end(`${socket.getProtocol()} ${socket.remoteAddress}`);
      }),
    );
    await b.run(async () => {
      const agent = new https.Agent({ ca: secrets.cert, keepAlive: true });
      const one = await get({ host: 'www.lab', port, agent } as http.RequestOptions, https);
      await new Promise(setImmediate);
      const two = await get({ host: 'www.lab', port, agent } as http.RequestOptions, https);
      expect([one.text, two.text]).toEqual(Array(2).fill('TLSv1.3 ::ffff:10.0.0.2'));
      expect(two.port).toBe(one.port);
      agent.destroy();
      await expect(get({ host: 'www.lab', port, agent: false }, https)).rejects.toMatchObject({
        code: 'DEPTH_ZERO_SELF_SIGNED_CERT',
      });
    });
    await close();
  });

  test('connects by tls.connect, resumes, and hears of a reset', async (ctx) => {
    needs(ctx, 'openssl');
    const { server, port, close } = await onA(() =>
      tls.createServer(secrets, (socket) => socket.on('error', () => {}).pipe(socket)),
    );
    await b.run(async () => {
      const options = { host: 'www.lab', port, ca: secrets.cert, maxVersion: 'TLSv1.2' as const };
      const first = tls.connect(options);
      await once(first, 'secureConnect');
      expect([first.authorized, first.remoteAddress, first.address()]).toMatchObject([
        true,
        '10.0.0.1',
        { address: '10.0.0.2' },
      ]);
      const session = first.getSession()!;
      const big = randomBytes(1 << 20);
      first.end(big);
      expect(Buffer.concat(await first.toArray()).equals(big)).toBe(true);
      const second = tls.connect({ ...options, session });
      const accepted = once(server, 'secureConnection');
      await once(second, 'secureConnect');
      expect(second.isSessionReused()).toBe(true);
      const [socket] = await accepted;
      (socket as unknown as { _parent: net.Socket })._parent.resetAndDestroy();
      const [error] = await once(second, 'error');
      expect(error).toMatchObject({ code: 'ECONNRESET', syscall: 'read' });
    });
    await close();
  });

  test('speaks http2', async (ctx) => {
    needs(ctx, 'openssl');
    const { port, close } = await onA(() => {
      const server = http2.createSecureServer(secrets);
      server.on('stream', (stream, headers) => {
        stream.respond({ ':status': 200 });
        stream.end(String(headers[':path']));
      });
      return server as unknown as net.Server;
    });
    await b.run(async () => {
      const session = http2.connect(`https://www.lab:${port}`, { ca: secrets.cert });
      const texts = await Promise.all(
        ['/x', '/y'].map(async (path) => String(await session.request({ ':path': path }).toArray())),
      );
      expect(texts).toEqual(['/x', '/y']);
      await new Promise<void>((done) => session.close(done));
    });
    await close();
  });
});

test('carries WebSockets of ws', async () => {
  const { server, port, close } = await onA(() => http.createServer());
  const door = new WebSocketServer({ server });
  door.on('connection', (socket) => socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary })));
  await b.run(async () => {
    const socket = new WebSocket(`ws://www.lab:${port}/`);
    await once(socket, 'open');
    const big = randomBytes(200_000);
    socket.send(big);
    const [echo] = await once(socket, 'message');
    expect((echo as Buffer).equals(big)).toBe(true);
    for (let i = 0; i < 100; i++) socket.send(`line ${i}`);
    const lines: string[] = [];
    for await (const [data] of on(socket as never, 'message')) if (lines.push(String(data)) === 100) break;
    expect(lines).toEqual(Array.from({ length: 100 }, (_, i) => `line ${i}`));
    socket.close(1000);
    expect((await once(socket, 'close'))[0]).toBe(1000);
  });
  door.close();
  await close();
});

describe('fetch', () => {
  test('gets, posts, follows and fails', async () => {
    const { port, close } = await onA(() =>
      http.createServer((request, response) => {
        if (request.url === '/away') response.writeHead(302, { location: '/here' }).end();
        else if (request.method === 'POST') request.pipe(response);
        else response.end(request.url);
      }),
    );
    await b.run(async () => {
      expect(await (await fetch(`http://www.lab:${port}/away`)).text()).toBe('/here');
      const body = randomBytes(1 << 20);
      const answer = await fetch(`http://[fd00::1]:${port}/`, { method: 'POST', body });
      expect(Buffer.from(await answer.arrayBuffer()).equals(body)).toBe(true);
      await expect(fetch('http://10.0.0.1:4/')).rejects.toMatchObject({
        cause: { code: 'ECONNREFUSED', address: '10.0.0.1', port: 4 },
      });
      await expect(fetch('http://none.invalid/')).rejects.toMatchObject({ cause: { code: 'ENOTFOUND' } });
    });
    await close();
  });

  test('is there without a scope', async () => {
    const { port, close } = await onA(() => http.createServer((_request, response) => response.end('yes')));
    expect(await (await b.fetch(`http://www.lab:${port}/`)).text()).toBe('yes');
    await close();
  });
});

describe('scopes', () => {
  test('the same address is two servers in two networks, and nothing is mixed up', async () => {
    const networks = ['red', 'blue'].map((color) => {
      const [server, client] = lan.hosts(2).map(nodeApi) as [NodeApi, NodeApi];
      return { color, server, client };
    });
    for (const { color, server } of networks) {
      const listening = server.run(() =>
        http.createServer((request, response) => response.end(`${color}${request.url}`)).listen(80),
      );
      await once(listening, 'listening');
    }
    const agent = new http.Agent({ keepAlive: true, maxSockets: 8 }); // one, for both
    const ask = async (i: number): Promise<string> => {
      if (i % 3 === 0) return (await fetch(`http://10.0.0.1/${i}`)).text();
      return (await get({ host: '10.0.0.1', path: `/${i}`, ...(i % 3 === 1 && { agent }) })).text;
    };
    const answers = await Promise.all(
      Array.from({ length: 1000 }, async (_, i) => {
        const { color, client } = networks[(i * 7) % 2]!;
        const text = await client.run(() => ask(i));
        return text === `${color}/${i}`;
      }),
    );
    expect(answers.filter((isRight) => !isRight)).toEqual([]);
    expect(answers).toHaveLength(1000);
    agent.destroy();
  });

  test('follow promises, timers and events, and end where they end', async () => {
    const { port, close } = await onA(() => net.createServer((socket) => socket.end(`${socket.remoteAddress}`)));
    const from = (): Promise<string> =>
      new Promise((resolve, reject) => {
        const socket = net.connect(port, '10.0.0.1').on('error', reject);
        socket.on('data', (data) => resolve(String(data)));
      });
    await b.run(async () => {
      await new Promise((done) => setTimeout(done, 1));
      expect(await from()).toBe('::ffff:10.0.0.2');
      const inEvent = new Promise((resolve) =>
        net
          .connect(port, '10.0.0.1')
          .on('close', () => resolve(from()))
          .resume(),
      );
      expect(await inEvent).toBe('::ffff:10.0.0.2');
      expect(await a.run(from)).toBe('::ffff:10.0.0.1');
      expect(await from()).toBe('::ffff:10.0.0.2');
    });
    // Outside of all it is the host's loopback, where nobody listens.
    await expect(once(net.connect(port, '127.0.0.1'), 'connect')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    await close();
  });

  test('a server handles its connections where it listens', async () => {
    const { port, close } = await onA(() =>
      net.createServer(async (socket) => {
        const { address } = await lookup('www.lab');
        socket.end(address);
      }),
    );
    const text = await b.run(async () => String(await net.connect(port, '10.0.0.1').toArray()));
    expect(text).toBe('10.0.0.1');
    await close();
  });

  test('have dgram and dns too', async () => {
    const server = a.run(() =>
      dgram.createSocket('udp4', (bytes, from) => server.send(bytes, from.port, from.address)),
    );
    server.bind(700);
    await once(server, 'listening');
    await b.run(async () => {
      const client = new (dgram.Socket as unknown as new (options: object) => dgram.Socket)({ type: 'udp4' });
      client.send('x', 700, 'www.lab');
      expect(String((await once(client, 'message'))[0])).toBe('x');
      client.close();
      expect(await lookup('six.lab')).toEqual({ address: 'fd00::1', family: 6 });
      expect(await dns.promises.resolve4('www.lab')).toEqual(['10.0.0.1']);
      expect(new dns.Resolver().getServers()).toEqual([]);
      expect(client instanceof dgram.Socket).toBe(true);
    });
    server.close();
  });

  test('names that only a stack knows are unknown outside', async () => {
    expect(await b.run(() => lookup('six.lab'))).toMatchObject({ address: 'fd00::1' });
    expect(await runOutside(() => lookup('127.0.0.1'))).toMatchObject({ address: '127.0.0.1' });
  });

  test('everywhere may be a stack, except outside', async () => {
    const { port, close } = await onA(() => net.createServer((socket) => socket.end('in')));
    runEverywhere(contexts[1]);
    try {
      expect(String(await net.connect(port, '10.0.0.1').toArray())).toBe('in');
      const refused = runOutside(() => once(net.connect(port, '127.0.0.1'), 'connect'));
      await expect(refused).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    } finally {
      runEverywhere(undefined);
    }
    await close();
  });

  test("paths are the host's everywhere", async () => {
    const directory = mkdtempSync(join(tmpdir(), 'weft-path-'));
    const path = join(directory, 's');
    const server = net.createServer((socket) => socket.end('by path')).listen(path);
    await once(server, 'listening');
    expect(String(await b.run(() => net.connect(path).toArray()))).toBe('by path');
    const inside = b.run(() => net.createServer().listen(`${path}2`));
    await once(inside, 'listening');
    expect(inside.address()).toBe(`${path}2`);
    for (const one of [server, inside]) one.close();
    rmSync(directory, { recursive: true });
  });
});

test('modules on a stack need no scope', async (ctx) => {
  needs(ctx, 'openssl');
  const server = a.http.createServer((_request, response) => response.end('module'));
  await new Promise<void>((done) => server.listen(8080, 'localhost', done));
  expect(server.address()).toMatchObject({ port: 8080 });
  expect((await get({ port: 8080 }, a.http)).text).toBe('module');
  await new Promise((done) => server.close(done));
  const echo = new a.tls.Server(secrets, (socket: tls.TLSSocket) => socket.end('tls'));
  await new Promise<void>((done) => echo.listen(8443, done));
  const socket = b.tls.connect({ host: 'www.lab', port: 8443, ca: secrets.cert });
  expect(String(await socket.toArray())).toBe('tls');
  await new Promise((done) => echo.close(done));
});
