// How long a command takes to answer, against the runtime that carries it; and a switch until it accepts a connection.

import { GENERATOR_CPU } from './kit/machine.ts';
import { type Benchmark, oursOf, theirsOf } from './kit/options.ts';
import { finish, start } from './kit/processes.ts';
import { pairedRatio, spread } from './kit/statistics.ts';
import { built, startSwitch } from './kit/switches.ts';
import { ratioText, short, table } from './kit/table.ts';

const RUNS_MIN = 15;
const SECONDS_MAX = 10;

/** Wall time of a command, and of a switch until it is ready. */
export const startup: Benchmark = {
  name: 'startup',
  about: '`weft --version` against `node -e 0`; a switch until it is ready',
  run: async (options) => {
    const runs = Math.max(RUNS_MIN, options.rounds);
    const version = () => wallMs([process.execPath, built('weft.js'), '--version']);
    const empty = () => wallMs([process.execPath, '-e', '0']);
    const rows = [
      await row('`weft --version`, `node -e 0`', runs, version, empty),
      await row(
        'switch ready',
        options.rounds,
        () => readyMs(oursOf(options)),
        () => readyMs(theirsOf(options)),
      ),
    ];
    console.log(table(['case', 'runs', 'ours ms', 'theirs ms', 'ratio'], rows));
  },
};

async function row(
  name: string,
  runs: number,
  ours: () => Promise<number>,
  theirs: () => Promise<number>,
): Promise<string[]> {
  const times = { ours: [] as number[], theirs: [] as number[] };
  for (let run = 0; run < runs; run++) {
    if (run % 2 === 0) times.ours.push(await ours());
    times.theirs.push(await theirs());
    if (run % 2 === 1) times.ours.push(await ours());
  }
  return [
    name,
    `${runs}`,
    short(spread(times.ours).median),
    short(spread(times.theirs).median),
    ratioText(pairedRatio(times)),
  ];
}

async function wallMs(command: readonly string[]): Promise<number> {
  const from = performance.now();
  await finish(start(command, { cpu: GENERATOR_CPU }), command.join(' '), SECONDS_MAX);
  return performance.now() - from;
}

async function readyMs(kind: ReturnType<typeof oursOf>): Promise<number> {
  const from = performance.now();
  const running = await startSwitch(kind, 4);
  const took = performance.now() - from;
  await running.stop();
  return took;
}
