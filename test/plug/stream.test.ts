import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import * as net from 'node:net';
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { UsageError } from '../../core/assert.ts';
import { Drop } from '../../core/drop.ts';
import type { ByteStreamPort } from '../../plug/byte-stream.io.ts';
import type { NodePlug } from '../../plug/node-plug.ts';
import { openNodePlug } from '../../plug/node-plugs.io.ts';
import { parseVnl } from '../../plug/vnl.ts';
import { frame, needs, record, TestHost, tempDir, until } from '../kit/test-host.ts';

const open: NodePlug[] = [];
const sockets: net.Socket[] = [];
const servers: net.Server[] = [];
let dir: ReturnType<typeof tempDir>;

beforeEach(() => {
  dir = tempDir();
});

afterEach(() => {
  for (const plug of open.splice(0)) plug.close();
  for (const socket of sockets.splice(0)) socket.destroy();
  for (const server of servers.splice(0)) server.close();
  dir.remove();
});

async function plug(text: string, host: TestHost): Promise<NodePlug> {
  const it = await openNodePlug(parseVnl(text), host, host.hooks);
  open.push(it);
  return it;
}

/** The VNL by which one connects to a listener. */
const target = (listener: NodePlug): string => listener.describe().split(' ')[0]!;

async function dial(listener: NodePlug): Promise<net.Socket> {
  const url = new URL(target(listener).replace('stream', 'http').replace('tcp', 'http'));
  const socket = net.connect(Number(url.port), url.hostname);
  sockets.push(socket);
  await new Promise((resolve) => socket.once('connect', resolve));
  return socket;
}

/** Bytes that a socket brought, as they come. */
function gather(socket: net.Socket): { bytes: Buffer } {
  const out = { bytes: Buffer.alloc(0) };
  socket.on('data', (chunk) => {
    out.bytes = Buffer.concat([out.bytes, chunk]);
  });
  socket.on('error', () => {});
  return out;
}

const HELLO_RECORD = 64;

describe.each([
  ['stream over AF_UNIX', () => `stream://${dir.file('s')}[listen]`, () => `stream://${dir.file('s')}`],
  ['stream over TCP', () => 'stream://127.0.0.1:0/listen', undefined],
  ['tcp', () => 'tcp://:0/listen', undefined],
])('%s', (_name, listenAt, connectTo) => {
  test('carries frames both ways, hello frames excepted', async () => {
    const host = new TestHost();
    const listener = await plug(listenAt(), host);
    await plug(connectTo?.() ?? target(listener), host);
    await until(() => host.ports.length === 2, 'two ports');
    const [client, server] = host.ports;
    await until(() => host.send(client!, frame(1))[0] === Drop.None, 'connected');
    host.send(server!, frame(2), frame(3, 1514), frame(4, 14), frame(5, 1));
    await until(() => host.frames(client!).length === 4 && host.frames(server!).length === 1, 'the frames');
    expect(host.frames(server!)).toEqual([frame(1)]);
    expect(host.frames(client!)).toEqual([frame(2), frame(3, 1514), frame(4, 14), frame(5, 1)]);
    expect(client!.counters).toMatchObject({ rxFrames: 4, rxBytes: 60 + 1514 + 14 + 1, txFrames: 1, txBytes: 60 });
    expect(client!.counters.drops.total()).toBe(
      server!.counters.drops.total() + client!.counters.drops.counts[Drop.TxError]!,
    );
  });
});

describe('between two wefts over TCP', () => {
  const header = Uint8Array.from([1, 1, 0, 54, 5, 0x98, 0, 34, 0, 16]);

  test('super-frames with their offload header go through once both proved that nobody is between', async () => {
    const host = new TestHost();
    await plug(target(await plug('tcp://:0/listen', host)), host);
    await until(() => host.ports.length === 2 && host.ports.every((port) => port.takesOffload), 'rich records');
    const [client, server] = host.ports;
    expect(client!.frameBytesMax).toBeGreaterThanOrEqual(65535 + 14);
    expect(host.sendRich(server!, header, frame(7, 60_000))).toBe(Drop.None);
    host.send(server!, frame(8));
    await until(() => host.frames(client!).length === 2, 'two frames');
    expect(host.frames(client!)).toEqual([frame(7, 60_000), frame(8)]);
    expect(host.offloads).toEqual([0x01010036, 0]);
  });

  test('records stay plain through a middlebox', async () => {
    const host = new TestHost();
    const listener = await plug('tcp://:0/listen', host);
    const url = new URL(target(listener).replace('tcp', 'http'));
    const middle = net.createServer((from) => {
      const to = net.connect(Number(url.port), url.hostname);
      for (const socket of [from, to]) socket.on('error', () => {});
      sockets.push(from, to);
      from.pipe(to);
      to.pipe(from);
    });
    servers.push(middle);
    await new Promise<void>((resolve) => middle.listen(0, '127.0.0.1', resolve));
    await plug(`tcp://127.0.0.1:${(middle.address() as net.AddressInfo).port}`, host);
    await until(() => host.ports.length === 2, 'two ports');
    const [client, server] = host.ports;
    await until(() => host.send(client!, frame(1))[0] === Drop.None, 'connected');
    await until(() => host.frames(server!).length === 1, 'a frame');
    host.send(server!, frame(2));
    await until(() => host.frames(client!).length === 1, 'a frame back');
    expect(host.ports.map((port) => port.takesOffload)).toEqual([false, false]);
    expect(host.sendRich(server!, header, frame(7))).toBe(Drop.TxError);
  });
});

