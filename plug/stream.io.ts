// stream:// tcp:// tls://: frames with a 32-bit length over AF_UNIX, TCP and TLS, as a client that reconnects or as a listener.

import { chmodSync, lstatSync, readFileSync, unlinkSync } from 'node:fs';
import * as net from 'node:net';
import * as tls from 'node:tls';
import { isMainThread } from 'node:worker_threads';
import { UsageError } from '../core/assert.ts';
import { formatHostPort, parseHostPort } from './address.ts';
import { ByteStreamPort } from './byte-stream.io.ts';
import { CableHello, tcpIdentity, UNPROVEN, unixIdentity } from './cable-hello.ts';
import { RECORD_BYTES_MAX } from './framing.ts';
import type { PlugHost } from './host.ts';
import type { NodePlug, NodePlugHooks } from './node-plug.ts';
import { freshRng, Redial } from './redial.io.ts';
import { bytesOption, intOption, modeOption, type Vnl } from './vnl.ts';

const QUEUE_BYTES = 1 << 20;
const CLIENTS_MAX = 64;
const KEEPALIVE_MS = 30_000;
const HANDSHAKE_MS = 10_000;

/** Where a socket is or goes. */
export type SocketAddress = { path: string } | { host: string; port: number };

/** The address in a VNL; a listener without a host gets loopback. */
export function socketAddress(vnl: Vnl): SocketAddress {
  if (vnl.form === 'path') return { path: vnl.address };
  const { host, port } = parseHostPort(vnl.address, vnl.scheme);
  return { host: host === '' ? '127.0.0.1' : host, port };
}

/** Certificates and trust of a VNL, read from its files. Throws `UsageError`. */
export function tlsOptions(vnl: Vnl, isServer: boolean): tls.SecureContextOptions {
  const read = (key: string): Buffer | undefined => {
    const file = vnl.options.get(key);
    if (file === undefined) return undefined;
    try {
      return readFileSync(file);
    } catch (error) {
      throw new UsageError(`${vnl.scheme}: ${key}: cannot read '${file}': ${(error as NodeJS.ErrnoException).code}`);
    }
  };
  const [cert, key, ca] = [read('cert'), read('key'), read('ca')];
  if (isServer && (!cert || !key)) {
    throw new UsageError(`${vnl.scheme}: a listener needs a certificate; add cert=FILE and key=FILE`);
  }
  if (!cert !== !key) throw new UsageError(`${vnl.scheme}: cert and key belong together; give both or none`);
  const options = { ...(cert && { cert }), ...(key && { key }), ...(ca && { ca }) };
  try {
    tls.createSecureContext(options);
  } catch (error) {
    throw new UsageError(`${vnl.scheme}: not a certificate, key or CA: ${(error as Error).message}`);
  }
  return options;
}

/** The pinned SHA-256 fingerprint of the peer's certificate as upper-case hex, or undefined. Throws `UsageError`. */
function pinOf(vnl: Vnl): string | undefined {
  const text = vnl.options.get('fingerprint');
  if (text === undefined) return undefined;
  const hex = text
    .replace(/^sha256:/i, '')
    .replaceAll(':', '')
    .toUpperCase();
  if (/^[0-9A-F]{64}$/.test(hex)) return hex;
  throw new UsageError(`${vnl.scheme}: fingerprint: '${text}' is not SHA-256; give 64 hex digits`);
}

/** True if the peer's certificate is the pinned one. */
const hasPin = (socket: tls.TLSSocket, pin: string): boolean =>
  socket.getPeerX509Certificate()?.fingerprint256.replaceAll(':', '') === pin;

