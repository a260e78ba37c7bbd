import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { request } from 'node:http';
import { afterEach, describe, expect, test } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { Drop } from '../../core/drop.ts';
import type { MessagePort } from '../../plug/message-port.io.ts';
import type { NodePlug } from '../../plug/node-plug.ts';
import { openNodePlug } from '../../plug/node-plugs.io.ts';
import { parseVnl } from '../../plug/vnl.ts';
import { type DoorRules, refuse } from '../../plug/websocket-door.ts';
import { frame, needs, TestHost, tempDir, until } from '../kit/test-host.ts';

const open: NodePlug[] = [];
const sockets: WebSocket[] = [];

afterEach(() => {
  for (const plug of open.splice(0)) plug.close();
  for (const socket of sockets.splice(0)) socket.terminate();
});

async function plug(text: string, host: TestHost): Promise<NodePlug> {
  const it = await openNodePlug(parseVnl(text), host, host.hooks);
  open.push(it);
  return it;
}

const urlOf = (listener: NodePlug): string => listener.describe().split(' ')[0]!;

/** A peer that is not ours. Resolves when open, rejects with the status of the refusal. */
async function visit(url: string, options: { origin?: string; host?: string; protocols?: string[] } = {}) {
  const headers = options.host === undefined ? {} : { Host: options.host };
  const socket = new WebSocket(url, options.protocols ?? [], {
    headers,
    ...(options.origin !== undefined && { origin: options.origin }),
  });
  sockets.push(socket);
  const frames: Buffer[] = [];
  const texts: string[] = [];
  socket.on('message', (data, isBinary) => {
    if (isBinary) frames.push(data as Buffer);
    else texts.push(String(data));
  });
  await once(socket, 'open');
  return { socket, frames, texts };
}

describe('the door', () => {
  const rules: DoorRules = {
    hosts: new Set(['127.0.0.1:80', 'localhost:80']),
    origins: new Set(['https://lab.example']),
    path: '/net',
    isToken: (token) => token === 'secret',
  };
  const ok = { host: 'localhost:80', origin: undefined, target: '/net?token=secret', protocols: undefined };

  test.each([
    ['lets a native program with the token in', {}, undefined],
    ['takes the token as a subprotocol', { target: '/net', protocols: 'a, secret' }, undefined],
    ['takes a page of our own host', { origin: 'http://localhost:80' }, undefined],
    ['takes a listed page', { origin: 'https://LAB.example' }, undefined],
    ['refuses another page', { origin: 'https://evil.example' }, '403 Origin not allowed'],
    ['refuses a page without an origin', { origin: 'null' }, '403 Origin not allowed'],
    [
      'refuses another host: rebinding',
      { host: 'evil.example:80', origin: 'http://evil.example:80' },
      '403 Host not ours',
    ],
    ['refuses no host', { host: undefined }, '403 Host not ours'],
    ['refuses another path', { target: '/?token=secret' }, '404 Not here'],
    ['refuses no token', { target: '/net' }, '401 Token missing or wrong'],
    ['refuses a wrong token', { target: '/net?token=Secret' }, '401 Token missing or wrong'],
    [
      'looks at ten tokens at most',
      { target: `/net?${'token=x&'.repeat(20)}token=secret` },
      '401 Token missing or wrong',
    ],
  ])('%s', (_name, visitor, expected) => {
    expect(refuse({ ...ok, ...visitor }, rules)).toBe(expected);
  });
});

