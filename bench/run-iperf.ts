// placeholder
import type { Benchmark } from './kit/options.ts';
export const runIperf: Benchmark = { name: 'run-iperf', about: 'x', run: async () => {} };
