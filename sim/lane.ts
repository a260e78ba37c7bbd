// One direction of a link.
//
//   offered ─▶ rules ─▶ RED, marks ─▶ queue ─▶ CoDel ─▶ transmitter ─▶ loss, corruption ─▶ delay, jitter, detour ─▶ port
//
// The transmitter is exact: the end of a frame is a whole number of µs and a remainder in 1/rate µs, from which the next
// frame begins; an arrival is rounded up to a µs. The frame in the transmitter is not in the queue.

import type { Burst } from '../core/burst.ts';
import { PLAIN } from '../core/burst.ts';
import { Drop } from '../core/drop.ts';
import type { Slab } from '../core/slab.ts';
import { checkOffload, type Offloader } from '../wire/offload.ts';
import { type Discipline, Judgement } from './discipline.ts';
import { markCe } from './ecn.ts';
import type { Actor, EventQueue } from './event-queue.ts';
import { type FrameStore, NO_FRAME } from './frame-store.ts';
import type { Medium } from './impairment.ts';
import { DROP, type Rules, twinUsOf } from './rules.ts';
import { type End, Fate, type Hop, type Observer } from './sim-port.ts';
import { Waiting } from './waiting.ts';

/** What a world lends to its lanes. */
export interface LaneHost {
  readonly slab: Slab;
  readonly events: EventQueue;
  readonly frames: FrameStore;
  readonly rules: Rules;
  readonly offloader: Offloader;
  /** Room for the frames of one super-frame, used within one call. */
  readonly segments: { readonly burst: Burst; readonly at: number; readonly bytes: number };
  /** Tells the world's and the link's observers. */
  tell(what: keyof Observer, hop: Hop, fate: Fate | undefined, nowUs: number): void;
}

/** Where a lane ends. `Drop.None` if the frame was taken; the bytes are valid for the call. */
export interface LaneTarget {
  readonly takesOffload: boolean;
  deliver(at: number, length: number, offload: number, nowUs: number): Drop;
}

/** Frames and bytes of one direction. */
export interface LaneCounts {
  sentFrames: number; // offered, super-frames as their pieces
  sentBytes: number;
  deliveredFrames: number;
  deliveredBytes: number;
  markedFrames: number;
  corruptedFrames: number;
  duplicatedFrames: number;
  reorderedFrames: number;
  queueBytesMax: number; // the most that ever waited
  readonly dropped: Record<Fate, number>;
}

/** The numbers of a lane, complete. */
export interface LaneShape {
  readonly rateBps: number;
  readonly delayUs: number;
  readonly overheadBytes: number;
  readonly frameBytesMax: number;
  readonly queueBytesMax: number;
  readonly queueFramesMax: number;
  readonly takesOffload: boolean;
}

/** Who a lane is. */
export interface LaneName {
  readonly link: number;
  readonly name: string;
  readonly from: End;
  readonly ends: readonly [string, string];
}

const TRANSMITTED = -1; // an event's argument: the transmitter is done; else the number of a frame that arrives

/** See the head of this file. */
export class Lane implements Actor {
  readonly counts: LaneCounts;
  isUp = true;
  /** Set by the link once the other end is there. */
  target: LaneTarget | undefined;
  private readonly host: LaneHost;
  private readonly shape: LaneShape;
  private readonly medium: Medium;
  private readonly discipline: Discipline | undefined;
  private readonly waiting = new Waiting();
  private readonly hop: Hop & { index: number; at: number; length: number; offload: number };
  private readonly extraUs = new Map<number, number>(); // by frame: what a rule said
  private readonly twinUs = new Map<number, number>();
  private transmitting = NO_FRAME;
  private freeUs = 0; // when the transmitter is free: whole µs …
  private remainder = 0; // … and this many 1/rateBps µs
  private lastArrivalUs = 0;

  constructor(host: LaneHost, name: LaneName, shape: LaneShape, medium: Medium, discipline: Discipline | undefined) {
    this.host = host;
    this.shape = shape;
    this.medium = medium;
    this.discipline = discipline;
    this.hop = { ...name, index: 0, view: host.slab.view, at: 0, length: 0, offload: PLAIN };
    const dropped = Object.fromEntries(Object.values(Fate).map((fate) => [fate, 0])) as Record<Fate, number>; // all keys
    this.counts = {
      sentFrames: 0,
      sentBytes: 0,
      deliveredFrames: 0,
      deliveredBytes: 0,
      markedFrames: 0,
      corruptedFrames: 0,
      duplicatedFrames: 0,
      reorderedFrames: 0,
      queueBytesMax: 0,
      dropped,
    };
  }

