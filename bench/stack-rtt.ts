// A request of 64 bytes and its answer on an open connection: two stacks in process, and a stack with the kernel.

import type { Benchmark } from './kit/options.ts';
import { type Row, rounds } from './kit/rounds.ts';
import { apartSide, stackSide } from './kit/stack-process.ts';

/** Request-response latency. The ratio is theirs / ours: above 1 we answer sooner. */
export const stackRtt: Benchmark = {
  name: 'stack-rtt',
  about: 'request and answer of 64 bytes: two stacks in process, stack to kernel; against node:net on loopback',
  run: async (options) => {
    const rows: Row[] = [];
    for (const isIp6 of [true, false]) {
      for (const [value, name] of [
        ['p50Us', 'p50'],
        ['p99Us', 'p99'],
      ] as const) {
        const family = `IPv${isIp6 ? 6 : 4}`;
        rows.push({
          name: `in process, ${family}, ${name}`,
          ours: stackSide('two stacks', { load: 'request', isIp6 }, value, 1),
          theirs: stackSide('node:net, one process', { load: 'kernel-request', isIp6 }, value, 1),
        });
        rows.push({
          name: `with the kernel, ${family}, ${name}`,
          ours: apartSide('a stack', { load: 'request-kernel', isIp6, takesOffload: true }, value, 1),
          theirs: stackSide('node:net, two processes', { load: 'kernel-request', isIp6, isApart: true }, value, 1),
        });
      }
    }
    await rounds(rows, { ...options, unit: 'µs', isLess: true });
  },
};
