// Many timers, set and cancelled far more often than they fire: a hierarchical wheel with deadlines exact to the µs.
//
// Nine levels of 64 slots: each level is one base-64 digit of the time. A timer lies at the level of the highest digit in
// which its deadline differs from the wheel's time, in the slot of that digit; so whatever lies lower is due earlier.
// When the wheel's time enters a slot, its timers move down; at level 0 a slot is one µs. Setting and cancelling are O(1).

import { assert } from './assert.ts';
import { NEVER } from './time.ts';

/** What `expire` returns when nothing is due. */
export const NO_TIMER = -1;

const LEVELS = 9;
const SLOTS = 64;
const DIGIT_BITS = 6;
const LOW_LEVELS = 5; // a time is 30 low bits and 24 high bits, since bit operations take 32
const LOW = 2 ** (LOW_LEVELS * DIGIT_BITS);
const UNITS = Array.from({ length: LEVELS }, (_, level) => 2 ** (level * DIGIT_BITS)); // µs of a slot
const IDLE = -1;
const END = -1;

/** Up to `timersMax` timers with the ids 0 … `timersMax` - 1, which the owner gives out. */
export class TimerWheel {
  private nowUs = 0; // the wheel's time: nothing that was due before it is still set, but late comers
  private readonly deadlines: Float64Array;
  private readonly slotOf: Int16Array; // level * SLOTS + slot, or IDLE
  private readonly next: Int32Array; // doubly linked lists, first set first
  private readonly previous: Int32Array;
  private readonly first = new Int32Array(LEVELS * SLOTS).fill(END);
  private readonly last = new Int32Array(LEVELS * SLOTS).fill(END);
  private readonly occupied = new Int32Array(LEVELS * 2); // a bit for each slot
  private earliestUs = NEVER;
  private earliestIsKnown = true;
  private active = 0;

  constructor({ timersMax }: { timersMax: number }) {
    assert(timersMax > 0 && timersMax < 2 ** 31, `${timersMax} timers`);
    this.deadlines = new Float64Array(timersMax).fill(NEVER);
    this.slotOf = new Int16Array(timersMax).fill(IDLE);
    this.next = new Int32Array(timersMax);
    this.previous = new Int32Array(timersMax);
  }

  /** Timers that are set. */
  get count(): number {
    return this.active;
  }

  /** Sets or moves a timer. A deadline in the past is due at once; `NEVER` cancels. Whole µs below 2^53. */
  set(id: number, deadlineUs: number): void {
    this.cancel(id);
    if (deadlineUs === NEVER) return;
    assert(deadlineUs < 2 ** 53, 'a deadline in whole µs below 2^53');
    this.deadlines[id] = deadlineUs;
    this.place(id);
    this.active++;
    if (this.earliestIsKnown && deadlineUs < this.earliestUs) this.earliestUs = deadlineUs;
  }

  /** Unsets a timer; one that is not set stays so. */
  cancel(id: number): void {
    assert(id >= 0 && id < this.slotOf.length, 'a timer id below timersMax');
    if (this.slotOf[id] === IDLE) return;
    this.unlink(id);
    if (this.deadlines[id] === this.earliestUs) this.earliestIsKnown = false;
    this.deadlines[id] = NEVER;
    this.active--;
  }

  /** When the timer fires, or `NEVER`. */
  deadlineOf(id: number): number {
    return this.deadlines[id]!;
  }

  /** The ids of all set timers in the order in which they will fire; set again in this order they make the same wheel. */
  ids(): number[] {
    const ids: number[] = [];
    for (const start of this.first) for (let id = start; id !== END; id = this.next[id]!) ids.push(id);
    return ids.sort((a, b) => this.dueUs(a) - this.dueUs(b)); // a stable sort: equal ones lie in one list, first set first
  }

  /** The earliest deadline of all, exactly; `NEVER` if none is set. */
  deadlineUs(): number {
    if (!this.earliestIsKnown) {
      this.earliestUs = this.findEarliest();
      this.earliestIsKnown = true;
    }
    return this.earliestUs;
  }

