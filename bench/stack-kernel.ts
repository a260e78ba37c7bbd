// Our stack and the kernel's on a TAP with offloads, against what libslirp carries between a kernel and a server.
// Both ends of iperf3's protocol are the kernel's with libslirp; with ours, one is a client in bench/load.

import type { Benchmark } from './kit/options.ts';
import { type Row, rounds, type Side } from './kit/rounds.ts';
import { slirp } from './kit/slirp.ts';
import { apartSide } from './kit/stack-process.ts';

const MTU_BYTES = 1500;
const SECONDS = 2; // as iperf3's of the other side

/** TCP goodput between our stack and the kernel's. */
export const stackKernel: Benchmark = {
  name: 'stack-kernel',
  about: 'TCP by iperf3 between our stack and the kernel on a TAP, against libslirp',
  run: async (options) => {
    const rows: Row[] = [];
    for (const isIp6 of [true, false]) {
      for (const isReverse of [false, true]) {
        const name = `${isReverse ? 'kernel sends' : 'kernel receives'}, IPv${isIp6 ? 6 : 4}`;
        // The kernel's program is the client with libslirp and the server with us: who sends is what counts.
        rows.push({ name, ours: ours(isIp6, isReverse), theirs: slirp(isIp6, !isReverse) });
      }
    }
    await rounds(rows, { ...options, unit: 'Gbit/s' });
  },
};

function ours(isIp6: boolean, isReverse: boolean): Side {
  const job = { load: 'iperf', mtuBytes: MTU_BYTES, takesOffload: true, isIp6, isReverse, seconds: SECONDS } as const;
  return apartSide('our stack', job, 'bitsPerSecond', 1e-9);
}
