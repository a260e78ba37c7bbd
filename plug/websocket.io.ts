// ws:// wss://: one binary message is one frame, as v86, websockproxy and jor1k have it.

import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import * as http from 'node:http';
import * as https from 'node:https';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { WebSocket, WebSocketServer } from 'ws';
import { Drop } from '../core/drop.ts';
import { formatHostPort, type HostPort, parseHostPort } from './address.ts';
import type { PlugHost } from './host.ts';
import { type Medium, MessagePort } from './message-port.io.ts';
import type { NodePlug, NodePlugHooks } from './node-plug.ts';
import { Redial } from './redial.io.ts';
import { dialer, listen, reason, tlsOptions } from './stream.io.ts';
import { bytesOption, intOption, type Vnl } from './vnl.ts';
import { type DoorRules, refuse } from './websocket-door.ts';

const QUEUE_BYTES = 1 << 20;
const CLIENTS_MAX = 64;
const MESSAGE_BYTES_MAX = 65_558;
const TEXT_BYTES_MAX = 256;
const PING_MS = 30_000;
const HANDSHAKE_MS = 10_000;
const TOKEN_BYTES = 16;
const CLIENT = { perMessageDeflate: false, maxPayload: MESSAGE_BYTES_MAX, handshakeTimeout: HANDSHAKE_MS };
const TOO_LONG = 'WS_ERR_UNSUPPORTED_MESSAGE_LENGTH';

/** Opens a connecting plug. One port, there at once, that survives reconnections unless `once`. */
export function openWebSocketClient(vnl: Vnl, host: PlugHost, hooks: NodePlugHooks): NodePlug {
  const dial = dialer(vnl, hostPortOf(vnl), vnl.scheme === 'wss');
  const url = new URL(`${vnl.scheme}://${vnl.address}`);
  const label = `${vnl.scheme}://${vnl.address.split('?')[0]}`; // a query may hold a token

  const token = vnl.options.get('token');
  if (token !== undefined) url.searchParams.set('token', token);
  const port = new MessagePort({ host, queueBytesMax: bytesOption(vnl, 'queue', QUEUE_BYTES) });
  let socket: WebSocket | undefined;
  let early: Socket | undefined; // connected, but not yet a WebSocket
  let told = '';
  const tell = (text: string): void => {
    if (text !== told) host.tell(port, text);
    told = text;
  };
  const lost = (why: string): void => {
    port.attach(undefined);
    tell(`${label}: ${why}`);
    if (!vnl.options.has('once')) {
      redial.lost();
      return;
    }
    redial.close();
    port.close();
    hooks.onPortClosed(port);
  };
  const upgrade = (raw: Socket): void => {
    const dialled = new WebSocket(url, { ...CLIENT, createConnection: () => raw });
    let why = '';
    dialled.on('error', (error) => {
      why ||= reason(error);
    });
    dialled.once('open', () => {
      redial.up();
      tell(`${label}: connected`);
      serve(dialled, raw, port);
    });
    dialled.once('close', () => {
      if (socket === dialled) lost(why || 'closed');
    });
    socket = dialled;
  };
  // The request may hold a token: it is sent when the server has been verified.
  const redial = new Redial(host, () => {
    early = dial(upgrade, lost);
  });
  hooks.onPort(port);
  redial.start();
  return {
    describe: () => `${label} ${port.isUp ? 'connected' : 'not connected'}`,
    close: () => {
      redial.close();
      const last = socket;
      socket = undefined;
      port.close();
      last?.terminate();
      early?.removeAllListeners('close');
      early?.destroy();
    },
  };
}

/** Opens a listening plug: one port per peer. Rejects if the address cannot be had. */
export async function openWebSocketListener(vnl: Vnl, host: PlugHost, hooks: NodePlugHooks): Promise<NodePlug> {
  const slash = vnl.address.indexOf('/');
  const path = slash < 0 ? undefined : vnl.address.slice(slash);
  const bindTo = hostPortOf(vnl);
  const token = vnl.options.has('open')
    ? undefined
    : (vnl.options.get('token') ?? randomBytes(TOKEN_BYTES).toString('hex'));
  const server =
    vnl.scheme === 'wss'
      ? https.createServer({ ...tlsOptions(vnl, true), handshakeTimeout: HANDSHAKE_MS })
      : http.createServer();
  server.headersTimeout = HANDSHAKE_MS;
  const clientsMax = intOption(vnl, 'clients', CLIENTS_MAX);
  server.maxConnections = clientsMax + 16; // some who are still at the door
  server.on('request', (_request, response) => response.writeHead(426, { Connection: 'close' }).end());
  server.on('clientError', (_error, socket) => socket.destroy());
  await listen(server, bindTo, 0);
  const rules = doorRules(
    vnl,
    { ...bindTo, port: portOf(server) },
    slash < 0 ? undefined : vnl.address.slice(slash),
    token,
  );
  const hall = new Hall(vnl, host, hooks, clientsMax, rules);
  server.on('upgrade', (request, socket, head) => hall.arrive(request, socket, head));
  const where = `${vnl.scheme}://${formatHostPort({ host: bindTo.host, port: portOf(server) })}${path ?? '/'}`;
  const secret = token !== undefined && !vnl.options.has('token') ? `?token=${token}` : '';
  return {
    describe: () => `${where}${secret} listening, ${hall.size} connected`,
    close: () => {
      server.close();
      hall.close();
      server.closeAllConnections();
    },
  };
}

/** The visitors of a listener. */
class Hall {
  private readonly clients = new Map<WebSocket, MessagePort>();
  private readonly upgrader: WebSocketServer;
  private readonly vnl: Vnl;
  private readonly host: PlugHost;
  private readonly hooks: NodePlugHooks;
  private readonly clientsMax: number;
  private readonly rules: DoorRules;

