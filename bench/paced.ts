// An even stream below saturation: here the price of a wake-up rules.

import { compare, cpuPerFrame, framesPerSecond, lossPercent } from './kit/compare.ts';
import type { Benchmark } from './kit/options.ts';

/** CPU time of a frame at rates below saturation. */
export const paced: Benchmark = {
  name: 'paced',
  about: 'evenly spaced frames, 20 and 100 thousand a second',
  run: (options) =>
    compare(
      [20, 100].map((kpps) => ({ name: `${kpps} k/s`, job: { load: 'paced', kpps } })),
      [cpuPerFrame, framesPerSecond, lossPercent],
      options,
    ),
};
