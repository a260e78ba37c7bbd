// Retransmission of DHCPv6 messages: RFC 8415 §15 with the numbers of §7.6.

import { NEVER, US_PER_S } from '../../core/time.ts';
import type { Random } from '../random.ts';

/** §7.6, in seconds; `count` and `duration` 0: no bound. */
export interface Schedule {
  readonly first: number;
  readonly max: number;
  readonly count: number;
  readonly duration: number;
}

const schedule = (first: number, max: number, count = 0, duration = 0): Schedule => ({ first, max, count, duration });

/** By the message that is sent. The last numbers of Renew and Rebind are the lease's. */
export const SCHEDULES = {
  solicit: schedule(1, 3600),
  request: schedule(1, 30, 10),
  confirm: schedule(1, 4, 0, 10),
  renew: schedule(10, 600),
  rebind: schedule(10, 600),
  inform: schedule(1, 3600),
  release: schedule(1, 0, 4),
  decline: schedule(1, 0, 4),
} as const;

const RAND_STEPS = 1000; // RAND is a whole number of these in a tenth

/**
 * The time until the next transmission, in µs, after `previousUs`, 0 for the first. `isAfter`: the first is never below its
 * base, which only Solicit wants (§18.2.1).
 */
export function nextWait(random: Random, by: Schedule, maxS: number, previousUs: number, isAfter: boolean): number {
  const spread = (baseUs: number, min: number): number =>
    Math.floor((baseUs * random.between(min, RAND_STEPS)) / (10 * RAND_STEPS));
  if (previousUs === 0) {
    const baseUs = by.first * US_PER_S;
    return baseUs + spread(baseUs, isAfter ? 1 : -RAND_STEPS);
  }
  const doubled = 2 * previousUs + spread(previousUs, -RAND_STEPS);
  const maxUs = maxS === 0 ? NEVER : maxS * US_PER_S;
  return doubled > maxUs ? maxUs + spread(maxUs, -RAND_STEPS) : doubled;
}
