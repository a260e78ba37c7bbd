// A VLAN-aware learning switch that decides and moves nothing.
//
// Theory of operation. `forward` looks at one frame (bytes, ingress port, now) and fills `egress` with port numbers and
// `egressTag` with what happens to the 802.1Q tag on each. The engine copies frames; it alone knows what is behind a port.
//
//   admit ─▶ refuse ─▶ learn source ─▶ look up target ─┬─ known ───────────────────────▶ one port  ─┬─▶ mirror ─▶ egress
//   (vlan)   (source,   (fdb)           (fdb)          └─ group or unknown ─▶ storm ──▶ VLAN's list ┘
//             PAUSE)
//
// VLANs (vlan.ts). A new port carries everything as it is: untagged frames are in VLAN 0, which is none of 1 … 4094 and is
// never tagged; tagged ones in the VLAN of their tag, VID 4095 like any other. Here we deviate from vde_switch, whose new
// ports drop tagged frames. A port that was configured has a pvid (sent untagged) and a set of tagged VLANs; frames tagged
// with anything else, 4095 always, are dropped as NotMember. That includes an access port's own VID. A priority tag
// (VID 0) means "untagged": the frame is in the pvid; its PCP and DEI survive where the frame is tagged on the way out. An
// outer tag 0x88a8 is an ordinary ethertype.
//
// Stations (fdb.ts) are learned per (MAC, VID), age exactly, move at once and are pinned when they flap. A full table
// goes on: what is not in it is flooded. A frame from a group address is dropped as Reserved, and so is PAUSE
// (01:80:c2:00:00:01): it means the cable that it came from. The other addresses 01:80:c2:00:00:0x are flooded, as
// vde_switch does, so that STP and LLDP work between programs on a virtual wire; IEEE 802.1Q §8.6.3 would filter them.
//
// A hub repeats to the other members of the VLAN and learns nothing.
//
// The mirror shows every frame once to one more port, as it was received (tag kept), even one that is dropped because it
// stays on its port, has no taker, or is above the storm limit. If that port was going to get the frame anyway, it gets
// the mirrored form alone. Its own frames are not mirrored. It remains an ordinary port otherwise.
//
// State: the configuration in Vlans and StormGuard, the stations in Fdb, counters here. Bounds: `portsMax`,
// `fdbEntriesMax`; member lists take a word per port and VLAN in use. Nothing is allocated per frame. Configuration by an
// operator throws UsageError; a frame never throws.

import { assert } from '../core/assert.ts';
import { Drop, DropCounters } from '../core/drop.ts';
import { Fdb, NO_PORT } from './fdb.ts';
import { keyOf } from './mac.ts';
import { type Mirror, MirrorPort } from './mirror.ts';
import { BROADCAST, MULTICAST, StormGuard, type StormLimits, UNKNOWN } from './storm.ts';
import { checkVid, NO_TAG, type PortVlans, VID_MAX, Vlans } from './vlan.ts';

export type { Fdb, FdbEntry } from './fdb.ts';
export { AGE_US_DEFAULT, FDB_ENTRIES_DEFAULT, NO_PORT } from './fdb.ts';
export type { Mirror } from './mirror.ts';
export type { StormLimits } from './storm.ts';
export { type PortVlans, TAG_KEEP, TAG_POP, TAG_REPLACE, VID_MAX, VID_NONE } from './vlan.ts';

/** The most ports that a switch can have. */
export const PORTS_MAX = 4096;

const HEADER_BYTES = 14;
const TAG_BYTES = 4;
const TYPE = 12; // offset of the ethertype, or of the tag
const TPID_SWAPPED = 0x0081; // 0x8100 read little-endian
const GROUP_BIT = 1; // of a MAC's first byte
// 01:80:c2:00:00:01 read as little-endian words.
const PAUSE_LOW = 0x00c28001;
const PAUSE_HIGH = 0x0100;

/** Bounds and times; times in whole µs. */
export interface SwitchOptions {
  /** Ports are numbered 0 … portsMax - 1; at most `PORTS_MAX`. */
  readonly portsMax: number;
  readonly fdbEntriesMax?: number;
  readonly hub?: boolean;
  /** A station silent for so long is forgotten. */
  readonly ageUs?: number;
  /** The window in which a station may change port `movesMax` times before it is pinned for `pinUs`. */
  readonly moveUs?: number;
  readonly movesMax?: number;
  readonly pinUs?: number;
  /** Any whole number; a random one keeps strangers from choosing MACs that collide. */
  readonly hashSeed?: number;
}

/** See the head of this file. */
export class Switch {
  /** Port numbers, valid after `forward` up to the count that it returned. */
  readonly egress: Int32Array;
  /** By the same index: `TAG_KEEP`, `TAG_POP`, a TCI to push, or `TAG_REPLACE` + the TCI to write over the one that is there. */
  readonly egressTag: Int32Array;
  /** The stations: listing, static entries, limits, counts. */
  readonly fdb: Fdb;
  readonly portsMax: number;
  /** Why the last frame goes nowhere; `Drop.None` if it goes somewhere, be it only to the mirror. */
  lastDrop: Drop = Drop.None;
  /** The last frame went to everybody: nobody is worth waiting for. */
  isFlood = false;
  /** Frames of ports that do not exist. */
  readonly strayDrops = new DropCounters();

