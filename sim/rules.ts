// What shall happen to frames on their way, said by functions that are installed and removed: partitions, exact losses.

import type { Rng } from '../core/rng.ts';
import type { Hop } from './sim-port.ts';
import { Purpose, streamOf } from './stream.ts';

/** The rule has nothing to say; the next one is asked. */
export const PASS = -1;
/** The frame is lost. */
export const DROP = -2;

/** The frame arrives `us` later than it would, without holding up others. Whole µs, 0 or more. */
export const delayBy = (us: number): Verdict => us;
/** A second copy arrives `us` after the first. Whole µs, 0 or more. */
export const duplicateAfter = (us: number): Verdict => -3 - us;

/** `PASS`, `DROP`, `delayBy(us)` or `duplicateAfter(us)`. */
export type Verdict = number;

/** Judges a frame. `rng` is the rule's own stream; the bytes are not to be changed. */
export type Rule = (hop: Hop, rng: Rng, nowUs: number) => Verdict;

/** The microseconds of a verdict of `duplicateAfter`, or -1 of another. */
export const twinUsOf = (verdict: Verdict): number => (verdict <= -3 ? -3 - verdict : -1);

/** The rules of a world in the order of their installation. */
export class Rules {
  private readonly seed: number;
  private installed: { readonly rule: Rule; readonly rng: Rng }[] = [];
  private made = 0;

  constructor(seed: number) {
    this.seed = seed;
  }

  /** Installs a rule behind the others. The function that it returns removes it. */
  add(rule: Rule): () => void {
    const entry = { rule, rng: streamOf(this.seed, this.made++, Purpose.Rule) };
    this.installed = [...this.installed, entry];
    return () => {
      this.installed = this.installed.filter((other) => other !== entry);
    };
  }

  /** What the first rule says that says something; `PASS` if none does. */
  judge(hop: Hop, nowUs: number): Verdict {
    for (const { rule, rng } of this.installed) {
      const verdict = rule(hop, rng, nowUs);
      if (verdict !== PASS) return verdict;
    }
    return PASS;
  }
}

/** Loses frames with probability `p`. */
export const lossy =
  (p: number): Rule =>
  (_hop, rng) =>
    rng.chance(p) ? DROP : PASS;

/** Parts the network: a frame between nodes of different sets is lost. Nodes in no set are not concerned. */
export function split(sets: readonly (readonly string[])[]): Rule {
  const setOf = new Map(sets.flatMap((names, set) => names.map((name) => [name, set] as const)));
  return ({ ends: [a, b] }) => {
    const [one, other] = [setOf.get(a), setOf.get(b)];
    return one !== undefined && other !== undefined && one !== other ? DROP : PASS;
  };
}

/** Loses those frames, counted from 0, that this rule is asked about; put a matcher around it. */
export function dropNth(numbers: readonly number[]): Rule {
  const wanted = new Set(numbers);
  let asked = 0;
  return () => (wanted.has(asked++) ? DROP : PASS);
}

/** Lets `rule` judge from `fromUs` until before `toUs`. */
export const between =
  (fromUs: number, toUs: number, rule: Rule): Rule =>
  (hop, rng, nowUs) =>
    nowUs >= fromUs && nowUs < toUs ? rule(hop, rng, nowUs) : PASS;

/** Lets `rule` judge the frames for which `matches` is true. */
export const matching =
  (matches: (hop: Hop) => boolean, rule: Rule): Rule =>
  (hop, rng, nowUs) =>
    matches(hop) ? rule(hop, rng, nowUs) : PASS;

/** Lets `rule` judge what the node called `name` sends. */
export const sentBy = (name: string, rule: Rule): Rule => matching((hop) => hop.ends[hop.from] === name, rule);

/** Lets `rule` judge what goes over the link called `name`. */
export const onLink = (name: string, rule: Rule): Rule => matching((hop) => hop.name === name, rule);

/** Loses everything that it judges. */
export const drop: Rule = () => DROP;
