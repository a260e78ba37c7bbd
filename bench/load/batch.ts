// Frames by the batch: one sendmmsg or recvmmsg call moves many.

import { sys } from '../../sys/libc.io.ts';
import { base, putPointer, slab, take } from './memory.ts';

/** Flags of send and receive calls (Linux). */
export const DONTWAIT = 0x40;
export const WAITFORONE = 0x10000;

// struct mmsghdr and struct iovec of 64-bit Linux.
const MMSGHDR_BYTES = 64;
const MSG_IOV = 16;
const MSG_IOVLEN = 24;
const MSG_LEN = 56;
const IOVEC_BYTES = 16;
const IOV_LEN = 8;

const SLOT_BYTES = 2048;
const ETHERTYPE_AT = 12;

/** An EtherType for local experiments (IEEE 802): nobody answers it. */
export const BENCH_ETHERTYPE = 0x88b5;

/** Builds message headers, each of one piece; `place(i)` says where piece `i` is. Returns the offset of the first. */
function headers(count: number, bytes: number, place: (index: number) => number): number {
  const first = take(count * MMSGHDR_BYTES);
  const vectors = take(count * IOVEC_BYTES);
  for (let i = 0; i < count; i++) {
    const vector = vectors + i * IOVEC_BYTES;
    putPointer(vector, place(i));
    slab.view.setUint32(vector + IOV_LEN, bytes, true);
    putPointer(first + i * MMSGHDR_BYTES + MSG_IOV, vector);
    slab.view.setUint32(first + i * MMSGHDR_BYTES + MSG_IOVLEN, 1, true);
  }
  return first;
}

/** A circle of frames prepared once and sent over and over. */
export class Train {
  private readonly first: number;
  private readonly count: number;
  private readonly batch: number;
  private cursor = 0;

  /** `flows` are [destination, source] addresses; every frame is `frameBytes` long. */
  constructor({ flows, frameBytes, batch }: { flows: readonly Flow[]; frameBytes: number; batch: number }) {
    const frames = flows.map((flow) => makeFrame(flow, frameBytes));
    this.count = frames.length * Math.max(1, Math.ceil(batch / frames.length));
    this.batch = batch;
    this.first = headers(this.count, frameBytes, (i) => frames[i % frames.length]!);
  }

  /** Sends the next batch; returns how many frames went, or a negative number. */
  send(fd: number, flags: number): number {
    const batch = Math.min(this.batch, this.count - this.cursor);
    const sent = sys().sendmmsg(fd, base + this.first + this.cursor * MMSGHDR_BYTES, batch, flags);
    if (sent > 0) this.cursor = (this.cursor + sent) % this.count;
    return sent;
  }
}

/** Where received batches land. Frames are counted, not read: one buffer serves all ports. */
export class Inbox {
  private readonly first: number;
  private readonly slots: number;
  private readonly batch: number;

  constructor({ batch }: { batch: number }) {
    this.batch = batch;
    this.slots = take(batch * SLOT_BYTES);
    this.first = headers(batch, SLOT_BYTES, (i) => this.slots + i * SLOT_BYTES);
  }

  /** Receives one batch; returns how many frames came, 0 when none did. Frames that are not the benchmark's are not counted. */
  receive(fd: number, flags: number): number {
    const count = sys().recvmmsg(fd, base + this.first, this.batch, flags, 0);
    let ours = 0;
    for (let i = 0; i < count; i++) {
      const at = this.slots + i * SLOT_BYTES + ETHERTYPE_AT;
      if (slab.bytes[at] === BENCH_ETHERTYPE >> 8 && slab.bytes[at + 1] === (BENCH_ETHERTYPE & 0xff)) ours++;
    }
    return ours;
  }

  /** The length of the first frame of the last batch. */
  get firstBytes(): number {
    return slab.view.getUint32(this.first + MSG_LEN, true);
  }
}

/** Destination and source of a frame, six bytes each. */
export interface Flow {
  readonly target: Uint8Array;
  readonly source: Uint8Array;
}

/** Writes one frame into memory and returns its offset. */
export function makeFrame({ target, source }: Flow, frameBytes: number): number {
  const at = take(frameBytes);
  slab.bytes.set(target, at);
  slab.bytes.set(source, at + 6);
  slab.view.setUint16(at + ETHERTYPE_AT, BENCH_ETHERTYPE);
  for (let i = 14; i < frameBytes; i++) slab.bytes[at + i] = i & 0xff;
  return at;
}
