// Names that no server is asked for: hosts text, and those that RFC 6761, RFC 6762 and RFC 7686 set apart.

import type { ResourceRecord } from '../../wire/dns.ts';
import { Type } from '../../wire/dns.ts';
import { nameData, record } from '../../wire/dns-data.ts';
import { isBelow, isName, nameKey, reverseName } from '../../wire/dns-name.ts';
import { type Address, isIp4, parse, write4, write6 } from '../address.ts';

// Ours: lines and names of a hosts text that are kept.
const HOSTS_MAX = 4096;
const HOSTS_TTL_S = 10;

/** Who knows a name: nobody at all, the stack itself, multicast DNS, or the servers. */
export const Place = { Nowhere: 0, Here: 1, Multicast: 2, Servers: 3 } as const;
export type Place = (typeof Place)[keyof typeof Place];

/** Which way a name is looked for. RFC 6761 §6.3, §6.4; RFC 6762 §3, §4; RFC 7686 §2. */
export function placeOf(name: string): Place {
  if (isBelow(name, 'localhost') || isLoopbackReverse(name)) return Place.Here;
  if (isBelow(name, 'invalid') || isBelow(name, 'onion')) return Place.Nowhere;
  const isLocal = isBelow(name, 'local') || isBelow(name, '254.169.in-addr.arpa');
  // fe80::/10 is fe8, fe9, fea and feb.
  return isLocal || /(^|\.)[89ab]\.e\.f\.ip6\.arpa$/.test(nameKey(name)) ? Place.Multicast : Place.Servers;
}

const LOOPBACK6 = reverseName(bytesOf(parse('::1')!));
const isLoopbackReverse = (name: string): boolean => isBelow(name, '127.in-addr.arpa') || nameKey(name) === LOOPBACK6;

/** What is known of a name of `Place.Here`. */
export function localRecords(name: string, type: number): ResourceRecord[] {
  if (isLoopbackReverse(name)) return type === Type.PTR ? [record(name, type, HOSTS_TTL_S, nameData('localhost'))] : [];
  const address = type === Type.A ? parse('127.0.0.1') : type === Type.AAAA ? parse('::1') : undefined;
  return address ? [record(name, type, HOSTS_TTL_S, bytesOf(address))] : [];
}

/** The 4 or 16 bytes of an address. */
export function bytesOf(address: Address): Uint8Array {
  const bytes = new Uint8Array(isIp4(address) ? 4 : 16);
  const view = new DataView(bytes.buffer);
  if (isIp4(address)) write4(view, 0, address);
  else write6(view, 0, address);
  return bytes;
}

/** A hosts text, hosts(5): an address and its names a line. */
export class Hosts {
  /** The text, for snapshots. */
  readonly text: string;
  private readonly byName = new Map<string, ResourceRecord[]>();

  /** Lines that are none do not count. */
  constructor(text: string) {
    this.text = text;
    let left = HOSTS_MAX;
    for (const line of text.split('\n')) {
      const [first = '', ...names] = line.replace(/#.*/, '').trim().split(/\s+/);
      const address = parse(first);
      if (!address || names.length === 0) continue;
      const bytes = bytesOf(address);
      const reverse = reverseName(bytes);
      for (const name of names.filter(isName)) {
        if (left-- <= 0) return;
        this.add(record(name, isIp4(address) ? Type.A : Type.AAAA, HOSTS_TTL_S, bytes));
        if (!this.byName.has(reverse)) this.add(record(reverse, Type.PTR, HOSTS_TTL_S, nameData(name)));
      }
    }
  }

  /** Records of a name, or undefined if it is not in the text; empty if it is there with others only. */
  find(name: string, type: number): ResourceRecord[] | undefined {
    return this.byName.get(nameKey(name))?.filter((r) => r.type === type);
  }

  private add(one: ResourceRecord): void {
    const key = nameKey(one.name);
    const known = this.byName.get(key);
    if (known) known.push(one);
    else this.byName.set(key, [one]);
  }
}

/** The names to try in turn: with the search list before or after the name itself, as ndots says (resolv.conf(5)). */
export function candidates(name: string, search: readonly string[], ndots: number): string[] {
  if (name.endsWith('.') && !name.endsWith('\\.')) return [name.slice(0, -1)];
  const dots = name.split('.').length - 1;
  const longer = search.map((domain) => `${name}.${domain}`).filter(isName);
  return dots >= ndots ? [name, ...longer] : [...longer, name];
}
