// A grant of host sockets on this process's loop, and users of its handles that keep what they hear.

import { EventEmitter, once } from 'node:events';
import * as net from 'node:net';
import { Slab } from '../../core/slab.ts';
import { Span } from '../../core/span.ts';
import { Fabric } from '../../engine/fabric.io.ts';
import { type DescriptorWatcher, NativeSockets } from '../../slirp/host-sockets.io.ts';
import { NodeSockets } from '../../slirp/node-sockets.io.ts';
import { DatagramBatch, HostReady, type HostSockets, type HostUser } from '../../slirp/slirp.ts';
import { type Address, Errno, parseAddress, SocketName } from '../../stack/stack.ts';
import { until } from '../kit/test-host.ts';

export const ANY: Address = new Int32Array(4);
const { In, Out } = HostReady;

export interface GrantOptions {
  readonly handlesMax?: number;
}

/** A grant and its loop. What wants to be told is told in the turn of the loop after. */
export class Grant {
  readonly slab: Slab;
  readonly host: HostSockets & { readonly count: number; end(): void };
  readonly batch: DatagramBatch;
  /** How often `dispatch` was called. */
  turns = 0;
  /** Calls of epoll_ctl, of the native grant. */
  epollCalls = 0;
  /** False: `dispatch` is called by the test alone. */
  isOnLoop = true;
  private readonly fabric: Fabric | undefined;
  private isDue = false;
  private isOver = false;

  constructor(kind: 'native' | 'node', options: GrantOptions = {}) {
    const wake = (): void => this.wake();
    if (kind === 'native') {
      const fabric = new Fabric();
      const loop = {
        slab: fabric.slab,
        address: fabric.address,
        watch: (fd: number, events: number, watcher: DescriptorWatcher): void => {
          this.epollCalls++;
          fabric.watch(fd, events, watcher);
        },
        rewatch: (fd: number, events: number): void => {
          this.epollCalls++;
          fabric.rewatch(fd, events);
        },
        unwatch: (fd: number): void => {
          this.epollCalls++;
          fabric.unwatch(fd);
        },
        wake,
      };
      fabric.runOnLoop();
      this.fabric = fabric;
      this.slab = fabric.slab;
      this.host = new NativeSockets(loop, options);
    } else {
      this.slab = new Slab({ bytesMax: 64 << 20 });
      this.host = new NodeSockets({ slab: this.slab, wake }, options);
    }
    this.batch = new DatagramBatch(this.slab);
  }

  end(): void {
    this.isOver = true;
    this.host.end();
    this.fabric?.stop();
  }

  private wake(): void {
    if (this.isDue || !this.isOnLoop) return;
    this.isDue = true;
    setImmediate(() => {
      this.isDue = false;
      if (this.isOver) return;
      this.turns++;
      this.host.dispatch();
    });
  }
}

/** Keeps what it is told, and wants what it is told to want. */
export class Listening implements HostUser {
  readonly grant: Grant;
  readonly h: number;
  /** All bits that it was ever told. */
  seen = 0;
  told = 0;
  act: ((events: number) => void) | undefined;

  constructor(grant: Grant, h: number, wanted = 0) {
    if (h < 0) throw new Error(`no handle: ${h}`);
    this.grant = grant;
    this.h = h;
    grant.host.claim(h, this);
    grant.host.want(h, wanted);
  }

  ready(_h: number, events: number): void {
    this.seen |= events;
    this.told++;
    this.act?.(events);
  }

  async hears(bits: number): Promise<void> {
    await until(() => (this.seen & bits) !== 0, `events ${bits} of handle ${this.h}, ${this.seen} so far`);
  }
}

const RING_BYTES = 64 * 1024;

/** A stream's end: sends what it is given, keeps what arrives, both through rings that wrap anywhere. */
export class End implements HostUser {
  readonly grant: Grant;
  readonly h: number;
  received: Buffer[] = [];
  receivedBytes = 0;
  /** The first result that was an error, or 0. */
  code = 0;
  hasEnded = false;
  seen = 0;
  isConnected = false;
  private readonly into: number;
  private readonly from: number;
  private readonly span = new Span();
  private readonly queue: Buffer[] = [];
  private turn = 0;
  private isReading = true;
  private ends = false;

  constructor(grant: Grant, h: number) {
    if (h < 0) throw new Error(`no handle: ${h}`);
    this.grant = grant;
    this.h = h;
    this.into = grant.slab.alloc(RING_BYTES);
    this.from = grant.slab.alloc(RING_BYTES);
    grant.host.claim(h, this);
    grant.host.want(h, In | Out);
  }

  ready(_h: number, events: number): void {
    this.seen |= events;
    if (events & Out) {
      this.isConnected = true;
      this.write();
    }
    if (events & In) this.read();
    if (events & HostReady.Error && this.code === 0) this.code = -this.grant.host.takeError(this.h);
    this.wish();
  }

