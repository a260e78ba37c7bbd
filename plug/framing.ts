// Records of a byte stream to frames in the slab: u32be length + frame (QEMU, our cable), u16be length + frame (vde_plug).

import { assert } from '../core/assert.ts';
import { type Burst, PLAIN } from '../core/burst.ts';
import { Drop } from '../core/drop.ts';
import { HEADROOM_BYTES, SUPER_FRAME_BYTES } from '../core/port.ts';
import { NONE, type Slab } from '../core/slab.ts';
import { type CableHello, HELLO_TAG, OFFLOAD_BYTES } from './cable-hello.ts';

/** Bytes of the length before a frame in the 32-bit framing. */
export const PREFIX32_BYTES = 4;

/** Bytes of the length before a frame in the 16-bit framing. */
export const PREFIX16_BYTES = 2;

/** The longest record, without its length, of the 32-bit framing: a super-frame with its offload header. */
export const RECORD_BYTES_MAX = SUPER_FRAME_BYTES + OFFLOAD_BYTES;

const CELL_BYTES = 16;

/** Cuts a stream into frames, whatever pieces it comes in. */
export interface RecordReader {
  /** `Drop.RxLength` once a length was out of range: the stream cannot be read any further and must be closed. */
  readonly error: Drop;
  /** Records that were read but dropped since the last look, all for `Drop.RxOffload`. */
  dropped: number;
  /**
   * Pushes the frames that are complete in `block ... block + bytes - 1` until the burst is full. Returns the bytes that it
   * is done with; what remains is the beginning of a record and must be given again, with more behind it.
   */
  parse(block: number, bytes: number, burst: Burst): number;
  /** Starts anew on another stream. */
  reset(hello: CableHello | undefined): void;
  /** Gives back its memory. */
  close(): void;
}

/**
 * The 32-bit framing, in place (the constructor throws `RangeError` if the slab is full): the four bytes in front of each frame are its own length, so they are free as headroom. In a
 * rich record that is the end of the offload header; one that says something is moved to a cell of its own first.
 */
export class Reader32 implements RecordReader {
  error: Drop = Drop.None;
  dropped = 0;
  private readonly slab: Slab;
  private readonly recordBytesMax: number;
  private readonly framesMax: number;
  private readonly cells: number;
  private hello: CableHello | undefined;

  /**
   * @param recordBytesMax the longest record; a longer length is an error before anything is stored.
   * @param framesMax of one `parse`.
   */
  constructor(options: { slab: Slab; recordBytesMax: number; framesMax: number }) {
    this.slab = options.slab;
    this.recordBytesMax = options.recordBytesMax;
    this.framesMax = options.framesMax;
    this.cells = options.slab.alloc(options.framesMax * CELL_BYTES);
    if (this.cells === NONE) throw new RangeError('no room in the slab for another stream');
  }

  reset(hello: CableHello | undefined): void {
    this.hello = hello;
    this.error = Drop.None;
  }

  close(): void {
    this.slab.release(this.cells, this.framesMax * CELL_BYTES);
  }

  parse(block: number, bytes: number, burst: Burst): number {
    const { view } = this.slab;
    const { recordBytesMax, hello } = this;
    const end = block + bytes;
    let at = block;
    let left = this.framesMax;
    while (end - at >= PREFIX32_BYTES && left > 0 && !burst.full) {
      const length = view.getUint32(at);
      if (length > recordBytesMax) {
        this.error = Drop.RxLength;
        break;
      }
      const frame = at + PREFIX32_BYTES;
      if (end - frame < length) break;
      at = frame + length;
      if (hello?.rxRich) {
        left--;
        this.pushRich(frame, length, burst, left);
      } else if (length >= 4 && view.getUint32(frame) === HELLO_TAG && hello?.receive(view, frame, length)) {
      } else if (length > 0) {
        burst.push(frame, length, PLAIN);
      }
    }
    return at - block;
  }

  private pushRich(record: number, length: number, burst: Burst, cell: number): void {
    const { bytes } = this.slab;
    const frame = record + OFFLOAD_BYTES;
    if (length <= OFFLOAD_BYTES) {
      if (length !== 0 && length !== OFFLOAD_BYTES) this.dropped++;
      return;
    }
    if (bytes[record] === 0 && bytes[record + 1] === 0) {
      burst.push(frame, length - OFFLOAD_BYTES, PLAIN);
      return;
    }
    const header = this.cells + cell * CELL_BYTES;
    for (let i = 0; i < OFFLOAD_BYTES; i++) bytes[header + i] = bytes[record + i]!;
    burst.push(frame, length - OFFLOAD_BYTES, header);
  }
}

/**
 * The 16-bit framing. Its lengths are too short to be headroom (the bytes before them end the frame before), so frames are
 * copied into a block of their own; whoever wants speed takes the 32-bit framing.
 */
export class Reader16 implements RecordReader {
  error: Drop = Drop.None;
  dropped = 0;
  private readonly slab: Slab;
  private readonly frameBytesMax: number;
  private readonly blockBytes: number;
  private readonly block: number;

  /** @param blockBytes what the frames of one `parse` may take, each with headroom; at least one frame must fit. */
  constructor(options: { slab: Slab; frameBytesMax: number; blockBytes: number }) {
    assert(options.blockBytes >= options.frameBytesMax + HEADROOM_BYTES, 'a block without room for a frame');
    this.slab = options.slab;
    this.frameBytesMax = options.frameBytesMax;
    this.blockBytes = options.blockBytes;
    this.block = options.slab.alloc(options.blockBytes);
    if (this.block === NONE) throw new RangeError('no room in the slab for another stream');
  }

  reset(_hello: CableHello | undefined): void {
    this.error = Drop.None;
  }

  close(): void {
    this.slab.release(this.block, this.blockBytes);
  }

  parse(block: number, bytes: number, burst: Burst): number {
    const { view } = this.slab;
    const end = block + bytes;
    let at = block;
    let to = this.block;
    while (end - at >= PREFIX16_BYTES && !burst.full) {
      const length = view.getUint16(at);
      if (length > this.frameBytesMax) {
        this.error = Drop.RxLength;
        break;
      }
      const frame = at + PREFIX16_BYTES;
      if (end - frame < length || to + HEADROOM_BYTES + length > this.block + this.blockBytes) break;
      at = frame + length;
      if (length === 0) continue;
      to += HEADROOM_BYTES;
      this.slab.bytes.copyWithin(to, frame, at);
      burst.push(to, length, PLAIN);
      to += length;
    }
    return at - block;
  }
}
