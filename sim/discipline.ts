// Queues that drop or mark before they are full: RED, CoDel, and a threshold for ECN.

import { UsageError } from '../core/assert.ts';
import type { Rng } from '../core/rng.ts';

/** What a discipline says of a frame. `Mark` is CE where the packet allows it, else what the discipline's options say. */
export const Judgement = { Take: 0, Drop: 1, Mark: 2 } as const;
export type Judgement = (typeof Judgement)[keyof typeof Judgement];

/** Random early detection, Floyd and Jacobson 1993, on bytes. */
export interface RedOptions {
  readonly kind: 'red';
  /** Average queue below which nothing is dropped. */
  readonly bytesMin: number;
  /** Average queue from which everything is. */
  readonly bytesMax: number;
  /** Probability at `bytesMax`, 0 … 1. */
  readonly probabilityMax: number;
  /** Weight of a new value in the average, 0 … 1; 1/512 as in the paper. */
  readonly weight?: number;
  /** A typical frame, for the decay of the average while idle. */
  readonly frameBytes?: number;
  /** Mark ECN-capable packets instead of dropping them. */
  readonly ecn?: boolean;
}

/** Controlled delay, RFC 8289. */
export interface CodelOptions {
  readonly kind: 'codel';
  readonly targetUs?: number;
  readonly intervalUs?: number;
  /** A queue of this size or less is never too long. */
  readonly mtuBytes?: number;
  readonly ecn?: boolean;
}

/** Marks ECN-capable packets that find this much or more waiting; others pass. RFC 8257 §3.1. */
export interface ThresholdOptions {
  readonly kind: 'ecn-threshold';
  readonly bytes: number;
}

export type DisciplineOptions = RedOptions | CodelOptions | ThresholdOptions;

/** A queue as its discipline sees it, at one moment. */
export interface QueueView {
  readonly bytes: number;
  /** Since when it is empty and the transmitter idle; of meaning with 0 bytes. */
  readonly idleSinceUs: number;
}

/** Decides at the tail, when a frame comes, and at the head, when it would leave. */
export interface Discipline {
  /** A frame to be marked that cannot be is dropped instead. */
  readonly dropsUnmarked: boolean;
  arrive(queue: QueueView, nowUs: number): Judgement;
  depart(queue: QueueView, sojournUs: number, nowUs: number): Judgement;
}

/** The discipline of a queue that is served at `rateBps`. */
export function disciplineOf(options: DisciplineOptions, rateBps: number, rng: Rng): Discipline {
  if (options.kind === 'red') return new Red(options, rateBps, rng);
  if (options.kind === 'codel') return new Codel(options);
  const { bytes } = options;
  return {
    dropsUnmarked: false,
    arrive: (queue) => (queue.bytes >= bytes ? Judgement.Mark : Judgement.Take),
    depart: () => Judgement.Take,
  };
}

class Red implements Discipline {
  readonly dropsUnmarked = true;
  private readonly options: RedOptions;
  private readonly weight: number;
  private readonly usPerFrame: number;
  private readonly rng: Rng;
  private readonly verdict: Judgement;
  private average = 0;
  private since = -1; // frames taken since the last one that was not; -1 below the minimum

  constructor(options: RedOptions, rateBps: number, rng: Rng) {
    if (options.bytesMin >= options.bytesMax) throw new UsageError('red: bytesMin is below bytesMax');
    this.options = options;
    this.weight = options.weight ?? 1 / 512;
    this.usPerFrame = ((options.frameBytes ?? 1000) * 8e6) / rateBps;
    this.rng = rng;
    this.verdict = options.ecn === true ? Judgement.Mark : Judgement.Drop;
  }

