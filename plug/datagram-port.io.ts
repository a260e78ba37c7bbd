// A port on a connected datagram or packet socket: one message is one frame. VDE, ptp, seqpacket and UDP are all this.

import type { Burst } from '../core/burst.ts';
import { PLAIN } from '../core/burst.ts';
import { Drop } from '../core/drop.ts';
import { FrameRing } from '../core/frame-ring.ts';
import { JUMBO_FRAME_BYTES, type Port, PortCounters } from '../core/port.ts';
import { NONE } from '../core/slab.ts';
import { EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT } from '../sys/epoll.io.ts';
import { Errno, errno, SysError, sys } from '../sys/libc.io.ts';
import { MSG_DONTWAIT, MSG_NOSIGNAL, MSG_TRUNC } from '../sys/socket.io.ts';
import type { NativeHost, Watcher } from './native-host.ts';

const BATCH = 64;
const MMSGHDR_BYTES = 64;
const IOVEC_BYTES = 16;
const HELD_BYTES_MAX = 256 * 1024; // per port, only for a port that was full
const PROBE_EVERY = 32; // single receives until we look again whether batches pay
const FLAGS = MSG_DONTWAIT | MSG_NOSIGNAL;

// Offsets inside struct mmsghdr (LP64).
const MSG_IOV = 16;
const MSG_IOVLEN = 24;
const MSG_FLAGS = 48;
const MSG_LEN = 56;

/** Told when the host says that the socket is dead. */
export type OnDead = () => void;

/** Owns `fd` from now on. Not attached to epoll before `start`. */
export class DatagramPort implements Port, Watcher {
  readonly counters = new PortCounters();
  readonly frameBytesMax = JUMBO_FRAME_BYTES;
  readonly takesOffload = false;
  private readonly host: NativeHost;
  private readonly fd: number;
  private readonly onDead: OnDead;
  private readonly endsAtZero: boolean;
  private readonly held: FrameRing;
  private readonly vector: number; // mmsghdr[BATCH], then iovec[BATCH]
  private readonly iovecs: number; // word index of iovec[0]
  private readonly low: number; // low word of the slab's address
  private queued = 0;
  private queuedBytes = 0;
  private lastBatch = BATCH;
  private probe = 0;
  private events = EPOLLIN;
  private isClosed = false;

  /** @param endsAtZero on a SEQPACKET socket a message of zero bytes is the peer's end; on a datagram socket it is nothing. */
  constructor(host: NativeHost, fd: number, onDead: OnDead, { endsAtZero = false } = {}) {
    this.host = host;
    this.fd = fd;
    this.onDead = onDead;
    this.endsAtZero = endsAtZero;
    this.held = new FrameRing(host.slab, { bytesMax: HELD_BYTES_MAX });
    this.vector = allocFor(host, BATCH * (MMSGHDR_BYTES + IOVEC_BYTES));
    this.iovecs = (this.vector + BATCH * MMSGHDR_BYTES) >> 2;
    this.low = host.address >>> 0;
    fillVector(host, this.vector, BATCH);
  }

  start(): void {
    if (this.isClosed) return; // nobody had room for it
    this.host.watch(this.fd, this.events, this);
  }

  ready(events: number): void {
    if (events & EPOLLOUT) this.drain();
    // What a peer sent before it left is still read; the end itself, or the error, is then what reading says.
    if (events & (EPOLLIN | EPOLLERR | EPOLLHUP)) this.host.wake(this);
  }

  receive(burst: Burst): boolean {
    this.host.area.claimCells();
    if (this.lastBatch > 1 || ++this.probe % PROBE_EVERY === 0) this.receiveBatch(burst);
    else this.receiveOne(burst);
    return false;
  }

  queue(at: number, length: number): Drop {
    if (this.held.count > 0) return this.hold(at, length);
    if (this.queued === BATCH && !this.flush()) return this.hold(at, length);
    const iovec = this.iovecs + this.queued++ * 4;
    const { words } = this.host.slab;
    words[iovec] = this.low + at;
    words[iovec + 2] = length;
    this.queuedBytes += length;
    return Drop.None;
  }

  flush(): boolean {
    const n = this.queued;
    if (n === 0) return this.held.count === 0;
    this.queued = 0;
    const bytes = this.queuedBytes;
    this.queuedBytes = 0;
    const sent = n === 1 ? this.sendOne() : sys().sendmmsg(this.fd, this.host.address + this.vector, n, FLAGS);
    if (sent === n) {
      this.counters.txFrames += n;
      this.counters.txBytes += bytes;
      return true;
    }
    return this.keepRest(Math.max(sent, 0), n, sent < 0 ? errno() : 0);
  }

