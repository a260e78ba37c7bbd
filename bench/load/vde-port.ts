// A client of a VDE switch written from the protocol alone: it shares no code with weft's plug, so it can judge both sides.

import { chmodSync, unlinkSync } from 'node:fs';
import { check, sys } from '../../sys/libc.io.ts';
import { base, slab, take } from './memory.ts';

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_RCVTIMEO = 20;
const SO_SNDTIMEO = 21;

// The request: magic, version, type (0: any port), the client's socket address, a description. Host byte order.
const MAGIC = 0xfeedface;
const VERSION = 3;
const ADDRESS_AT = 12;
const ADDRESS_BYTES = 110;
const REQUEST_BYTES = ADDRESS_AT + ADDRESS_BYTES;
const PATH_BYTES_MAX = 107;
const ANSWER_MS = 3000;

const request = take(REQUEST_BYTES + 64);
const address = take(ADDRESS_BYTES + 2);
const interval = take(16);
let sequence = 0;

/** One connected port: frames are datagrams on `fd`. `ctl` stays open for as long as the port lives. */
export interface VdePort {
  readonly fd: number;
  readonly ctl: number;
}

/** Connects a port to the switch at `dir`: request, answer, connect back. Both data sockets are then connected to each other. */
export function openVdePort(dir: string): VdePort {
  const ctl = connectStream(`${dir}/ctl`);
  setTimeouts(ctl, ANSWER_MS);
  const fd = check(sys().socket(AF_UNIX, SOCK_DGRAM | CLOEXEC, 0), 'socket');
  const own = `${dir}/.${String(process.pid).padStart(5, '0')}-${String(sequence++).padStart(5, '0')}`;
  check(sys().bind(fd, base + putAddress(address, own), ADDRESS_BYTES), `bind ${own}`);
  chmodSync(own, 0o700);
  slab.view.setUint32(request, MAGIC, true);
  slab.view.setUint32(request + 4, VERSION, true);
  slab.view.setUint32(request + 8, 0, true);
  putAddress(request + ADDRESS_AT, own);
  const text = slab.bytes.subarray(request + REQUEST_BYTES, request + REQUEST_BYTES + 64);
  const { written } = new TextEncoder().encodeInto(`bench pid=${process.pid}`, text);
  check(sys().send(ctl, base + request, REQUEST_BYTES + written, 0), 'send the request');
  const got = sys().recv(ctl, base + address, ADDRESS_BYTES, 0x100); // MSG_WAITALL
  if (got !== ADDRESS_BYTES)
    throw new Error(`${dir}/ctl answered ${got} bytes, expected ${ADDRESS_BYTES}: is a port free?`);
  check(sys().connect(fd, base + address, ADDRESS_BYTES), 'connect to the port');
  unlinkSync(own);
  return { fd, ctl };
}

/** Closes both sockets of a port. */
export function closeVdePort({ fd, ctl }: VdePort): void {
  sys().close(fd);
  sys().close(ctl);
}

/** Connects to a UNIX stream socket. */
export function connectStream(path: string): number {
  const fd = check(sys().socket(AF_UNIX, SOCK_STREAM | CLOEXEC, 0), 'socket');
  check(sys().connect(fd, base + putAddress(address, path), ADDRESS_BYTES), `connect ${path}`);
  return fd;
}

/** Bounds every blocking send and receive on `fd`. */
export function setTimeouts(fd: number, milliseconds: number): void {
  slab.view.setBigInt64(interval, BigInt(Math.floor(milliseconds / 1000)), true);
  slab.view.setBigInt64(interval + 8, BigInt((milliseconds % 1000) * 1000), true);
  check(sys().setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, base + interval, 16), 'SO_RCVTIMEO');
  check(sys().setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, base + interval, 16), 'SO_SNDTIMEO');
}

function putAddress(at: number, path: string): number {
  slab.bytes.fill(0, at, at + ADDRESS_BYTES);
  const bytes = new TextEncoder().encode(path);
  if (bytes.length > PATH_BYTES_MAX)
    throw new Error(`${path} is longer than ${PATH_BYTES_MAX} bytes: set TMPDIR to a shorter one`);
  slab.view.setUint16(at, AF_UNIX, true);
  slab.bytes.set(bytes, at + 2);
  return at;
}
