// `weft/net`: Node's modules on stacks of ours, for programs; and, by `node --import weft/net app.js`, for programs that know
// nothing of it.
//
//   WEFT_NET     the network, as everywhere: a name, a directory, a VNL
//   WEFT_STACK   the host's line of configuration, as of `weft stack`: `eth,auto` by default

import { createRequire, syncBuiltinESMExports } from 'node:module';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Worker } from 'node:worker_threads';
import { FailedError, UsageError } from '../core/assert.ts';
import { closeProgramHost, lingerAtEnd, networkOfLine, openProgramHost } from '../engine/program-host.io.ts';
import type { StackHost } from '../engine/stack-host.io.ts';
import { type NodeApi, nodeApi, runEverywhere, type Stack } from '../thread/library.io.ts';
import { networkOf } from './network-of.ts';

export * from '../thread/library.io.ts';

const LINE_DEFAULT = 'eth,auto';

/** Where a new stack is, and what it is like. */
export interface NewStackOptions {
  /** The network: a name, a directory or a VNL. Default: `vnl=` of the line, else `$WEFT_NET`, else `default`. */
  readonly net?: string;
  /** The host's line of configuration, `eth,ip=10.0.0.2/24,gw=10.0.0.1`. Default `eth,auto`. */
  readonly line?: string;
  /** 6 bytes. Default: the line's, else a random one. */
  readonly mac?: Uint8Array;
  /** True: the process ends when nothing else holds it, as with the host's own sockets that are idle. Default true. */
  readonly isBackground?: boolean;
  /** Hears the host's news, a line each. */
  readonly tell?: (text: string) => void;
}

/** A host on a stack of ours in this process, with Node's modules on it. */
export interface WeftStack extends NodeApi, AsyncDisposable {
  readonly stack: Stack;
  tick(): void;
  /** Takes it out of the network. What is open is closed. */
  close(): void;
}

/**
 * A new host in a network; fulfilled when it has its addresses, or after 5 s without any. Rejects with `UsageError` or
 * `FailedError`, each one line.
 * @example
 * await using lab = await newStack({ net: 'lab', line: 'eth,ip=10.0.0.2/24' });
 * console.log(await (await lab.fetch('http://10.0.0.1/')).text());
 */
export async function newStack(options: NewStackOptions = {}): Promise<WeftStack> {
  const host = await openHost(options);
  const own = {
    stack: host.stack,
    tick: () => host.tick(),
    close: () => closeProgramHost(host),
    [Symbol.asyncDispose]: async () => closeProgramHost(host),
  };
  const api = nodeApi(host);
  return Object.defineProperties(own, Object.getOwnPropertyDescriptors(api)) as typeof own & NodeApi;
}

function openHost({
  net,
  line = LINE_DEFAULT,
  mac,
  isBackground = true,
  tell = () => {},
}: NewStackOptions): Promise<StackHost> {
  return openProgramHost({ ...networkOf(net ?? networkOfLine(line)), line, mac, tell, isBackground });
}

// The preload.

/** True if this module was named by `--import`, in the arguments or in NODE_OPTIONS. */
function isPreload(): boolean {
  const words = [...process.execArgv, ...(process.env.NODE_OPTIONS ?? '').split(/\s+/)];
  return words.some((word, i) => {
    const value = word === '--import' ? words[i + 1] : /^--import=(.*)$/.exec(word)?.[1];
    return value !== undefined && isThis(value.replace(/^["']|["']$/g, ''));
  });
}

const isThis = (name: string): boolean =>
  name === 'weft/net' || name === import.meta.url || resolve(name) === fileURLToPath(import.meta.url);

/** Joins, and puts all code of the process on the stack. What fails ends the process: it must not run on the host's network. */
async function preload(): Promise<void> {
  const { WEFT_STACK: line = LINE_DEFAULT, WEFT_NET: net, WEFT_VERBOSE: verbose } = process.env;
  const tell = (text: string): void => {
    if (verbose) process.stderr.write(`weft: ${text}\n`);
  };
  try {
    const host = await openHost({ line, tell, ...(net !== undefined && { net }) });
    host.ended.catch((error: Error) => process.stderr.write(`weft: ${error.message}\n`));
    runEverywhere(host);
    refuseWorkers();
    lingerAtEnd(host);
  } catch (error) {
    if (!(error instanceof UsageError || error instanceof FailedError)) throw error;
    process.stderr.write(`weft: ${error.message}\n`);
    process.exit(error instanceof UsageError ? 2 : 1);
  }
}

/** A thread would be on the host's network. Node runs no preload in workers that are made of text, so none is made at all. */
function refuseWorkers(): void {
  const workers = createRequire(import.meta.url)('node:worker_threads') as { Worker: typeof Worker };
  workers.Worker = new Proxy(workers.Worker, {
    construct: () => {
      throw new Error('weft/net: worker threads are refused, as they would be on the network of the host');
    },
  });
  syncBuiltinESMExports();
}

if (isPreload()) await preload();
