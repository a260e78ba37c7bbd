// What a benchmark is called with, and what it is.

import { other, type SwitchUnderTest, vdeSwitch, weft } from './switches.ts';

/** How long and how often to measure, and what stands in for the two switches. */
export interface Options {
  readonly rounds: number;
  readonly seconds: number;
  /** A command line instead of weft's or `vde_switch`'s. */
  readonly oursLine: string | undefined;
  readonly theirsLine: string | undefined;
}

/** One benchmark: a name for the command line, one sentence, and what it does. */
export interface Benchmark {
  readonly name: string;
  readonly about: string;
  run(options: Options): Promise<void>;
}

/** Bounds and defaults of the command line. */
export const ROUNDS_DEFAULT = 5;
export const ROUNDS_MAX = 50;
export const SECONDS_DEFAULT = 0.7;
export const SECONDS_MAX = 2; // a load never runs longer in one go

/** Our side of a comparison. */
export function oursOf({ oursLine }: Options, env: NodeJS.ProcessEnv = {}): SwitchUnderTest {
  return oursLine === undefined ? weft(env) : other(oursLine, env);
}

/** Their side of a comparison. */
export function theirsOf({ theirsLine }: Options, ...more: string[]): SwitchUnderTest {
  return theirsLine === undefined ? vdeSwitch(...more) : other(theirsLine);
}
