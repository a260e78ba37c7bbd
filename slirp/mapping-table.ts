// The mappings of datagram flows: guest address, port, family on the host's side ──▶ host socket; columns of numbers, bounded.
// RFC 4787 §4.1: endpoint-independent.

import { assert } from '../core/assert.ts';
import { sipHash } from '../core/siphash.ts';
import type { Address } from '../stack/stack.ts';

export const NO_ROW = -1;

/** Bits of a mapping. */
export const MappingFlag = {
  /** It stays until it is removed: a forward. */
  Fixed: 1,
  /** Something came back. */
  Answered: 2,
  /** It is no mere exchange with a service of a well-known port, so RFC 4787 REQ-5 gives it two minutes. */
  Lasting: 4,
} as const;

export const ROW = 16; // words
// Of a mapping. Links are a row + 1, 0 for none, so that memory which nobody used stays untouched.
export const Guest = 0;
export const Port = 4;
const IsIp6 = 5;
const Handle = 6;
const HostPort = 7;
const Flags = 8;
const NextMapping = 9;
export const Oldest = 10;
export const Newest = 11;
export const Count = 12;
const Note = 13;
const Station = 14;

const NUMBERS = 6;
const OpenedUs = 0;
const UsedUs = 1;
const SeenUs = 2;
const BytesOut = 3;
const BytesIn = 4;
const Mac = 5;

/** Mappings that are looked at, and those of them that are compared, before one is ended. */
const LOOKS = 256;
const SAMPLE = 16;

/** Rows are numbers, good until they are removed. */
export class MappingTable {
  mappings = 0;
  protected readonly key: Int32Array;
  protected readonly words = new Int32Array(10);
  protected readonly mapping: Int32Array;
  private readonly numbers: Float64Array;
  private readonly mappingHeads: Int32Array;
  private readonly freeMappings: Int32Array;
  private readonly mappingsMax: number;
  private mappingTop = 0;
  private mappingsFree = 0;
  private cursor = 0;

  /** `key`: 4 words that guests do not know. */
  constructor(mappingsMax: number, key: Int32Array) {
    assert(mappingsMax > 0, 'bounds of a flow table');
    this.mappingsMax = mappingsMax;
    this.key = key;
    this.mapping = new Int32Array(ROW * mappingsMax);
    this.numbers = new Float64Array(NUMBERS * mappingsMax);
    this.mappingHeads = new Int32Array(powerOver(mappingsMax));
    this.freeMappings = new Int32Array(mappingsMax);
  }

  get isFull(): boolean {
    return this.mappings === this.mappingsMax;
  }

  /** Rows from here on were never used: for who looks at all. */
  get end(): number {
    return this.mappingTop;
  }

  /** The newest mapping of a guest's endpoint, or `NO_ROW`. */
  findMapping(guest: Address, port: number, isIp6: boolean): number {
    const { mapping } = this;
    let m = this.mappingHeads[this.mappingHash(guest, 0, port, isIp6 ? 1 : 0)]! - 1;
    for (; m >= 0; m = mapping[m * ROW + NextMapping]! - 1) {
      const row = m * ROW;
      if (mapping[row + Port] !== port || mapping[row + IsIp6] !== (isIp6 ? 1 : 0)) continue;
      if (same(mapping, row + Guest, guest, 0)) return m;
    }
    return NO_ROW;
  }

