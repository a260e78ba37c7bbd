// Node's modules on a stack, all of them: as objects, or for whatever runs in a scope.

import * as http from 'node:http';
import * as http2 from 'node:http2';
import * as https from 'node:https';
import * as tls from 'node:tls';
import { createDgram, type Dgram } from './dgram.io.ts';
import { createDns, type Dns } from './dns.io.ts';
import { type MultiSocket, msocket } from './msocket.io.ts';
import { createNet, type Net } from './net.io.ts';
import { patchNode } from './patches.io.ts';
import { OUTSIDE, PLACE, type Place, placeOf, runIn, type StackContext, setEverywhere } from './place.io.ts';

/** Node's modules on one stack. */
export interface NodeApi {
  readonly net: Net;
  readonly dgram: Dgram;
  readonly dns: Dns;
  readonly http: typeof http;
  readonly https: typeof https;
  readonly http2: typeof http2;
  readonly tls: typeof tls;
  readonly fetch: typeof fetch;
  /** A socket as POSIX has it; see `msocket`. */
  msocket(family: number, type: number, protocol?: number): MultiSocket;
  /**
   * Runs `act`, and all that it starts, on the stack: there `node:net`, `dgram`, `dns`, `http`, `https`, `http2`, `tls` and
   * `fetch` of unmodified code are this stack's, also in callbacks and promises, by AsyncLocalStorage.
   */
  run<T>(act: () => T): T;
}

type Method = (this: unknown, ...args: unknown[]) => unknown;

/** Node's modules on a stack. Each is made when it is first asked for. */
export function nodeApi(context: StackContext): NodeApi {
  const place = placeOf(context);
  const once = <T>(make: () => T): (() => T) => {
    let made: T | undefined;
    return () => {
      made ??= make();
      return made;
    };
  };
  const net = once(() => createNet(context));
  const dgram = once(() => createDgram(context));
  const dns = once(() => createDns(context));
  const onPlace = <T extends object>(module: T): (() => T) => once(() => moduleOn(place, module));
  const [http_, https_, http2_, tls_] = [onPlace(http), onPlace(https), onPlace(http2), onPlace(tls)];
  return {
    get net() {
      return net();
    },
    get dgram() {
      return dgram();
    },
    get dns() {
      return dns();
    },
    get http() {
      return http_();
    },
    get https() {
      return https_();
    },
    get http2() {
      return http2_();
    },
    get tls() {
      return tls_();
    },
    fetch: (...args) => runOn(place, () => globalThis.fetch(...args)),
    msocket: (family, type, protocol) => msocket(context, family, type, protocol),
    run: (act) => runOn(place, act),
  };
}

function runOn<T>(place: Place, act: () => T): T {
  patchNode();
  return runIn(place, act);
}

/** Runs `act` on the host's own network, whatever the scope. */
export const runOutside = <T>(act: () => T): T => runIn(OUTSIDE, act);

/** All code of this process that is in no scope is on the stack from now on; undefined: on the host's network again. */
export function runEverywhere(context: StackContext | undefined): void {
  patchNode();
  setEverywhere(context && placeOf(context));
}

const SERVERS = ['createServer', 'createSecureServer'];
const CLIENTS = ['request', 'get', 'connect'];

/** A module whose clients connect on the place, and whose servers listen there. */
function moduleOn<T extends object>(place: Place, module: T): T {
  patchNode();
  const { default: _default, ...own } = { ...module } as Record<string, unknown>;
  for (const key of CLIENTS) {
    const real = own[key] as Method | undefined;
    if (real) own[key] = (...args: unknown[]) => runIn(place, () => real(...args));
  }
  for (const key of SERVERS) {
    const real = own[key] as Method | undefined;
    if (real) own[key] = (...args: unknown[]) => mark(place, real(...args) as object);
  }
  if (typeof own.Server === 'function') {
    const Server = own.Server as new (...args: unknown[]) => object;
    own.Server = new Proxy(Server, {
      construct: (target, args, newTarget) => mark(place, Reflect.construct(target, args, newTarget)),
      apply: (target, _this, args) => mark(place, new target(...args)),
    });
  }
  return own as T;
}

const mark = <T extends object>(place: Place, server: T): T => Object.defineProperty(server, PLACE, { value: place });
