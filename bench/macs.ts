// Few and very many stations: the price of the address table. Strays are frames at ports that they were not for.

import { compare, cpuPerFrame, framesPerSecond, type Metric } from './kit/compare.ts';
import { type Benchmark, theirsOf } from './kit/options.ts';

const PORTS = 5;
const MANY = 100_000;
const BUCKETS = 65_536; // vde_switch's table at a size that suits so many

const strays: Metric = { title: 'strays %', isRatio: false, of: (r) => (100 * r.strays) / r.sent };

/** Frames between learned stations, few and 100,000. */
export const macs: Benchmark = {
  name: 'macs',
  about: '10 and 100,000 learned stations on 5 ports, one busy pair',
  run: (options) => {
    const job = { load: 'saturate' as const, ports: PORTS, seconds: Math.min(options.seconds, 0.5) };
    const tuned = options.theirsLine === undefined ? { theirs: theirsOf(options, '--hashsize', `${BUCKETS}`) } : {};
    return compare(
      [
        { name: '10 stations', job: { ...job, stations: 10 } },
        { name: '100,000 stations', job: { ...job, stations: MANY } },
        { name: `100,000 stations, theirs --hashsize ${BUCKETS}`, job: { ...job, stations: MANY }, ...tuned },
      ],
      [framesPerSecond, cpuPerFrame, strays],
      options,
    );
  },
};
