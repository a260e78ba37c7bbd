// How many flows a station, and all together, may have, and who gives one up when all together have as many as they may.
//
// A station is who sends frames: the port of the switch where that is known, else the hardware address. So a guest with many
// addresses, its own or others', is one. Flows that came from outside are counted by the guest's address, as a station beside
// it, so that what others do takes nothing from the guest's own.
//
// Full, whoever has fewer takes from who has most, one flow at a time: so the shares become equal (max-min), and a station
// never loses what is within its share, whatever the others do. Nobody goes below `shareOf` of the most in this way, so that
// guests that forge hardware addresses by the thousand, where ports are not known, take no flow of those who have few.

import { sipHash } from '../core/siphash.ts';
import { ADDRESS_WORDS, type Address } from '../stack/stack.ts';
import { type Caps, FlowKind, NO_STATION } from './parts.ts';

/** Flows at a time. */
export interface CapsOptions {
  readonly tcpPerGuest: number;
  readonly udpPerGuest: number;
  readonly echoPerGuest: number;
  /** Of the TCP connections those that guests opened and the host has not connected yet. */
  readonly connectingPerGuest: number;
  readonly tcpMax: number;
  readonly udpMax: number;
  readonly echoMax: number;
  readonly connectingMax: number;
}

export const CAPS: CapsOptions = {
  tcpPerGuest: 4096,
  udpPerGuest: 2048,
  echoPerGuest: 64,
  connectingPerGuest: 1024,
  tcpMax: 16384,
  udpMax: 8192,
  echoMax: 1024,
  connectingMax: 4096,
};

/** With the defaults for what is not said; all together have at least as many as one guest may have. */
export function capsOf(options: Partial<CapsOptions>): CapsOptions {
  const caps = { ...CAPS, ...options };
  return {
    ...caps,
    tcpMax: options.tcpMax ?? Math.max(caps.tcpMax, caps.tcpPerGuest),
    udpMax: options.udpMax ?? Math.max(caps.udpMax, caps.udpPerGuest),
    echoMax: options.echoMax ?? Math.max(caps.echoMax, caps.echoPerGuest),
    connectingMax: options.connectingMax ?? Math.max(caps.connectingMax, caps.connectingPerGuest),
  };
}

/** What nobody has to give up. */
export const shareOf = (most: number): number => Math.max(1, most >> 8);

/** What a gateway's stations are known by. */
export interface StationsOptions {
  /** The switch's port, 0 and up, behind which a hardware address (48 bits) is, or -1: then each address is a station. */
  readonly portOf?: ((mac: number) => number) | undefined;
  /** 4 words that guests do not know. */
  readonly key?: Int32Array;
}

const KINDS = 4;
const ROWS_FIRST = 64;
const NO_KEY = new Int32Array(4);
/** The first word of keys that are no address of a guest's: a group's. */
const BY_MAC = 0xff000000 | 0;
const BY_PORT = 0xff000001 | 0;

/** Counts in columns: a station has a row as long as it has a flow. */
export class FlowCaps implements Caps {
  private readonly each: readonly number[];
  private readonly most: readonly number[];
  private readonly portOf: ((mac: number) => number) | undefined;
  private readonly key: Int32Array;
  private readonly scratch: Address = new Int32Array(ADDRESS_WORDS);
  private words = new Int32Array(ROWS_FIRST * ADDRESS_WORDS);
  private counts = new Int32Array(ROWS_FIRST * KINDS); // a row whose counts are all 0 is free
  private next = new Int32Array(ROWS_FIRST); // row + 1, in its chain or of the free ones
  private heads = new Int32Array(2 * ROWS_FIRST);
  private free = 0;
  private end = 0;
  private rows = 0;
  private readonly totals = new Int32Array(KINDS);
  /** Who had most when it was looked up last, and how many: looked up anew when an eighth of that is gone. */
  private readonly heaviest = new Int32Array(KINDS).fill(NO_STATION);
  private readonly heaviestCount = new Int32Array(KINDS);
  private readonly givers: ((station: number) => boolean)[] = [];

  constructor(options: Partial<CapsOptions> = {}, { portOf, key }: StationsOptions = {}) {
    const caps = capsOf(options);
    this.each = [caps.tcpPerGuest, caps.udpPerGuest, caps.echoPerGuest, caps.connectingPerGuest];
    this.most = [caps.tcpMax, caps.udpMax, caps.echoMax, caps.connectingMax];
    this.portOf = portOf;
    this.key = key ?? NO_KEY;
  }

  /** Stations that have flows. */
  get stations(): number {
    return this.rows;
  }

  /** Flows of a kind, of all stations. */
  total(kind: FlowKind): number {
    return this.totals[kind]!;
  }

  setGiver(kind: FlowKind, giveUp: (station: number) => boolean): void {
    this.givers[kind] = giveUp;
  }

  take(kind: FlowKind, guest: Address, mac: number): number {
    this.readKey(guest, mac);
    let station = this.findKey();
    const count = station === NO_STATION ? 0 : this.counts[station * KINDS + kind]!;
    if (count >= this.each[kind]! || this.most[kind]! < 1) return NO_STATION;
    if (this.totals[kind]! >= this.most[kind]!) {
      if (!this.makeRoom(kind, count)) return NO_STATION;
      this.readKey(guest, mac);
      station = this.findKey(); // its last flow of another kind may be what went
    }
    if (station === NO_STATION) station = this.add();
    this.countIn(kind, station);
    return station;
  }

