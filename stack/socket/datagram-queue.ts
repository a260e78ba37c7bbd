// Datagrams that wait for their program, whole and in order, each with what is known about it: rings in the slab.
//
//   record  u32 bytes | u32 iface | 16 source | 16 target | u16 port | u16 errno | u8 hops | u8 class | u8 flags | u8 code
//           | f64 time µs | u32 info | u32 mac | payload …  64-byte aligned, so that only a payload goes over the ring's end
//
// What is no error has the upper 16 bits of `mac` in place of the errno.

import type { Slab } from '../../core/slab.ts';
import { NONE } from '../../core/slab.ts';
import type { StateReader, StateWriter } from '../../core/state.ts';
import { StateError } from '../../core/state.ts';
import type { Address } from '../address.ts';
import { ADDRESS_WORDS, read6, write6 } from '../address.ts';

const RECORD_BYTES = 64;
const RING_BYTES_MIN = 2048;
const RING_BYTES_KEPT = 32_768; // by an empty queue
const RING_BYTES_MAX = 2 ** 26;
const COPY_LOOP_BYTES = 64; // up to it a loop beats making a view
const PAYLOAD_BYTES_MAX = 2 ** 18;

// Columns of a queue.
const At = 0; // of its ring in the slab, NONE if it has none
const Size = 1;
const Head = 2; // offset of the oldest record
const Used = 3;
const Count = 4;
const COLUMNS = 5;

/** Bits of `Datagram.flags`. */
export const DatagramFlag = {
  Truncated: 1, // the caller's buffer was shorter
  Error: 2, // from the error queue
  Outgoing: 4, // a frame that this host sent, on a packet socket
  Group: 8, // it was sent to a group or broadcast address
  DontFragment: 16, // of what was intercepted: it may not be cut; so of all IPv6 that its sender did not cut
} as const;

/** What is known of a datagram. One scratch record for the sender's side, one for the receiver's; overwritten by the next. */
export class Datagram {
  /** Bytes of the payload as it came, also if the caller's buffer was shorter. */
  bytes = 0;
  /** Where it came in. */
  iface = 0;
  /** The sender; of an error the one who reported it; of a frame the MAC address in words 0 (high 16 bits) and 1. */
  readonly source: Address = new Int32Array(ADDRESS_WORDS);
  /** Where it was sent to; of an error, where what failed was sent to. */
  readonly target: Address = new Int32Array(ADDRESS_WORDS);
  /** The sender's port, an echo's identifier, a raw packet's protocol, a frame's EtherType; of an error the target's port. */
  port = 0;
  /** Of an error: the errno, positive. */
  errno = 0;
  hops = 0;
  trafficClass = 0;
  /** Bits of `DatagramFlag`. */
  flags = 0;
  /** Of an error: the ICMP type is in `hops`, the code here. */
  code = 0;
  /** When it came, in the stack's own µs. */
  timeUs = 0;
  /** Of an error: the path's new MTU. Of an intercepted datagram: the port that it was sent to. */
  info = 0;
  /** Of an intercepted datagram: the hardware address that its frame came from, as a number of 48 bits; else 0. */
  mac = 0;
}

/** One ring a queue, allocated with its first datagram, doubled as needed. The bound is the caller's, by `usedBytes`. */
export class DatagramQueues {
  private readonly slab: Slab;
  private columns = new Int32Array(16 * COLUMNS);

  constructor(slab: Slab) {
    this.slab = slab;
  }

  /** Bytes in use, headers included. */
  usedBytes(q: number): number {
    return this.columns[q * COLUMNS + Used] ?? 0;
  }

  count(q: number): number {
    return this.columns[q * COLUMNS + Count] ?? 0;
  }

  /** Bytes of the oldest datagram, 0 if there is none. */
  nextBytes(q: number): number {
    const row = q * COLUMNS;
    return this.count(q) === 0 ? 0 : this.slab.view.getUint32(this.columns[row + At]! + this.columns[row + Head]!);
  }

