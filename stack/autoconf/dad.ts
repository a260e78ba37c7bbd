// Duplicate address detection: RFC 4862 §5.4, with the nonces of RFC 7527 that tell one's own echo from a rival.

import type { StateReader, StateWriter } from '../../core/state.ts';
import { NEVER, US_PER_S } from '../../core/time.ts';
import { ADDRESS_WORDS, type Address } from '../address.ts';
import type { AddressVerdicts } from '../link/acd.ts';
import type { Interfaces } from '../link/interfaces.ts';
import { ALL_NODES, type NdpOutput, solicitedNode } from '../link/ndp-output.ts';
import type { Multicast } from '../multicast/multicast.ts';
import { Random } from '../random.ts';
import { Purpose, type Shared } from '../shared.ts';
import type { Addresses } from './addresses.ts';
import { loadTime } from './load-time.ts';

/** RFC 4862 §5.1, DupAddrDetectTransmits. */
/** RFC 4861 §10, MAX_RTR_SOLICITATION_DELAY. */
const DELAY_US_MAX = US_PER_S;
/** RFC 7527 §4.1: MAX_MULTICAST_SOLICIT more after one came back. */
const TRANSMITS_AFTER_LOOP = 3;
const NONCE_BYTES = 6;
const CHECKS_MAX = 4096;

interface Check {
  readonly a: number;
  isJoined: boolean;
  probesLeft: number;
  isLooped: boolean; // a probe of ours came back since the last round began
  dueUs: number;
  readonly nonce: Uint8Array<ArrayBuffer>; // of the last probe
}

/** Addresses under test. The verdicts go to who began it. */
export class DuplicateDetection {
  private readonly shared: Shared;
  private readonly interfaces: Interfaces;
  private readonly addresses: Addresses;
  private readonly multicast: Multicast;
  private readonly output: NdpOutput;
  private readonly verdicts: AddressVerdicts;
  private readonly random: Random;
  private readonly checks: Check[] = [];
  private readonly group: Address = new Int32Array(ADDRESS_WORDS);

  constructor(
    shared: Shared,
    interfaces: Interfaces,
    addresses: Addresses,
    multicast: Multicast,
    output: NdpOutput,
    verdicts: AddressVerdicts,
  ) {
    this.shared = shared;
    this.interfaces = interfaces;
    this.addresses = addresses;
    this.multicast = multicast;
    this.output = output;
    this.verdicts = verdicts;
    this.random = new Random(shared.secret, Purpose.Address);
  }

  /**
   * Tests `a`, which is tentative. `isDelayed`: it is the interface's first, or a multicast advertisement made many hosts do
   * the same now; then joining waits for up to a second, and the probe with it (§5.4.2).
   */
  start(a: number, isDelayed: boolean): void {
    const transmits = this.interfaces.get(this.addresses.ifaceOf(a))?.dadTransmits ?? 1;
    const waits = isDelayed && transmits > 0;
    const delayUs = waits ? this.random.below(DELAY_US_MAX) : 0;
    this.checks.push({
      a,
      isJoined: false,
      probesLeft: transmits,
      isLooped: false,
      dueUs: this.shared.nowUs + delayUs,
      nonce: new Uint8Array(NONCE_BYTES),
    });
    if (!waits) this.expire();
  }

  /** The address is gone: its group is left too. */
  forget(a: number): void {
    const i = this.checks.findIndex((check) => check.a === a);
    const wasJoined = i < 0 || this.checks[i]!.isJoined;
    if (i >= 0) this.checks.splice(i, 1);
    if (!wasJoined) return;
    solicitedNode(this.addresses.addressOf(a), this.group);
    this.multicast.leave(this.addresses.ifaceOf(a), this.group);
  }

  /** True while `a` is being tested. */
  isTesting(a: number): boolean {
    return this.checks.some((check) => check.a === a);
  }

  /**
   * A solicitation from :: for the tentative `a`: §5.4.3. The nonce is the `nonceBytes` bytes at `nonceAt`, 0 if there is
   * none: with ours it is our own probe, come back.
   */
  heardProbe(a: number, nonceAt: number, nonceBytes: number): void {
    const check = this.checks.find((one) => one.a === a);
    if (!check) return;
    if (nonceBytes === NONCE_BYTES && check.isJoined && this.isOurs(check, nonceAt)) check.isLooped = true;
    else this.taken(check);
  }

  /** An advertisement for the tentative `a`: §5.4.4. */
  heardAdvertisement(a: number): void {
    const check = this.checks.find((one) => one.a === a);
    if (check) this.taken(check);
  }

  deadlineUs(): number {
    let earliestUs = NEVER;
    for (const check of this.checks) if (check.dueUs < earliestUs) earliestUs = check.dueUs;
    return earliestUs;
  }

  expire(): void {
    for (const check of [...this.checks]) if (check.dueUs <= this.shared.nowUs) this.due(check);
  }

  save(state: StateWriter): void {
    state.section('stack/dad', 1);
    this.random.save(state);
    state.number(this.checks.length);
    for (const c of this.checks) {
      state.number(c.a).boolean(c.isJoined).number(c.probesLeft).boolean(c.isLooped).number(c.dueUs).column(c.nonce);
    }
  }

  load(state: StateReader): void {
    state.section('stack/dad', 1);
    this.random.load(state);
    this.checks.length = 0;
    const count = state.integer(0, CHECKS_MAX);
    for (let i = 0; i < count; i++) {
      const check: Check = {
        a: state.integer(0, CHECKS_MAX),
        isJoined: state.boolean(),
        probesLeft: state.integer(0, TRANSMITS_AFTER_LOOP),
        isLooped: state.boolean(),
        dueUs: loadTime(state),
        nonce: new Uint8Array(NONCE_BYTES),
      };
      state.into(check.nonce);
      if (this.addresses.isAddress(check.a)) this.checks.push(check);
    }
  }

  private due(check: Check): void {
    const iface = this.interfaces.get(this.addresses.ifaceOf(check.a));
    if (!iface) return;
    const address = this.addresses.addressOf(check.a);
    if (!check.isJoined) {
      // §5.4.2: all-nodes and the solicited-node group, before anything is sent.
      check.isJoined = true;
      solicitedNode(address, this.group);
      this.multicast.join(iface.number, ALL_NODES);
      this.multicast.join(iface.number, this.group);
    }
    if (check.probesLeft === 0 && check.isLooped) {
      check.probesLeft = TRANSMITS_AFTER_LOOP;
      check.isLooped = false;
    }
    if (check.probesLeft > 0) {
      check.probesLeft--;
      check.dueUs = this.shared.nowUs + iface.retransUs;
      this.drawNonce(check);
      this.output.probe(iface, address, check.nonce);
      return;
    }
    this.checks.splice(this.checks.indexOf(check), 1);
    this.verdicts.addressUnique(check.a);
  }

  private taken(check: Check): void {
    this.forget(check.a);
    this.verdicts.addressTaken(check.a, false);
  }

  private drawNonce(check: Check): void {
    const high = this.random.u32();
    const low = this.random.u32();
    for (let i = 0; i < 4; i++) check.nonce[i] = high >>> (8 * i);
    check.nonce[4] = low;
    check.nonce[5] = low >>> 8;
  }

  private isOurs(check: Check, nonceAt: number): boolean {
    const { bytes } = this.shared;
    for (let i = 0; i < NONCE_BYTES; i++) if (bytes[nonceAt + i] !== check.nonce[i]) return false;
    return true;
  }
}
