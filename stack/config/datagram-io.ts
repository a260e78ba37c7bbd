// What the clients need of the socket table: datagrams by handle, and a stream for the resolver. No more than this.

import type { Address } from '../address.ts';

/** Where a datagram came from, overwritten by the next one that is received. */
export interface DatagramSource {
  readonly address: Address;
  readonly port: number;
  readonly iface: number;
  /** TTL or hop limit as received, -1 if it is not known. */
  readonly hopLimit: number;
}

/** How a datagram socket is opened. */
export interface DatagramOptions {
  readonly isIp6: boolean;
  /** 0: one is chosen at random. */
  readonly port: number;
  /** The interface that it is bound to, or ANY_IFACE. */
  readonly iface: number;
  /** A group that it joins on `iface`. */
  readonly group?: Address;
  /** Hop limit of all that is sent, unicast and multicast. */
  readonly hopLimit?: number;
  /** Others may have the same port (mDNS). */
  readonly isShared?: boolean;
}

/** Datagram sockets by handle. Numbers below 0 are negated errnos. Handles outlive save and load. */
export interface DatagramIo {
  readonly source: DatagramSource;
  open(options: DatagramOptions): number;
  /** Bytes sent, or why not. The bytes and the address are copied. */
  sendTo(handle: number, bytes: Uint8Array, target: Address, port: number): number;
  /** Bytes of the next datagram, cut to `into`, or -EAGAIN; another error is about what was sent before. */
  receiveFrom(handle: number, into: Uint8Array): number;
  close(handle: number): void;
}

/** Streams by handle, non-blocking. */
export interface StreamIo {
  /** Begins to connect. */
  connect(target: Address, port: number): number;
  /** How many of the bytes from `from` on were taken, -EAGAIN while it connects or is full, or why it failed. */
  send(handle: number, bytes: Uint8Array, from: number): number;
  /** Bytes received, 0 at the end, -EAGAIN, or why it failed. */
  receive(handle: number, into: Uint8Array, from: number): number;
  close(handle: number): void;
}
