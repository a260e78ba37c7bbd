// Rows of two sides each, measured in turns: A B B A. A side is anything that gives a number when asked.

import { pairedRatio, spread } from './statistics.ts';
import { ratioText, short, table } from './table.ts';

/** One side of a row. */
export interface Side {
  readonly name: string;
  sample(): Promise<number>;
  close?(): Promise<void>;
}

/** A row: what both do. Without `theirs` there is only a number. */
export interface Row {
  readonly name: string;
  readonly ours: Side;
  readonly theirs?: Side;
}

/** How often, and what the numbers are. */
export interface RoundOptions {
  readonly rounds: number;
  readonly unit: string;
  /** Smaller is better: the ratio is theirs / ours then, so that above 1 is ours in either case. */
  readonly isLess?: boolean;
}

/** Runs all rows, prints one table. A side that cannot be had is left out, with its reason. */
export async function rounds(rows: readonly Row[], options: RoundOptions): Promise<void> {
  const lines: string[][] = [];
  const notes = new Set<string>();
  for (const row of rows) lines.push(await runRow(row, options, notes));
  const { unit } = options;
  console.log(table(['case', `${unit} ours`, 'theirs', 'ratio', 'theirs is'], lines));
  for (const note of notes) console.log(`\n${note}`);
}

async function runRow({ name, ours, theirs }: Row, options: RoundOptions, notes: Set<string>): Promise<string[]> {
  const a: number[] = [];
  const b: number[] = [];
  try {
    const peer = theirs && (await isThere(theirs, notes)) ? theirs : undefined;
    for (let round = 0; round < options.rounds; round++) {
      if (peer && round % 2 === 1) b.push(await peer.sample());
      a.push(await ours.sample());
      if (peer && round % 2 === 0) b.push(await peer.sample());
    }
    const ratio = pairedRatio(options.isLess ? { ours: b, theirs: a } : { ours: a, theirs: b });
    const [mine, their] = [spread(a).median, spread(b).median];
    return [name, short(mine), short(their), peer ? ratioText(ratio) : '-', peer?.name ?? '-'];
  } catch (error) {
    notes.add(`${name}: ${(error as Error).message}`);
    return [name, '-', '-', '-', theirs?.name ?? '-'];
  } finally {
    await theirs?.close?.();
    await ours.close?.();
  }
}

/** A first sample that does not count: warm, and proof that it works. */
async function isThere(side: Side, notes: Set<string>): Promise<boolean> {
  try {
    await side.sample();
    return true;
  } catch (error) {
    notes.add(`${side.name} is left out: ${(error as Error).message}`);
    return false;
  }
}
