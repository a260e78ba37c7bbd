// A UDP socket of a stack as the handle of a `dgram.Socket`: what libuv's UDP handle is to Node.

import { AsyncResource } from 'node:async_hooks';
import { Buffer } from 'node:buffer';
import {
  type Address,
  ANY_IFACE,
  Errno,
  Family,
  GroupChange,
  isAnyAddress,
  isMulticast,
  parseAddress,
  SocketOption,
  SocketType,
  type SocketUser,
} from '../stack/stack.ts';
import { Handle } from './handle.io.ts';
import { OWNER, type Request } from './node-internals.io.ts';
import { type Place, parseEnd } from './place.io.ts';
import { type NodeEnd, tellEnd } from './stream-handle.io.ts';
import type { Teller } from './turns.io.ts';

const DATAGRAM_BYTES_MAX = 65_535;
const QUEUE_MAX = 4096; // sends that wait for room in the output
const ECANCELED = -125;
// libuv's flags.
const ONLY_IP6 = 1;
const REUSE_ADDRESS = 4;
const REUSE_PORT = 8;

const datagram = new Uint8Array(DATAGRAM_BYTES_MAX);

/** A datagram that waits. */
interface Waiting {
  readonly request: Request;
  readonly bytes: Uint8Array;
  readonly port: number;
  readonly target: Address | undefined;
  readonly iface: number;
  readonly hasCallback: boolean;
}

/** What a call that fails notes for Node. */
interface Failure {
  errno?: number;
  code?: string;
  message?: string;
  syscall?: string;
}

/** The handle; Node sets `onmessage`. */
export class UdpHandle extends Handle implements SocketUser, Teller {
  isWaiting = false;
  onmessage: ((count: number, handle: this, bytes?: Buffer, from?: NodeEnd) => void) | undefined;
  lookup: ((address: string, callback: (error: Error | null, address: string) => void) => void) | undefined;
  private readonly isIp6: boolean;
  private readonly scope = new AsyncResource('WEFTUDP');
  private readonly waiting: Waiting[] = [];
  private h = -1;
  private isReceiving = false;
  private isClosed = false;

  constructor(place: Place, isIp6: boolean) {
    super(place);
    this.isIp6 = isIp6;
  }

  get number(): number {
    return this.h;
  }

  end(): void {
    const owner = (this as unknown as Record<symbol, { close(): void } | undefined>)[OWNER];
    this.scope.runInAsyncScope(() => (owner ?? this).close());
  }

  getAsyncId(): number {
    return this.scope.asyncId();
  }

  get fd(): number {
    return -1;
  }

  bind(text: string, port: number, flags: number): number {
    if (this.h >= 0) return -Errno.EINVAL;
    const end = parseEnd(this.place, text);
    if (!end) return -Errno.EINVAL;
    const { sockets } = this.place;
    const h = sockets.socket(this.isIp6 ? Family.Inet6 : Family.Inet, SocketType.Datagram);
    if (h < 0) return h;
    if ((flags & ONLY_IP6) !== 0) sockets.setOption(h, SocketOption.V6Only, 1);
    if ((flags & REUSE_ADDRESS) !== 0) sockets.setOption(h, SocketOption.ReuseAddress, 1);
    if ((flags & REUSE_PORT) !== 0) sockets.setOption(h, SocketOption.ReusePort, 1);
    const result = sockets.bind(h, end.address, port, end.iface);
    if (result < 0) {
      sockets.close(h);
      return result;
    }
    this.h = h;
    this.place.open.add(this);
    sockets.claim(h, this);
    return 0;
  }

  open(): number {
    return -Errno.EINVAL;
  }

  connect(text: string, port: number): number {
    const end = parseEnd(this.place, text);
    return end ? this.place.sockets.connect(this.h, end.address, port, end.iface) : -Errno.EINVAL;
  }

  disconnect(): number {
    return this.place.sockets.disconnect(this.h);
  }

