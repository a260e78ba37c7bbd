// Where guests may go: the rules in the order given, then what is refused by default.
//
// By default a guest reaches everything but the host itself and what only the host should see (places.ts). A rule opens such
// a place only if it names it: by an address or prefix within it, or by its group. `--allow any` and `--allow 0.0.0.0/0` do
// not mean the host's loopback; `--allow 127.0.0.0/8` does. What is no target of anybody, no rule opens. A `deny` goes for
// everything it covers, IPv6 addresses that carry a covered IPv4 address among them.

import { UsageError } from '../core/assert.ts';
import { type Address, samePrefix } from '../stack/stack.ts';
import { Protocol } from './parts.ts';
import { type HostPlaces, isPrivate, Place, Places } from './places.ts';
import type { Rule } from './rule.ts';

export type { HostPlaces } from './places.ts';

/** Each is asked for every flow. */
const RULES_MAX = 1024;

/** What rules are made of. */
export interface RulesOptions {
  readonly rules?: readonly Rule[];
  /** Nothing may be reached but what a rule allows. */
  readonly isRestricted?: boolean;
  readonly places?: HostPlaces;
}

/** What the rules say, from a firm no to a firm yes. */
export const Judgement = {
  /** By a rule. */
  Denied: 0,
  /** By default. */
  Refused: 1,
  /** By default. */
  Passed: 2,
  /** By a rule. */
  Allowed: 3,
} as const;
export type Judgement = (typeof Judgement)[keyof typeof Judgement];

/** Rules and defaults together. Asked once a flow. */
export class Rules {
  readonly isRestricted: boolean;
  private readonly rules: readonly Rule[];
  private readonly places = new Places();

  constructor(options: RulesOptions = {}) {
    this.isRestricted = options.isRestricted ?? false;
    this.rules = options.rules ?? [];
    if (this.rules.length > RULES_MAX)
      throw new UsageError(`${this.rules.length} rules: at most ${RULES_MAX}; name prefixes or groups`);
    if (options.places) this.places.set(options.places);
  }

  /** The host's addresses or networks changed. What flows already is not asked again. */
  setHost(places: HostPlaces): void {
    this.places.set(places);
  }

  /** True if a guest may send to this address of the host's side; `port` 0 for echo. */
  allows(protocol: Protocol, address: Address, port: number): boolean {
    return this.judge(protocol, address, port) >= Judgement.Passed;
  }

  /** As `allows`, and whether a rule said so. */
  judge(protocol: Protocol, address: Address, port: number): Judgement {
    const { places } = this;
    places.look(address);
    if (places.place === Place.Never) return Judgement.Refused;
    for (const rule of this.rules) {
      if (!isAbout(rule, protocol, port)) continue;
      if (!rule.isAllow && this.covers(rule, address)) return Judgement.Denied;
      if (rule.isAllow && this.opens(rule, address)) return Judgement.Allowed;
    }
    return places.place === Place.Open && !this.isRestricted ? Judgement.Passed : Judgement.Refused;
  }

  /** The host's loopback or an address of its own: a datagram to it may come back to this gateway. */
  isHostOwn(address: Address): boolean {
    return this.places.isOwn(address);
  }

  /** True if a rule that allows means the address that was looked at. */
  private opens({ group, address: prefix, bits }: Rule, address: Address): boolean {
    const { place, nameBits, isCarried } = this.places;
    switch (group) {
      case undefined:
        return bits >= nameBits && samePrefix(address, prefix, bits);
      case 'any':
        return place === Place.Open;
      case 'private':
        return (place === Place.Near && !isCarried) || (place === Place.Open && isPrivate(address));
      default:
        return place === PLACES[group] && !isCarried;
    }
  }

  private covers(rule: Rule, address: Address): boolean {
    if (this.coversOne(rule, address)) return true;
    const { carried, carriedCount } = this.places;
    for (let i = 0; i < carriedCount; i++) if (this.coversOne(rule, carried[i]!)) return true;
    return false;
  }

  private coversOne({ group, address: prefix, bits }: Rule, address: Address): boolean {
    switch (group) {
      case undefined:
        return samePrefix(address, prefix, bits);
      case 'any':
        return true;
      case 'private':
        return isPrivate(address);
      default:
        return this.places.place === PLACES[group];
    }
  }
}

const PLACES = {
  loopback: Place.Loopback,
  'link-local': Place.LinkLocal,
  metadata: Place.Metadata,
  host: Place.Own,
} as const;

function isAbout({ protocol, portFirst, portLast }: Rule, asked: Protocol, port: number): boolean {
  const isEcho = asked === Protocol.Icmp || asked === Protocol.Icmp6;
  if (protocol !== 0 && protocol !== (isEcho ? Protocol.Icmp : asked)) return false;
  return port >= portFirst && port <= portLast;
}
