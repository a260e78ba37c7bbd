// A port on a byte stream: `u32be length` + frame, as QEMU's `-netdev stream`; in and out in blocks, one call for many frames.

import type { Burst } from '../core/burst.ts';
import { PLAIN } from '../core/burst.ts';
import { Drop } from '../core/drop.ts';
import { JUMBO_FRAME_BYTES, type Port, PortCounters, SUPER_FRAME_BYTES } from '../core/port.ts';
import { NONE } from '../core/slab.ts';
import { EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT } from '../sys/epoll.io.ts';
import { Errno, errno, sys } from '../sys/libc.io.ts';
import { MSG_DONTWAIT } from '../sys/socket.io.ts';
import { type CableHello, HELLO_TAG } from './cable-hello.ts';
import { allocFor, type OnDead } from './datagram-port.io.ts';
import type { NativeHost, Watcher } from './native-host.ts';

const PREFIX_BYTES = 4;
const OFFLOAD_BYTES = 10;
const RUNS_MAX = 256; // iovecs a call; the kernel takes 1024
const IOVEC_BYTES = 16;
/** What waits for a slow reader, per port. */
export const BACKLOG_BYTES_MAX = 1 << 20;
const BACKLOG_PAUSE_SHIFT = 2; // from a quarter of it on the ingress waits too
const CARRY_BYTES_MAX = PREFIX_BYTES + OFFLOAD_BYTES + SUPER_FRAME_BYTES;

export interface StreamPortOptions {
  /** Every record has an offload header from the start: both ends are this program's. */
  rich?: boolean;
  /** Negotiates such records with the peer. */
  hello?: CableHello;
  backlogBytesMax?: number;
}

/**
 * Owns `fd`. Records of a run that arrived together and leave through one stream are sent as they stand, with one
 * iovec: no copy, nothing per frame.
 *
 * It parses by itself, not by framing.ts's `Reader32`: that one moves offload headers away from their frames, into cells
 * of its own, to free the headroom for any sender. Here they stay in front of them, which is what makes a rich record one
 * run, and the block is shared by all ports, so that an incomplete record must leave it.
 */
export class StreamPort implements Port, Watcher {
  readonly counters = new PortCounters();
  private readonly host: NativeHost;
  private readonly fd: number;
  private readonly onDead: OnDead;
  private readonly hello: CableHello | undefined;
  private readonly backlogBytesMax: number;
  private isTxRich: boolean;
  private isRxRich: boolean;
  private readonly runs: number; // iovec[RUNS_MAX]
  private readonly zeros: number; // RUNS_MAX times prefix + empty offload header, for plain frames on a rich cable
  private runCount = 0;
  private runEnd = NONE; // where the last run ends in the slab
  private queuedBytes = 0;
  private queuedFrames = 0;
  private queuedFrameBytes = 0;
  private backlog: number = NONE;
  private backlogAt = 0;
  private backlogBytes = 0;
  private carry: number = NONE; // an incomplete record's bytes between two receives
  private carryBytes = 0;
  private parseAt = NONE; // not NONE while the block still has records that did not fit the burst
  private parseEnd = NONE;
  private events = EPOLLIN;
  private isClosed = false;

  constructor(host: NativeHost, fd: number, onDead: OnDead, options: StreamPortOptions = {}) {
    this.host = host;
    this.fd = fd;
    this.onDead = onDead;
    this.hello = options.hello;
    this.backlogBytesMax = options.backlogBytesMax ?? BACKLOG_BYTES_MAX;
    this.isTxRich = options.rich ?? false;
    this.isRxRich = this.isTxRich;
    this.runs = allocFor(host, 2 * RUNS_MAX * IOVEC_BYTES);
    this.zeros = this.runs + RUNS_MAX * IOVEC_BYTES;
  }

  get takesOffload(): boolean {
    return this.isTxRich;
  }

  get frameBytesMax(): number {
    return this.isTxRich ? SUPER_FRAME_BYTES : JUMBO_FRAME_BYTES;
  }

  start(): void {
    if (this.isClosed) return; // nobody had room for it
    this.host.watch(this.fd, this.events, this);
    if (this.hello) this.sendOwn(this.hello.hello());
  }

  ready(events: number): void {
    if (events & EPOLLOUT) this.drain();
    // What a peer sent before it left is still read, even while we are paused; then reading says that it is the end.
    if (events & (EPOLLIN | EPOLLERR | EPOLLHUP)) this.host.wake(this);
  }

  receive(burst: Burst): boolean {
    if (this.parseAt === NONE && !this.fill()) return false;
    this.parse(burst);
    return this.parseAt !== NONE;
  }

