// `weft plug A B`: a cable between two plugs in this process; `weft plug A`: the other end is stdin and stdout.

import { UsageError } from '../core/assert.ts';
import { Fabric } from '../engine/fabric.io.ts';
import { FabricNode } from '../engine/fabric-node.io.ts';
import { openNodePlugIn } from '../engine/node-plugs.io.ts';
import { networkDirectory } from './net-dir.ts';

/** Runs until an end is closed for good or a signal comes. */
export async function plug(
  one: string | undefined,
  other: string | undefined,
  { quiet }: { quiet?: boolean },
): Promise<number> {
  const fabric = new Fabric({ tell: (text) => process.stderr.write(`weft: ${text}\n`) });
  let end: () => void = () => {};
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  const node = new FabricNode(fabric, {
    // stdout may carry frames: news goes to stderr.
    notify: ({ event, text }) => {
      if (!quiet && event === 'plug') process.stderr.write(`weft: ${text}\n`);
    },
    shutdown: () => end(),
    openNodePlug: openNodePlugIn,
    loadGateways: async () => (await import('../engine/gateway-host.io.ts')).newGateway,
  });
  fabric.runOnLoop();
  try {
    node.openNetwork({ name: 'cable', kind: 'cable', ports: 1, mode: 0o600, dirMode: 0o700 });
    await node.openPlug('cable', vnlOf(one), 0);
    await node.openPlug('cable', other === undefined ? 'stdio://' : vnlOf(other), 1);
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => end());
    if (other === undefined) process.stdin.on('end', () => end());
    await ended;
    return 0;
  } finally {
    // After a refusal too: the loop would keep the process alive.
    node.close();
    fabric.stop();
  }
}

/** A name of a network, like `default`, means its directory. */
function vnlOf(text: string | undefined): string {
  if (text === undefined || /^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(text)) return `vde://${networkDirectory(text)}`;
  if (text === '') throw new UsageError('plug: an empty VNL; name a network, a directory or scheme://…');
  return text;
}
