// TCP, RFC 9293, and what goes with it. Theory of operation.
//
// A connection is a number. Everything of it is in columns (table.ts); its bytes are in two rings in the slab (ring.ts), the
// byte of sequence number s at s modulo the ring's size, so that a retransmission is read, and a piece behind a gap is
// written, where it belongs. Rings grow as they fill and go when they are empty, but for those of the connection emptied last:
// an idle connection costs a kilobyte.
//
//   packet ─▶ input.ts ─▶ demux.ts ─▶ input-listen / input-syn-sent / input-synchronized / input-time-wait
//                                        │ input-ack.ts ─▶ recovery.ts      what is lost, how much may be sent
//                                        └ input-text.ts ─▶ ring, gaps.ts   in order, or behind a gap
//   user ───▶ open.ts stream.ts close.ts ─▶ marks the connection
//   poll ───▶ output.ts ─▶ transmit.ts ─▶ Sender                            for each marked connection, in order
//   time ───▶ timers.ts                                                     four timers for each connection
//
// The input files follow RFC 9293 §3.10.7 step by step; in ESTABLISHED the expected segment takes a short cut (input.ts).
// ACKs and resets are written at once; data, SYNs and window updates at the next `poll`. TIME-WAIT is a table of its own, so
// that a connection's slot is free. Half-open connections are bounded; beyond that SYN cookies answer (syn-cookie.ts).
// Nothing here knows a socket: users have numbers, hear of changes by `nextEvent`, and what they do never blocks.

import type { Drop } from '../../core/drop.ts';
import type { Span } from '../../core/span.ts';
import type { StateReader, StateWriter } from '../../core/state.ts';
import { ADDRESS_WORDS, type Address } from '../address.ts';
import { Errno } from '../errno.ts';
import type { Paths, Sender, Transport } from '../ip.ts';
import type { Limits } from '../limits.ts';
import type { IcmpError, Packet } from '../packet.ts';
import type { Part, Shared } from '../shared.ts';
import * as closing from './close.ts';
import { STATE_NAMES, State, type TcpOption } from './constants.ts';
import { Core, type MtuSink } from './core.ts';
import { takeIcmp } from './icmp.ts';
import { receivePacket } from './input.ts';
import { admit, intercept, type RefusalSink, refuse } from './intercept.ts';
import * as opening from './open.ts';
import { pollAll } from './output.ts';
import { load, save } from './snapshot.ts';
import { getOption, setOption } from './socket-options.ts';
import * as stream from './stream.ts';
import { addressAt, Is, NO_CONNECTION, Opt } from './table.ts';
import { expireAll } from './timers.ts';

export { How, Ready, ReceiveFlag, SendFlag, STATE_NAMES, State, TcpOption } from './constants.ts';
export type { MtuSink } from './core.ts';
export { RESET, type RefusalSink, SILENT } from './intercept.ts';

/** A connection as `ss` shows one. For people. */
export interface TcpInfo {
  readonly state: string;
  readonly sendQueueBytes: number;
  readonly receiveQueueBytes: number;
  readonly mss: number;
  readonly srttUs: number;
  readonly rtoUs: number;
  readonly cwndBytes: number;
  readonly ssthreshBytes: number;
  readonly inFlightBytes: number;
  readonly sendWindowBytes: number;
  readonly receiveWindowBytes: number;
  readonly options: readonly string[];
}

/** All connections of a stack. Calls with a connection that nobody has return -EBADF, or nothing. */
export class Tcp implements Transport, Part {
  private readonly core: Core;
  private readonly localAddress: Address = new Int32Array(ADDRESS_WORDS);
  private readonly remoteAddress: Address = new Int32Array(ADDRESS_WORDS);

  constructor(shared: Shared, paths: Paths, sender: Sender, limits: Limits, mtuSink?: MtuSink, refusals?: RefusalSink) {
    this.core = new Core(shared, paths, sender, limits, mtuSink, refusals);
  }

