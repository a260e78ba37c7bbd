// Who on the link has which hardware address, and whether they still answer: RFC 4861 §7.2 and §7.3, for both families.
//
// One cache serves IPv6 and ARP. An entry is made INCOMPLETE by the first packet to a neighbour, which waits; a solicitor of
// the family asks; the answer makes it REACHABLE and sends what waited. After the reachable time it is STALE; the next use
// makes it DELAY, and if no layer above confirms it, PROBE: asked in unicast. Silence makes it FAILED: then whoever waits
// is told, and routes by another router come first. Peers can fill the table, which then forgets whoever was unused longest.

import { PLAIN } from '../../core/burst.ts';
import { Drop } from '../../core/drop.ts';
import type { StateReader, StateWriter } from '../../core/state.ts';
import { NEVER, US_PER_S } from '../../core/time.ts';
import { formatMac, MAC_BYTES } from '../../wire/ethernet.ts';
import { ADDRESS_WORDS, type Address, format, isIp4, read4, read6 } from '../address.ts';
import type { Limits } from '../limits.ts';
import { Random } from '../random.ts';
import { Purpose, type Shared } from '../shared.ts';
import { HeldFrames } from './held-frames.ts';
import type { Interfaces, NetworkInterface } from './interfaces.ts';
import { NeighborState, NeighborTable, NO_NEIGHBOR } from './neighbor-table.ts';

// RFC 4861 §10.
const MULTICAST_SOLICITS_MAX = 3;
const UNICAST_SOLICITS_MAX = 3;
const DELAY_FIRST_PROBE_US = 5 * US_PER_S;
// RFC 1122 §2.3.2.1: no more than one ARP request a second for one address.
const ARP_RETRANS_US_MIN = US_PER_S;
const ETHERNET_BYTES = 14;

const STATE_NAMES = ['', 'INCOMPLETE', 'REACHABLE', 'STALE', 'DELAY', 'PROBE', 'FAILED', 'PERMANENT'];

/** Asks for neighbours of one family. */
export interface Solicitor {
  /**
   * Asks who has `target`. `source` is the source of the packet that prompted it, which may be none of ours. `mac` is 6
   * bytes to send to, or undefined to ask everybody.
   */
  solicit(iface: NetworkInterface, target: Address, source: Address, mac: Uint8Array | undefined): void;
}

/** One line of `ip neigh`. */
export interface NeighborInfo {
  readonly iface: number;
  readonly address: string;
  readonly mac: string;
  readonly state: string;
  readonly isRouter: boolean;
}

/** The cache. A neighbour's number is good until the stack's next entry. */
export class Neighbors {
  solicitor4: Solicitor | undefined;
  solicitor6: Solicitor | undefined;
  /** Told of every frame that cannot be delivered; the frame is in the slab during the call. */
  onUnreachable: ((iface: number, frameAt: number, frameBytes: number) => void) | undefined;
  /**
   * A neighbour does not answer any more, or one that was not known or did not answer has a hardware address now: whoever
   * remembers ways by it looks again. RFC 4861 §7.3.3.
   */
  onReachability: ((iface: number, address: Address, isUsable: boolean) => void) | undefined;
  /** A neighbour that was a router says that it is none any more: RFC 4861 §7.2.5. One that is silent stays a router. */
  onRouterGone: ((iface: number, address: Address) => void) | undefined;
  /** Whether a hardware address (48 bits) may be an address's: what says otherwise is not believed. Of who knows more, as leases. */
  mayHave: ((address: Address, mac: number) => boolean) | undefined;
  private readonly shared: Shared;
  private readonly interfaces: Interfaces;
  private readonly table: NeighborTable;
  private readonly held: HeldFrames;
  private readonly max: number;
  private readonly address: Address = new Int32Array(ADDRESS_WORDS);
  private readonly source: Address = new Int32Array(ADDRESS_WORDS);
  private readonly mac = new Uint8Array(MAC_BYTES);

