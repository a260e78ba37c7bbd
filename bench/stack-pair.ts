// Two of our stacks in one process on a switch of ours, against two kernel stacks: through vde_switch, and over a veth pair.
// Nothing is pinned: theirs are several processes and the kernel, ours is one thread.

import { type TwoHosts, vdensHosts, vethHosts } from './kit/hosts.ts';
import { iperf } from './kit/iperf.ts';
import { type Benchmark, type Options, theirsOf } from './kit/options.ts';
import { rounds, type Side } from './kit/rounds.ts';
import { stackSide } from './kit/stack-process.ts';

const MTU_BYTES = 1500;
const JUMBO_BYTES = 9000;

/** TCP goodput of two stacks in one process. */
export const stackPair: Benchmark = {
  name: 'stack-pair',
  about: 'TCP between two of our stacks in process, against kernels over vde_switch and over veth',
  run: async (options) => {
    await rounds(
      [
        { name: 'frames of 1500, IPv6', ours: ours(options, MTU_BYTES, false, true), theirs: vde(options, true) },
        { name: 'frames of 1500, IPv4', ours: ours(options, MTU_BYTES, false, false), theirs: vde(options, false) },
        { name: 'super-frames, IPv6', ours: ours(options, MTU_BYTES, true, true), theirs: veth(MTU_BYTES, true) },
        { name: 'super-frames, IPv4', ours: ours(options, MTU_BYTES, true, false), theirs: veth(MTU_BYTES, false) },
        {
          name: 'frames of 9000, IPv6',
          ours: ours(options, JUMBO_BYTES, false, true),
          theirs: veth(JUMBO_BYTES, true),
        },
        {
          name: 'frames of 9000, IPv4',
          ours: ours(options, JUMBO_BYTES, false, false),
          theirs: veth(JUMBO_BYTES, false),
        },
      ],
      { unit: 'Gbit/s', ...options },
    );
  },
};

function ours(options: Options, mtuBytes: number, takesOffload: boolean, isIp6: boolean): Side {
  const { seconds } = options;
  const job = { load: 'transfer', mtuBytes, takesOffload, isIp6, seconds, warmSeconds: 1 } as const;
  return stackSide('two stacks', job, 'bitsPerSecond', 1e-9);
}

const vde = (options: Options, isIp6: boolean): Side =>
  between('vdens, vde_switch', () => vdensHosts(theirsOf(options)), isIp6);

const veth = (mtuBytes: number, isIp6: boolean): Side => between('veth', () => vethHosts(mtuBytes), isIp6);

function between(name: string, open: () => Promise<TwoHosts>, isIp6: boolean): Side {
  let hosts: TwoHosts | undefined;
  return {
    name,
    sample: async () => {
      hosts ??= await open();
      return (await iperf(hosts, isIp6)).gbits;
    },
    close: async () => hosts?.close(),
  };
}