  /** Appends a datagram of two pieces of the slab (the first may be empty). False if the slab has no room. */
  push(q: number, about: Datagram, headAt: number, headBytes: number, at: number, bytes: number): boolean {
    const need = recordBytes(headBytes + bytes);
    if (!this.makeRoom(q, need)) return false;
    const { columns } = this;
    const row = q * COLUMNS;
    const size = columns[row + Size]!;
    const tail = (columns[row + Head]! + columns[row + Used]!) & (size - 1);
    about.bytes = headBytes + bytes;
    this.writeRecord(columns[row + At]! + tail, about);
    const base = columns[row + At]!;
    this.copyIn(base, size, tail + RECORD_BYTES, headAt, headBytes);
    this.copyIn(base, size, tail + RECORD_BYTES + headBytes, at, bytes);
    columns[row + Used] = columns[row + Used]! + need;
    columns[row + Count] = columns[row + Count]! + 1;
    return true;
  }

  /**
   * Reads the oldest datagram into `about` and up to `count` of its bytes into `into`; it goes unless `peek`. Returns the
   * bytes copied, or -1 if there is none.
   */
  read(q: number, about: Datagram, into: Uint8Array, from: number, count: number, peek: boolean): number {
    if (this.count(q) === 0) return -1;
    const { columns } = this;
    const row = q * COLUMNS;
    const base = columns[row + At]!;
    const size = columns[row + Size]!;
    const head = columns[row + Head]!;
    this.readRecord(base + head, about);
    const take = Math.min(count, about.bytes);
    if (take < about.bytes) about.flags |= DatagramFlag.Truncated;
    const start = (head + RECORD_BYTES) & (size - 1);
    const first = Math.min(take, size - start);
    const { bytes } = this.slab;
    copyBytes(into, from, bytes, base + start, first);
    if (first < take) copyBytes(into, from + first, bytes, base, take - first);
    if (!peek) this.pop(q);
    return take;
  }

  /** Forgets the oldest datagram. */
  pop(q: number): void {
    const { columns } = this;
    const row = q * COLUMNS;
    const need = recordBytes(this.nextBytes(q));
    columns[row + Head] = (columns[row + Head]! + need) & (columns[row + Size]! - 1);
    columns[row + Used] = columns[row + Used]! - need;
    columns[row + Count] = columns[row + Count]! - 1;
    if (columns[row + Count] === 0 && (this.slab.isTight || columns[row + Size]! > RING_BYTES_KEPT)) this.clear(q);
  }

  /** Forgets everything and gives the ring back. */
  clear(q: number): void {
    const { columns } = this;
    const row = q * COLUMNS;
    if (row >= columns.length) return;
    if (columns[row + At] !== NONE) this.slab.release(columns[row + At]!, columns[row + Size]!);
    columns.fill(0, row, row + COLUMNS);
  }

  /** Writes the queues 0 … `end` - 1. */
  save(state: StateWriter, end: number): void {
    for (let q = 0; q < end; q++) {
      const used = new Uint8Array(this.usedBytes(q));
      if (used.length > 0) this.copyOut(q, used);
      state.number(this.count(q)).column(used);
    }
  }

  load(state: StateReader, end: number): void {
    for (let q = 0; q < end; q++) {
      const count = state.integer(0, RING_BYTES_MAX / RECORD_BYTES);
      const used = state.bytes(RING_BYTES_MAX / 2);
      checkRecords(used, count);
      this.clear(q);
      if (count === 0) continue;
      if (!this.makeRoom(q, used.length)) throw new StateError('no room for the datagrams of a snapshot');
      const row = q * COLUMNS;
      this.slab.bytes.set(used, this.columns[row + At]!);
      this.columns[row + Used] = used.length;
      this.columns[row + Count] = count;
    }
  }

  /** Copies what is in use, oldest first. */
  private copyOut(q: number, to: Uint8Array): void {
    const row = q * COLUMNS;
    const base = this.columns[row + At]!;
    const head = this.columns[row + Head]!;
    const first = Math.min(to.length, this.columns[row + Size]! - head);
    to.set(this.slab.bytes.subarray(base + head, base + head + first));
    if (first < to.length) to.set(this.slab.bytes.subarray(base, base + to.length - first), first);
  }

  private copyIn(base: number, size: number, offset: number, from: number, bytes: number): void {
    const start = offset & (size - 1);
    const first = Math.min(bytes, size - start);
    this.slab.bytes.copyWithin(base + start, from, from + first);
    if (first < bytes) this.slab.bytes.copyWithin(base, from + first, from + bytes);
  }