/** Opens a connecting plug. One port, there at once, that survives reconnections unless `once`. */
export function openStreamClient(vnl: Vnl, host: PlugHost, hooks: NodePlugHooks): NodePlug {
  const address = socketAddress(vnl);
  const label = `${vnl.scheme}://${vnl.address}`;
  const port = new ByteStreamPort({ host, framing: 'u32', queueBytesMax: bytesOption(vnl, 'queue', QUEUE_BYTES) });
  const dial = dialer(vnl, address, vnl.scheme === 'tls');
  let socket: net.Socket | undefined;
  let told = '';
  const tell = (text: string): void => {
    if (text !== told) host.tell(port, text);
    told = text;
  };
  const lost = (why: string): void => {
    socket?.destroy();
    socket = undefined;
    tell(`${label}: ${why}`);
    if (!vnl.options.has('once')) {
      redial.lost();
      return;
    }
    redial.close();
    port.close();
    hooks.onPortClosed(port);
  };
  const redial = new Redial(host, () => {
    socket = dial((connected) => {
      redial.up();
      tell(`${label}: connected`);
      attach(port, connected, vnl, lost);
    }, lost);
  });
  hooks.onPort(port);
  redial.start();
  return {
    describe: () => `${label} ${port.isUp ? 'connected' : 'not connected'}`,
    close: () => {
      redial.close();
      port.close();
      socket?.removeAllListeners('close');
      socket?.destroy();
    },
  };
}

/** Opens a listening plug: one port per peer. Rejects if the address cannot be had. */
export async function openStreamListener(vnl: Vnl, host: PlugHost, hooks: NodePlugHooks): Promise<NodePlug> {
  const queueBytesMax = bytesOption(vnl, 'queue', QUEUE_BYTES);
  const clients = new Map<net.Socket, ByteStreamPort>();
  const accept = (socket: net.Socket): void => {
    socket.on('error', () => {});
    let port: ByteStreamPort;
    try {
      port = new ByteStreamPort({ host, framing: 'u32', queueBytesMax });
    } catch (error) {
      socket.destroy();
      if (!(error instanceof RangeError)) throw error;
      hooks.onRefused?.(`${vnl.scheme}: ${error.message}`);
      return;
    }
    clients.set(socket, port);
    hooks.onPort(port);
    attach(port, socket, vnl, (why) => {
      clients.delete(socket);
      socket.destroy();
      host.tell(port, `${vnl.scheme}: ${why}`);
      port.close();
      hooks.onPortClosed(port);
    });
  };
  const server = vnl.scheme === 'tls' ? tlsServer(vnl, accept, hooks) : net.createServer(accept);
  server.maxConnections = intOption(vnl, 'clients', CLIENTS_MAX);
  server.on('drop', () =>
    hooks.onRefused?.(`${vnl.scheme}: more than ${server.maxConnections} clients; raise clients=`),
  );
  await listen(server, socketAddress(vnl), modeOption(vnl, 'mode', 0o600));
  return {
    describe: () => `${vnl.scheme}://${listeningAt(server)} listening, ${clients.size} connected`,
    close: () => {
      server.close();
      for (const [socket, port] of clients) {
        port.close();
        socket.destroy();
      }
      clients.clear();
    },
  };
}

/** Where a server listens, as it is written in a VNL. */
export function listeningAt(server: net.Server): string {
  const address = server.address();
  if (address === null || typeof address === 'string') return address ?? '';
  return formatHostPort({ host: address.address, port: address.port });
}

/** Listens; a socket file that nobody serves any more is replaced. Rejects with Node's error. */
export async function listen(server: net.Server, address: SocketAddress, mode: number): Promise<void> {
  try {
    await listenOnce(server, address, mode);
  } catch (error) {
    const isTaken = (error as NodeJS.ErrnoException).code === 'EADDRINUSE';
    if (!isTaken || !('path' in address) || !(await isStale(address.path))) throw error;
    unlinkSync(address.path);
    await listenOnce(server, address, mode);
  }
}

function listenOnce(server: net.Server, address: SocketAddress, mode: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    // The socket is bound within the call: with the mask set, nobody else can connect in between.
    const mask = 'path' in address && isMainThread ? process.umask(0o777 & ~mode) : undefined;
    server.listen(address, () => {
      server.off('error', reject);
      server.on('error', () => {}); // a failed accept; the next one may work
      resolve();
    });
    if (mask !== undefined) process.umask(mask);
    if ('path' in address && server.listening) chmodSync(address.path, mode);
  });
}

