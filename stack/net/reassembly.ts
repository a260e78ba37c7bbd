// Puts packets together that came in pieces. RFC 791, RFC 815, RFC 1122 §3.3.2, RFC 8200 §4.5, RFC 5722.
//
// A packet in pieces has one piece of the slab:
//
//   | starts: a bit per 8 bytes | room for headers | data …                           |
//                                   ^ header, at its right end, once the first piece came
//
// What is missing is a list of holes (RFC 815), which are kept in themselves: `end` and the offset of the next hole. Every
// hole begins at a multiple of 8 and is followed by 8 bytes that may be written. Bits of `starts` tell where pieces began,
// so that a piece that came twice can be told from one that overlaps another.

import { Drop } from '../../core/drop.ts';
import { NONE } from '../../core/slab.ts';
import { StateError, type StateReader, type StateWriter } from '../../core/state.ts';
import { NEVER, US_PER_S } from '../../core/time.ts';
import { ADDRESS_WORDS, type Address } from '../address.ts';
import type { Limits } from '../limits.ts';
import type { Part, Shared } from '../shared.ts';

/** From the first piece on. RFC 8200 §4.5, and RFC 1122 §3.3.2: 60 to 120 s, of which the least is kept (RFC 4963). */
export const WAIT_US = 60 * US_PER_S;

const STARTS_BYTES = 1024; // bits for 65,536 / 8
const HEADER_ROOM = 520;
const DATA = STARTS_BYTES + HEADER_ROOM;
const HOLE_BYTES = 8;
const DATA_START = 2048;
const END = 0xffffffff; // of the list, and of the last hole while the packet's length is not known
const NOBODY = -1;

/** Bits of `ecn`: which codepoints came. RFC 3168 §5.3 */
const ECN_CE = 3;

/** A packet whose time was over, or that was put together: where what is known of it is. */
export interface Gathered {
  readonly iface: number;
  readonly isIp6: boolean;
  /** The first piece's headers begin here, and the data follow; 0 if it never came. */
  readonly ip: number;
  readonly headerBytes: number;
  /** Data bytes of the first piece, or all. */
  readonly bytes: number;
}

/** Called with a packet in pieces whose time is over, before it is forgotten. */
export type TimeoutHook = (row: number) => void;

/** Packets in pieces of both families, in a bounded table of bounded memory. */
export class Reassembly implements Part {
  /** Of the packet that `add` completed: where its first header is, and the bytes of headers and data. */
  doneIp = 0;
  doneHeaderBytes = 0;
  doneBytes = 0;
  doneEcn = 0;
  private readonly shared: Shared;
  private readonly rows: number;
  private readonly bytesMax: number;
  private onTimeout: TimeoutHook = () => {};
  private heldBytes = 0;
  private readonly words: Int32Array; // source, target, identification
  private readonly protocol: Int16Array; // IPv4's; 256 for IPv6, where it is no part of the key
  private readonly iface: Uint16Array; // 0 is free
  private readonly at: Float64Array;
  private readonly size: Int32Array;
  private readonly firstHole: Float64Array; // END: none
  private readonly total: Int32Array; // data bytes, NOBODY while not known
  private readonly highest: Int32Array;
  private readonly headerBytes: Int32Array; // 0 until the first piece came
  private readonly firstBytes: Int32Array;
  private readonly ecn: Uint8Array;
  private readonly deadline: Float64Array;

  constructor(shared: Shared, limits: Limits) {
    const n = limits.reassembliesMax;
    this.shared = shared;
    this.rows = n;
    this.bytesMax = limits.reassemblyBytesMax;
    this.words = new Int32Array(n * KEY_WORDS);
    this.protocol = new Int16Array(n);
    this.iface = new Uint16Array(n);
    this.at = new Float64Array(n);
    this.size = new Int32Array(n);
    this.firstHole = new Float64Array(n);
    this.total = new Int32Array(n);
    this.highest = new Int32Array(n);
    this.headerBytes = new Int32Array(n);
    this.firstBytes = new Int32Array(n);
    this.ecn = new Uint8Array(n);
    this.deadline = new Float64Array(n);
  }

  setTimeoutHook(hook: TimeoutHook): void {
    this.onTimeout = hook;
  }

  /** Slab bytes in use. */
  get usedBytes(): number {
    return this.heldBytes;
  }

