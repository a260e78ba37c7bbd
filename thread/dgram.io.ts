// `node:dgram` on a stack: Node's own sockets with handles of ours.

import * as dgram from 'node:dgram';
import { lookupOf } from './lookup.io.ts';
import { OWNER, symbolOf } from './node-internals.io.ts';
import { type Place, placeOf, type StackContext } from './place.io.ts';
import { UdpHandle } from './udp-handle.io.ts';

/** `node:dgram` as a program has it that is on a stack. */
export type Dgram = Omit<typeof dgram, 'default'>;

/** What Node keeps of a socket. */
interface State {
  handle: { close(): void; lookup: UdpHandle['lookup'] };
}

/** Gives a new socket of Node's a handle of ours. `options` are those it was made with. */
export function moveTo<T extends dgram.Socket>(place: Place, socket: T, options: unknown): T {
  const key = symbolOf(socket, 'state symbol');
  const state = (socket as unknown as Record<symbol, State>)[key]!;
  const { type } = socket as unknown as { type: string };
  const family = type === 'udp6' ? 6 : 4;
  const handle = new UdpHandle(place, family === 6);
  const hasOwn = typeof options === 'object' && options !== null && 'lookup' in options && options.lookup !== undefined;
  handle.lookup = hasOwn
    ? state.handle.lookup
    : (address, callback) => {
        const wanted = address || (family === 6 ? '::1' : '127.0.0.1');
        lookupOf(place)(wanted, family, callback as Parameters<ReturnType<typeof lookupOf>>[2]);
      };
  (handle as unknown as Record<symbol, unknown>)[OWNER] = socket;
  state.handle.close();
  state.handle = handle;
  bindExclusively(socket);
  return socket;
}

/** A worker of a cluster would ask the primary, which binds on the host. */
function bindExclusively(socket: dgram.Socket): void {
  const real = socket.bind as (this: unknown, ...args: unknown[]) => unknown;
  const value = (...args: unknown[]): unknown => {
    const [port, address] = args;
    const callback = args.at(-1);
    const isObject = typeof port === 'object' && port !== null;
    if (isObject && ('fd' in port || 'recvStart' in port)) return real.apply(socket, args);
    const own = isObject
      ? port
      : { ...(typeof port !== 'function' && { port }), ...(typeof address === 'string' && { address }) };
    const rest = typeof callback === 'function' ? [callback] : [];
    return real.call(socket, { ...own, exclusive: true }, ...rest);
  };
  Object.defineProperty(socket, 'bind', { value, configurable: true, writable: true });
}

/** Node's own constructor, before anybody patches the module: a function, called with `new` or as a base. */
const RealSocket = dgram.Socket as unknown as new (...args: unknown[]) => dgram.Socket;

/** Node's `Socket`, on the place that `where` gives when one is made. */
export function socketClass(where: () => Place | undefined): typeof RealSocket {
  return new Proxy(RealSocket, {
    construct: (target, args: unknown[], newTarget) => {
      const socket = Reflect.construct(target, args, newTarget) as dgram.Socket;
      const place = where();
      return place ? moveTo(place, socket, args[0]) : socket;
    },
  });
}

/** The module `node:dgram` on a stack. */
export function createDgram(context: StackContext): Dgram {
  const place = placeOf(context);
  const Socket = socketClass(() => place);
  const { default: _default, ...rest } = dgram as typeof dgram & { default?: unknown };
  return { ...rest, Socket, createSocket: (...args: unknown[]) => new Socket(...args) } as unknown as Dgram;
}