  constructor(shared: Shared, interfaces: Interfaces, limits: Limits) {
    this.shared = shared;
    this.interfaces = interfaces;
    this.max = limits.neighborsMax;
    const seed = new Random(shared.secret, Purpose.Hash).u32();
    this.table = new NeighborTable({ neighborsMax: limits.neighborsMax, seed });
    this.held = new HeldFrames(shared.slab, { eachMax: limits.neighborPacketsMax });
  }

  /** Gives the memory of the frames that wait back. */
  close(): void {
    this.held.close();
  }

  /** Entries there are. */
  get count(): number {
    return this.table.count;
  }

  /** Bytes of frames that wait. */
  get heldBytes(): number {
    return this.held.usedBytes;
  }

  /**
   * The neighbour; made INCOMPLETE if it is not known. The least recently used makes room for it; NO_NEIGHBOR if all are
   * PERMANENT. Counts as a use.
   */
  find(iface: number, address: Address): number {
    const n = this.table.find(iface, address);
    if (n !== NO_NEIGHBOR) {
      this.table.touch(n);
      return n;
    }
    return this.make(iface, address, NeighborState.Incomplete);
  }

  /** The neighbour, or NO_NEIGHBOR; nothing changes. */
  lookup(iface: number, address: Address): number {
    return this.table.find(iface, address);
  }

  /** True if its hardware address is known. */
  isUsable(n: number): boolean {
    const state = this.table.state[n]!;
    return state !== NeighborState.Incomplete && state !== NeighborState.Failed;
  }

  /** True if it was asked and did not answer. */
  isUnreachable(n: number): boolean {
    return this.table.state[n] === NeighborState.Failed;
  }

  stateOf(n: number): NeighborState {
    return this.table.state[n]! as NeighborState;
  }

  isRouter(n: number): boolean {
    return this.table.isRouter[n] === 1;
  }

  /** Its hardware address as a number of 48 bits; 0 while it is not known. */
  macOf(n: number): number {
    if (!this.isUsable(n)) return 0;
    let value = 0;
    for (let i = 0; i < MAC_BYTES; i++) value = value * 256 + this.table.mac[n * MAC_BYTES + i]!;
    return value;
  }

  /** Writes its hardware address to the slab at `at`. */
  writeMac(n: number, at: number): void {
    const { bytes } = this.shared;
    const { mac } = this.table;
    for (let i = 0, m = n * MAC_BYTES; i < MAC_BYTES; i++, m++) bytes[at + i] = mac[m]!;
  }

  /** A packet is being sent to it: RFC 4861 §7.3.3, a STALE one is watched from now on. */
  use(n: number): void {
    if (this.table.state[n] !== NeighborState.Stale) return;
    this.table.state[n] = NeighborState.Delay;
    this.table.setTimer(n, this.shared.nowUs + DELAY_FIRST_PROBE_US);
  }

  /**
   * Keeps a copy of a frame whose target MAC is to be written when it is known, and asks for it. `offload` is the frame's
   * offload header or PLAIN. A frame held counts as sent: Drop.None.
   */
  hold(n: number, at: number, bytes: number, offload: number = PLAIN): Drop {
    const result = this.held.push(n, at, bytes, offload);
    if (result !== Drop.None) return result;
    const { table } = this;
    if (this.isUsable(n)) {
      this.release(n);
      return Drop.None;
    }
    const state = table.state[n]!;
    const isIdle = state === NeighborState.Failed || table.probes[n] === 0;
    if (!isIdle) return Drop.None;
    this.readSource(n, at + ETHERNET_BYTES);
    table.state[n] = NeighborState.Incomplete;
    table.probes[n] = 0;
    const waitUs = table.solicitedUs[n]! + this.retransUs(n) - this.shared.nowUs;
    if (waitUs > 0) table.setTimer(n, this.shared.nowUs + waitUs);
    else this.probe(n, false);
    return Drop.None;
  }

  /** The layer above knows that it receives: RFC 4861 §7.3.1. */
  confirm(n: number): void {
    const state = this.table.state[n]!;
    if (state === NeighborState.Reachable) this.table.confirmedUs[n] = this.shared.nowUs;
    else if (state >= NeighborState.Stale && state <= NeighborState.Probe) this.reached(n);
  }