  /** A new connection in CLOSED, of an IPv6 or IPv4 socket; or -ENOBUFS. */
  open(isIp6: boolean): number {
    const { core } = this;
    const c = core.take();
    if (c === NO_CONNECTION) return -Errno.ENOBUFS;
    core.set(c, Is.Owned);
    if (isIp6) core.col.options[c] = core.col.options[c]! | Opt.Ip6;
    else core.col.local[ADDRESS_WORDS * c + 2] = 0xffff;
    return c;
  }

  private isOurs(c: number): boolean {
    return this.core.table.isUsed(c) && this.core.has(c, Is.Owned);
  }

  /** 0, -EINVAL, -ENOPROTOOPT. */
  setOption(c: number, option: TcpOption, value: number): number {
    return this.isOurs(c) ? setOption(this.core, c, option, value) : -Errno.EBADF;
  }

  /** The value; -ENOPROTOOPT. */
  getOption(c: number, option: TcpOption): number {
    return this.isOurs(c) ? getOption(this.core, c, option) : -Errno.EBADF;
  }

  /** 0, -EADDRINUSE, -EINVAL. Whether `local` is one of this host's is the caller's to check. Port 0: one is chosen. */
  bind(c: number, local: Address, port: number, iface: number): number {
    return this.isOurs(c) ? opening.bind(this.core, c, local, port, iface) : -Errno.EBADF;
  }

  /** 0, or why not. */
  listen(c: number, backlog: number): number {
    return this.isOurs(c) ? opening.listen(this.core, c, backlog) : -Errno.EBADF;
  }

  /**
   * Makes fresh `c` take SYNs that come in by `iface` and are for no listener, whatever their target (intercept.ts): 0,
   * -EINVAL, -EADDRINUSE. The interface must accept any address. `accept` gives connections that are withheld.
   */
  intercept(c: number, iface: number, backlog: number): number {
    return this.isOurs(c) ? intercept(this.core, c, iface, backlog) : -Errno.EBADF;
  }

  /** The next connection that interceptor `c` withholds, which the user has from then on; -1 if there is none. */
  nextIntercepted(c: number): number {
    return Math.max(NO_CONNECTION, this.accept(c));
  }

  /** Sends the SYN-ACK of a connection that is withheld: 0, -EINVAL. Out in `readiness` says that the handshake is over. */
  admit(c: number): number {
    return this.isOurs(c) ? admit(this.core, c) : -Errno.EBADF;
  }

  /** Ends a connection that is withheld, by a reset (`RESET`), by ICMP "unreachable" with `code`, or `SILENT`: 0, -EINVAL. `c` is free then. */
  refuse(c: number, code: number): number {
    return this.isOurs(c) ? refuse(this.core, c, code) : -Errno.EBADF;
  }

  /** -EINPROGRESS, or why not. How it went says `readiness`: Out, or Error with `takeError`. */
  connect(c: number, remote: Address, port: number, iface: number): number {
    return this.isOurs(c) ? opening.connect(this.core, c, remote, port, iface) : -Errno.EBADF;
  }

  /** A connection that came to listener `c`; -EAGAIN, -EINVAL. */
  accept(c: number): number {
    return this.isOurs(c) ? opening.accept(this.core, c) : -Errno.EBADF;
  }

  /** Takes up to `count` bytes at `from`, copied: how many; -EAGAIN, -EPIPE, -ENOTCONN, -ENOBUFS, or the connection's error. */
  send(c: number, bytes: Uint8Array, from: number, count: number, flags: number): number {
    return this.isOurs(c) ? stream.send(this.core, c, bytes, from, count, flags) : -Errno.EBADF;
  }

  /** How many bytes `send` would take. */
  sendSpace(c: number): number {
    return this.isOurs(c) && this.core.canSend(c) ? stream.space(this.core, c) : 0;
  }

