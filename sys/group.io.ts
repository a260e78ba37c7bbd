// Group names, as /etc/group has them.

import { readFileSync } from 'node:fs';
import { UsageError } from '../core/assert.ts';

/** The number of a group given by name or number. Throws `UsageError`. */
export function groupNumber(text: string): number {
  if (/^\d{1,10}$/.test(text)) return Number(text);
  for (const line of readFileSync('/etc/group', 'utf8').split('\n')) {
    const [name, , gid] = line.split(':');
    if (name === text) return Number(gid);
  }
  throw new UsageError(`group '${text}' is not in /etc/group; give a name or a number`);
}
