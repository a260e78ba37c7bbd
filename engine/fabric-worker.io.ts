// The fabric thread: blocks in epoll and runs batches to completion. The main thread talks to it by messages and a kick.

import { type MessagePort, parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { FailedError, UsageError } from '../core/assert.ts';
import type { PortInfo } from '../plug/plug.ts';
import { EPOLLIN } from '../sys/epoll.io.ts';
import { sys } from '../sys/libc.io.ts';
import { Fabric } from './fabric.io.ts';
import { FabricNode, type FabricNodeOptions } from './fabric-node.io.ts';
import type { NewGateway } from './gateway-host.io.ts';
import type { NetworkOptions } from './network-service.io.ts';
import { isGatewayScheme } from './node-schemes.ts';

/** What the thread is started with. */
export interface FabricWorkerData {
  kick: number; // an eventfd: readable when a message waits
  networks: readonly NetworkOptions[];
  plugs: readonly { network: string; vnl: string; port?: number | undefined }[];
  rxUsecs: number;
}

/** What it may be asked; each is answered with the same `id`. */
export type FabricRequest = { id: number } & (
  | { ask: 'execute'; network: string | undefined; words: readonly string[] }
  | { ask: 'relay'; network: string; fd: number; wanted: number; info: PortInfo }
  | { ask: 'close' }
);

/** Whose fault it was: the operator's, the circumstances', ours. */
export type FailureKind = 'usage' | 'failed' | 'bug';

/** What it says. */
export type FabricMessage =
  | { say: 'ready'; networks: readonly string[] }
  | { say: 'failed'; error: string; kind: FailureKind }
  | { say: 'answer'; id: number; result?: unknown; error?: string; kind?: FailureKind }
  | { say: 'event'; event: { event: string; network: string; port?: number; text?: string } }
  | { say: 'shutdown' };

const SAY = (message: FabricMessage): void => (parentPort as MessagePort).postMessage(message);

const loadGateways = async (): Promise<NewGateway> => (await import('./gateway-host.io.ts')).newGateway;

/** Asked for a gateway while its code is not there: the loop ends for as long as it takes to load it. */
const isForGateway = (request: FabricRequest): boolean =>
  request.ask === 'execute' && request.words[0] === 'plug/add' && isGatewayScheme(request.words[1] ?? '');

async function serve(data: FabricWorkerData): Promise<void> {
  const fabric = new Fabric({ rxUsecs: data.rxUsecs });
  const options: FabricNodeOptions = {
    notify: (event) => SAY({ say: 'event', event }),
    shutdown: () => SAY({ say: 'shutdown' }),
  };
  const node = new FabricNode(fabric, options);
  const hasGateways =
    data.networks.some(({ gateway }) => gateway !== undefined) || data.plugs.some(({ vnl }) => isGatewayScheme(vnl));
  if (hasGateways) options.newGateway = await loadGateways();
  try {
    for (const network of data.networks) node.openNetwork(network);
    for (const plug of data.plugs) node.openPlug(plug.network, plug.vnl, plug.port);
  } catch (error) {
    node.close();
    throw error;
  }
  const postponed: FabricRequest[] = [];
  const scratch = fabric.slab.alloc(64);
  fabric.watch(data.kick, EPOLLIN, {
    ready: () => {
      sys().read(data.kick, fabric.address + scratch, 8);
      for (;;) {
        const received = receiveMessageOnPort(parentPort as MessagePort);
        if (!received) return;
        const request = received.message as FabricRequest;
        if (postponed.length === 0 && (options.newGateway || !isForGateway(request))) answer(fabric, node, request);
        else {
          postponed.push(request);
          fabric.interrupt();
        }
      }
    },
  });
  SAY({ say: 'ready', networks: node.networkNames() });
  for (;;) {
    fabric.runBlocking();
    if (postponed.length === 0) return;
    options.newGateway ??= await loadGateways();
    for (const request of postponed.splice(0)) answer(fabric, node, request);
  }
}

function answer(fabric: Fabric, node: FabricNode, request: FabricRequest): void {
  const { id } = request;
  try {
    let result: unknown;
    if (request.ask === 'execute') result = node.execute(request.network, request.words);
    else if (request.ask === 'relay') {
      result = node.attachRelay(request.network, request.fd, request.wanted, request.info);
    } else {
      node.close();
      fabric.stop();
    }
    SAY({ say: 'answer', id, result: result ?? null });
  } catch (error) {
    const kind = kindOf(error);
    if (kind === 'bug') throw error;
    SAY({ say: 'answer', id, error: (error as Error).message, kind });
  }
}

const kindOf = (error: unknown): FailureKind =>
  error instanceof UsageError ? 'usage' : error instanceof FailedError ? 'failed' : 'bug';

try {
  await serve(workerData as FabricWorkerData);
} catch (error) {
  const kind = kindOf(error);
  const { message, stack } = error as Error;
  SAY({ say: 'failed', error: kind === 'bug' ? String(stack) : message, kind });
}