  /** Copies up to `count` bytes to `from`: how many, 0 at the end; -EAGAIN, -ENOTCONN, or the connection's error. */
  receive(c: number, into: Uint8Array, from: number, count: number, flags: number): number;
  /** A segment, RFC 9293 §3.10.7. */
  receive(packet: Packet): Drop;
  receive(c: number | Packet, into?: Uint8Array, from = 0, count = 0, flags = 0): number {
    if (typeof c !== 'number') return receivePacket(this.core, c);
    return this.isOurs(c) && into !== undefined ? stream.receive(this.core, c, into, from, count, flags) : -Errno.EBADF;
  }

  /** As `receive` of everything, without copying: `span` says where the bytes are until the connection's next call or segment. */
  received(c: number, span: Span): number {
    return this.isOurs(c) ? stream.received(this.core, c, span) : -Errno.EBADF;
  }

  /** Takes `count` of the bytes that `received` showed. */
  consume(c: number, count: number): void {
    if (this.isOurs(c)) stream.consume(this.core, c, count);
  }

  /** Where up to `wanted` bytes may be written for `commit`: how many; -EAGAIN (Out is told later), -EPIPE, -ENOTCONN, -ENOBUFS, or the connection's error. */
  room(c: number, span: Span, wanted: number): number {
    return this.isOurs(c) ? stream.room(this.core, c, span, wanted) : -Errno.EBADF;
  }

  /** Sends what was written into `room`: `count`. No other call of this stack is between the two. */
  commit(c: number, count: number, flags: number): number {
    return this.isOurs(c) ? stream.commit(this.core, c, count, flags) : -Errno.EBADF;
  }

  /**
   * A sequence number that the remote end of the connection finds in its own flight, to be quoted to it in an ICMP error;
   * -1 if there is no such connection. 0 … 2^32 - 1.
   */
  sequenceOf(local: Address, localPort: number, remote: Address, remotePort: number, iface: number): number {
    const { demux, col } = this.core;
    const c = demux.find(local, localPort, remote, remotePort, iface);
    if (c === NO_CONNECTION) return -1;
    return (this.core.has(c, Is.Withheld) ? col.irs[c]! : col.rcvNxt[c]!) >>> 0;
  }

  /** Bytes that `receive` would give. */
  available(c: number): number {
    return this.isOurs(c) ? this.core.available(c) : 0;
  }

  /** Shuts a direction, one of `How`: 0, -ENOTCONN. */
  shutdown(c: number, how: number): number {
    return this.isOurs(c) ? closing.shutdown(this.core, c, how) : -Errno.EBADF;
  }

  /** The user has `c` no more; TCP ends the connection by itself. */
  close(c: number): void {
    if (this.isOurs(c)) closing.close(this.core, c);
  }

  /** As `close`, with a reset. */
  abort(c: number): void {
    if (this.isOurs(c)) closing.abort(this.core, c);
  }

  /** The connection's error, a positive errno, once; 0 if there is none. */
  takeError(c: number): number {
    if (!this.isOurs(c)) return 0;
    const { col } = this.core;
    const error = col.error[c]!;
    col.error[c] = 0;
    return error;
  }

  /** Bits of `Ready`. */
  readiness(c: number): number {
    return this.isOurs(c) ? this.core.readiness(c) : 0;
  }

  /** The local address; not to be kept. */
  localOf(c: number): Address {
    return addressAt(this.core.col.local, c, this.localAddress);
  }

  /** The remote address; not to be kept. */
  remoteOf(c: number): Address {
    return addressAt(this.core.col.remote, c, this.remoteAddress);
  }

  localPort(c: number): number {
    return this.core.col.localPort[c]!;
  }

  /** 0 if it was never connected. */
  remotePort(c: number): number {
    return this.core.col.remotePort[c]!;
  }

  /** One of `State`. */
  stateOf(c: number): State {
    return this.core.stateOf(c);
  }

