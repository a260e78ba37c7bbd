// Name servers for one program: a resolv.conf of its own over the host's, in a mount namespace that nobody else sees.

import { existsSync, writeFileSync } from 'node:fs';
import { SysError } from '../sys/libc.io.ts';
import { bindFile, mountMemory, unmount, unshareMounts } from '../sys/mount.io.ts';
import type { Names } from './enter-spec.ts';

const RESOLV_CONF = '/etc/resolv.conf';
const SCRATCH = '/tmp'; // covered for a moment, and only for this process
const SERVERS_MAX = 3; // MAXNS of the C library

/** Services of the host that the C library asks first: they know nothing of this network. */
const CACHES = ['/run/nscd/socket', '/run/systemd/resolve/io.systemd.Resolve'];

/**
 * Makes the servers those of whatever this process becomes. The file lives in memory and goes with the program. Throws
 * `SysError` if the host has no resolv.conf or does not let it be covered.
 */
export function useNames({ servers, search }: Names): void {
  const lines = servers.slice(0, SERVERS_MAX).map((server) => `nameserver ${server}`);
  if (search.length > 0) lines.push(`search ${search.join(' ')}`);
  unshareMounts();
  mountMemory(SCRATCH);
  try {
    writeFileSync(`${SCRATCH}/resolv.conf`, `${lines.join('\n')}\n`, { mode: 0o644 });
    bindFile(`${SCRATCH}/resolv.conf`, RESOLV_CONF);
  } finally {
    unmount(SCRATCH);
  }
  for (const path of CACHES) if (existsSync(path)) hide(path);
}

function hide(path: string): void {
  try {
    bindFile('/dev/null', path);
  } catch (error) {
    if (!(error instanceof SysError)) throw error; // it stays, and may know some names better
  }
}
