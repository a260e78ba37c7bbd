// One sender and one receiver at full rate, generator polling: the price of a frame.

import { compare, cpuPerFrame, framesPerSecond, lossPercent } from './kit/compare.ts';
import type { Benchmark } from './kit/options.ts';

/** Frames a second and CPU time a frame at full rate. */
export const saturate: Benchmark = {
  name: 'saturate',
  about: 'one pair of ports at full rate, 64 and 1514 bytes',
  run: (options) =>
    compare(
      [64, 1514].map((frameBytes) => ({ name: `${frameBytes} B`, job: { load: 'saturate', frameBytes } })),
      [framesPerSecond, cpuPerFrame, lossPercent],
      options,
    ),
};
