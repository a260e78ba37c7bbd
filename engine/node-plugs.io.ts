// Which schemes live on Node's own loop, and how the engine opens them.

import { UsageError } from '../core/assert.ts';
import { openNodePlug } from '../plug/node-plugs.io.ts';
import type { Vnl } from '../plug/plug.ts';
import type { Fabric } from './fabric.io.ts';
import type { PlugSlot } from './fabric-node.io.ts';

const ALWAYS: ReadonlySet<string> = new Set(['ws', 'wss', 'tcp', 'tls', 'udp', 'cmd', 'stdio', 'pcap', 'null']);

/** True for plugs that are opened on the main thread and relayed to the fabric thread, where there is one. */
export const isNodeScheme = (vnl: Vnl): boolean =>
  ALWAYS.has(vnl.scheme) || (vnl.scheme === 'stream' && vnl.form === 'host');

/** Opens one; resolves to how to close it. Rejects with `UsageError`. */
export async function openNodePlugIn(vnl: Vnl, fabric: Fabric, slot: PlugSlot): Promise<() => void> {
  try {
    const plug = await openNodePlug(vnl, fabric, {
      onPort: (port) => slot.attach(port, { kind: vnl.scheme, description: vnl.address }),
      onPortClosed: (port) => slot.detach(port),
      onRefused: (why) => slot.state(why),
    });
    slot.state(plug.describe());
    return () => plug.close();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw code === undefined ? error : new UsageError(`${vnl.scheme}: ${vnl.address}: ${code}`);
  }
}
