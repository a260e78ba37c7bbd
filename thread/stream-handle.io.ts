// A connection of a stack as the handle of a `net.Socket`: what libuv's TCP handle is to Node, over `Sockets`.
//
// Node above calls connect, bind, readStart, write and shutdown; the stack below says `changed`. Neither side is called from
// within the other: what the program hears of comes in a turn (turns.io.ts), one thing at a time, in this order: the
// connection stands, a write is done, bytes, the end. Writes go to the stack's send buffer at once as far as there is room.

import { AsyncResource } from 'node:async_hooks';
import {
  type Address,
  Errno,
  Family,
  How,
  isAnyAddress,
  isLoopback,
  Ready,
  SocketName,
  SocketOption,
  SocketType,
  type SocketUser,
  TcpOption,
} from '../stack/stack.ts';
import { systemError } from './node-error.io.ts';
import { JSStream, OWNER, type Request } from './node-internals.io.ts';
import { type Place, parseEnd } from './place.io.ts';
import type { Teller } from './turns.io.ts';

const CHUNK_BYTES = 65_536; // as libuv reads
const ECANCELED = -125;
const US_PER_S = 1_000_000;
const KEEP_INTERVAL_US = 1 * US_PER_S; // as libuv sets it
const KEEP_COUNT = 10;
const NO_MEMORY_MS = 10; // the slab is exhausted, and nobody tells when it no longer is
// libuv's UV_TCP_IPV6ONLY and UV_TCP_REUSEPORT.
const ONLY_IP6 = 1;
const REUSE_PORT = 2;

const chunk = new Uint8Array(CHUNK_BYTES);
const name = new SocketName();

/** A request to connect, with what Node notes on it. */
interface Write {
  readonly request: Request;
  readonly buffers: readonly Uint8Array[];
  /** What is sent of them. */
  index: number;
  offset: number;
  status: number;
  isSent: boolean;
}

interface Destroyable {
  destroy(error?: Error): void;
}

/** An end of a socket, as Node asks for it. */
export interface NodeEnd {
  address?: string;
  port?: number;
  family?: string;
}

/** Where a handle is, into `end`: 0 or -errno. */
export function tellEnd(place: Place, h: number, isIp6: boolean, end: NodeEnd, which: 'local' | 'peer'): number {
  if (h < 0) return -Errno.EBADF;
  const told = place.stack.sockets[which](h, name);
  if (told < 0) return told;
  end.address = place.textOf(name, isIp6);
  end.family = isIp6 ? 'IPv6' : 'IPv4';
  end.port = name.port;
  return 0;
}

/** Binds a stream, with libuv's flags: 0 or -errno. */
export function bindStream(place: Place, h: number, text: string, port: number, flags: number): number {
  const end = parseEnd(place, text);
  if (!end) return -Errno.EINVAL;
  const { address } = end;
  const isOwn = isAnyAddress(address) || isLoopback(address) || place.ifaceWith(address) >= 0;
  if (!isOwn) return -Errno.EADDRNOTAVAIL;
  const { sockets } = place;
  sockets.setOption(h, SocketOption.ReuseAddress, 1);
  if ((flags & ONLY_IP6) !== 0) sockets.setOption(h, SocketOption.V6Only, 1);
  if ((flags & REUSE_PORT) !== 0) sockets.setOption(h, SocketOption.ReusePort, 1);
  return sockets.bind(h, address, port, end.iface);
}

/** The class of handles that a `net.Socket` is given. */
export class StreamHandle extends JSStream implements SocketUser, Teller {
  isWaiting = false;
  private readonly place: Place;
  private readonly scope = new AsyncResource('WEFTSTREAM', { requireManualDestroy: false });
  private h = -1;
  private isIp6 = false;
  private isReading = false;
  private hasEnded = false;
  private isClosed = false;
  private hasRef_ = true;
  private isHolding = false;
  private connecting: Request | undefined;
  private refusal = 0; // what connecting ends with, known before the stack was asked
  private shutting: Request | undefined;
  private isShut = false;
  private readonly writes: Write[] = [];

  constructor(place: Place) {
    super();
    this.place = place;
  }

  /** Takes over a connection that stands. */
  adopt(h: number, isIp6: boolean): void {
    this.h = h;
    this.isIp6 = isIp6;
    this.place.open.add(this);
    this.place.stack.sockets.claim(h, this);
  }

  /** The stack's number of it, -1 without one. */
  get number(): number {
    return this.h;
  }

  // What Node calls.

  connect(request: Request, address: string, port: number): number {
    return this.connectTo(request, address, port, false);
  }

