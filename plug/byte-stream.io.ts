// A port over any byte stream of Node's: socket, TLS, pipe of a child, stdin and stdout.

import type { Readable, Writable } from 'node:stream';
import type { Burst } from '../core/burst.ts';
import { PLAIN } from '../core/burst.ts';
import { Drop } from '../core/drop.ts';
import { JUMBO_FRAME_BYTES, type Port, PortCounters, SUPER_FRAME_BYTES } from '../core/port.ts';
import { NONE } from '../core/slab.ts';
import { type CableHello, OFFLOAD_BYTES } from './cable-hello.ts';
import { PREFIX16_BYTES, PREFIX32_BYTES, RECORD_BYTES_MAX, Reader16, Reader32, type RecordReader } from './framing.ts';
import type { PlugHost } from './host.ts';

const BLOCK32_BYTES = 1 << 18; // more than the longest record: a full block always holds something to hand on
const BLOCK16_BYTES = 1 << 16;
const CHUNK_BYTES = 1 << 16; // what libuv reads at once
const FRAMES_MAX = 1024; // of one receive, and of one flush

/** The framing of a byte stream: QEMU's and our cable's, or vde_plug's. */
export type Framing = 'u32' | 'u16';

/** What a port is attached to. `closed` is called once, after everything that had arrived was received. */
export interface Link {
  readonly input: Readable;
  readonly output: Writable;
  readonly hello: CableHello | undefined;
  closed(why: string): void;
}

/**
 * A port that outlives its streams: while none is attached, frames to it are dropped as `TxError`. Memory is bounded: one
 * block of the slab for what arrives (then the stream is paused), `queueBytesMax` for what a slow peer has not taken (then
 * whole frames are dropped as `TxFull`). The constructor throws `RangeError` if the slab is full.
 */
export class ByteStreamPort implements Port {
  readonly counters = new PortCounters();
  private readonly host: PlugHost;
  private readonly reader: RecordReader;
  private readonly prefixBytes: number;
  private readonly queueBytesMax: number;
  private readonly block: number;
  private readonly blockBytes: number;
  private readonly slabBytes: Buffer;
  private readonly txAt = new Int32Array(FRAMES_MAX);
  private readonly txLength = new Int32Array(FRAMES_MAX);
  private readonly txOffload = new Int32Array(FRAMES_MAX);
  private txCount = 0;
  private txBytes = 0;
  private start = 0; // of what is not yet parsed, in the block
  private end = 0;
  private pending: Buffer[] = []; // chunks that came when the block was full, at most a few: the stream is paused
  private link: Link | undefined;
  private hasEnded = '';
  private canWrite = false;
  private isPaused = false;
  private isClosed = false;

  constructor(options: { host: PlugHost; framing: Framing; queueBytesMax: number }) {
    const { slab } = options.host;
    this.host = options.host;
    this.queueBytesMax = options.queueBytesMax;
    const is32 = options.framing === 'u32';
    this.prefixBytes = is32 ? PREFIX32_BYTES : PREFIX16_BYTES;
    this.blockBytes = is32 ? BLOCK32_BYTES : BLOCK16_BYTES;
    this.slabBytes = Buffer.from(slab.bytes.buffer, slab.bytes.byteOffset, slab.bytes.byteLength);
    this.reader = is32
      ? new Reader32({ slab, recordBytesMax: RECORD_BYTES_MAX, framesMax: FRAMES_MAX })
      : new Reader16({ slab, frameBytesMax: JUMBO_FRAME_BYTES, blockBytes: 2 * BLOCK16_BYTES });
    this.block = slab.alloc(this.blockBytes);
    if (this.block === NONE) {
      this.reader.close();
      throw new RangeError('no room in the slab for another stream');
    }
  }

  get takesOffload(): boolean {
    return this.link?.hello?.txRich ?? false;
  }

  get frameBytesMax(): number {
    const hello = this.link?.hello;
    return hello?.txRich ? Math.min(SUPER_FRAME_BYTES, hello.txRecordBytesMax - OFFLOAD_BYTES) : JUMBO_FRAME_BYTES;
  }

  /** True while a stream is attached. */
  get isUp(): boolean {
    return this.link !== undefined;
  }

