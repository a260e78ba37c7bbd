// `node:net` on a stack: Node's own classes, whose sockets and servers get handles of ours.
//
//   net.Socket, TLSSocket ──▶ StreamHandle ──▶ stack.sockets          streams, events, timeouts, errors: Node's code
//   net.Server, http.Server ─▶ ServerHandle ─▶                        bytes, connections, addresses: the stack's
//
// `connectOn` and `listenOn` do it for one call of `connect` or `listen`. `createNet` has them in classes of its own; run.io.ts
// puts them into Node's. Paths of Unix sockets, file descriptors and handles that a program brings are not for a stack: they
// go to Node as they are.

import * as net from 'node:net';
import { lookupOf } from './lookup.io.ts';
import { OWNER, REINITIALIZE } from './node-internals.io.ts';
import { type Place, placeOf, type StackContext } from './place.io.ts';
import { ServerHandle } from './server-handle.io.ts';
import { StreamHandle } from './stream-handle.io.ts';

const ONLY_IP6 = 1; // libuv's UV_TCP_IPV6ONLY
const REUSE_PORT = 2;

type Method = (this: unknown, ...args: unknown[]) => unknown;
type Normalized = [options: Record<string, unknown>, callback: (() => void) | null];

/** What Node's sockets have beside what is documented. */
interface Internals {
  _handle: unknown;
  _parent?: { connecting?: boolean } | null;
  [REINITIALIZE]?: (handle: unknown) => void;
}

/** `TLSWrap` over a handle; `_parentWrap` is the socket that it was given, if it was. */
interface TlsHandle {
  _parent?: unknown;
  _parentWrap?: unknown;
}

const normalize = (net as unknown as { _normalizeArgs(args: unknown[]): Normalized })._normalizeArgs;

/** The arguments of `connect` in one form. Those that Node normalized already are an array. */
export const normalizedOf = (args: unknown[]): Normalized =>
  Array.isArray(args[0]) ? (args[0] as unknown as Normalized) : normalize(args);

/** Connects `socket` on a stack. `real` is Node's `connect`. */
export function connectOn(place: Place, socket: net.Socket, real: Method, args: unknown[]): unknown {
  const normalized = normalizedOf(args);
  const [options] = normalized;
  const isOurs = options.path == null && (options.port !== undefined || options.host !== undefined);
  if (!isOurs || !takeOver(place, socket)) return real.apply(socket, args);
  normalized[0] = { ...options, lookup: options.lookup ?? lookupOf(place) };
  return real.call(socket, normalized);
}

/** Gives a socket a handle of a stack, unless it has one that the program chose. */
function takeOver(place: Place, socket: net.Socket): boolean {
  const internals = socket as unknown as Internals;
  const handle = internals._handle as TlsHandle | StreamHandle | null;
  if (handle instanceof StreamHandle || internals._parent?.connecting) return true;
  if (handle && !socket.destroyed) {
    const isTls = '_parent' in handle && handle._parent !== undefined;
    if (!isTls || handle._parentWrap || handle._parent instanceof StreamHandle)
      return handle._parent instanceof StreamHandle;
  }
  // Node does the same for each further address that it tries; it must not get a handle of the host's then.
  const give = (Object.getPrototypeOf(socket) as Internals)[REINITIALIZE]!;
  const fresh = (): void => give.call(socket, handleFor(place, socket));
  const value = (host: { close(): void }): void => {
    host.close();
    fresh();
  };
  Object.defineProperty(socket, REINITIALIZE, { value, configurable: true });
  fresh();
  return true;
}

function handleFor(place: Place, socket: net.Socket): StreamHandle {
  const handle = new StreamHandle(place);
  (handle as unknown as Record<symbol, unknown>)[OWNER] = socket;
  return handle;
}

/** What Node's servers have beside what is documented. */
interface ServerInternals {
  _handle: ServerHandle | null;
  _listeningId: number;
  _listen2: Listen2;
}
type Listen2 = (
  this: unknown,
  address: string | null,
  port: number,
  addressType: number | null,
  backlog: number,
  fd: number | undefined,
  flags: number | undefined,
) => void;

/** Listens on a stack. `real` is Node's `listen`. */
export function listenOn(place: Place, server: net.Server, real: Method, args: unknown[]): unknown {
  const [options, callback] = normalize(args);
  if (isForeign(options)) return listenOutside(server, real, args);
  const port = wantsAnyPort(args, options) ? 0 : options.port;
  if (typeof port !== 'number' && typeof port !== 'string') return real.apply(server, args); // which throws
  const isNamed =
    typeof options.host === 'string' && options.host !== '' && net.isIP(options.host.split('%')[0]!) === 0;
  const name = isNamed ? (options.host as string) : '';
  const flags = (options.ipv6Only === true ? ONLY_IP6 : 0) | (options.reusePort === true ? REUSE_PORT : 0);
  Object.defineProperty(server, '_listen2', {
    value: listen2On(place, { name, flags }),
    configurable: true,
    writable: true,
  });
  // Exclusive: a worker of a cluster must not ask the primary, which would listen on the host.
  const wanted: Record<string, unknown> = { ...options, port, exclusive: true };
  if (isNamed) wanted.host = undefined;
  if (wanted.backlog === undefined) wanted.backlog = numberOf(args[1]) || numberOf(args[2]);
  return callback ? real.call(server, wanted, callback) : real.call(server, wanted);
}

