// Somebody who tries again: after a failure a little later, after a good connection at once.

import { randomInt } from 'node:crypto';
import { Rng } from '../core/rng.ts';
import { US_PER_MS, US_PER_S } from '../core/time.ts';
import { Backoff } from './backoff.ts';
import type { PlugHost } from './host.ts';

const GOOD_US = US_PER_S; // a connection that lived this long was none of the failures that the back-off is for

/** A seed that differs from run to run. */
export const freshRng = (): Rng => new Rng(randomInt(2 ** 47));

/** Calls `attempt` at `start` and, after each `lost`, again. */
export class Redial {
  private readonly host: PlugHost;
  private readonly attempt: () => void;
  private readonly backoff = new Backoff({ rng: freshRng() });
  private timer: NodeJS.Timeout | undefined;
  private upSinceUs = Number.POSITIVE_INFINITY;
  private isClosed = false;

  constructor(host: PlugHost, attempt: () => void) {
    this.host = host;
    this.attempt = attempt;
  }

  /** The first attempt, at once. */
  start(): void {
    this.attempt();
  }

  /** The attempt succeeded. */
  up(): void {
    this.upSinceUs = this.host.nowUs();
  }

  /** The attempt failed, or what it had reached is gone. */
  lost(): void {
    if (this.isClosed || this.timer) return;
    if (this.host.nowUs() - this.upSinceUs >= GOOD_US) this.backoff.reset();
    this.upSinceUs = Number.POSITIVE_INFINITY;
    this.timer = setTimeout(() => {
      this.timer = undefined;
      this.attempt();
    }, this.backoff.nextUs() / US_PER_MS);
  }

  close(): void {
    this.isClosed = true;
    clearTimeout(this.timer);
  }
}
