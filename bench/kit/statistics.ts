// Medians and paired ratios: the machine's speed wanders, so only numbers of one round are divided by each other.

/** A median with its extremes. */
export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** The median and extremes of `values`; NaN when there are none. */
export function spread(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const median = sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
  return {
    median: sorted.length ? median : Number.NaN,
    min: sorted[0] ?? Number.NaN,
    max: sorted.at(-1) ?? Number.NaN,
  };
}

/** `ours[i] / theirs[i]` over the rounds. */
export function pairedRatio({ ours, theirs }: { ours: readonly number[]; theirs: readonly number[] }): Spread {
  return spread(ours.map((value, round) => value / theirs[round]!));
}

/** The value below which `share` (0 to 1) of `sorted` lies; 0 when it is empty. */
export function quantile(sorted: Float64Array, share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}
