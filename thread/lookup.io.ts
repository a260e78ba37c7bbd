// `dns.lookup` by a stack's resolver: hosts, multicast DNS and servers as the stack has them, with Node's arguments and errors.

import * as dns from 'node:dns';
import { isIP } from 'node:net';
import { type Address, formatAddress, isIp4, Resolved } from '../stack/stack.ts';
import { dnsError } from './node-error.io.ts';
import { withSymbolsOf } from './node-internals.io.ts';
import type { Place } from './place.io.ts';

/** Node's own, before anybody patches the module. */
const realLookup = dns.lookup as unknown as Lookup;

type Callback = (error: NodeJS.ErrnoException | null, address?: string | dns.LookupAddress[], family?: number) => void;
/** `dns.lookup` with all its signatures. */
export type Lookup = (hostname: string, options: unknown, callback?: Callback) => unknown;

interface LookupOptions {
  readonly family?: number | string;
  readonly all?: boolean;
  readonly verbatim?: boolean;
  readonly order?: string;
}

const ignore = (): void => {};
const lookups = new WeakMap<Place, Lookup>();

/** The lookup of a place. */
export function lookupOf(place: Place): Lookup {
  const known = lookups.get(place);
  if (known) return known;
  const made: Lookup = (hostname, options, callback) => {
    const told = (typeof options === 'function' ? options : callback) as Callback;
    // What needs no server is Node's: literals, nothing, and arguments that are wrong, which the second call finds.
    if (typeof hostname !== 'string' || hostname === '' || isIP(hostname) !== 0)
      return realLookup(hostname, options, callback);
    if (typeof options === 'function') realLookup('127.0.0.1', ignore);
    else realLookup('127.0.0.1', options, callback === undefined ? callback : ignore);
    const given = optionsOf(options);
    void find(place, hostname, familyOf(given.family)).then(
      (found) => tell(sorted(found, given), given.all === true, told),
      (error: NodeJS.ErrnoException) => process.nextTick(told, error),
    );
    return {};
  };
  lookups.set(place, withSymbolsOf(realLookup, made));
  return made;
}

function optionsOf(options: unknown): LookupOptions {
  if (typeof options === 'number') return { family: options };
  return typeof options === 'object' && options !== null ? options : {};
}

const familyOf = (family: number | string | undefined): 0 | 4 | 6 =>
  family === 4 || family === 'IPv4' ? 4 : family === 6 || family === 'IPv6' ? 6 : 0;

/** Addresses of a name, best first. Rejects as getaddrinfo does. */
async function find(place: Place, hostname: string, family: 0 | 4 | 6): Promise<dns.LookupAddress[]> {
  place.alive.hold();
  try {
    place.tick();
    const asked = place.stack.configuration.names.lookup(hostname, family);
    place.wake();
    const answer = await asked;
    if (typeof answer === 'number')
      throw dnsError(answer === EINVAL ? 'ENOTFOUND' : 'EAI_AGAIN', 'getaddrinfo', hostname);
    if (answer.status === Resolved.Ok && answer.addresses.length > 0) return answer.addresses.map(entryOf);
    const isPassing = answer.status === Resolved.Timeout || answer.status === Resolved.Failed;
    throw dnsError(isPassing ? 'EAI_AGAIN' : 'ENOTFOUND', 'getaddrinfo', hostname);
  } finally {
    place.alive.release();
  }
}

const EINVAL = -22; // no name at all

const entryOf = (address: Address): dns.LookupAddress => ({
  address: formatAddress(address),
  family: isIp4(address) ? 4 : 6,
});

/** RFC 6724's order, unless the program wants one family first. */
function sorted(found: dns.LookupAddress[], { verbatim, order }: LookupOptions): dns.LookupAddress[] {
  const wanted = order ?? (verbatim === undefined ? dns.getDefaultResultOrder() : verbatim ? 'verbatim' : 'ipv4first');
  if (wanted !== 'ipv4first' && wanted !== 'ipv6first') return found;
  const first = wanted === 'ipv4first' ? 4 : 6;
  return [...found.filter(({ family }) => family === first), ...found.filter(({ family }) => family !== first)];
}

function tell(found: dns.LookupAddress[], isAll: boolean, told: Callback): void {
  if (isAll) process.nextTick(told, null, found);
  else process.nextTick(told, null, found[0]!.address, found[0]!.family);
}
