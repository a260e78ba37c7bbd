// What datagram flows remember: mappings and, of each, the remotes that it talks to. Columns of numbers, bounded.
//
//   mapping   guest address, port, family on the host's side ──▶ host socket            RFC 4787 §4.1: endpoint-independent
//   remote    of a mapping: name and port as the guest says them ──▶ address and port on the host's side
//
// A datagram of a guest is found by its four-tuple, which gives the remote and so the mapping; one from outside by the
// mapping's socket and its sender. Every mapping may have one remote, whatever the others do; more as long as there are, up
// to a bound of its own: then it forgets the one that it talked to longest ago. A remote that was not used for as long as a
// mapping lasts is no remote any more: who finds it forgets it.

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

/** Bits of a remote. */
export const RemoteFlag = {
  /** It is another mapping of this table, or itself: RFC 4787 §6. */
  Hairpin: 1,
  /** It spoke first. */
  Inward: 2,
  Answered: 4,
} as const;

const ROW = 16; // words
// Of a mapping. Links are a row + 1, 0 for none, so that memory which nobody used stays untouched.
const Guest = 0;
const Port = 4;
const IsIp6 = 5;
const Handle = 6;
const HostPort = 7;
const Flags = 8;
const NextMapping = 9;
const Oldest = 10;
const Newest = 11;
const Count = 12;
const Note = 13;
// Of a remote.
const Owner = 0; // mapping + 1, 0 if it is free
const Name = 1;
const NamePort = 5;
const Host = 6;
const RemotePort = 10;
const RemoteFlags = 11;
const NextOut = 12;
const NextIn = 13;
const Older = 14;
const Newer = 15;

const RECENT = 64; // a power of two

const NUMBERS = 5;
const OpenedUs = 0;
const UsedUs = 1;
const SeenUs = 2;
const BytesOut = 3;
const BytesIn = 4;

export interface FlowTableOptions {
  readonly mappingsMax: number;
  /** All together, beyond one for each mapping. */
  readonly remotesMax: number;
  /** Of one mapping. */
  readonly remotesOfOneMax: number;
  /** Of one that is fixed. */
  readonly clientsMax?: number;
  /** 4 words that guests do not know. */
  readonly key: Int32Array;
}

/** Rows are numbers, good until they are removed. */
export class FlowTable {
  mappings = 0;
  remotes = 0;
  private readonly options: FlowTableOptions;
  private readonly key: Int32Array;
  private readonly words = new Int32Array(10);
  private readonly mapping: Int32Array;
  private readonly numbers: Float64Array;
  private readonly remote: Int32Array;
  private readonly remoteUsedUs: Float64Array;
  private readonly mappingHeads: Int32Array;
  private readonly outHeads: Int32Array;
  private readonly inHeads: Int32Array;
  private readonly freeMappings: Int32Array;
  private readonly freeRemotes: Int32Array;
  private mappingTop = 0;
  private mappingsFree = 0;
  private remoteTop = 0;
  private remotesFree = 0;
  private readonly recentOut = new Int32Array(RECENT); // found lately, so that most datagrams need no hash; row + 1

  constructor(options: FlowTableOptions) {
    const { mappingsMax, remotesMax, remotesOfOneMax, key } = options;
    assert(mappingsMax > 0 && remotesMax >= 0 && remotesOfOneMax > 0, 'bounds of a flow table');
    this.options = options;
    this.key = key;
    const all = mappingsMax + remotesMax;
    this.mapping = new Int32Array(ROW * mappingsMax);
    this.numbers = new Float64Array(NUMBERS * mappingsMax);
    this.remote = new Int32Array(ROW * all);
    this.remoteUsedUs = new Float64Array(all);
    this.mappingHeads = new Int32Array(powerOver(mappingsMax));
    this.outHeads = new Int32Array(powerOver(all));
    this.inHeads = new Int32Array(powerOver(all));
    this.freeMappings = new Int32Array(mappingsMax);
    this.freeRemotes = new Int32Array(all);
  }

