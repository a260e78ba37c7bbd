// TCP between two programs that were not written for this: iperf3 under weft run, under vdens, and over the kernel's bridge.
// Nothing is pinned, and CPU time is the whole machine's: the kernel's bridge has no process to ask.

import { kernelHosts, type TwoHosts, vdensHosts, weftHosts } from './kit/hosts.ts';
import { type IperfSample, iperf } from './kit/iperf.ts';
import { type Benchmark, type Options, oursOf, theirsOf } from './kit/options.ts';
import { pairedRatio, spread } from './kit/statistics.ts';
import { ratioText, short, table } from './kit/table.ts';

interface Way {
  readonly name: string;
  open(): Promise<TwoHosts>;
}

/** TCP throughput by three ways of putting a program on a network. */
export const runIperf: Benchmark = {
  name: 'run-iperf',
  about: 'TCP by iperf3: weft run, vdens over vde_switch, the kernel bridge with veth',
  run: async (options) => {
    const samples = await measure(waysOf(options), options.rounds);
    const [ours, ...others] = [...samples];
    if (!ours) throw new Error('nothing could be measured');
    const row = ([way, theirs]: [Way, IperfSample[]]): string[] => [
      `${ours[0].name} / ${way.name}`,
      ...cells(ours[1], theirs, ({ gbits }) => gbits),
      ...cells(ours[1], theirs, ({ cpuPerGb }) => cpuPerGb),
    ];
    const head = ['case', 'Gbit/s ours', 'theirs', 'ratio', 'CPU s/GB ours', 'theirs', 'ratio'];
    console.log(table(head, others.map(row)));
  },
};

function waysOf(options: Options): Way[] {
  const isOther = options.oursLine !== undefined; // another switch has no `weft run`: vdens on both sides
  const ours = oursOf(options);
  return [
    { name: isOther ? `vdens over ${ours.name}` : 'weft run', open: () => (isOther ? vdensHosts : weftHosts)(ours) },
    { name: 'vdens over vde_switch', open: () => vdensHosts(theirsOf(options)) },
    { name: 'kernel bridge', open: kernelHosts },
  ];
}

/** Rounds over all ways, back and forth. A way that cannot be had here is left out, with the reason. */
async function measure(ways: readonly Way[], rounds: number): Promise<Map<Way, IperfSample[]>> {
  const open = new Map<Way, TwoHosts>();
  const samples = new Map<Way, IperfSample[]>();
  try {
    for (const way of ways) {
      try {
        const hosts = await way.open();
        open.set(way, hosts);
        await iperf(hosts); // warm, and proof that it works
        samples.set(way, []);
      } catch (error) {
        console.log(`${way.name} is left out: ${(error as Error).message}\n`);
        if (way === ways[0]) return samples;
      }
    }
    const usable = [...samples.keys()];
    for (let round = 0; round < rounds; round++) {
      for (const way of round % 2 === 0 ? usable : usable.toReversed()) {
        samples.get(way)!.push(await iperf(open.get(way)!));
      }
    }
    return samples;
  } finally {
    for (const hosts of open.values()) await hosts.close();
  }
}

function cells(
  ours: readonly IperfSample[],
  theirs: readonly IperfSample[],
  of: (sample: IperfSample) => number,
): string[] {
  const [a, b] = [ours.map(of), theirs.map(of)];
  return [short(spread(a).median), short(spread(b).median), ratioText(pairedRatio({ ours: a, theirs: b }))];
}
