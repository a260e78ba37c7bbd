// Rounds over several gateways: each case is tried by all of them in turn, back and forth, and ours is divided by each other.

import { GatewayWorld } from './gateway-world.ts';
import {
  type GatewayKind,
  libslirp,
  MTUS,
  type Mtu,
  pasta,
  type RunningGateway,
  slirp4netns,
  weftGateway,
} from './gateways.ts';
import type { Options } from './options.ts';
import { pairedRatio, spread } from './statistics.ts';
import { ratioText, short, table } from './table.ts';

/** What one sample measured, by the metric's title. */
export type Sample = Readonly<Record<string, number>>;

/** A column group. `isRatio` false: the two values are printed but not divided, since they may be 0. */
export interface GatewayMetric {
  readonly title: string;
  readonly isRatio?: boolean;
}

/** One thing to do in a guest. */
export interface GatewayCase {
  readonly name: string;
  /** Which gateways are asked; all MTUs if not given. */
  readonly mtu?: Mtu;
  /** What others are asked is in `theirs`, if it differs. */
  sample(gateway: RunningGateway, world: GatewayWorld): Promise<Sample>;
  theirs?(gateway: RunningGateway, world: GatewayWorld): Promise<Sample>;
}

/** What is measured with which columns. */
export interface GatewayBench {
  readonly servers: readonly Parameters<GatewayWorld['serve']>[0][];
  readonly mtus?: readonly Mtu[];
  readonly cases: readonly GatewayCase[];
  readonly metrics: readonly GatewayMetric[];
}

interface Side {
  readonly kind: GatewayKind;
  readonly isOurs: boolean;
  readonly gateway: RunningGateway;
}

/** Runs all cases and prints one table. Who cannot be had, or fails, is left out with the reason. */
export async function gatewayRounds(
  { servers, mtus = MTUS, cases, metrics }: GatewayBench,
  options: Options,
): Promise<void> {
  const world = new GatewayWorld();
  const notes = new Set<string>();
  const rows: string[][] = [];
  try {
    for (const server of servers) await world.serve(server);
    for (const item of cases) {
      for (const mtu of mtus.filter((mtu) => item.mtu === undefined || item.mtu === mtu)) {
        // New gateways for each case: libslirp looks through the connections that it closed lately.
        const sides: Side[] = [];
        try {
          await openSides(sides, world, { mtu, options, notes });
          const samples = await runCase(item, { world, sides, options, notes });
          rows.push(...rowsOf(`${mtu}, ${item.name}`, samples, metrics));
        } finally {
          for (const { gateway } of sides) await gateway.close();
        }
      }
    }
  } finally {
    await world.close();
  }
  const titles = metrics.flatMap(({ title, isRatio = true }) => [
    `${title} ours`,
    'theirs',
    ...(isRatio ? ['ratio'] : []),
  ]);
  console.log(table(['MTU, case', 'theirs is', ...titles], rows));
  for (const note of notes) console.log(`\n${note}`);
}

interface Opening {
  readonly mtu: Mtu;
  readonly options: Options;
  readonly notes: Set<string>;
}

async function openSides(sides: Side[], world: GatewayWorld, { mtu, options, notes }: Opening): Promise<void> {
  const others = [...(mtu === libslirp.mtu ? [libslirp] : []), slirp4netns(mtu), pasta(mtu)];
  const ours = weftGateway(mtu, options.oursLine);
  sides.push({ kind: ours, isOurs: true, gateway: await ours.open(world) });
  for (const kind of others) {
    try {
      sides.push({ kind, isOurs: false, gateway: await kind.open(world) });
    } catch (error) {
      notes.add(`${kind.name} at ${mtu} is left out: ${(error as Error).message}`);
    }
  }
}

interface Setting {
  readonly world: GatewayWorld;
  readonly sides: readonly Side[];
  readonly options: Options;
  readonly notes: Set<string>;
}

async function runCase(item: GatewayCase, { world, sides, options, notes }: Setting): Promise<Map<Side, Sample[]>> {
  const samples = new Map<Side, Sample[]>();
  const take = async (side: Side): Promise<Sample> =>
    ((!side.isOurs && item.theirs) || item.sample).call(item, side.gateway, world);
  const failed = (side: Side, error: unknown): void => {
    samples.delete(side);
    notes.add(`${side.kind.name} at ${side.kind.mtu}, ${item.name}: ${(error as Error).message}`);
  };
  for (const side of sides) {
    try {
      await take(side); // warm, and proof that it works
      samples.set(side, []);
    } catch (error) {
      failed(side, error);
    }
  }
  for (let round = 0; round < options.rounds; round++) {
    const usable = [...samples.keys()];
    for (const side of round % 2 === 0 ? usable : usable.toReversed()) {
      try {
        samples.get(side)!.push(await take(side));
      } catch (error) {
        failed(side, error);
      }
    }
  }
  return samples;
}

function rowsOf(name: string, samples: Map<Side, Sample[]>, metrics: readonly GatewayMetric[]): string[][] {
  const [ours] = [...samples].find(([side]) => side.isOurs)?.slice(1) ?? [];
  const others = [...samples].filter(([side]) => !side.isOurs) as [Side, Sample[]][];
  if (others.length === 0)
    return [[name, '-', ...metrics.flatMap((metric) => cells(metric, ours as Sample[] | undefined, undefined))]];
  return others.map(([side, theirs], k) => [
    k === 0 ? name : '',
    side.kind.name,
    ...metrics.flatMap((metric) => cells(metric, ours as Sample[] | undefined, theirs)),
  ]);
}

function cells(
  { title, isRatio = true }: GatewayMetric,
  ours: readonly Sample[] | undefined,
  theirs: readonly Sample[] | undefined,
): string[] {
  const of = (samples: readonly Sample[] | undefined): number[] =>
    (samples ?? []).map((sample) => sample[title] ?? Number.NaN);
  const [a, b] = [of(ours), of(theirs)];
  const both = [short(spread(a).median), short(spread(b).median)];
  return isRatio ? [...both, ratioText(pairedRatio({ ours: a, theirs: b }))] : both;
}
