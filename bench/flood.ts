// Broadcasts: one frame in, a copy out of every other port.

import { compare, cpuPerFrame, framesPerSecond, lossPercent } from './kit/compare.ts';
import type { Benchmark } from './kit/options.ts';

/** Copies of broadcasts, to few and to many ports. */
export const flood: Benchmark = {
  name: 'flood',
  about: 'broadcasts to 8 and to 32 ports; copies are counted',
  run: (options) =>
    compare(
      [8, 32].map((receivers) => ({
        name: `to ${receivers} ports`,
        job: { load: 'saturate', pattern: 'flood', ports: receivers + 1 },
      })),
      [framesPerSecond, cpuPerFrame, lossPercent],
      options,
    ),
};
