// Addresses that a host makes of advertised prefixes: RFC 4862 §5.5, RFC 7217 stable ones, RFC 8981 temporary ones.

import type { StateReader, StateWriter } from '../../core/state.ts';
import { NEVER, US_PER_S } from '../../core/time.ts';
import { ADDRESS_WORDS, type Address, assign, equal, isLinkLocal, isMulticast, samePrefix } from '../address.ts';
import type { NetworkInterface } from '../link/interfaces.ts';
import { loadAddress } from '../multicast/source-set.ts';
import { KEY_WORDS, Random } from '../random.ts';
import { Purpose, type Shared } from '../shared.ts';
import { type Addresses, AddressOrigin, AddressState } from './addresses.ts';
import { IID_BITS, writeEui64, writeRandom, writeStable } from './interface-id.ts';
import { loadTime } from './load-time.ts';

/** RFC 4862 §5.5.3 (e). */
const TWO_HOURS_US = 7200 * US_PER_S;
/** RFC 7217 §6, IDGEN_RETRIES; RFC 8981 §3.8, TEMP_IDGEN_RETRIES. */
const RETRIES = 3;
// RFC 8981 §3.8.
const TEMP_VALID_US = 2 * 86400 * US_PER_S;
const TEMP_PREFERRED_US = 86400 * US_PER_S;
const DESYNC_US_MAX = 0.4 * TEMP_PREFERRED_US;
const REGEN_US = 2 * US_PER_S; // and the time that the retries' duplicate address detection takes
// Ours.
const FORMED_MAX = 4096;
const ROUTERS_MAX = 4; // remembered of one prefix
const INTERFACES_MAX = 65535;
const COUNTER_MAX = 2 ** 31 - 1;

/** How identifiers are made. */
export const IidKind = { Stable: 0, Eui64: 1 } as const;
export type IidKind = (typeof IidKind)[keyof typeof IidKind];

/** An advertised prefix with its lifetimes as they were received, in µs; NEVER for infinity. */
export interface Prefix {
  readonly address: Address;
  readonly bits: number;
  readonly preferredUs: number;
  readonly validUs: number;
}

/** Adds and removes addresses for those who form them: duplicate address detection and events are its part. */
export interface AddressMaker {
  addFormed(
    iface: NetworkInterface,
    address: Address,
    origin: AddressOrigin,
    preferredUntilUs: number,
    validUntilUs: number,
    isDelayed: boolean,
  ): number;
  removeAddress(a: number): void;
}

interface Formed {
  readonly a: number;
  readonly isTemporary: boolean;
  counter: number; // RFC 7217's DAD_Counter
  readonly retries: number; // identifiers tried before it
  readonly createdUs: number;
  readonly desyncUs: number; // RFC 8981 §3.8
  isReplaced: boolean; // a successor was made
  routers: Address[]; // that advertised the prefix, the latest first: RFC 6724 §5 rule 5.5
}

/** The formed addresses and their lifetimes. */
export class Slaac {
  private readonly shared: Shared;
  private readonly addresses: Addresses;
  private readonly maker: AddressMaker;
  private readonly key = new Int32Array(KEY_WORDS);
  private readonly random: Random;
  private formed: Formed[] = [];
  private readonly withoutTemporary = new Set<number>(); // interfaces where all tries were taken, RFC 8981 §3.4 (7)
  private readonly address: Address = new Int32Array(ADDRESS_WORDS);

  constructor(shared: Shared, addresses: Addresses, maker: AddressMaker) {
    this.shared = shared;
    this.addresses = addresses;
    this.maker = maker;
    this.key.set(new Random(shared.secret, Purpose.Address).key);
    this.random = new Random(shared.secret, Purpose.Temporary);
  }

  /** Forms the link-local address: RFC 4862 §5.3. Its number or a negative errno. */
  addLinkLocal(iface: NetworkInterface, kind: IidKind): number {
    return this.form(iface, Int32Array.of(0xfe800000 | 0, 0, 0, 0), AddressOrigin.LinkLocal, kind, {
      preferredUntilUs: NEVER,
      validUntilUs: NEVER,
      isDelayed: true,
      counter: 0,
      retries: 0,
    });
  }

