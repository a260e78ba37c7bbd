// Our stack and the kernel's on a TAP, iperf3's protocol between them; the kernel's end is the real iperf3.

import { type ChildProcess, spawn } from 'node:child_process';
import { IperfClient } from './iperf-client.ts';
import type { LanOptions } from './stack-lan.ts';
import { KERNEL, StackTap } from './stack-tap.ts';

const PORT = 5201;
const SETUP_SECONDS_MAX = 5;

/** One run; bits per second as the receiving side counted. */
export async function runStackIperf(
  options: LanOptions & { isIp6: boolean; isReverse: boolean; seconds: number },
): Promise<number> {
  const tap = new StackTap(options);
  const server = spawn('iperf3', ['-s', '-1', '-p', `${PORT}`, '--forceflush']);
  try {
    await listening(server);
    const host = KERNEL[options.isIp6 ? 6 : 4];
    const client = new IperfClient(tap.stack, host, PORT, options.seconds, options.isReverse);
    tap.until(() => client.isDone, 'the iperf3 run', options.seconds + SETUP_SECONDS_MAX);
    return (client.bytes * 8) / client.seconds;
  } finally {
    server.kill();
  }
}

function listening(server: ChildProcess): Promise<void> {
  let text = '';
  return new Promise((resolve, reject) => {
    server.stdout!.on('data', (data: Buffer) => {
      text += data;
      if (text.includes('listening')) resolve();
    });
    server.once('error', reject);
    server.once('exit', (code) => reject(new Error(`iperf3 -s ended with ${code}: ${text}`)));
  });
}