  /** The layer above hears nothing any more: it is asked at once, RFC 9293 §3.8.3 (MUST-20), RFC 1122 §3.3.1.4. */
  doubt(n: number): void {
    const state = this.table.state[n]!;
    if (state !== NeighborState.Reachable && state !== NeighborState.Stale && state !== NeighborState.Delay) return;
    this.table.state[n] = NeighborState.Probe;
    this.table.probes[n] = 0;
    this.probe(n, true);
  }

  /**
   * A packet told its hardware address without being an answer (NS, RS, RA, redirect, ARP request): the 6 bytes at
   * `macAt`. A new or changed one is STALE, else nothing changes: RFC 4861 §7.2.3. NO_NEIGHBOR if there is no room.
   */
  learn(iface: number, address: Address, macAt: number): number {
    let n = this.table.find(iface, address);
    if (!this.isCredible(address, macAt)) return n;
    if (n === NO_NEIGHBOR) {
      n = this.make(iface, address, NeighborState.Stale);
      if (n !== NO_NEIGHBOR) this.readMac(n, macAt);
      return n;
    }
    const state = this.table.state[n]!;
    if (state === NeighborState.Permanent) return n;
    const wasUsable = this.isUsable(n);
    if (wasUsable && this.hasMac(n, macAt)) return n;
    this.readMac(n, macAt);
    this.becomeStale(n);
    if (!wasUsable) this.resolved(n);
    return n;
  }

  /**
   * A neighbour advertisement for it came: the table of RFC 4861 §7.2.5 and Appendix C. `macAt` is where the target's
   * address option has it, 0 if there is none.
   */
  advertised(n: number, macAt: number, isSolicited: boolean, isOverride: boolean, isRouter: boolean): void {
    const { table } = this;
    const state = table.state[n]!;
    if (state === NeighborState.Permanent || (macAt !== 0 && !this.isCredibleOf(n, macAt))) return;
    if (!this.isUsable(n)) {
      if (macAt === 0 || state === NeighborState.Failed) return; // an answer without an address is no answer
      this.readMac(n, macAt);
      if (isSolicited) this.reached(n);
      else this.becomeStale(n);
      this.setRouter(n, isRouter);
      this.resolved(n);
      return;
    }
    const differs = macAt !== 0 && !this.hasMac(n, macAt);
    if (differs && !isOverride) {
      // §7.2.5 (I.a): a reachable one is doubted, nothing else changes, not even what it says of being a router.
      if (state === NeighborState.Reachable) this.becomeStale(n);
      return;
    }
    if (differs) this.readMac(n, macAt);
    if (isSolicited) this.reached(n);
    else if (differs) this.becomeStale(n);
    this.setRouter(n, isRouter);
  }

  /** What it said of itself: true after an RA or a redirect to it, false after an RS. Routers that cease are told of. */
  setRouter(n: number, isRouter: boolean): void {
    const was = this.table.isRouter[n] === 1;
    this.table.isRouter[n] = isRouter ? 1 : 0;
    if (was && !isRouter) this.tellRouterGone(n);
  }

  /** A neighbour's answer to an ARP request of ours: it is reachable with this hardware address. */
  answered(n: number, macAt: number): void {
    if (this.table.state[n] === NeighborState.Permanent || !this.isCredibleOf(n, macAt)) return;
    const wasUsable = this.isUsable(n);
    if (!wasUsable || !this.hasMac(n, macAt)) this.readMac(n, macAt);
    this.reached(n);
    if (!wasUsable) this.resolved(n);
  }

  private isCredible(address: Address, macAt: number): boolean {
    if (!this.mayHave) return true;
    const { view } = this.shared;
    return this.mayHave(address, view.getUint16(macAt) * 2 ** 32 + view.getUint32(macAt + 2));
  }

  private isCredibleOf(n: number, macAt: number): boolean {
    if (!this.mayHave) return true;
    this.table.readAddress(n, this.address);
    return this.isCredible(this.address, macAt);
  }

  /** True if it was asked within the retransmission time, so that an answer is expected. */
  isAwaited(n: number): boolean {
    const state = this.table.state[n]!;
    return (state === NeighborState.Incomplete && this.table.probes[n] !== 0) || state === NeighborState.Probe;
  }

