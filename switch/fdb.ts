// The filtering database: which port a station (MAC, VID) was last seen on. Never allocates after construction.

import { assert, UsageError } from '../core/assert.ts';
import { NEVER, US_PER_S } from '../core/time.ts';
import { highOf, isStation, keyOf, lowOf, macOf, vidOf } from './mac.ts';
import { MoveGuard, type MoveOptions } from './moves.ts';

/** No such entry, no such port. */
export const NO_PORT = -1;

/** Seconds after which a silent station is forgotten, IEEE 802.1Q-2018 §8.8.3, in µs. */
export const AGE_US_DEFAULT = 300 * US_PER_S;
/** Fits 100,000 stations. */
export const FDB_ENTRIES_DEFAULT = 1 << 17;

// One entry is four words, 16 bytes, so a probe touches one cache line:
//   MAC bytes 0..3 | 1 vvvvvvvvvvvv (VID) MAC bytes 4..5 | seen, low 32 bits of µs | seen, high 16 bits; static; port
const KEY = 1; // the word with the mark of an occupied slot
const SEEN = 2;
const TAIL = 3;
const WORDS_LOG2 = 2;
const WORDS = 1 << WORDS_LOG2;
const STATIC = 1 << 15;
const PORT_MASK = 0x0fff;
const VID_TOP = 0x0fff;
const MINE_MASK = STATIC | PORT_MASK; // equals a port number only if the entry is dynamic and on that port

const PROBES_MAX = 128; // bounds the work a peer's crafted MACs can cause; chance exceeds it never at half load
const SWEEP_SLOTS = 4096; // one sweep step: 64 KiB of table
const SWEEP_SLOTS_FULL = 64; // looked at for each station that found no room
const HIGH = 2 ** 32;
const CLOCK_WRAP_US = 2 ** 48;

assert(PORT_MASK + 1 === 4096 && (STATIC & PORT_MASK) === 0, 'a port number fits its field');

/** Bounds and times of the table; all times in whole µs. */
export interface FdbOptions extends MoveOptions {
  /** 1 … 4096. */
  readonly portsMax: number;
  /** At most this many entries, static ones included. */
  readonly entriesMax?: number;
  readonly ageUs?: number;
  /** Any number; give a random one where strangers choose MACs. */
  readonly hashSeed?: number;
}

/** One row of a listing. */
export interface FdbEntry {
  /** The six bytes as one number, first byte highest. */
  readonly mac: number;
  /** 0: no VLAN. */
  readonly vid: number;
  readonly port: number;
  /** µs since the station was heard; 0 for a static entry. */
  readonly ageUs: number;
  readonly isStatic: boolean;
}

/**
 * Open addressing with linear probing, at most half full; removal shifts back, so there are no tombstones.
 *
 * On the frame path a MAC is `lo` (bytes 0..3, little-endian) and `hi` = `keyOf(bytes 4..5 little-endian, vid)`. Each port
 * remembers the slots of its last source and target. The memory is only a hint: the slot's key is compared before use, so
 * no change of the table can make it wrong.
 */
export class Fdb {
  /** The time of the last `tick`. */
  nowUs = -1;
  /** Entries in the table, silent ones that were not swept yet included. */
  count = 0;
  /** Stations not learned because the table or their port's share of it was full. */
  tableFull = 0;
  /** Stations that changed port. */
  moves = 0;
  /** Frames that came from a port where their station was not allowed to move to. */
  movesRefused = 0;
  readonly entriesMax: number;

  private readonly table: Int32Array;
  private readonly mask: number; // of word offsets
  private readonly hashSeed: number;
  private readonly sourceHint: Int32Array;
  private readonly targetHint: Int32Array;
  private readonly macs: Int32Array; // entries per port
  private readonly macsMax: Int32Array;
  private readonly guard: MoveGuard;
  private ageUs: number;
  private statics = 0;
  private clockUs = 0; // `nowUs` modulo 2^48, which is 8.9 years: what an entry has room for
  private nowLow = 0;
  private nowHigh = 0; // already shifted
  private sweepAt = 0; // next slot to look at, as a word offset
  private sweepUs = NEVER;

