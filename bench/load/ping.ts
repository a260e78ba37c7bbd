// Ping-pong between two ports with blocking waits: the round trip of a single frame, twice through the switch.

import type { Job } from '../kit/job.ts';
import { answerTrain, awaitFrame } from './answer.ts';
import { DONTWAIT, Train } from './batch.ts';
import type { Counts, Load } from './load.ts';
import { station, trainOf } from './stations.ts';
import { type Crew, startCrew } from './threads.ts';
import { openVdeLab, type VdeLab, vdeLoad } from './vde-load.ts';

const RTTS_MAX = 200_000;
const LOST_AFTER_MS = 50; // a lost ping counts as one that took this long
const BURST_FRAMES = 4; // of the bystander, before each ping

const rttsUs = new Float64Array(RTTS_MAX);

/** `ping`: port 0 pings port 1; the far end answers from this thread or, with two threads, from its own. */
export function openPing(job: Job): Load {
  const lab = openVdeLab(job);
  const there = trainOf({ ...job, pattern: 'pair', stations: 0, batch: 1 }, 0)!;
  const back = answerTrain(job);
  const echo = job.threads === 2 ? startCrew([{ role: 'echo', fd: lab.ports[1]!.fd, job }]) : undefined;
  const bystander = openBystander(job, lab);
  const load = vdeLoad(lab, (seconds) => ping({ lab, there, back, echo, bystander }, seconds));
  return {
    run: async (seconds) => {
      await echo?.ready;
      return load.run(seconds);
    },
    close: async () => {
      await echo?.stop();
      await load.close();
    },
  };
}

interface Bystander {
  readonly train: Train;
  readonly tx: number;
  readonly rx: number;
  readonly reads: boolean;
}

function openBystander(job: Job, { ports }: VdeLab): Bystander | undefined {
  if (job.bystander === 'none') return undefined;
  const flows = [{ source: station(2, 0), target: station(3, 0) }];
  const train = new Train({ flows, frameBytes: job.frameBytes, batch: BURST_FRAMES });
  return { train, tx: ports[2]!.fd, rx: ports[3]!.fd, reads: job.bystander === 'reads' };
}

interface Court {
  readonly lab: VdeLab;
  readonly there: Train;
  readonly back: Train;
  readonly echo: Crew | undefined;
  readonly bystander: Bystander | undefined;
}

function ping({ lab, there, back, echo, bystander }: Court, seconds: number): Counts {
  const { ports, inbox } = lab;
  const [near, far] = [ports[0]!.fd, ports[1]!.fd];
  let sent = 0;
  let rtts = 0;
  let answers = 0;
  const start = performance.now();
  const end = start + seconds * 1000;
  for (let now = start; now < end && rtts < RTTS_MAX; sent++) {
    bystander?.train.send(bystander.tx, DONTWAIT);
    const from = performance.now();
    there.send(near, DONTWAIT);
    const answered = echo !== undefined || (awaitFrame(far, inbox, LOST_AFTER_MS) && back.send(far, DONTWAIT) > 0);
    const arrived = answered && awaitFrame(near, inbox, LOST_AFTER_MS);
    now = performance.now();
    rttsUs[rtts++] = arrived ? (now - from) * 1000 : LOST_AFTER_MS * 1000;
    if (arrived) answers++;
    else forgetLate(lab);
    if (bystander?.reads) inbox.receive(bystander.rx, DONTWAIT);
  }
  const elapsed = (performance.now() - start) / 1000;
  return { sent: 2 * sent, delivered: 2 * answers, strays: 0, seconds: elapsed, rttsUs: rttsUs.slice(0, rtts) };
}

/** After a lost ping: waits until its late frames have come, so that none is taken for the answer to a later one. */
function forgetLate({ ports, inbox }: VdeLab): void {
  for (const end = performance.now() + 2 * LOST_AFTER_MS; performance.now() < end; ) {
    for (const { fd } of ports.slice(0, 2)) inbox.receive(fd, DONTWAIT);
  }
}
