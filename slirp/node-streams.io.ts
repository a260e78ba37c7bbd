// TCP and Unix streams of the host as Node has them: what arrives and what is sent is buffered, within bounds.

import { Buffer } from 'node:buffer';
import { chmodSync, lstatSync, unlinkSync } from 'node:fs';
import * as net from 'node:net';
import type { Slab } from '../core/slab.ts';
import type { Span } from '../core/span.ts';
import { type Address, Errno, formatAddress, parseAddress, type SocketName } from '../stack/stack.ts';
import { HostReady } from './host-sockets.ts';
import { errnoOf, type NodeHandle } from './node-handle.io.ts';
import type { ReadyTable } from './ready-table.ts';

const { In, Out, Error: Failed, Hup } = HostReady;
const SOCKET_MODE = 0o600;

/** Bytes that a connection holds in each direction; Node adds what it read at once. */
const BUFFER_BYTES = 256 * 1024;
/** Closed connections that still deliver; the next ones are reset. */
const LINGERING_MAX = 1024;
const LINGER_MS = 60_000;

/** Counts connections that are nobody's any more and still have something to deliver. */
export class Lingering {
  count = 0;
}

/** One connection. */
export class NodeStream implements NodeHandle {
  private readonly table: ReadyTable;
  private readonly slab: Slab;
  private readonly h: number;
  private readonly socket: net.Socket;
  private readonly lingering: Lingering;
  private chunks: Buffer[] = [];
  private taken = 0; // bytes of the first chunk that were received already
  private bytes = 0; // in all chunks, without those
  private error = 0;
  private hasEnded = false; // the peer's stream
  private isShut = false; // ours
  private isGone = false;
  private readonly onWritten = (): void => {
    if (!this.isGone && this.room > 0) this.table.mark(this.h, Out);
  };

  /** Owns `socket`, connected or connecting; `h` is fresh. */
  constructor(table: ReadyTable, slab: Slab, lingering: Lingering, h: number, socket: net.Socket) {
    this.table = table;
    this.slab = slab;
    this.h = h;
    this.socket = socket;
    this.lingering = lingering;
    socket.on('data', (chunk: Buffer) => this.arrived(chunk));
    socket.on('end', () => this.ended());
    socket.on('error', (error) => this.failed(error));
    socket.on('close', () => this.mark(Hup | In | Out));
    socket.pause();
    if (socket.connecting) socket.once('connect', () => this.mark(Out));
    else table.mark(h, Out);
  }

  receive(into: Span): number {
    if (into.total === 0) return -Errno.EINVAL; // it would read as the end
    if (this.bytes === 0) {
      if (this.error !== 0) return -this.error;
      if (this.hasEnded) return 0;
      this.table.clear(this.h, In);
      return -Errno.EAGAIN;
    }
    const n = this.take(into.at, into.bytes) + this.take(into.moreAt, into.moreBytes);
    if (this.bytes === 0 && !this.hasEnded && this.error === 0) this.table.clear(this.h, In);
    this.flow();
    return n;
  }

  send(from: Span): number {
    if (this.error !== 0) return -this.error;
    if (this.isShut) return -Errno.EPIPE;
    const room = this.socket.connecting ? 0 : this.room;
    const n = Math.min(room, from.total);
    if (n < from.total || n === 0) this.table.clear(this.h, Out);
    if (n === 0) return -Errno.EAGAIN;
    const first = Math.min(n, from.bytes);
    const copy = Buffer.allocUnsafe(n);
    const { bytes } = this.slab;
    copy.set(bytes.subarray(from.at, from.at + first));
    if (n > first) copy.set(bytes.subarray(from.moreAt, from.moreAt + n - first), first);
    this.socket.write(copy, this.onWritten);
    return n;
  }

  shutdown(): number {
    if (this.isShut) return 0;
    this.isShut = true;
    this.socket.end();
    return 0;
  }

  takeError(): number {
    const { error } = this;
    this.error = 0;
    this.table.clear(this.h, Failed);
    return error;
  }

  local(name: SocketName): number {
    if (this.socket.connecting) return -Errno.EAGAIN;
    readName(name, this.socket.localAddress, this.socket.localPort);
    return 0;
  }

  wanted(): void {
    this.flow();
  }

  close(): void {
    this.isGone = true;
    this.chunks = [];
    const { socket, lingering } = this;
    if (socket.connecting || socket.destroyed) socket.destroy();
    else if (lingering.count >= LINGERING_MAX) this.abort();
    else {
      lingering.count++;
      socket.once('close', () => lingering.count--);
      socket.setTimeout(LINGER_MS, () => socket.destroy());
      socket.destroySoon();
    }
  }

  abort(): void {
    this.isGone = true;
    this.chunks = [];
    const { socket } = this;
    const isTcp = socket.remotePort !== undefined;
    if (isTcp && !socket.connecting && !socket.destroyed) socket.resetAndDestroy();
    else socket.destroy();
  }

  private get room(): number {
    return BUFFER_BYTES - this.socket.writableLength;
  }

  private take(at: number, bytesMax: number): number {
    let done = 0;
    while (done < bytesMax && this.chunks.length > 0) {
      const chunk = this.chunks[0]!;
      const n = Math.min(bytesMax - done, chunk.length - this.taken);
      this.slab.bytes.set(chunk.subarray(this.taken, this.taken + n), at + done);
      done += n;
      this.taken += n;
      if (this.taken === chunk.length) {
        this.chunks.shift();
        this.taken = 0;
      }
    }
    this.bytes -= done;
    return done;
  }

