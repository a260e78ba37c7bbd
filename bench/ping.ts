// One frame there and back: what a program feels.

import { compare, cpuPerFrame, p50, p99 } from './kit/compare.ts';
import type { Benchmark } from './kit/options.ts';

/** Round trip times of single frames. */
export const ping: Benchmark = {
  name: 'ping',
  about: 'round trip of single frames, blocking ends in one thread and in two',
  run: (options) =>
    compare(
      [
        { name: '64 B, one thread', job: { load: 'ping' } },
        { name: '64 B, two threads', job: { load: 'ping', threads: 2 } },
        { name: '1514 B, one thread', job: { load: 'ping', frameBytes: 1514 } },
      ],
      [p50, p99, cpuPerFrame],
      options,
    ),
};
