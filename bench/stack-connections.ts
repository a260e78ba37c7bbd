// Many connections: what 10,000 idle ones cost, and how many a second are opened, used and closed, TIME-WAIT included.

import type { Benchmark } from './kit/options.ts';
import { rounds } from './kit/rounds.ts';
import { runStack, stackSide } from './kit/stack-process.ts';
import { short, table } from './kit/table.ts';

const CONNECTIONS = 10_000;
const IDLE_SECONDS = 2;
const CYCLE_SECONDS = 2;

/** Memory and work of idle connections; connect-request-close in process, against node:net over loopback. */
export const stackConnections: Benchmark = {
  name: 'stack-connections',
  about: '10,000 idle connections of a stack; connect, request, close, against node:net on loopback',
  run: async (options) => {
    const lines: string[][] = [];
    for (const isIp6 of [true, false]) {
      const idle = await runStack({ load: 'idle', isIp6, seconds: IDLE_SECONDS, count: CONNECTIONS });
      lines.push([
        `${CONNECTIONS} idle, IPv${isIp6 ? 6 : 4}`,
        short(idle.bytesPerConnection!),
        short(idle.heapBytesPerConnection!),
        short(idle.turnsPerSecond!),
        idle.nextDeadlineSeconds === undefined ? '-' : short(idle.nextDeadlineSeconds),
      ]);
    }
    console.log(table(['case', 'bytes/connection', 'of it heap', 'turns/s', 'next deadline s'], lines));
    console.log();
    const seconds = CYCLE_SECONDS;
    await rounds(
      [true, false].map((isIp6) => ({
        name: `connect, request, close, IPv${isIp6 ? 6 : 4}`,
        ours: stackSide('two stacks', { load: 'cycles', isIp6, seconds }, 'perSecond', 1),
        theirs: stackSide('node:net', { load: 'kernel-cycles', isIp6, seconds }, 'perSecond', 1),
      })),
      { ...options, unit: 'cycles/s' },
    );
  },
};