  arrive(queue: QueueView, nowUs: number): Judgement {
    const { bytesMin, bytesMax, probabilityMax } = this.options;
    this.follow(queue, nowUs);
    if (this.average < bytesMin) {
      this.since = -1;
      return Judgement.Take;
    }
    if (this.average >= bytesMax) {
      this.since = 0;
      return this.verdict;
    }
    this.since++;
    const even = (probabilityMax * (this.average - bytesMin)) / (bytesMax - bytesMin);
    const left = 1 - this.since * even; // spreads the drops: the paper's p_a = p_b / (1 - count * p_b)
    if (left > 0 && !this.rng.chance(Math.min(1, even / left))) return Judgement.Take;
    this.since = 0;
    return this.verdict;
  }

  depart(): Judgement {
    return Judgement.Take;
  }

  private follow(queue: QueueView, nowUs: number): void {
    if (queue.bytes > 0 || this.usPerFrame === 0) {
      this.average += this.weight * (queue.bytes - this.average);
      return;
    }
    const frames = Math.floor(Math.max(0, nowUs - queue.idleSinceUs) / this.usPerFrame);
    this.average *= powerOf(1 - this.weight, Math.min(frames + 1, 2 ** 30));
  }
}

/** `base` to a whole power, by multiplication alone: the same on every platform. */
function powerOf(base: number, exponent: number): number {
  let result = 1;
  for (let square = base, rest = exponent; rest > 0; rest = Math.floor(rest / 2), square *= square) {
    if (rest % 2 === 1) result *= square;
  }
  return result;
}

/** RFC 8289 §5, a frame at a time: the lane asks about one head after the other until one is taken. */
class Codel implements Discipline {
  readonly dropsUnmarked = true;
  private readonly targetUs: number;
  private readonly intervalUs: number;
  private readonly mtuBytes: number;
  private readonly verdict: Judgement;
  private firstAboveUs = 0;
  private isDropping = false;
  private hasDropped = false; // the next drop's time is still to be computed
  private dropNextUs = 0;
  private drops = 0;
  private lastDrops = 0;

  constructor({ targetUs = 5_000, intervalUs = 100_000, mtuBytes = 1514, ecn = false }: CodelOptions) {
    this.targetUs = targetUs;
    this.intervalUs = intervalUs;
    this.mtuBytes = mtuBytes;
    this.verdict = ecn ? Judgement.Mark : Judgement.Drop;
  }

  arrive(): Judgement {
    return Judgement.Take;
  }

  depart(queue: QueueView, sojournUs: number, nowUs: number): Judgement {
    const isLate = this.isTooLate(queue, sojournUs, nowUs);
    if (this.isDropping) return this.goOn(isLate, nowUs);
    if (!isLate) return Judgement.Take;
    this.isDropping = true;
    // §5.5: where the last dropping state ended not long ago, go on near its rate.
    const delta = this.drops - this.lastDrops;
    this.drops = delta > 1 && nowUs - this.dropNextUs < 16 * this.intervalUs ? delta : 1;
    this.dropNextUs = this.afterUs(nowUs);
    this.lastDrops = this.drops;
    return this.verdict;
  }

  private goOn(isLate: boolean, nowUs: number): Judgement {
    if (this.hasDropped && isLate) this.dropNextUs = this.afterUs(this.dropNextUs);
    this.hasDropped = false;
    if (!isLate) {
      this.isDropping = false;
      return Judgement.Take;
    }
    if (nowUs < this.dropNextUs) return Judgement.Take;
    this.drops++;
    this.hasDropped = true;
    return this.verdict;
  }

  private isTooLate(queue: QueueView, sojournUs: number, nowUs: number): boolean {
    if (sojournUs < this.targetUs || queue.bytes <= this.mtuBytes) {
      this.firstAboveUs = 0;
      return false;
    }
    if (this.firstAboveUs === 0) {
      this.firstAboveUs = nowUs + this.intervalUs;
      return false;
    }
    return nowUs >= this.firstAboveUs;
  }

  private afterUs(timeUs: number): number {
    return timeUs + this.intervalUs / Math.sqrt(this.drops);
  }
}
