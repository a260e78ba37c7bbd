// The three things of Node's own that a socket of ours needs and that no public module gives.
//
// `net.Socket` and `dgram.Socket` do their work through a handle. Node has one for streams whose bytes come from JavaScript,
// `JSStream`: what TLS over any Duplex stands on. A handle of ours is one, so that all above it, TLS, HTTP's parser and HTTP/2
// among them, is Node's unmodified code. Symbols are found by their description on objects that have them.

import * as net from 'node:net';
import { Duplex } from 'node:stream';
import * as tls from 'node:tls';

/** A request object of Node's, which a handle gives back when it is done. */
export interface Request {
  oncomplete?: ((...args: unknown[]) => void) | undefined;
}

/** Node's stream handle with JavaScript below. Bytes that it is given are copied. */
export interface JsStream {
  /** The lower side: bytes came, the stream ended, a request is done (0 or -errno). */
  readBuffer(bytes: Uint8Array): void;
  emitEOF(): void;
  finishWrite(request: Request, status: number): void;
  finishShutdown(request: Request, status: number): void;
  readonly bytesRead: number;
  readonly bytesWritten: number;
  getAsyncId(): number;
}

interface Bindings {
  binding?(name: string): { JSStream: new () => JsStream };
}

/** Node's class. `process.binding` is deprecated without a date; a TLS socket over a Duplex has one too. */
export const JSStream: new () => JsStream = findStream();

function findStream(): new () => JsStream {
  try {
    const found = (process as unknown as Bindings).binding?.('js_stream').JSStream;
    if (found) return found;
  } catch {
    // refused, as by the permission model
  }
  const probe = new tls.TLSSocket(new Duplex() as unknown as net.Socket) as unknown as {
    _handle: { _parent: { constructor: new () => JsStream } };
    destroy(): void;
  };
  const found = probe._handle._parent.constructor;
  probe.destroy();
  return found;
}

/** A symbol of Node's own that `object` or one of its prototypes has. Throws if there is none: another Node than those known. */
export function symbolOf(object: object, description: string): symbol {
  for (let at: object | null = object; at; at = Object.getPrototypeOf(at)) {
    const found = Object.getOwnPropertySymbols(at).find((symbol) => symbol.description === description);
    if (found) return found;
  }
  throw new Error(`Node ${process.version} has no ${description} where it is expected; weft/net cannot work on it`);
}

/** `to`, with the properties under symbols that `from` has: `util.promisify` looks for some on a function. */
export function withSymbolsOf<T extends object>(from: object, to: T): T {
  for (const symbol of Object.getOwnPropertySymbols(from)) {
    Object.defineProperty(to, symbol, Object.getOwnPropertyDescriptor(from, symbol)!);
  }
  return to;
}

/** On `net.Socket.prototype`: closes the handle that a socket has, and gives it another. */
export const REINITIALIZE: symbol = symbolOf(net.Socket.prototype, 'kReinitializeHandle');

/** On a handle: the socket or server that has it. */
export const OWNER: symbol = findOwner();

function findOwner(): symbol {
  const handle = new JSStream();
  const closable = Object.assign(handle, { close: () => {}, readStop: () => 0 });
  new net.Socket({ handle: closable, manualStart: true } as unknown as net.SocketConstructorOpts);
  return symbolOf(handle, 'owner_symbol');
}
