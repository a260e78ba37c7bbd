// A cable with numbers: rate, delay, queues and a medium that may be bad, in both directions.

import { UsageError } from '../core/assert.ts';
import { type DisciplineOptions, disciplineOf } from './discipline.ts';
import { type Impairments, Medium } from './impairment.ts';
import { Lane, type LaneCounts, type LaneHost, type LaneShape } from './lane.ts';
import type { End, Observer } from './sim-port.ts';
import { Purpose, streamOf } from './stream.ts';

const ETHERNET_BYTES = 14;
const TAG_BYTES = 4;

/** Whatever is not given: an infinite rate, no delay, no limits, a good medium. */
export interface LaneOptions extends Impairments {
  /** Bits per second of frames with their overhead; a whole number or Infinity. */
  readonly rateBps?: number;
  readonly delayUs?: number;
  /** Added to every frame's length for its time on the wire: 24 for Ethernet's preamble, FCS and gap. */
  readonly overheadBytes?: number;
  /** What may wait for the transmitter, not counting the frame that it sends. */
  readonly queueBytesMax?: number;
  readonly queueFramesMax?: number;
  /** Drops at the tail if not given. */
  readonly discipline?: DisciplineOptions;
}

/** Options of both directions; `forward` (from end 0) and `backward` replace them for one. */
export interface LinkOptions extends LaneOptions {
  /** The longest IP packet; frames may be longer by an Ethernet header and one tag. */
  readonly mtuBytes?: number;
  /** Super-frames pass whole, if the port at the end takes them; only where the rate is infinite. */
  readonly takesOffload?: boolean;
  readonly forward?: LaneOptions;
  readonly backward?: LaneOptions;
}

/** Who a link is. */
export interface LinkName {
  readonly number: number;
  readonly name: string;
  readonly ends: readonly [string, string];
}

/** A full-duplex link between two ends. */
export class Link {
  readonly number: number;
  readonly name: string;
  readonly ends: readonly [string, string];
  /** What end 0 sends, and what end 1 sends. */
  readonly lanes: readonly [Lane, Lane];
  /** Those that see this link alone. */
  readonly observers: Observer[] = [];

  constructor(host: LaneHost, seed: number, { number, name, ends }: LinkName, options: LinkOptions) {
    this.number = number;
    this.name = name;
    this.ends = ends;
    const { forward = {}, backward = {}, ...both } = options;
    const lane = (from: End, own: LaneOptions): Lane => {
      const merged = { ...both, ...own };
      const shape = shapeOf(merged);
      const subject = 2 * number + from;
      const medium = new Medium(merged, { seed, subject });
      const { discipline } = merged;
      const rng = streamOf(seed, subject, Purpose.Discipline);
      const judge = discipline === undefined ? undefined : disciplineOf(discipline, shape.rateBps, rng);
      return new Lane(host, { link: number, name, from, ends }, shape, medium, judge);
    };
    this.lanes = [lane(0, forward), lane(1, backward)];
  }

  /** Frames, bytes and losses of what `end` sends. */
  counts(end: End): LaneCounts {
    return this.lanes[end].counts;
  }

  get isUp(): boolean {
    return this.lanes[0].isUp;
  }

  /** Pulls the cable, both directions, or plugs it in again. What waits is lost, and what would arrive meanwhile. */
  setUp(isUp: boolean, nowUs: number): void {
    for (const lane of this.lanes) lane.setUp(isUp, nowUs);
  }
}

function shapeOf(options: LaneOptions & Pick<LinkOptions, 'mtuBytes' | 'takesOffload'>): LaneShape {
  const { rateBps = Infinity, delayUs = 0, overheadBytes = 0, mtuBytes = Infinity, takesOffload = false } = options;
  if (!(rateBps === Infinity || (Number.isSafeInteger(rateBps) && rateBps > 0))) {
    throw new UsageError(`rateBps: ${rateBps} is neither a whole number above 0 nor Infinity`);
  }
  if (!Number.isSafeInteger(delayUs) || delayUs < 0) throw new UsageError(`delayUs: ${delayUs} is no time in whole µs`);
  if (takesOffload && rateBps !== Infinity) throw new UsageError('takesOffload: only a link of infinite rate may');
  return {
    rateBps,
    delayUs,
    overheadBytes,
    frameBytesMax: mtuBytes + ETHERNET_BYTES + TAG_BYTES,
    queueBytesMax: options.queueBytesMax ?? Infinity,
    queueFramesMax: options.queueFramesMax ?? Infinity,
    takesOffload,
  };
}
