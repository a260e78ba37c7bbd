// What one process and its children see of the file system: mount(2).

import { callMemory } from './call-memory.io.ts';
import { check, sys } from './libc.io.ts';

const CLONE_NEWNS = 0x20000;
const MS_BIND = 4096;
const MNT_DETACH = 2;

/** From now on what this thread mounts is seen by it and its children alone. Throws `SysError`. */
export function unshareMounts(): void {
  check(sys().unshare(CLONE_NEWNS), 'mount namespace');
}

/** An empty file system in memory over a directory. Throws `SysError`. */
export function mountMemory(directory: string): void {
  const memory = callMemory();
  const kind = memory.base + memory.text('tmpfs');
  check(sys().mount(kind, memory.base + memory.text(directory), kind, 0, 0), directory);
}

/** Shows the file `source` in the place of `target`; symbolic links of both are followed. Throws `SysError`. */
export function bindFile(source: string, target: string): void {
  const memory = callMemory();
  const from = memory.base + memory.text(source);
  check(sys().mount(from, memory.base + memory.text(target), 0, MS_BIND, 0), target);
}

/** Takes away what was mounted last at a directory; files of it that were bound elsewhere stay there. Throws `SysError`. */
export function unmount(directory: string): void {
  const memory = callMemory();
  check(sys().umount2(memory.base + memory.text(directory), MNT_DETACH), directory);
}
