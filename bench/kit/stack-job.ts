// What a benchmark asks of a load of stacks and what it gets back: one JSON value each way.

/** One bounded load of stacks, in a process of its own. */
export interface StackJob {
  readonly load:
    | 'transfer' // two stacks in process
    | 'iperf' // with the kernel, over a TAP in the namespace that the process is started in
    | 'idle'
    | 'cycles'
    | 'kernel-cycles'
    | 'request' // two stacks in process
    | 'request-kernel' // with node:net in another process, over a TAP
    | 'kernel-request'; // node:net only
  readonly mtuBytes: number;
  readonly takesOffload: boolean;
  readonly isIp6: boolean;
  readonly seconds: number;
  readonly warmSeconds: number;
  /** `iperf`: the kernel sends. */
  readonly isReverse?: boolean;
  /** Connections, or requests. */
  readonly count?: number;
  /** `kernel-request`: the server is another process. */
  readonly isApart?: boolean;
}

/** What it measured, by name. */
export type StackResult = Readonly<Record<string, number>>;

/** A job with everything but `load` at its default. */
export const STACK_JOB: Omit<StackJob, 'load'> = {
  mtuBytes: 1500,
  takesOffload: false,
  isIp6: true,
  seconds: 1,
  warmSeconds: 0.5,
};