  /** The row of a packet, made if need be (then the oldest may have to go). */
  row(source: Address, target: Address, id: number, protocol: number, iface: number): number {
    let free = NOBODY;
    let oldest = NOBODY;
    for (let r = 0; r < this.rows; r++) {
      if (this.iface[r] === 0) {
        if (free < 0) free = r;
      } else if (this.isKey(r, source, target, id, protocol)) return r;
      else if (oldest < 0 || this.deadline[r]! < this.deadline[oldest]!) oldest = r;
    }
    if (free < 0) {
      this.discard(oldest, Drop.FragmentLimit);
      free = oldest;
    }
    const w = free * KEY_WORDS;
    for (let i = 0; i < ADDRESS_WORDS; i++) {
      this.words[w + i] = source[i]!;
      this.words[w + ADDRESS_WORDS + i] = target[i]!;
    }
    this.words[w + 2 * ADDRESS_WORDS] = id;
    this.protocol[free] = protocol;
    this.iface[free] = iface;
    this.at[free] = NONE;
    this.size[free] = 0;
    this.firstHole[free] = 0;
    this.total[free] = NOBODY;
    this.highest[free] = 0;
    this.headerBytes[free] = 0;
    this.firstBytes[free] = 0;
    this.ecn[free] = 0;
    this.deadline[free] = this.shared.nowUs + WAIT_US;
    return free;
  }

  /**
   * Adds `bytes` of data at `from`, which belong at `start` of row `r`'s packet. Headers (of the first piece, when `start` is
   * 0) are the `headerBytes` at `header`. `isLast`: no more follow. `ecn`: the piece's ECN bits. True if the packet is whole:
   * `doneIp` … tell where; `release(r)` when it was read. `drop` says what became of a piece otherwise.
   */
  add(
    r: number,
    header: number,
    headerBytes: number,
    from: number,
    bytes: number,
    start: number,
    isLast: boolean,
    ecn: number,
  ): boolean {
    const end = start + bytes;
    if (bytes <= 0 || headerBytes > HEADER_ROOM - 8) return this.reject(r, Drop.FragmentFormat);
    const total = this.total[r]!;
    const contradicts = isLast ? end < this.highest[r]! || (total >= 0 && total !== end) : total >= 0 && end > total;
    if (contradicts) return this.reject(r, Drop.FragmentOverlap);
    if (!this.reserve(r, end)) return this.reject(r, Drop.FragmentLimit);
    const fit = this.fill(r, start, end, isLast);
    if (fit !== Drop.None) {
      if (fit === Drop.FragmentOverlap && this.isRepeated(r, start, end)) return false;
      return this.reject(r, fit);
    }
    const data = this.at[r]! + DATA;
    this.shared.bytes.copyWithin(data + start, from, from + bytes);
    this.setStart(r, start);
    this.ecn[r] = this.ecn[r]! | (1 << (ecn & 3));
    if (isLast) this.total[r] = end;
    this.highest[r] = Math.max(this.highest[r]!, end);
    if (start === 0) {
      this.headerBytes[r] = headerBytes;
      this.firstBytes[r] = bytes;
      this.shared.bytes.copyWithin(data - headerBytes, header, header + headerBytes);
    }
    return this.firstHole[r] === END && this.finish(r);
  }

  /** What became of the piece that `add` did not take; Drop.None if it waits. */
  drop: Drop = Drop.None;

  /** Forgets row `r`. */
  release(r: number): void {
    if (this.size[r] !== 0) {
      this.shared.slab.release(this.at[r]!, this.size[r]!);
      this.heldBytes -= this.size[r]!;
    }
    this.iface[r] = 0;
    this.size[r] = 0;
    this.at[r] = NONE;
    this.deadline[r] = 0;
  }

  /** Forgets row `r` and counts why. */
  discard(r: number, drop: Drop): void {
    this.release(r);
    this.shared.drops.add(drop);
  }

  /** What is known of row `r`, for an error message about it. */
  gathered(r: number): Gathered {
    const headerBytes = this.headerBytes[r]!;
    const ip = headerBytes === 0 ? 0 : this.at[r]! + DATA - headerBytes;
    const isIp6 = this.protocol[r] === IP6_KEY;
    return { iface: this.iface[r]!, isIp6, ip, headerBytes, bytes: this.firstBytes[r]! };
  }

