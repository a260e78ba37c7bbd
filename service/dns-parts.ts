// What a DNS server is told at its creation, and what it counts.

import type { Address } from '../stack/stack.ts';

/** Addresses with a prefix in common; IPv4's bits are 0 … 32. */
export interface DnsNetwork {
  readonly address: Address;
  readonly bits: number;
}

/** A name for an address. A name without a dot is one of the domain's. */
export interface DnsName {
  readonly name: string;
  readonly address: Address;
}

/** All but `addresses` may be left out. */
export interface DnsOptions {
  /** Where it listens: addresses of the stack's own, at most 16. */
  readonly addresses: readonly Address[];
  /** 53 unless said. */
  readonly port?: number;
  /** The guests' domain, which is never forwarded: `DOMAIN` unless said. */
  readonly domain?: string;
  /** What `gateway` and `host` of the domain are. */
  readonly gateway?: readonly Address[];
  /** Whose reverse names are answered here, and never forwarded. */
  readonly networks?: readonly DnsNetwork[];
  readonly names?: readonly DnsName[];
  /** A hosts(5) text. */
  readonly hosts?: string;
  /** DNS64, RFC 6147: IPv6 addresses are made of IPv4's with this prefix; 32, 40, 48, 56, 64 or 96 bits. */
  readonly dns64?: DnsNetwork;
  /** Nothing is forwarded: what is not known here is refused. */
  readonly isRestricted?: boolean;
  /** Answers that are kept, and bytes of them. */
  readonly cacheEntriesMax?: number;
  readonly cacheBytesMax?: number;
  /** Queries that wait for servers at a time, 1 … 16,384. */
  readonly pendingMax?: number;
  /** A line for people, e.g. that there is no server. */
  readonly say?: (line: string) => void;
}

/** Reserved for private use by ICANN (2024-07-29), so that no public name is hidden. */
export const DOMAIN = 'weft.internal';

/** Whole numbers, for listings and metrics. */
export class DnsCounters {
  queries = 0;
  overTcp = 0; // of them
  local = 0; // answered from names and zones of ours
  hits = 0; // answered from the cache
  joined = 0; // asked while the same question was on its way
  forwarded = 0; // sent to a server, each once
  retries = 0; // sent again, or to another
  answers = 0; // that servers gave, and that fit
  synthesized = 0; // DNS64
  // With an error for the guest, or lost, each with its reason:
  failed = 0; // no server gave an answer
  refused = 0; // by restricted mode, or a zone transfer
  malformed = 0; // queries that are none
  full = 0; // too many at a time
  unsent = 0; // answers that a full port or slow connection did not take
  // From outside:
  ignored = 0; // messages that answer nothing that was asked
  timeouts = 0;
}
