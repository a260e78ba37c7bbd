// The host's sockets as Node has them, for hosts where system calls cannot be made: asynchronous underneath, buffered
// within bounds. No ping sockets, no hops or traffic class of datagrams, and few of their errors.

import * as net from 'node:net';
import type { Slab } from '../core/slab.ts';
import type { Span } from '../core/span.ts';
import { type Address, Errno, formatAddress, type SocketName } from '../stack/stack.ts';
import type { DatagramBatch } from './datagram-batch.ts';
import { type HostError, HostReady, type HostSockets, type HostUser } from './host-sockets.ts';
import { NodeDatagrams } from './node-datagrams.io.ts';
import { errnoOf, type NodeHandle } from './node-handle.io.ts';
import { Lingering, NodeListener, NodeStream } from './node-streams.io.ts';
import { HANDLES_MAX, ReadyTable } from './ready-table.ts';

const { Error: Failed, Hup } = HostReady;
const MAPPED = 0xffff;

/** What the thread gives: Node's loop does the rest. */
export interface NodeLoop {
  readonly slab: Slab;
  /** `HostSockets.dispatch` has something to tell: it is to be called soon, never from within. */
  wake(): void;
}

/** See `HostSockets`. What a system call would refuse at once may be told as an error a turn later. */
export class NodeSockets implements HostSockets {
  private readonly table: ReadyTable;
  private readonly slab: Slab;
  private readonly lingering = new Lingering();
  private readonly sockets: (NodeHandle | undefined)[] = [];

  /** @param handlesMax sockets at once; more are refused with EMFILE. */
  constructor(loop: NodeLoop, { handlesMax = HANDLES_MAX }: { handlesMax?: number } = {}) {
    this.slab = loop.slab;
    this.table = new ReadyTable({ handlesMax, wake: () => loop.wake() });
  }

  /** Open handles. */
  get count(): number {
    return this.table.count;
  }

  claim(h: number, user: HostUser): void {
    this.table.claim(h, user);
  }

  want(h: number, events: number): void {
    this.table.want(h, events);
    this.sockets[h]?.wanted();
  }

  dispatch(): void {
    this.table.dispatch();
  }

  connectTcp(target: Address, port: number, source: Address): number {
    const isAny = source.every((word, i) => word === 0 || (i === 2 && word === MAPPED));
    const localAddress = isAny ? {} : { localAddress: formatAddress(source) };
    return this.connect({ host: formatAddress(target), port, noDelay: true, ...localAddress });
  }

  connectUnix(path: string): number {
    return this.connect({ path });
  }

  listenTcp(address: Address, port: number, backlog: number): number {
    return this.listen(backlog, (listener) => listener.listenTcp(address, port, !isIp4(address)));
  }

  listenUnix(path: string, backlog: number): number {
    return this.listen(backlog, (listener) => listener.listenUnix(path));
  }

  accept(h: number, peer: SocketName): number {
    const listener = this.sockets[h];
    if (!(listener instanceof NodeListener)) return -Errno.EBADF;
    if (this.table.isFull) {
      this.table.starve(h);
      return -Errno.EMFILE;
    }
    const socket = listener.accept(peer);
    return socket ? this.adopt(socket) : -Errno.EAGAIN;
  }

  receive(h: number, into: Span): number {
    const stream = this.sockets[h];
    return stream instanceof NodeStream ? stream.receive(into) : -Errno.EBADF;
  }

  send(h: number, from: Span): number {
    const stream = this.sockets[h];
    return stream instanceof NodeStream ? stream.send(from) : -Errno.EBADF;
  }

  shutdown(h: number): number {
    const stream = this.sockets[h];
    return stream instanceof NodeStream ? stream.shutdown() : -Errno.EBADF;
  }

  openUdp(isIp6: boolean, local: Address, port: number): number {
    const h = this.table.open(Hup);
    if (h < 0) return h;
    const datagrams = new NodeDatagrams(this.table, this.slab, h, isIp6);
    this.sockets[h] = datagrams;
    const code = datagrams.bind(local, port);
    if (code < 0) this.close(h);
    return code < 0 ? code : h;
  }

  /** Node has none. */
  openEcho(_isIp6: boolean, _identifier: number): number {
    return -Errno.EACCES;
  }

  receiveDatagrams(h: number, into: DatagramBatch): number {
    const datagrams = this.sockets[h];
    return datagrams instanceof NodeDatagrams ? datagrams.receive(into) : -Errno.EBADF;
  }

  sendDatagrams(h: number, batch: DatagramBatch, from: number, count: number): number {
    const datagrams = this.sockets[h];
    return datagrams instanceof NodeDatagrams ? datagrams.send(batch, from, count) : -Errno.EBADF;
  }

  receiveError(h: number, into: HostError): boolean {
    const datagrams = this.sockets[h];
    return datagrams instanceof NodeDatagrams && datagrams.receiveError(into);
  }

  setHops(h: number, hops: number): void {
    const datagrams = this.sockets[h];
    if (datagrams instanceof NodeDatagrams) datagrams.setHops(hops);
  }

  /** Node cannot. */
  setTrafficClass(_h: number, _trafficClass: number): void {}

  /** Node cannot: the host fragments as it is used to. */
  setDontFragment(_h: number, _isSet: boolean): void {}

  local(h: number, name: SocketName): number {
    return this.sockets[h]?.local(name) ?? -Errno.EBADF;
  }

  takeError(h: number): number {
    return this.sockets[h]?.takeError() ?? Errno.EBADF;
  }

  close(h: number): void {
    this.release(h)?.close();
  }

  abort(h: number): void {
    this.release(h)?.abort();
  }

  /** Closes every handle. */
  end(): void {
    for (let h = 0; h < this.sockets.length; h++) this.close(h);
  }

  private connect(options: net.NetConnectOpts): number {
    if (this.table.isFull) return -Errno.EMFILE;
    try {
      return this.adopt(net.connect({ ...options, allowHalfOpen: true }));
    } catch (error) {
      return -errnoOf(error as Error);
    }
  }

  private adopt(socket: net.Socket): number {
    const h = this.table.open(Failed | Hup);
    if (h < 0) {
      socket.destroy();
      return h;
    }
    this.sockets[h] = new NodeStream(this.table, this.slab, this.lingering, h, socket);
    return h;
  }

  private listen(backlog: number, begin: (listener: NodeListener) => void): number {
    const h = this.table.open(Failed | Hup);
    if (h < 0) return h;
    const listener = new NodeListener(this.table, h, backlog);
    this.sockets[h] = listener;
    begin(listener);
    return h;
  }

  private release(h: number): NodeHandle | undefined {
    const socket = this.sockets[h];
    if (!socket) return undefined;
    this.sockets[h] = undefined;
    this.table.free(h);
    return socket;
  }
}

const isIp4 = (a: Address): boolean => a[2] === MAPPED && a[0] === 0 && a[1] === 0;