  /** Starts on a new stream, which must be connected. The one before must be closed. */
  attach(link: Link): void {
    const { input, output } = link;
    this.clear(); // no record goes on in another stream
    this.link = link;
    this.canWrite = true;
    this.hasEnded = '';
    this.reader.reset(link.hello);
    input.on('data', (chunk: Buffer) => this.link === link && this.onData(chunk));
    input.on('end', () => this.onEnd(link, 'the peer closed it'));
    input.on('error', (error) => this.onEnd(link, error.message));
    input.on('close', () => this.onEnd(link, 'closed'));
    output.on('drain', () => this.onDrain(link));
    output.on('error', () => this.stopWriting(link));
    output.on('close', () => this.stopWriting(link));
    if (this.isPaused) input.pause();
    if (link.hello) output.write(this.record(link.hello.hello()));
    this.host.wake(this);
  }

  receive(burst: Burst, _nowUs: number): boolean {
    const { link } = this;
    if (!link || this.reader.error !== Drop.None) return false;
    this.fill(link);
    const consumed = this.reader.parse(this.block + this.start, this.end - this.start, burst);
    this.start += consumed;
    if (this.reader.dropped > 0) {
      this.counters.drops.add(Drop.RxOffload, this.reader.dropped);
      this.reader.dropped = 0;
    }
    if (this.reader.error !== Drop.None) {
      this.counters.drops.add(this.reader.error);
      link.input.pause();
      setImmediate(() => this.detach(link, 'the peer sent a length out of range'));
      return false;
    }
    if (link.hello?.startDue && this.txCount === 0) this.sendStart(link, link.hello);
    const more = burst.full || (consumed > 0 && (this.start < this.end || this.pending.length > 0));
    if (!more && this.hasEnded !== '') setImmediate(() => this.detach(link, this.hasEnded));
    return more;
  }

  queue(at: number, length: number, offload: number): Drop {
    if (!this.link || !this.canWrite) return Drop.TxError;
    const isRich = this.takesOffload;
    if (length > this.frameBytesMax) return Drop.TxTooLong;
    if (offload !== PLAIN && !isRich) return Drop.TxError;
    const bytes = this.prefixBytes + length + (isRich ? OFFLOAD_BYTES : 0);
    const held = this.link.output.writableLength + this.txBytes;
    if (this.txCount === FRAMES_MAX || held + bytes > this.queueBytesMax) return Drop.TxFull;
    const n = this.txCount++;
    this.txAt[n] = at;
    this.txLength[n] = length;
    this.txOffload[n] = offload;
    this.txBytes += bytes;
    return Drop.None;
  }

  flush(_nowUs: number): boolean {
    const { link } = this;
    if (!link) return true;
    if (this.txCount > 0) {
      if (this.canWrite) link.output.write(this.gather());
      else this.counters.drops.add(Drop.TxError, this.txCount);
      this.txCount = 0;
      this.txBytes = 0;
    }
    if (link.hello?.startDue) this.sendStart(link, link.hello);
    // Below its mark a stream says nothing when it drains, so above it only may we wait for that.
    return (
      !this.canWrite ||
      link.output.writableLength <= Math.max(this.queueBytesMax / 2, link.output.writableHighWaterMark)
    );
  }

  /** Stops or restarts the stream; what came before still is received. */
  pause(isPaused: boolean): void {
    this.isPaused = isPaused;
    if (isPaused) this.link?.input.pause();
    else if (this.pending.length === 0) this.link?.input.resume();
  }

