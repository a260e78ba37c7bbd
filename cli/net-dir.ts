// Which directory a network's name stands for.

import { resolve } from 'node:path';
import { UsageError } from '../core/assert.ts';

/** Where this user's networks live by name. */
export function networksDirectory(): string {
  const { XDG_RUNTIME_DIR: runtime } = process.env;
  if (runtime?.startsWith('/')) return `${runtime}/weft`;
  const uid = process.getuid?.() ?? 0;
  return uid === 0 ? '/run/weft' : `/tmp/weft-${uid}`;
}

/** The network that is meant when none was named: `$WEFT_NET`, else `default`. */
export const networkName = (name: string | undefined): string => name || process.env.WEFT_NET || 'default';

/**
 * The directory of a network given as a name, a path or a `vde://` VNL of a path; without one, of `$WEFT_NET` or `default`.
 * It need not exist. Throws `UsageError`.
 */
export function networkDirectory(name: string | undefined): string {
  const given = networkName(name);
  const net = given.startsWith('vde:///') ? given.slice('vde://'.length) : given;
  if (net === '.' || net === '..' || (net.includes('/') && !net.includes('://'))) return resolve(net);
  if (/^[A-Za-z0-9._-]+$/.test(net)) return `${networksDirectory()}/${net}`;
  throw new UsageError(
    `network '${given}': expected a name of letters, digits and . _ -, a directory, or vde:///DIRECTORY`,
  );
}