  send(bytes: Buffer): this {
    this.queue.push(bytes);
    this.wish();
    return this;
  }

  /** Ends our stream when everything was sent. */
  finish(): this {
    this.ends = true;
    this.wish();
    return this;
  }

  reads(isReading: boolean): void {
    this.isReading = isReading;
    this.wish();
  }

  get bytes(): Buffer {
    return Buffer.concat(this.received);
  }

  private wish(): void {
    const reads = this.isReading && !this.hasEnded && this.code === 0;
    const writes = !this.isConnected || this.queue.length > 0 || this.ends;
    this.grant.host.want(this.h, (reads ? In : 0) | (writes && this.code === 0 ? Out : 0));
  }

  private write(): void {
    const { grant, span, from } = this;
    for (let chunk = this.queue.shift(); chunk; chunk = this.queue.shift()) {
      const part = chunk.subarray(0, RING_BYTES);
      const first = this.wrap(span, from, part.length);
      grant.slab.bytes.set(part.subarray(0, first), span.at);
      grant.slab.bytes.set(part.subarray(first), span.moreAt);
      const n = grant.host.send(this.h, span);
      const done = Math.max(n, 0);
      if (n < 0 && n !== -Errno.EAGAIN) this.code ||= n;
      if (this.code !== 0) return;
      if (done < chunk.length) this.queue.unshift(chunk.subarray(done));
      if (done < part.length) return;
    }
    if (!this.ends) return;
    this.ends = false;
    grant.host.shutdown(this.h);
  }

  private read(): void {
    const { grant, span, into } = this;
    if (!this.isReading || this.hasEnded || this.code !== 0) return;
    this.wrap(span, into, RING_BYTES);
    const n = grant.host.receive(this.h, span);
    if (n === -Errno.EAGAIN) return;
    if (n < 0) this.code = n;
    else if (n === 0) this.hasEnded = true;
    else {
      const { bytes } = grant.slab;
      const first = Math.min(n, span.bytes);
      this.received.push(Buffer.from(bytes.slice(span.at, span.at + first)));
      if (n > first) this.received.push(Buffer.from(bytes.slice(span.moreAt, span.moreAt + n - first)));
      this.receivedBytes += n;
    }
  }

  /** A span of `bytes` in the ring at `at` that begins somewhere else every time: bytes of its first range. */
  private wrap(span: Span, at: number, bytes: number): number {
    const start = (this.turn++ * 24571) % RING_BYTES;
    const first = Math.min(bytes, RING_BYTES - start);
    span.set(at + start, first, at, bytes - first);
    return first;
  }
}

/** An address of text. */
export function address(text: string): Address {
  const parsed = parseAddress(text);
  if (!parsed) throw new Error(`no address: ${text}`);
  return parsed;
}

export const port = (server: net.Server): number => (server.address() as net.AddressInfo).port;

/** Puts one datagram into a row of the grant's batch. */
export function fill({ batch, slab }: Grant, row: number, bytes: Uint8Array, target: Address, port: number): void {
  batch.at[row] = batch.cellAt(row);
  batch.bytes[row] = bytes.length;
  slab.bytes.set(bytes, batch.at[row]);
  batch.address.set(target, 4 * row);
  batch.port[row] = port;
}

/** Bytes of a row. */
export const row = ({ batch, slab }: Grant, i: number): Buffer =>
  Buffer.from(slab.bytes.slice(batch.at[i]!, batch.at[i]! + batch.bytes[i]!));

/** A server of Node's; every connection it has is kept. */
export class Server extends EventEmitter {
  readonly server: net.Server;
  readonly sockets: net.Socket[] = [];

  constructor(onSocket?: (socket: net.Socket) => void) {
    super();
    this.server = net.createServer({ allowHalfOpen: true }, (socket) => {
      socket.on('error', (error) => this.emit('failed', error));
      this.sockets.push(socket);
      onSocket?.(socket);
    });
  }

  async listen(where: string | { host: string }): Promise<this> {
    if (typeof where === 'string') this.server.listen(where);
    else this.server.listen({ ...where, port: 0 });
    await once(this.server, 'listening');
    return this;
  }

  get port(): number {
    return port(this.server);
  }

  async socket(): Promise<net.Socket> {
    await until(() => this.sockets.length > 0, 'a connection');
    return this.sockets[0]!;
  }

  close(): void {
    for (const socket of this.sockets) socket.destroy();
    this.server.close();
  }
}

/** Where a handle is bound once that is known. */
export async function local(grant: Grant, h: number): Promise<SocketName> {
  const name = new SocketName();
  await until(() => grant.host.local(h, name) === 0 && name.port !== 0, `a name of handle ${h}`);
  return name;
}

/** A port of the family that nobody listens on: it was free a moment ago. */
export async function closedPort(host: string): Promise<number> {
  const server = net.createServer().listen({ host, port: 0 });
  await once(server, 'listening');
  const free = port(server);
  server.close();
  await once(server, 'close');
  return free;
}