describe('a plain peer', () => {
  test('sees one ignorable frame, or none with plain, and then just frames', async () => {
    const host = new TestHost();
    for (const [vnl, before] of [
      ['tcp://:0/listen', HELLO_RECORD],
      ['tcp://:0/listen/plain', 0],
    ] as const) {
      const listener = await plug(vnl, host);
      const socket = await dial(listener);
      const got = gather(socket);
      await until(() => host.ports.length === 1, 'a port');
      host.send(host.ports[0]!, frame(1), frame(2));
      await until(() => got.bytes.length >= before + 128, 'two records');
      expect(got.bytes.subarray(before)).toEqual(Buffer.concat([record(frame(1)), record(frame(2))]));
      socket.destroy();
      await until(() => host.ports.length === 0, 'the port gone');
    }
    expect(host.closed).toHaveLength(2);
  });

  test('is understood byte by byte', async () => {
    const host = new TestHost();
    const socket = await dial(await plug('tcp://:0/listen', host));
    socket.setNoDelay(true);
    await until(() => host.ports.length === 1, 'a port');
    const port = host.ports[0]!;
    for (const byte of Buffer.concat([record(frame(1, 20)), record(Buffer.alloc(0)), record(frame(2, 3))])) {
      await new Promise<void>((resolve) => socket.write(Buffer.of(byte), () => resolve()));
    }
    await until(() => host.frames(port).length === 2, 'two frames');
    expect(host.frames(port)).toEqual([frame(1, 20), frame(2, 3)]);
  });

  test('may leave right behind its last frame, which still arrives', async () => {
    const host = new TestHost();
    host.isManual = true;
    const socket = await dial(await plug('tcp://:0/listen', host));
    await until(() => host.ports.length === 1, 'a port');
    const port = host.ports[0]!;
    let isClosed = false;
    socket.on('close', () => {
      isClosed = true;
    });
    socket.resume();
    socket.end(Buffer.concat([record(frame(1)), record(frame(2))]));
    await until(() => isClosed, 'the connection closed');
    host.breath();
    await until(() => {
      host.breath();
      return host.closed.length === 1;
    }, 'the port closed');
    expect(host.frames(port)).toEqual([frame(1), frame(2)]);
  });

  test('that sends a length out of range is cut off and counted, the others go on', async () => {
    const host = new TestHost();
    const listener = await plug('tcp://:0/listen', host);
    const good = await dial(listener);
    await until(() => host.ports.length === 1, 'a port');
    const bad = await dial(listener);
    await until(() => host.ports.length === 2, 'two ports');
    const port = host.ports[1]!;
    const other = host.ports[0]!;
    const ended = new Promise((resolve) => bad.once('close', resolve));
    bad.on('error', () => {});
    bad.resume();
    bad.write(Buffer.concat([record(frame(1)), Buffer.from('ffffffff', 'hex'), Buffer.alloc(100_000)]));
    await ended;
    await until(() => host.closed.length === 1, 'the port closed');
    expect([host.frames(port).length, port.counters.drops.byName()]).toEqual([1, { 'rx-length': 1 }]);
    good.write(record(frame(2)));
    await until(() => host.frames(other).length === 1, 'the good peer');
  });

  test('that stops reading costs a bounded queue and counted drops of whole frames', async () => {
    const host = new TestHost();
    const listener = await plug('tcp://:0/listen/plain/queue=256k', host);
    const socket = await dial(listener);
    socket.pause();
    await until(() => host.ports.length === 1, 'a port');
    const port = host.ports[0]!;
    let isHeld = false;
    for (let turn = 0; turn < 400 && port.counters.drops.counts[Drop.TxFull]! < 50; turn++) {
      host.send(port, ...Array.from({ length: 60 }, (_, n) => frame(n, 1514)));
      isHeld ||= !port.flush(0);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(port.counters.drops.counts[Drop.TxFull]).toBeGreaterThanOrEqual(50);
    expect(isHeld).toBe(true);
    const got = gather(socket);
    socket.resume();
    await until(() => got.bytes.length === port.counters.txFrames * 1518, 'all that was taken');
    expect(port.flush(0)).toBe(true);
    expect(host.drainedPorts).toContain(port);
    let at = 0;
    while (at < got.bytes.length) at += 4 + got.bytes.readUInt32BE(at);
    expect(at).toBe(got.bytes.length);
  });

  test('that sends more than is received is paused, and nothing is lost', async () => {
    const host = new TestHost();
    host.isManual = true;
    const socket = await dial(await plug('tcp://:0/listen', host));
    await until(() => host.ports.length === 1, 'a port');
    const port = host.ports[0]!;
    const count = 3000;
    const all = Buffer.concat(Array.from({ length: count }, (_, n) => record(frame(n, 1000))));
    socket.write(all);
    await until(() => socket.writableLength < all.length, 'some of it taken');
    await until(() => {
      host.breath();
      return host.frames(port).length === count;
    }, 'all frames');
    expect(host.frames(port).every((bytes, n) => bytes.equals(frame(n, 1000)))).toBe(true);
  });
});

test('a port that the engine pauses stops its peer, and goes on where it was', async () => {
  const host = new TestHost();
  const socket = await dial(await plug('tcp://:0/listen', host));
  await until(() => host.ports.length === 1, 'a port');
  const port = host.ports[0] as ByteStreamPort;
  port.pause(true);
  const count = 20_000;
  const all = Buffer.concat(Array.from({ length: count }, (_, n) => record(frame(n, 1000))));
  const written = new Promise<void>((resolve) => socket.write(all, () => resolve()));
  for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
  expect(host.frames(port).length).toBeLessThan(1000);
  port.pause(false);
  await written;
  await until(() => host.frames(port).length === count, 'all frames');
});

describe('a client', () => {
  test('comes back when its server does, with the same port; meanwhile frames are dropped and counted', async () => {
    const host = new TestHost();
    const path = dir.file('s');
    await plug(`stream://${path}`, host);
    const port = host.ports[0]!;
    expect(host.send(port, frame(1))).toEqual([Drop.TxError]);
    await until(() => host.told.some((line) => line.includes('ENOENT')), 'told that nobody is there');
    for (let round = 0; round < 2; round++) {
      const server = net.createServer((socket) => sockets.push(socket));
      servers.push(server);
      await new Promise<void>((resolve) => server.listen(path, resolve));
      await until(() => sockets.length === 1, 'connected');
      sockets[0]!.write(record(frame(round)));
      await until(() => host.frames(port).length === round + 1, 'a frame');
      expect(host.send(port, frame(1))).toEqual([Drop.None]);
      const up = host.told.length;
      for (const socket of sockets.splice(0)) socket.destroy();
      server.close();
      await until(() => host.told.length > up, 'told that it is lost');
      expect(host.send(port, frame(1))).toEqual([Drop.TxError]);
    }
    expect([host.ports, host.closed]).toEqual([[port], []]);
    expect(port.counters.drops.counts[Drop.TxError]).toBe(3);
  });

  test('with once gives its port up at the first loss', async () => {
    const host = new TestHost();
    const it = await plug(`stream://${dir.file('nobody')}[once]`, host);
    await until(() => host.closed.length === 1, 'the port closed');
    it.close();
  });
});

describe('a listener', () => {
  test('makes its socket for its owner alone, removes it, and replaces one that nobody serves', async () => {
    const host = new TestHost();
    const path = dir.file('s');
    const script = 'require("net").createServer().listen(process.argv[1], () => process.kill(process.pid, "SIGKILL"))';
    expect(spawnSync(process.execPath, ['-e', script, path]).signal).toBe('SIGKILL');
    expect(existsSync(path)).toBe(true);
    const it = await plug(`stream://${path}[listen]`, host);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    await expect(plug(`stream://${path}[listen]`, host)).rejects.toMatchObject({ code: 'EADDRINUSE' });
    it.close();
    expect(existsSync(path)).toBe(false);
    await plug(`stream://${path}[server/mode=0660]`, host);
    expect(statSync(path).mode & 0o777).toBe(0o660);
  });

  test('never replaces a file that is no socket', async () => {
    writeFileSync(dir.file('s'), 'precious');
    await expect(plug(`stream://${dir.file('s')}[listen]`, new TestHost())).rejects.toThrow();
    expect(readFileSync(dir.file('s'), 'utf8')).toBe('precious');
  });

  test('binds loopback when no host is given', async () => {
    expect(target(await plug('tcp://:0/listen', new TestHost()))).toMatch(/^tcp:\/\/127\.0\.0\.1:[0-9]+$/);
  });

  test('turns away who is more than clients=, and who finds no room in the slab', async () => {
    const host = new TestHost();
    const listener = await plug('tcp://:0/listen/clients=1', host);
    await dial(listener);
    await until(() => host.ports.length === 1, 'a port');
    await dial(listener);
    await until(() => host.refused.length === 1, 'refused');
    expect(host.refused[0]).toContain('more than 1 clients');
    const small = new TestHost({ slabBytesMax: 1 << 18 });
    await dial(await plug('tcp://:0/listen', small));
    await until(() => small.refused.length === 1, 'refused');
    expect([small.refused[0], small.ports]).toEqual(['tcp: no room in the slab for another stream', []]);
  });

  test('gives the slab back when a peer leaves', async () => {
    const host = new TestHost();
    const used = host.slab.usedBytes;
    const listener = await plug('tcp://:0/listen', host);
    for (let n = 1; n <= 3; n++) {
      (await dial(listener)).end();
      await until(() => host.closed.length === n, 'the port closed');
    }
    expect(host.slab.usedBytes).toBe(used);
  });
});

describe('tls', () => {
  let certs: ReturnType<typeof tempDir>;
  let fingerprint = '';
  const cert = (name: string) => `${encodeURIComponent(certs.file(`${name}.pem`))}`;

  beforeEach((ctx) => needs(ctx, 'openssl'));

  beforeAll((): (() => void) => {
    certs = tempDir();
    if (spawnSync('openssl', ['version']).error) return () => certs.remove();
    for (const name of ['a', 'b']) {
      execFileSync(
        'openssl',
        [
          'req',
          '-x509',
          '-newkey',
          'ec',
          '-pkeyopt',
          'ec_paramgen_curve:P-256',
          '-nodes',
          '-days',
          '2',
          '-subj',
          `/CN=${name}`,
        ].concat([
          '-addext',
          'subjectAltName=DNS:localhost,IP:127.0.0.1',
          '-keyout',
          certs.file(`${name}.key`),
          '-out',
          certs.file(`${name}.pem`),
        ]),
        { stdio: 'ignore' },
      );
    }
    fingerprint = execFileSync('openssl', ['x509', '-in', certs.file('a.pem'), '-noout', '-fingerprint', '-sha256'], {
      encoding: 'utf8',
    })
      .split('=')[1]!
      .trim();
    return () => certs.remove();
  });

  const listener = (host: TestHost, more = '') =>
    plug(`tls://127.0.0.1:0/listen/cert=${cert('a')}/key=${encodeURIComponent(certs.file('a.key'))}${more}`, host);

  test.each([
    ['its CA', () => `/ca=${cert('a')}`],
    ['its fingerprint', () => `/fingerprint=${fingerprint}`],
  ])('carries frames to a server known by %s', async (_name, trust) => {
    const host = new TestHost();
    await plug(target(await listener(host)) + trust(), host);
    await until(() => host.ports.length === 2 && host.ports.every((port) => port.takesOffload), 'connected and rich');
    const [client, server] = host.ports;
    host.send(client!, frame(1, 9000));
    host.send(server!, frame(2));
    await until(() => host.frames(client!).length === 1 && host.frames(server!).length === 1, 'the frames');
    expect([host.frames(client!), host.frames(server!)]).toEqual([[frame(2)], [frame(1, 9000)]]);
  });

  test.each([
    ['nobody vouches for', () => '', /CERT|certificate/],
    ['another CA vouches for', () => `/ca=${cert('b')}`, /CERT|certificate/],
    ['is not the pinned one', () => `/fingerprint=${'0'.repeat(64)}`, /not the one pinned/],
  ])('refuses a server whose certificate %s', async (_name, trust, why) => {
    const host = new TestHost();
    await plug(target(await listener(host)) + trust(), host);
    const client = host.ports[0]!;
    await until(() => host.told.some((line) => why.test(line)), 'refused');
    expect(host.send(client, frame(1))).toEqual([Drop.TxError]);
  });

  test('refuses a client without a certificate when it asks for one, and takes one with it', async () => {
    const host = new TestHost();
    const at = target(await listener(host, `/ca=${cert('b')}`));
    await plug(`${at}/ca=${cert('a')}`, host);
    await until(() => host.refused.length > 0, 'refused');
    open.pop()!.close();
    host.ports.splice(0);
    await plug(`${at}/ca=${cert('a')}/cert=${cert('b')}/key=${encodeURIComponent(certs.file('b.key'))}`, host);
    await until(() => host.ports.length === 2 && host.ports.every((port) => port.takesOffload), 'connected');
  });

  test.each([
    ['tls://127.0.0.1:0/listen', 'a listener needs a certificate'],
    ['tls://127.0.0.1:1/cert=x', "cannot read 'x': ENOENT"],
    ['tls://127.0.0.1:1/fingerprint=12', 'is not SHA-256'],
  ])('says what is wrong with %s', async (text, why) => {
    const host = new TestHost();
    await expect(plug(text, host)).rejects.toThrow(UsageError);
    await expect(plug(text, host)).rejects.toThrow(why);
  });
});