/** Listens as Node does, after what a stack may have left. */
export function listenOutside(server: net.Server, real: Method, args: unknown[]): unknown {
  if (Object.hasOwn(server, '_listen2')) delete (server as unknown as Partial<ServerInternals>)._listen2;
  return real.apply(server, args);
}

/** A handle, a descriptor or a path. */
const isForeign = (options: Record<string, unknown>): boolean =>
  options._handle !== undefined ||
  options.handle !== undefined ||
  'fd' in options ||
  (options.path != null && options.port === undefined) ||
  !isPlain(options);

/** A handle itself has methods. */
const isPlain = (options: Record<string, unknown>): boolean => typeof options.listen !== 'function';

const wantsAnyPort = (args: unknown[], options: Record<string, unknown>): boolean =>
  args.length === 0 || typeof args[0] === 'function' || ('port' in options && options.port == null);

const numberOf = (value: unknown): number => Math.max(Number(value) || 0, 0);

/** Node's `_listen2` with a handle of the stack's already there. A name is looked up first. */
function listen2On(place: Place, { name, flags }: { name: string; flags: number }): Listen2 {
  return function (this: unknown, address, port, addressType, backlog, fd) {
    const server = this as ServerInternals & net.Server;
    const listen = (at: string, type: number): void => {
      server._handle = new ServerHandle(place, at, port, flags);
      real.call(server, at, port, type, backlog, fd, flags);
    };
    const real = Object.getPrototypeOf(server)._listen2 as Listen2;
    if (name === '') return listen(address || '::', address ? addressType! : 6);
    const id = server._listeningId;
    lookupOf(place)(name, {}, (error, found, family) => {
      if (id !== server._listeningId) return;
      if (error) server.emit('error', error);
      else listen(found as string, family!);
    });
  };
}

/** Node resets only what has its own TCP handle. Sockets with others are none of ours, and as before. */
function resetOurs(): void {
  const prototype = net.Socket.prototype as unknown as Record<'resetAndDestroy' | '_reset', Method>;
  const real = prototype.resetAndDestroy;
  prototype.resetAndDestroy = function (this: unknown) {
    const socket = this as net.Socket & Internals & { _reset(): void };
    if (!(socket._handle instanceof StreamHandle)) return real.call(socket);
    if (socket.connecting) socket.once('connect', () => socket._reset());
    else socket._reset();
    return socket;
  };
}
resetOurs();

/** `node:net` as a program has it that is on a stack. */
export type Net = Omit<typeof net, 'default'>;

const realConnect = net.Socket.prototype.connect as unknown as Method;
const realListen = net.Server.prototype.listen as unknown as Method;

/**
 * The module `node:net` on a stack: sockets that it makes connect there, servers listen there.
 * @example const { connect } = createNet(host); connect(80, 'www.lab').end('GET / HTTP/1.0\r\n\r\n').pipe(process.stdout);
 */
export function createNet(context: StackContext): Net {
  const place = placeOf(context);
  class Socket extends net.Socket {
    override connect(...args: unknown[]): this {
      return connectOn(place, this, realConnect, args) as this;
    }
  }
  class Server extends net.Server {
    override listen(...args: unknown[]): this {
      return listenOn(place, this, realListen, args) as this;
    }
  }
  const connect = (...args: unknown[]): net.Socket => {
    const normalized = normalize(args);
    const [options] = normalized;
    const socket = new Socket(options as net.SocketConstructorOpts);
    if (options.timeout) socket.setTimeout(options.timeout as number);
    return socket.connect(normalized);
  };
  const createServer = (...args: unknown[]): net.Server => new Server(...(args as [net.ServerOpts]));
  const own = {
    Socket: standIn(Socket, net.Socket),
    Stream: standIn(Socket, net.Socket),
    Server: standIn(Server, net.Server),
    connect,
    createConnection: connect,
    createServer,
  };
  return Object.defineProperties(
    {},
    {
      ...Object.getOwnPropertyDescriptors(withoutDefault(net)),
      ...Object.getOwnPropertyDescriptors(own),
    },
  ) as Net;
}

type Class = new (...args: never[]) => object;

/** As Node's constructor `base` itself: it may be called without `new`, and sockets that servers accept are instances of it. */
function standIn<T extends Class>(own: T, base: Class): T {
  const proxy: T = new Proxy(own, {
    apply: (target, _this, args: never[]) => new target(...args),
    get: (target, key, receiver) =>
      key === Symbol.hasInstance && receiver === proxy
        ? (value: unknown) => value instanceof base
        : Reflect.get(target, key, receiver),
  });
  return proxy;
}

const withoutDefault = <T extends object>(module: T): Omit<T, 'default'> => {
  const { default: _default, ...rest } = module as T & { default?: unknown };
  return rest;
};