  queue(at: number, length: number, offload: number): Drop {
    if (this.backlogBytes + this.queuedBytes + length > this.backlogBytesMax) return Drop.TxFull;
    if (this.runCount >= RUNS_MAX - 1) this.flush();
    const { view } = this.host.slab;
    let start = at - PREFIX_BYTES;
    let end = at + length;
    if (this.isTxRich) {
      if (offload !== at - OFFLOAD_BYTES) {
        // A plain frame, or a header that stands elsewhere: prefix and header go as a run of their own.
        start = this.zeros + this.runCount * IOVEC_BYTES;
        this.writeHeader(start, offload, length);
        this.addRun(start, start + PREFIX_BYTES + OFFLOAD_BYTES);
        start = at;
      } else {
        start = offload - PREFIX_BYTES;
        view.setUint32(start, length + OFFLOAD_BYTES);
      }
      end = at + length;
    } else view.setUint32(start, length);
    this.addRun(start, end);
    this.queuedFrames++;
    this.queuedFrameBytes += length;
    return Drop.None;
  }

  flush(): boolean {
    if (this.runCount === 0) return this.backlogBytes < this.backlogBytesMax >> BACKLOG_PAUSE_SHIFT;
    const { runCount, queuedBytes } = this;
    this.counters.txFrames += this.queuedFrames;
    this.counters.txBytes += this.queuedFrameBytes;
    this.queuedFrameBytes = 0;
    this.runCount = 0;
    this.runEnd = NONE;
    this.queuedBytes = 0;
    this.queuedFrames = 0;
    let sent = 0;
    if (this.backlogBytes === 0) {
      sent = sys().writev(this.fd, this.host.address + this.runs, runCount);
      if (sent === queuedBytes) return true;
      if (sent < 0) {
        const code = errno();
        if (code !== Errno.EAGAIN && code !== Errno.EINTR) return this.failed();
        sent = 0;
      }
    }
    this.keep(runCount, sent);
    return this.backlogBytes < this.backlogBytesMax >> BACKLOG_PAUSE_SHIFT;
  }

