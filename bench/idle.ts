// A switch with nothing to do: memory, wake-ups and CPU time. Both idle at the same time.

import { cpuNs, residentMib, voluntarySwitches } from './kit/machine.ts';
import { type Benchmark, oursOf, theirsOf } from './kit/options.ts';
import { pause } from './kit/processes.ts';
import { pairedRatio, spread } from './kit/statistics.ts';
import { type RunningSwitch, startSwitch } from './kit/switches.ts';
import { ratioText, short, table } from './kit/table.ts';

const ROUNDS = 3;
const ROUND_SECONDS = 5;
const SETTLE_MS = 1000;

interface Sample {
  readonly mib: number;
  readonly wakeups: number;
  readonly cpuMs: number;
}

/** Memory, wake-ups and CPU time of both switches while nothing happens. */
export const idle: Benchmark = {
  name: 'idle',
  about: 'memory and wake-ups of a switch with nothing to do',
  run: async (options) => {
    const running: RunningSwitch[] = [];
    try {
      for (const kind of [oursOf(options), theirsOf(options)]) running.push(await startSwitch(kind, 32));
      await pause(SETTLE_MS);
      const rounds: Sample[][] = [];
      for (let round = 0; round < ROUNDS; round++) rounds.push(await watch(running.map(({ pid }) => pid)));
      const row = (name: string, of: (sample: Sample) => number): string[] => {
        const [ours, theirs] = [0, 1].map((side) => rounds.map((samples) => of(samples[side]!))) as [
          number[],
          number[],
        ];
        return [
          name,
          short(spread(ours).median),
          short(spread(theirs).median),
          ratioText(pairedRatio({ ours, theirs })),
        ];
      };
      const rows = [
        row('resident memory, MiB', ({ mib }) => mib),
        row('voluntary context switches/s', ({ wakeups }) => wakeups),
        row('CPU ms/s', ({ cpuMs }) => cpuMs),
      ];
      console.log(table([`${ROUNDS} x ${ROUND_SECONDS} s`, 'ours', 'theirs', 'ratio'], rows));
    } finally {
      for (const one of running) await one.stop();
    }
  },
};

async function watch(pids: readonly number[]): Promise<Sample[]> {
  const before = pids.map((pid) => ({ wakeups: voluntarySwitches(pid), ns: cpuNs(pid) }));
  await pause(ROUND_SECONDS * 1000);
  return pids.map((pid, i) => ({
    mib: residentMib(pid),
    wakeups: (voluntarySwitches(pid) - before[i]!.wakeups) / ROUND_SECONDS,
    cpuMs: (cpuNs(pid) - before[i]!.ns) / 1e6 / ROUND_SECONDS,
  }));
}