  /** For people. */
  info(c: number): TcpInfo {
    const { core } = this;
    const { col, recovery } = core;
    const names: [number, string][] = [
      [Is.Timestamps, 'timestamps'],
      [Is.Sack, 'sack'],
      [Is.Scaling, 'window-scale'],
      [Is.Ecn, 'ecn'],
    ];
    return {
      state: STATE_NAMES[col.state[c]!]!,
      sendQueueBytes: core.queued(c),
      receiveQueueBytes: core.available(c),
      mss: col.mss[c]!,
      srttUs: recovery.srttUs(c),
      rtoUs: recovery.rtoUs(c),
      cwndBytes: recovery.cwnd(c),
      ssthreshBytes: recovery.ssthresh(c),
      inFlightBytes: (col.sndNxt[c]! - col.sndUna[c]!) | 0,
      sendWindowBytes: col.sndWnd[c]!,
      receiveWindowBytes: Math.max(0, (col.rcvAdv[c]! - col.rcvNxt[c]!) | 0),
      options: names.filter(([bit]) => core.has(c, bit)).map(([, name]) => name),
    };
  }

  /** The next connection whose readiness changed since it was given last, or -1. */
  nextEvent(): number {
    return this.core.nextEvent();
  }

  /** Sends what may be sent. True if the output was full and there is more. */
  poll(): boolean {
    return pollAll(this.core);
  }

  /** True if `poll` has something to do. */
  get isDirty(): boolean {
    return this.core.dirtyFirst !== NO_CONNECTION;
  }

  /** An ICMP error about a segment of this host. */
  fail(error: IcmpError): void {
    takeIcmp(this.core, error);
  }

  deadlineUs(): number {
    return Math.min(this.core.wheel.deadlineUs(), this.core.timeWait.deadlineUs());
  }

  expire(): void {
    expireAll(this.core);
  }

  /** How long TIME-WAIT lasts from now on, for connections that enter it, in µs: 2MSL, 60 s if nobody says otherwise. */
  setTimeWaitUs(waitUs: number): void {
    this.core.timeWait.waitUs = waitUs;
  }

  /** Connections in TIME-WAIT. */
  get timeWaits(): number {
    return this.core.timeWait.count;
  }

  /** Connections, those that nobody has any more among them. */
  get connections(): number {
    return this.core.table.count;
  }

  /** Bytes of all send and receive buffers. */
  get ringBytes(): number {
    return this.core.ringBytes;
  }

  /** Bytes of its buffers. */
  ringBytesOf(c: number): number {
    const { sndSize, rcvSize } = this.core.col;
    return this.isOurs(c) ? sndSize[c]! + rcvSize[c]! : 0;
  }

  /** Of a connection that is withheld: the hardware address that its SYN came from, as a number of 48 bits; 0 if unknown. */
  senderOf(c: number): number {
    return this.isOurs(c) ? (this.core.senders[c] ?? 0) : 0;
  }

  /** True while a connection has bytes, or its end, that the peer has not acknowledged. */
  get isUnacknowledged(): boolean {
    const { core } = this;
    for (let c = 0; c < core.table.size; c++) {
      if (!core.table.isUsed(c)) continue;
      const state = core.col.state[c]!;
      const isEnding = state === State.FinWait1 || state === State.Closing || state === State.LastAck;
      if (isEnding || (isOpened(state) && core.queued(c) > 0)) return true;
    }
    return false;
  }

  /** Gives the memory of all connections back. Nobody is told, nothing is sent. */
  releaseMemory(): void {
    const { core } = this;
    for (let c = 0; c < core.table.end; c++) if (core.table.isUsed(c)) core.freeBuffers(c);
  }

  save(state: StateWriter): void {
    save(this.core, state);
  }

  load(state: StateReader): void {
    load(this.core, state);
  }
}

/** The handshake is over. */
const isOpened = (state: number): boolean => state === State.Established || state === State.CloseWait;