  /** A new mapping, which `findMapping` prefers to older ones of the same endpoint; `NO_ROW` if the table is full. */
  addMapping(guest: Address, port: number, isIp6: boolean, handle: number, hostPort: number, nowUs: number): number {
    if (this.isFull) return NO_ROW;
    const m = this.mappingsFree > 0 ? this.freeMappings[--this.mappingsFree]! : this.mappingTop++;
    this.mappings++;
    const { mapping, numbers } = this;
    const row = m * ROW;
    mapping.fill(0, row, row + ROW);
    copy(mapping, row + Guest, guest, 0);
    mapping[row + Port] = port;
    mapping[row + IsIp6] = isIp6 ? 1 : 0;
    mapping[row + Handle] = handle + 1;
    mapping[row + HostPort] = hostPort;
    const bucket = this.mappingHash(guest, 0, port, isIp6 ? 1 : 0);
    mapping[row + NextMapping] = this.mappingHeads[bucket]!;
    this.mappingHeads[bucket] = m + 1;
    numbers.fill(0, m * NUMBERS, (m + 1) * NUMBERS);
    for (const column of [OpenedUs, UsedUs, SeenUs]) numbers[m * NUMBERS + column] = nowUs;
    return m;
  }

  /** Forgets a mapping. */
  removeMapping(m: number): void {
    const { mapping, mappingHeads } = this;
    const row = m * ROW;
    const bucket = this.mappingHash(mapping, row + Guest, mapping[row + Port]!, mapping[row + IsIp6]!);
    if (mappingHeads[bucket] === m + 1) mappingHeads[bucket] = mapping[row + NextMapping]!;
    else unchain(mapping, NextMapping, mappingHeads[bucket]!, m);
    mapping[row + Handle] = 0;
    this.freeMappings[this.mappingsFree++] = m;
    this.mappings--;
  }

  isMapping(m: number): boolean {
    return m >= 0 && m < this.mappingTop && this.mapping[m * ROW + Handle] !== 0;
  }

  guestInto(m: number, into: Address): void {
    copy(into, 0, this.mapping, m * ROW + Guest);
  }

  isOf(m: number, guest: Address): boolean {
    return same(this.mapping, m * ROW + Guest, guest, 0);
  }

  portOf(m: number): number {
    return this.mapping[m * ROW + Port]!;
  }

  /** True if its socket is one of IPv6. */
  isIp6(m: number): boolean {
    return this.mapping[m * ROW + IsIp6] === 1;
  }

  /** True if the guest is one of IPv6. */
  isGuest6(m: number): boolean {
    return !isIp4At(this.mapping, m * ROW + Guest);
  }

  handleOf(m: number): number {
    return this.mapping[m * ROW + Handle]! - 1;
  }

  /** The port, or identifier, of its socket. */
  hostPortOf(m: number): number {
    return this.mapping[m * ROW + HostPort]!;
  }

  has(m: number, flag: number): boolean {
    return (this.mapping[m * ROW + Flags]! & flag) !== 0;
  }

  mark(m: number, flag: number): void {
    this.mapping[m * ROW + Flags] = this.mapping[m * ROW + Flags]! | flag;
  }

  /** A number that is the owner's to keep. */
  noteOf(m: number): number {
    return this.mapping[m * ROW + Note]!;
  }

  setNote(m: number, value: number): void {
    this.mapping[m * ROW + Note] = value;
  }

  /** Whom it is counted for. */
  stationOf(m: number): number {
    return this.mapping[m * ROW + Station]! - 1;
  }

  setStation(m: number, station: number): void {
    this.mapping[m * ROW + Station] = station + 1;
  }

  /** The hardware address that the guest sends from, 0 if it is not known. */
  macOf(m: number): number {
    return this.numbers[m * NUMBERS + Mac]!;
  }

  setMac(m: number, mac: number): void {
    this.numbers[m * NUMBERS + Mac] = mac;
  }

  /**
   * Of the next few exchanges, of `station` or of anybody (-1), that were answered and are idle since `untilUs`, the one that
   * is for longest; `NO_ROW` if there is none.
   */
  findDone(station: number, untilUs: number): number {
    let best = NO_ROW;
    let bestUs = untilUs;
    for (let n = Math.min(this.mappingTop, LOOKS); n > 0; n--) {
      const m = this.step();
      if (!this.isMapping(m) || this.has(m, MappingFlag.Fixed | MappingFlag.Lasting)) continue;
      if (!this.has(m, MappingFlag.Answered) || this.usedUs(m) > bestUs) continue;
      if (station >= 0 && this.stationOf(m) !== station) continue;
      best = m;
      bestUs = this.usedUs(m);
    }
    return best;
  }

