// IPv4 address conflict detection: RFC 5227. Addresses are probed before their first use, announced, and defended.

import type { StateReader, StateWriter } from '../../core/state.ts';
import { NEVER, US_PER_S } from '../../core/time.ts';
import { Operation } from '../../wire/arp.ts';
import { ip4Of, isIp4 } from '../address.ts';
import type { Addresses } from '../autoconf/addresses.ts';
import { loadTime } from '../autoconf/load-time.ts';
import { Random } from '../random.ts';
import { Purpose, type Shared } from '../shared.ts';
import { BROADCAST_MAC, type ControlFrames } from './control-frames.ts';
import type { Interfaces, NetworkInterface } from './interfaces.ts';
import { isAssigned } from './own-addresses.ts';

// RFC 5227 §1.1.
const PROBE_WAIT_US = US_PER_S;
const PROBE_COUNT = 3;
const PROBE_US_MIN = US_PER_S;
const PROBE_US_MAX = 2 * US_PER_S;
const ANNOUNCE_WAIT_US = 2 * US_PER_S;
const ANNOUNCE_COUNT = 2;
const ANNOUNCE_INTERVAL_US = 2 * US_PER_S;
const MAX_CONFLICTS = 10;
const RATE_LIMIT_INTERVAL_US = 60 * US_PER_S;
const DEFEND_INTERVAL_US = 10 * US_PER_S;

const NO_MAC = new Uint8Array(6);
// Ours.
const CHECKS_MAX = 4096;
const CONFLICTS_KEPT_MAX = 255;

/** Told what became of an address. */
export interface AddressVerdicts {
  /** Nobody else has it: it may be used. */
  addressUnique(a: number): void;
  /** Somebody else has it. `wasInUse`: it was ours, and must be given up at once (RFC 5227 §2.4). */
  addressTaken(a: number, wasInUse: boolean): void;
}

interface Check {
  readonly a: number;
  probesLeft: number;
  announcementsLeft: number;
  isProbing: boolean; // until ANNOUNCE_WAIT after the last probe
  dueUs: number;
  defendedUs: number;
}

/** Checks by address. `heard` gets every ARP packet that is well formed. */
export class ConflictDetection {
  private readonly shared: Shared;
  private readonly interfaces: Interfaces;
  private readonly addresses: Addresses;
  private readonly frames: ControlFrames;
  private readonly verdicts: AddressVerdicts;
  private readonly random: Random;
  private readonly checks: Check[] = [];
  private readonly conflicts = new Map<number, number>(); // by interface, RFC 5227 §2.1.1

  constructor(
    shared: Shared,
    interfaces: Interfaces,
    addresses: Addresses,
    frames: ControlFrames,
    verdicts: AddressVerdicts,
  ) {
    this.shared = shared;
    this.interfaces = interfaces;
    this.addresses = addresses;
    this.frames = frames;
    this.verdicts = verdicts;
    this.random = new Random(shared.secret, Purpose.Neighbor);
  }

  /** Probes `a`, which is tentative: §2.1.1. After MAX_CONFLICTS on its interface only once a minute. */
  start(a: number): void {
    const iface = this.interfaces.get(this.addresses.ifaceOf(a));
    const isTested = iface?.dadTransmits !== 0;
    const conflicts = this.conflicts.get(this.addresses.ifaceOf(a)) ?? 0;
    const waitUs = conflicts >= MAX_CONFLICTS ? RATE_LIMIT_INTERVAL_US : 0;
    this.forget(a);
    this.checks.push({
      a,
      probesLeft: isTested ? PROBE_COUNT : 0,
      announcementsLeft: ANNOUNCE_COUNT,
      isProbing: true,
      dueUs: isTested ? this.shared.nowUs + waitUs + this.random.below(PROBE_WAIT_US) : this.shared.nowUs,
      defendedUs: -NEVER,
    });
    if (!isTested) this.expire();
  }

  /** The address is gone. */
  forget(a: number): void {
    const i = this.checks.findIndex((check) => check.a === a);
    if (i >= 0) this.checks.splice(i, 1);
  }

  /**
   * An ARP packet came in by `iface`. `isForeign`: its sender's hardware address is not ours. False if it conflicts with an
   * address of ours, so that nothing is to be learned from it.
   */
  heard(iface: NetworkInterface, sender: number, target: number, isRequest: boolean, isForeign: boolean): boolean {
    if (!isForeign) return true;
    let isFine = true;
    for (const a of this.addresses.ids()) {
      if (this.addresses.ifaceOf(a) !== iface.number) continue;
      const address = this.addresses.addressOf(a);
      if (!isIp4(address)) continue;
      const own = ip4Of(address);
      if (own === sender) {
        isFine = false;
        this.conflict(a);
      } else if (sender === 0 && isRequest && own === target && this.isProbing(a)) {
        // §2.1.1: another host probes for the same address at the same time.
        this.conflict(a);
      }
    }
    return isFine;
  }

