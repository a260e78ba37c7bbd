// The host's sockets by system calls: descriptors in the fabric's own epoll, bytes between the slab and the kernel.

import type { Span } from '../core/span.ts';
import { type Address, Errno, type SocketName } from '../stack/stack.ts';
import { raiseOpenFiles } from '../sys/execute.io.ts';
import { InetSockets } from '../sys/inet.io.ts';
import type { DatagramBatch } from './datagram-batch.ts';
import type { HostError, HostSockets, HostUser } from './host-sockets.ts';
import { NativeDatagrams } from './native-datagrams.io.ts';
import { type DescriptorLoop, Kind, NativeHandles } from './native-handles.io.ts';
import { NativeStreams } from './native-streams.io.ts';
import { HANDLES_MAX, ReadyTable } from './ready-table.ts';

export type { DescriptorLoop, DescriptorWatcher } from './native-handles.io.ts';

/** See `HostSockets`. On the thread of its loop; no call blocks, none throws. */
export class NativeSockets implements HostSockets {
  private readonly table: ReadyTable;
  private readonly calls: InetSockets;
  private readonly handles: NativeHandles;
  private readonly streams: NativeStreams;
  private readonly datagrams: NativeDatagrams;

  /** @param handlesMax sockets at once; more are refused with EMFILE, as are those for which the host has no descriptor. */
  constructor(loop: DescriptorLoop, { handlesMax = HANDLES_MAX }: { handlesMax?: number } = {}) {
    raiseOpenFiles();
    this.table = new ReadyTable({ handlesMax, wake: () => loop.wake() });
    this.calls = new InetSockets(loop.slab, loop.address);
    this.handles = new NativeHandles(loop, this.calls, this.table);
    this.streams = new NativeStreams(this.handles);
    this.datagrams = new NativeDatagrams(this.handles);
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
  }

  dispatch(): void {
    this.table.dispatch();
  }

  connectTcp(target: Address, port: number, source: Address): number {
    return this.streams.connectTcp(target, port, source);
  }

  connectUnix(path: string): number {
    return this.streams.connectUnix(path);
  }

  listenTcp(address: Address, port: number, backlog: number): number {
    return this.streams.listenTcp(address, port, backlog);
  }

  listenUnix(path: string, backlog: number): number {
    return this.streams.listenUnix(path, backlog);
  }

  accept(h: number, peer: SocketName): number {
    return this.streams.accept(h, peer);
  }

  receive(h: number, into: Span): number {
    return this.streams.receive(h, into);
  }

  send(h: number, from: Span): number {
    return this.streams.send(h, from);
  }

  shutdown(h: number): number {
    return this.streams.shutdown(h);
  }

  openUdp(isIp6: boolean, local: Address, port: number): number {
    return this.datagrams.openUdp(isIp6, local, port);
  }

  openEcho(isIp6: boolean, identifier: number): number {
    return this.datagrams.openEcho(isIp6, identifier);
  }

  receiveDatagrams(h: number, into: DatagramBatch): number {
    return this.datagrams.receiveDatagrams(h, into);
  }

  sendDatagrams(h: number, batch: DatagramBatch, from: number, count: number): number {
    return this.datagrams.sendDatagrams(h, batch, from, count);
  }

  receiveError(h: number, into: HostError): boolean {
    return this.datagrams.receiveError(h, into);
  }

  setHops(h: number, hops: number): void {
    this.datagrams.setHops(h, hops);
  }

  setTrafficClass(h: number, trafficClass: number): void {
    this.datagrams.setTrafficClass(h, trafficClass);
  }

  setDontFragment(h: number, isSet: boolean): void {
    this.datagrams.setDontFragment(h, isSet);
  }

  local(h: number, name: SocketName): number {
    const port = this.calls.local(this.handles.fdOf(h), name.address);
    name.iface = 0;
    name.port = port;
    if (port !== 0 || !this.isDatagram(h)) return Math.min(port, 0);
    const code = this.datagrams.bindIfFree(h);
    if (code < 0) return code;
    name.port = this.calls.local(this.handles.fdOf(h), name.address);
    return Math.min(name.port, 0);
  }

  takeError(h: number): number {
    if (!this.table.isOpen(h)) return Errno.EBADF;
    return this.isDatagram(h) ? this.datagrams.takeError(h) : this.streams.takeError(h);
  }

  close(h: number): void {
    if (!this.table.isOpen(h)) return;
    if (this.handles.kinds[h] === Kind.UnixListener) this.streams.closing(h);
    this.handles.release(h);
  }

  abort(h: number): void {
    if (this.table.isOpen(h) && this.handles.kinds[h] === Kind.Tcp) this.calls.setAbortive(this.handles.fdOf(h));
    this.close(h);
  }

  /** Closes every handle and gives the memory back. */
  end(): void {
    for (let h = 0; h < this.table.handlesMax; h++) this.close(h);
    this.datagrams.end();
    this.calls.end();
  }

  private isDatagram(h: number): boolean {
    const kind = this.handles.kinds[h];
    return kind === Kind.Udp || kind === Kind.Echo;
  }
}