  connect6(request: Request, address: string, port: number): number {
    return this.connectTo(request, address, port, true);
  }

  bind(address: string, port: number): number {
    const opened = this.open(false);
    return opened < 0 ? opened : bindStream(this.place, this.h, address, port, 0);
  }

  bind6(address: string, port: number, flags = 0): number {
    const opened = this.open(true);
    return opened < 0 ? opened : bindStream(this.place, this.h, address, port, flags);
  }

  getsockname(end: NodeEnd): number {
    return tellEnd(this.place, this.h, this.isIp6, end, 'local');
  }

  getpeername(end: NodeEnd): number {
    return tellEnd(this.place, this.h, this.isIp6, end, 'peer');
  }

  setNoDelay(isOn: boolean): number {
    return this.place.sockets.setTcpOption(this.h, TcpOption.NoDelay, isOn ? 1 : 0);
  }

  /** Seconds until the first probe; then one a second, ten of them, as libuv has it. */
  setKeepAlive(isOn: boolean, delay: number): number {
    const { sockets } = this.place;
    if (isOn && delay > 0) {
      sockets.setTcpOption(this.h, TcpOption.KeepIdleUs, delay * US_PER_S);
      sockets.setTcpOption(this.h, TcpOption.KeepIntervalUs, KEEP_INTERVAL_US);
      sockets.setTcpOption(this.h, TcpOption.KeepCount, KEEP_COUNT);
    }
    return sockets.setTcpOption(this.h, TcpOption.KeepAlive, isOn ? 1 : 0);
  }

  ref(): void {
    this.hasRef_ = true;
    this.weigh();
  }

  unref(): void {
    this.hasRef_ = false;
    this.weigh();
  }

  hasRef(): boolean {
    return this.hasRef_;
  }

  close(told?: () => void): void {
    this.finish(false, told);
  }

  /** Resets the connection. */
  reset(told?: () => void): number {
    this.finish(true, told);
    return 0;
  }

  // What `JSStream` calls.

  isClosing(): boolean {
    return this.isClosed;
  }

  onreadstart(): number {
    if (this.isClosed) return -Errno.EBADF;
    this.isReading = true;
    this.weigh();
    this.place.turns.ask(this);
    return 0;
  }

  onreadstop(): number {
    this.isReading = false;
    this.weigh();
    return 0;
  }

  onwrite(request: Request, buffers: readonly Uint8Array[]): number {
    if (this.h < 0) return -Errno.EBADF;
    this.writes.push({ request, buffers, index: 0, offset: 0, status: 0, isSent: false });
    this.send();
    this.weigh();
    this.place.turns.ask(this);
    return 0;
  }

  onshutdown(request: Request): number {
    if (this.h < 0) return -Errno.ENOTCONN;
    this.shutting = request;
    this.send();
    this.weigh();
    this.place.turns.ask(this);
    return 0;
  }

  end(): void {
    const { owner } = this;
    if (owner) this.scope.runInAsyncScope(() => owner.destroy());
    else this.close();
  }

  // What the stack calls.

  changed(): void {
    this.place.turns.ask(this);
  }

  turn(): boolean {
    if (this.isClosed) return false;
    if (this.connecting) return this.tellConnected(this.connecting);
    if (this.writes.length > 0) this.send();
    if (this.writes[0]?.isSent) return this.tellWritten();
    if (this.shutting && this.isShut) return this.tellShut(this.shutting);
    if (this.isReading && !this.hasEnded && this.h >= 0) return this.tellRead();
    return false;
  }

  private tellConnected(request: Request): boolean {
    const { sockets } = this.place.stack;
    let status = this.refusal;
    if (status === 0) {
      const ready = sockets.poll(this.h);
      if ((ready & (Ready.Out | Ready.Error | Ready.Hup)) === 0) return false;
      status = -sockets.getOption(this.h, SocketOption.Error);
    }
    this.connecting = undefined;
    this.weigh();
    this.scope.runInAsyncScope(() => request.oncomplete?.(status, this, request, true, true));
    return true;
  }

  private tellWritten(): boolean {
    const { request, status } = this.writes.shift()!;
    this.weigh();
    this.finishWrite(request, status);
    return true;
  }

  private tellShut(request: Request): boolean {
    this.shutting = undefined;
    this.weigh();
    this.finishShutdown(request, 0);
    return true;
  }

