// Two switches side by side: paired rounds in the order A B B A, samples repeated when somebody else used the machine.

import { JOB_DEFAULTS, type Job, type Result } from './job.ts';
import { GENERATOR_CPU } from './machine.ts';
import { type Options, oursOf, theirsOf } from './options.ts';
import { finish, start } from './processes.ts';
import { pairedRatio, spread } from './statistics.ts';
import { built, type RunningSwitch, type SwitchUnderTest, startSwitch } from './switches.ts';
import { ratioText, short, table } from './table.ts';

const OTHER_CORES_MAX = 0.12; // a sample with more of other people's work is repeated
const RETRIES_MAX = 3;
const RETRY_UNTIL_MS = 60_000; // since the process began: on a busy machine a benchmark must still end
const NOISE_NOTE = `*N: N samples in which others used more than ${OTHER_CORES_MAX} core, also when tried again.`;
const GENERATOR_SECONDS_MAX = 20;
const SPARE_PORTS = 4; // a switch is asked for a few ports more than the load needs

/** A number taken from a sample. `isRatio` false: two values are printed but not divided (they may be 0). */
export interface Metric {
  readonly title: string;
  readonly isRatio: boolean;
  of(result: Result): number;
}

/** What one row measures. What the two sides do is the same unless `ours` or `theirs` say otherwise. */
export interface Case {
  readonly name: string;
  readonly job: Partial<Job>;
  readonly oursJob?: Partial<Job>;
  readonly ours?: SwitchUnderTest;
  readonly theirs?: SwitchUnderTest;
}

/** Delivered frames a second. */
export const framesPerSecond: Metric = { title: 'frames/s', isRatio: true, of: (r) => r.delivered / r.seconds };
/** CPU time of the switch for each delivered frame, µs. */
export const cpuPerFrame: Metric = { title: 'CPU µs/frame', isRatio: true, of: (r) => r.switchNs / 1000 / r.delivered };
/** Frames sent but not delivered, in hundredths. */
export const lossPercent: Metric = {
  title: 'loss %',
  isRatio: false,
  of: (r) => Math.max(0, 100 * (1 - r.delivered / r.sent)),
};
/** The median round trip, µs. */
export const p50: Metric = { title: 'RTT p50 µs', isRatio: true, of: (r) => r.p50Us };
/** The round trip that one ping in a hundred exceeds, µs. */
export const p99: Metric = { title: 'RTT p99 µs', isRatio: true, of: (r) => r.p99Us };

/** Runs all cases and prints one table. A case that fails is a row without numbers and a line that says why. */
export async function compare(cases: readonly Case[], metrics: readonly Metric[], options: Options): Promise<void> {
  const rows: string[][] = [];
  const notes: string[] = [];
  for (const item of cases) {
    try {
      const { ours, theirs, noisy } = await runCase(item, options);
      const values = metrics.flatMap((metric) => cells(metric, ours, theirs));
      rows.push([noisy > 0 ? `${item.name} *${noisy}` : item.name, ...values]);
    } catch (error) {
      rows.push([`${item.name} (failed)`]);
      notes.push(`${item.name}: ${(error as Error).message}`);
    }
  }
  if (notes.length === cases.length) throw new Error(`nothing could be measured. ${notes[0]}`);
  const titles = metrics.flatMap(({ title, isRatio }) => [`${title} ours`, 'theirs', ...(isRatio ? ['ratio'] : [])]);
  console.log(table(['case', ...titles], rows));
  if (rows.some(([name]) => name?.includes(' *'))) notes.push(NOISE_NOTE);
  if (notes.length > 0) console.log(`\n${notes.join('\n')}`);
}

function cells({ of, isRatio }: Metric, oursResults: readonly Result[], theirsResults: readonly Result[]): string[] {
  const ours = oursResults.map(of);
  const theirs = theirsResults.map(of);
  const both = [short(spread(ours).median), short(spread(theirs).median)];
  return isRatio ? [...both, ratioText(pairedRatio({ ours, theirs }))] : both;
}

interface Measured {
  readonly ours: Result[];
  readonly theirs: Result[];
  /** Samples that stayed disturbed. */
  readonly noisy: number;
}

async function runCase(item: Case, options: Options): Promise<Measured> {
  const ports = (item.job.ports ?? JOB_DEFAULTS.ports) + SPARE_PORTS;
  const running: RunningSwitch[] = [];
  try {
    for (const kind of [item.ours ?? oursOf(options), item.theirs ?? theirsOf(options)]) {
      running.push(await startSwitch(kind, ports));
    }
    const [a, b] = running as [RunningSwitch, RunningSwitch];
    const jobs = { a: { ...item.job, ...item.oursJob }, b: item.job };
    const measured: Measured = { ours: [], theirs: [], noisy: 0 };
    let noisy = 0;
    const sampleOf = async (target: RunningSwitch, job: Partial<Job>, into: Result[]): Promise<void> => {
      const { result, isNoisy } = await sample(target, { seconds: options.seconds, ...job });
      into.push(result);
      if (isNoisy) noisy++;
    };
    for (let round = 0; round < options.rounds; round++) {
      progress(`${item.name}: round ${round + 1} of ${options.rounds}`);
      if (round % 2 === 0) await sampleOf(a, jobs.a, measured.ours);
      await sampleOf(b, jobs.b, measured.theirs);
      if (round % 2 === 1) await sampleOf(a, jobs.a, measured.ours);
    }
    return { ...measured, noisy };
  } finally {
    progress('');
    for (const one of running) await one.stop();
  }
}

/** One line on a terminal that the next one replaces; nothing into a file. */
function progress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
}

/** One sample; again when it was disturbed. */
async function sample(target: RunningSwitch, job: Partial<Job>): Promise<{ result: Result; isNoisy: boolean }> {
  let best: Result | undefined;
  for (let attempt = 0; attempt <= RETRIES_MAX; attempt++) {
    const result = await generate({ ...JOB_DEFAULTS, ...job, dir: target.dir, pids: [target.pid] });
    if (!best || result.otherCores < best.otherCores) best = result;
    if (best.otherCores <= OTHER_CORES_MAX || performance.now() > RETRY_UNTIL_MS) break;
  }
  return { result: best!, isNoisy: best!.otherCores > OTHER_CORES_MAX };
}

async function generate(job: Job): Promise<Result> {
  const generator = [process.execPath, built('bench-generator.js'), JSON.stringify(job)];
  const child = start(generator, { cpu: GENERATOR_CPU, env: { WEFT_NO_NATIVE: '' } });
  return JSON.parse(await finish(child, 'the load generator', GENERATOR_SECONDS_MAX)) as Result;
}
