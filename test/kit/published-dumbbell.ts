// The dumbbell that the authors of DCE published numbers for (dce-tcp-ns3-nsc-comparison, use case 1).

import type { SenderOptions } from './bulk.ts';
import { Dumbbell } from './routed.ts';

const START_US = 4_000_000;
const MEASURED_US = 60_000_000;
const WRITE_BYTES = 1024;
const EVERY_US = 8192; // 1024 bytes at 1 Mb/s

/**
 * Two flows of 1 Mb/s in writes of 1024 bytes, from 4 s to 64 s, over 2 Mb/s and 100 ms each way on which the frames from the
 * senders to the receivers are lost with probability 0.05. Goodput of flow 0 in kb/s.
 */
export function publishedDumbbell(seed: number, options: Pick<SenderOptions, 'congestion' | 'options'>): number {
  const net = new Dumbbell({
    seed,
    pairs: 2,
    slabBytes: 1 << 25,
    checks: false,
    access: { rateBps: 5_000_000 },
    bottleneck: { rateBps: 2_000_000, delayUs: 100_000, queueFramesMax: 100, forward: { loss: 0.05 } },
  });
  const receivers = net.receive(options);
  const pace = { writeBytes: WRITE_BYTES, everyUs: EVERY_US };
  const bytes = Math.ceil(MEASURED_US / EVERY_US) * WRITE_BYTES;
  const senders = [0, 1].map((flow) => net.flow(flow, flow + 1, false, { ...options, bytes, pace, startUs: START_US }));
  net.scenario.world.run({ untilUs: START_US + MEASURED_US });
  const problems = receivers.flatMap((receiver) => receiver.errors);
  if (senders.some((sender) => sender.errno !== 0)) problems.push('a sender failed');
  if (problems.length > 0) throw new Error(`seed ${seed}: ${problems.join('; ')}`);
  return ((receivers[0]!.gotBytes[0] ?? 0) * 8) / (MEASURED_US / 1000);
}
