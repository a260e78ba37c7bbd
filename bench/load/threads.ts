// Threads of the generator that block in system calls: senders, receivers, answerers. They share descriptors and counters.

import { Worker } from 'node:worker_threads';
import type { Job } from '../kit/job.ts';
import { answerTrain, awaitFrame } from './answer.ts';
import { Inbox, WAITFORONE } from './batch.ts';
import { trainOf } from './stations.ts';

/** What one thread does with one port. */
export interface Duty {
  readonly role: 'send' | 'receive' | 'echo';
  readonly fd: number;
  readonly job: Job;
}

/** What a thread of the generator is started with. `board`: [stop, threads running, frames of duty 0, of duty 1, ...]. */
export interface ThreadData {
  readonly duty: Duty;
  readonly index: number;
  readonly board: Int32Array;
}

/** Threads at work. */
export interface Crew {
  /** Settles when all of them run. */
  readonly ready: Promise<void>;
  /** Frames moved so far by the thread of duty `index`, modulo 2^32. */
  count(index: number): number;
  stop(): Promise<void>;
}

const STOP = 0;
const RUNNING = 1;
const COUNTS = 2;
const READY_MS_MAX = 5000;
const LOOK_MS = 50; // how long a thread may block before it looks whether to stop

/** Starts one thread for each duty, from the generator's own program file. */
export function startCrew(duties: readonly Duty[]): Crew {
  const board = new Int32Array(new SharedArrayBuffer(4 * (COUNTS + duties.length)));
  const workers = duties.map((duty, index) => {
    const workerData: ThreadData = { duty, index, board };
    return new Worker(process.argv[1]!, { workerData });
  });
  const ended = workers.map((worker) => new Promise<void>((resolve) => worker.once('exit', () => resolve())));
  return {
    ready: allRun(board, duties.length),
    count: (index) => Atomics.load(board, COUNTS + index) >>> 0,
    stop: async () => {
      Atomics.store(board, STOP, 1);
      await Promise.all(ended);
    },
  };
}

async function allRun(board: Int32Array, threads: number): Promise<void> {
  const end = performance.now() + READY_MS_MAX;
  while (Atomics.load(board, RUNNING) < threads) {
    if (performance.now() > end) throw new Error('a thread of the generator did not start');
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** The body of a thread: does its duty until it is told to stop. Sockets have timeouts, so no call blocks for long. */
export function work({ duty, index, board }: ThreadData): void {
  const move = mover(duty);
  Atomics.add(board, RUNNING, 1);
  while (Atomics.load(board, STOP) === 0) Atomics.add(board, COUNTS + index, Math.max(0, move()));
}

function mover({ role, fd, job }: Duty): () => number {
  const inbox = new Inbox({ batch: 64 });
  if (role === 'receive') return () => inbox.receive(fd, WAITFORONE);
  if (role === 'send') {
    const train = trainOf(job, 0)!;
    return () => train.send(fd, 0);
  }
  const back = answerTrain(job);
  return () => (awaitFrame(fd, inbox, LOOK_MS) ? back.send(fd, 0) : 0);
}