  /** Stops or restarts reading: the kernel's queue then holds the sender back. */
  pause(isPaused: boolean): void {
    this.setEvents(isPaused ? this.events & ~EPOLLIN : this.events | EPOLLIN);
  }

  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.host.unwatch(this.fd);
    sys().close(this.fd);
    this.counters.drops.add(Drop.TxFull, this.held.count);
    this.held.close();
    this.host.slab.release(this.vector, BATCH * (MMSGHDR_BYTES + IOVEC_BYTES));
  }

  private receiveBatch(burst: Burst): void {
    const { area, slab, address } = this.host;
    const n = sys().recvmmsg(this.fd, address + area.messages, area.cells, MSG_DONTWAIT, 0);
    this.lastBatch = n;
    if (n < 0) this.failed();
    const { view } = slab;
    for (let i = 0; i < n; i++) {
      const message = area.messages + i * MMSGHDR_BYTES;
      const length = view.getUint32(message + MSG_LEN, true);
      if (length === 0) this.ended();
      else if (view.getUint32(message + MSG_FLAGS, true) & MSG_TRUNC) this.counters.drops.add(Drop.RxTruncated);
      else burst.push(area.cell + i * area.cellStride, length, PLAIN);
    }
  }

  private receiveOne(burst: Burst): void {
    const { area, address } = this.host;
    const length = sys().recv(this.fd, address + area.cell, area.cellBytes, MSG_DONTWAIT | MSG_TRUNC);
    if (length < 0) this.failed();
    else if (length > area.cellBytes) this.counters.drops.add(Drop.RxTruncated);
    else if (length > 0) burst.push(area.cell, length, PLAIN);
    else this.ended();
  }

  /** Nothing on a datagram socket: an old plug's goodbye, and its control connection says the same. */
  private ended(): void {
    if (this.endsAtZero) this.onDead();
  }

  private sendOne(): number {
    const { words } = this.host.slab;
    const at = words[this.iovecs]! - this.low;
    const length = words[this.iovecs + 2]!;
    return sys().send(this.fd, this.host.address + (at >>> 0), length, FLAGS) < 0 ? -1 : 1;
  }

  /**
   * After a short send: what is left waits for EPOLLOUT. False: the ingress should wait too. `code` is 0 if some frames went:
   * the kernel then does not say what was wrong with the next one, and errno is of an older call.
   */
  private keepRest(sent: number, n: number, code: number): boolean {
    const { words } = this.host.slab;
    for (let i = 0; i < sent; i++) this.counters.txBytes += words[this.iovecs + i * 4 + 2]!;
    this.counters.txFrames += sent;
    if (code !== 0 && !isPassing(code)) {
      // One frame was refused; the ones behind it may still go.
      this.counters.drops.add(refusal(code));
      if (code === Errno.ECONNREFUSED || code === Errno.ENOTCONN) this.onDead();
      return this.resend(sent + 1, n);
    }
    for (let i = sent; i < n; i++) {
      const at = (words[this.iovecs + i * 4]! - this.low) >>> 0;
      this.hold(at, words[this.iovecs + i * 4 + 2]!, true);
    }
    return false;
  }

  private resend(from: number, n: number): boolean {
    const { words } = this.host.slab;
    for (let i = from; i < n && !this.isClosed; i++) {
      const at = (words[this.iovecs + i * 4]! - this.low) >>> 0;
      const length = words[this.iovecs + i * 4 + 2]!;
      if (sys().send(this.fd, this.host.address + at, length, FLAGS) >= 0) {
        this.counters.txFrames++;
        this.counters.txBytes += length;
      } else this.counters.drops.add(Drop.TxError);
    }
    return true;
  }

  private hold(at: number, length: number, isCounted = false): Drop {
    if (this.held.push(at, length)) {
      if (this.held.count === 1) this.setEvents(this.events | EPOLLOUT);
      return Drop.None;
    }
    if (isCounted) this.counters.drops.add(Drop.TxFull);
    return Drop.TxFull;
  }

  /** The socket is writable again. */
  private drain(): void {
    const { slab } = this.host;
    while (this.held.count > 0) {
      const n = this.held.peek(heldAt, heldLength, BATCH);
      for (let i = 0; i < n; i++) {
        slab.words[this.iovecs + i * 4] = this.low + heldAt[i]!;
        slab.words[this.iovecs + i * 4 + 2] = heldLength[i]!;
      }
      const sent = sys().sendmmsg(this.fd, this.host.address + this.vector, n, FLAGS);
      const code = sent < 0 ? errno() : 0;
      for (let i = 0; i < sent; i++) {
        this.counters.txBytes += heldLength[i]!;
        this.held.shift();
      }
      if (sent > 0) this.counters.txFrames += sent;
      if (isPassing(code) || (sent >= 0 && sent < n)) return;
      if (code !== 0) {
        this.counters.drops.add(refusal(code));
        this.held.shift();
        if (code === Errno.ECONNREFUSED || code === Errno.ENOTCONN) {
          this.onDead();
          return;
        }
      }
    }
    if (slab.isTight) this.held.close(); // it takes memory anew when it needs some
    this.setEvents(this.events & ~EPOLLOUT);
    this.host.drained(this);
  }

  private failed(): void {
    const code = errno();
    if (!isPassing(code)) this.onDead();
  }

  private setEvents(events: number): void {
    if (events === this.events || this.isClosed) return;
    this.events = events;
    this.host.rewatch(this.fd, events);
  }
}

const isPassing = (code: number): boolean => code === Errno.EAGAIN || code === Errno.ENOBUFS || code === Errno.EINTR;

const refusal = (code: number): Drop => (code === Errno.EMSGSIZE ? Drop.TxTooLong : Drop.TxError);

/** A piece of the slab that a port cannot be without. Throws `SysError` where there is no room: the connection is refused. */
export function allocFor({ slab }: NativeHost, bytes: number): number {
  const at = slab.alloc(bytes);
  if (at === NONE) throw new SysError('no room in the slab for another port', Errno.ENOMEM);
  return at;
}

const heldAt = new Int32Array(BATCH);
const heldLength = new Int32Array(BATCH);

/** Points each message header of a vector at its own iovec, which stands behind the headers. */
export function fillVector(host: NativeHost, vector: number, count: number): void {
  const { view } = host.slab;
  const high = Math.floor(host.address / 2 ** 32);
  for (let i = 0; i < count; i++) {
    const message = vector + i * MMSGHDR_BYTES;
    const iovec = vector + count * MMSGHDR_BYTES + i * IOVEC_BYTES;
    view.setBigUint64(message + MSG_IOV, BigInt(host.address + iovec), true);
    view.setUint32(message + MSG_IOVLEN, 1, true);
    view.setUint32(iovec + 4, high, true);
  }
}