  /**
   * Unsets one timer that is due at `nowUs` and returns its id, or `NO_TIMER`. Called until then, it gives the timers in
   * the order of their deadlines; equal ones in the order in which they were set. Calling it early is harmless.
   */
  expire(nowUs: number): number {
    for (;;) {
      const slot = this.earliestSlot();
      if (slot === IDLE) break;
      const level = (slot / SLOTS) | 0;
      if (level === 0) {
        const id = this.first[slot]!;
        if (this.deadlines[id]! > nowUs) return NO_TIMER;
        this.nowUs = Math.max(this.nowUs, this.deadlines[id]!);
        this.cancel(id);
        return id;
      }
      const startUs = this.startOf(level, slot % SLOTS);
      if (startUs > nowUs) break;
      this.nowUs = startUs;
      this.moveDown(slot);
    }
    if (nowUs > this.nowUs) this.nowUs = nowUs;
    return NO_TIMER;
  }

  private dueUs(id: number): number {
    return Math.max(this.deadlines[id]!, this.nowUs);
  }

  /** Puts a timer where its deadline belongs as seen from the wheel's time. */
  private place(id: number): void {
    const atUs = this.dueUs(id);
    const high = Math.floor(atUs / LOW);
    const low = atUs - high * LOW;
    const nowHigh = Math.floor(this.nowUs / LOW);
    const highDiffers = high ^ nowHigh;
    const differs = highDiffers !== 0 ? highDiffers : low ^ (this.nowUs - nowHigh * LOW);
    const digit = differs === 0 ? 0 : ((31 - Math.clz32(differs)) / DIGIT_BITS) | 0;
    const bits = highDiffers !== 0 ? high : low;
    const level = highDiffers !== 0 ? LOW_LEVELS + digit : digit;
    this.link(id, level * SLOTS + ((bits >>> (digit * DIGIT_BITS)) & (SLOTS - 1)));
  }

  private link(id: number, slot: number): void {
    const last = this.last[slot]!;
    this.slotOf[id] = slot;
    this.previous[id] = last;
    this.next[id] = END;
    this.last[slot] = id;
    if (last !== END) this.next[last] = id;
    else {
      this.first[slot] = id;
      this.occupied[slot >>> 5]! |= 1 << (slot & 31);
    }
  }

  private unlink(id: number): void {
    const slot = this.slotOf[id]!;
    const before = this.previous[id]!;
    const after = this.next[id]!;
    if (before !== END) this.next[before] = after;
    else this.first[slot] = after;
    if (after !== END) this.previous[after] = before;
    else this.last[slot] = before;
    if (this.first[slot] === END) this.occupied[slot >>> 5]! &= ~(1 << (slot & 31));
    this.slotOf[id] = IDLE;
  }

  /** The first slot that holds a timer: all others are later. */
  private earliestSlot(): number {
    for (let word = 0; word < this.occupied.length; word++) {
      const bits = this.occupied[word]!;
      if (bits !== 0) return word * 32 + 31 - Math.clz32(bits & -bits);
    }
    return IDLE;
  }

  /** When the wheel enters a slot: its time with this digit set and all lower ones zero. */
  private startOf(level: number, digit: number): number {
    const unit = UNITS[level]!;
    const block = unit * SLOTS;
    return Math.floor(this.nowUs / block) * block + digit * unit;
  }

  /** Places the timers of a slot anew, in their order, now that the wheel's time has entered it. */
  private moveDown(slot: number): void {
    let id = this.first[slot]!;
    this.first[slot] = END;
    this.last[slot] = END;
    this.occupied[slot >>> 5]! &= ~(1 << (slot & 31));
    while (id !== END) {
      const after = this.next[id]!;
      this.place(id);
      id = after;
    }
  }

  private findEarliest(): number {
    const slot = this.earliestSlot();
    let earliestUs = NEVER;
    if (slot === IDLE) return earliestUs;
    for (let id = this.first[slot]!; id !== END; id = this.next[id]!) {
      if (this.deadlines[id]! < earliestUs) earliestUs = this.deadlines[id]!;
    }
    return earliestUs;
  }
}