  private readonly vlans: Vlans;
  private readonly storm: StormGuard;
  private readonly rx: Float64Array;
  private readonly drops: (DropCounters | undefined)[];
  private readonly observer = new MirrorPort();
  private isHub: boolean;

  constructor(options: SwitchOptions) {
    const { portsMax, fdbEntriesMax, hub, ...times } = options;
    assert(portsMax > 0 && portsMax <= PORTS_MAX, `a switch with ${portsMax} ports`);
    this.portsMax = portsMax;
    this.egress = new Int32Array(portsMax + 1); // one more: a flood writes the ingress before it skips it
    this.egressTag = new Int32Array(portsMax + 1);
    this.fdb = new Fdb({ portsMax, ...(fdbEntriesMax === undefined ? {} : { entriesMax: fdbEntriesMax }), ...times });
    this.vlans = new Vlans(portsMax);
    this.storm = new StormGuard(portsMax);
    this.rx = new Float64Array(portsMax);
    this.drops = new Array<undefined>(portsMax).fill(undefined);
    this.isHub = hub ?? false;
  }

  /**
   * Decides where the frame of `length` bytes at `at` goes; how many ports. 0: nowhere, see `lastDrop`. Any bytes and any
   * `ingress` are fine; `at` need not be aligned.
   */
  forward(view: DataView, at: number, length: number, ingress: number, nowUs: number): number {
    this.isFlood = false;
    if (length < HEADER_BYTES) return this.drop(Drop.Runt, ingress);
    let tci = NO_TAG;
    if (view.getUint16(at + TYPE, true) === TPID_SWAPPED) {
      if (length < HEADER_BYTES + TAG_BYTES) return this.drop(Drop.VlanTruncated, ingress);
      tci = view.getUint16(at + TYPE + 2);
    }
    const vid = this.vlans.admit(ingress, tci);
    if (vid < 0) return this.drop(-vid as Drop, ingress); // `admit` negates a Drop
    const targetLow = view.getInt32(at, true);
    const middle = view.getInt32(at + 4, true); // two bytes of the target, two of the source
    const rest = view.getInt32(at + 8, true);
    if (((middle >>> 16) & GROUP_BIT) !== 0) return this.drop(Drop.Reserved, ingress);
    const targetHigh = middle & 0xffff;
    if (targetLow === PAUSE_LOW && targetHigh === PAUSE_HIGH) return this.drop(Drop.Reserved, ingress);
    this.rx[ingress]!++;
    this.vlans.describe(vid, tci);
    const fdb = this.fdb;
    if (nowUs !== fdb.nowUs) fdb.tick(nowUs);
    if (this.isHub) return this.flood(kindOf(targetLow, targetHigh, true), vid, ingress, nowUs);
    fdb.learn((middle >>> 16) | (rest << 16), keyOf(rest >>> 16, vid), ingress);
    if ((targetLow & GROUP_BIT) !== 0) return this.flood(kindOf(targetLow, targetHigh, false), vid, ingress, nowUs);
    const target = fdb.lookup(targetLow, keyOf(targetHigh, vid), ingress);
    return target === NO_PORT ? this.flood(UNKNOWN, vid, ingress, nowUs) : this.send(target, vid, ingress);
  }

  /** When `expire` is due; `NEVER` if nothing can age. */
  deadlineUs(): number {
    return this.fdb.deadlineUs();
  }

  /** Reclaims the memory of stations that went silent. Calling it early, or never, changes no decision. */
  expire(nowUs: number): void {
    this.fdb.expire(nowUs);
  }

  /** The port exists and takes frames. */
  portUp(port: number, nowUs: number): void {
    this.vlans.setUp(port, true);
    this.drops[port] ??= new DropCounters();
    this.fdb.tick(nowUs);
  }

  /** The port is gone; what was learned on it is forgotten. Its configuration and counters stay. */
  portDown(port: number): void {
    this.vlans.setUp(port, false);
    this.fdb.flush(port);
  }

  /** Repeat everything and learn nothing, or be a switch again. */
  setHub(isHub: boolean): void {
    this.isHub = isHub;
    this.fdb.flush();
  }

  /** Forget stations that are silent for `ageUs`, whole µs above 0. */
  setAge(ageUs: number): void {
    this.fdb.setAge(ageUs);
  }

  /** The default: everything passes as it is. */
  setTrunkAll(port: number): void {
    this.configure(port, 0, 'all');
  }

  /** Untagged frames only, all in VLAN `vid`. */
  setAccess(port: number, vid: number): void {
    checkVid(vid);
    this.configure(port, vid, []);
  }

