// What a bad medium does to a frame: loss, one wrong bit, a second copy, a detour. Each draws from a stream of its own.

import { UsageError } from '../core/assert.ts';
import type { Rng } from '../core/rng.ts';
import { Purpose, streamOf } from './stream.ts';

/** Two states with a loss probability each; a frame first may change the state. Gilbert 1960, Elliott 1963. */
export interface GilbertElliott {
  /** Probability to go from good to bad, and back, before each frame. */
  readonly toBad: number;
  readonly toGood: number;
  /** Loss in the good state, 0 if not given, and in the bad one, 1 if not given. */
  readonly lossGood?: number;
  readonly lossBad?: number;
}

/** Probabilities are 0 … 1, times whole µs. */
export interface Impairments {
  /** Independent loss with a probability, or in bursts. */
  readonly loss?: number | GilbertElliott;
  /** A second copy arrives right behind the first. */
  readonly duplicate?: number;
  /** One bit, any, is inverted. */
  readonly corrupt?: number;
  /** A frame takes `delayUs` longer, and others pass it. */
  readonly reorder?: { readonly probability: number; readonly delayUs: number };
  /** Every frame takes 0 … `jitterUs` longer, evenly spread; frames keep their order. */
  readonly jitterUs?: number;
}

/** Throws `UsageError` unless every probability is one. */
export function checkImpairments({ loss, duplicate, corrupt, reorder, jitterUs = 0 }: Impairments): void {
  const bursts = typeof loss === 'object' ? loss : { toBad: loss ?? 0, toGood: 0 };
  const all = { duplicate, corrupt, reorder: reorder?.probability, ...bursts };
  for (const [name, p] of Object.entries(all)) {
    if (p !== undefined && !(p >= 0 && p <= 1)) throw new UsageError(`${name}: ${p} is no probability, 0 … 1`);
  }
  for (const us of [jitterUs, reorder?.delayUs ?? 0]) {
    if (!Number.isSafeInteger(us) || us < 0) throw new UsageError(`${us} is no time in whole µs`);
  }
}

/** The medium of one direction. Every question is asked once a frame, in the order of their departure. */
export class Medium {
  private readonly options: Impairments;
  private isBad = false;
  private readonly lossRng: Rng;
  private readonly stateRng: Rng;
  private readonly duplicateRng: Rng;
  private readonly corruptRng: Rng;
  private readonly bitRng: Rng;
  private readonly reorderRng: Rng;
  private readonly jitterRng: Rng;

  constructor(options: Impairments, { seed, subject }: { seed: number; subject: number }) {
    checkImpairments(options);
    this.options = options;
    this.lossRng = streamOf(seed, subject, Purpose.Loss);
    this.stateRng = streamOf(seed, subject, Purpose.LossState);
    this.duplicateRng = streamOf(seed, subject, Purpose.Duplicate);
    this.corruptRng = streamOf(seed, subject, Purpose.Corrupt);
    this.bitRng = streamOf(seed, subject, Purpose.CorruptBit);
    this.reorderRng = streamOf(seed, subject, Purpose.Reorder);
    this.jitterRng = streamOf(seed, subject, Purpose.Jitter);
  }

  loses(): boolean {
    const { loss } = this.options;
    if (loss === undefined) return false;
    if (typeof loss === 'number') return this.lossRng.chance(loss);
    const turns = this.stateRng.chance(this.isBad ? loss.toGood : loss.toBad);
    if (turns) this.isBad = !this.isBad;
    return this.lossRng.chance(this.isBad ? (loss.lossBad ?? 1) : (loss.lossGood ?? 0));
  }

  duplicates(): boolean {
    return this.options.duplicate !== undefined && this.duplicateRng.chance(this.options.duplicate);
  }

  /** The bit of a frame of `bits` that is inverted, or -1. */
  corruptedBit(bits: number): number {
    const { corrupt } = this.options;
    return corrupt !== undefined && this.corruptRng.chance(corrupt) ? this.bitRng.below(bits) : -1;
  }

  /** How long the frame's detour is, or -1 if it takes none. */
  detourUs(): number {
    const { reorder } = this.options;
    return reorder !== undefined && this.reorderRng.chance(reorder.probability) ? reorder.delayUs : -1;
  }

  jitterUs(): number {
    const { jitterUs = 0 } = this.options;
    return jitterUs === 0 ? 0 : this.jitterRng.below(jitterUs + 1);
  }
}
