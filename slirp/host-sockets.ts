// The sockets of the machine that a gateway runs on, as the pure side of this room asks for them. Nothing blocks, nothing
// throws: a call returns 0 or more, or -errno, of the stack's `Errno`, whose numbers are Linux's. Bytes are ranges of the slab.
//
// A handle is a small number. Whoever opened it claims it, and hears of it when `dispatch` is called: what it is ready for as
// long as it is and is wanted (level-triggered). A fresh handle wants nothing. What a grant cannot know when it is asked
// (Node's whether a port is free to listen on) is told as an error later.

import type { Span } from '../core/span.ts';
import type { Address, SocketName } from '../stack/stack.ts';
import type { DatagramBatch } from './datagram-batch.ts';

/**
 * What a host socket is ready for: bytes, datagrams or a connection to accept; to be written; failed; an error to be fetched. `End`, only with
 * `In` and not from every grant: the stream has ended behind what is there to be read, so that another read costs nothing.
 */
export const HostReady = { In: 1, Out: 2, Error: 4, Hup: 8, End: 16 } as const;

/** Who has a handle. */
export interface HostUser {
  /** `h` is ready: bits of `HostReady`. It may close any handle, this one too. */
  ready(h: number, events: number): void;
}

/** Something that went wrong with a datagram on its way: what IP_RECVERR gives. */
export class HostError {
  /** Positive. */
  errno = 0;
  /** The ICMP or ICMPv6 type and code, or -1 if the host itself said no. */
  type = -1;
  code = 0;
  /** The path's MTU where that is the error. */
  info = 0;
  isIp6 = false;
  /** Who reported it: a router, or the target. */
  readonly reporter: Address = new Int32Array(4);
  /** Where the datagram was sent to. */
  readonly target: Address = new Int32Array(4);
  port = 0;
  /** The beginning of the datagram's payload, in the slab until the next call; of an echo its ICMP header first. May be none. */
  at = 0;
  bytes = 0;
}

/** Granted by host-sockets.io.ts, or node-sockets.io.ts where there are no system calls; by a simulated host in tests. */
export interface HostSockets {
  claim(h: number, user: HostUser): void;
  /**
   * What `h` wants to hear of: bits `In` and `Out` of `HostReady`. Errors and hang-ups are always told; who wants nothing
   * hears of them once (of epoll: EPOLLET), as they stay, and he may have to wait before he can do something about them.
   */
  want(h: number, events: number): void;
  /** Tells the users what is ready now. */
  dispatch(): void;

  /** Begins to connect from `source` (all zero: the host chooses): a handle, or -errno. `Out` says that it is decided, `takeError` how. */
  connectTcp(target: Address, port: number, source: Address): number;
  connectUnix(path: string): number;
  listenTcp(address: Address, port: number, backlog: number): number;
  /** The file is made with mode 0600 and removed by `close`; one that nobody listens to is replaced. */
  listenUnix(path: string, backlog: number): number;
  /** A connection of a listener, and who it is from (nobody for Unix sockets): a handle, -EAGAIN, or what failed. */
  accept(h: number, peer: SocketName): number;
  /** Fills the ranges, which are not empty: bytes read, 0 at the end of the stream, -EAGAIN, -ECONNRESET and its like. */
  receive(h: number, into: Span): number;
  /** Takes bytes of the ranges: how many, -EAGAIN, -EPIPE, -ECONNRESET and its like. */
  send(h: number, from: Span): number;
  /** The end of our stream. */
  shutdown(h: number): number;

  /** Bound to an address and port of the host; both may be 0, the port is then one that is free. */
  openUdp(isIp6: boolean, local: Address, port: number): number;
  /** A ping socket with this identifier, -EADDRINUSE if it is not free; 0 lets the host choose. -EACCES where the host forbids them. */
  openEcho(isIp6: boolean, identifier: number): number;
  /** Fills the batch from its beginning: how many datagrams, -EAGAIN, or an error that was pending. */
  receiveDatagrams(h: number, into: DatagramBatch): number;
  /** Sends those from `from` on, each to its own address: how many, -EAGAIN, -EMSGSIZE, … of the first. */
  sendDatagrams(h: number, batch: DatagramBatch, from: number, count: number): number;
  /** The next error that came back: false if there is none. */
  receiveError(h: number, into: HostError): boolean;
  /** TTL or hop limit of what is sent from now on, 1 … 255. Remembered: setting the same again costs nothing. */
  setHops(h: number, hops: number): void;
  /** TOS or traffic class. As `setHops`. */
  setTrafficClass(h: number, trafficClass: number): void;
  /** Whether too long a datagram fails with EMSGSIZE instead of being fragmented. As `setHops`. */
  setDontFragment(h: number, isSet: boolean): void;

  /** Where `h` is bound; `port` is the identifier of a ping socket. */
  local(h: number, name: SocketName): number;
  /** SO_ERROR, positive, or 0. */
  takeError(h: number): number;
  /** The handle is free. A connection ends in order: what was sent is delivered. */
  close(h: number): void;
  /** As `close`, but a connection is reset. */
  abort(h: number): void;
}