  /** As Node calls it: with port and address, or without of a connected socket. 1 more than the bytes sent, or 0: told later. */
  send(request: Request, list: readonly Uint8Array[], count: number, ...rest: unknown[]): number {
    const isConnected = rest.length < 2;
    const [port, text] = isConnected ? [0, undefined] : (rest as [number, string]);
    const end = text === undefined ? undefined : parseEnd(this.place, text);
    if (!isConnected && !end) return -Errno.EINVAL;
    const bytes = count === 1 ? list[0]! : Buffer.concat(list);
    const waiting: Waiting = {
      request,
      bytes,
      port,
      target: end?.address,
      iface: end?.iface ?? ANY_IFACE,
      hasCallback: rest.at(-1) === true,
    };
    const sent = this.waiting.length > 0 ? -Errno.EAGAIN : this.sendNow(waiting);
    if (sent !== -Errno.EAGAIN) return sent < 0 ? sent : sent + 1;
    if (this.waiting.length >= QUEUE_MAX) return -Errno.ENOBUFS;
    // Sent later: the program may write to what it gave.
    this.waiting.push({ ...waiting, bytes: bytes.slice() });
    this.weigh();
    return 0;
  }

  recvStart(): number {
    this.isReceiving = true;
    this.weigh();
    this.place.turns.ask(this);
    return 0;
  }

  recvStop(): number {
    this.isReceiving = false;
    this.weigh();
    return 0;
  }

  getsockname(end: NodeEnd): number {
    return tellEnd(this.place, this.h, this.isIp6, end, 'local');
  }

  getpeername(end: NodeEnd): number {
    return tellEnd(this.place, this.h, this.isIp6, end, 'peer');
  }

  setBroadcast(isOn: number): number {
    return this.set(SocketOption.Broadcast, isOn);
  }

  setTTL(hops: number): number {
    if (hops < 1 || hops > 255) return -Errno.EINVAL;
    return this.set(this.isIp6 ? SocketOption.UnicastHops : SocketOption.Ttl, hops);
  }

  setMulticastTTL(hops: number): number {
    return this.set(this.isIp6 ? SocketOption.MulticastHops : SocketOption.MulticastTtl, hops);
  }

  setMulticastLoopback(isOn: number): number {
    return this.set(this.isIp6 ? SocketOption.MulticastLoop6 : SocketOption.MulticastLoop, isOn ? 1 : 0);
  }

  setMulticastInterface(text: string): number {
    const iface = this.ifaceOf(text);
    if (iface < 0) return iface;
    return this.set(this.isIp6 ? SocketOption.MulticastIface6 : SocketOption.MulticastIface, iface);
  }

  addMembership(group: string, iface?: string): number {
    return this.changeGroup(GroupChange.Join, group, iface);
  }

  dropMembership(group: string, iface?: string): number {
    return this.changeGroup(GroupChange.Leave, group, iface);
  }

  addSourceSpecificMembership(source: string, group: string, iface?: string): number {
    return this.changeGroup(GroupChange.JoinSource, group, iface, source);
  }

  dropSourceSpecificMembership(source: string, group: string, iface?: string): number {
    return this.changeGroup(GroupChange.LeaveSource, group, iface, source);
  }

  /** Sets (`size` above 0) or gets a buffer's size. */
  bufferSize(size: number, isReceive: boolean, failure: Failure): number | undefined {
    const option = isReceive ? SocketOption.ReceiveBuffer : SocketOption.SendBuffer;
    const result = size > 0 ? this.set(option, size) : 0;
    const got = result < 0 ? result : this.place.sockets.getOption(this.h, option);
    if (got >= 0) return got;
    const syscall = isReceive ? 'uv_recv_buffer_size' : 'uv_send_buffer_size';
    Object.assign(failure, { errno: got, code: 'EBADF', message: 'bad file descriptor', syscall });
    return undefined;
  }

  getSendQueueSize(): number {
    return this.waiting.reduce((sum, { bytes }) => sum + bytes.length, 0);
  }