  constructor(vnl: Vnl, host: PlugHost, hooks: NodePlugHooks, clientsMax: number, rules: DoorRules) {
    this.vnl = vnl;
    this.host = host;
    this.hooks = hooks;
    this.clientsMax = clientsMax;
    this.rules = rules;
    this.upgrader = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      maxPayload: MESSAGE_BYTES_MAX,
      perMessageDeflate: false,
      handleProtocols: (offered) => [...offered].find((protocol) => rules.isToken(protocol)) ?? false,
    });
  }

  get size(): number {
    return this.clients.size;
  }

  arrive(request: http.IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on('error', () => {});
    const refusal = this.refusal(request);
    if (refusal === undefined) {
      this.upgrader.handleUpgrade(request, socket, head, (client) => this.admit(client, socket));
      return;
    }
    socket.end(`HTTP/1.1 ${refusal}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`, () => socket.destroy());
    this.hooks.onRefused?.(`${this.vnl.scheme}: ${(request.socket as Socket).remoteAddress}: ${refusal}`);
  }

  close(): void {
    for (const [client, port] of this.clients) {
      this.clients.delete(client);
      port.close();
      client.terminate();
    }
  }

  private refusal({ headers, url }: http.IncomingMessage): string | undefined {
    const refusal = refuse(
      {
        host: headers.host,
        origin: headers.origin,
        target: url ?? '/',
        protocols: headers['sec-websocket-protocol'],
      },
      this.rules,
    );
    return refusal ?? (this.clients.size >= this.clientsMax ? '503 Too many clients' : undefined);
  }

  private admit(client: WebSocket, raw: Duplex): void {
    let port: MessagePort;
    client.on('error', () => {});
    try {
      port = new MessagePort({ host: this.host, queueBytesMax: bytesOption(this.vnl, 'queue', QUEUE_BYTES) });
    } catch (error) {
      client.terminate();
      if (!(error instanceof RangeError)) throw error;
      this.hooks.onRefused?.(`${this.vnl.scheme}: ${error.message}`);
      return;
    }
    this.clients.set(client, port);
    this.hooks.onPort(port);
    serve(client, raw, port);
    client.once('close', () => {
      if (!this.clients.delete(client)) return;
      this.host.tell(port, `${this.vnl.scheme}: the peer is gone`);
      port.close();
      this.hooks.onPortClosed(port);
    });
  }
}

/** Joins an open WebSocket and a port. `raw` is the stream below, to send many messages in one write. */
function serve(socket: WebSocket, raw: Duplex, port: MessagePort): void {
  let hasAnswered = true;
  const timer = setInterval(() => {
    if (!hasAnswered) {
      socket.terminate();
      return;
    }
    hasAnswered = false;
    socket.ping();
  }, PING_MS);
  socket.on('pong', () => {
    hasAnswered = true;
  });
  socket.once('close', () => clearInterval(timer));
  socket.on('error', (error) => {
    if ((error as NodeJS.ErrnoException).code === TOO_LONG) port.counters.drops.add(Drop.RxLength);
  });
  socket.on('message', (data, isBinary) => {
    const bytes = data as Buffer; // binaryType is nodebuffer
    if (isBinary) port.accept(bytes);
    else answer(socket, bytes, port);
  });
  raw.on('drain', () => port.drained());
  port.attach(medium(socket, raw, port));
}

/** jor1k measures with text: `ping:x` is answered `pong:x`. */
function answer(socket: WebSocket, text: Buffer, port: MessagePort): void {
  if (text.length > TEXT_BYTES_MAX || !port.hasRoom || text.toString('latin1', 0, 5) !== 'ping:') return;
  socket.send(`pong:${text.toString('utf8', 5)}`);
}

function medium(socket: WebSocket, raw: Duplex, port: MessagePort): Medium {
  const sent = (error?: Error): void => {
    if (error) port.counters.drops.add(Drop.TxError);
    port.drained();
  };
  return {
    queuedBytes: () => socket.bufferedAmount,
    send: (bytes, lengths, count) => {
      raw.cork();
      for (let n = 0, at = 0; n < count; n++) {
        const end = at + lengths[n]!;
        socket.send(bytes.subarray(at, end), sent);
        at = end;
      }
      raw.uncork();
    },
    pause: (isPaused) => {
      if (isPaused) socket.pause();
      else socket.resume();
    },
  };
}

/** The transport address before the path; without a host it is loopback. */
function hostPortOf(vnl: Vnl): HostPort {
  const slash = vnl.address.indexOf('/');
  const { host, port } = parseHostPort(slash < 0 ? vnl.address : vnl.address.slice(0, slash), vnl.scheme);
  return { host: host === '' ? '127.0.0.1' : host, port };
}

function portOf(server: http.Server): number {
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

function doorRules(
  vnl: Vnl,
  at: { host: string; port: number },
  path: string | undefined,
  token: string | undefined,
): DoorRules {
  const list = (key: string): string[] =>
    vnl.options
      .get(key)
      ?.toLowerCase()
      .split(',')
      .filter((text) => text !== '') ?? [];
  const names = ['localhost', '127.0.0.1', '::1', at.host].map((host) => formatHostPort({ host, port: at.port }));
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  const right = token === undefined ? undefined : digest(token);
  return {
    hosts: new Set([...names, ...list('host').flatMap((name) => [name, `${name}:${at.port}`])]),
    origins: new Set(list('origin')),
    path,
    isToken: (offered) => right === undefined || timingSafeEqual(digest(offered), right),
  };
}