/** True for a socket that nobody serves; a connection to any other file is refused just the same. */
const isStale = (path: string): Promise<boolean> =>
  new Promise((resolve) => {
    if (!lstatSync(path).isSocket()) {
      resolve(false);
      return;
    }
    const probe = net.connect({ path });
    probe.once('connect', () => {
      probe.destroy();
      resolve(false);
    });
    probe.once('error', (error) => resolve((error as NodeJS.ErrnoException).code === 'ECONNREFUSED'));
  });

function attach(port: ByteStreamPort, socket: net.Socket, vnl: Vnl, closed: (why: string) => void): void {
  socket.setNoDelay(true);
  socket.setKeepAlive(true, KEEPALIVE_MS);
  const hello = vnl.options.has('plain') ? undefined : helloFor(socket);
  port.attach({ input: socket, output: socket, hello, closed });
}

/** Ports prove a TCP peer. Who is behind an AF_UNIX socket Node cannot say, so there we only introduce ourselves. */
function helloFor(socket: net.Socket): CableHello {
  const { localPort, remotePort } = socket;
  const isTcp = localPort !== undefined && remotePort !== undefined;
  return new CableHello({
    identity: isTcp ? tcpIdentity(localPort, remotePort) : unixIdentity(process.pid),
    peerIdentity: isTcp ? tcpIdentity(remotePort, localPort) : UNPROVEN,
    recordBytesMax: RECORD_BYTES_MAX,
    rng: freshRng(),
  });
}

type Dial = (ready: (socket: net.Socket) => void, lost: (why: string) => void) => net.Socket;

/** Makes connections. Each is `ready` when it is connected and its peer's certificate was verified, or `lost`: one of both, once. */
export function dialer(vnl: Vnl, address: SocketAddress, isTls: boolean): Dial {
  const pin = pinOf(vnl);
  const options = isTls ? { ...tlsOptions(vnl, false), ...tlsTrust(vnl, 'host' in address ? address.host : '') } : {};
  return (ready, lost) => {
    const socket = isTls ? tls.connect({ ...address, ...options }) : net.connect(address);
    let why = '';
    const failed = (): void => lost(why || 'closed');
    socket.on('error', (error) => {
      why ||= reason(error);
    });
    socket.once('close', failed);
    if (isTls) socket.setTimeout(HANDSHAKE_MS, () => socket.destroy(new Error('no handshake in 10 s')));
    socket.once(isTls ? 'secureConnect' : 'connect', () => {
      socket.setTimeout(0);
      if (pin !== undefined && !hasPin(socket as tls.TLSSocket, pin)) {
        why = 'the certificate is not the one pinned by fingerprint=';
        socket.destroy();
        return;
      }
      socket.off('close', failed);
      ready(socket);
    });
    return socket;
  };
}

/** How a client checks its server: by name and CA, or by the pin alone. */
function tlsTrust(vnl: Vnl, host: string): { servername?: string; rejectUnauthorized: boolean } {
  const servername = vnl.options.get('servername') ?? (net.isIP(host) === 0 ? host : undefined);
  return { ...(servername !== undefined && { servername }), rejectUnauthorized: pinOf(vnl) === undefined };
}

function tlsServer(vnl: Vnl, accept: (socket: net.Socket) => void, hooks: NodePlugHooks): tls.Server {
  const pin = pinOf(vnl);
  const wantsCert = pin !== undefined || vnl.options.has('ca');
  const server = tls.createServer({
    ...tlsOptions(vnl, true),
    handshakeTimeout: HANDSHAKE_MS,
    requestCert: wantsCert,
    rejectUnauthorized: vnl.options.has('ca'), // with a pin alone the pin decides
  });
  server.on('tlsClientError', (error) => hooks.onRefused?.(`tls: ${reason(error)}`));
  server.on('secureConnection', (socket) => {
    if (pin === undefined || hasPin(socket, pin)) return accept(socket);
    socket.on('error', () => {});
    socket.destroy();
    hooks.onRefused?.('tls: the certificate is not the one pinned by fingerprint=');
  });
  return server;
}

/** The code that Node gave the error, or its text: one line. */
export const reason = (error: Error): string => {
  const { code } = error as NodeJS.ErrnoException;
  return code ?? error.message.split('\n')[0]!;
};
