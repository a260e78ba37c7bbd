// A load made of VDE ports: connects them, lets the switch learn the stations, closes them in the end.

import type { Job } from '../kit/job.ts';
import { Inbox } from './batch.ts';
import type { Counts, Load } from './load.ts';
import { announce } from './stations.ts';
import { closeVdePort, openVdePort, type VdePort } from './vde-port.ts';

const INBOX_FRAMES = 64;

/** The connected ports of a load and the buffer that they share. */
export interface VdeLab {
  readonly ports: readonly VdePort[];
  readonly inbox: Inbox;
}

/** Connects `job.ports` ports and announces every station. */
export function openVdeLab(job: Job): VdeLab {
  const ports = Array.from({ length: job.ports }, () => openVdePort(job.dir));
  const inbox = new Inbox({ batch: INBOX_FRAMES });
  announce(job, ports, inbox);
  return { ports, inbox };
}

/** A load that needs nothing but this thread: `run` is called again and again on the same ports. */
export function vdeLoad({ ports }: VdeLab, run: (seconds: number) => Counts): Load {
  return {
    run: async (seconds) => run(seconds),
    close: async () => {
      for (const port of ports) closeVdePort(port);
    },
  };
}