  constructor(options: FdbOptions) {
    const entriesMax = options.entriesMax ?? FDB_ENTRIES_DEFAULT;
    assert(options.portsMax > 0 && options.portsMax <= PORT_MASK + 1, `a table for ${options.portsMax} ports`);
    assert(entriesMax > 0 && entriesMax <= 1 << 24, `a table of ${entriesMax} entries`);
    const slots = 2 ** Math.max(4, 32 - Math.clz32(2 * entriesMax - 1));
    this.entriesMax = entriesMax;
    this.table = new Int32Array(slots * WORDS);
    this.mask = slots * WORDS - 1;
    this.hashSeed = (options.hashSeed ?? 0) | 0;
    this.sourceHint = new Int32Array(options.portsMax);
    this.targetHint = new Int32Array(options.portsMax);
    this.macs = new Int32Array(options.portsMax);
    this.macsMax = new Int32Array(options.portsMax).fill(entriesMax);
    this.guard = new MoveGuard(slots, options);
    this.ageUs = options.ageUs ?? AGE_US_DEFAULT;
  }

  /** Sets the time for everything that follows. An earlier time than before is not taken: nobody grows younger. */
  tick(nowUs: number): void {
    if (nowUs <= this.nowUs) return;
    this.nowUs = nowUs;
    this.nowLow = nowUs | 0;
    this.nowHigh = Math.floor(nowUs / HIGH) << 16;
    this.clockUs = timeOf(this.nowHigh, this.nowLow);
  }

  /** The station sent a frame into `port`. */
  learn(lo: number, hi: number, port: number): void {
    const table = this.table;
    let slot = this.sourceHint[port]!;
    if (table[slot] !== lo || table[slot + KEY] !== hi) {
      slot = this.slotOf(lo, hi);
      if (slot < 0) {
        this.learnNew(lo, hi, port);
        return;
      }
      this.sourceHint[port] = slot;
    }
    if ((table[slot + TAIL]! & MINE_MASK) !== port) {
      this.move(slot, port);
      return;
    }
    table[slot + SEEN] = this.nowLow;
    table[slot + TAIL] = this.nowHigh | port;
  }

  /** The port behind which the station lives, or `NO_PORT`. `ingress` says whose hint to use. */
  lookup(lo: number, hi: number, ingress: number): number {
    const table = this.table;
    let slot = this.targetHint[ingress]!;
    if (table[slot] !== lo || table[slot + KEY] !== hi) {
      slot = this.slotOf(lo, hi);
      if (slot < 0) return NO_PORT;
      this.targetHint[ingress] = slot;
    }
    return this.isDead(slot) ? NO_PORT : table[slot + TAIL]! & PORT_MASK;
  }

  /** When `expire` is due; `NEVER` if nothing can age. */
  deadlineUs(): number {
    return this.count === this.statics ? NEVER : this.sweepUs;
  }

  /** Reclaims a part of the silent entries; a whole round takes half an age. Calling it early does nothing. */
  expire(nowUs: number): void {
    if (nowUs < this.deadlineUs()) return;
    this.tick(nowUs);
    this.sweep(SWEEP_SLOTS);
    this.scheduleSweep();
  }

  /** Changes the age of all entries at once; whole µs, above 0. */
  setAge(ageUs: number): void {
    if (!(ageUs > 0)) throw new UsageError(`an age of ${ageUs} µs is out of range: above 0`);
    this.ageUs = ageUs;
    this.scheduleSweep();
  }

  /** At most `macsMax` stations may be learned on `port`; those that are there stay. */
  setMacLimit(port: number, macsMax: number): void {
    this.macsMax[port] = Math.min(macsMax, this.entriesMax);
  }

  /** Entries of one port, silent ones that were not swept yet included. */
  macsOf(port: number): number {
    return this.macs[port]!;
  }