  get isFull(): boolean {
    return this.mappings === this.options.mappingsMax;
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

  /** Forgets a mapping and its remotes. */
  removeMapping(m: number): void {
    const { mapping, mappingHeads } = this;
    const row = m * ROW;
    for (let r = this.oldestOf(m); r >= 0; r = this.oldestOf(m)) this.removeRemote(r);
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

  /**
   * The exchange, of `guest` or of anybody, that was answered and is idle for longest, at least since `untilUs`; `NO_ROW` if
   * there is none. Looks at all.
   */
  findDone(guest: Address | undefined, untilUs: number): number {
    let best = NO_ROW;
    let bestUs = untilUs;
    for (let m = 0; m < this.mappingTop; m++) {
      if (!this.isMapping(m) || this.has(m, MappingFlag.Fixed | MappingFlag.Lasting)) continue;
      if (!this.has(m, MappingFlag.Answered) || this.usedUs(m) > bestUs) continue;
      if (guest && !this.isOf(m, guest)) continue;
      best = m;
      bestUs = this.usedUs(m);
    }
    return best;
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

  /** The remote that a guest's datagram is for, or `NO_ROW`. */
  findOut(guest: Address, port: number, name: Address, namePort: number): number {
    const { remote, recentOut } = this;
    const slot = recentSlot(port, namePort);
    const recent = recentOut[slot]! - 1;
    if (recent >= 0 && this.isOut(recent, guest, port, name, namePort)) return recent;
    let r = this.outHeads[this.outHash(guest, 0, port, name, 0, namePort)]! - 1;
    for (; r >= 0; r = remote[r * ROW + NextOut]! - 1) {
      if (!this.isOut(r, guest, port, name, namePort)) continue;
      recentOut[slot] = r + 1;
      return r;
    }
    return NO_ROW;
  }

  /** The remote of `m` at an address and port of the host's side, or `NO_ROW`. */
  findIn(m: number, address: Address, port: number): number {
    return this.findHost(m, address, port);
  }

  /** Any remote of `m` at an address, or `NO_ROW`: what RFC 4787 §5 calls address-dependent. */
  findAt(m: number, address: Address): number {
    return this.findHost(m, address, NO_ROW);
  }

  private findHost(m: number, address: Address, port: number): number {
    const { remote } = this;
    const newest = this.newestOf(m); // mostly it is who answers
    if (newest >= 0 && this.isHost(newest, m, address, port)) return newest;
    let r = this.inHeads[this.inHash(m, address, 0)]! - 1;
    for (; r >= 0; r = remote[r * ROW + NextIn]! - 1) if (this.isHost(r, m, address, port)) return r;
    return NO_ROW;
  }

  private isHost(r: number, m: number, address: Address, port: number): boolean {
    const { remote } = this;
    const row = r * ROW;
    if (remote[row + Owner] !== m + 1 || (port >= 0 && remote[row + RemotePort] !== port)) return false;
    return same(remote, row + Host, address, 0);
  }

  /** A new remote of `m`; its oldest one may have to go. */
  addRemote(m: number, name: Address, namePort: number, host: Address, port: number, nowUs: number): number {
    const { mapping, remote } = this;
    const { remotesOfOneMax, remotesMax, clientsMax = remotesOfOneMax } = this.options;
    const most = this.has(m, MappingFlag.Fixed) ? clientsMax : remotesOfOneMax;
    const count = mapping[m * ROW + Count]!;
    // A mapping's first remote is not counted, so that there is one for everybody.
    const isPoolEmpty = this.remotes - this.withRemotes >= remotesMax;
    if (count >= most || (count > 0 && isPoolEmpty)) this.removeRemote(this.oldestOf(m));
    const r = this.remotesFree > 0 ? this.freeRemotes[--this.remotesFree]! : this.remoteTop++;
    const row = r * ROW;
    remote.fill(0, row, row + ROW);
    remote[row + Owner] = m + 1;
    copy(remote, row + Name, name, 0);
    remote[row + NamePort] = namePort;
    copy(remote, row + Host, host, 0);
    remote[row + RemotePort] = port;
    this.remoteUsedUs[r] = nowUs;
    this.chainIn(r);
    this.append(m, r);
    this.remotes++;
    if (mapping[m * ROW + Count]!++ === 0) this.withRemotes++;
    return r;
  }

  private withRemotes = 0; // mappings that have any

  removeRemote(r: number): void {
    const { mapping, remote, outHeads, inHeads } = this;
    const row = r * ROW;
    const m = this.mappingOf(r);
    const guest = m * ROW;
    const port = mapping[guest + Port]!;
    const out = this.outHash(mapping, guest + Guest, port, remote, row + Name, remote[row + NamePort]!);
    if (outHeads[out] === r + 1) outHeads[out] = remote[row + NextOut]!;
    else unchain(remote, NextOut, outHeads[out]!, r);
    const inward = this.inHash(m, remote, row + Host);
    if (inHeads[inward] === r + 1) inHeads[inward] = remote[row + NextIn]!;
    else unchain(remote, NextIn, inHeads[inward]!, r);
    this.unlink(m, r);
    remote[row + Owner] = 0;
    if (--mapping[guest + Count]! === 0) this.withRemotes--;
    this.remotes--;
    this.freeRemotes[this.remotesFree++] = r;
    const slot = recentSlot(port, remote[row + NamePort]!);
    if (this.recentOut[slot] === r + 1) this.recentOut[slot] = 0;
  }

  mappingOf(r: number): number {
    return this.remote[r * ROW + Owner]! - 1;
  }

  /** The remote that `m` talked to longest ago, or `NO_ROW`. */
  oldestOf(m: number): number {
    return this.mapping[m * ROW + Oldest]! - 1;
  }

  /** The one that it talked to last, or `NO_ROW`. */
  newestOf(m: number): number {
    return this.mapping[m * ROW + Newest]! - 1;
  }

  remotesOf(m: number): number {
    return this.mapping[m * ROW + Count]!;
  }

  /** The remote was used now. */
  touch(r: number, nowUs: number): void {
    this.remoteUsedUs[r] = nowUs;
    const m = this.mappingOf(r);
    if (this.mapping[m * ROW + Newest] === r + 1) return;
    this.unlink(m, r);
    this.append(m, r);
  }

  remoteUsed(r: number): number {
    return this.remoteUsedUs[r]!;
  }

  hasRemote(r: number, flag: number): boolean {
    return (this.remote[r * ROW + RemoteFlags]! & flag) !== 0;
  }

  markRemote(r: number, flag: number): void {
    this.remote[r * ROW + RemoteFlags] = this.remote[r * ROW + RemoteFlags]! | flag;
  }

  /** How the guest calls it. */
  nameInto(r: number, into: Address): void {
    copy(into, 0, this.remote, r * ROW + Name);
  }

  namePortOf(r: number): number {
    return this.remote[r * ROW + NamePort]!;
  }

  /** Where it is, on the host's side. `at` is where in `into`. */
  hostInto(r: number, into: Int32Array, at = 0): void {
    copy(into, at, this.remote, r * ROW + Host);
  }

  remotePortOf(r: number): number {
    return this.remote[r * ROW + RemotePort]!;
  }

  private isOut(r: number, guest: Address, port: number, name: Address, namePort: number): boolean {
    const { mapping, remote } = this;
    const row = r * ROW;
    if (remote[row + NamePort] !== namePort || !same(remote, row + Name, name, 0)) return false;
    const owner = (remote[row + Owner]! - 1) * ROW;
    return mapping[owner + Port] === port && same(mapping, owner + Guest, guest, 0);
  }

  private chainIn(r: number): void {
    const { mapping, remote } = this;
    const row = r * ROW;
    const m = this.mappingOf(r);
    const guest = m * ROW;
    const port = mapping[guest + Port]!;
    const out = this.outHash(mapping, guest + Guest, port, remote, row + Name, remote[row + NamePort]!);
    remote[row + NextOut] = this.outHeads[out]!;
    this.outHeads[out] = r + 1;
    const inward = this.inHash(m, remote, row + Host);
    remote[row + NextIn] = this.inHeads[inward]!;
    this.inHeads[inward] = r + 1;
  }

  private append(m: number, r: number): void {
    const { mapping, remote } = this;
    const newest = mapping[m * ROW + Newest]!;
    remote[r * ROW + Older] = newest;
    remote[r * ROW + Newer] = 0;
    if (newest === 0) mapping[m * ROW + Oldest] = r + 1;
    else remote[(newest - 1) * ROW + Newer] = r + 1;
    mapping[m * ROW + Newest] = r + 1;
  }

  private unlink(m: number, r: number): void {
    const { mapping, remote } = this;
    const older = remote[r * ROW + Older]!;
    const newer = remote[r * ROW + Newer]!;
    if (older === 0) mapping[m * ROW + Oldest] = newer;
    else remote[(older - 1) * ROW + Newer] = newer;
    if (newer === 0) mapping[m * ROW + Newest] = older;
    else remote[(newer - 1) * ROW + Older] = older;
  }

  private mappingHash(guest: Int32Array, at: number, port: number, isIp6: number): number {
    const { words } = this;
    copy(words, 0, guest, at);
    words[4] = (port << 1) | isIp6;
    return sipHash(this.key, words, 0, 5) & (this.mappingHeads.length - 1);
  }

  private outHash(guest: Int32Array, at: number, port: number, name: Int32Array, nameAt: number, to: number): number {
    const { words } = this;
    copy(words, 0, guest, at);
    copy(words, 4, name, nameAt);
    words[8] = (port << 16) | to;
    return sipHash(this.key, words, 0, 9) & (this.outHeads.length - 1);
  }

  private inHash(m: number, host: Int32Array, at: number): number {
    const { words } = this;
    copy(words, 0, host, at);
    words[4] = m;
    return sipHash(this.key, words, 0, 5) & (this.inHeads.length - 1);
  }
}

/** The key of a purpose, of words that nobody knows. */
export function flowKey(secret: Int32Array, purpose: number): Int32Array {
  return Int32Array.from([0, 1, 2, 3], (i) => sipHash(secret, Int32Array.of(purpose, i), 0, 2));
}

const recentSlot = (port: number, namePort: number): number => (port ^ namePort) & (RECENT - 1);

const powerOver = (n: number): number => 2 ** (32 - Math.clz32(n));

const isIp4At = (words: Int32Array, at: number): boolean =>
  words[at + 2] === 0xffff && words[at] === 0 && words[at + 1] === 0;

/** True if four words are equal. */
const same = (a: Int32Array, i: number, b: Int32Array, k: number): boolean =>
  a[i + 3] === b[k + 3] && a[i + 2] === b[k + 2] && a[i + 1] === b[k + 1] && a[i] === b[k];

function copy(to: Int32Array, i: number, from: Int32Array, k: number): void {
  to[i] = from[k]!;
  to[i + 1] = from[k + 1]!;
  to[i + 2] = from[k + 2]!;
  to[i + 3] = from[k + 3]!;
}

/** Takes `row` out of a chain that it does not begin. */
function unchain(columns: Int32Array, link: number, head: number, row: number): void {
  let before = head - 1;
  while (columns[before * ROW + link] !== row + 1) before = columns[before * ROW + link]! - 1;
  columns[before * ROW + link] = columns[row * ROW + link]!;
}
