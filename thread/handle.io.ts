// What the handles of listeners and datagram sockets have in common with all of Node's: they keep the process alive, or not.

import type { Place } from './place.io.ts';

/** Holds the process while `mustHold` says so and the program has not called `unref`. */
export abstract class Handle {
  protected readonly place: Place;
  private isReferenced = true;
  private isHolding = false;

  constructor(place: Place) {
    this.place = place;
  }

  /** True while something may come of it. */
  protected abstract get mustHold(): boolean;

  ref(): void {
    this.isReferenced = true;
    this.weigh();
  }

  unref(): void {
    this.isReferenced = false;
    this.weigh();
  }

  hasRef(): boolean {
    return this.isReferenced;
  }

  /** To be called when `mustHold` may have changed. */
  protected weigh(): void {
    const mustHold = this.isReferenced && this.mustHold;
    if (mustHold === this.isHolding) return;
    this.isHolding = mustHold;
    if (mustHold) this.place.alive.hold();
    else this.place.alive.release();
  }
}
