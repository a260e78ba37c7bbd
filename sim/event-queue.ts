// What will happen, in the order of its time; what happens at one time, in the order in which it was asked for.

import { assert } from '../core/assert.ts';
import { NEVER } from '../core/time.ts';

/** Who an event is for. The argument says which of its events it is. */
export interface Actor {
  fire(argument: number, nowUs: number): void;
}

/** A binary heap over (time, insertion number): the same insertions always come out in the same order. */
export class EventQueue {
  private times: Float64Array;
  private numbers: Float64Array;
  private args: Float64Array;
  private readonly actors: (Actor | undefined)[] = [];
  private readonly eventsMax: number;
  private inserted = 0;
  private size = 0;

  constructor({ eventsMax }: { eventsMax: number }) {
    const room = Math.min(eventsMax, 256);
    this.eventsMax = eventsMax;
    this.times = new Float64Array(room);
    this.numbers = new Float64Array(room);
    this.args = new Float64Array(room);
  }

  /** Events that wait. */
  get count(): number {
    return this.size;
  }

  /** When the next one happens, or `NEVER`. */
  get nextUs(): number {
    return this.size === 0 ? NEVER : this.times[0]!;
  }

  /** Adds an event at a whole µs. More than `eventsMax` is a bug of the scenario. */
  add(timeUs: number, actor: Actor, argument: number): void {
    assert(Number.isSafeInteger(timeUs), `an event at ${timeUs} µs`);
    assert(this.size < this.eventsMax, `more than ${this.eventsMax} events wait`);
    if (this.size === this.times.length) this.grow();
    const hole = this.rise(this.size++, timeUs);
    this.put(hole, timeUs, this.inserted++, argument, actor);
  }

  /** Makes the next event happen; there is one. */
  fire(nowUs: number): void {
    assert(this.size > 0, 'an event waits');
    const actor = this.actors[0]!;
    const argument = this.args[0]!;
    const last = --this.size;
    const moved = this.actors[last];
    this.actors[last] = undefined;
    if (last > 0) this.sink(this.times[last]!, this.numbers[last]!, this.args[last]!, moved!);
    actor.fire(argument, nowUs);
  }

  /** Where an event of `timeUs` belongs when it rises from `from`: never above an equal one, which was there first. */
  private rise(from: number, timeUs: number): number {
    let hole = from;
    while (hole > 0) {
      const parent = (hole - 1) >>> 1;
      if (this.times[parent]! <= timeUs) break;
      this.move(parent, hole);
      hole = parent;
    }
    return hole;
  }

  private sink(timeUs: number, number: number, argument: number, actor: Actor): void {
    let hole = 0;
    for (;;) {
      let child = 2 * hole + 1;
      if (child >= this.size) break;
      if (child + 1 < this.size && this.isBefore(child + 1, this.times[child]!, this.numbers[child]!)) child++;
      if (!this.isBefore(child, timeUs, number)) break;
      this.move(child, hole);
      hole = child;
    }
    this.put(hole, timeUs, number, argument, actor);
  }

  private isBefore(slot: number, timeUs: number, number: number): boolean {
    const time = this.times[slot]!;
    return time < timeUs || (time === timeUs && this.numbers[slot]! < number);
  }

  private move(from: number, to: number): void {
    this.put(to, this.times[from]!, this.numbers[from]!, this.args[from]!, this.actors[from]!);
  }

  private put(slot: number, timeUs: number, number: number, argument: number, actor: Actor): void {
    this.times[slot] = timeUs;
    this.numbers[slot] = number;
    this.args[slot] = argument;
    this.actors[slot] = actor;
  }

  private grow(): void {
    const room = Math.min(this.eventsMax, 2 * this.times.length);
    const wider = (column: Float64Array): Float64Array => {
      const next = new Float64Array(room);
      next.set(column);
      return next;
    };
    this.times = wider(this.times);
    this.numbers = wider(this.numbers);
    this.args = wider(this.args);
  }
}