  /** Forgets what was learned, on one port or on all. Static entries stay. */
  flush(port = NO_PORT): void {
    if (port !== NO_PORT) this.flushLast(port);
    let left = port === NO_PORT ? this.count : this.macs[port]!;
    for (let slot = 0; slot <= this.mask && left > 0; slot += WORDS) {
      while (this.table[slot + KEY] !== 0) {
        const tail = this.table[slot + TAIL]!;
        if ((tail & STATIC) !== 0 || (port !== NO_PORT && (tail & PORT_MASK) !== port)) break;
        this.removeAt(slot);
        left--;
      }
    }
  }

  /** Nails a station to a port: it neither ages nor moves. False if there is no room. */
  addStatic(mac: number, vid: number, port: number): boolean {
    if (!isStation(mac)) throw new UsageError(`MAC ${mac.toString(16)} is not one station's: six bytes, not a group`);
    if (!(vid >= 0 && vid <= VID_TOP)) throw new UsageError(`VLAN ${vid} is out of range: 0 to ${VID_TOP}`);
    if (!(port >= 0 && port < this.macs.length)) {
      throw new UsageError(`port ${port} is out of range: 0 to ${this.macs.length - 1}`);
    }
    const lo = lowOf(mac);
    const hi = keyOf(highOf(mac), vid);
    const old = this.slotOf(lo, hi);
    if (old >= 0) this.removeAt(old);
    const slot = this.place(lo, hi, port, STATIC);
    if (slot < 0) return false;
    this.statics++;
    return true;
  }

  /** Removes an entry, static or learned. False if there was none. */
  remove(mac: number, vid: number): boolean {
    const slot = this.slotOf(lowOf(mac), keyOf(highOf(mac), vid));
    if (slot >= 0) this.removeAt(slot);
    return slot >= 0;
  }

  /** The entry of one station, if it is alive. */
  find(mac: number, vid: number, nowUs: number): FdbEntry | undefined {
    this.tick(nowUs);
    const slot = this.slotOf(lowOf(mac), keyOf(highOf(mac), vid));
    return slot < 0 || this.isDead(slot) ? undefined : this.entryAt(slot);
  }

  /** All living entries, in no order. The table must not change while they are read. */
  *entries(nowUs: number): Generator<FdbEntry> {
    this.tick(nowUs);
    for (let slot = 0; slot <= this.mask; slot += WORDS) {
      if (this.table[slot + KEY] !== 0 && !this.isDead(slot)) yield this.entryAt(slot);
    }
  }

  /** Forgets the station that `port` heard last: mostly the only one, and then the table need not be walked. */
  private flushLast(port: number): void {
    const slot = this.sourceHint[port]!;
    const isHere = this.table[slot + KEY] !== 0 && (this.table[slot + TAIL]! & MINE_MASK) === port;
    if (isHere) this.removeAt(slot);
  }

  private homeOf(lo: number, hi: number): number {
    let h = Math.imul(lo ^ this.hashSeed, 0x9e3779b1) ^ Math.imul(hi, 0x85ebca6b);
    h = Math.imul(h ^ (h >>> 15), 0x2c1b3c6d);
    return ((h ^ (h >>> 13)) << WORDS_LOG2) & this.mask;
  }

  private slotOf(lo: number, hi: number): number {
    const table = this.table;
    let slot = this.homeOf(lo, hi);
    for (let probe = 0; probe < PROBES_MAX; probe++) {
      const key = table[slot + KEY]!;
      if (key === hi && table[slot] === lo) return slot;
      if (key === 0) return -1;
      slot = (slot + WORDS) & this.mask;
    }
    return -1;
  }

  private ageOf(slot: number): number {
    const ageUs = this.clockUs - timeOf(this.table[slot + TAIL]!, this.table[slot + SEEN]!);
    return ageUs < 0 ? ageUs + CLOCK_WRAP_US : ageUs;
  }

  private isDead(slot: number): boolean {
    return this.ageOf(slot) >= this.ageUs && (this.table[slot + TAIL]! & STATIC) === 0;
  }

  private learnNew(lo: number, hi: number, port: number): void {
    const slot = this.macs[port]! < this.macsMax[port]! ? this.place(lo, hi, port, 0) : -1;
    if (slot >= 0) {
      this.sourceHint[port] = slot;
      return;
    }
    this.tableFull++;
    this.sweep(SWEEP_SLOTS_FULL);
  }