  takeFor(kind: FlowKind, station: number): boolean {
    const count = this.counts[station * KINDS + kind]!;
    if (count >= this.each[kind]!) return false;
    if (this.totals[kind]! >= this.most[kind]! && !this.makeRoom(kind, count)) return false;
    this.countIn(kind, station);
    return true;
  }

  give(kind: FlowKind, station: number): void {
    const at = station * KINDS + kind;
    if (station < 0 || this.counts[at]! === 0) return;
    this.counts[at]!--;
    this.totals[kind]!--;
    if (this.isFree(station)) this.remove(station);
  }

  find(guest: Address, mac: number): number {
    this.readKey(guest, mac);
    return this.findKey();
  }

  relieve(kind: FlowKind, guest: Address, mac: number): boolean {
    for (const one of [kind, FlowKind.Tcp, FlowKind.Udp, FlowKind.Echo]) {
      const station = this.find(guest, mac);
      if (this.makeRoom(one, station === NO_STATION ? 0 : this.counts[station * KINDS + one]!)) return true;
    }
    return false;
  }

  /** Who has most gives one up for somebody who has `count`; false if that would not be fair. */
  private makeRoom(kind: FlowKind, count: number): boolean {
    const payer = this.findHeaviest(kind);
    if (payer === NO_STATION) return false;
    const has = this.counts[payer * KINDS + kind]!;
    return has > count + 1 && has > shareOf(this.most[kind]!) && this.givers[kind]?.(payer) === true;
  }

  private findHeaviest(kind: FlowKind): number {
    const { counts, heaviest, heaviestCount } = this;
    const known = heaviest[kind]!;
    const has = known === NO_STATION ? 0 : counts[known * KINDS + kind]!;
    if (has > 0 && 8 * has >= 7 * heaviestCount[kind]!) return known;
    let best = NO_STATION;
    let most = 0;
    for (let row = 0; row < this.end; row++) {
      const n = counts[row * KINDS + kind]!;
      if (n <= most) continue;
      best = row;
      most = n;
    }
    heaviest[kind] = best;
    heaviestCount[kind] = most;
    return best;
  }

  private countIn(kind: FlowKind, station: number): void {
    const count = ++this.counts[station * KINDS + kind]!;
    this.totals[kind]!++;
    if (count <= this.heaviestCount[kind]!) return;
    this.heaviest[kind] = station;
    this.heaviestCount[kind] = count;
  }

  private readKey(guest: Address, mac: number): void {
    const { scratch } = this;
    if (mac === 0) {
      for (let w = 0; w < ADDRESS_WORDS; w++) scratch[w] = guest[w]!;
      return;
    }
    const port = this.portOf ? this.portOf(mac) : -1;
    scratch[0] = port >= 0 ? BY_PORT : BY_MAC;
    scratch[1] = 0;
    scratch[2] = port >= 0 ? 0 : mac / 2 ** 32;
    scratch[3] = port >= 0 ? port : (mac % 2 ** 32) | 0;
  }

  private bucketOf(words: Int32Array, at: number): number {
    return sipHash(this.key, words, at, ADDRESS_WORDS) & (this.heads.length - 1);
  }

  private findKey(): number {
    const { scratch, words } = this;
    let row = this.heads[this.bucketOf(scratch, 0)]! - 1;
    for (; row >= 0; row = this.next[row]! - 1) {
      const at = row * ADDRESS_WORDS;
      const isIt = words[at + 3] === scratch[3] && words[at + 2] === scratch[2];
      if (isIt && words[at + 1] === scratch[1] && words[at] === scratch[0]) return row;
    }
    return NO_STATION;
  }

  private isFree(row: number): boolean {
    for (let kind = 0; kind < KINDS; kind++) if (this.counts[row * KINDS + kind] !== 0) return false;
    return true;
  }

  private add(): number {
    let row = this.free - 1;
    if (row >= 0) this.free = this.next[row]!;
    else {
      if (this.end === this.next.length) this.grow();
      row = this.end++;
    }
    this.words.set(this.scratch, row * ADDRESS_WORDS);
    this.chain(row);
    this.rows++;
    return row;
  }

  private chain(row: number): void {
    const bucket = this.bucketOf(this.words, row * ADDRESS_WORDS);
    this.next[row] = this.heads[bucket]!;
    this.heads[bucket] = row + 1;
  }

  private remove(row: number): void {
    const { next, heads } = this;
    const bucket = this.bucketOf(this.words, row * ADDRESS_WORDS);
    if (heads[bucket] === row + 1) heads[bucket] = next[row]!;
    else {
      let before = heads[bucket]! - 1;
      while (next[before] !== row + 1) before = next[before]! - 1;
      next[before] = next[row]!;
    }
    next[row] = this.free;
    this.free = row + 1;
    this.rows--;
    for (let kind = 0; kind < KINDS; kind++) if (this.heaviest[kind] === row) this.heaviest[kind] = NO_STATION;
  }

  /** Rows are as many as there are flows at most. All are taken. */
  private grow(): void {
    const size = 2 * this.end;
    this.words = longer(this.words, size * ADDRESS_WORDS);
    this.counts = longer(this.counts, size * KINDS);
    this.next = longer(this.next, size);
    this.heads = new Int32Array(2 * size);
    for (let row = 0; row < this.end; row++) this.chain(row);
  }
}

function longer(from: Int32Array<ArrayBuffer>, length: number): Int32Array<ArrayBuffer> {
  const to = new Int32Array(length);
  to.set(from);
  return to;
}