  /** Tagged VLANs, and untagged frames in VLAN `native`: 0 is the LAN without a VLAN, `VID_NONE` drops untagged frames. */
  setTrunk(port: number, { native, allowed }: { native: number; allowed: 'all' | readonly number[] }): void {
    this.configure(port, native, allowed);
  }

  /** Carries `vid` tagged. A port that carried everything then carries that alone, as vde_switch's `vlan/addport`. */
  addTagged(vid: number, port: number): void {
    checkVid(vid);
    const { pvid, tagged } = this.vlans.vlansOf(port);
    this.configure(port, pvid, tagged === 'all' ? [vid] : [...tagged, vid]);
  }

  /** No longer carries `vid` tagged. A port that carried everything then carries everything else. */
  removeTagged(vid: number, port: number): void {
    checkVid(vid);
    const { pvid, tagged } = this.vlans.vlansOf(port);
    const before = tagged === 'all' ? Array.from({ length: VID_MAX }, (_, i) => i + 1) : tagged;
    this.configure(
      port,
      pvid,
      before.filter((other) => other !== vid),
    );
  }

  /** Untagged frames are in `vid`. A port that carried everything loses its tagged VLANs, as after vde's `port/setvlan`. */
  setUntagged(port: number, vid: number): void {
    const { pvid, tagged } = this.vlans.vlansOf(port);
    if (pvid === vid) return;
    this.configure(port, vid, tagged === 'all' ? [] : tagged);
  }

  /** What the port carries. */
  vlansOf(port: number): PortVlans {
    return this.vlans.vlansOf(port);
  }

  /** A blocked port neither takes nor gets frames. */
  setBlocked(port: number, isBlocked: boolean): void {
    this.vlans.setBlocked(port, isBlocked);
    this.fdb.flush(port);
  }

  /** Replaces the mirror. */
  setMirror(mirror: Mirror): void {
    this.vlans.checkPort(mirror.to);
    if (mirror.from !== 'all') this.vlans.checkPort(mirror.from);
    this.observer.set(mirror);
  }

  /** The mirror, if there is one. */
  get mirror(): Mirror | undefined {
    return this.observer.config;
  }

  clearMirror(): void {
    this.observer.clear();
  }

  /** Limits what the port may send to everybody. */
  setStorm(port: number, limits: StormLimits): void {
    this.vlans.checkPort(port);
    this.storm.set(port, limits);
  }

  /** Frames that were taken from the port, before it was decided where they go. */
  rxFrames(port: number): number {
    return this.rx[port]!;
  }

  /** Why frames of this ingress port went nowhere. */
  dropsOf(port: number): DropCounters {
    this.vlans.checkPort(port);
    this.drops[port] ??= new DropCounters();
    return this.drops[port];
  }

  resetCounters(port: number): void {
    this.dropsOf(port).counts.fill(0);
    this.rx[port] = 0;
  }

  private configure(port: number, pvid: number, tagged: 'all' | readonly number[]): void {
    this.vlans.configure(port, { pvid, tagged });
    this.fdb.flush(port); // what was learned there may be in a VLAN that the port has left
  }

  private drop(reason: Drop, ingress: number): number {
    this.lastDrop = reason;
    (this.drops[ingress] ?? this.strayDrops).add(reason);
    return 0;
  }

  private send(target: number, vid: number, ingress: number): number {
    if (target === ingress) return this.refuse(Drop.SamePort, ingress);
    const how = this.vlans.classOf(target, vid);
    if (how < 0) return this.refuse(Drop.NoEgress, ingress); // a static entry of a port that is down
    this.egress[0] = target;
    this.egressTag[0] = this.vlans.tags[how]!;
    this.lastDrop = Drop.None;
    return this.mirrored(1, ingress);
  }

  private flood(kind: number, vid: number, ingress: number, nowUs: number): number {
    this.isFlood = true;
    if (kind !== REPEATED && !this.storm.take(ingress, kind, nowUs)) return this.refuse(Drop.Storm, ingress);
    const count = this.vlans.flood(vid, ingress, this.egress, this.egressTag);
    if (count === 0) return this.refuse(Drop.NoEgress, ingress);
    this.lastDrop = Drop.None;
    return this.mirrored(count, ingress);
  }

  /** A frame that was taken and goes nowhere: the mirror still sees it. */
  private refuse(reason: Drop, ingress: number): number {
    this.drop(reason, ingress);
    if (this.mirrored(0, ingress) === 0) return 0;
    this.lastDrop = Drop.None;
    return 1;
  }

  private mirrored(count: number, ingress: number): number {
    const observer = this.observer;
    if (observer.to === NO_PORT || !this.vlans.isForwarding(observer.to)) return count;
    return observer.add(this.egress, this.egressTag, count, ingress);
  }
}

const REPEATED = -1; // a unicast frame in a hub: not a storm, simply how hubs work

function kindOf(low: number, high: number, isHub: boolean): number {
  if (isHub && (low & GROUP_BIT) === 0) return REPEATED;
  return low === -1 && high === 0xffff ? BROADCAST : MULTICAST;
}
