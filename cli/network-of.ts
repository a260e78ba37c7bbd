// How a host on a stack of ours gets into a network: the plug that NET stands for.

import { existsSync } from 'node:fs';
import { FailedError } from '../core/assert.ts';
import { networkDirectory, networkName } from './net-dir.ts';

/** A plug, and how NET is called in news. */
export interface NetworkPlug {
  readonly name: string;
  readonly vnl: string;
  readonly mustBeUp: boolean;
}

/** A name or a directory has to be up, like anywhere else; a VNL may wait for the other side. Throws `FailedError`. */
export function networkOf(net: string | undefined): NetworkPlug {
  const name = networkName(net);
  if (name.includes('://')) return { name, vnl: name, mustBeUp: false };
  const directory = networkDirectory(name);
  if (existsSync(`${directory}/stream`)) return { name, vnl: `stream://${directory}/stream`, mustBeUp: true };
  if (existsSync(`${directory}/ctl`)) return { name, vnl: `vde://${directory}`, mustBeUp: false };
  throw new FailedError(`network '${name}' is not up (nobody serves ${directory}); start it with: weft up`);
}
