// The entry of the benchmarks: `npm run bench` lists them, `npm run bench -- NAME` runs one and prints its table.

import { existsSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { flood } from './flood.ts';
import { gateway, gatewayCrowd, gatewayRequests, gatewayRtt, gatewayUdp } from './gateway.ts';
import { idle } from './idle.ts';
import { machineLine } from './kit/machine.ts';
import {
  type Benchmark,
  type Options,
  ROUNDS_DEFAULT,
  ROUNDS_MAX,
  SECONDS_DEFAULT,
  SECONDS_MAX,
} from './kit/options.ts';
import { built } from './kit/switches.ts';
import { macs } from './macs.ts';
import { overload } from './overload.ts';
import { paced } from './paced.ts';
import { ping } from './ping.ts';
import { ports } from './ports.ts';
import { runIperf } from './run-iperf.ts';
import { saturate } from './saturate.ts';
import { slowPort } from './slow-port.ts';
import { stackConnections } from './stack-connections.ts';
import { stackKernel } from './stack-kernel.ts';
import { stackPair } from './stack-pair.ts';
import { stackRtt } from './stack-rtt.ts';
import { startup } from './startup.ts';
import { stream } from './stream.ts';

const BENCHMARKS: readonly Benchmark[] = [
  saturate,
  overload,
  ping,
  paced,
  ports,
  flood,
  macs,
  stream,
  slowPort,
  startup,
  idle,
  runIperf,
  stackPair,
  stackKernel,
  stackConnections,
  stackRtt,
  gateway,
  gatewayRequests,
  gatewayUdp,
  gatewayRtt,
  gatewayCrowd,
];

const USAGE = 'npm run bench -- NAME [--rounds N] [--seconds S] [--ours LINE] [--theirs LINE]';

class UsageError extends Error {}

function parse(args: readonly string[]): { benchmark: Benchmark | undefined; options: Options } {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      rounds: { type: 'string' },
      seconds: { type: 'string' },
      ours: { type: 'string' },
      theirs: { type: 'string' },
    },
  });
  const rounds = Number(values.rounds ?? ROUNDS_DEFAULT);
  const seconds = Number(values.seconds ?? SECONDS_DEFAULT);
  if (!Number.isInteger(rounds) || rounds < 1 || rounds > ROUNDS_MAX) {
    throw new UsageError(`--rounds ${values.rounds}: a whole number from 1 to ${ROUNDS_MAX}`);
  }
  if (!(seconds >= 0.1 && seconds <= SECONDS_MAX)) {
    throw new UsageError(`--seconds ${values.seconds}: from 0.1 to ${SECONDS_MAX}`);
  }
  const [name, extra] = positionals;
  if (extra !== undefined) throw new UsageError(`one benchmark at a time, also got ${extra}`);
  const benchmark = BENCHMARKS.find((one) => one.name === name);
  if (name !== undefined && !benchmark) throw new UsageError(`no benchmark ${name}: \`npm run bench\` lists them`);
  return { benchmark, options: { rounds, seconds, oursLine: values.ours, theirsLine: values.theirs } };
}

async function main(args: readonly string[]): Promise<void> {
  const { benchmark, options } = parse(args);
  if (!benchmark) {
    console.log(`${USAGE}\n`);
    for (const { name, about } of BENCHMARKS) console.log(`  ${name.padEnd(17)} ${about}`);
    return;
  }
  if (options.oursLine === undefined && !existsSync(built('weft.js'))) {
    throw new UsageError('dist/weft.js is not there: run `npm run build` first, or name another switch with --ours');
  }
  console.log(
    `\`npm run bench -- ${args.join(' ')}\`: ${benchmark.about}\n\n${machineLine()}, ${options.rounds} rounds\n`,
  );
  await benchmark.run(options);
}

try {
  await main(process.argv.slice(2));
  process.exit(0);
} catch (error) {
  const isUsage =
    error instanceof UsageError || (error as { code?: string }).code?.startsWith('ERR_PARSE_ARGS') === true;
  console.error(`bench: ${(error as Error).message}`);
  process.exit(isUsage ? 2 : 1);
}