  deadlineUs(): number {
    let next = NEVER;
    for (let r = 0; r < this.rows; r++) if (this.iface[r] !== 0 && this.deadline[r]! < next) next = this.deadline[r]!;
    return next;
  }

  expire(): void {
    for (let r = 0; r < this.rows; r++) {
      if (this.iface[r] === 0 || this.deadline[r]! > this.shared.nowUs) continue;
      this.onTimeout(r);
      this.discard(r, Drop.FragmentTimeout);
    }
  }

  /** Gives all memory back. */
  close(): void {
    for (let r = 0; r < this.rows; r++) if (this.iface[r] !== 0) this.release(r);
  }

  save(state: StateWriter): void {
    state.section('stack/reassembly', 1).number(this.rows);
    for (const column of this.columns()) state.column(column);
    for (let r = 0; r < this.rows; r++) {
      if (this.size[r] !== 0) state.column(this.shared.bytes.slice(this.at[r]!, this.at[r]! + this.size[r]!));
    }
  }

  load(state: StateReader): void {
    this.close();
    state.section('stack/reassembly', 1);
    state.integer(this.rows, this.rows);
    for (const column of this.columns()) state.into(column);
    const sizes = this.size.slice();
    this.size.fill(0);
    for (let r = 0; r < this.rows; r++) {
      const size = sizes[r]!;
      if (size === 0) continue;
      const bytes = state.bytes(MAX_BYTES);
      if (bytes.length !== size || this.heldBytes + size > this.bytesMax)
        throw new StateError('reassembly: a wrong size');
      const at = this.shared.slab.alloc(size);
      if (at === NONE) throw new StateError('reassembly: no memory');
      this.shared.bytes.set(bytes, at);
      this.at[r] = at;
      this.size[r] = size;
      this.heldBytes += size;
      if (!this.isSound(r)) throw new StateError('reassembly: damaged holes');
    }
  }

  private columns() {
    const { words, protocol, iface, size, firstHole, total, highest, headerBytes, firstBytes, ecn, deadline } = this;
    return [words, protocol, iface, size, firstHole, total, highest, headerBytes, firstBytes, ecn, deadline];
  }

  private isKey(r: number, source: Address, target: Address, id: number, protocol: number): boolean {
    const { words } = this;
    const w = r * KEY_WORDS;
    if (words[w + 2 * ADDRESS_WORDS] !== (id | 0) || this.protocol[r] !== protocol) return false;
    for (let i = 0; i < ADDRESS_WORDS; i++) {
      if (words[w + i] !== source[i] || words[w + ADDRESS_WORDS + i] !== target[i]) return false;
    }
    return true;
  }

  /** RFC 5722 §4, and of IPv4 the same: the packet goes, with all of its pieces. */
  private reject(r: number, drop: Drop): false {
    this.release(r);
    this.drop = drop;
    return false;
  }

  /** Makes room for data up to `end`, and for the hole behind it. */
  private reserve(r: number, end: number): boolean {
    this.drop = Drop.None;
    const need = DATA + end + HOLE_BYTES;
    const old = this.size[r]!;
    if (need <= old) return true;
    let size = Math.max(DATA_START, old);
    while (size < need) size *= 2;
    if (!this.makeRoom(r, size - old)) return false;
    const at = this.shared.slab.alloc(size);
    if (at === NONE) return false;
    if (old !== 0) {
      this.shared.bytes.copyWithin(at, this.at[r]!, this.at[r]! + old);
      this.shared.slab.release(this.at[r]!, old);
    } else this.writeHole(at, 0, END, END);
    this.at[r] = at;
    this.size[r] = size;
    this.heldBytes += size - old;
    return true;
  }

  /** Discards the oldest others until `bytes` more are allowed. */
  private makeRoom(r: number, bytes: number): boolean {
    while (this.heldBytes + bytes > this.bytesMax) {
      let oldest = NOBODY;
      for (let o = 0; o < this.rows; o++) {
        if (o === r || this.size[o] === 0) continue;
        if (oldest < 0 || this.deadline[o]! < this.deadline[oldest]!) oldest = o;
      }
      if (oldest < 0) return false;
      this.discard(oldest, Drop.FragmentLimit);
    }
    return true;
  }