  /** Gives up its memory. The streams are the owner's to end. */
  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.link = undefined;
    this.clear();
    this.reader.close();
    this.host.slab.release(this.block, this.blockBytes);
  }

  private onDrain(link: Link): void {
    if (this.link !== link) return;
    this.host.drained?.(this);
    this.host.wake(this);
  }

  private onData(chunk: Buffer): void {
    if (this.pending.length === 0 && chunk.length <= this.blockBytes - this.end) {
      this.slabBytes.set(chunk, this.block + this.end);
      this.end += chunk.length;
    } else {
      this.pending.push(chunk);
      this.link?.input.pause();
    }
    this.host.wake(this);
  }

  /** Makes room, which invalidates the frames of the last `receive`, and takes what waited. */
  private fill(link: Link): void {
    if (this.start === this.end) {
      this.start = 0;
      this.end = 0;
    } else if (this.blockBytes - this.end < CHUNK_BYTES || this.pending.length > 0) {
      this.host.slab.bytes.copyWithin(this.block, this.block + this.start, this.block + this.end);
      this.end -= this.start;
      this.start = 0;
    }
    if (this.pending.length === 0) return;
    while (this.pending.length > 0 && this.end < this.blockBytes) {
      const chunk = this.pending[0]!;
      const copied = chunk.copy(this.slabBytes, this.block + this.end, 0, this.blockBytes - this.end);
      this.end += copied;
      if (copied === chunk.length) this.pending.shift();
      else this.pending[0] = chunk.subarray(copied);
    }
    if (this.pending.length === 0 && !this.isPaused) link.input.resume();
  }

  /** Everything queued, in one buffer: Node writes later, and the slab will have other frames then. */
  private gather(): Buffer {
    const out = Buffer.allocUnsafe(this.txBytes);
    if (this.takesOffload) this.gatherRich(out);
    else if (this.prefixBytes === PREFIX32_BYTES) this.gather32(out);
    else this.gather16(out);
    this.counters.txFrames += this.txCount;
    for (let n = 0; n < this.txCount; n++) this.counters.txBytes += this.txLength[n]!;
    return out;
  }

  /** Frames that came from one stream lie one behind the other, with room for their lengths: one copy for all of them. */
  private gather32(out: Buffer): void {
    const { view } = this.host.slab;
    let to = 0;
    for (let n = 0; n < this.txCount; ) {
      const from = this.txAt[n]! - PREFIX32_BYTES;
      let end = from;
      while (n < this.txCount && this.txAt[n]! - PREFIX32_BYTES === end) {
        view.setUint32(end, this.txLength[n]!);
        end += PREFIX32_BYTES + this.txLength[n]!;
        n++;
      }
      to += this.slabBytes.copy(out, to, from, end);
    }
  }

  private gather16(out: Buffer): void {
    let to = 0;
    for (let n = 0; n < this.txCount; n++) {
      const at = this.txAt[n]!;
      to = out.writeUInt16BE(this.txLength[n]!, to);
      to += this.slabBytes.copy(out, to, at, at + this.txLength[n]!);
    }
  }

  private gatherRich(out: Buffer): void {
    let to = 0;
    for (let n = 0; n < this.txCount; n++) {
      const at = this.txAt[n]!;
      const offload = this.txOffload[n]!;
      to = out.writeUInt32BE(this.txLength[n]! + OFFLOAD_BYTES, to);
      if (offload === PLAIN) out.fill(0, to, to + OFFLOAD_BYTES);
      else this.slabBytes.copy(out, to, offload, offload + OFFLOAD_BYTES);
      to += OFFLOAD_BYTES;
      to += this.slabBytes.copy(out, to, at, at + this.txLength[n]!);
    }
  }

  private record(frame: Uint8Array): Buffer {
    const record = Buffer.alloc(PREFIX32_BYTES + frame.length);
    record.writeUInt32BE(frame.length);
    record.set(frame, PREFIX32_BYTES);
    return record;
  }

  private sendStart(link: Link, hello: CableHello): void {
    const record = this.record(hello.start());
    if (this.canWrite) link.output.write(record);
  }

  private stopWriting(link: Link): void {
    if (this.link === link) this.canWrite = false;
  }

  private onEnd(link: Link, why: string): void {
    if (this.link !== link || this.hasEnded !== '') return;
    this.hasEnded = why;
    if (this.start === this.end && this.pending.length === 0) this.detach(link, why);
    else this.host.wake(this);
  }

  private detach(link: Link, why: string): void {
    if (this.link !== link) return;
    this.link = undefined;
    this.clear();
    link.closed(why);
  }

  private clear(): void {
    if (this.txCount > 0) this.counters.drops.add(Drop.TxError, this.txCount);
    this.txCount = 0;
    this.txBytes = 0;
    this.start = 0;
    this.end = 0;
    this.pending = [];
    this.canWrite = false;
  }
}
