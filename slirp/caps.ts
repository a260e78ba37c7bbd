// How many flows a guest, and all together, may have.

import { ADDRESS_WORDS, type Address, hashAddress } from '../stack/stack.ts';
import { type Caps, Protocol } from './parts.ts';

/** Flows at a time. */
export interface CapsOptions {
  readonly tcpPerGuest: number;
  readonly udpPerGuest: number;
  readonly echoPerGuest: number;
  readonly tcpMax: number;
  readonly udpMax: number;
  readonly echoMax: number;
  /** Guests that have flows at a time. */
  readonly guestsMax: number;
}

export const CAPS: CapsOptions = {
  tcpPerGuest: 4096,
  udpPerGuest: 2048,
  echoPerGuest: 64,
  tcpMax: 16384,
  udpMax: 8192,
  echoMax: 1024,
  guestsMax: 4096,
};

/** With the defaults for what is not said; all together have at least as many as one guest may have. */
export function capsOf(options: Partial<CapsOptions>): CapsOptions {
  const caps = { ...CAPS, ...options };
  return {
    ...caps,
    tcpMax: options.tcpMax ?? Math.max(caps.tcpMax, caps.tcpPerGuest),
    udpMax: options.udpMax ?? Math.max(caps.udpMax, caps.udpPerGuest),
    echoMax: options.echoMax ?? Math.max(caps.echoMax, caps.echoPerGuest),
  };
}

const KINDS = 3;
const NO_SLOT = -1;

/** Counts in columns: a guest has a slot as long as it has a flow. Open addressing, at most half full. */
export class FlowCaps implements Caps {
  private readonly perGuest: readonly number[];
  private readonly most: readonly number[];
  private readonly guestsMax: number;
  private readonly mask: number;
  private readonly address: Int32Array;
  private readonly counts: Int32Array; // KINDS a slot; a slot whose counts are all 0 is free
  private readonly totals = new Int32Array(KINDS);
  private guestsNow = 0;

  constructor(options: Partial<CapsOptions> = {}) {
    const caps = capsOf(options);
    this.perGuest = [caps.tcpPerGuest, caps.udpPerGuest, caps.echoPerGuest];
    this.most = [caps.tcpMax, caps.udpMax, caps.echoMax];
    this.guestsMax = caps.guestsMax;
    const slots = 2 << (31 - Math.clz32(2 * caps.guestsMax - 1)); // a power of two, at least twice as many as guests
    this.mask = slots - 1;
    this.address = new Int32Array(slots * ADDRESS_WORDS);
    this.counts = new Int32Array(slots * KINDS);
  }

  /** Guests that have flows. */
  get guests(): number {
    return this.guestsNow;
  }

  /** Flows of a protocol, of all guests. */
  total(protocol: Protocol): number {
    return this.totals[kindOf(protocol)]!;
  }

  take(protocol: Protocol, guest: Address): boolean {
    const kind = kindOf(protocol);
    if (this.totals[kind]! >= this.most[kind]!) return false;
    let slot = this.find(guest);
    if (slot === NO_SLOT) {
      if (this.guestsNow >= this.guestsMax || this.perGuest[kind]! < 1) return false;
      slot = this.add(guest);
    } else if (this.counts[slot * KINDS + kind]! >= this.perGuest[kind]!) return false;
    this.counts[slot * KINDS + kind]!++;
    this.totals[kind]!++;
    return true;
  }

  give(protocol: Protocol, guest: Address): void {
    const kind = kindOf(protocol);
    const slot = this.find(guest);
    if (slot === NO_SLOT || this.counts[slot * KINDS + kind]! === 0) return;
    this.counts[slot * KINDS + kind]!--;
    this.totals[kind]!--;
    if (this.isFree(slot)) this.remove(slot);
  }

  private isFree(slot: number): boolean {
    const at = slot * KINDS;
    return this.counts[at] === 0 && this.counts[at + 1] === 0 && this.counts[at + 2] === 0;
  }

  private holds(slot: number, guest: Address): boolean {
    const at = slot * ADDRESS_WORDS;
    const { address } = this;
    return (
      address[at + 3] === guest[3] &&
      address[at + 2] === guest[2] &&
      address[at + 1] === guest[1] &&
      address[at] === guest[0]
    );
  }

  private find(guest: Address): number {
    for (let slot = hashAddress(guest) & this.mask; !this.isFree(slot); slot = (slot + 1) & this.mask) {
      if (this.holds(slot, guest)) return slot;
    }
    return NO_SLOT;
  }

  private add(guest: Address): number {
    let slot = hashAddress(guest) & this.mask;
    while (!this.isFree(slot)) slot = (slot + 1) & this.mask;
    this.address.set(guest, slot * ADDRESS_WORDS);
    this.guestsNow++;
    return slot;
  }

  /** Those behind the hole that would not be found any more move into it. */
  private remove(slot: number): void {
    this.guestsNow--;
    let hole = slot;
    for (let next = (hole + 1) & this.mask; !this.isFree(next); next = (next + 1) & this.mask) {
      for (let w = 0; w < ADDRESS_WORDS; w++) this.moving[w] = this.address[next * ADDRESS_WORDS + w]!;
      const home = hashAddress(this.moving) & this.mask;
      if (((next - home) & this.mask) < ((next - hole) & this.mask)) continue;
      this.address.copyWithin(hole * ADDRESS_WORDS, next * ADDRESS_WORDS, (next + 1) * ADDRESS_WORDS);
      this.counts.copyWithin(hole * KINDS, next * KINDS, (next + 1) * KINDS);
      this.counts.fill(0, next * KINDS, (next + 1) * KINDS);
      hole = next;
    }
  }

  private readonly moving: Address = new Int32Array(ADDRESS_WORDS);
}

function kindOf(protocol: Protocol): number {
  return protocol === Protocol.Tcp ? 0 : protocol === Protocol.Udp ? 1 : 2;
}