  /** Announces `a` once, as after a restore or a change of place: §2.3. */
  announce(a: number): void {
    const iface = this.interfaces.get(this.addresses.ifaceOf(a));
    if (!iface || iface.isLoopback) return;
    const own = ip4Of(this.addresses.addressOf(a));
    this.frames.sendArp(iface, Operation.Request, own, own, NO_MAC, BROADCAST_MAC);
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
    state.section('stack/acd', 1);
    this.random.save(state);
    state.number(this.checks.length);
    for (const c of this.checks) {
      state.number(c.a).number(c.probesLeft).number(c.announcementsLeft).boolean(c.isProbing);
      state.number(c.dueUs).number(c.defendedUs);
    }
    state.number(this.conflicts.size);
    for (const [iface, count] of this.conflicts) state.number(iface).number(count);
  }

  load(state: StateReader): void {
    state.section('stack/acd', 1);
    this.random.load(state);
    this.checks.length = 0;
    this.conflicts.clear();
    const checks = state.integer(0, CHECKS_MAX);
    for (let i = 0; i < checks; i++) {
      const check = {
        a: state.integer(0, CHECKS_MAX),
        probesLeft: state.integer(0, PROBE_COUNT),
        announcementsLeft: state.integer(0, ANNOUNCE_COUNT),
        isProbing: state.boolean(),
        dueUs: loadTime(state),
        defendedUs: loadTime(state),
      };
      if (this.addresses.isAddress(check.a)) this.checks.push(check);
    }
    const interfaces = state.integer(0, CHECKS_MAX);
    for (let i = 0; i < interfaces; i++) {
      this.conflicts.set(state.integer(1, CHECKS_MAX), state.integer(0, CONFLICTS_KEPT_MAX));
    }
  }

  private isProbing(a: number): boolean {
    return this.checks.find((check) => check.a === a)?.isProbing === true;
  }

  private due(check: Check): void {
    const { nowUs } = this.shared;
    if (check.probesLeft > 0) {
      this.probe(check.a);
      check.probesLeft--;
      check.dueUs = nowUs + (check.probesLeft > 0 ? this.random.between(PROBE_US_MIN, PROBE_US_MAX) : ANNOUNCE_WAIT_US);
      return;
    }
    const wasProbing = check.isProbing;
    check.isProbing = false;
    if (check.announcementsLeft > 0) {
      check.announcementsLeft--;
      this.announce(check.a);
    }
    check.dueUs = check.announcementsLeft > 0 ? nowUs + ANNOUNCE_INTERVAL_US : NEVER;
    if (wasProbing) this.verdicts.addressUnique(check.a);
  }

  /** §2.1.1: the sender is 0, so that no cache is spoilt by an address that may be another's. */
  private probe(a: number): void {
    const iface = this.interfaces.get(this.addresses.ifaceOf(a));
    if (!iface) return;
    this.frames.sendArp(iface, Operation.Request, 0, ip4Of(this.addresses.addressOf(a)), NO_MAC, BROADCAST_MAC);
  }

  private conflict(a: number): void {
    const check = this.checks.find((one) => one.a === a);
    if (check?.isProbing) {
      this.count(this.addresses.ifaceOf(a));
      this.forget(a);
      this.verdicts.addressTaken(a, false);
      return;
    }
    if (isAssigned(this.addresses, a)) this.defend(a, check);
  }

  /**
   * §2.4 (b): defended once in DEFEND_INTERVAL; a second conflict within it, and the address is given up at once. A gateway
   * keeps it (c), or any of its guests could take it away: then it is only not announced again so soon.
   */
  private defend(a: number, check: Check | undefined): void {
    const { nowUs } = this.shared;
    if (check && nowUs - check.defendedUs < DEFEND_INTERVAL_US) {
      if (this.interfaces.get(this.addresses.ifaceOf(a))?.acceptsAny) return;
      this.count(this.addresses.ifaceOf(a));
      this.forget(a);
      this.verdicts.addressTaken(a, true);
      return;
    }
    if (check) check.defendedUs = nowUs;
    else {
      const fresh = { a, probesLeft: 0, announcementsLeft: 0, isProbing: false, dueUs: NEVER, defendedUs: nowUs };
      this.checks.push(fresh);
    }
    this.announce(a);
  }

  private count(iface: number): void {
    this.conflicts.set(iface, Math.min(CONFLICTS_KEPT_MAX, (this.conflicts.get(iface) ?? 0) + 1));
  }
}
