// `node:dns` on a stack: Node's own resolvers with channels of ours (dns-channel.io.ts), and `lookup` (lookup.io.ts).

import * as dns from 'node:dns';
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { DnsChannel } from './dns-channel.io.ts';
import { lookupOf } from './lookup.io.ts';
import { dnsError } from './node-error.io.ts';
import { withSymbolsOf } from './node-internals.io.ts';
import { type Place, placeOf, type StackContext } from './place.io.ts';

type Method = (...args: unknown[]) => unknown;
type Resolver = new (options?: { timeout?: number; tries?: number }) => object;

/** `node:dns` as a program has it that is on a stack. */
export type Dns = Omit<typeof dns, 'default'>;

/** The functions of `dns` and of `dns.promises` that a stack has in their place, by name. */
export interface DnsFunctions {
  readonly callback: Readonly<Record<string, Method>>;
  readonly promises: Readonly<Record<string, Method>>;
}

/** Gives a resolver of Node's a channel of ours. */
function onPlace<T extends object>(place: Place, resolver: T, options?: { timeout?: number; tries?: number }): T {
  return Object.assign(resolver, { _handle: new DnsChannel(place, options?.timeout, options?.tries) });
}

/** Of both modules what a resolver does, by the default resolver of a place. */
const RESOLVER_KEYS = [
  'getServers',
  'resolve',
  'resolve4',
  'resolve6',
  'resolveAny',
  'resolveCaa',
  'resolveCname',
  'resolveMx',
  'resolveNaptr',
  'resolveNs',
  'resolvePtr',
  'resolveSoa',
  'resolveSrv',
  'resolveTxt',
  'reverse',
  'setServers',
] as const;

// Node's own, before anybody patches the modules.
const RealResolver = dns.Resolver as unknown as Resolver;
const RealPromisesResolver = dns.promises.Resolver as unknown as Resolver;
const realLookupService = dns.lookupService as unknown as Method;

/** Node's resolver class, on the place that `where` gives when one is made. */
export function resolverClass(isPromises: boolean, where: () => Place | undefined): Resolver {
  const Base = isPromises ? RealPromisesResolver : RealResolver;
  return class Resolver extends Base {
    constructor(options?: { timeout?: number; tries?: number }) {
      super(options);
      const place = where();
      if (place) onPlace(place, this, options);
    }
  };
}

const made = new WeakMap<Place, DnsFunctions>();

/** The functions of a place. */
export function dnsFunctions(place: Place): DnsFunctions {
  const known = made.get(place);
  if (known) return known;
  const lookup = lookupOf(place) as unknown as Method;
  const lookupService = lookupServiceOf(place);
  const found = {
    callback: { ...bound(onPlace(place, new RealResolver())), lookup, lookupService },
    promises: {
      ...bound(onPlace(place, new RealPromisesResolver())),
      lookup: (hostname: unknown, options: unknown) => promised(lookup, hostname, options),
      lookupService: (address: unknown, port: unknown) =>
        new Promise((resolve, reject) => {
          lookupService(address, port, (error: Error | null, hostname: string, service: string) =>
            error ? reject(error) : resolve({ hostname, service }),
          );
        }),
    },
  };
  made.set(place, found);
  return found;
}

function bound(resolver: object): Record<string, Method> {
  const methods = resolver as Record<string, Method>;
  return Object.fromEntries(RESOLVER_KEYS.map((key) => [key, methods[key]!.bind(resolver)]));
}

function promised(lookup: Method, hostname: unknown, options: unknown): Promise<unknown> {
  const isAll = typeof options === 'object' && options !== null && (options as dns.LookupOptions).all === true;
  return new Promise((resolve, reject) => {
    lookup(hostname, options ?? {}, (error: Error | null, address: unknown, family: number) => {
      if (error) reject(error);
      else resolve(isAll ? address : { address, family });
    });
  });
}

/** getnameinfo(3): the name of an address, and of a port by /etc/services. */
function lookupServiceOf(place: Place): Method {
  return withSymbolsOf(realLookupService, (...args: unknown[]) => {
    const [address, port, callback] = args as [string, number, Method];
    const isSound =
      args.length === 3 && isIP(address) !== 0 && Number.isInteger(+port) && typeof callback === 'function';
    if (!isSound || +port < 0 || +port > 65_535) return realLookupService(...args); // which throws
    const told = (error: Error | null, names?: readonly string[]): void => {
      const name = names?.[0];
      if (error || name === undefined) callback(dnsError('ENOTFOUND', 'getnameinfo', address));
      else callback(null, name, serviceOf(+port));
    };
    dnsFunctions(place).callback.reverse!(address, told);
    return {};
  });
}

let services: ReadonlyMap<number, string> | undefined;

function serviceOf(port: number): string {
  services ??= readServices();
  return services.get(port) ?? String(port);
}

function readServices(): ReadonlyMap<number, string> {
  const found = new Map<number, string>();
  try {
    for (const line of readFileSync('/etc/services', 'utf8').split('\n')) {
      const [, name, port] = /^([^\s#]+)\s+(\d+)\/tcp/.exec(line) ?? [];
      if (name && !found.has(Number(port))) found.set(Number(port), name);
    }
  } catch {
    // none then
  }
  return found;
}

/** The module `node:dns` on a stack. */
export function createDns(context: StackContext): Dns {
  const place = placeOf(context);
  const { callback, promises } = dnsFunctions(place);
  const own = {
    ...callback,
    Resolver: resolverClass(false, () => place),
    promises: { ...dns.promises, ...promises, Resolver: resolverClass(true, () => place) },
  };
  const { default: _default, ...rest } = dns as typeof dns & { default?: unknown };
  return { ...rest, ...own } as unknown as Dns;
}
