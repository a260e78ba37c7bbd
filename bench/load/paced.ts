// An even stream of single frames below saturation: what does the switch pay for each wake-up?

import type { Job } from '../kit/job.ts';
import { DONTWAIT, type Inbox, type Train } from './batch.ts';
import { type Counts, type Load, NO_RTTS, QUIET_MS } from './load.ts';
import { trainOf } from './stations.ts';
import { openVdeLab, vdeLoad } from './vde-load.ts';

/** `paced`: `job.kpps` thousand frames a second, one by one, from port 0 to port 1. */
export function openPaced(job: Job): Load {
  const lab = openVdeLab(job);
  const train = trainOf({ ...job, batch: 1 }, 0)!;
  const [tx, rx] = [lab.ports[0]!.fd, lab.ports[1]!.fd];
  return vdeLoad(lab, (seconds) => pace({ train, tx, rx, inbox: lab.inbox, everyMs: 1 / job.kpps }, seconds));
}

interface Lane {
  readonly train: Train;
  readonly tx: number;
  readonly rx: number;
  readonly inbox: Inbox;
  readonly everyMs: number;
}

function pace({ train, tx, rx, inbox, everyMs }: Lane, seconds: number): Counts {
  let sent = 0;
  let delivered = 0;
  const start = performance.now();
  const end = start + seconds * 1000;
  let lastAt = start;
  let now = start;
  for (let due = start; now < end || (delivered < sent && now - lastAt < QUIET_MS); now = performance.now()) {
    if (now >= due && now < end) {
      sent += Math.max(0, train.send(tx, DONTWAIT));
      due += everyMs;
    }
    const count = inbox.receive(rx, DONTWAIT);
    if (count > 0) lastAt = now;
    delivered += count;
  }
  return { sent, delivered, strays: 0, seconds: (lastAt - start) / 1000, rttsUs: NO_RTTS };
}
