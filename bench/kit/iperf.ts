// iperf3 between two hosts: one connection, and what the receiver counted.

import type { ChildProcess } from 'node:child_process';
import { HOSTS, HOSTS6, type TwoHosts } from './hosts.ts';
import { busySeconds } from './machine.ts';
import { finish, start, stop } from './processes.ts';

const SECONDS = 2; // iperf3 counts whole seconds
const SECONDS_MAX = 8;

/** What one run of iperf3 measured. */
export interface IperfSample {
  readonly gbits: number;
  /** CPU seconds of the machine for each 10^9 bytes. */
  readonly cpuPerGb: number;
}

/** Host 1 sends to host 0. */
export async function iperf(hosts: TwoHosts, isIp6 = false): Promise<IperfSample> {
  const address = (isIp6 ? HOSTS6 : HOSTS)[0];
  const options = { withChildren: true };
  const server = start(hosts.on(0, ['iperf3', '-s', '-1', '-B', address, '--forceflush']), options);
  try {
    await Promise.race([heard(server.stdout!, 'listening'), finish(server, 'the iperf3 server', SECONDS_MAX)]);
    return await iperfClient((words) => hosts.on(1, words), address);
  } finally {
    await stop(server);
  }
}

/** One run of a client; `more` are further options. */
export async function iperfClient(
  on: (command: readonly string[]) => readonly string[],
  address: string,
  more: readonly string[] = [],
): Promise<IperfSample> {
  const before = busySeconds();
  const command = on(['iperf3', '-c', address, '-t', `${SECONDS}`, '-J', ...more]);
  const report = await reportOf(start(command, { withChildren: true }));
  const { bytes, bits_per_second } = report.end.sum_received;
  return { gbits: bits_per_second / 1e9, cpuPerGb: (busySeconds() - before) / (bytes / 1e9) };
}

/**
 * What a client reports. It is taken as soon as it is whole: `vdens` does not always end when its program has.
 */
async function reportOf(client: ChildProcess): Promise<Report> {
  try {
    const ended = finish(client, 'the iperf3 client', SECONDS_MAX);
    const text = await Promise.race([heard(client.stdout!, '\n}\n'), ended]);
    return JSON.parse(text) as Report;
  } finally {
    await stop(client);
  }
}

interface Report {
  readonly end: { readonly sum_received: { readonly bytes: number; readonly bits_per_second: number } };
}

/** What a program has printed when `word` was in it. */
export function heard(stream: NodeJS.ReadableStream, word: string): Promise<string> {
  let text = '';
  return new Promise((resolve) => {
    stream.on('data', (data: Buffer) => {
      text += data;
      if (text.includes(word)) resolve(text);
    });
  });
}