  /** Sets an entry by hand: PERMANENT. False if there is no room. */
  setStatic(iface: number, address: Address, mac: Uint8Array): boolean {
    let n = this.table.find(iface, address);
    if (n === NO_NEIGHBOR) n = this.make(iface, address, NeighborState.Permanent);
    if (n === NO_NEIGHBOR) return false;
    this.table.mac.set(mac.subarray(0, MAC_BYTES), n * MAC_BYTES);
    this.table.state[n] = NeighborState.Permanent;
    this.table.setTimer(n, NEVER);
    this.release(n);
    return true;
  }

  /** Forgets it; what waits is given to `onUnreachable`. False if it is not known. */
  remove(iface: number, address: Address): boolean {
    const n = this.table.find(iface, address);
    if (n === NO_NEIGHBOR) return false;
    this.refuseHeld(n);
    this.table.remove(n);
    return true;
  }

  /** Forgets all of an interface that goes down, PERMANENT ones too. */
  removeAll(iface: number): void {
    for (const n of this.table.ids()) {
      if (this.table.iface[n] !== iface) continue;
      this.held.clear(n);
      this.table.remove(n);
    }
  }

  /** All entries, most recently used first, for people. */
  list(): NeighborInfo[] {
    return this.table.ids().map((n) => {
      this.table.readAddress(n, this.address);
      return {
        iface: this.table.iface[n]!,
        address: format(this.address),
        mac: this.isUsable(n) ? formatMac(this.table.mac.subarray(n * MAC_BYTES, (n + 1) * MAC_BYTES)) : '',
        state: STATE_NAMES[this.table.state[n]!]!,
        isRouter: this.table.isRouter[n] === 1,
      };
    });
  }

  deadlineUs(): number {
    return this.table.deadlineUs();
  }

  expire(): void {
    const { nowUs } = this.shared;
    for (let n = this.table.expire(nowUs); n !== NO_NEIGHBOR; n = this.table.expire(nowUs)) this.due(n);
  }

  save(state: StateWriter): void {
    state.section('stack/neighbors', 1);
    this.table.save(state);
    this.held.save(state);
  }

  load(state: StateReader): void {
    state.section('stack/neighbors', 1);
    this.table.load(state);
    this.held.load(state, this.max);
  }

  private make(iface: number, address: Address, state: NeighborState): number {
    const { table } = this;
    const asNewest = state !== NeighborState.Stale;
    let n = table.add(iface, address, asNewest);
    if (n === NO_NEIGHBOR) {
      const victim = table.leastUsed();
      if (victim === NO_NEIGHBOR) return NO_NEIGHBOR;
      this.held.clear(victim);
      table.remove(victim);
      n = table.add(iface, address, asNewest);
    }
    table.state[n] = state;
    return n;
  }

  /** The timer of `n`'s state ran out: RFC 4861 §7.3.3. */
  private due(n: number): void {
    const { table } = this;
    switch (table.state[n]) {
      case NeighborState.Incomplete:
        if (table.probes[n]! < MULTICAST_SOLICITS_MAX) this.probe(n, false);
        else this.fail(n);
        break;
      case NeighborState.Reachable: {
        // Confirmations only move `confirmedUs`, so that they cost nothing a packet.
        const untilUs = table.confirmedUs[n]! + this.reachableUs(n);
        if (untilUs > this.shared.nowUs) table.setTimer(n, untilUs);
        else table.state[n] = NeighborState.Stale;
        break;
      }
      case NeighborState.Delay:
        table.state[n] = NeighborState.Probe;
        table.probes[n] = 0;
        this.probe(n, true);
        break;
      case NeighborState.Probe:
        if (table.probes[n]! < UNICAST_SOLICITS_MAX) this.probe(n, true);
        else this.fail(n);
        break;
    }
  }

