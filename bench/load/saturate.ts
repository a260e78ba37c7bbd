// Full rate from one thread: every sender and every receiver is polled in turn, nothing ever blocks.

import type { Job } from '../kit/job.ts';
import { DONTWAIT, type Inbox, type Train } from './batch.ts';
import { type Counts, type Load, NO_RTTS, QUIET_MS } from './load.ts';
import { isReceiver, trainOf } from './stations.ts';
import { openVdeLab, vdeLoad } from './vde-load.ts';

const STRAYS_EVERY = 32; // turns between two looks at ports that should be silent

interface Lanes {
  readonly trains: readonly { readonly fd: number; readonly train: Train }[];
  readonly receivers: readonly number[];
  readonly bystanders: readonly number[];
  readonly inbox: Inbox;
  /** Copies that one sent frame should become. */
  readonly copies: number;
}

/** `saturate`: as many frames as the switch takes; `delivered` are those that came out of the right ports. */
export function openSaturate(job: Job): Load {
  const lab = openVdeLab(job);
  const fds = lab.ports.map((port) => port.fd);
  const trains = fds.map((fd, port) => ({ fd, train: trainOf(job, port) }));
  const receivers = fds.filter((_, port) => isReceiver(job, port));
  const lanes: Lanes = {
    trains: trains.filter((lane): lane is { fd: number; train: Train } => lane.train !== undefined),
    receivers,
    bystanders: fds.filter((_, port) => port !== 0 && !isReceiver(job, port)),
    inbox: lab.inbox,
    copies: job.pattern === 'flood' ? receivers.length : 1,
  };
  return vdeLoad(lab, (seconds) => saturate(lanes, seconds));
}

function saturate({ trains, receivers, bystanders, inbox, copies }: Lanes, seconds: number): Counts {
  let sent = 0;
  let delivered = 0;
  let strays = 0;
  const start = performance.now();
  const end = start + seconds * 1000;
  let now = start;
  let lastAt = start;
  for (let turn = 0; now < end || (delivered < sent * copies && now - lastAt < QUIET_MS); turn++) {
    if (now < end) for (const { fd, train } of trains) sent += Math.max(0, train.send(fd, DONTWAIT));
    let count = 0;
    for (const fd of receivers) count += inbox.receive(fd, DONTWAIT);
    if (turn % STRAYS_EVERY === 0) for (const fd of bystanders) strays += inbox.receive(fd, DONTWAIT);
    now = performance.now();
    if (count > 0) lastAt = now;
    delivered += count;
  }
  return { sent: sent * copies, delivered, strays, seconds: (lastAt - start) / 1000, rttsUs: NO_RTTS };
}
