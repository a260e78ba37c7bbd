// `weft/net`: Node's modules on stacks of ours, for programs; and, by `node --import weft/net app.js`, for programs that know
// nothing of it.
//
//   WEFT_NET     the network, as everywhere: a name, a directory, a VNL
//   WEFT_STACK   the host's line of configuration, as of `weft stack`: `eth,auto` by default

import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isMainThread } from 'node:worker_threads';
import { FailedError, UsageError } from '../core/assert.ts';
import { StackHost } from '../engine/stack-host.io.ts';
import { AddressState, isIp4, isLinkLocal, parseConfig, type Stack } from '../stack/stack.ts';
import { placeOf } from '../thread/place.io.ts';
import { type NodeApi, nodeApi, runEverywhere, runOutside } from '../thread/run.io.ts';
import { networkOf } from './network-of.ts';

export {
  Errno,
  Family,
  How,
  MessageFlag,
  Ready,
  SocketError,
  SocketOption,
  SocketType,
  TcpOption,
} from '../stack/stack.ts';
export { createDgram } from '../thread/dgram.io.ts';
export { createDns } from '../thread/dns.io.ts';
export { MultiSocket, msocket } from '../thread/msocket.io.ts';
export { createNet } from '../thread/net.io.ts';
export type { StackContext } from '../thread/place.io.ts';
export { type NodeApi, nodeApi, runEverywhere, runOutside } from '../thread/run.io.ts';

const LINE_DEFAULT = 'eth,auto';
const READY_MS_MAX = 5000; // a network may have nobody who gives addresses
const LINGER_MS_MAX = 2000; // for what the peer has not acknowledged when the program ends
const LINGER_STEP_MS = 10;

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
  /** Takes it out of the network. What is open fails with ECONNABORTED. */
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
    close: () => host.close(),
    [Symbol.asyncDispose]: async () => host.close(),
  };
  const api = nodeApi(host);
  return Object.defineProperties(own, Object.getOwnPropertyDescriptors(api)) as typeof own & NodeApi;
}

/** The plug's own sockets are the host's, also when the program that asks for it is on another stack. */
function openHost({
  net,
  line = LINE_DEFAULT,
  mac,
  isBackground = true,
  tell = () => {},
}: NewStackOptions): Promise<StackHost> {
  return runOutside(async () => {
    const plug = networkOf(net ?? (parseConfig(line).vnl || undefined));
    const host = await StackHost.open({ ...plug, line, mac, tell, isBackground });
    await Promise.race([hasAddresses(host.stack, line), host.ended]);
    return host;
  });
}

/** Fulfilled when an address can be used: of IPv4 where DHCP was asked for one, else any that is not link-local. */
function hasAddresses(stack: Stack, line: string): Promise<void> {
  const awaitsIp4 = /(^|,)(auto4?|dhcp)(,|$)/.test(line);
  const { addresses } = stack;
  const isReady = (): boolean =>
    [...addresses.ids()].some((a) => {
      const state = addresses.stateOf(a);
      const address = addresses.addressOf(a);
      if (addresses.ifaceOf(a) === LOOPBACK || state === AddressState.Tentative || state === AddressState.Duplicate)
        return false;
      return !isLinkLocal(address) && (!awaitsIp4 || isIp4(address));
    });
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, READY_MS_MAX);
    stack.onNews(() => {
      if (!isReady()) return;
      clearTimeout(timer);
      resolve();
    });
  });
}

const LOOPBACK = 1;

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
    lingerAtEnd(host);
  } catch (error) {
    if (!(error instanceof UsageError || error instanceof FailedError)) throw error;
    process.stderr.write(`weft: ${error.message}\n`);
    process.exit(error instanceof UsageError ? 2 : 1);
  }
}

/** A kernel goes on sending for a process that is gone. Here the process waits a little, then says good-bye. */
function lingerAtEnd(host: StackHost): void {
  let waitedMs = 0;
  process.on('beforeExit', () => {
    if (!host.stack.tcp.isUnacknowledged || waitedMs >= LINGER_MS_MAX) return;
    waitedMs += LINGER_STEP_MS;
    setTimeout(() => {}, LINGER_STEP_MS);
  });
  process.on('exit', () => {
    placeOf(host).closeAll();
    host.flush();
    host.close();
  });
}

if (isPreload()) {
  if (isMainThread) await preload();
  else {
    process.stderr.write('weft: weft/net works in the main thread only; worker threads are refused\n');
    process.exit(1);
  }
}
