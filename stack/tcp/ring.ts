// The bytes of a connection: rings in the slab that grow by doubling as they fill and go when they are empty, but for the
// rings of the connection that was emptied last.

import { NONE } from '../../core/slab.ts';
import type { Span } from '../../core/span.ts';
import type { Core } from './core.ts';
import { NO_CONNECTION } from './table.ts';

const RING_BYTES_MIN = 1024;
const RING_BYTES_SURE = 4096;
const GAPS_BYTES = 1024; // see gaps.ts
const RESTING_BYTES_MAX = 512 << 10; // the longest ring that is kept although it is empty: the default buffer's

/** The smallest power of two, from 2 on, that is at least `bytes`; 1 … 2^30. A shift: `**` is a call of the C library. */
export const powerOfTwo = (bytes: number): number => 1 << (32 - Math.clz32((bytes - 1) | 1));

/** The power of two that holds `bytes`. */
const ringSize = (bytes: number): number => (bytes <= RING_BYTES_MIN ? RING_BYTES_MIN : powerOfTwo(bytes));

/** Moves `count` bytes from sequence number `seq` on from one ring to another. */
function move(
  core: Core,
  from: number,
  fromSize: number,
  to: number,
  toSize: number,
  seq: number,
  count: number,
): void {
  const { bytes } = core.shared;
  for (let done = 0; done < count; ) {
    const a = (seq + done) & (fromSize - 1);
    const b = (seq + done) & (toSize - 1);
    const n = Math.min(count - done, fromSize - a, toSize - b);
    bytes.copyWithin(to + b, from + a, from + a + n);
    done += n;
  }
}

/** A ring of `size` instead of one of `oldSize`, or NONE. Small ones may go over the bound, so that nobody is mute. */
function takeRing(core: Core, size: number, oldSize: number): number {
  const isOver = core.ringBytes + size - oldSize > core.limits.ringBytesMax;
  return isOver && size > RING_BYTES_SURE ? NONE : core.slab.alloc(size);
}

/** Makes the send ring hold `count` bytes from `seq` on, of which `kept` are there. False if the slab is exhausted. */
export function growSendRing(core: Core, c: number, seq: number, kept: number, count: number): boolean {
  const { col, slab } = core;
  if (col.sndSize[c]! >= count) return true;
  const size = ringSize(count);
  const at = takeRing(core, size, col.sndSize[c]!);
  if (at === NONE) return false;
  const old = col.sndAt[c]!;
  if (old !== NONE) {
    move(core, old, col.sndSize[c]!, at, size, seq, kept);
    slab.release(old, col.sndSize[c]!);
  }
  core.ringBytes += size - col.sndSize[c]!;
  col.sndAt[c] = at;
  col.sndSize[c] = size;
  return true;
}

/** Makes the receive ring hold `count` bytes from `seq` on, of which `kept` may be there. False if the slab is exhausted. */
export function growReceiveRing(core: Core, c: number, seq: number, kept: number, count: number): boolean {
  const { col, slab } = core;
  if (col.rcvSize[c]! >= count) return true;
  const size = ringSize(count);
  const at = takeRing(core, size, col.rcvSize[c]!);
  if (at === NONE) return false;
  const old = col.rcvAt[c]!;
  if (old !== NONE) {
    move(core, old, col.rcvSize[c]!, at, size, seq, kept);
    slab.release(old, col.rcvSize[c]!);
  }
  core.ringBytes += size - col.rcvSize[c]!;
  col.rcvAt[c] = at;
  col.rcvSize[c] = size;
  return true;
}

export function freeSendRing(core: Core, c: number): void {
  const { col } = core;
  if (col.sndAt[c] !== NONE) core.slab.release(col.sndAt[c]!, col.sndSize[c]!);
  core.ringBytes -= col.sndSize[c]!;
  col.sndAt[c] = NONE;
  col.sndSize[c] = 0;
}

export function freeReceiveRing(core: Core, c: number): void {
  const { col } = core;
  if (col.rcvAt[c] !== NONE) core.slab.release(col.rcvAt[c]!, col.rcvSize[c]!);
  core.ringBytes -= col.rcvSize[c]!;
  col.rcvAt[c] = NONE;
  col.rcvSize[c] = 0;
}

/**
 * The receive ring of `c` is empty. The connection that was emptied last keeps its ring, for while bytes stream its ring is
 * emptied again and again, and each time to double up to its size anew costs more than the bytes themselves.
 */
export function restReceiveRing(core: Core, c: number): void {
  const { col, resting } = core;
  const other = resting.receive;
  if (other === c && !core.isTight) return;
  resting.receive = NO_CONNECTION;
  if (other !== NO_CONNECTION && col.rcvAt[other] !== NONE && isReceiveEmpty(core, other)) freeReceiveRing(core, other);
  if (col.rcvSize[c]! > RESTING_BYTES_MAX || core.isTight) freeReceiveRing(core, c);
  else resting.receive = c;
}