  pause(isPaused: boolean): void {
    this.setEvents(isPaused ? this.events & ~EPOLLIN : this.events | EPOLLIN);
  }

  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.host.unwatch(this.fd);
    sys().close(this.fd);
    const { slab } = this.host;
    slab.release(this.runs, 2 * RUNS_MAX * IOVEC_BYTES);
    this.releaseBacklog();
    slab.release(this.carry, CARRY_BYTES_MAX);
  }

  /** Receives behind what the last time left over; false if nothing came. */
  private fill(): boolean {
    const { area, slab, address } = this.host;
    area.claimBlock();
    const have = this.carryBytes;
    const n = sys().recv(this.fd, address + area.block + have, area.blockBytes - have, MSG_DONTWAIT);
    if (n <= 0) {
      const code = n < 0 ? errno() : 0;
      if (n === 0 || (code !== Errno.EAGAIN && code !== Errno.EINTR)) this.onDead();
      return false;
    }
    if (have > 0) slab.bytes.copyWithin(area.block, this.carry, this.carry + have);
    this.carryBytes = 0;
    this.parseAt = area.block;
    this.parseEnd = area.block + have + n;
    return true;
  }

  /** Pushes the block's records until it ends or the burst is full; keeps an incomplete one for the next time. */
  private parse(burst: Burst): void {
    const { view } = this.host.slab;
    const end = this.parseEnd;
    let at = this.parseAt;
    while (at + PREFIX_BYTES <= end) {
      if (burst.full) {
        this.parseAt = at;
        return;
      }
      const length = view.getUint32(at);
      if (length > CARRY_BYTES_MAX - PREFIX_BYTES) {
        this.counters.drops.add(Drop.RxLength);
        this.parseAt = NONE;
        this.onDead(); // nobody can find the next record
        return;
      }
      const next = at + PREFIX_BYTES + length;
      if (next > end) break;
      this.push(burst, at + PREFIX_BYTES, length);
      at = next;
    }
    this.parseAt = NONE;
    if (at < end) this.keepRest(at, end - at);
  }

  private push(burst: Burst, at: number, length: number): void {
    if (this.isRxRich) {
      if (length < OFFLOAD_BYTES) this.counters.drops.add(Drop.RxLength);
      else burst.push(at + OFFLOAD_BYTES, length - OFFLOAD_BYTES, at);
    } else if (length > JUMBO_FRAME_BYTES) this.counters.drops.add(Drop.Giant);
    else if (length >= 4 && this.host.slab.view.getUint32(at) === HELLO_TAG && this.negotiate(at, length)) return;
    else if (length > 0) burst.push(at, length, PLAIN);
    else this.counters.drops.add(Drop.Runt);
  }

  /** True if the frame belongs to the negotiation: it must not reach the network. */
  private negotiate(at: number, length: number): boolean {
    const { hello } = this;
    if (!hello?.receive(this.host.slab.view, at, length)) return false;
    this.isRxRich = hello.rxRich;
    if (hello.startDue) {
      this.sendOwn(hello.start());
      this.isTxRich = true;
    }
    return true;
  }

  private keepRest(at: number, bytes: number): void {
    const { slab } = this.host;
    if (this.carry === NONE) this.carry = slab.alloc(CARRY_BYTES_MAX);
    if (this.carry === NONE) {
      this.counters.drops.add(Drop.NoMemory);
      this.onDead();
      return;
    }
    slab.bytes.copyWithin(this.carry, at, at + bytes);
    this.carryBytes = bytes;
  }

  private writeHeader(at: number, offload: number, length: number): void {
    const { view, bytes } = this.host.slab;
    view.setUint32(at, length + OFFLOAD_BYTES);
    if (offload === PLAIN) bytes.fill(0, at + PREFIX_BYTES, at + PREFIX_BYTES + OFFLOAD_BYTES);
    else bytes.copyWithin(at + PREFIX_BYTES, offload, offload + OFFLOAD_BYTES);
  }

  private addRun(start: number, end: number): void {
    const { view } = this.host.slab;
    const bytes = end - start;
    this.queuedBytes += bytes;
    if (start === this.runEnd) {
      const last = this.runs + (this.runCount - 1) * IOVEC_BYTES + 8;
      view.setUint32(last, view.getUint32(last, true) + bytes, true);
    } else {
      const iovec = (this.runs + this.runCount++ * IOVEC_BYTES) >> 2;
      const { words } = this.host.slab;
      const { address } = this.host;
      words[iovec] = (address >>> 0) + start;
      words[iovec + 1] = Math.floor(address / 2 ** 32);
      words[iovec + 2] = bytes;
      words[iovec + 3] = 0;
    }
    this.runEnd = end;
  }

  /** Copies what `writev` did not take behind the backlog. */
  private keep(runCount: number, sent: number): void {
    const { slab } = this.host;
    if (this.backlog === NONE) this.backlog = slab.alloc(this.backlogBytesMax * 2);
    if (this.backlog === NONE) {
      this.counters.drops.add(Drop.NoMemory);
      this.onDead(); // part of a record is out: the stream cannot go on
      return;
    }
    if (this.backlogAt > 0) this.compact(); // once per EPOLLOUT at most: `backlogAt` moves there alone
    let skip = sent;
    const low = this.host.address >>> 0;
    for (let i = 0; i < runCount; i++) {
      const iovec = (this.runs + i * IOVEC_BYTES) >> 2;
      const at = (slab.words[iovec]! - low) >>> 0;
      const bytes = slab.words[iovec + 2]!;
      if (skip >= bytes) skip -= bytes;
      else {
        slab.bytes.copyWithin(this.backlog + this.backlogBytes, at + skip, at + bytes);
        this.backlogBytes += bytes - skip;
        skip = 0;
      }
    }
    this.setEvents(this.events | EPOLLOUT);
  }

  private releaseBacklog(): void {
    this.host.slab.release(this.backlog, this.backlogBytesMax * 2);
    this.backlog = NONE;
    this.backlogBytes = 0;
  }

  private compact(): void {
    const from = this.backlog + this.backlogAt;
    this.host.slab.bytes.copyWithin(this.backlog, from, from + this.backlogBytes);
    this.backlogAt = 0;
  }

  private drain(): void {
    if (this.backlogBytes > 0) {
      const from = this.host.address + this.backlog + this.backlogAt;
      const sent = sys().write(this.fd, from, this.backlogBytes);
      if (sent < 0) {
        const code = errno();
        if (code !== Errno.EAGAIN && code !== Errno.EINTR) this.failed();
        return;
      }
      this.backlogAt += sent;
      this.backlogBytes -= sent;
    }
    if (this.backlogBytes === 0) {
      this.backlogAt = 0;
      this.setEvents(this.events & ~EPOLLOUT);
      if (this.host.slab.isTight) this.releaseBacklog();
    }
    if (this.backlogBytes < this.backlogBytesMax >> BACKLOG_PAUSE_SHIFT) this.host.drained(this);
  }

  /** Sends a plain record of our own, outside any breath. */
  private sendOwn(frame: Uint8Array): void {
    this.flush();
    const { slab } = this.host;
    const at = slab.alloc(frame.length + PREFIX_BYTES);
    if (at === NONE) return;
    slab.view.setUint32(at, frame.length);
    slab.bytes.set(frame, at + PREFIX_BYTES);
    this.addRun(at, at + PREFIX_BYTES + frame.length);
    this.flush();
    slab.release(at, frame.length + PREFIX_BYTES);
  }

  private failed(): boolean {
    this.counters.drops.add(Drop.TxError);
    this.onDead();
    return true;
  }

  private setEvents(events: number): void {
    if (events === this.events || this.isClosed) return;
    this.events = events;
    this.host.rewatch(this.fd, events);
  }
}
