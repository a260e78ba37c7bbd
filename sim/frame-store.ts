// Frames that are neither here nor there: copies in the slab while they wait in a queue or travel.

import { assert } from '../core/assert.ts';
import { PLAIN } from '../core/burst.ts';
import { HEADROOM_BYTES } from '../core/port.ts';
import { NONE, type Slab } from '../core/slab.ts';
import { OFFLOAD_HEADER_BYTES } from '../wire/offload.ts';

/** What `hold` returns when there is no room. */
export const NO_FRAME = -1;

// Headroom, an offload header, and what makes an IP header behind an Ethernet header of 14 bytes 4-byte aligned.
const FRONT_BYTES = HEADROOM_BYTES + OFFLOAD_HEADER_BYTES + 4;

/** Up to `framesMax` frames by small numbers, which are used again. */
export class FrameStore {
  private readonly slab: Slab;
  private readonly framesMax: number;
  private readonly pieces: number[] = [];
  private readonly lengths: number[] = [];
  private readonly offloads: number[] = [];
  private readonly free: number[] = [];

  constructor(slab: Slab, { framesMax }: { framesMax: number }) {
    this.slab = slab;
    this.framesMax = framesMax;
  }

  /** Copies a frame, with its offload header unless that is `PLAIN`; its number, or `NO_FRAME`. */
  hold(at: number, length: number, offload: number): number {
    const id = this.free.pop() ?? this.pieces.length;
    const piece = id < this.framesMax ? this.slab.alloc(FRONT_BYTES + length) : NONE;
    if (piece === NONE) {
      if (id < this.pieces.length) this.free.push(id);
      return NO_FRAME;
    }
    const to = piece + FRONT_BYTES;
    this.slab.bytes.copyWithin(to, at, at + length);
    const header = to - OFFLOAD_HEADER_BYTES;
    if (offload !== PLAIN) this.slab.bytes.copyWithin(header, offload, offload + OFFLOAD_HEADER_BYTES);
    this.pieces[id] = piece;
    this.lengths[id] = length;
    this.offloads[id] = offload === PLAIN ? PLAIN : header;
    return id;
  }

  /** Where the bytes are. */
  atOf(id: number): number {
    return this.pieces[id]! + FRONT_BYTES;
  }

  lengthOf(id: number): number {
    return this.lengths[id]!;
  }

  /** Where the offload header is, or `PLAIN`. */
  offloadOf(id: number): number {
    return this.offloads[id]!;
  }

  /** Frames that are held. */
  get count(): number {
    return this.pieces.length - this.free.length;
  }

  release(id: number): void {
    assert(this.pieces[id] !== NONE, 'a frame is released once');
    this.slab.release(this.pieces[id]!, FRONT_BYTES + this.lengths[id]!);
    this.pieces[id] = NONE;
    this.free.push(id);
  }
}
