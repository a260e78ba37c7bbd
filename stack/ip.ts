// The seam between the transports and the network layer: who may send what where, and who is given what came.

import type { Drop } from '../core/drop.ts';
import type { Address } from './address.ts';
import type { IcmpError, Packet } from './packet.ts';

/** No interface in particular. Interfaces are numbered from 1; 1 is loopback. */
export const ANY_IFACE = 0;
/** The loopback interface. */
export const LOOPBACK_IFACE = 1;

/** Hop limit of ordinary packets, IANA's default. */
export const HOP_LIMIT_DEFAULT = 64;
/** For `send` and `sendDatagram`: the link's hop limit, which routers advertise (RFC 4861 §6.3.4), or IPv4's default. */
export const HOP_LIMIT_OF_LINK = -1;

/**
 * Ways to targets. A path is a small number, good until the stack's next entry; asking again is cheap, so nobody keeps one.
 */
export interface Paths {
  /**
   * The path from `source` to `target`, or a negative errno (ENETUNREACH, EHOSTUNREACH, EADDRNOTAVAIL, EINVAL). `source` may
   * be ANY or ANY4: RFC 6724 then chooses. `iface` (for link-local and multicast targets) may be ANY_IFACE.
   */
  find(source: Address, target: Address, iface: number): number;
  /** The path's source address; not to be kept. */
  sourceOf(path: number): Address;
  ifaceOf(path: number): number;
  /** The longest IP packet that the path takes uncut, in bytes, header included: link, route and path MTU discovery. */
  mtuOf(path: number): number;
  /** The longest IP packet that may be handed over at once, up to 65,535 where the port takes super-frames, else `mtuOf`. */
  superOf(path: number): number;
  /** The target answered: RFC 4861 §7.3.1's forward-progress hint from the layer above. */
  confirm(path: number): void;
  /** The target does not answer: negative advice, RFC 9293 §3.8.3 (MUST-20). The next hop is asked whether it is there. */
  doubt?(path: number): void;
}

/** Sends packets. `open`, write the payload, `seal` if it has a checksum, `send`; nothing else happens in between. */
export interface Sender {
  /**
   * Starts a packet with `bytes` bytes after its IP header: where they go, or NONE if the output is full or `bytes` do not
   * fit `superOf`. The addresses are already written, so the pseudo-header can be summed.
   */
  open(path: number, protocol: number, bytes: number): number;
  /** True if `seal` needs the sum of the bytes; false where the port completes checksums itself. Of the opened packet. */
  readonly needsSum: boolean;
  /**
   * Writes the checksum at `at + offset`. `sum`: the folded sum over the opened packet's `bytes` with a checksum field of 0;
   * ignored where `needsSum` is false.
   */
  seal(offset: number, sum: number): void;
  /**
   * Sends it: Drop.None, or why not. `segmentBytes` above 0 makes it a super-frame to be cut into TCP segments of so much
   * payload. `hopLimit` is 0 … 255 or HOP_LIMIT_OF_LINK. `trafficClass` is DSCP and ECN. A packet whose next hop is not known yet waits with the neighbour and counts as sent.
   */
  send(hopLimit: number, trafficClass: number, segmentBytes: number): Drop;
  /**
   * Sends a packet of any length up to 65,535 - header, cut into fragments if need be: `bytes` at `at` are the payload, its
   * checksum in it. Never waits for room: Drop.TxFull. With `mayFragment` false a long one is Drop.TooBig.
   */
  sendDatagram(
    path: number,
    protocol: number,
    at: number,
    bytes: number,
    hopLimit: number,
    trafficClass: number,
    mayFragment: boolean,
  ): Drop;
}

/** A protocol above IP. */
export interface Transport {
  /** A packet for this host. `Drop.NoSocket` makes the network layer answer "port unreachable" where that is allowed. */
  receive(packet: Packet): Drop;
  /** An ICMP error about a packet that this host sent. */
  fail(error: IcmpError): void;
}

/** The echo sockets of a stack: ICMP gives them replies, and errors that quote a request. */
export interface EchoSockets extends Transport {
  /** A request for an address that is none of this host's, which came in by an interface that accepts any. NotForUs if nobody takes it. */
  intercepted(packet: Packet): Drop;
}

/** Who hears of every packet of its protocol beside the transport: raw sockets. `hear` is true if somebody took a copy. */
export interface RawListener {
  hear(packet: Packet): boolean;
  /** An ICMP error about a packet that this host sent. */
  fail(error: IcmpError): void;
}