  /** A ring with `need` bytes free, or false. */
  private makeRoom(q: number, need: number): boolean {
    const row = q * COLUMNS;
    if (row + COLUMNS > this.columns.length) {
      const next = new Int32Array(Math.max(2 * this.columns.length, row + COLUMNS));
      next.set(this.columns);
      this.columns = next;
    }
    const { columns } = this;
    const used = columns[row + Used]!;
    let size = Math.max(RING_BYTES_MIN, columns[row + Size]!);
    while (size < used + need) size *= 2;
    if (size === columns[row + Size]) return true;
    if (size > RING_BYTES_MAX) return false;
    const at = this.slab.alloc(size);
    if (at === NONE) return false;
    const old = columns[row + At]!;
    if (old !== NONE) {
      const oldSize = columns[row + Size]!;
      const head = columns[row + Head]!;
      const first = Math.min(used, oldSize - head);
      this.slab.bytes.copyWithin(at, old + head, old + head + first);
      if (first < used) this.slab.bytes.copyWithin(at + first, old, old + used - first);
      this.slab.release(old, oldSize);
    }
    columns[row + At] = at;
    columns[row + Size] = size;
    columns[row + Head] = 0;
    return true;
  }

  private writeRecord(at: number, about: Datagram): void {
    const { view } = this.slab;
    view.setUint32(at, about.bytes);
    view.setUint32(at + 4, about.iface);
    write6(view, at + 8, about.source);
    write6(view, at + 24, about.target);
    view.setUint16(at + 40, about.port);
    const isError = (about.flags & DatagramFlag.Error) !== 0;
    view.setUint16(at + 42, isError ? about.errno : about.mac / 2 ** 32);
    view.setUint8(at + 44, about.hops);
    view.setUint8(at + 45, about.trafficClass);
    view.setUint8(at + 46, about.flags);
    view.setUint8(at + 47, about.code);
    view.setFloat64(at + 48, about.timeUs);
    view.setUint32(at + 56, about.info);
    view.setUint32(at + 60, isError ? 0 : about.mac % 2 ** 32);
  }

  private readRecord(at: number, about: Datagram): void {
    const { view } = this.slab;
    about.bytes = view.getUint32(at);
    about.iface = view.getUint32(at + 4);
    read6(view, at + 8, about.source);
    read6(view, at + 24, about.target);
    about.port = view.getUint16(at + 40);
    about.hops = view.getUint8(at + 44);
    about.trafficClass = view.getUint8(at + 45);
    about.flags = view.getUint8(at + 46);
    about.code = view.getUint8(at + 47);
    about.timeUs = view.getFloat64(at + 48);
    about.info = view.getUint32(at + 56);
    const isError = (about.flags & DatagramFlag.Error) !== 0;
    const high = view.getUint16(at + 42);
    about.errno = isError ? high : 0;
    about.mac = isError ? 0 : high * 2 ** 32 + view.getUint32(at + 60);
  }
}

/** Copies `count` bytes between buffers, or within one; short ones without a view being made. */
export function copyBytes(to: Uint8Array, at: number, bytes: Uint8Array, from: number, count: number): void {
  if (to === bytes) to.copyWithin(at, from, from + count);
  else if (count <= COPY_LOOP_BYTES) for (let i = 0; i < count; i++) to[at + i] = bytes[from + i]!;
  else to.set(from === 0 && count === bytes.length ? bytes : bytes.subarray(from, from + count), at);
}

/** Bytes of a record with a payload of `bytes`. */
const recordBytes = (bytes: number): number => RECORD_BYTES + ((bytes + RECORD_BYTES - 1) & -RECORD_BYTES);

/** Throws `StateError` unless `used` is exactly `count` records. */
function checkRecords(used: Uint8Array, count: number): void {
  const view = new DataView(used.buffer, used.byteOffset, used.byteLength);
  let at = 0;
  for (let i = 0; i < count; i++) {
    const bytes = at + RECORD_BYTES <= used.length ? view.getUint32(at) : PAYLOAD_BYTES_MAX + 1;
    if (bytes > PAYLOAD_BYTES_MAX) throw new StateError('a queue of datagrams is damaged');
    at += recordBytes(bytes);
  }
  if (at !== used.length) throw new StateError('a queue of datagrams is damaged');
}
