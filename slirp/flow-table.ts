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
import {
  Count,
  copy,
  Guest,
  MappingFlag,
  MappingTable,
  Newest,
  NO_ROW,
  Oldest,
  Port,
  powerOver,
  ROW,
  same,
  unchain,
} from './mapping-table.ts';

export { flowKey, MappingFlag, NO_ROW } from './mapping-table.ts';

/** Bits of a remote. */
export const RemoteFlag = {
  /** It is another mapping of this table, or itself: RFC 4787 §6. */
  Hairpin: 1,
  /** It spoke first. */
  Inward: 2,
  Answered: 4,
} as const;

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

export interface FlowTableOptions {
  readonly mappingsMax: number;
  /** All together, beyond one for each mapping. */
  readonly remotesMax: number;
  /** Of all mappings of a station, beyond one for each; as many as all together may have if it is not given. */
  readonly remotesOfStationMax?: number;
  /** Of one mapping. */
  readonly remotesOfOneMax: number;
  /** Of one that is fixed. */
  readonly clientsMax?: number;
  /** 4 words that guests do not know. */
  readonly key: Int32Array;
}

/** Rows are numbers, good until they are removed. */
export class FlowTable extends MappingTable {
  remotes = 0;
  private readonly options: FlowTableOptions;
  private readonly remote: Int32Array;
  private readonly remoteUsedUs: Float64Array;
  private readonly outHeads: Int32Array;
  private readonly inHeads: Int32Array;
  private readonly freeRemotes: Int32Array;
  private remoteTop = 0;
  private remotesFree = 0;
  private withRemotes = 0; // mappings that have any
  private extras = new Int32Array(64); // by station + 1: remotes beyond the first of a mapping
  // What was found last, since datagrams come in rows; it may be free or another one's by now.
  private lastOut = NO_ROW;
  private lastIn = NO_ROW;

  constructor(options: FlowTableOptions) {
    const { mappingsMax, remotesMax, remotesOfOneMax, key } = options;
    super(mappingsMax, key);
    assert(remotesMax >= 0 && remotesOfOneMax > 0, 'bounds of a flow table');
    this.options = options;
    const all = mappingsMax + remotesMax;
    this.remote = new Int32Array(ROW * all);
    this.remoteUsedUs = new Float64Array(all);
    this.outHeads = new Int32Array(powerOver(all));
    this.inHeads = new Int32Array(powerOver(all));
    this.freeRemotes = new Int32Array(all);
  }

  /** Forgets a mapping and its remotes. */
  override removeMapping(m: number): void {
    for (let r = this.oldestOf(m); r >= 0; r = this.oldestOf(m)) this.removeRemote(r);
    super.removeMapping(m);
  }

  /** The remote that a guest's datagram is for, or `NO_ROW`. */
  findOut(guest: Address, port: number, name: Address, namePort: number): number {
    if (this.lastOut >= 0 && this.isOut(this.lastOut, guest, port, name, namePort)) return this.lastOut;
    const { remote } = this;
    let r = this.outHeads[this.outHash(guest, 0, port, name, 0, namePort)]! - 1;
    for (; r >= 0; r = remote[r * ROW + NextOut]! - 1) {
      if (!this.isOut(r, guest, port, name, namePort)) continue;
      this.lastOut = r;
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
    if (this.lastIn >= 0 && this.isIn(this.lastIn, m, address, port)) return this.lastIn;
    const { remote } = this;
    let r = this.inHeads[this.inHash(m, address, 0)]! - 1;
    for (; r >= 0; r = remote[r * ROW + NextIn]! - 1) {
      if (!this.isIn(r, m, address, port)) continue;
      this.lastIn = r;
      return r;
    }
    return NO_ROW;
  }

  /** A new remote of `m`; its oldest one may have to go. */
  addRemote(m: number, name: Address, namePort: number, host: Address, port: number, nowUs: number): number {
    const { mapping, remote } = this;
    const { remotesOfOneMax, remotesMax, clientsMax = remotesOfOneMax } = this.options;
    const { remotesOfStationMax: stationMax = remotesMax } = this.options;
    const most = this.has(m, MappingFlag.Fixed) ? clientsMax : remotesOfOneMax;
    const count = mapping[m * ROW + Count]!;
    // A mapping's first remote is not counted, so that there is one for everybody.
    const station = this.stationOf(m) + 1;
    const isPoolEmpty = this.remotes - this.withRemotes >= remotesMax || this.extraOf(station) >= stationMax;
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
    else this.countExtra(station, 1);
    return r;
  }

  private extraOf(station: number): number {
    return this.extras[station] ?? 0;
  }

  private countExtra(station: number, by: number): void {
    if (station >= this.extras.length) {
      const extras = new Int32Array(2 * station);
      extras.set(this.extras);
      this.extras = extras;
    }
    this.extras[station] = this.extras[station]! + by;
  }

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
    else this.countExtra(this.stationOf(m) + 1, -1);
    this.remotes--;
    this.freeRemotes[this.remotesFree++] = r;
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
    return owner >= 0 && mapping[owner + Port] === port && same(mapping, owner + Guest, guest, 0);
  }

  /** Port -1 is any. */
  private isIn(r: number, m: number, address: Address, port: number): boolean {
    const { remote } = this;
    const row = r * ROW;
    if (remote[row + Owner] !== m + 1 || (port >= 0 && remote[row + RemotePort] !== port)) return false;
    return same(remote, row + Host, address, 0);
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
