// The far end of a ping: a blocking wait for one frame, and the frame that goes back.

import { sys } from '../../sys/libc.io.ts';
import type { Job } from '../kit/job.ts';
import { DONTWAIT, type Inbox, type Train } from './batch.ts';
import { base, slab, take } from './memory.ts';
import { trainOf } from './stations.ts';

const POLLIN = 1;

const waiting = take(8); // struct pollfd

/** What port 1 answers to port 0. */
export function answerTrain(job: Job): Train {
  return trainOf({ ...job, ports: 2, pattern: 'mesh', stations: 0, batch: 1 }, 1)!;
}

/** Waits until `fd` has a frame, then takes it; false when none came in time. */
export function awaitFrame(fd: number, inbox: Inbox, milliseconds: number): boolean {
  slab.view.setInt32(waiting, fd, true);
  slab.view.setUint32(waiting + 4, POLLIN, true);
  return sys().poll(base + waiting, 1, milliseconds) > 0 && inbox.receive(fd, DONTWAIT) > 0;
}
