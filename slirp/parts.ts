// What the flows of a gateway share.

import type { Address, Stack } from '../stack/stack.ts';
import type { DatagramBatch } from './datagram-batch.ts';
import type { HostSockets } from './host-sockets.ts';
import type { Senders } from './senders.ts';

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

/** What is counted. `Connecting`: TCP connections of guests that the host has not connected yet, which count as `Tcp`, too. */
export const FlowKind = { Tcp: 0, Udp: 1, Echo: 2, Connecting: 3 } as const;
export type FlowKind = (typeof FlowKind)[keyof typeof FlowKind];

export const NO_STATION = -1;

/** Flows of one station are bounded, so that one takes nothing from the others. A station is a small number while it has flows. */
export interface Caps {
  /**
   * Counts a flow in: its station, or `NO_STATION` if that has, or all together have, as many as they may. Who has most may
   * have had to give one up. `mac` is the hardware address (48 bits) that the guest sent from, 0 for flows from outside.
   */
  take(kind: FlowKind, guest: Address, mac: number): number;
  /** As `take`, for a station that has another flow. */
  takeFor(kind: FlowKind, station: number): boolean;
  give(kind: FlowKind, station: number): void;
  /** The station, or `NO_STATION` if it has no flow. */
  find(guest: Address, mac: number): number;
  /** The host has no room for a flow of this guest: true if somebody who has more gave one up, of this kind or another. */
  relieve(kind: FlowKind, guest: Address, mac: number): boolean;
  /** `giveUp` ends a flow of a station, the one that is idle for longest or nearly; false if it cannot. */
  setGiver(kind: FlowKind, giveUp: (station: number) => boolean): void;
}

/** Given to TCP, UDP and echo flows. */
export interface FlowParts {
  readonly stack: Stack;
  /** Number of the interface to the guests; it accepts any address. */
  readonly iface: number;
  readonly host: HostSockets;
  readonly targets: Targets;
  readonly caps: Caps;
  readonly senders: Senders;
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
  evicted = 0; // flows that were ended for those of guests that have fewer, or for their memory
  forged = 0; // what a guest sent by an address that is another's
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