  /** Writes an entry that is not there yet into a free slot, or over one that is dead. Its slot, or -1. */
  private place(lo: number, hi: number, port: number, flags: number): number {
    const table = this.table;
    let slot = this.homeOf(lo, hi);
    for (let probe = 0; probe < PROBES_MAX; probe++) {
      if (table[slot + KEY] === 0) {
        if (this.count >= this.entriesMax) return -1;
        if (this.count++ === this.statics) this.scheduleSweep();
        break;
      }
      if (this.isDead(slot)) {
        this.macs[table[slot + TAIL]! & PORT_MASK]!--;
        break;
      }
      slot = (slot + WORDS) & this.mask;
      if (probe === PROBES_MAX - 1) return -1;
    }
    table[slot] = lo;
    table[slot + KEY] = hi;
    table[slot + SEEN] = this.nowLow;
    table[slot + TAIL] = this.nowHigh | flags | port;
    this.guard.reset(slot >> WORDS_LOG2);
    this.macs[port]!++;
    return slot;
  }

  /** The station of `slot` was heard on another port than the entry says. */
  private move(slot: number, port: number): void {
    const tail = this.table[slot + TAIL]!;
    const wasDead = this.isDead(slot);
    if ((tail & STATIC) !== 0) {
      if ((tail & PORT_MASK) !== port) this.movesRefused++;
      return;
    }
    if (this.macs[port]! >= this.macsMax[port]!) {
      this.tableFull++;
      return;
    }
    if (wasDead) this.guard.reset(slot >> WORDS_LOG2);
    else if (this.guard.mayMove(slot >> WORDS_LOG2, this.nowUs)) this.moves++;
    else {
      this.movesRefused++;
      return;
    }
    this.macs[tail & PORT_MASK]!--;
    this.macs[port]!++;
    this.table[slot + SEEN] = this.nowLow;
    this.table[slot + TAIL] = this.nowHigh | port;
  }

  /** Empties `slot` and closes the gap, so that every probe still ends at the first empty slot (Knuth 6.4, algorithm R). */
  private removeAt(slot: number): void {
    const table = this.table;
    const tail = table[slot + TAIL]!;
    this.macs[tail & PORT_MASK]!--;
    this.count--;
    if ((tail & STATIC) !== 0) this.statics--;
    let hole = slot;
    let next = (slot + WORDS) & this.mask;
    while (table[next + KEY] !== 0) {
      const home = this.homeOf(table[next]!, table[next + KEY]!);
      if (((next - home) & this.mask) >= ((next - hole) & this.mask)) {
        this.copy(next, hole);
        hole = next;
      }
      next = (next + WORDS) & this.mask;
    }
    table.fill(0, hole, hole + WORDS);
  }

  private copy(from: number, to: number): void {
    this.table.copyWithin(to, from, from + WORDS);
    this.guard.copy(from >> WORDS_LOG2, to >> WORDS_LOG2);
  }

  private sweep(slots: number): void {
    for (let n = Math.min(slots, (this.mask + 1) / WORDS); n > 0; n--) {
      while (this.table[this.sweepAt + KEY] !== 0 && this.isDead(this.sweepAt)) this.removeAt(this.sweepAt);
      this.sweepAt = (this.sweepAt + WORDS) & this.mask;
    }
  }

  private scheduleSweep(): void {
    const steps = Math.ceil((this.mask + 1) / WORDS / SWEEP_SLOTS);
    this.sweepUs = Math.max(0, this.nowUs) + Math.max(1, Math.ceil(this.ageUs / 2 / steps));
  }

  private entryAt(slot: number): FdbEntry {
    const tail = this.table[slot + TAIL]!;
    const key = this.table[slot + KEY]!;
    const isStatic = (tail & STATIC) !== 0;
    return {
      mac: macOf(this.table[slot]!, key),
      vid: vidOf(key),
      port: tail & PORT_MASK,
      ageUs: isStatic ? 0 : this.ageOf(slot),
      isStatic,
    };
  }
}

const timeOf = (tail: number, low: number): number => (tail >>> 16) * HIGH + (low >>> 0);
