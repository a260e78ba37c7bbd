// UDP and ping sockets of the host: batches of datagrams with their hops and traffic class, and the errors that came back.

import { assert } from '../core/assert.ts';
import { NONE } from '../core/slab.ts';
import { type Address, Errno } from '../stack/stack.ts';
import { type InetSockets, isAnyAt, MTU_DISCOVER_DO, MTU_DISCOVER_DONT, SocketOption } from '../sys/inet.io.ts';
import { ErrorView, MessageVector } from '../sys/messages.io.ts';
import { SOCK_DGRAM } from '../sys/socket.io.ts';
import { BATCH_DATAGRAMS, type DatagramBatch, PAYLOAD_BYTES_MAX } from './datagram-batch.ts';
import { type HostError, HostReady } from './host-sockets.ts';
import { Interest, Kind, Mark, type NativeHandles } from './native-handles.io.ts';
import type { ReadyTable } from './ready-table.ts';

const { In, Out, Error: Failed } = HostReady;

const IPPROTO_ICMP = 1;
const IPPROTO_UDP = 17;
const IPPROTO_ICMPV6 = 58;
const ENFILE = 23;

const CONTROL_BYTES = 64; // hops and traffic class: two control messages of 24 bytes
const ERROR_CONTROL_BYTES = 256;
const ERROR_PAYLOAD_BYTES = 2048; // of the datagram that failed: what an ICMP message quotes is shorter
const RECEIVE_BUFFER_BYTES = 1 << 20; // asked for a socket that is busy; the kernel may give less
const PENDING_MAX = 4; // errors of earlier datagrams that one call steps over

const ANY: Address = new Int32Array(4);
const UNKNOWN = -1;

// What an ICMP message makes of a call on the socket that it is about; the call itself did nothing then.
const PENDING: ReadonlySet<number> = new Set([
  -Errno.ECONNREFUSED,
  -Errno.EHOSTUNREACH,
  -Errno.ENETUNREACH,
  -Errno.EHOSTDOWN,
  -Errno.EMSGSIZE,
  -Errno.EACCES,
  -Errno.EOPNOTSUPP,
  -Errno.ENOPROTOOPT,
  -64, // ENONET
  -71, // EPROTO
]);

/** The datagram half of `HostSockets`. */
export class NativeDatagrams {
  private readonly handles: NativeHandles;
  private readonly calls: InetSockets;
  private readonly table: ReadyTable;
  private readonly incoming: MessageVector;
  private readonly outgoing: MessageVector;
  private readonly failure: MessageVector;
  private readonly failureAt: number;
  private readonly hops: Int16Array;
  private readonly trafficClass: Int16Array;
  private readonly dontFragment: Int8Array;
  private readonly isBusy: Uint8Array; // its receive buffer was enlarged
  private pointed: DatagramBatch | undefined; // whose cells `incoming` points at
  private lastLocal = UNKNOWN; // the handle whose error of its own host was read last
  // What the host itself refused last: its queue of errors quotes nothing of it.
  private readonly refusedAt: number;
  private refused = UNKNOWN; // handle
  private refusedPort = 0;
  private refusedBytes = 0;

  constructor(handles: NativeHandles) {
    this.handles = handles;
    this.calls = handles.calls;
    this.table = handles.table;
    const { slab, address } = handles.loop;
    this.incoming = new MessageVector(slab, address, { count: BATCH_DATAGRAMS, controlBytes: CONTROL_BYTES });
    this.outgoing = new MessageVector(slab, address, { count: BATCH_DATAGRAMS, controlBytes: 0 });
    this.failure = new MessageVector(slab, address, { count: 1, controlBytes: ERROR_CONTROL_BYTES });
    this.failureAt = slab.alloc(ERROR_PAYLOAD_BYTES);
    this.refusedAt = slab.alloc(ERROR_PAYLOAD_BYTES);
    assert(this.failureAt !== NONE && this.refusedAt !== NONE, 'the slab has no room for errors of datagrams');
    this.failure.point(0, this.failureAt, ERROR_PAYLOAD_BYTES);
    const { handlesMax } = this.table;
    this.hops = new Int16Array(handlesMax);
    this.trafficClass = new Int16Array(handlesMax);
    this.dontFragment = new Int8Array(handlesMax);
    this.isBusy = new Uint8Array(handlesMax);
  }

