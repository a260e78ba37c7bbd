// A port over a medium that keeps frames apart by itself: a WebSocket, a UDP socket.

import type { Burst } from '../core/burst.ts';
import { PLAIN } from '../core/burst.ts';
import { Drop } from '../core/drop.ts';
import { HEADROOM_BYTES, JUMBO_FRAME_BYTES, type Port, PortCounters } from '../core/port.ts';
import { NONE } from '../core/slab.ts';
import type { PlugHost } from './host.ts';

const SIDE_BYTES = 1 << 18;
const FRAMES_MAX = 1024; // of one side, and of one flush

/** The sending half of the medium. */
export interface Medium {
  /** Bytes that Node still holds because the peer or the kernel has not taken them. */
  queuedBytes(): number;
  /** Sends `count` messages, which lie one behind the other in `bytes`. The buffer is the medium's from now on. */
  send(bytes: Buffer, lengths: Int32Array, count: number): void;
  /** Stops (true) or restarts (false) what arrives. A medium that cannot loses what does not fit. */
  pause(isPaused: boolean): void;
}

/**
 * Messages are copied as they come into one side of a block of the slab while the frames of the other side are in use; each
 * `receive` that finds its side empty turns the sides round. What does not fit is dropped as `NoMemory`. The constructor
 * throws `RangeError` if the slab is full.
 */
export class MessagePort implements Port {
  readonly counters = new PortCounters();
  readonly frameBytesMax = JUMBO_FRAME_BYTES;
  readonly takesOffload = false;
  private readonly host: PlugHost;
  private readonly queueBytesMax: number;
  private readonly block: number;
  private readonly slabBytes: Buffer;
  private medium: Medium | undefined;
  private readonly rxLength = [new Int32Array(FRAMES_MAX), new Int32Array(FRAMES_MAX)] as const;
  private filling: 0 | 1 = 0;
  private fillCount = 0;
  private fillBytes = 0;
  private readCount = 0; // frames of the other side
  private readNext = 0;
  private readAt = 0;
  private isFull = false; // the side that is filled is half full
  private isPaused = false; // by the engine
  private readonly txAt = new Int32Array(FRAMES_MAX);
  private readonly txLength = new Int32Array(FRAMES_MAX);
  private txCount = 0;
  private txBytes = 0;
  private isHeld = false; // the last flush said that it is congested
  private isClosed = false;

  constructor({ host, queueBytesMax }: { host: PlugHost; queueBytesMax: number }) {
    this.host = host;
    this.queueBytesMax = queueBytesMax;
    const { slab } = host;
    this.slabBytes = Buffer.from(slab.bytes.buffer, slab.bytes.byteOffset, slab.bytes.byteLength);
    this.block = slab.alloc(2 * SIDE_BYTES);
    if (this.block === NONE) throw new RangeError('no room in the slab for another port');
  }

  /** True while a medium is attached. */
  get isUp(): boolean {
    return this.medium !== undefined;
  }

  /** Bytes that the medium has not taken yet; what else it sends should respect `queueBytesMax`, too. */
  get hasRoom(): boolean {
    return this.medium !== undefined && this.medium.queuedBytes() < this.queueBytesMax;
  }

  /** Starts on a medium, or with undefined: frames to the port are dropped as `TxError`. */
  attach(medium: Medium | undefined): void {
    if (this.txCount > 0) this.counters.drops.add(Drop.TxError, this.txCount);
    this.txCount = 0;
    this.txBytes = 0;
    this.medium = medium;
    this.isFull = false;
    if (!medium) return;
    if (this.isPaused) medium.pause(true);
    this.host.wake(this);
  }

  /** Takes a message that arrived. Empty ones are ignored. */
  accept(message: Uint8Array): void {
    const { length } = message;
    if (length === 0 || this.isClosed) return;
    if (this.fillCount === FRAMES_MAX || this.fillBytes + HEADROOM_BYTES + length > SIDE_BYTES) {
      this.counters.drops.add(Drop.NoMemory);
      return;
    }
    this.rxLength[this.filling][this.fillCount++] = length;
    this.fillBytes += HEADROOM_BYTES;
    this.slabBytes.set(message, this.block + this.filling * SIDE_BYTES + this.fillBytes);
    this.fillBytes += length;
    if (!this.isFull && (this.fillBytes > SIDE_BYTES / 2 || this.fillCount > FRAMES_MAX / 2)) {
      this.isFull = true;
      this.medium?.pause(true);
    }
    this.host.wake(this);
  }

  receive(burst: Burst, _nowUs: number): boolean {
    if (this.readNext === this.readCount) this.turn();
    const lengths = this.rxLength[this.filling === 0 ? 1 : 0];
    while (this.readNext < this.readCount && !burst.full) {
      const length = lengths[this.readNext++]!;
      burst.push(this.readAt + HEADROOM_BYTES, length, PLAIN);
      this.readAt += HEADROOM_BYTES + length;
    }
    return this.readNext < this.readCount || this.fillCount > 0;
  }

  queue(at: number, length: number, offload: number): Drop {
    if (!this.medium || offload !== PLAIN) return Drop.TxError;
    if (length > this.frameBytesMax) return Drop.TxTooLong;
    const held = this.medium.queuedBytes() + this.txBytes;
    if (this.txCount === FRAMES_MAX || held + length > this.queueBytesMax) return Drop.TxFull;
    const n = this.txCount++;
    this.txAt[n] = at;
    this.txLength[n] = length;
    this.txBytes += length;
    return Drop.None;
  }

  flush(_nowUs: number): boolean {
    if (!this.medium) return true;
    if (this.txCount > 0) {
      const out = Buffer.allocUnsafe(this.txBytes);
      let to = 0;
      for (let n = 0; n < this.txCount; n++) {
        const at = this.txAt[n]!;
        to += this.slabBytes.copy(out, to, at, at + this.txLength[n]!);
      }
      this.counters.txFrames += this.txCount;
      this.counters.txBytes += to;
      this.medium.send(out, this.txLength, this.txCount);
      this.txCount = 0;
      this.txBytes = 0;
    }
    this.isHeld = this.medium.queuedBytes() > this.queueBytesMax / 2;
    return !this.isHeld;
  }

  /** The medium sent something: if that is what a `flush` waits for, the engine hears of it. */
  drained(): void {
    if (!this.isHeld || !this.medium || this.medium.queuedBytes() > this.queueBytesMax / 2) return;
    this.isHeld = false;
    this.host.drained?.(this);
    this.host.wake(this);
  }

  /** Stops or restarts what arrives, where the medium can. */
  pause(isPaused: boolean): void {
    this.isPaused = isPaused;
    if (!this.isFull) this.medium?.pause(isPaused);
  }

  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.attach(undefined);
    this.fillCount = 0;
    this.readCount = 0;
    this.readNext = 0;
    this.host.slab.release(this.block, 2 * SIDE_BYTES);
  }

  private turn(): void {
    this.readAt = this.block + this.filling * SIDE_BYTES;
    this.readCount = this.fillCount;
    this.readNext = 0;
    this.filling = this.filling === 0 ? 1 : 0;
    this.fillCount = 0;
    this.fillBytes = 0;
    if (!this.isFull) return;
    this.isFull = false;
    if (!this.isPaused) this.medium?.pause(false);
  }
}
