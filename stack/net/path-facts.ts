// What ICMP taught about single targets: smaller MTUs and better gateways. RFC 1191, RFC 8201, RFC 1122 §3.2.2.2, RFC 4861 §8.3.

import type { StateReader, StateWriter } from '../../core/state.ts';
import { US_PER_S } from '../../core/time.ts';
import { ADDRESS_WORDS, type Address, assign, equal, hash, isAny } from '../address.ts';
import type { Limits } from '../limits.ts';
import type { Shared } from '../shared.ts';

/** RFC 1191 §6.3, RFC 8201 §4: how long a lowered MTU is believed. */
export const PMTU_US = 600 * US_PER_S;

const NO_ONE = -1;
const FACTS_MAX = 1024;

/** Facts by small numbers, for a target on an interface. When all are taken the oldest in the ring is forgotten. */
export class PathFacts {
  private readonly shared: Shared;
  private readonly size: number; // a power of two
  private readonly target: Int32Array;
  private readonly gateway: Int32Array;
  private readonly iface: Uint16Array; // 0 is free
  private readonly mtu: Int32Array; // 0 if nothing is known
  private readonly until: Float64Array;
  private readonly isCut: Uint8Array;
  private readonly heads: Int32Array;
  private readonly next: Int32Array;
  private hand = 0;

  constructor(shared: Shared, limits: Limits) {
    this.shared = shared;
    this.size = 1 << (31 - Math.clz32(Math.max(1, Math.min(FACTS_MAX, limits.pathsMax))));
    this.target = new Int32Array(this.size * ADDRESS_WORDS);
    this.gateway = new Int32Array(this.size * ADDRESS_WORDS);
    this.iface = new Uint16Array(this.size);
    this.mtu = new Int32Array(this.size);
    this.until = new Float64Array(this.size);
    this.isCut = new Uint8Array(this.size);
    this.heads = new Int32Array(this.size).fill(NO_ONE);
    this.next = new Int32Array(this.size).fill(NO_ONE);
  }

  /** The fact's number, or -1. */
  find(target: Address, iface: number): number {
    let f = this.heads[hash(target) & (this.size - 1)]!;
    while (f !== NO_ONE && !(this.iface[f] === iface && equal(this.targetOf(f), target))) f = this.next[f]!;
    return f;
  }

  /** Notes an MTU for ten minutes from now. `mayCut`: routers may cut the packets, which then say so. */
  setMtu(target: Address, iface: number, mtuBytes: number, mayCut: boolean): void {
    const f = this.make(target, iface);
    this.mtu[f] = mtuBytes;
    this.until[f] = this.shared.nowUs + PMTU_US;
    this.isCut[f] = mayCut ? 1 : 0;
  }

  /** Notes a better first hop. */
  setGateway(target: Address, iface: number, gateway: Address): void {
    this.gateway.set(gateway, this.make(target, iface) * ADDRESS_WORDS);
  }

  /** Forgets a gateway that is gone. True if somebody used it. */
  forgetGateway(iface: number, gateway: Address): boolean {
    let wasUsed = false;
    for (let f = 0; f < this.size; f++) {
      if (this.iface[f] !== iface || !equal(this.gatewayOf(f), gateway)) continue;
      this.gateway.fill(0, f * ADDRESS_WORDS, (f + 1) * ADDRESS_WORDS);
      wasUsed = true;
    }
    return wasUsed;
  }

  /** 0 if none was noted; it may be over, see `untilUs`. */
  mtuOf(f: number): number {
    return this.mtu[f]!;
  }

  untilUs(f: number): number {
    return this.until[f]!;
  }

  mayCut(f: number): boolean {
    return this.isCut[f] === 1;
  }

  hasGateway(f: number): boolean {
    return !isAny(this.gatewayOf(f));
  }

  /** A view of the table. */
  gatewayOf(f: number): Address {
    return this.gateway.subarray(f * ADDRESS_WORDS, (f + 1) * ADDRESS_WORDS);
  }

  save(state: StateWriter): void {
    state.section('stack/path-facts', 1).number(this.size).number(this.hand);
    for (const column of this.columns()) state.column(column);
  }

  load(state: StateReader): void {
    state.section('stack/path-facts', 1);
    state.integer(this.size, this.size);
    this.hand = state.integer(0, this.size - 1);
    for (const column of this.columns()) state.into(column);
    this.heads.fill(NO_ONE);
    for (let f = 0; f < this.size; f++) if (this.iface[f] !== 0) this.link(f);
  }

  private columns() {
    return [this.target, this.gateway, this.iface, this.mtu, this.until, this.isCut];
  }

  private targetOf(f: number): Address {
    return this.target.subarray(f * ADDRESS_WORDS, (f + 1) * ADDRESS_WORDS);
  }

  private make(target: Address, iface: number): number {
    const found = this.find(target, iface);
    if (found >= 0) return found;
    const f = this.hand;
    this.hand = (f + 1) & (this.size - 1);
    if (this.iface[f] !== 0) this.unlink(f);
    this.iface[f] = iface;
    this.mtu[f] = 0;
    this.until[f] = 0;
    this.isCut[f] = 0;
    assign(this.targetOf(f), target);
    this.gateway.fill(0, f * ADDRESS_WORDS, (f + 1) * ADDRESS_WORDS);
    this.link(f);
    return f;
  }

  private link(f: number): void {
    const h = hash(this.targetOf(f)) & (this.size - 1);
    this.next[f] = this.heads[h]!;
    this.heads[h] = f;
  }

  private unlink(f: number): void {
    const h = hash(this.targetOf(f)) & (this.size - 1);
    if (this.heads[h] === f) {
      this.heads[h] = this.next[f]!;
      return;
    }
    let before = this.heads[h]!;
    while (this.next[before] !== f) before = this.next[before]!;
    this.next[before] = this.next[f]!;
  }
}
