// What every load is to the generator: run for a while, count, close.

/** What happened while a load ran. */
export interface Counts {
  readonly sent: number;
  readonly delivered: number;
  readonly strays: number;
  /** From the first frame to the last that arrived. */
  readonly seconds: number;
  /** Round trip times in µs, in any order; empty when the load does not ping. */
  readonly rttsUs: Float64Array;
}

/** A load on a switch, already connected and learned. */
export interface Load {
  /** Runs for `seconds` and stops by itself. */
  run(seconds: number): Promise<Counts>;
  /** Gives back its sockets and threads. */
  close(): Promise<void>;
}

/** For loads that do not ping. */
export const NO_RTTS = new Float64Array(0);

/** After so long without a frame, what has not come is lost. */
export const QUIET_MS = 40;
