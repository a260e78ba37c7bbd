// What Node's sockets have in common as handles, and its errors as numbers.

import { Errno, type SocketName } from '../stack/stack.ts';

/** A socket of Node behind a handle. */
export interface NodeHandle {
  /** What its user wants to hear of has changed. */
  wanted(): void;
  takeError(): number;
  local(name: SocketName): number;
  close(): void;
  abort(): void;
}

// Names that Node gives and the stack does not, by Linux's numbers.
const OTHERS: ReadonlyMap<string, number> = new Map([
  ['ENOENT', 2],
  ['EIO', 5],
  ['ENOTDIR', 20],
  ['ENFILE', Errno.EMFILE],
  ['ENAMETOOLONG', 36],
  ['ELOOP', 40],
  ['ENOTSUP', Errno.EOPNOTSUPP],
  ['ERR_STREAM_WRITE_AFTER_END', Errno.EPIPE],
  ['ERR_STREAM_DESTROYED', Errno.EPIPE],
]);

/** Linux's number of what went wrong, whatever this host calls it; EIO if it has no name there. */
export function errnoOf(error: Error): number {
  const { code } = error as NodeJS.ErrnoException;
  const byName = (Errno as Readonly<Record<string, number>>)[code ?? ''];
  return byName ?? OTHERS.get(code ?? '') ?? 5;
}
