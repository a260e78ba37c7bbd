// A port that stops reading: others should not feel it. The traffic to it is the same in both rows.

import { compare, cpuPerFrame, p50, p99 } from './kit/compare.ts';
import type { Benchmark } from './kit/options.ts';

/** Round trip times beside a port that reads, and one that does not. */
export const slowPort: Benchmark = {
  name: 'slow-port',
  about: 'a pair pings while a third port sends to a fourth that reads, or has stopped reading',
  run: (options) =>
    compare(
      [
        { name: 'nobody else', job: { load: 'ping', ports: 4 } },
        { name: 'the fourth port reads', job: { load: 'ping', ports: 4, bystander: 'reads' } },
        { name: 'the fourth port has stopped', job: { load: 'ping', ports: 4, bystander: 'stopped' } },
      ],
      [p50, p99, cpuPerFrame],
      options,
    ),
};