  /** Bytes and frames that wait, without the one that is being sent. */
  get queued(): { readonly bytes: number; readonly frames: number } {
    return { bytes: this.waiting.bytes, frames: this.waiting.count };
  }

  /** Takes a copy of a frame. Super-frames are split unless both the link and the port at its end take them. */
  send(at: number, length: number, offload: number, nowUs: number): void {
    if (offload === PLAIN || (this.shape.takesOffload && this.target?.takesOffload)) {
      this.offer(at, length, offload, nowUs);
      return;
    }
    const { slab, offloader, segments } = this.host;
    let why = checkOffload(slab.view, offload, at, length);
    if (why === Drop.None && !offloader.isSuper(offload)) {
      why = offloader.complete(offload, at, length);
      if (why === Drop.None) {
        this.offer(at, length, PLAIN, nowUs);
        return;
      }
    }
    const { burst } = segments;
    burst.count = 0;
    if (why === Drop.None) why = offloader.segment(offload, at, length, segments.at, segments.bytes, burst);
    if (why !== Drop.None) {
      this.lose(at, length, Fate.Offload, nowUs);
      return;
    }
    for (let i = 0; i < burst.count; i++) this.offer(burst.at[i]!, burst.length[i]!, PLAIN, nowUs);
  }

  fire(argument: number, nowUs: number): void {
    if (argument !== TRANSMITTED) {
      this.arrive(argument, nowUs);
      return;
    }
    const id = this.transmitting;
    this.transmitting = NO_FRAME;
    this.depart(id, nowUs);
    this.transmitNext(nowUs);
  }

  /** Down: what waits is lost at once, what travels if it would arrive before the link is up again. */
  setUp(isUp: boolean, nowUs: number): void {
    this.isUp = isUp;
    if (isUp) return;
    while (this.waiting.count > 0) this.discard(this.waiting.shift(), Fate.Down, nowUs);
  }

  private offer(at: number, length: number, offload: number, nowUs: number): void {
    const { host, hop, counts } = this;
    this.point(at, length, offload);
    hop.index = counts.sentFrames++;
    counts.sentBytes += length;
    host.tell('sent', hop, undefined, nowUs);
    if (!this.isUp) {
      this.lose(at, length, Fate.Down, nowUs);
      return;
    }
    const isSuper = offload !== PLAIN && host.offloader.isSuper(offload);
    if (!isSuper && length > this.shape.frameBytesMax) {
      this.lose(at, length, Fate.TooLong, nowUs);
      return;
    }
    const verdict = host.rules.judge(hop, nowUs);
    if (verdict === DROP) {
      this.lose(at, length, Fate.Rule, nowUs);
      return;
    }
    const id = host.frames.hold(at, length, offload);
    if (id === NO_FRAME) {
      this.lose(at, length, Fate.Memory, nowUs);
      return;
    }
    if (verdict > 0) this.extraUs.set(id, verdict);
    if (twinUsOf(verdict) >= 0) this.twinUs.set(id, twinUsOf(verdict));
    this.enqueue(id, length, nowUs);
  }

  private enqueue(id: number, length: number, nowUs: number): void {
    const { shape, waiting } = this;
    if (shape.rateBps === Infinity) {
      this.depart(id, nowUs);
      return;
    }
    const judgement = this.discipline?.arrive(waiting, nowUs) ?? Judgement.Take;
    if (!this.passes(id, judgement)) {
      this.discard(id, Fate.Discipline, nowUs);
      return;
    }
    const isIdle = this.transmitting === NO_FRAME;
    const isFull = waiting.bytes + length > shape.queueBytesMax || waiting.count + 1 > shape.queueFramesMax;
    if (!isIdle && isFull) {
      this.discard(id, Fate.Queue, nowUs);
      return;
    }
    waiting.push(id, length, nowUs);
    if (isIdle) this.transmitNext(nowUs);
    this.counts.queueBytesMax = Math.max(this.counts.queueBytesMax, waiting.bytes);
  }

  /** True if the frame goes on, marked if that was the judgement. A threshold drops nothing that it cannot mark. */
  private passes(id: number, judgement: Judgement): boolean {
    if (judgement === Judgement.Take) return true;
    if (judgement === Judgement.Drop) return false;
    const { frames, slab } = this.host;
    const isMarked = markCe(slab.view, frames.atOf(id), frames.lengthOf(id));
    if (isMarked) this.counts.markedFrames++;
    return isMarked || !this.discipline!.dropsUnmarked;
  }