describe('a listener', () => {
  test('makes a port of each peer; one binary message is one frame, both ways', async () => {
    const host = new TestHost();
    host.isHub = true;
    const url = `${urlOf(await plug('ws://127.0.0.1:0/listen/token=secret', host))}?token=secret`;
    const [a, b] = [await visit(url), await visit(url)];
    await until(() => host.ports.length === 2, 'two ports');
    for (const n of [1, 2, 3]) a.socket.send(frame(n, 100 * n));
    await until(() => b.frames.length === 3, 'the frames');
    expect(b.frames).toEqual([frame(1, 100), frame(2, 200), frame(3, 300)]);
    b.socket.send(frame(4, 14));
    await until(() => a.frames.length === 1, 'a frame back');
    expect(a.frames).toEqual([frame(4, 14)]);
    a.socket.close();
    await until(() => host.closed.length === 1, 'the port closed');
  });

  test('answers ping: in text, and no other text', async () => {
    const host = new TestHost();
    const a = await visit(urlOf(await plug('ws://127.0.0.1:0/listen/open', host)));
    a.socket.send('hello');
    a.socket.send(`ping:${'x'.repeat(300)}`);
    a.socket.send('ping:42');
    await until(() => a.texts.length > 0, 'an answer');
    expect(a.texts).toEqual(['pong:42']);
  });

  test('invents a token when none is given and shows it in its own description only', async () => {
    const host = new TestHost();
    const url = urlOf(await plug('ws://127.0.0.1:0/listen', host));
    expect(url).toMatch(/\?token=[0-9a-f]{32}$/);
    await visit(url);
    await expect(visit(url.split('?')[0]!)).rejects.toThrow('401');
    expect(urlOf(await plug('ws://127.0.0.1:0/listen/token=mine', host))).not.toContain('token');
  });

  test.each([
    ['without a token', '', {}, '401'],
    ['with a wrong token', '?token=no', {}, '401'],
    ['from a foreign page', '?token=secret', { origin: 'https://evil.example' }, '403'],
    ['under a foreign name', '?token=secret', { host: 'evil.example' }, '403'],
    ['for another path', 'other?token=secret', {}, '404'],
  ])('refuses a visit %s', async (_name, query, options, status) => {
    const host = new TestHost();
    const listener = await plug('ws://127.0.0.1:0//listen/token=secret/origin=https:%2F%2Flab.example', host);
    await expect(visit(urlOf(listener) + query, options)).rejects.toThrow(status);
    expect([host.ports.length, host.refused.length]).toEqual([0, 1]);
    await visit(`${urlOf(listener)}?token=secret`, { origin: 'https://lab.example' });
    await visit(urlOf(listener), { protocols: ['secret'] });
  });

  test('turns away who is more than clients=, and answers plain HTTP', async () => {
    const host = new TestHost();
    const url = urlOf(await plug('ws://127.0.0.1:0/listen/open/clients=1', host));
    await visit(url);
    await expect(visit(url)).rejects.toThrow('503');
    const [response] = await once(request(url.replace('ws:', 'http:')).end(), 'response');
    expect(response.statusCode).toBe(426);
    response.resume();
  });

  test('cuts off and counts a peer whose message is too long', async () => {
    const host = new TestHost();
    const a = await visit(urlOf(await plug('ws://127.0.0.1:0/listen/open', host)));
    await until(() => host.ports.length === 1, 'a port');
    const port = host.ports[0]!;
    a.socket.send(Buffer.alloc(65_558));
    await until(() => host.frames(port).length === 1, 'the longest');
    a.socket.send(Buffer.alloc(65_559));
    const [code] = await once(a.socket, 'close');
    expect(code).toBe(1009);
    await until(() => host.closed.length === 1, 'the port closed');
    expect(port.counters.drops.counts[Drop.RxLength]).toBe(1);
  });

  test('holds a bounded queue for a peer that stops reading and counts what it drops', async () => {
    const host = new TestHost();
    const a = await visit(urlOf(await plug('ws://127.0.0.1:0/listen/open/queue=256k', host)));
    await until(() => host.ports.length === 1, 'a port');
    const port = host.ports[0]!;
    a.socket.pause();
    let isHeld = false;
    for (let turn = 0; turn < 400 && port.counters.drops.counts[Drop.TxFull]! < 50; turn++) {
      host.send(port, ...Array.from({ length: 60 }, (_, n) => frame(n, 1514)));
      isHeld ||= !port.flush(0);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(port.counters.drops.counts[Drop.TxFull]).toBeGreaterThanOrEqual(50);
    expect(isHeld).toBe(true);
    a.socket.resume();
    await until(() => a.frames.length === port.counters.txFrames, 'all that was taken');
    expect(host.drainedPorts).toContain(port);
  });

  test('pauses a peer that sends more than is received, and loses nothing', async () => {
    const host = new TestHost();
    host.isManual = true;
    const a = await visit(urlOf(await plug('ws://127.0.0.1:0/listen/open', host)));
    await until(() => host.ports.length === 1, 'a port');
    const port = host.ports[0]!;
    for (let n = 0; n < 3000; n++) a.socket.send(frame(n, 1000));
    await until(() => {
      host.breath();
      return host.frames(port).length === 3000;
    }, 'all frames');
    expect(port.counters.drops.total()).toBe(0);
    expect(host.frames(port).every((bytes, n) => bytes.equals(frame(n, 1000)))).toBe(true);
  });
});

test('a port that the engine pauses stops its peer, and goes on where it was', async () => {
  const host = new TestHost();
  const a = await visit(urlOf(await plug('ws://127.0.0.1:0/listen/open', host)));
  await until(() => host.ports.length === 1, 'a port');
  const port = host.ports[0] as MessagePort;
  port.pause(true);
  for (let n = 0; n < 10_000; n++) a.socket.send(frame(n, 1000));
  for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
  expect(host.frames(port).length).toBeLessThan(1000);
  port.pause(false);
  await until(() => host.frames(port).length === 10_000, 'all frames');
});

describe('a client', () => {
  test('carries frames to a relay that is not ours, and comes back after it', async () => {
    const host = new TestHost();
    const relay = new WebSocketServer({ host: '127.0.0.1', port: 0 });
    await once(relay, 'listening');
    const { port: tcpPort } = relay.address() as { port: number };
    relay.on('connection', (socket) => socket.on('message', (data) => socket.send(data)));
    await plug(`ws://127.0.0.1:${tcpPort}/`, host);
    const port = host.ports[0]!;
    await until(() => host.send(port, frame(1))[0] === Drop.None, 'connected');
    await until(() => host.frames(port).length === 1, 'the echo');
    for (const client of relay.clients) client.terminate();
    await until(() => host.told.length === 2, 'told that it is lost');
    await until(() => host.send(port, frame(2))[0] === Drop.None, 'connected again');
    await until(() => host.frames(port).length === 2, 'the echo');
    expect(host.frames(port)).toEqual([frame(1), frame(2)]);
    expect(host.ports).toEqual([port]);
    for (const client of relay.clients) client.terminate();
    relay.close();
  });

  test('with once gives its port up', async () => {
    const host = new TestHost();
    const listener = await plug('ws://127.0.0.1:0/listen/open', host);
    const url = urlOf(listener);
    listener.close();
    await plug(`${url}once`, host);
    await until(() => host.closed.length === 1, 'the port closed');
  });

  test('gives its token, and never tells it', async () => {
    const host = new TestHost();
    const url = urlOf(await plug('ws://127.0.0.1:0/listen/token=sesame', host));
    await plug(`${url}token=sesame`, host);
    await until(() => host.ports.length === 2, 'connected');
    await plug(`${url}?token=sesame`, host);
    await until(() => host.ports.length === 4, 'connected');
    await until(() => host.told.length === 2, 'told');
    expect(host.told.join()).not.toContain('sesame');
  });
});

test('wss: carries frames to a server known by its CA, and refuses one that is not', async (ctx) => {
  needs(ctx, 'openssl');
  const certs = tempDir();
  const [pem, key] = [certs.file('a.pem'), certs.file('a.key')];
  const subject = ['-subj', '/CN=a', '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', key, '-out', pem];
  const kind = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];
  execFileSync('openssl', [...kind, ...subject], { stdio: 'ignore' });
  const quoted = (file: string) => encodeURIComponent(file);
  const host = new TestHost();
  const url = urlOf(await plug(`wss://127.0.0.1:0/listen/cert=${quoted(pem)}/key=${quoted(key)}/token=right`, host));
  await plug(`${url}ca=${quoted(pem)}/token=right`, host);
  await until(() => host.ports.length === 2, 'connected');
  const [client, server] = host.ports;
  await until(() => host.send(client!, frame(1))[0] === Drop.None, 'connected');
  await until(() => host.frames(server!).length === 1, 'a frame');
  await plug(url, host);
  await until(() => host.told.some((line) => /CERT/.test(line)), 'refused');
  await plug(`${url}fingerprint=${'0'.repeat(64)}/token=secret`, host);
  await until(() => host.told.some((line) => /pinned/.test(line)), 'refused');
  expect(host.refused).toEqual([]); // the request was never sent
  certs.remove();
});
