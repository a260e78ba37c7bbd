// `weft slirp`: one gateway alone in this process, at one end of a cable whose other end is a plug into a network.

import { existsSync } from 'node:fs';
import { FailedError, UsageError } from '../core/assert.ts';
import type { NetworkOptions } from '../engine/network-service.io.ts';
import { Client } from './client.ts';
import { networkDirectory, networkName, networksDirectory } from './net-dir.ts';
import { gatewayOptions } from './slirp-options.ts';
import { type NodeOptions, serve } from './up.ts';

/** The options of a gateway by their names in a VNL, and what is this command's own. */
export interface SlirpOptions extends NodeOptions {
  name: string;
  [option: string]: unknown;
}

const PLUG_END = 0;

/** Runs until a signal comes or it is ended by `weft down NAME`. */
export async function slirp(net: string | undefined, options: SlirpOptions): Promise<number> {
  const { name } = options;
  if (!/^[A-Za-z0-9._-]{1,32}$/.test(name)) {
    throw new UsageError(`slirp: --name '${name.slice(0, 40)}': take letters, digits and . _ -, at most 32`);
  }
  const directory = `${networksDirectory()}/${name}`;
  await refuseSecond(name, directory);
  const vnl = await plugOf(net);
  const network: NetworkOptions = {
    name,
    directory,
    kind: 'cable',
    ports: 1,
    mode: 0o600,
    dirMode: 0o700,
    gateway: gatewayOptions(options),
    isPrivate: true,
  };
  return serve([network], [{ network: name, vnl, port: PLUG_END }], options);
}

/** Nobody joins a gateway's directory, so nothing but its control socket says that somebody serves it. */
async function refuseSecond(name: string, directory: string): Promise<void> {
  const other = await Client.connect(directory).catch(() => undefined);
  if (!other) return;
  other.close();
  throw new UsageError(`slirp: '${name}' is there already (${directory}); take another --name`);
}

/** A name or a directory has to be up, as anywhere else; a VNL may wait for the other side. */
async function plugOf(net: string | undefined): Promise<string> {
  const name = networkName(net);
  if (name.includes('://')) return name;
  const directory = networkDirectory(name);
  if (existsSync(`${directory}/stream`)) {
    (await Client.connect(name)).close(); // says so if what is there is what a crash left
    return `stream://${directory}/stream`;
  }
  if (existsSync(`${directory}/ctl`)) return `vde://${directory}`;
  throw new FailedError(`network '${name}' is not up (nobody serves ${directory}); start it with: weft up`);
}