  private transmitNext(nowUs: number): void {
    const { waiting, shape, discipline, host } = this;
    while (waiting.count > 0) {
      const sojournUs = nowUs - waiting.oldestUs;
      const id = waiting.shift();
      const judgement = discipline?.depart(waiting, sojournUs, nowUs) ?? Judgement.Take;
      if (!this.passes(id, judgement)) {
        this.discard(id, Fate.Discipline, nowUs);
        continue;
      }
      const startUs = this.freeUs + (this.remainder > 0 ? 1 : 0);
      if (nowUs > startUs) {
        this.freeUs = nowUs;
        this.remainder = 0;
      }
      // bits · 10^6 is below 2^53 for every frame, so this is exact.
      const work = this.remainder + (host.frames.lengthOf(id) + shape.overheadBytes) * 8e6;
      this.freeUs += Math.floor(work / shape.rateBps);
      this.remainder = work % shape.rateBps;
      this.transmitting = id;
      host.events.add(this.freeUs + (this.remainder > 0 ? 1 : 0), this, TRANSMITTED);
      return;
    }
    waiting.idleSinceUs = nowUs;
  }

  /** The last bit is out: the medium has its way. */
  private depart(id: number, nowUs: number): void {
    const { host, medium, shape, counts } = this;
    const { frames } = host;
    const isLost = medium.loses();
    const bit = medium.corruptedBit(8 * frames.lengthOf(id));
    const isTwin = medium.duplicates();
    const detourUs = medium.detourUs();
    const jitterUs = medium.jitterUs();
    if (!this.isUp) {
      this.discard(id, Fate.Down, nowUs);
      return;
    }
    if (isLost) {
      this.discard(id, Fate.Loss, nowUs);
      return;
    }
    if (bit >= 0) {
      host.slab.bytes[frames.atOf(id) + (bit >>> 3)]! ^= 1 << (bit & 7);
      counts.corruptedFrames++;
    }
    let arrivalUs = Math.max(this.lastArrivalUs, nowUs + shape.delayUs + jitterUs);
    if (detourUs >= 0) {
      arrivalUs = nowUs + shape.delayUs + jitterUs + detourUs;
      counts.reorderedFrames++;
    } else this.lastArrivalUs = arrivalUs;
    arrivalUs += this.extraUs.get(id) ?? 0;
    const twinUs = this.twinUs.get(id) ?? (isTwin ? 0 : -1);
    this.forget(id);
    host.events.add(arrivalUs, this, id);
    if (twinUs >= 0) this.sendTwin(id, arrivalUs + twinUs);
  }

  private sendTwin(id: number, arrivalUs: number): void {
    const { frames, events } = this.host;
    const twin = frames.hold(frames.atOf(id), frames.lengthOf(id), frames.offloadOf(id));
    if (twin === NO_FRAME) return;
    this.counts.duplicatedFrames++;
    events.add(arrivalUs, this, twin);
  }

  private arrive(id: number, nowUs: number): void {
    const { frames } = this.host;
    const at = frames.atOf(id);
    const length = frames.lengthOf(id);
    const offload = frames.offloadOf(id);
    if (!this.isUp) {
      this.discard(id, Fate.Down, nowUs);
      return;
    }
    this.point(at, length, offload);
    this.counts.deliveredFrames++;
    this.counts.deliveredBytes += length;
    this.host.tell('delivered', this.hop, undefined, nowUs);
    const why = this.target?.deliver(at, length, offload, nowUs) ?? Drop.NoPort;
    if (why !== Drop.None) this.lose(at, length, Fate.Refused, nowUs);
    frames.release(id);
  }

  private point(at: number, length: number, offload: number): void {
    this.hop.at = at;
    this.hop.length = length;
    this.hop.offload = offload;
  }

  private discard(id: number, fate: Fate, nowUs: number): void {
    const { frames } = this.host;
    this.forget(id);
    this.lose(frames.atOf(id), frames.lengthOf(id), fate, nowUs);
    frames.release(id);
  }

  private forget(id: number): void {
    this.extraUs.delete(id);
    this.twinUs.delete(id);
  }

  private lose(at: number, length: number, fate: Fate, nowUs: number): void {
    this.point(at, length, PLAIN);
    this.counts.dropped[fate]++;
    this.host.tell('dropped', this.hop, fate, nowUs);
  }
}
