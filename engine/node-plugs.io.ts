// How the engine opens plugs that live on Node's own loop.

import { UsageError } from '../core/assert.ts';
import { openNodePlug } from '../plug/node-plugs.io.ts';
import type { NodePlug, PlugHost, Vnl } from '../plug/plug.ts';
import type { Fabric } from './fabric.io.ts';
import type { PlugSlot } from './fabric-node.io.ts';

/** Opens one; resolves to how to close it. Rejects with `UsageError`. */
export async function openNodePlugIn(vnl: Vnl, fabric: Fabric, slot: PlugSlot): Promise<() => void> {
  let plug: NodePlug | undefined;
  const state = (text: string): void => slot.state(text, () => plug?.describe() ?? text);
  const host: PlugHost = {
    slab: fabric.slab,
    nowUs: () => fabric.nowUs(),
    wake: (port) => fabric.wake(port),
    drained: (port) => fabric.drained(port),
    tell: (_port, text) => state(text),
  };
  try {
    const opened = await openNodePlug(vnl, host, {
      onPort: (port) => slot.attach(port, { kind: vnl.scheme, description: vnl.address }),
      onPortClosed: (port) => slot.detach(port),
      onRefused: state,
    });
    plug = opened;
    state(opened.describe());
    return () => opened.close();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw code === undefined ? error : new UsageError(`${vnl.scheme}: ${vnl.address}: ${code}`);
  }
}
