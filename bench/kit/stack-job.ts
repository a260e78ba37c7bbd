// What a benchmark asks of a load of stacks and what it gets back: one JSON value each way.

/** One bounded load of stacks. */
export interface StackJob {
  /** `transfer`: two stacks in process. `iperf`: with the kernel, over a TAP in the namespace that it is started in. */
  readonly load: 'transfer' | 'iperf';
  readonly mtuBytes: number;
  readonly takesOffload: boolean;
  readonly isIp6: boolean;
  readonly seconds: number;
  readonly warmSeconds: number;
  /** `iperf`: the kernel sends. */
  readonly isReverse?: boolean;
}

/** What it measured. */
export interface StackResult {
  readonly bitsPerSecond: number;
}