  /** An autonomous prefix of a router's advertisement: RFC 4862 §5.5.3 (b) to (e). `withTemporary` adds a temporary one. */
  receive(iface: NetworkInterface, prefix: Prefix, router: Address, kind: IidKind, withTemporary: boolean): void {
    if (isLinkLocal(prefix.address) || isMulticast(prefix.address)) return; // (b)
    if (prefix.preferredUs > prefix.validUs) return; // (c)
    const known = this.of(iface, prefix);
    for (const one of known) this.renew(one, prefix);
    if (prefix.validUs === 0 || prefix.bits !== 128 - IID_BITS) return; // (d)
    const { nowUs } = this.shared;
    if (!known.some((one) => !one.isTemporary)) {
      this.form(iface, prefix.address, AddressOrigin.Slaac, kind, {
        preferredUntilUs: nowUs + prefix.preferredUs,
        validUntilUs: nowUs + prefix.validUs,
        isDelayed: true,
        counter: 0,
        retries: 0,
      });
    }
    if (withTemporary && !known.some((one) => one.isTemporary && !one.isReplaced)) {
      this.formTemporary(iface, prefix.address, nowUs + prefix.preferredUs, nowUs + prefix.validUs, 0);
    }
    for (const one of this.of(iface, prefix)) {
      one.routers = [Int32Array.from(router), ...one.routers.filter((r) => !equal(r, router))].slice(0, ROUTERS_MAX);
    }
  }

  /** True if `router` advertised the prefix that `a` was formed of. */
  advertised(a: number, router: Address): boolean {
    return this.formed.some((one) => one.a === a && one.routers.some((r) => equal(r, router)));
  }

  /** `a` is another's: the next identifier is tried, RFC 7217 §6 and RFC 8981 §3.4 (7). False if there is none left. */
  taken(iface: NetworkInterface, a: number, kind: IidKind): boolean {
    const one = this.formed.find((f) => f.a === a);
    if (!one) return false;
    this.formed = this.formed.filter((f) => f !== one);
    if (one.retries >= RETRIES) {
      if (one.isTemporary) this.withoutTemporary.add(iface.number);
      return false;
    }
    if (!one.isTemporary && kind === IidKind.Eui64) return false;
    const prefix = Int32Array.from(this.addresses.addressOf(a));
    const preferredUntilUs = this.addresses.preferredUntilUs(a);
    const validUntilUs = this.addresses.validUntilUs(a);
    if (one.isTemporary) {
      this.formTemporary(iface, prefix, preferredUntilUs, validUntilUs, one.retries + 1);
      return true;
    }
    const origin = this.addresses.originOf(a) as AddressOrigin;
    const counter = one.counter + 1;
    const rest = { preferredUntilUs, validUntilUs, isDelayed: false, counter, retries: one.retries + 1 };
    this.form(iface, prefix, origin, kind, rest);
    return true;
  }

  /** The address is gone. */
  forget(a: number): void {
    this.formed = this.formed.filter((one) => one.a !== a);
  }

  /** When the next temporary address is to be made. Lifetimes of all addresses are `AddressLifetimes`'. */
  deadlineUs(): number {
    let earliestUs = NEVER;
    for (const one of this.formed) earliestUs = Math.min(earliestUs, this.regenUs(one));
    return earliestUs;
  }

  /** RFC 8981 §3.4 (1), §3.6: a new temporary address before the old one is deprecated. */
  expire(interfaceOf: (iface: number) => NetworkInterface | undefined): void {
    for (const one of [...this.formed]) {
      if (this.regenUs(one) > this.shared.nowUs) continue;
      one.isReplaced = true;
      const iface = interfaceOf(this.addresses.ifaceOf(one.a));
      const stable = this.formed.find((f) => !f.isTemporary && this.sharesPrefix(f.a, one.a));
      if (!iface || !stable) continue;
      const preferredUntilUs = this.addresses.preferredUntilUs(stable.a);
      const validUntilUs = this.addresses.validUntilUs(stable.a);
      const prefix = Int32Array.from(this.addresses.addressOf(one.a));
      this.formTemporary(iface, prefix, preferredUntilUs, validUntilUs, 0);
    }
  }

  save(state: StateWriter): void {
    this.random.save(state);
    state.number(this.withoutTemporary.size);
    for (const iface of this.withoutTemporary) state.number(iface);
    state.number(this.formed.length);
    for (const one of this.formed) {
      state.number(one.a).boolean(one.isTemporary).number(one.counter).number(one.retries);
      state.number(one.createdUs).number(one.desyncUs).boolean(one.isReplaced).number(one.routers.length);
      for (const router of one.routers) state.column(router);
    }
  }

  load(state: StateReader): void {
    this.random.load(state);
    this.withoutTemporary.clear();
    const interfaces = state.integer(0, INTERFACES_MAX);
    for (let i = 0; i < interfaces; i++) this.withoutTemporary.add(state.integer(1, INTERFACES_MAX));
    this.formed = [];
    const count = state.integer(0, FORMED_MAX);
    for (let i = 0; i < count; i++) {
      this.formed.push({
        a: state.integer(0, FORMED_MAX),
        isTemporary: state.boolean(),
        counter: state.integer(0, COUNTER_MAX),
        retries: state.integer(0, RETRIES),
        createdUs: loadTime(state),
        desyncUs: loadTime(state),
        isReplaced: state.boolean(),
        routers: Array.from({ length: state.integer(0, ROUTERS_MAX) }, () => loadAddress(state)),
      });
    }
    this.formed = this.formed.filter((one) => this.addresses.isAddress(one.a));
  }