/** As `restReceiveRing`. */
export function restSendRing(core: Core, c: number): void {
  const { col, resting } = core;
  const other = resting.send;
  if (other === c && !core.isTight) return;
  resting.send = NO_CONNECTION;
  if (other !== NO_CONNECTION && col.sndAt[other] !== NONE && core.queued(other) === 0) freeSendRing(core, other);
  if (col.sndSize[c]! > RESTING_BYTES_MAX || core.isTight) freeSendRing(core, c);
  else resting.send = c;
}

/** Nobody keeps an empty ring: what is saved is what is needed. */
export function freeResting(core: Core): void {
  const { col, resting } = core;
  const { send, receive } = resting;
  resting.send = NO_CONNECTION;
  resting.receive = NO_CONNECTION;
  if (send !== NO_CONNECTION && col.sndAt[send] !== NONE && core.queued(send) === 0) freeSendRing(core, send);
  if (receive !== NO_CONNECTION && col.rcvAt[receive] !== NONE && isReceiveEmpty(core, receive)) {
    freeReceiveRing(core, receive);
  }
}

/** Nothing waits for the user, nothing lies behind a gap. */
const isReceiveEmpty = (core: Core, c: number): boolean => core.available(c) === 0 && core.col.gapsCount[c] === 0;

/** Room for the list of pieces behind a gap; false if the slab is exhausted. */
export function takeGaps(core: Core, c: number): boolean {
  const { col } = core;
  if (col.gapsAt[c] !== NONE) return true;
  const at = core.slab.alloc(GAPS_BYTES);
  col.gapsAt[c] = at;
  return at !== NONE;
}

export function freeGaps(core: Core, c: number): void {
  const { col } = core;
  if (col.gapsAt[c] !== NONE) core.slab.release(col.gapsAt[c]!, GAPS_BYTES);
  col.gapsAt[c] = NONE;
  col.gapsCount[c] = 0;
}

/** Says where `count` bytes from sequence number `seq` on are in the ring at `at`. */
export function spanOfRing(span: Span, at: number, size: number, seq: number, count: number): void {
  const start = seq & (size - 1);
  const first = Math.min(count, size - start);
  span.set(at + start, first, at, count - first);
}

/** Puts bytes of a user's array into the ring at `at`. */
export function writeRing(
  core: Core,
  at: number,
  size: number,
  seq: number,
  bytes: Uint8Array,
  from: number,
  count: number,
): void {
  const start = seq & (size - 1);
  const first = Math.min(count, size - start);
  core.shared.bytes.set(bytes.subarray(from, from + first), at + start);
  if (first < count) core.shared.bytes.set(bytes.subarray(from + first, from + count), at);
}

/** Copies bytes of the ring at `at` to a user's array. */
export function readRing(
  core: Core,
  at: number,
  size: number,
  seq: number,
  into: Uint8Array,
  from: number,
  count: number,
): void {
  const start = seq & (size - 1);
  const first = Math.min(count, size - start);
  const { bytes } = core.shared;
  into.set(bytes.subarray(at + start, at + start + first), from);
  if (first < count) into.set(bytes.subarray(at, at + count - first), from + first);
}

/** Puts bytes of a packet, at `from` in the slab, into the ring at `at`. */
export function storeInRing(core: Core, at: number, size: number, seq: number, from: number, count: number): void {
  const start = seq & (size - 1);
  const first = Math.min(count, size - start);
  const { bytes } = core.shared;
  bytes.copyWithin(at + start, from, from + first);
  if (first < count) bytes.copyWithin(at, from + first, from + count);
}

/**
 * Copies bytes of the ring into a packet at `to`, and returns their folded sum if `sums`, else 0. After an odd number of
 * bytes the second piece's sum is swapped: RFC 1071 §2 (B).
 */
export function fetchFromRing(
  core: Core,
  at: number,
  size: number,
  seq: number,
  to: number,
  count: number,
  sums: boolean,
): number {
  const start = seq & (size - 1);
  const first = Math.min(count, size - start);
  if (!sums) {
    const { bytes } = core.shared;
    bytes.copyWithin(to, at + start, at + start + first);
    if (first < count) bytes.copyWithin(to + first, at, at + count - first);
    return 0;
  }
  const { checksum } = core.shared;
  const sum = checksum.copy(at + start, to, first);
  if (first === count) return sum;
  const rest = checksum.copy(at, to + first, count - first);
  return sum + ((first & 1) === 0 ? rest : ((rest & 0xff) << 8) | (rest >>> 8));
}
