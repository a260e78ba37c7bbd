// Opens the plugs that need nothing but Node's own event loop.

import { UsageError } from '../core/assert.ts';
import { openCommand, openStdio } from './command.io.ts';
import { openUdp } from './datagram.io.ts';
import type { PlugHost } from './host.ts';
import type { NodePlug, NodePlugHooks } from './node-plug.ts';
import { NullPort } from './null.ts';
import { openPcap } from './pcap.io.ts';
import { openStreamClient, openStreamListener } from './stream.io.ts';
import { isListener, type Vnl } from './vnl.ts';
import { openWebSocketClient, openWebSocketListener } from './websocket.io.ts';

type Open = (vnl: Vnl, host: PlugHost, hooks: NodePlugHooks) => NodePlug | Promise<NodePlug>;

const openStream: Open = (vnl, host, hooks) =>
  isListener(vnl) ? openStreamListener(vnl, host, hooks) : openStreamClient(vnl, host, hooks);
const openWebSocket: Open = (vnl, host, hooks) =>
  isListener(vnl) ? openWebSocketListener(vnl, host, hooks) : openWebSocketClient(vnl, host, hooks);

const openers: Readonly<Record<string, Open>> = {
  stream: openStream,
  tcp: openStream,
  tls: openStream,
  ws: openWebSocket,
  wss: openWebSocket,
  udp: openUdp,
  cmd: openCommand,
  stdio: (_vnl, host, hooks) => openStdio(host, hooks),
  pcap: openPcap,
  null: openNull,
};

/** True if `openNodePlug` can open it. */
export const isNodePlug = (vnl: Vnl): boolean => Object.hasOwn(openers, vnl.scheme);

/**
 * Opens a plug and hands its ports to `hooks`. Resolves once a listener listens; a client is open at once and connects when
 * it can. Rejects with `UsageError` for what the VNL asks wrongly, else with Node's error (EADDRINUSE, EACCES, ENOENT).
 *
 * @example const plug = await openNodePlug(parseVnl('stream:///tmp/s[listen]'), host, { onPort, onPortClosed });
 */
export async function openNodePlug(vnl: Vnl, host: PlugHost, hooks: NodePlugHooks): Promise<NodePlug> {
  if (!isNodePlug(vnl)) {
    const known = Object.keys(openers).join(', ');
    throw new UsageError(`${vnl.scheme}: not a plug of Node's event loop; those are ${known}`);
  }
  return await openers[vnl.scheme]!(vnl, host, hooks);
}

function openNull(_vnl: Vnl, _host: PlugHost, hooks: NodePlugHooks): NodePlug {
  const port = new NullPort();
  hooks.onPort(port);
  return { describe: () => 'null://', close: () => port.close() };
}
