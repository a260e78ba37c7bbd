// TCP between two programs that were not written for this: iperf3 under weft run, under vdens, and over the kernel's bridge.
// Nothing is pinned, and CPU time is the whole machine's: the kernel's bridge has no process to ask.

import type { ChildProcess } from 'node:child_process';
import { HOSTS, kernelHosts, type TwoHosts, vdensHosts, weftHosts } from './kit/hosts.ts';
import { busySeconds } from './kit/machine.ts';
import { type Benchmark, type Options, oursOf, theirsOf } from './kit/options.ts';
import { finish, start, stop } from './kit/processes.ts';
import { pairedRatio, spread } from './kit/statistics.ts';
import { ratioText, short, table } from './kit/table.ts';

const SECONDS = 2; // iperf3 counts whole seconds
const SECONDS_MAX = 8;

interface Sample {
  readonly gbits: number;
  /** CPU seconds of the machine for each 10^9 bytes. */
  readonly cpuPerGb: number;
}

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
    const row = ([way, theirs]: [Way, Sample[]]): string[] => [
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
async function measure(ways: readonly Way[], rounds: number): Promise<Map<Way, Sample[]>> {
  const open = new Map<Way, TwoHosts>();
  const samples = new Map<Way, Sample[]>();
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

async function iperf(hosts: TwoHosts): Promise<Sample> {
  const options = { withChildren: true };
  const server = start(hosts.on(0, ['iperf3', '-s', '-1', '-B', HOSTS[0], '--forceflush']), options);
  try {
    await Promise.race([heard(server.stdout!, 'listening'), finish(server, 'the iperf3 server', SECONDS_MAX)]);
    const before = busySeconds();
    const client = start(hosts.on(1, ['iperf3', '-c', HOSTS[0], '-t', `${SECONDS}`, '-J']), options);
    const report = await reportOf(client);
    const { bytes, bits_per_second } = report.end.sum_received;
    return { gbits: bits_per_second / 1e9, cpuPerGb: (busySeconds() - before) / (bytes / 1e9) };
  } finally {
    await stop(server);
  }
}

/**
 * What a client reports. It is taken as soon as it is whole: `vdens` does not always end when its program has.
 */
async function reportOf(client: ChildProcess): Promise<Report> {
  try {
    const ended = finish(client, 'the iperf3 client', SECONDS_MAX);
    const text = await Promise.race([heard(client.stdout!, '\n}\n'), ended]);
    return JSON.parse(text) as Report;
  } finally {
    await stop(client);
  }
}

interface Report {
  readonly end: { readonly sum_received: { readonly bytes: number; readonly bits_per_second: number } };
}

/** What a program has printed when `word` was in it. */
function heard(stream: NodeJS.ReadableStream, word: string): Promise<string> {
  let text = '';
  return new Promise((resolve) => {
    stream.on('data', (data: Buffer) => {
      text += data;
      if (text.includes(word)) resolve(text);
    });
  });
}

function cells(ours: readonly Sample[], theirs: readonly Sample[], of: (sample: Sample) => number): string[] {
  const [a, b] = [ours.map(of), theirs.map(of)];
  return [short(spread(a).median), short(spread(b).median), ratioText(pairedRatio({ ours: a, theirs: b }))];
}
