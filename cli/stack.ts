// `weft stack`: a host on weft's own TCP/IP stack, in this process.

import { UsageError } from '../core/assert.ts';
import { StackHost } from '../engine/stack-host.io.ts';
import type { Serving } from '../engine/stack-listen.io.ts';
import { forwardIn, forwardOut } from '../engine/stack-relay.io.ts';
import { openServices } from '../engine/stack-services.io.ts';
import { parseMac } from './address.ts';
import { networkOf } from './network-of.ts';
import { parseForward } from './stack-options.ts';

export interface StackOptions {
  net?: string;
  L?: string[];
  R?: string[];
  echo?: boolean;
  mac?: string;
  quiet?: boolean;
}

const CONFIG_DEFAULT = 'eth';

/** Runs until a signal comes or the network is gone for good. */
export async function stack(line: string | undefined, options: StackOptions): Promise<number> {
  const local = (options.L ?? []).map((text) => parseForward('-L', text));
  const remote = (options.R ?? []).map((text) => parseForward('-R', text));
  const say = (text: string): void => {
    if (!options.quiet) process.stderr.write(`weft: ${text}\n`);
  };
  const mac = macOf(options.mac);
  const host = await StackHost.open({ ...networkOf(options.net), line: line ?? CONFIG_DEFAULT, mac, tell: say });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => host.close());
  const open: Serving[] = [];
  try {
    for (const forward of local) {
      const serving = await forwardIn(host, forward);
      open.push(serving);
      say(`${serving.at} on this host leads to ${forward.host} port ${forward.hostPort} in the network`);
    }
    for (const forward of remote) {
      const serving = forwardOut(host, forward);
      open.push(serving);
      say(`${serving.at} in the network leads to ${forward.host} port ${forward.hostPort} on this host`);
    }
    if (options.echo) open.push(...openServices(host));
    await host.ended;
    return 0;
  } finally {
    for (const serving of open) serving.close();
    host.close();
  }
}

function macOf(text: string | undefined): Uint8Array | undefined {
  if (text === undefined) return undefined;
  const mac = parseMac(text);
  if (mac) return mac;
  throw new UsageError(`stack: --mac '${text}': expected the MAC address of one station, such as 02:00:00:00:00:01`);
}
