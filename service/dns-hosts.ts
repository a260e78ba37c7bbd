// The text of hosts(5): an address and its names a line.

import { parseAddress } from '../stack/stack.ts';
import { isName, nameKey } from '../wire/dns-name.ts';
import type { DnsName } from './dns-parts.ts';

/** Names that are taken of one text. */
export const HOSTS_MAX = 8192;

/** Names of a text, in its order; what is no address or name does not count, nor `localhost` and what is below it. */
export function hostsOf(text: string): DnsName[] {
  const found: DnsName[] = [];
  for (const line of text.split('\n')) {
    const [first = '', ...names] = line.replace(/#.*/, '').trim().split(/\s+/);
    const address = parseAddress(first);
    if (!address) continue;
    for (const name of names) {
      if (!isName(name) || /(^|\.)localhost\.?$/.test(nameKey(name)) || nameKey(name) === '') continue;
      if (found.length >= HOSTS_MAX) return found;
      found.push({ name, address });
    }
  }
  return found;
}
