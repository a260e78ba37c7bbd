// Errors as Node's internals make them, where they are made here.

import { getSystemErrorName } from 'node:util';

/** The error of a system call: `read ECONNRESET`. `errno` is negative. */
export function systemError(errno: number, syscall: string): NodeJS.ErrnoException {
  const code = getSystemErrorName(errno);
  return Object.assign(new Error(`${syscall} ${code}`), { errno, code, syscall });
}

/** The error of a name that was not found, as `dns` has it: `queryA ENOTFOUND host`. */
export function dnsError(code: string, syscall: string, hostname: string): NodeJS.ErrnoException {
  const errno = ADDRESS_ERRORS.get(code);
  const message = hostname === '' ? `${syscall} ${code}` : `${syscall} ${code} ${hostname}`;
  return Object.assign(new Error(message), { errno, code, syscall, ...(hostname !== '' && { hostname }) });
}

/** Those of getaddrinfo have numbers. */
const ADDRESS_ERRORS: ReadonlyMap<string, number> = new Map([
  ['ENOTFOUND', -3008],
  ['EAI_AGAIN', -3001],
]);

/** A `TypeError` or `RangeError` with a code. */
export function codedError(kind: new (message: string) => Error, code: string, message: string): NodeJS.ErrnoException {
  return Object.assign(new kind(message), { code });
}