  private writeHole(at: number, start: number, end: number, next: number): void {
    this.shared.view.setUint32(at + DATA + start, end);
    this.shared.view.setUint32(at + DATA + start + 4, next);
  }

  /** Takes start … end out of the hole that holds all of it, RFC 815 §3; an overlap if none does. */
  private fill(r: number, start: number, end: number, isLast: boolean): Drop {
    const { view } = this.shared;
    const at = this.at[r]!;
    let before = NOBODY;
    let hole = this.firstHole[r]!;
    while (hole !== END && view.getUint32(at + DATA + hole) <= start) {
      before = hole;
      hole = view.getUint32(at + DATA + hole + 4);
    }
    if (hole === END || hole > start) return Drop.FragmentOverlap;
    const holeEnd = view.getUint32(at + DATA + hole);
    let next = view.getUint32(at + DATA + hole + 4);
    if (end > holeEnd) return Drop.FragmentOverlap;
    // A hole that begins behind the highest byte is there only until the length is known.
    if (end < holeEnd && !isLast) {
      this.writeHole(at, end, holeEnd, next);
      next = end;
    }
    if (hole < start) {
      this.writeHole(at, hole, start, next);
      next = hole;
    }
    if (before < 0) this.firstHole[r] = next;
    else view.setUint32(at + DATA + before + 4, next);
    return Drop.None;
  }

  /** RFC 8200 §4.5: exactly what came before, once more, which networks do. The data are not compared. */
  private isRepeated(r: number, start: number, end: number): boolean {
    if (!this.isStart(r, start) || this.isInHole(r, start)) return false;
    for (let s = start + 8; s < end; s += 8) if (this.isStart(r, s) || this.isInHole(r, s)) return false;
    return end === this.total[r] || end === this.highest[r] || this.isStart(r, end) || this.isInHole(r, end);
  }

  private isInHole(r: number, offset: number): boolean {
    const { view } = this.shared;
    const at = this.at[r]!;
    for (let hole = this.firstHole[r]!; hole !== END && hole <= offset; hole = view.getUint32(at + DATA + hole + 4)) {
      if (offset < view.getUint32(at + DATA + hole)) return true;
    }
    return false;
  }

  private setStart(r: number, start: number): void {
    const byte = this.at[r]! + (start >>> 6);
    this.shared.bytes[byte] = this.shared.bytes[byte]! | (1 << ((start >>> 3) & 7));
  }

  private isStart(r: number, start: number): boolean {
    return (this.shared.bytes[this.at[r]! + (start >>> 6)]! & (1 << ((start >>> 3) & 7))) !== 0;
  }

  /** RFC 3168 §5.3: congestion of any piece is the packet's; together with a piece that is not ECN-capable it is a lie. */
  private finish(r: number): boolean {
    const seen = this.ecn[r]!;
    const isMarked = (seen & (1 << ECN_CE)) !== 0;
    if (isMarked && (seen & 1) !== 0) return this.reject(r, Drop.FragmentFormat);
    this.doneHeaderBytes = this.headerBytes[r]!;
    this.doneIp = this.at[r]! + DATA - this.doneHeaderBytes;
    this.doneBytes = this.total[r]!;
    this.doneEcn = isMarked ? ECN_CE : NOBODY;
    return true;
  }

  /** True if a loaded row's holes are within its data, in order. */
  private isSound(r: number): boolean {
    const limit = this.size[r]! - DATA - HOLE_BYTES;
    let least = 0;
    for (let hole = this.firstHole[r]!; hole !== END; ) {
      if (!Number.isInteger(hole) || hole < least || hole > limit || (hole & 7) !== 0) return false;
      least = hole + 8;
      hole = this.shared.view.getUint32(this.at[r]! + DATA + hole + 4);
    }
    const { highest, headerBytes, firstBytes, total } = this;
    if (headerBytes[r]! < 0 || headerBytes[r]! > HEADER_ROOM - 8) return false;
    return highest[r]! <= limit && total[r]! <= limit && firstBytes[r]! <= limit && firstBytes[r]! >= 0;
  }
}

const KEY_WORDS = 2 * ADDRESS_WORDS + 1;
const MAX_BYTES = 1 << 18;

/** The `protocol` of IPv6 rows: RFC 8200 §4.5 does not compare it. */
export const IP6_KEY = 256;
