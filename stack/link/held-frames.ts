// Frames that wait until their neighbour's hardware address is known: a few for each neighbour, bounded all together.

import { PLAIN } from '../../core/burst.ts';
import { Drop } from '../../core/drop.ts';
import { NONE, type Slab } from '../../core/slab.ts';
import { StateError, type StateReader, type StateWriter } from '../../core/state.ts';
import { OFFLOAD_HEADER_BYTES } from '../../wire/offload.ts';
import type { Output } from '../output.ts';

/** All held frames together, bytes. */
const HELD_BYTES_MAX = 1 << 20;
const FRAME_BYTES_MAX = 65535 + 14;

interface Held {
  readonly at: number; // of the piece: an offload header, then the frame
  readonly bytes: number; // of the frame
  readonly hasOffload: boolean;
}

/** Queues by neighbour number. Nothing here is on the path of a neighbour that is known. */
export class HeldFrames {
  private readonly slab: Slab;
  private readonly eachMax: number;
  private readonly queues = new Map<number, Held[]>();
  private used = 0;

  /** @param eachMax frames that wait for one neighbour. */
  constructor(slab: Slab, { eachMax }: { eachMax: number }) {
    this.slab = slab;
    this.eachMax = eachMax;
  }

  /** Bytes of all frames. */
  get usedBytes(): number {
    return this.used;
  }

  countOf(n: number): number {
    return this.queues.get(n)?.length ?? 0;
  }

  /** Copies a frame to the end of `n`'s queue; the oldest goes if it is full: RFC 1122 §2.3.2.2 wants the latest kept. */
  push(n: number, at: number, bytes: number, offload: number): Drop {
    if (bytes > FRAME_BYTES_MAX) return Drop.TooBig;
    let queue = this.queues.get(n);
    while (queue && (queue.length >= this.eachMax || (this.used + bytes > HELD_BYTES_MAX && queue.length > 0))) {
      this.shift(n);
      queue = this.queues.get(n);
    }
    if (this.used + bytes > HELD_BYTES_MAX) return Drop.NoMemory;
    const piece = this.slab.alloc(OFFLOAD_HEADER_BYTES + bytes);
    if (piece === NONE) return Drop.NoMemory;
    if (offload !== PLAIN) this.slab.bytes.copyWithin(piece, offload, offload + OFFLOAD_HEADER_BYTES);
    this.slab.bytes.copyWithin(piece + OFFLOAD_HEADER_BYTES, at, at + bytes);
    this.used += bytes;
    const held: Held = { at: piece, bytes, hasOffload: offload !== PLAIN };
    if (queue) queue.push(held);
    else this.queues.set(n, [held]);
    return Drop.None;
  }

  /** Where `n`'s oldest frame is, or NONE; its length is `firstBytes`. */
  firstAt(n: number): number {
    const first = this.queues.get(n)?.[0];
    return first ? first.at + OFFLOAD_HEADER_BYTES : NONE;
  }

  firstBytes(n: number): number {
    return this.queues.get(n)?.[0]?.bytes ?? 0;
  }

  /** Forgets `n`'s oldest frame. */
  shift(n: number): void {
    const queue = this.queues.get(n);
    const first = queue?.shift();
    if (!queue || !first) return;
    this.used -= first.bytes;
    this.slab.release(first.at, OFFLOAD_HEADER_BYTES + first.bytes);
    if (queue.length === 0) this.queues.delete(n);
  }

  /** Pushes all of `n`'s frames to `output` with the 6 bytes of `mac` from `macFrom` on as target; those that do not fit are lost. */
  release(n: number, output: Output, mac: Uint8Array, macFrom: number): void {
    const { bytes } = this.slab;
    for (let first = this.queues.get(n)?.[0]; first; first = this.queues.get(n)?.[0]) {
      const to = output.reserve(first.bytes);
      if (to !== NONE) {
        const from = first.at;
        bytes.copyWithin(to - OFFLOAD_HEADER_BYTES, from, from + OFFLOAD_HEADER_BYTES + first.bytes);
        for (let i = 0; i < 6; i++) bytes[to + i] = mac[macFrom + i]!;
        output.commit(first.bytes, first.hasOffload ? to - OFFLOAD_HEADER_BYTES : PLAIN);
      }
      this.shift(n);
    }
  }

  clear(n: number): void {
    while (this.queues.has(n)) this.shift(n);
  }

  /** Forgets all. */
  close(): void {
    for (const n of [...this.queues.keys()]) this.clear(n);
  }

  save(state: StateWriter): void {
    state.number(this.queues.size);
    for (const [n, queue] of this.queues) {
      state.number(n).number(queue.length);
      for (const held of queue) {
        const end = held.at + OFFLOAD_HEADER_BYTES + held.bytes;
        state.boolean(held.hasOffload).column(this.slab.bytes.slice(held.at, end));
      }
    }
  }

  /** @param neighborsMax queues belong to neighbours 0 … `neighborsMax` - 1. */
  load(state: StateReader, neighborsMax: number): void {
    this.close();
    const queues = state.integer(0, neighborsMax);
    for (let i = 0; i < queues; i++) {
      const n = state.integer(0, neighborsMax - 1);
      if (this.queues.has(n)) throw new StateError('two queues of one neighbour');
      const count = state.integer(1, this.eachMax);
      for (let k = 0; k < count; k++) this.loadFrame(state, n);
    }
  }

  private loadFrame(state: StateReader, n: number): void {
    const hasOffload = state.boolean();
    const bytes = state.bytes(OFFLOAD_HEADER_BYTES + FRAME_BYTES_MAX);
    if (bytes.length < OFFLOAD_HEADER_BYTES + 14) throw new StateError('a held frame without header');
    const piece = this.slab.alloc(bytes.length);
    if (piece === NONE) return; // as if the frame had been lost on the way
    this.slab.bytes.set(bytes, piece);
    const held: Held = { at: piece, bytes: bytes.length - OFFLOAD_HEADER_BYTES, hasOffload };
    this.used += held.bytes;
    const queue = this.queues.get(n);
    if (queue) queue.push(held);
    else this.queues.set(n, [held]);
  }
}
