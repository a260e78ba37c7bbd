// Node's modules, so that unmodified code in them is on the stack of its scope (place.io.ts), and on the host outside of all.
//
//   net.Socket.prototype.connect, net.Server.prototype.listen    http, https, tls, http2, ws, … come by here
//   dgram.createSocket, dgram.Socket; dns.*, dns.promises.*      functions of modules: `syncBuiltinESMExports` tells importers
//   http.Agent.prototype.addRequest, getName; fetch              they keep connections: each stack has its own
//
// It is done once, when it is first needed, and never undone. A place is found at the call: on the options, on the socket or
// server, or in the scope. Options carry it through agents that open a connection later, in somebody else's context.

import dns from 'node:dns';
import * as http from 'node:http';
import { createRequire, syncBuiltinESMExports } from 'node:module';
import * as net from 'node:net';
import { socketClass } from './dgram.io.ts';
import { type DnsFunctions, dnsFunctions, resolverClass } from './dns.io.ts';
import { connectOn, listenOn, listenOutside, normalizedOf } from './net.io.ts';
import { withSymbolsOf } from './node-internals.io.ts';
import { current, PLACE, type Place, runIn } from './place.io.ts';

type Method = (this: unknown, ...args: unknown[]) => unknown;
type Marked = { readonly [PLACE]?: Place };

let isDone = false;

/** Patches Node's modules. Once is enough; again does nothing. */
export function patchNode(): void {
  if (isDone) return;
  isDone = true;
  patchStreams();
  patchAgents();
  patchDatagrams();
  patchNames();
  patchFetch();
  syncBuiltinESMExports();
}

/** Gives `object[key]` another value that looks like the one it had. */
function replace(object: object, key: string, value: unknown): void {
  const old = Object.getOwnPropertyDescriptor(object, key);
  Object.defineProperty(object, key, {
    configurable: true,
    enumerable: old?.enumerable ?? true,
    writable: true,
    value,
  });
}

function patchStreams(): void {
  const connect = net.Socket.prototype.connect as unknown as Method;
  replace(net.Socket.prototype, 'connect', function (this: net.Socket & Marked, ...args: unknown[]) {
    const normalized = normalizedOf(args);
    const place = (normalized[0] as Marked)[PLACE] ?? this[PLACE] ?? current();
    return place ? connectOn(place, this, connect, [normalized]) : connect.apply(this, args);
  });
  const listen = net.Server.prototype.listen as unknown as Method;
  replace(net.Server.prototype, 'listen', function (this: net.Server & Marked, ...args: unknown[]) {
    const place = this[PLACE] ?? current();
    return place ? listenOn(place, this, listen, args) : listenOutside(this, listen, args);
  });
}

interface AgentPrototype {
  addRequest: Method;
  getName: (this: unknown, options?: Marked) => string;
}

function patchAgents(): void {
  const prototype = http.Agent.prototype as unknown as AgentPrototype;
  const { addRequest, getName } = prototype;
  replace(prototype, 'addRequest', function (this: unknown, request: unknown, options: unknown, ...rest: unknown[]) {
    const place = current();
    const isPlain = typeof options === 'object' && options !== null && !(PLACE in options);
    return addRequest.call(this, request, place && isPlain ? { ...options, [PLACE]: place } : options, ...rest);
  });
  replace(prototype, 'getName', function (this: unknown, options?: Marked) {
    const place = options?.[PLACE] ?? current();
    const name = getName.call(this, options);
    return place ? `${name}:stack${place.id}` : name;
  });
}

function patchDatagrams(): void {
  const dgram = require_('node:dgram') as object;
  const Socket = socketClass(current);
  replace(dgram, 'Socket', Socket);
  replace(dgram, 'createSocket', (...args: unknown[]) => new Socket(...args));
}

/** Modules as CommonJS has them: what `syncBuiltinESMExports` reads. */
const require_ = createRequire(import.meta.url);

function patchNames(): void {
  patchFunctions(dns, 'callback');
  patchFunctions(dns.promises, 'promises');
  replace(dns, 'Resolver', resolverClass(false, current));
  replace(dns.promises, 'Resolver', resolverClass(true, current));
}

function patchFunctions(module: object, which: keyof DnsFunctions): void {
  for (const [key, value] of Object.entries(module)) {
    if (typeof value !== 'function' || !DNS_KEYS.test(key)) continue;
    const real = value as Method;
    const patched = function (this: unknown, ...args: unknown[]): unknown {
      const place = current();
      const own = place && dnsFunctions(place)[which][key];
      return own ? own(...args) : real.apply(this, args);
    };
    replace(module, key, Object.defineProperty(withSymbolsOf(real, patched), 'name', { value: key }));
  }
}

const DNS_KEYS = /^(lookup|lookupService|resolve\w*|reverse|getServers|setServers)$/;

// Fetch.

type Fetch = (input: unknown, init?: { dispatcher?: unknown }) => Promise<unknown>;
type Dispatcher = new (options: object) => object;

const GLOBAL_DISPATCHER = Symbol.for('undici.globalDispatcher.1');
const dispatchers = new WeakMap<Place, object>();

function patchFetch(): void {
  const globals = globalThis as unknown as { fetch?: Fetch };
  const real = globals.fetch;
  if (!real) return;
  replace(globals, 'fetch', function fetch(input: unknown, init?: { dispatcher?: unknown }) {
    const place = current();
    if (!place || init?.dispatcher) return real(input, init);
    const dispatcher = dispatcherOf(place);
    return runIn(place, () => real(input, dispatcher ? { ...init, dispatcher } : init));
  });
}

/** A dispatcher of the class of Node's own, whose connections are the place's. */
function dispatcherOf(place: Place): object | undefined {
  const known = dispatchers.get(place);
  if (known) return known;
  const Agent = agentClass();
  if (!Agent) return undefined;
  // What stands in `connect` goes on to net.connect and tls.connect.
  const made = new Agent({ connect: { [PLACE]: place } });
  dispatchers.set(place, made);
  return made;
}

/** The class of the dispatcher that `fetch` has by default; undefined if it is not known how to make one. */
function agentClass(): Dispatcher | undefined {
  new Request('http://localhost/'); // loads it
  let at: unknown = (globalThis as unknown as Record<symbol, unknown>)[GLOBAL_DISPATCHER];
  while (typeof at === 'object' && at !== null) {
    if (at.constructor?.name === 'Agent') return at.constructor as Dispatcher;
    at = Object.getPrototypeOf(at);
  }
  return undefined;
}
