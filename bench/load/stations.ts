// Who talks to whom: the addresses behind each port, and the trains of frames that a pattern makes of them.

import type { Job } from '../kit/job.ts';
import { DONTWAIT, type Flow, type Inbox, Train } from './batch.ts';
import type { VdePort } from './vde-port.ts';

/** Every station. */
export const BROADCAST = Uint8Array.of(255, 255, 255, 255, 255, 255);

const STATIONS_MAX_PER_PORT = 60_000;
const STRIDE = 7919; // a prime that is in no count of ours: the walk visits every address in an order with no locality
const QUIET_MS = 20;
const ANNOUNCE_MS_MAX = 12_000;

/** Address `index` behind `port`. A new generator process has new addresses, so nothing learned earlier can matter. */
export function station(port: number, index: number): Uint8Array {
  return Uint8Array.of(2, (process.pid >> 8) & 0xff, process.pid & 0xff, port, index >> 8, index & 0xff);
}

/** How many stations each port has. */
export function stationsPerPort({ stations, ports }: Job): number {
  return Math.min(STATIONS_MAX_PER_PORT, Math.max(1, Math.floor(stations / ports)));
}

/** What port `from` sends in this pattern; undefined when it only receives. */
export function trainOf(job: Job, from: number): Train | undefined {
  const targets = targetsOf(job, from);
  if (targets.length === 0) return undefined;
  const count = stationsPerPort(job);
  const flows: Flow[] = [];
  for (let i = 0; i < count; i++) {
    const source = station(from, i);
    for (const to of targets) {
      flows.push({ source, target: job.pattern === 'flood' ? BROADCAST : station(to, (i * STRIDE) % count) });
    }
  }
  return new Train({ flows, frameBytes: job.frameBytes, batch: job.batch });
}

/** Whether `port` is meant to receive in this pattern. */
export function isReceiver({ pattern }: Job, port: number): boolean {
  if (pattern === 'pair') return port === 1;
  return pattern === 'mesh' || port > 0;
}

function targetsOf({ pattern, ports }: Job, from: number): number[] {
  if (pattern === 'mesh') return Array.from({ length: ports }, (_, to) => to).filter((to) => to !== from);
  return from === 0 ? [1] : [];
}

/** Lets the switch learn every station: each sends one broadcast. Returns when the ports have been silent for a while. */
export function announce(job: Job, ports: readonly VdePort[], inbox: Inbox): void {
  const count = stationsPerPort(job);
  const end = performance.now() + ANNOUNCE_MS_MAX;
  for (let port = 0; port < ports.length; port++) {
    const flows = Array.from({ length: count }, (_, i) => ({ source: station(port, i), target: BROADCAST }));
    const train = new Train({ flows, frameBytes: 64, batch: Math.min(job.batch, count) });
    for (let sent = 0; sent < count; drain(ports, inbox)) {
      sent += Math.max(0, train.send(ports[port]!.fd, DONTWAIT));
      if (performance.now() > end) throw new Error(`the switch has not learned ${job.stations} stations in time`);
    }
  }
  for (let quietSince = performance.now(); performance.now() - quietSince < QUIET_MS && performance.now() < end; ) {
    if (drain(ports, inbox) > 0) quietSince = performance.now();
  }
}

/** Reads one batch of every port; returns how many frames there were. */
export function drain(ports: readonly VdePort[], inbox: Inbox): number {
  let count = 0;
  for (const { fd } of ports) count += inbox.receive(fd, DONTWAIT);
  return count;
}