  /** Reads if somebody wants it and there is room. */
  private flow(): void {
    const isOpen = this.table.wants(this.h, In) && this.bytes < BUFFER_BYTES;
    if (isOpen === this.socket.isPaused()) isOpen ? this.socket.resume() : this.socket.pause();
  }

  private arrived(chunk: Buffer): void {
    if (this.isGone) return;
    this.chunks.push(chunk);
    this.bytes += chunk.length;
    this.flow();
    this.mark(In);
  }

  private ended(): void {
    this.hasEnded = true;
    this.mark(In);
  }

  private failed(error: Error): void {
    this.error = errnoOf(error);
    this.mark(Failed | In | Out);
  }

  private mark(bits: number): void {
    if (!this.isGone) this.table.mark(this.h, bits);
  }
}

/** One listener. Whether it may listen is known a turn later: an error is told, and until then `local` gives what was asked for. */
export class NodeListener implements NodeHandle {
  private readonly table: ReadyTable;
  private readonly h: number;
  private readonly server: net.Server;
  private readonly backlog: number;
  private readonly waiting: net.Socket[] = [];
  private asked: { readonly address: string | undefined; readonly port: number } = { address: undefined, port: 0 };
  private error = 0;
  private isGone = false;

  constructor(table: ReadyTable, h: number, backlog: number) {
    this.table = table;
    this.h = h;
    this.backlog = Math.max(1, backlog);
    this.server = net.createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true });
    this.server.on('connection', (socket) => this.arrived(socket));
  }

  listenTcp(address: Address, port: number, isIp6: boolean): void {
    this.server.on('error', (error) => this.failed(error));
    const { backlog } = this;
    this.asked = { address: formatAddress(address), port };
    this.server.listen({ host: formatAddress(address), port, backlog, exclusive: true, ipv6Only: isIp6 });
  }

  listenUnix(path: string): void {
    this.server.once('error', (error: NodeJS.ErrnoException) => {
      this.server.on('error', (again) => this.failed(again));
      if (error.code === 'EADDRINUSE') this.replace(path, error);
      else this.failed(error);
    });
    this.bindUnix(path);
  }

  /** A connection and who it is from, or undefined. */
  accept(peer: SocketName): net.Socket | undefined {
    let socket = this.waiting.shift();
    while (socket?.destroyed) socket = this.waiting.shift();
    if (this.waiting.length === 0) this.table.clear(this.h, In);
    if (socket) readName(peer, socket.remoteAddress, socket.remotePort);
    return socket;
  }

  takeError(): number {
    const { error } = this;
    this.error = 0;
    this.table.clear(this.h, Failed);
    return error;
  }

  local(name: SocketName): number {
    const address = this.server.address();
    if (address === null) readName(name, this.asked.address, this.asked.port);
    else if (typeof address === 'string') readName(name, undefined, undefined);
    else readName(name, address.address, address.port);
    return 0;
  }

  wanted(): void {}

  close(): void {
    this.isGone = true;
    for (const socket of this.waiting) socket.destroy();
    this.waiting.length = 0;
    this.server.close(() => {});
  }

  abort(): void {
    this.close();
  }

  private bindUnix(path: string): void {
    this.server.listen({ path, backlog: this.backlog, exclusive: true });
    if (!this.server.listening) return;
    try {
      chmodSync(path, SOCKET_MODE);
    } catch (error) {
      this.server.close(() => {});
      this.failed(error as Error);
    }
  }

  /** Takes the place of a socket that nobody listens on. */
  private replace(path: string, error: Error): void {
    if (this.isGone) return;
    if (!isSocket(path)) {
      this.failed(error);
      return;
    }
    const probe = net.connect({ path });
    probe.once('connect', () => {
      probe.destroy();
      this.failed(error);
    });
    probe.once('error', ({ code }: NodeJS.ErrnoException) => {
      if (this.isGone) return;
      if (code === 'ECONNREFUSED' && remove(path)) this.bindUnix(path);
      else this.failed(error);
    });
  }

  private arrived(socket: net.Socket): void {
    socket.on('error', () => {}); // until somebody accepts it
    if (this.isGone || this.waiting.length >= this.backlog) {
      socket.destroy();
      return;
    }
    this.waiting.push(socket);
    this.table.mark(this.h, In);
  }

  private failed(error: Error): void {
    if (this.isGone) return;
    this.error = errnoOf(error);
    this.table.mark(this.h, Failed);
  }
}

function isSocket(path: string): boolean {
  try {
    return lstatSync(path).isSocket();
  } catch {
    return false;
  }
}

function remove(path: string): boolean {
  try {
    unlinkSync(path);
    return true;
  } catch {
    return false;
  }
}

/** Writes Node's address and port; all zero if there is none, as of Unix sockets. */
export function readName(name: SocketName, text: string | undefined, port: number | undefined): void {
  const address = text === undefined ? undefined : parseAddress(text.replace(/%.*$/, ''));
  if (address) name.address.set(address);
  else name.address.fill(0);
  name.port = port ?? 0;
  name.iface = 0;
}
