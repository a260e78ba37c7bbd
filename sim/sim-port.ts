// What can be joined to the simulated world, and the words that its parts share.

import type { Port } from '../core/port.ts';

/** A port that also has timers: a stack's, a gateway's, or a double in a test. Times are whole µs of the world's clock. */
export interface SimPort extends Port {
  /** When `expire` is due; `NEVER` if nothing is. A time in the past means now. */
  deadlineUs(): number;
  /** Does what is due. Early is harmless. */
  expire(nowUs: number): void;
}

/** One of the two ends of a link: 0 is what was named first. */
export type End = 0 | 1;

/** The end that faces `end`. */
export const opposite = (end: End): End => (end === 0 ? 1 : 0);

/**
 * A frame on its way over one link, as rules and observers see it. The object is used again for the next frame: read it,
 * do not keep it; the same holds for the bytes.
 */
export interface Hop {
  /** Number of the link, from 0 in the order in which links were made. */
  readonly link: number;
  /** `a-b`: the names of the nodes at its ends, with a number behind it if it is not the first such link. */
  readonly name: string;
  /** The end that the frame comes from. */
  readonly from: End;
  /** The names of the nodes at the ends. */
  readonly ends: readonly [string, string];
  /** Frames that this end has offered before this one. */
  readonly index: number;
  readonly view: DataView;
  readonly at: number;
  readonly length: number;
  /** Where the offload header is, or `PLAIN`. */
  readonly offload: number;
}

/** Why a link did not deliver a frame. */
export const Fate = {
  Rule: 'rule', // a rule said DROP
  Loss: 'loss', // the loss model
  Queue: 'queue', // the queue was full
  Discipline: 'discipline', // RED or CoDel
  TooLong: 'too-long', // longer than the link's MTU
  Down: 'down', // the link was down
  Refused: 'refused', // the port at the other end did not take it
  Offload: 'offload', // a super-frame that contradicts its header
  Memory: 'memory', // no room in the world's slab
} as const;
export type Fate = (typeof Fate)[keyof typeof Fate];

/** Sees every frame of every link. It changes nothing: not the bytes, not the world. */
export interface Observer {
  /** An end offered the frame to its link. */
  sent?(hop: Hop, nowUs: number): void;
  /** The other end got it, perhaps changed on the way. */
  delivered?(hop: Hop, nowUs: number): void;
  /** It got lost. */
  dropped?(hop: Hop, fate: Fate, nowUs: number): void;
}
