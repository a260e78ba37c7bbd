// Many connected ports, few of them busy: a switch should pay for the frames, not for the ports.

import { compare, cpuPerFrame, framesPerSecond, lossPercent, p50, p99 } from './kit/compare.ts';
import type { Benchmark } from './kit/options.ts';

const PORTS = 64;

/** A busy pair among 64 ports, and all to all. */
export const ports: Benchmark = {
  name: 'ports',
  about: '64 connected ports with one busy pair; 4 ports all to all',
  run: async (options) => {
    await compare(
      [
        { name: `${PORTS} ports, one pair, full rate`, job: { load: 'saturate', ports: PORTS } },
        { name: `${PORTS} ports, one pair, 100 k/s`, job: { load: 'paced', ports: PORTS } },
        { name: '4 ports, all to all', job: { load: 'saturate', ports: 4, pattern: 'mesh' } },
      ],
      [framesPerSecond, cpuPerFrame, lossPercent],
      options,
    );
    console.log('');
    const idle = [{ name: `${PORTS} ports, one pair pings`, job: { load: 'ping' as const, ports: PORTS } }];
    await compare(idle, [p50, p99, cpuPerFrame], options);
  },
};