  private of(iface: NetworkInterface, prefix: Prefix): Formed[] {
    return this.formed.filter(
      (one) =>
        this.addresses.ifaceOf(one.a) === iface.number &&
        this.addresses.originOf(one.a) !== AddressOrigin.LinkLocal &&
        samePrefix(this.addresses.addressOf(one.a), prefix.address, prefix.bits),
    );
  }

  private sharesPrefix(a: number, b: number): boolean {
    const { addresses } = this;
    return (
      addresses.ifaceOf(a) === addresses.ifaceOf(b) &&
      samePrefix(addresses.addressOf(a), addresses.addressOf(b), 128 - IID_BITS)
    );
  }

  /** RFC 4862 §5.5.3 (e): an advertisement that nobody authenticated cannot end a life in less than two hours. */
  private renew(one: Formed, prefix: Prefix): void {
    const { nowUs } = this.shared;
    const { addresses } = this;
    const remainingUs = addresses.validUntilUs(one.a) - nowUs;
    let validUntilUs = addresses.validUntilUs(one.a);
    if (prefix.validUs > TWO_HOURS_US || prefix.validUs > remainingUs) validUntilUs = nowUs + prefix.validUs;
    else if (remainingUs > TWO_HOURS_US) validUntilUs = nowUs + TWO_HOURS_US;
    let preferredUntilUs = nowUs + prefix.preferredUs;
    if (one.isTemporary) {
      // RFC 8981 §3.4 (2): never longer than a temporary address lives.
      validUntilUs = Math.min(validUntilUs, one.createdUs + TEMP_VALID_US);
      preferredUntilUs = Math.min(preferredUntilUs, one.createdUs + TEMP_PREFERRED_US - one.desyncUs);
    }
    addresses.setLifetimes(one.a, preferredUntilUs, validUntilUs);
    const state = addresses.stateOf(one.a);
    if (state === AddressState.Deprecated && preferredUntilUs > nowUs) {
      addresses.setState(one.a, AddressState.Preferred);
    }
  }

  private formTemporary(
    iface: NetworkInterface,
    prefix: Address,
    preferredUntilUs: number,
    validUntilUs: number,
    retries: number,
  ): void {
    if (this.withoutTemporary.has(iface.number)) return;
    const { nowUs } = this.shared;
    const desyncUs = this.random.below(DESYNC_US_MAX);
    const preferredUs = Math.min(preferredUntilUs, nowUs + TEMP_PREFERRED_US - desyncUs);
    const validUs = Math.min(validUntilUs, nowUs + TEMP_VALID_US);
    // §3.4 (5): none that would be replaced at once.
    if (preferredUs - nowUs <= this.advanceUs(iface)) return;
    assign(this.address, prefix);
    writeRandom(this.random, this.address);
    const a = this.maker.addFormed(iface, this.address, AddressOrigin.Temporary, preferredUs, validUs, retries === 0);
    if (a < 0) return;
    const base = { a, isTemporary: true, counter: 0, retries, createdUs: nowUs, desyncUs };
    this.formed.push({ ...base, isReplaced: false, routers: [] });
  }

  private form(
    iface: NetworkInterface,
    prefix: Address,
    origin: AddressOrigin,
    kind: IidKind,
    rest: {
      readonly preferredUntilUs: number;
      readonly validUntilUs: number;
      readonly isDelayed: boolean;
      readonly counter: number;
      readonly retries: number;
    },
  ): number {
    assign(this.address, prefix);
    let { counter } = rest;
    if (kind === IidKind.Eui64) writeEui64(iface.mac, this.address);
    else counter = writeStable(this.key, this.address, iface.number, counter);
    const { preferredUntilUs, validUntilUs, isDelayed, retries } = rest;
    const a = this.maker.addFormed(iface, this.address, origin, preferredUntilUs, validUntilUs, isDelayed);
    if (a < 0) return a;
    const base = { a, isTemporary: false, counter, retries, createdUs: this.shared.nowUs, desyncUs: 0 };
    this.formed.push({ ...base, isReplaced: false, routers: [] });
    return a;
  }

  private regenUs(one: Formed): number {
    if (!one.isTemporary || one.isReplaced) return NEVER;
    return this.addresses.preferredUntilUs(one.a) - REGEN_US - RETRIES * US_PER_S;
  }

  /** RFC 8981 §3.8, REGEN_ADVANCE. */
  private advanceUs(iface: NetworkInterface): number {
    return REGEN_US + RETRIES * iface.retransUs;
  }
}
