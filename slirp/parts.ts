// What the flows of a gateway share.

import type { Address, Stack } from '../stack/stack.ts';
import type { DatagramBatch } from './datagram-batch.ts';
import type { HostSockets } from './host-sockets.ts';

/** Protocols by their IP numbers. */
export const Protocol = { Icmp: 1, Tcp: 6, Udp: 17, Icmp6: 58 } as const;
export type Protocol = (typeof Protocol)[keyof typeof Protocol];

/** What is to happen with what a guest sends to a target. */
export const Verdict = {
  /** It goes to the host-side address that was written. */
  Go: 0,
  /** A rule forbids it: TCP is reset, others get ICMP "administratively prohibited". */
  Prohibited: 1,
  /** There is nothing there: TCP is reset, UDP gets ICMP "port unreachable". */
  Refused: 2,
  /** No route: ICMP "no route" or "network unreachable". */
  Unreachable: 3,
} as const;
export type Verdict = (typeof Verdict)[keyof typeof Verdict];

/** Where guests may go, and under which names: rules, the host's loopback, NAT64, forwards out. */
export interface Targets {
  /**
   * A guest at `guest` sends to `target`, `port` (0 for echo): writes where that is on the host's side to `into` and
   * `hostPort`. Never slow: asked for every flow, not for every packet.
   */
  decide(protocol: Protocol, guest: Address, target: Address, port: number, into: Address): Verdict;
  /** The port that the last `decide` with `Go` led to. */
  readonly hostPort: number;
  /** A Unix socket that the last `decide` with `Go` led to instead of address and port, else ''. TCP only. */
  readonly hostPath: string;
  /** Where flows leave: the outbound address of the family, all zero if the host chooses. */
  source(isIp6: boolean): Address;
  /**
   * How a guest that talks to `asTarget` knows the host-side `address`, e.g. with NAT64 or the gateway's own address for
   * the host's loopback: written to `into`. False if it has no name there: then nothing of it may reach the guest.
   */
  nameFor(address: Address, asTarget: Address, into: Address): boolean;
}

/** Flows of one guest are bounded, so that one takes nothing from the others. A guest is an address. */
export interface Caps {
  /** Counts a flow in: false if the guest, or all together, have as many as they may. */
  take(protocol: Protocol, guest: Address): boolean;
  give(protocol: Protocol, guest: Address): void;
}

/** Given to TCP, UDP and echo flows. */
export interface FlowParts {
  readonly stack: Stack;
  /** Number of the interface to the guests; it accepts any address. */
  readonly iface: number;
  readonly host: HostSockets;
  readonly targets: Targets;
  readonly caps: Caps;
  /** For all of the gateway's datagrams, one call at a time. */
  readonly batch: DatagramBatch;
  readonly counters: SlirpCounters;
}

/** What a gateway counts beside the port's own drops. Whole numbers, for listings and metrics. */
export class SlirpCounters {
  tcpOpened = 0;
  tcpFailed = 0; // the host could not connect
  tcpBytesOut = 0; // guest to host
  tcpBytesIn = 0;
  udpOpened = 0;
  udpDatagramsOut = 0;
  udpDatagramsIn = 0;
  udpBytesOut = 0;
  udpBytesIn = 0;
  echoRequests = 0;
  echoReplies = 0;
  echoForbidden = 0; // the host has no ping sockets for its users
  errorsToGuests = 0; // ICMP
  forwardsAccepted = 0;
  forwardsFailed = 0; // the guest could not be connected to
  // Refused or lost, each with its reason:
  prohibited = 0; // by a rule
  guestFull = 0; // the guest, or the gateway, has as many flows as it may
  hostFull = 0; // the host has no descriptor, buffer or port for it
  filtered = 0; // from outside, from somebody the guest had not sent to
  lost = 0; // a datagram that a full socket did not take
  unnamed = 0; // from an address that has no name for guests
}

/** One flow, for people and programs. */
export interface FlowView {
  readonly protocol: 'tcp' | 'udp' | 'icmp' | 'icmp6';
  /** `address:port`, as everywhere in listings. */
  readonly guest: string;
  /** Where the guest thinks it goes, and who it comes from if it was opened from outside. */
  readonly target: string;
  /** The host's own end, where known. */
  readonly host: string;
  readonly direction: 'out' | 'in';
  /** Of TCP: connecting, open, guest-closed, host-closed; others: open. */
  readonly state: string;
  readonly bytesOut: number;
  readonly bytesIn: number;
  readonly ageSeconds: number;
  readonly idleSeconds: number;
}