  getSendQueueCount(): number {
    return this.waiting.length;
  }

  close(told?: () => void): void {
    if (this.isClosed) return;
    this.isClosed = true;
    const { place, h } = this;
    place.open.delete(this);
    if (h >= 0) place.sockets.close(h);
    this.h = -1;
    this.weigh();
    setImmediate(() => {
      for (const { request, hasCallback } of this.waiting.splice(0))
        if (hasCallback) request.oncomplete?.(ECANCELED, 0);
      told?.call(this);
    });
  }

  changed(): void {
    this.place.turns.ask(this);
  }

  turn(): boolean {
    if (this.h < 0) return false;
    return this.sendWaiting() || (this.isReceiving && this.receive());
  }

  private receive(): boolean {
    const { place, h } = this;
    const { sockets } = place;
    const n = sockets.receiveFrom(h, datagram, 0, DATAGRAM_BYTES_MAX);
    if (n === -Errno.EAGAIN) return false;
    if (n < 0) {
      this.scope.runInAsyncScope(() => this.onmessage?.(n, this));
      return true;
    }
    const { source, port, iface } = sockets.message;
    const address = place.textOf({ address: source, iface }, this.isIp6);
    const bytes = Buffer.from(datagram.subarray(0, n));
    const family = this.isIp6 ? 'IPv6' : 'IPv4';
    this.scope.runInAsyncScope(() => this.onmessage?.(n, this, bytes, { address, family, port }));
    return true;
  }

  private sendNow({ bytes, target, port, iface }: Waiting): number {
    const { place, h } = this;
    const { sockets } = place;
    const n = target
      ? sockets.sendTo(h, bytes, 0, bytes.length, target, port, iface)
      : sockets.send(h, bytes, 0, bytes.length);
    place.wake();
    return n;
  }

  /** One that is done is told; true then. */
  private sendWaiting(): boolean {
    const [first] = this.waiting;
    if (!first) return false;
    const sent = this.sendNow(first);
    if (sent === -Errno.EAGAIN) return false;
    this.waiting.shift();
    this.weigh();
    const { request, hasCallback } = first;
    if (hasCallback) this.scope.runInAsyncScope(() => request.oncomplete?.(Math.min(sent, 0), Math.max(sent, 0)));
    return true;
  }

  private set(option: number, value: number): number {
    return this.h < 0 ? -Errno.EBADF : this.place.sockets.setOption(this.h, option, value);
  }

  private changeGroup(change: GroupChange, groupText: string, ifaceText?: string, sourceText?: string): number {
    const group = parseAddress(groupText.split('%')[0]!);
    const source = sourceText === undefined ? undefined : parseAddress(sourceText);
    if (!group || !isMulticast(group) || (sourceText !== undefined && !source)) return -Errno.EINVAL;
    const zone = groupText.split('%')[1];
    const iface = this.ifaceOf(ifaceText ?? (zone === undefined ? undefined : `::%${zone}`));
    if (iface < 0) return iface;
    // As libuv: who joins unbound is bound.
    const bound = this.h < 0 ? this.bind(this.isIp6 ? '::' : '0.0.0.0', 0, 0) : 0;
    if (bound < 0) return bound;
    const result = this.place.sockets.changeGroup(this.h, change, group, iface, source);
    this.place.wake();
    return result;
  }

  /** The interface with an IPv4 address, or of the zone in `::%eth0`; 0: the stack chooses; -errno. */
  private ifaceOf(text: string | undefined): number {
    if (text === undefined) return ANY_IFACE;
    const end = parseEnd(this.place, text);
    if (!end) return -Errno.EINVAL;
    if (end.iface !== ANY_IFACE || isAnyAddress(end.address)) return end.iface;
    const iface = this.place.ifaceWith(end.address);
    return iface < 0 ? -Errno.EADDRNOTAVAIL : iface;
  }

  protected get mustHold(): boolean {
    return !this.isClosed && (this.isReceiving || this.waiting.length > 0);
  }
}