  /** One chunk, the end, or the error that ends the connection. */
  private tellRead(): boolean {
    const n = this.place.sockets.receive(this.h, chunk, 0, CHUNK_BYTES);
    if (n === -Errno.EAGAIN || n === -Errno.ENOTCONN) return false;
    if (n > 0) {
      this.place.wake(); // the window may have opened
      this.readBuffer(chunk.subarray(0, n));
      return true;
    }
    this.hasEnded = true;
    this.weigh();
    if (n === 0) this.emitEOF();
    else this.scope.runInAsyncScope(() => this.owner?.destroy(systemError(n, 'read')));
    return true;
  }

  private get owner(): Destroyable | undefined {
    return (this as unknown as Record<symbol, Destroyable | undefined>)[OWNER];
  }

  /** Gives the stack what it takes now, and the end behind it. */
  private send(): void {
    for (const write of this.writes) {
      if (!write.isSent && !this.sendOne(write)) return;
    }
    if (!this.shutting || this.isShut || this.connecting) return;
    this.isShut = true;
    this.place.sockets.shutdown(this.h, How.Write);
    this.place.wake();
  }

  /** True when nothing of it is left to send. */
  private sendOne(write: Write): boolean {
    const { place, h } = this;
    const { sockets } = place;
    for (; write.index < write.buffers.length; write.index++, write.offset = 0) {
      const bytes = write.buffers[write.index]!;
      while (write.offset < bytes.length) {
        const n = sockets.send(h, bytes, write.offset, bytes.length - write.offset);
        if (n === -Errno.ENOBUFS) setTimeout(() => place.turns.ask(this), NO_MEMORY_MS);
        if (n === -Errno.EAGAIN || n === -Errno.ENOBUFS) return false;
        if (n < 0) {
          write.status = n;
          write.isSent = true;
          return true;
        }
        write.offset += n;
        place.wake();
      }
    }
    write.isSent = true;
    return true;
  }

  private connectTo(request: Request, text: string, port: number, isIp6: boolean): number {
    const { place } = this;
    const end = parseEnd(place, text);
    if (!end) return -Errno.EINVAL;
    const opened = this.open(isIp6);
    if (opened < 0) return opened;
    const target = isAnyAddress(end.address) ? loopbackOf(end.address) : end.address;
    const result = place.sockets.connect(this.h, target, port, end.iface);
    if (result < 0 && result !== -Errno.EINPROGRESS) {
      // As libuv: the others are returned, this one is told.
      if (result !== -Errno.ECONNREFUSED) return result;
      this.refusal = result;
      place.turns.ask(this);
    }
    this.connecting = request;
    this.weigh();
    place.wake();
    return 0;
  }

  /** Makes the stack's socket, once. */
  private open(isIp6: boolean): number {
    if (this.h >= 0) return 0;
    if (this.isClosed) return -Errno.EBADF;
    const { sockets } = this.place;
    const h = sockets.socket(isIp6 ? Family.Inet6 : Family.Inet, SocketType.Stream);
    if (h < 0) return h;
    this.adopt(h, isIp6);
    return 0;
  }

  /** As libuv counts: a handle that waits for something keeps the process alive, an idle one does not. */
  private weigh(): void {
    const waits =
      this.connecting !== undefined ||
      this.writes.length > 0 ||
      this.shutting !== undefined ||
      (this.isReading && !this.hasEnded);
    const mustHold = waits && this.hasRef_ && !this.isClosed;
    if (mustHold === this.isHolding) return;
    this.isHolding = mustHold;
    if (mustHold) this.place.alive.hold();
    else this.place.alive.release();
  }

  /** Frees the socket now; requests that are open are told, and who closed, when this turn of the loop is over. */
  private finish(isAbort: boolean, told: (() => void) | undefined): void {
    if (this.isClosed) return;
    this.isClosed = true;
    const { h, place } = this;
    place.open.delete(this);
    if (h >= 0) {
      const { sockets } = place;
      if (isAbort) sockets.abort(h);
      else sockets.close(h);
      place.wake();
    }
    this.h = -1;
    this.weigh();
    place.alive.hold();
    setImmediate(() => {
      place.alive.release();
      this.cancelAll();
      told?.call(this);
    });
  }

  private cancelAll(): void {
    const { connecting, shutting } = this;
    this.connecting = undefined;
    this.shutting = undefined;
    connecting?.oncomplete?.(ECANCELED, this, connecting, false, false);
    for (const { request, isSent, status } of this.writes.splice(0))
      this.finishWrite(request, isSent ? status : ECANCELED);
    if (shutting) this.finishShutdown(shutting, this.isShut ? 0 : ECANCELED);
  }
}

/** Linux connects to itself where the target is any address. */
function loopbackOf(any: Address): Address {
  const address = any.slice();
  address[3] = any[2] === 0 ? 1 : 0x7f000001;
  return address;
}
