// What guests do: iperf3, ab, dnsperf, our echo client. Each is a client in the guest and a sample of what it says.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Sample } from './gateway-rounds.ts';
import { type GatewayWorld, Port, WORLD, WORLD_NAME } from './gateway-world.ts';
import type { RunningGateway } from './gateways.ts';
import { busySeconds } from './machine.ts';
import { finish, start, stop, temporaryFolder } from './processes.ts';
import { built } from './switches.ts';

const IPERF_SECONDS = 2; // it counts whole seconds
const SECONDS_MAX = 15; // a client that hangs is ended
const CLIENTS = 16;
const GB = 1e9;

/** Titles of the metrics below. */
export const GBITS = 'Gbit/s';
export const MACHINE_CPU = 'CPU s/GB';
export const GATEWAY_CPU = 'gateway CPU s/GB';
export const LOSS = 'loss %';
export const PER_SECOND = 'a second';
export const CPU_EACH = 'gateway CPU µs each';

/** One run of a client in the guest: what it printed, and the CPU time of the machine and of the gateway meanwhile, s. */
async function runClient(
  gateway: RunningGateway,
  command: readonly string[],
): Promise<{ text: string; busyS: number; gatewayS: number }> {
  const [busy, own] = [busySeconds(), gateway.cpuNs()];
  const client = start(gateway.inGuest(command), { withChildren: true });
  try {
    const text = await finish(client, command[0]!, SECONDS_MAX);
    return { text, busyS: busySeconds() - busy, gatewayS: (gateway.cpuNs() - own) / 1e9 };
  } finally {
    await stop(client);
  }
}

/** How iperf3 is asked. */
export interface IperfLoad {
  readonly family: 4 | 6;
  readonly streams?: number;
  /** The world sends. */
  readonly isReverse?: boolean;
  /** Datagrams of 1,400 bytes at this rate instead of TCP. */
  readonly mbits?: number;
}

/** TCP: goodput and CPU time. UDP: what arrived and what was lost. */
export async function iperfLoad(gateway: RunningGateway, world: GatewayWorld, load: IperfLoad): Promise<Sample> {
  const { family, streams = 1, isReverse = false, mbits } = load;
  const server = await world.serveIperf();
  try {
    const { text, busyS, gatewayS } = await runClient(gateway, [
      ...['iperf3', '-c', WORLD[family], '-p', `${Port.Iperf}`, '-t', `${IPERF_SECONDS}`, '-J', '-P', `${streams}`],
      ...(isReverse ? ['-R'] : []),
      ...(mbits === undefined ? [] : ['-u', '-l', '1400', '-b', `${mbits}M`]),
    ]);
    const { end } = JSON.parse(text) as IperfReport;
    if (mbits !== undefined) {
      const { packets, lost_packets: lost, seconds } = end.sum;
      return { [LOSS]: (100 * lost) / packets, [GBITS]: ((packets - lost) * 1400 * 8) / seconds / GB };
    }
    const { bytes, bits_per_second: bits } = end.sum_received;
    return {
      [GBITS]: bits / GB,
      [MACHINE_CPU]: busyS / (bytes / GB),
      [GATEWAY_CPU]: gatewayS / (bytes / GB),
    };
  } finally {
    await stop(server);
  }
}

interface IperfReport {
  readonly end: {
    readonly sum_received: { readonly bytes: number; readonly bits_per_second: number };
    readonly sum: { readonly packets: number; readonly lost_packets: number; readonly seconds: number };
  };
}

/** Requests to nginx for 64 bytes, 16 at a time; each on a connection of its own unless `isKept`. */
export async function webLoad(gateway: RunningGateway, isKept: boolean, seconds: number): Promise<Sample> {
  const url = `http://${WORLD[4]}:${Port.Web}/`;
  const kept = isKept ? ['-k'] : [];
  const command = [
    'ab',
    '-q',
    '-c',
    `${CLIENTS}`,
    ...kept,
    '-t',
    `${Math.max(1, Math.round(seconds))}`,
    '-n',
    '100000000',
    url,
  ];
  const { text, gatewayS } = await runClient(gateway, command);
  const failed = Number(/^Failed requests:\s+(\d+)/m.exec(text)?.[1] ?? 1);
  const done = Number(/^Complete requests:\s+(\d+)/m.exec(text)?.[1] ?? 0);
  const perSecond = Number(/^Requests per second:\s+([\d.]+)/m.exec(text)?.[1]);
  if (failed > 0) throw new Error(`${failed} requests failed`);
  return { [PER_SECOND]: perSecond, [CPU_EACH]: (gatewayS * 1e6) / done };
}

/** Questions for a name that the server knows, 100 at a time. */
export async function dnsLoad(gateway: RunningGateway, server: string, seconds: number): Promise<Sample> {
  const path = join(temporaryFolder(), 'names');
  writeFileSync(path, `${WORLD_NAME} A\n`);
  const whole = `${Math.max(1, Math.round(seconds))}`;
  const command = ['dnsperf', '-s', server, '-d', path, '-l', whole, '-c', '4', '-T', '1', '-q', '100'];
  const { text, gatewayS } = await runClient(gateway, command);
  const done = Number(/Queries completed:\s+(\d+)/.exec(text)?.[1] ?? 0);
  const good = Number(/NOERROR (\d+)/.exec(text)?.[1] ?? 0);
  const perSecond = Number(/Queries per second:\s+([\d.]+)/.exec(text)?.[1]);
  if (done === 0 || good < done) throw new Error(`${good} of ${done} questions were answered well`);
  const lost = Number(/Queries lost:\s+(\d+)/.exec(text)?.[1] ?? 0);
  return { [PER_SECOND]: perSecond, [CPU_EACH]: (gatewayS * 1e6) / done, [LOSS]: (100 * lost) / (done + lost) };
}

/** 64 bytes there and back on an open connection, for a while: `p50 µs` and `p99 µs`. */
export async function echoLoad(gateway: RunningGateway, seconds: number): Promise<Sample> {
  const command = [process.execPath, built('bench-echo.js'), 'ask', WORLD[4], `${Port.Echo}`, `${seconds}`];
  return JSON.parse((await runClient(gateway, command)).text) as Sample;
}

/** Resident memory with so many open connections that are idle after 64 bytes each way, MiB, and what they added. */
export async function crowdLoad(gateway: RunningGateway, count: number): Promise<Sample> {
  const before = gateway.residentMib();
  const command = [process.execPath, built('bench-echo.js'), 'crowd', WORLD[4], `${Port.Web}`, `${count}`];
  const client = start(gateway.inGuest(command), { withChildren: true });
  try {
    const ended = finish(client, 'the crowd', SECONDS_MAX);
    ended.catch(() => undefined);
    await Promise.race([new Promise((resolve) => client.stdout!.once('data', resolve)), ended]);
    const during = gateway.residentMib();
    return { 'RSS MiB': during, 'more MiB': during - before };
  } finally {
    await stop(client);
  }
}
