// Which schemes live on Node's own loop, and how the engine opens them.

import type { Vnl } from '../plug/vnl.ts';
import type { Fabric } from './fabric.io.ts';
import type { PlugSlot } from './fabric-node.io.ts';

/** Opened on the main thread and relayed to the fabric thread, where there is one. */
export const NODE_SCHEMES: ReadonlySet<string> = new Set([
  'ws',
  'wss',
  'tcp',
  'tls',
  'udp',
  'cmd',
  'stdio',
  'pcap',
  'null',
]);

/** Opens one; returns how to close it, or undefined if the scheme is none of these. */
export function openNodePlugIn(_vnl: Vnl, _fabric: Fabric, _slot: PlugSlot): (() => void) | undefined {
  return undefined;
}
