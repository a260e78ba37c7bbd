// Search lists as DHCPv4 (RFC 3397), DHCPv6 and router advertisements carry them.

import { readName } from '../../wire/dns-name.ts';

/** The names of a value whose names may be compressed among themselves; none if it is malformed. Names that no resolver could use are left out. */
export function namesOf(value: Uint8Array | undefined, countMax: number): string[] {
  const names: string[] = [];
  for (let at = 0; value && at < value.length; ) {
    const read = readName(value, at);
    if (!read) return [];
    if (isHostName(read.name) && names.length < countMax) names.push(read.name);
    at = read.next;
  }
  return names;
}

/** Letters, digits, `-` and `_` in labels: what may be shown and put into a file without escapes. */
export const isHostName = (name: string): boolean => /^[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*$/i.test(name);
