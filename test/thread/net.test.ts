// What Node's own tests of `net` ask for, once of Node on the host's loopback and once of our stacks: the same must happen.

import { once } from 'node:events';
import * as realNet from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createNet, type Net } from '../../thread/net.io.ts';
import { MemoryNet } from '../kit/two-stacks.ts';

/** Where a scenario runs. `ip4` and `ip6` are the server's. */
interface Side {
  readonly server: Net;
  readonly client: Net;
  readonly ip4: string;
  readonly ip6: string;
  /** The client's own. */
  readonly own4: string;
}

type Log = unknown[];

const lan = new MemoryNet();
let sides: { node: Side; stack: Side };

beforeAll(() => {
  const [a, b] = lan.hosts(2);
  const node = { server: realNet, client: realNet, ip4: '127.0.0.1', ip6: '::1', own4: '127.0.0.1' } as Side;
  sides = {
    node,
    stack: { server: createNet(a!), client: createNet(b!), ip4: '10.0.0.1', ip6: 'fd00::1', own4: '10.0.0.2' },
  };
});
afterAll(() => lan.close());

/** Addresses and ports that differ by side have names in logs. */
function plain(side: Side, value: unknown, ports: readonly number[] = []): unknown {
  const named = (text: string): string => {
    let found = text.replaceAll(side.ip4, 'IP4').replaceAll(side.ip6, 'IP6');
    found = found.replaceAll(side.own4, 'IP4').replaceAll('fd00::2', 'IP6');
    for (const [i, port] of ports.entries()) found = found.replaceAll(String(port), `PORT${i}`);
    return found;
  };
  const replacer = (_key: string, one: unknown): unknown => {
    if (typeof one === 'string') return named(one);
    if (typeof one === 'number' && ports.includes(one)) return `PORT${ports.indexOf(one)}`;
    return one instanceof Error ? errorOf(one) : one;
  };
  return JSON.parse(JSON.stringify(value, replacer));
}

function errorOf(error: Error): unknown {
  const { message, code, errno, syscall, address, port } = error as NodeJS.ErrnoException & {
    address?: string;
    port?: number;
  };
  return { name: error.name, message, code, errno, syscall, address, port };
}

/** Notes the events of a socket or server under a name. */
function note(log: Log, name: string, emitter: realNet.Socket | realNet.Server): void {
  const plainEvents = [
    'connect',
    'ready',
    'lookup',
    'end',
    'finish',
    'timeout',
    'drain',
    'listening',
    'connection',
    'drop',
  ];
  for (const event of plainEvents) emitter.on(event, () => log.push(`${name} ${event}`));
  emitter.on('error', (error: Error) => log.push([`${name} error`, errorOf(error)]));
  emitter.on('close', (hadError?: boolean) => log.push(`${name} close ${hadError}`));
}

const portOf = (server: realNet.Server): number => (server.address() as realNet.AddressInfo).port;

/** A server that listens, and how to connect to it. */
async function serve(
  { server, ip4 }: Side,
  act: (socket: realNet.Socket, listening: realNet.Server) => void,
  options: realNet.ServerOpts = {},
): Promise<{ listening: realNet.Server; port: number }> {
  const listening: realNet.Server = server.createServer(options, (socket) => act(socket, listening));
  listening.listen(0, ip4);
  await once(listening, 'listening');
  return { listening, port: portOf(listening) };
}

/** In their order: a server that closes first would turn connections away that it has not seen yet. */
async function closed(...emitters: (realNet.Socket | realNet.Server)[]): Promise<void> {
  for (const one of emitters) {
    if ('listening' in one) await new Promise((done) => one.close(done));
    else await isGone(one);
  }
  await settled();
}

/** What is under way in this turn of the loop and the next few has happened. */
async function settled(): Promise<void> {
  for (let i = 0; i < 10; i++) await new Promise(setImmediate);
}

/** The event follows the property. */
async function isGone(socket: realNet.Socket): Promise<void> {
  if (!socket.closed) await new Promise((done) => socket.once('close', done));
  await settled();
}

const collect = async (socket: realNet.Socket): Promise<string> => {
  let text = '';
  for await (const chunk of socket) text += chunk;
  return text;
};