  openUdp(isIp6: boolean, local: Address, port: number): number {
    const { calls } = this;
    if (this.table.isFull) return -Errno.EMFILE;
    const fd = calls.open(isIp6, SOCK_DGRAM, IPPROTO_UDP);
    if (fd < 0) return codeOf(fd);
    let code = this.setUp(fd, isIp6);
    // An address of its own choice comes with the first datagram, or when somebody asks for it.
    if (code >= 0 && (port !== 0 || !isAnyAt(local, 0))) code = calls.bind(fd, isIp6, local, port);
    return this.adopt(fd, code, Kind.Udp, isIp6);
  }

  openEcho(isIp6: boolean, identifier: number): number {
    const { calls } = this;
    if (this.table.isFull) return -Errno.EMFILE;
    const fd = calls.open(isIp6, SOCK_DGRAM, isIp6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
    if (fd < 0) return codeOf(fd);
    let code = this.setUp(fd, isIp6);
    // Ping sockets share identifiers unless told not to, and then one of them hears the replies of all.
    calls.set(fd, SocketOption.ReuseAddress, 0);
    if (code >= 0 && identifier !== 0) code = calls.bind(fd, isIp6, ANY, identifier);
    return this.adopt(fd, code, Kind.Echo, isIp6);
  }

  receiveDatagrams(h: number, into: DatagramBatch): number {
    const { incoming, table } = this;
    const fd = this.handles.fdOf(h);
    if (this.pointed !== into) this.pointAt(into);
    let n = incoming.receive(fd, BATCH_DATAGRAMS);
    for (let tries = 0; n < 0 && PENDING.has(n) && tries < PENDING_MAX; tries++) {
      table.mark(h, Failed); // the error is in the queue as well
      n = incoming.receive(fd, BATCH_DATAGRAMS);
    }
    if (n < BATCH_DATAGRAMS) {
      if (n >= 0 || n === -Errno.EAGAIN) table.clear(h, In);
    } else if (this.isBusy[h] === 0) this.enlarge(h, fd);
    into.count = Math.max(n, 0);
    for (let i = 0; i < n; i++) this.takeRow(i, into);
    return n;
  }

  sendDatagrams(h: number, batch: DatagramBatch, from: number, count: number): number {
    const { outgoing, handles } = this;
    const fd = handles.fdOf(h);
    const isIp6 = (handles.marks[h]! & Mark.Ip6) !== 0;
    for (let i = from; i < from + count; i++) {
      outgoing.point(i, batch.at[i]!, batch.bytes[i]!);
      outgoing.writeName(i, isIp6, batch.address, 4 * i, batch.port[i]!);
    }
    let sent = 0;
    let tries = 0;
    while (sent < count) {
      const n = outgoing.send(fd, from + sent, count - sent);
      if (n > 0) {
        sent += n;
        tries = 0;
        continue;
      }
      // Perhaps the error of an earlier datagram: then it is taken now, and only another try says how this one fares.
      if (PENDING.has(n) && tries++ < 1) {
        this.table.mark(h, Failed);
        continue;
      }
      if (n === -Errno.EAGAIN) handles.blocked(h);
      else if (n === -Errno.EMSGSIZE) this.noteRefused(h, batch, from + sent);
      return sent > 0 ? sent : n;
    }
    return sent;
  }

  receiveError(h: number, into: HostError): boolean {
    const { failure, handles } = this;
    const { view } = handles.loop.slab;
    for (;;) {
      const n = failure.receiveError(handles.fdOf(h));
      const at = n < 0 ? 0 : failure.errorAt();
      if (n < 0) return this.noMoreErrors(h);
      if (at === 0) continue; // no error but some other news that nobody asked for
      const isRemote = ErrorView.isRemote(view, at);
      const wasLocal = this.lastLocal === h;
      this.lastLocal = isRemote ? UNKNOWN : h;
      const errno = ErrorView.errno(view, at);
      // The host tells twice of a datagram that was tried twice; nothing tells them apart.
      if (!isRemote && wasLocal && into.errno === errno) continue;
      into.errno = errno;
      into.type = isRemote ? ErrorView.type(view, at) : -1;
      into.code = isRemote ? ErrorView.code(view, at) : 0;
      into.info = ErrorView.info(view, at);
      into.isIp6 = (handles.marks[h]! & Mark.Ip6) !== 0;
      ErrorView.reporter(view, at, into.reporter);
      into.port = failure.readName(0, into.target, 0);
      into.at = this.failureAt;
      into.bytes = n;
      if (!isRemote && this.refused === h) this.quoteRefused(into);
      return true;
    }
  }

  setHops(h: number, hops: number): void {
    if (this.hops[h] === hops) return;
    this.hops[h] = hops;
    this.set(h, SocketOption.Ttl, SocketOption.Hops6, hops);
  }

  setTrafficClass(h: number, trafficClass: number): void {
    if (this.trafficClass[h] === trafficClass) return;
    this.trafficClass[h] = trafficClass;
    this.set(h, SocketOption.Tos, SocketOption.TrafficClass6, trafficClass);
  }

  setDontFragment(h: number, isSet: boolean): void {
    const value = isSet ? MTU_DISCOVER_DO : MTU_DISCOVER_DONT;
    if (this.dontFragment[h] === value) return;
    this.dontFragment[h] = value;
    this.set(h, SocketOption.MtuDiscover, SocketOption.MtuDiscover6, value);
  }

  /** Gives a socket that has not sent yet the port that it will send from. */
  bindIfFree(h: number): number {
    return this.calls.bind(this.handles.fdOf(h), (this.handles.marks[h]! & Mark.Ip6) !== 0, ANY, 0);
  }

  takeError(h: number): number {
    return this.calls.takeError(this.handles.fdOf(h));
  }

  /** Gives the memory back. */
  end(): void {
    this.incoming.end();
    this.outgoing.end();
    this.failure.end();
    this.handles.loop.slab.release(this.failureAt, ERROR_PAYLOAD_BYTES);
    this.handles.loop.slab.release(this.refusedAt, ERROR_PAYLOAD_BYTES);
  }

  /** Options that every socket needs. */
  private setUp(fd: number, isIp6: boolean): number {
    const { calls } = this;
    if (!isIp6) {
      calls.set(fd, SocketOption.ReceiveTtl, 1);
      calls.set(fd, SocketOption.ReceiveTos, 1);
      return calls.set(fd, SocketOption.ReceiveErrors, 1);
    }
    calls.set(fd, SocketOption.ReceiveHops6, 1);
    calls.set(fd, SocketOption.ReceiveTrafficClass6, 1);
    calls.set(fd, SocketOption.OnlyIp6, 1);
    return calls.set(fd, SocketOption.ReceiveErrors6, 1);
  }

  private adopt(fd: number, code: number, kind: Kind, isIp6: boolean): number {
    if (code < 0) {
      this.calls.close(fd);
      return code;
    }
    const h = this.handles.adopt(fd, kind, isIp6 ? Mark.Ip6 : 0, Interest.Reading);
    if (h < 0) return h;
    this.hops[h] = UNKNOWN;
    this.trafficClass[h] = UNKNOWN;
    this.dontFragment[h] = UNKNOWN;
    this.isBusy[h] = 0;
    this.table.mark(h, Out);
    return h;
  }

  private pointAt(batch: DatagramBatch): void {
    for (let i = 0; i < BATCH_DATAGRAMS; i++) this.incoming.point(i, batch.cellAt(i), PAYLOAD_BYTES_MAX);
    this.pointed = batch;
  }

  private takeRow(i: number, into: DatagramBatch): void {
    const { incoming } = this;
    into.at[i] = into.cellAt(i);
    into.bytes[i] = incoming.bytesOf(i);
    into.port[i] = incoming.readName(i, into.address, 4 * i);
    incoming.readControl(i);
    into.hops[i] = incoming.hops;
    into.trafficClass[i] = incoming.trafficClass;
    incoming.rearm(i);
  }

  /** More than a batch waited: longer bursts shall find room, too. */
  private enlarge(h: number, fd: number): void {
    this.isBusy[h] = 1;
    this.calls.set(fd, SocketOption.ReceiveBuffer, RECEIVE_BUFFER_BYTES);
  }

  private noteRefused(h: number, batch: DatagramBatch, row: number): void {
    const { bytes } = this.handles.loop.slab;
    const at = batch.at[row]!;
    this.refused = h;
    this.refusedPort = batch.port[row]!;
    this.refusedBytes = Math.min(batch.bytes[row]!, ERROR_PAYLOAD_BYTES);
    bytes.copyWithin(this.refusedAt, at, at + this.refusedBytes);
  }

  private quoteRefused(into: HostError): void {
    into.port = this.refusedPort;
    into.at = this.refusedAt;
    into.bytes = this.refusedBytes;
  }

  private noMoreErrors(h: number): boolean {
    this.lastLocal = UNKNOWN;
    this.table.clear(h, Failed);
    this.table.mark(h, In); // a batch may have ended at an error
    return false;
  }

  private set(h: number, option4: number, option6: number, value: number): void {
    const { handles } = this;
    this.calls.set(handles.fdOf(h), handles.marks[h]! & Mark.Ip6 ? option6 : option4, value);
  }
}

/** No descriptors left is one thing, whoever has none. */
const codeOf = (code: number): number => (code === -ENFILE ? -Errno.EMFILE : code);
