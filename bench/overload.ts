// More than the receiver can take: what a switch loses, and what it still delivers.

import { compare, cpuPerFrame, framesPerSecond, lossPercent } from './kit/compare.ts';
import type { Benchmark } from './kit/options.ts';

/** Delivered and lost frames when the receiver is often late. */
export const overload: Benchmark = {
  name: 'overload',
  about: 'blocking sender and receiver on one core: delivered and lost',
  run: (options) =>
    compare(
      [64, 1514].map((frameBytes) => ({ name: `${frameBytes} B`, job: { load: 'overload', frameBytes } })),
      [framesPerSecond, lossPercent, cpuPerFrame],
      options,
    ),
};
