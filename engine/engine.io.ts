// One running node: the fabric thread with its networks, and on this thread control, metrics and plugs of Node's own loop.

import { writeSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { Bug, FailedError, UsageError } from '../core/assert.ts';
import { parseVnl } from '../plug/plug.ts';
import { check, sys, whyNoNative } from '../sys/libc.io.ts';
import { ControlServer } from './control.io.ts';
import type { FabricMessage, FabricRequest, FabricWorkerData, FailureKind } from './fabric-worker.io.ts';
import type { NewGateway } from './gateway-host.io.ts';
import type { NetworkOptions } from './network-service.io.ts';
import { isNodeScheme } from './node-schemes.ts';
import type { Relays } from './relays.io.ts';

const EFD_CLOEXEC_NONBLOCK = 0o2004000;
const ONE = new Uint8Array(new BigUint64Array([1n]).buffer);

export interface EngineOptions {
  networks: readonly NetworkOptions[];
  plugs: readonly { network: string; vnl: string; port?: number | undefined }[];
  rxUsecs?: number | undefined;
  /** Port and address of the metrics listener, if any. */
  metrics?: { host: string; port: number } | undefined;
  /** Called for every event, for those who print them. */
  onEvent?: (event: EngineEvent) => void;
}

export interface EngineEvent {
  event: string;
  network: string;
  port?: number;
  text?: string;
}

type Ask = FabricRequest extends infer R ? (R extends { id: number } ? Omit<R, 'id'> : never) : never;

/** Runs commands wherever the networks live. */
interface Backend {
  execute(network: string | undefined, words: readonly string[]): Promise<unknown>;
  close(): Promise<void>;
}

/** A node in this process. `start` it, wait for `ended`. */
export class Engine {
  private readonly options: EngineOptions;
  private backend: Backend | undefined;
  private relays: Relays | undefined;
  private readonly controls: ControlServer[] = [];
  private readonly watchers = new Set<(event: EngineEvent) => void>();
  private readonly ended_: Promise<void>;
  private end: () => void = () => {};
  private isClosing = false;

  constructor(options: EngineOptions) {
    this.options = options;
    this.ended_ = new Promise((resolve) => {
      this.end = resolve;
    });
  }

  /** Resolves when every network is served. Throws `UsageError` with one line if it cannot be. */
  async start(): Promise<void> {
    const native = this.options.plugs.filter((plug) => !isNodeScheme(parseVnl(plug.vnl)));
    const others = this.options.plugs.filter((plug) => !native.includes(plug));
    const isNative = whyNoNative() === undefined;
    this.backend = isNative ? await this.startThread(native) : await this.startHere();
    try {
      for (const plug of isNative ? others : this.options.plugs) await this.addPlug(plug);
      for (const network of this.options.networks) {
        if (network.directory !== undefined) await this.serveControl(network.directory, network);
      }
      if (this.options.metrics) await this.serveMetrics(this.options.metrics);
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  /** Resolves when the node was closed, by `close` or by a command. */
  ended(): Promise<void> {
    return this.ended_;
  }

  /** Runs a command given as words. Rejects with `UsageError` or `FailedError`. */
  async execute(network: string | undefined, words: readonly string[]): Promise<unknown> {
    if (words[0] === 'plug/add' && words[1] !== undefined && isNodeScheme(parseVnl(words[1]))) {
      return this.addPlug({ ...this.placeOf(network, words), vnl: words[1] });
    }
    if (this.relays && words[0] === 'plug/remove' && this.relays.close(Number(words[1]))) return null;
    const result = await this.backend!.execute(network, words);
    if (this.relays && words[0] === 'plug/list') return [...(result as object[]), ...this.relays.list()];
    return result;
  }

  /** Subscribes to events; returns how to stop. */
  watch(watcher: (event: EngineEvent) => void): () => void {
    this.watchers.add(watcher);
    return () => this.watchers.delete(watcher);
  }

  async close(): Promise<void> {
    if (this.isClosing) return this.ended_;
    this.isClosing = true;
    for (const control of this.controls) control.close();
    this.relays?.closeAll();
    await this.backend?.close();
    this.end();
  }

  private notify(event: EngineEvent): void {
    this.options.onEvent?.(event);
    for (const watcher of this.watchers) watcher(event);
  }

  private startThread(plugs: EngineOptions['plugs']): Promise<Backend> {
    const kick = check(sys().eventfd(0, EFD_CLOEXEC_NONBLOCK), 'eventfd');
    const workerData: FabricWorkerData = {
      kick,
      networks: this.options.networks,
      plugs,
      rxUsecs: this.options.rxUsecs ?? 0,
    };
    const worker = new Worker(new URL('./fabric.js', import.meta.url), { workerData, name: 'fabric' });
    const thread = new Thread(worker, kick, (event) => this.notify(event));
    let isReady = false;
    return new Promise((resolve, reject) => {
      // A node without its fabric thread serves nobody: once it was ready, its failure ends the process.
      const fail = (error: Error): void => {
        if (isReady) throw error;
        reject(error);
      };
      worker.on('error', fail);
      worker.on('message', (message: FabricMessage) => {
        if (message.say === 'ready') {
          isReady = true;
          resolve(thread);
        } else if (message.say === 'failed') fail(errorOf(message.error, message.kind));
        else if (message.say === 'shutdown') void this.close();
        else thread.hear(message);
      });
    });
  }

  /** Without native calls everything lives on this thread: node:net, WebSocket, UDP. */
  private async startHere(): Promise<Backend> {
    const { Fabric } = await import('./fabric.io.ts');
    const { FabricNode } = await import('./fabric-node.io.ts');
    const { openNodePlugIn } = await import('./node-plugs.io.ts');
    const fabric = new Fabric({ tell: (text) => this.notify({ event: 'plug', network: '', text }) });
    const hasGateways = this.options.networks.some(({ gateway }) => gateway !== undefined);
    const node = new FabricNode(fabric, {
      notify: (event) => this.notify(event),
      shutdown: () => void this.close(),
      openNodePlug: openNodePlugIn,
      newGateway: hasGateways ? await loadGateways() : undefined,
      loadGateways,
    });
    for (const network of this.options.networks) {
      node.openNetwork(network);
      if (network.directory !== undefined) {
        await node.openPlug(network.name, `stream://${network.directory}/stream[listen]`, undefined);
      }
    }
    fabric.runOnLoop();
    return {
      execute: async (network, words) => node.execute(network, words),
      close: async () => {
        node.close();
        fabric.stop();
      },
    };
  }

  private async addPlug({
    network,
    vnl,
    port,
  }: {
    network: string;
    vnl: string;
    port?: number | undefined;
  }): Promise<unknown> {
    if (!(this.backend instanceof Thread)) {
      return this.backend!.execute(network, ['plug/add', vnl, ...(port === undefined ? [] : [String(port)])]);
    }
    const relays = await this.relaysTo(this.backend);
    return { id: await relays.open(network, vnl, port) };
  }

  private async relaysTo(thread: Thread): Promise<Relays> {
    const { Relays } = await import('./relays.io.ts');
    this.relays ??= new Relays(
      (to, fd, wanted, info) => thread.ask({ ask: 'relay', network: to, fd, wanted, info }) as Promise<number>,
      (event) => this.notify(event),
    );
    return this.relays;
  }

  /** Where `plug/add VNL [PORT]` of a plug of this thread goes; the fabric thread checks the others. */
  private placeOf(name: string | undefined, words: readonly string[]): { network: string; port: number | undefined } {
    const { networks } = this.options;
    const network = name === undefined ? networks[0] : networks.find((n) => n.name === name);
    if (!network)
      throw new UsageError(`network '${name}' is not here; there are: ${networks.map((n) => n.name).join(', ')}`);
    const [, , text, extra] = words;
    if (extra !== undefined)
      throw new UsageError(`plug/add: '${extra.slice(0, 40)}' is too much; usage: plug/add <vnl> [port]`);
    if (text === undefined) return { network: network.name, port: undefined };
    if (!/^\d{1,5}$/.test(text) || Number(text) > network.ports) {
      throw new UsageError(`port '${text.slice(0, 40)}' is out of range; take 0 … ${network.ports}`);
    }
    return { network: network.name, port: Number(text) };
  }

  private async serveControl(directory: string, { name, mode }: NetworkOptions): Promise<void> {
    const control = new ControlServer({
      path: `${directory}/control`,
      mode: mode & 0o700, // who may join may not therefore end the node
      execute: (network, words) => this.execute(network ?? name, words),
      watch: (watcher) => this.watch(watcher),
    });
    await control.listen();
    this.controls.push(control);
  }

  private async serveMetrics(address: { host: string; port: number }): Promise<void> {
    const { MetricsServer } = await import('./metrics-server.io.ts');
    const server = new MetricsServer(() => this.execute(undefined, ['metrics']) as Promise<string>);
    const bound = await server.listen(address);
    this.notify({ event: 'metrics', network: '', text: `http://${bound}/metrics` });
    void this.ended_.then(() => server.close());
  }
}

const loadGateways = async (): Promise<NewGateway> => (await import('./gateway-host.io.ts')).newGateway;

function errorOf(text: string, kind: FailureKind): Error {
  if (kind === 'usage') return new UsageError(text);
  return kind === 'failed' ? new FailedError(text) : new Bug(text);
}

/** The fabric thread as seen from here. */
class Thread implements Backend {
  private readonly worker: Worker;
  private readonly kick: number;
  private readonly notify: (event: EngineEvent) => void;
  private readonly waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  private readonly onExit: () => void;
  private nextId = 1;

  constructor(worker: Worker, kick: number, notify: (event: EngineEvent) => void) {
    this.worker = worker;
    this.kick = kick;
    this.notify = notify;
    // A thread that blocks in the kernel would keep the process from ending.
    this.onExit = () => this.wake();
    process.on('exit', this.onExit);
  }

  execute(network: string | undefined, words: readonly string[]): Promise<unknown> {
    return this.ask({ ask: 'execute', network, words });
  }

  ask(request: Ask): Promise<unknown> {
    const id = this.nextId++;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.worker.postMessage({ id, ...request });
      this.wake();
    });
  }

  hear(message: FabricMessage): void {
    if (message.say === 'event') this.notify(message.event);
    if (message.say !== 'answer') return;
    const waiting = this.waiting.get(message.id);
    this.waiting.delete(message.id);
    if (message.error === undefined) waiting?.resolve(message.result);
    else waiting?.reject(errorOf(message.error, message.kind ?? 'usage'));
  }

  async close(): Promise<void> {
    const exited = new Promise((resolve) => this.worker.once('exit', resolve));
    await this.ask({ ask: 'close' });
    await exited;
    process.off('exit', this.onExit);
    sys().close(this.kick);
  }

  private wake(): void {
    writeSync(this.kick, ONE);
  }
}
