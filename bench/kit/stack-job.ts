// What a benchmark asks of a load of stacks and what it gets back: one JSON value each way.

/** One bounded load of stacks. */
export interface StackJob {
  readonly load: 'transfer';
  readonly mtuBytes: number;
  readonly takesOffload: boolean;
  readonly isIp6: boolean;
  readonly seconds: number;
  readonly warmSeconds: number;
}

/** What it measured. */
export interface StackResult {
  readonly bitsPerSecond: number;
}
