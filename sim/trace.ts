// The fingerprint of a run: a hash chained over every delivered frame, its time and its link. Two runs are compared by it.

import { printFrame } from '../wire/print.ts';
import type { Hop, Observer } from './sim-port.ts';

const PRIME_LOW = 0x1b3; // the 64-bit FNV prime is 2^40 + 0x1b3
const TWO_32 = 2 ** 32;

/** FNV-1a with 64 bits, in two halves. */
export class Fnv64 {
  high = 0xcbf29ce4;
  low = 0x84222325;

  byte(value: number): void {
    const low = (this.low ^ value) >>> 0;
    const product = low * PRIME_LOW; // below 2^41
    this.high = (Math.imul(this.high, PRIME_LOW) + Math.floor(product / TWO_32) + (low << 8)) >>> 0;
    this.low = product >>> 0;
  }

  /** Four bytes, most significant first. */
  word(value: number): void {
    for (let shift = 24; shift >= 0; shift -= 8) this.byte((value >>> shift) & 255);
  }

  bytes(view: DataView, at: number, length: number): void {
    let { high, low } = this; // as `byte`, without a store for each
    for (let p = at; p < at + length; p++) {
      const mixed = (low ^ view.getUint8(p)) >>> 0;
      const product = mixed * PRIME_LOW;
      high = (Math.imul(high, PRIME_LOW) + Math.floor(product / TWO_32) + (mixed << 8)) >>> 0;
      low = product >>> 0;
    }
    this.high = high;
    this.low = low;
  }

  /** 16 hexadecimal digits. */
  toString(): string {
    const hex = (word: number): string => word.toString(16).padStart(8, '0');
    return hex(this.high) + hex(this.low);
  }
}

/** Where two runs part. */
export interface Divergence {
  /** Number of the event, from 0: the first that differs. */
  readonly event: number;
  /** What the recorded run did there, and what this one did; `nothing` if it ended before. */
  readonly recorded: string;
  readonly seen: string;
}

/** The hashes of a run, one an event, and its events in words. */
export interface Recording {
  readonly hashes: readonly string[];
  readonly events: readonly string[];
}

const EVENTS_MAX = 1 << 20;
const NOTHING = 'nothing';

/**
 * Hashes what is delivered. With `record` it also keeps every hash and event, up to 2^20; with `compare` it holds the run
 * against a recording and remembers the first divergence.
 */
export class Trace implements Observer {
  events = 0;
  divergence: Divergence | undefined;
  private readonly fnv = new Fnv64();
  private readonly recording: { hashes: string[]; events: string[] } | undefined;
  private readonly reference: Recording | undefined;

  constructor({ record = false, compare }: { record?: boolean; compare?: Recording } = {}) {
    this.recording = record ? { hashes: [], events: [] } : undefined;
    this.reference = compare;
  }

  /** 16 hexadecimal digits: equal for equal runs. */
  get hash(): string {
    return this.fnv.toString();
  }

  /** What was kept; with `record` only. */
  get recorded(): Recording {
    return this.recording ?? { hashes: [], events: [] };
  }

  delivered(hop: Hop, nowUs: number): void {
    const { fnv } = this;
    fnv.word(Math.floor(nowUs / TWO_32));
    fnv.word(nowUs % TWO_32);
    fnv.word(2 * hop.link + hop.from);
    fnv.word(hop.length);
    fnv.bytes(hop.view, hop.at, hop.length);
    const event = this.events++;
    if (this.recording !== undefined && event < EVENTS_MAX) {
      this.recording.hashes.push(this.hash);
      this.recording.events.push(describe(hop, nowUs));
    }
    if (this.reference !== undefined && this.divergence === undefined && event < EVENTS_MAX) {
      if (this.reference.hashes[event] === this.hash) return;
      const recorded = this.reference.events[event] ?? NOTHING;
      this.divergence = { event, recorded, seen: describe(hop, nowUs) };
    }
  }

  /** The divergence, with a run that ended too early among them. For the end of a run. */
  finish(): Divergence | undefined {
    const missed = this.reference?.events[this.events];
    if (this.divergence === undefined && missed !== undefined) {
      this.divergence = { event: this.events, recorded: missed, seen: NOTHING };
    }
    return this.divergence;
  }
}

/** A frame's event in one line: `0.100000 a-b from a 02:… > 02:… ip …`. */
export function describe(hop: Hop, nowUs: number): string {
  return `${formatTime(nowUs)} ${hop.name} from ${hop.ends[hop.from]} ${printFrame(hop.view, hop.at, hop.length)}`;
}

/** Seconds with six digits. */
export const formatTime = (us: number): string =>
  `${Math.floor(us / 1e6)}.${Math.floor(us % 1e6)
    .toString()
    .padStart(6, '0')}`;

/** Runs a scenario twice, the second time against the first; undefined if both are the same, event by event. */
export function compareRuns(scenario: (trace: Trace, isDiverged: () => boolean) => void): Divergence | undefined {
  const first = new Trace({ record: true });
  scenario(first, () => false);
  const second = new Trace({ compare: first.recorded });
  scenario(second, () => second.divergence !== undefined);
  return second.finish();
}
