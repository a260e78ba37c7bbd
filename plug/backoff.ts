// How long to wait before the next attempt: doubling, bounded, and spread so that many clients do not come at once.

import type { Rng } from '../core/rng.ts';
import { US_PER_MS } from '../core/time.ts';

/** Waits of 50 ms to 1 s. */
export class Backoff {
  private readonly rng: Rng;
  private readonly usMin: number;
  private readonly usMax: number;
  private us: number;

  constructor({ rng, usMin = 50 * US_PER_MS, usMax = 1000 * US_PER_MS }: { rng: Rng; usMin?: number; usMax?: number }) {
    this.rng = rng;
    this.usMin = usMin;
    this.usMax = usMax;
    this.us = usMin;
  }

  /** The next wait in µs: half of it is certain, half is chance. */
  nextUs(): number {
    const us = this.us;
    this.us = Math.min(this.usMax, us * 2);
    return Math.floor(us / 2) + this.rng.below(Math.ceil(us / 2) + 1);
  }

  /** It worked: the next wait is short again. */
  reset(): void {
    this.us = this.usMin;
  }
}
