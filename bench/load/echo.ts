// TCP with blocking calls, so that the ends of a measurement cost little: an echo server, a client that asks and waits; and
// a crowd of connections that are opened and then left alone.

import { connect, type Socket } from 'node:net';
import { check, sys } from '../../sys/libc.io.ts';
import { writeSocketAddress } from '../../sys/socket-address.ts';
import { base, slab, take } from './memory.ts';

const AF_INET = 2;
const SOCK_STREAM = 1;
const CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const IPPROTO_TCP = 6;
const TCP_NODELAY = 1;
const MSG_WAITALL = 0x100;
const BYTES = 64;
const BACKLOG = 16;
const RTTS_MAX = 1_000_000;
const WARM_PART = 5;

const buffer = take(BYTES);
const one = take(4);
const name = take(16);

function socketTo(host: string, port: number): { fd: number; length: number } {
  const words = Int32Array.of(
    0,
    0,
    0xffff,
    host.split('.').reduce((word, byte) => (word << 8) | Number(byte), 0),
  );
  const length = writeSocketAddress(slab.view, name, false, words, 0, port);
  slab.view.setInt32(one, 1, true);
  return { fd: check(sys().socket(AF_INET, SOCK_STREAM | CLOEXEC, 0), 'socket'), length };
}

const setOn = (fd: number, level: number, option: number): void =>
  void check(sys().setsockopt(fd, level, option, base + one, 4), 'setsockopt');

/** Serves one connection after the other. Never returns. */
export function serveEcho(host: string, port: number): never {
  const { fd: listener, length } = socketTo(host, port);
  setOn(listener, SOL_SOCKET, SO_REUSEADDR);
  check(sys().bind(listener, base + name, length), 'bind');
  check(sys().listen(listener, BACKLOG), 'listen');
  for (;;) {
    const fd = check(sys().accept4(listener, 0, 0, CLOEXEC), 'accept');
    setOn(fd, IPPROTO_TCP, TCP_NODELAY);
    for (let n = 1; n > 0; ) {
      n = sys().recv(fd, base + buffer, BYTES, 0);
      if (n > 0) n = sys().send(fd, base + buffer, n, 0);
    }
    sys().close(fd);
  }
}

/** Round trip times of `seconds`, µs, sorted. The first fifth of the time is not measured. */
export function askEcho(host: string, port: number, seconds: number): Float64Array {
  const { fd, length } = socketTo(host, port);
  check(sys().connect(fd, base + name, length), 'connect');
  setOn(fd, IPPROTO_TCP, TCP_NODELAY);
  const rttsUs = new Float64Array(RTTS_MAX);
  const start = performance.now();
  const end = start + seconds * 1000;
  const warm = start + (seconds * 1000) / WARM_PART;
  let count = 0;
  for (let now = start; now < end && count < RTTS_MAX; ) {
    const from = performance.now();
    sys().send(fd, base + buffer, BYTES, 0);
    if (sys().recv(fd, base + buffer, BYTES, MSG_WAITALL) !== BYTES) throw new Error('the connection ended');
    now = performance.now();
    if (now > warm) rttsUs[count++] = (now - from) * 1000;
  }
  sys().close(fd);
  return rttsUs.subarray(0, count).sort();
}

/** Opens connections to a web server, asks each once, keeps them. Resolves when all have been answered. */
export async function crowd(host: string, port: number, count: number): Promise<Socket[]> {
  const sockets: Socket[] = [];
  for (let i = 0; i < count; i++) sockets.push(await askOnce(connect(port, host)));
  return sockets;
}

function askOnce(socket: Socket): Promise<Socket> {
  return new Promise((resolve, reject) => {
    socket.once('error', reject).once('data', () => resolve(socket));
    socket.once('end', () => reject(new Error('the server closed a connection')));
    socket.write('GET / HTTP/1.1\r\nHost: bench\r\n\r\n');
  });
}