const SCENARIOS: Record<string, (side: Side) => Promise<unknown>> = {
  'echoes, with the events in order': async (side) => {
    const log: Log = [];
    const { listening, port } = await serve(side, (socket) => {
      note(log, 'server', socket);
      socket.pipe(socket);
    });
    const client = side.client.connect(port, side.ip4);
    const own: Log = [];
    note(own, 'client', client);
    client.on('data', (data) => own.push(String(data)));
    client.end('hello');
    await closed(client, listening);
    return { own, server: log };
  },
  'is in the states of a socket': async (side) => {
    const { listening, port } = await serve(side, (socket) => socket.resume());
    const client = new side.client.Socket();
    const state = (): unknown => [
      client.connecting,
      client.pending,
      client.readyState,
      client.destroyed,
      client.readable,
    ];
    const log: Log = [state()];
    client.connect(port, side.ip4);
    log.push(state());
    await once(client, 'connect');
    log.push(
      state(),
      client.address(),
      client.remoteAddress,
      client.remoteFamily,
      client.localAddress,
      client.localFamily,
    );
    const localPort = client.localPort!;
    log.push(client.remotePort === port, (client.address() as realNet.AddressInfo).port === client.localPort);
    client.end();
    log.push(state());
    await once(client, 'close');
    log.push(state(), client.remoteAddress ?? 'none', client.localAddress ?? 'none');
    await closed(listening);
    return plain(side, log, [port, localPort]);
  },
  'listens with every signature': async (side) => {
    const log: Log = [];
    const host = side.ip4;
    const calls: unknown[][] = [
      [0, host],
      ['0', host],
      [0, host, 5],
      [0, host, 5, () => log.push('callback')],
      [{ port: 0, host }],
      [{ port: 0, host, backlog: 3, exclusive: true }, () => log.push('callback')],
      [{ port: undefined, host }],
      [null],
      [() => log.push('callback')],
      [],
      [0, () => log.push('callback')],
      [{ port: 0, host: '::', ipv6Only: true }],
    ];
    for (const args of calls) {
      const server = side.server.createServer();
      (server.listen as (...all: unknown[]) => void)(...args);
      await once(server, 'listening');
      const { address, family, port } = server.address() as realNet.AddressInfo;
      log.push([address, family, port > 0, server.listening]);
      await closed(server);
      log.push([server.address(), server.listening]);
    }
    return plain(side, log);
  },
  'refuses bad arguments as Node does': async (side) => {
    const log: Log = [];
    const attempt = (act: () => unknown): void => {
      try {
        act();
        log.push('nothing thrown');
      } catch (error) {
        log.push(errorOf(error as Error));
      }
    };
    const wrong = (...args: unknown[]): unknown[] => args;
    for (const args of [
      wrong(),
      wrong({}),
      wrong(-1),
      wrong(65_536),
      wrong({ port: 'x' }),
      wrong({ port: 1, localAddress: 'x' }),
    ]) {
      attempt(() => (new side.client.Socket().connect as (...all: unknown[]) => void)(...args));
    }
    for (const args of [
      wrong({ port: true }),
      wrong({ port: 1, family: 5, host: 'x.invalid' }),
      wrong({ port: 80, lookup: 1, host: 'x' }),
    ]) {
      attempt(() => (new side.client.Socket().connect as (...all: unknown[]) => void)(...args));
    }
    for (const args of [
      wrong(-1),
      wrong(65_536),
      wrong({}),
      wrong({ host: 'x' }),
      wrong({ port: 'x' }),
      wrong(Number.NaN),
      wrong(false),
    ]) {
      attempt(() => (side.server.createServer().listen as (...all: unknown[]) => void)(...args));
    }
    const server = side.server.createServer();
    attempt(() => server.listen(0, side.ip4));
    attempt(() => server.listen(0, side.ip4));
    attempt(() => side.client.connect({ port: 1, host: side.ip4, timeout: -1 } as realNet.NetConnectOpts));
    await closed(server);
    server.close((error) => log.push(errorOf(error!)));
    await new Promise(setImmediate);
    return plain(side, log);
  },
  'tells EADDRINUSE and EADDRNOTAVAIL': async (side) => {
    const { listening, port } = await serve(side, () => {});
    const other = side.server.createServer().listen(port, side.ip4);
    const [error] = await once(other, 'error');
    const foreign = side.server.createServer().listen(1234, '192.0.2.1');
    const [second] = await once(foreign, 'error');
    await closed(listening);
    return plain(side, [errorOf(error), other.listening, errorOf(second)], [port]);
  },
  'tells ECONNREFUSED': async (side) => {
    const { listening, port } = await serve(side, () => {});
    await closed(listening);
    const log: Log = [];
    const client = side.client.connect(port, side.ip4);
    note(log, 'client', client);
    await isGone(client);
    return plain(side, [log, client.destroyed, client.connecting, client.pending], [port]);
  },
  'stays half open if it is allowed': async (side) => {
    const log: Log = [];
    const { listening, port } = await serve(
      side,
      (socket) => {
        note(log, 'server', socket);
        socket.on('end', () => socket.end(`late, ${socket.readyState}`));
        socket.resume();
      },
      { allowHalfOpen: true },
    );
    const client = side.client.connect({ port, host: side.ip4, allowHalfOpen: true });
    client.end('x');
    const text = await collect(client);
    await closed(listening);
    return { text, log };
  },
  'ends by itself if it is not': async (side) => {
    const log: Log = [];
    const { listening, port } = await serve(side, (socket) => socket.end('bye'));
    const client = side.client.connect(port, side.ip4);
    client.on('data', (data) => log.push(String(data)));
    note(log, 'client', client);
    await isGone(client);
    log.push(client.writableEnded, client.readyState);
    await closed(listening);
    return log;
  },
  'tells a timeout and goes on': async (side) => {
    const log: Log = [];
    const { listening, port } = await serve(side, (socket) => socket.pipe(socket));
    const client = side.client.connect({ port, host: side.ip4, timeout: 30 });
    note(log, 'client', client);
    await once(client, 'timeout');
    log.push(client.timeout, client.destroyed);
    client.setTimeout(0);
    client.write('still there');
    log.push(String((await once(client, 'data'))[0]), client.timeout);
    client.end();
    await closed(client, listening);
    return log;
  },
  'holds data while it is paused': async (side) => {
    const log: Log = [];
    const { listening, port } = await serve(side, (socket) => {
      socket.write('one');
      socket.end('two');
    });
    const client = side.client.connect(port, side.ip4);
    client.pause();
    client.setEncoding('utf8');
    client.on('data', (data) => log.push(`data ${data.length > 0}`));
    await once(client, 'connect');
    for (let i = 0; i < 20; i++) await new Promise(setImmediate);
    log.push(['paused', client.isPaused(), log.length]);
    client.resume();
    await isGone(client);
    await closed(listening);
    return [log[0], log.length > 1, client.bytesRead];
  },
  'pushes back and loses nothing': async (side) => {
    const total = 8 << 20;
    const { listening, port } = await serve(side, (socket) => {
      socket.pause();
      setTimeout(() => socket.pipe(socket), 20);
    });
    const client = side.client.connect(port, side.ip4);
    const chunk = Buffer.alloc(65_536);
    let drains = 0;
    let falses = 0;
    let sum = 0;
    let got = 0;
    client.on('data', (data) => {
      for (let i = 0; i < data.length; i += 4096) sum = (sum + data[i]!) % 65_521;
      got += data.length;
    });
    for (let sent = 0; sent < total; sent += chunk.length) {
      chunk.fill((sent / chunk.length) % 251);
      if (client.write(Buffer.from(chunk))) continue;
      falses++;
      await once(client, 'drain');
      drains++;
    }
    client.end();
    await closed(client, listening);
    return [got, drains === falses, falses > 0, client.bytesWritten, client.bytesRead];
  },
  'is destroyed': async (side) => {
    const log: Log = [];
    const { listening, port } = await serve(side, (socket) => note(log, 'server', socket.resume()));
    const client = side.client.connect(port, side.ip4);
    await Promise.all([once(client, 'connect'), once(listening, 'connection')]);
    const own: Log = [];
    note(own, 'client', client);
    client.destroy(new Error('ours'));
    client.destroy();
    await closed(client, listening);
    return { own, log };
  },
  'resets, and the peer hears of it': async (side) => {
    const log: Log = [];
    const { listening, port } = await serve(side, (socket) => note(log, 'server', socket.resume()));
    const client = side.client.connect(port, side.ip4);
    const own: Log = [];
    note(own, 'client', client);
    await Promise.all([once(client, 'connect'), once(listening, 'connection')]);
    client.resetAndDestroy();
    await closed(client, listening);
    return { own, log };
  },
  'is reset before it is connected': async (side) => {
    const log: Log = [];
    const client = new side.client.Socket();
    note(log, 'client', client);
    client.resetAndDestroy();
    await isGone(client);
    return log;
  },
  'fails to write after the end': async (side) => {
    const { listening, port } = await serve(side, (socket) => socket.resume());
    const client = side.client.connect(port, side.ip4);
    await once(client, 'connect');
    const log: Log = [];
    note(log, 'client', client);
    client.end();
    client.write('late', (error) => log.push(['callback', errorOf(error!)]));
    await closed(client, listening);
    return log;
  },
  'fails to write to whom reset': async (side) => {
    let reset = (): void => {};
    const { listening, port } = await serve(side, (socket) => {
      reset = () => socket.resetAndDestroy();
    });
    const client = side.client.connect(port, side.ip4);
    client.pause();
    await Promise.all([once(client, 'connect'), once(listening, 'connection')]);
    reset();
    const [error] = await new Promise<[NodeJS.ErrnoException]>((done) => {
      client.on('error', (one) => done([one]));
      const write = (): void => {
        if (!client.destroyed) client.write('x', () => setImmediate(write));
      };
      setTimeout(write, 10);
    });
    await closed(client, listening);
    return [error.syscall, error.code === 'ECONNRESET' || error.code === 'EPIPE'];
  },
  'drops connections beyond the most': async (side) => {
    const log: Log = [];
    const { listening, port } = await serve(side, (socket) => socket.resume());
    listening.maxConnections = 1;
    listening.on('drop', (data) => log.push(plain(side, { ...data, remotePort: 0 }, [port])));
    const first = side.client.connect(port, side.ip4);
    await once(first, 'connect');
    await new Promise(setImmediate);
    const second = side.client.connect(port, side.ip4).on('error', () => {});
    second.resume();
    await isGone(second);
    log.push(await new Promise((done) => listening.getConnections((_error, count) => done(count))));
    first.end();
    await closed(first, listening);
    return log;
  },
  'closes when the last connection is over': async (side) => {
    const log: Log = [];
    const { listening, port } = await serve(side, (socket) => {
      note(log, 'server socket', socket.resume());
    });
    note(log, 'server', listening);
    const client = side.client.connect(port, side.ip4);
    await Promise.all([once(client, 'connect'), once(listening, 'connection')]);
    const done = closed(listening);
    const late = side.client.connect(port, side.ip4);
    const [error] = await once(late, 'error');
    log.push(listening.listening, error.code);
    client.end();
    await done;
    return log;
  },
  'writes in one go what was corked': async (side) => {
    const chunks: number[] = [];
    const { listening, port } = await serve(side, (socket) => socket.on('data', (data) => chunks.push(data.length)));
    const client = side.client.connect(port, side.ip4);
    await once(client, 'connect');
    client.cork();
    for (let i = 0; i < 10; i++) client.write(i % 2 ? 'text ü' : Buffer.from([1, 2, 3]));
    client.write('6869', 'hex');
    client.write('latin', 'latin1');
    client.write('ucs', 'ucs2');
    const written = client.bytesWritten;
    client.uncork();
    await new Promise<void>((done) => client.end('last', () => done()));
    await closed(client, listening);
    return [chunks.reduce((a, b) => a + b), written, client.bytesWritten];
  },
  'has options that give the socket back': async (side) => {
    const { listening, port } = await serve(side, (socket) => socket.resume(), {
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: 2000,
    });
    const client = side.client.connect({
      port,
      host: side.ip4,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: 1000,
    });
    await once(client, 'connect');
    const same = [
      client.setNoDelay(),
      client.setKeepAlive(true, 1000),
      client.ref(),
      client.unref(),
      client.ref(),
      client.setTimeout(1000),
      client.pause(),
      client.resume(),
    ].map((one) => one === client);
    client.destroySoon();
    await closed(client, listening);
    return [same, client.destroyed];
  },
  'speaks IPv6': async (side) => {
    const log: Log = [];
    const server = side.server.createServer((socket) => {
      log.push([socket.remoteAddress, socket.remoteFamily, socket.localAddress]);
      socket.pipe(socket);
    });
    server.listen(0, side.ip6);
    await once(server, 'listening');
    const client = side.client.connect(portOf(server), side.ip6);
    client.end('six');
    log.push(client.remoteAddress ?? 'none', await collect(client), server.address());
    const port = portOf(server);
    await closed(server);
    return plain(side, log, [port]);
  },
  'takes both families on one port': async (side) => {
    const log: Log = [];
    const server = side.server.createServer((socket) => {
      log.push([socket.remoteAddress, socket.remoteFamily, socket.localFamily]);
      socket.end();
    });
    server.listen(0);
    await once(server, 'listening');
    for (const host of [side.ip4, side.ip6]) await isGone(side.client.connect(portOf(server), host).resume());
    await closed(server);
    return plain(side, log);
  },
  'connects from a chosen address and port': async (side) => {
    const { listening, port } = await serve(side, (socket) => socket.end(`${socket.remotePort}`));
    const probe = side.client.createServer().listen(0, side.own4);
    await once(probe, 'listening');
    const localPort = portOf(probe);
    const taken = side.client.connect({ port, host: side.ip4, localAddress: side.own4, localPort });
    const [error] = await once(taken, 'error');
    await closed(probe);
    const client = side.client.connect({ port, host: side.ip4, localAddress: side.own4, localPort });
    const text = await collect(client);
    const foreign = side.client.connect({ port, host: side.ip4, localAddress: '192.0.2.7' });
    const [other] = await once(foreign, 'error');
    await closed(listening);
    return plain(side, [errorOf(error), text === String(localPort), errorOf(other)], [localPort, port]);
  },
  'looks a name up as it is told to': async (side) => {
    const log: Log = [];
    const { listening, port } = await serve(side, (socket) => socket.end());
    const lookup = ((name: string, options: { all?: boolean }, done: (...all: unknown[]) => void) => {
      log.push([name, options.all]);
      if (options.all) done(null, [{ address: side.ip4, family: 4 }]);
      else done(null, side.ip4, 4);
    }) as unknown as realNet.LookupFunction;
    const client = side.client.connect({ port, host: 'some.name', lookup });
    client.on('lookup', (...args) => log.push(args));
    await isGone(client.resume());
    const failing = ((_name: string, _options: unknown, done: (error: Error) => void) =>
      done(new Error('no'))) as unknown as realNet.LookupFunction;
    const second = side.client.connect({ port, host: 'some.name', lookup: failing, autoSelectFamily: false });
    const [error] = await once(second, 'error');
    await closed(listening);
    return plain(side, [log, errorOf(error)], [port]);
  },
  'tries the families one after the other': async (side) => {
    const { listening, port } = await serve(side, (socket) => socket.end('found'));
    const lookup = ((_name: string, _options: unknown, done: (...all: unknown[]) => void) =>
      done(null, [
        { address: side.ip6, family: 6 },
        { address: side.ip4, family: 4 },
      ])) as unknown as realNet.LookupFunction;
    const log: Log = [];
    const client = side.client.connect({ port, host: 'both', lookup });
    for (const event of ['connectionAttempt', 'connectionAttemptFailed']) {
      client.on(event, (...args: unknown[]) =>
        log.push([event, ...args.map((one) => (one instanceof Error ? errorOf(one) : one))]),
      );
    }
    log.push(await collect(client), client.autoSelectFamilyAttemptedAddresses);
    await closed(listening);
    const none = side.client.connect({ port, host: 'both', lookup });
    const [error] = await once(none, 'error');
    log.push(errorOf(error), (error as AggregateError).errors.map(errorOf));
    return plain(side, log, [port]);
  },
  'gives sockets paused': async (side) => {
    const log: Log = [];
    const { listening, port } = await serve(
      side,
      (socket) => {
        log.push(socket.isPaused());
        socket.on('data', (data) => log.push(String(data)));
        setTimeout(() => {
          log.push(socket.bytesRead);
          socket.resume();
        }, 10);
      },
      { pauseOnConnect: true },
    );
    const client = side.client.connect(port, side.ip4);
    client.end('x');
    await closed(client.resume(), listening);
    return log;
  },
  'reads into a buffer of the program': async (side) => {
    const { listening, port } = await serve(side, (socket) => socket.end('0123456789'.repeat(10)));
    let text = '';
    const buffer = Buffer.alloc(16);
    const client = side.client.connect({
      port,
      host: side.ip4,
      onread: {
        buffer,
        callback: (count: number, from: Uint8Array) => {
          text += Buffer.from(from.subarray(0, count)).toString();
          return true;
        },
      },
    });
    await isGone(client);
    await closed(listening);
    return [text.length, text.slice(0, 20)];
  },
  'listens until a signal': async (side) => {
    const log: Log = [];
    const abort = new AbortController();
    const server = side.server.createServer();
    note(log, 'server', server);
    server.listen({ port: 0, host: side.ip4, signal: abort.signal });
    await once(server, 'listening');
    abort.abort();
    await once(server, 'close');
    return log;
  },
  'connects again after it was closed': async (side) => {
    const { listening, port } = await serve(side, (socket) => socket.end('once more'));
    const client = new side.client.Socket();
    const texts: string[] = [];
    for (let i = 0; i < 3; i++) {
      client.connect(port, side.ip4);
      let text = '';
      const hear = (data: Buffer): void => {
        text += data;
      };
      client.on('data', hear);
      await once(client, 'close');
      client.removeListener('data', hear);
      texts.push(text);
    }
    await closed(listening);
    return texts;
  },
  'gives up while it connects': async (side) => {
    const log: Log = [];
    const { listening, port } = await serve(side, (socket) => socket.resume());
    const client = side.client.connect(port, side.ip4);
    note(log, 'client', client);
    client.destroy();
    await isGone(client);
    const abort = new AbortController();
    const second = side.client.connect({ port, host: side.ip4, signal: abort.signal } as realNet.NetConnectOpts);
    note(log, 'second', second);
    abort.abort();
    await isGone(second);
    await closed(listening);
    return log;
  },
  'writes before it is connected': async (side) => {
    const log: Log = [];
    const { listening, port } = await serve(side, (socket) => socket.pipe(socket));
    const client = new side.client.Socket();
    client.connect(port, side.ip4);
    log.push(
      client.write('early ', () => log.push('written')),
      client.bytesWritten,
      client.writableLength,
    );
    client.end('bird');
    log.push(await collect(client), client.bytesWritten);
    await closed(listening);
    return log;
  },
  'runs ticks and promises between events': async (side) => {
    const log: Log = [];
    const { listening, port } = await serve(side, (socket) => socket.end('data'));
    const client = side.client.connect(port, side.ip4);
    for (const event of ['connect', 'ready', 'readable', 'end', 'close']) {
      client.on(event, () => {
        log.push(event);
        if (event === 'readable') client.read();
        process.nextTick(() => log.push(`tick of ${event}`));
        void Promise.resolve().then(() => log.push(`promise of ${event}`));
      });
    }
    await once(client, 'close');
    await new Promise(setImmediate);
    await closed(listening);
    // How often `readable` comes depends on how the bytes and the end arrive.
    return log.filter((one) => !String(one).endsWith('readable'));
  },
  'passes the helpers on': async (side) => {
    const list = new side.client.BlockList();
    list.addSubnet('10.0.0.0', 8, 'ipv4');
    const address = new side.client.SocketAddress({ address: '10.1.2.3', port: 1 });
    return [side.client.isIP('::1'), side.client.isIPv4('::1'), side.client.isIPv6('::1'), list.check(address)];
  },
};

test.each(Object.keys(SCENARIOS))('%s', async (name) => {
  const scenario = SCENARIOS[name]!;
  const expected = await scenario(sides.node);
  const found = await scenario(sides.stack);
  expect(expected).toBeTruthy();
  expect(JSON.parse(JSON.stringify(found))).toEqual(JSON.parse(JSON.stringify(expected)));
});
