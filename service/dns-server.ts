// signatures
import { NEVER } from '../core/time.ts';
import type { Address, Stack } from '../stack/stack.ts';
import { DnsCounters, type DnsOptions } from './dns-parts.ts';
import type { DnsUpstream } from './dns-upstream.ts';

/** A DNS server in a network: local names, a cache, a forwarder. It is a `StackUser` of its stack and a `GuestNames`. */
export class DnsServer {
  readonly counters = new DnsCounters();
  /** Opens the sockets. Throws `UsageError`. */
  constructor(_stack: Stack, _upstream: DnsUpstream, _options: DnsOptions) {}
  /** A guest's name, without or with the domain; what is no host name, or is taken, is not set. */
  set(_name: string, _address: Address): void {}
  /** The names of an address are gone. */
  remove(_address: Address): void {}
  turn(): void {}
  deadlineUs(): number {
    return NEVER;
  }
  expire(): void {}
  close(): void {}
}
