// More than the switch can take: a blocking sender and a blocking receiver share a core, so the receiver is often late.
// What is lost then says how a switch treats a full receiver.

import type { Job } from '../kit/job.ts';
import { type Counts, type Load, NO_RTTS } from './load.ts';
import { startCrew } from './threads.ts';
import { openVdeLab, vdeLoad } from './vde-load.ts';
import { setTimeouts } from './vde-port.ts';

const BLOCK_MS_MAX = 50;

/** `overload`: port 0 sends, port 1 receives, each in a thread of its own with blocking calls. */
export function openOverload(job: Job): Load {
  const lab = openVdeLab(job);
  const [tx, rx] = [lab.ports[0]!.fd, lab.ports[1]!.fd];
  setTimeouts(tx, BLOCK_MS_MAX);
  setTimeouts(rx, BLOCK_MS_MAX);
  const crew = startCrew([
    { role: 'send', fd: tx, job },
    { role: 'receive', fd: rx, job },
  ]);
  const ports = vdeLoad(lab, () => ({ sent: 0, delivered: 0, strays: 0, seconds: 0, rttsUs: NO_RTTS }));
  return {
    run: async (seconds): Promise<Counts> => {
      await crew.ready;
      const start = performance.now();
      const before = [crew.count(0), crew.count(1)] as const;
      await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
      const sent = (crew.count(0) - before[0]) >>> 0;
      const delivered = (crew.count(1) - before[1]) >>> 0;
      return { sent, delivered, strays: 0, seconds: (performance.now() - start) / 1000, rttsUs: NO_RTTS };
    },
    close: async () => {
      await crew.stop();
      await ports.close();
    },
  };
}