  private probe(n: number, isUnicast: boolean): void {
    const { table } = this;
    table.probes[n] = table.probes[n]! + 1;
    table.solicitedUs[n] = this.shared.nowUs;
    table.setTimer(n, this.shared.nowUs + this.retransUs(n));
    const iface = this.interfaces.get(table.iface[n]!);
    if (!iface) return;
    table.readAddress(n, this.address);
    for (let i = 0; i < ADDRESS_WORDS; i++) this.source[i] = table.source[n * ADDRESS_WORDS + i]!;
    for (let i = 0; i < MAC_BYTES; i++) this.mac[i] = table.mac[n * MAC_BYTES + i]!;
    const solicitor = isIp4(this.address) ? this.solicitor4 : this.solicitor6;
    solicitor?.solicit(iface, this.address, this.source, isUnicast ? this.mac : undefined);
  }

  private reached(n: number): void {
    const { table } = this;
    table.state[n] = NeighborState.Reachable;
    table.confirmedUs[n] = this.shared.nowUs;
    table.probes[n] = 0;
    table.setTimer(n, this.shared.nowUs + this.reachableUs(n));
  }

  private becomeStale(n: number): void {
    this.table.state[n] = NeighborState.Stale;
    this.table.probes[n] = 0;
    this.table.setTimer(n, NEVER);
  }

  private fail(n: number): void {
    this.table.state[n] = NeighborState.Failed;
    this.table.probes[n] = 0;
    this.table.mac.fill(0, n * MAC_BYTES, (n + 1) * MAC_BYTES);
    this.refuseHeld(n);
    this.tellReachability(n, false);
  }

  private tellReachability(n: number, isUsable: boolean): void {
    if (!this.onReachability) return;
    this.table.readAddress(n, this.address);
    this.onReachability(this.table.iface[n]!, this.address, isUsable);
  }

  private tellRouterGone(n: number): void {
    this.table.readAddress(n, this.address);
    this.onRouterGone?.(this.table.iface[n]!, this.address);
  }

  private refuseHeld(n: number): void {
    const iface = this.table.iface[n]!;
    for (let at = this.held.firstAt(n); at !== 0; at = this.held.firstAt(n)) {
      this.shared.drops.add(Drop.NoNeighbor);
      const bytes = this.held.firstBytes(n);
      this.onUnreachable?.(iface, at, bytes);
      this.held.shift(n);
    }
  }

  private resolved(n: number): void {
    this.release(n);
    this.tellReachability(n, true);
  }

  private release(n: number): void {
    if (this.held.countOf(n) === 0) return;
    const iface = this.interfaces.get(this.table.iface[n]!);
    if (!iface) {
      this.held.clear(n);
      return;
    }
    this.held.release(n, iface.output, this.table.mac, n * MAC_BYTES);
    this.use(n);
  }

  /** Remembers the source of the packet that waits: RFC 4861 §7.2.2 and RFC 826 ask with it. */
  private readSource(n: number, ip: number): void {
    const { view } = this.shared;
    const version = view.getUint8(ip) >>> 4;
    if (version === 4) read4(view, ip + 12, this.source);
    else read6(view, ip + 8, this.source);
    this.table.source.set(this.source, n * ADDRESS_WORDS);
  }

  private readMac(n: number, macAt: number): void {
    const { bytes } = this.shared;
    for (let i = 0; i < MAC_BYTES; i++) this.table.mac[n * MAC_BYTES + i] = bytes[macAt + i]!;
  }

  private hasMac(n: number, macAt: number): boolean {
    const { bytes } = this.shared;
    for (let i = 0; i < MAC_BYTES; i++) if (this.table.mac[n * MAC_BYTES + i] !== bytes[macAt + i]) return false;
    return true;
  }

  private reachableUs(n: number): number {
    return this.interfaces.get(this.table.iface[n]!)?.reachableUs ?? 0;
  }

  private retransUs(n: number): number {
    const us = this.interfaces.get(this.table.iface[n]!)?.retransUs ?? US_PER_S;
    const isIp6 = this.table.words[n * ADDRESS_WORDS + 2] !== 0xffff || this.table.words[n * ADDRESS_WORDS] !== 0;
    return isIp6 ? us : Math.max(us, ARP_RETRANS_US_MIN);
  }
}