  /** Of the next few mappings of `station`, the one that was refreshed longest ago; `NO_ROW` if there is none. */
  findIdle(station: number): number {
    let best = NO_ROW;
    let seen = 0;
    for (let n = 0; n < this.mappingTop && seen < SAMPLE; n++) {
      const m = this.step();
      if (!this.isMapping(m) || this.has(m, MappingFlag.Fixed) || this.stationOf(m) !== station) continue;
      seen++;
      if (best === NO_ROW || this.usedUs(m) < this.usedUs(best)) best = m;
    }
    return best;
  }

  private step(): number {
    if (this.cursor >= this.mappingTop) this.cursor = 0;
    return this.cursor++;
  }

  openedUs(m: number): number {
    return this.numbers[m * NUMBERS + OpenedUs]!;
  }

  /** When it was refreshed last. */
  usedUs(m: number): number {
    return this.numbers[m * NUMBERS + UsedUs]!;
  }

  /** When something last went either way. */
  seenUs(m: number): number {
    return this.numbers[m * NUMBERS + SeenUs]!;
  }

  bytesOut(m: number): number {
    return this.numbers[m * NUMBERS + BytesOut]!;
  }

  bytesIn(m: number): number {
    return this.numbers[m * NUMBERS + BytesIn]!;
  }

  /** Counts bytes from the guest, which refresh. */
  countOut(m: number, bytes: number, nowUs: number): void {
    const at = m * NUMBERS;
    this.numbers[at + UsedUs] = nowUs;
    this.numbers[at + SeenUs] = nowUs;
    this.numbers[at + BytesOut]! += bytes;
  }

  /** Counts bytes to the guest. */
  countIn(m: number, bytes: number, nowUs: number, refreshes: boolean): void {
    const at = m * NUMBERS;
    if (refreshes) this.numbers[at + UsedUs] = nowUs;
    this.numbers[at + SeenUs] = nowUs;
    this.numbers[at + BytesIn]! += bytes;
  }

  private mappingHash(guest: Int32Array, at: number, port: number, isIp6: number): number {
    const { words } = this;
    copy(words, 0, guest, at);
    words[4] = (port << 1) | isIp6;
    return sipHash(this.key, words, 0, 5) & (this.mappingHeads.length - 1);
  }
}

export const powerOver = (n: number): number => 2 ** (32 - Math.clz32(n));

const isIp4At = (words: Int32Array, at: number): boolean =>
  words[at + 2] === 0xffff && words[at] === 0 && words[at + 1] === 0;

/** True if four words are equal. */
export const same = (a: Int32Array, i: number, b: Int32Array, k: number): boolean =>
  a[i + 3] === b[k + 3] && a[i + 2] === b[k + 2] && a[i + 1] === b[k + 1] && a[i] === b[k];

export function copy(to: Int32Array, i: number, from: Int32Array, k: number): void {
  to[i] = from[k]!;
  to[i + 1] = from[k + 1]!;
  to[i + 2] = from[k + 2]!;
  to[i + 3] = from[k + 3]!;
}

/** Takes `row` out of a chain that it does not begin. */
export function unchain(columns: Int32Array, link: number, head: number, row: number): void {
  let before = head - 1;
  while (columns[before * ROW + link] !== row + 1) before = columns[before * ROW + link]! - 1;
  columns[before * ROW + link] = columns[row * ROW + link]!;
}

/** The key of a purpose, of words that nobody knows. */
export function flowKey(secret: Int32Array, purpose: number): Int32Array {
  return Int32Array.from([0, 1, 2, 3], (i) => sipHash(secret, Int32Array.of(purpose, i), 0, 2));
}
