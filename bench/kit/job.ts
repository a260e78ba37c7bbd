// What the harness asks of the load generator and what it gets back: one JSON value each way.

/** One bounded load on one running switch. */
export interface Job {
  readonly load: 'saturate' | 'overload' | 'ping' | 'paced' | 'stream';
  /** The switch's control directory. */
  readonly dir: string;
  /** Processes whose CPU time is the switch's. */
  readonly pids: readonly number[];
  /** Connected ports; what is beyond the pattern's need stays idle. */
  readonly ports: number;
  /** `pair`: port 0 to port 1. `mesh`: every port to every other. `flood`: port 0 broadcasts, all others receive. */
  readonly pattern: 'pair' | 'mesh' | 'flood';
  /** Stations (MAC addresses) in all, spread evenly over the ports; at least one a port, at most 60,000 a port. */
  readonly stations: number;
  readonly frameBytes: number;
  /** Frames in one system call. */
  readonly batch: number;
  readonly seconds: number;
  readonly warmSeconds: number;
  /** `ping`: whether the far end answers in a thread of its own. */
  readonly threads: 1 | 2;
  /** `paced`: thousand frames a second, evenly spaced. */
  readonly kpps: number;
  /** `ping`: port 2 sends a burst to port 3 before each ping; port 3 reads it, or does not. */
  readonly bystander: 'none' | 'reads' | 'stopped';
}

/** What one sample measured. Times of the switch are of all its threads. */
export interface Result {
  readonly sent: number;
  readonly delivered: number;
  /** Frames at ports that they were not for. */
  readonly strays: number;
  readonly seconds: number;
  /** CPU time of the switch over the sample, ns. */
  readonly switchNs: number;
  /** Cores used by processes that are neither the switch nor the generator. */
  readonly otherCores: number;
  /** Round trip times, µs; 0 when the load does not ping. */
  readonly p50Us: number;
  readonly p99Us: number;
}

/** A job with everything but `dir` and `pids` at its default. */
export const JOB_DEFAULTS: Omit<Job, 'dir' | 'pids'> = {
  load: 'saturate',
  ports: 2,
  pattern: 'pair',
  stations: 0,
  frameBytes: 64,
  batch: 32,
  seconds: 0.7,
  warmSeconds: 0.3,
  threads: 1,
  kpps: 100,
  bystander: 'none',
};
