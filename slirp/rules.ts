// Where guests may go: rules in the order given, then what is refused by default.

import type { Address } from '../stack/stack.ts';
import type { Protocol } from './parts.ts';
import type { Rule } from './rule.ts';

/** What the host is, as the engine finds it; kept by whoever gives it, copied here. */
export interface HostPlaces {
  /** All of the machine's own addresses. */
  readonly addresses: readonly Address[];
  /** The subnets of its interfaces; `bits` of the address's own family. Those that are not private are left alone. */
  readonly networks: readonly { readonly address: Address; readonly bits: number }[];
}

export interface RulesOptions {
  readonly rules?: readonly Rule[];
  readonly isRestricted?: boolean;
  readonly places?: HostPlaces;
}

/** Rules and defaults together. */
export class Rules {
  readonly isRestricted: boolean;

  constructor(options: RulesOptions = {}) {
    this.isRestricted = options.isRestricted ?? false;
  }

  setHost(_places: HostPlaces): void {}

  /** True if a guest may send to this address of the host's side. */
  allows(_protocol: Protocol, _address: Address, _port: number): boolean {
    return false;
  }

  /** The host's loopback or an address of its own: where a datagram to it comes back to this gateway. */
  isHostOwn(_address: Address): boolean {
    return false;
  }
}
