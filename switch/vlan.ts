// Which VLAN a frame belongs to, which ports carry that VLAN, and what becomes of the tag on each of them.

import { assert, UsageError } from '../core/assert.ts';
import { Drop } from '../core/drop.ts';

// IEEE 802.1Q-2018 §9.6.
/** A VID in 1 … 4094 names a VLAN; 0 is none; 4095 is reserved. */
export const VID_MAX = 4094;
/** As a pvid: untagged frames are not taken (vde_switch's `port/setvlan N 4095`). */
export const VID_NONE = 4095;
/** `tci` of a frame without a tag. */
export const NO_TAG = -1;

/** Leave the frame as it is. */
export const TAG_KEEP = -1;
/** Remove the outer 802.1Q tag: bytes 12..15. */
export const TAG_POP = -2;
/** Added to a TCI: replace the TCI of the tag that is there. Without it: push a tag 0x8100 with this TCI. */
export const TAG_REPLACE = 0x10000;

// How a port sends a VLAN's frames.
const NATIVE = 0; // untagged, but a priority tag (VID 0) is left on: the port takes tags anyway
const BARE = 1; // untagged
const TAGGED = 2;
const ABSENT = -1;

// The word of a port's state: pvid in the low bits (VID_NONE never matches, because PVID_NONE is no VID).
const PVID_MASK = 0x1fff;
const PVID_NONE = 0x1fff;
const UP = 1 << 16;
const BLOCKED = 1 << 17;
const ALL = 1 << 18; // carries every VLAN
const SET = 1 << 19; // carries the VLANs in its set
const CLASS_SHIFT = 16; // of a list's word; the port is below
const SHARED = VID_NONE + 1; // the list of every VLAN that no port names

/** What a port carries. */
export interface PortVlans {
  /** The VLAN of untagged frames; 0: none of 1 … 4094, never tagged; `VID_NONE`: untagged frames are dropped. */
  readonly pvid: number;
  /** Tagged VLANs; `all` also passes VID 4095 and priority tags unchanged. */
  readonly tagged: 'all' | readonly number[];
}

/**
 * A port has a pvid and a set of tagged VLANs, which may be `all`. Lists of members are made when a VLAN first floods
 * after a change, one per VLAN that some port names and one for all others, so a flood only copies.
 */
export class Vlans {
  /** By `NATIVE`, `BARE`, `TAGGED`: the tag verdict for the frame that `describe` saw last. */
  readonly tags = new Int32Array(3);
  private readonly portsMax: number;
  private readonly state: Int32Array;
  private readonly sets: (Uint32Array | undefined)[] = [];
  private readonly named = new Uint16Array(VID_NONE + 1); // how many ports name a VLAN
  private readonly lists: (Int32Array | undefined)[] = []; // [n, member, member, ...]
  private readonly listGeneration = new Float64Array(SHARED + 1);
  private generation = 1;
  private portsTop = 0; // above the highest port that ever was up

  constructor(portsMax: number) {
    this.portsMax = portsMax;
    this.state = new Int32Array(portsMax).fill(ALL);
    for (let vid = 0; vid <= SHARED; vid++) this.lists.push(undefined);
    for (let port = 0; port < portsMax; port++) this.sets.push(undefined);
  }

  /** The VLAN of a frame that came into `port` with this TCI (or `NO_TAG`), or a negative `Drop`. */
  admit(port: number, tci: number): number {
    if (port < 0 || port >= this.portsMax) return -Drop.NoPort;
    const state = this.state[port]!;
    if ((state & (UP | BLOCKED)) !== UP) return (state & UP) === 0 ? -Drop.NoPort : -Drop.Blocked;
    const vid = tci & 0x0fff;
    if (tci === NO_TAG || vid === 0) {
      const pvid = state & PVID_MASK;
      return pvid === PVID_NONE ? -Drop.Untagged : pvid;
    }
    if ((state & ALL) !== 0) return vid;
    return (state & SET) !== 0 && this.hasTag(port, vid) ? vid : -Drop.NotMember;
  }

  /** Computes `tags` for a frame of this VLAN that came with this TCI. */
  describe(vid: number, tci: number): void {
    const tags = this.tags;
    if (tci === NO_TAG) {
      tags[NATIVE] = TAG_KEEP;
      tags[BARE] = TAG_KEEP;
      tags[TAGGED] = vid; // priority 0
    } else if ((tci & 0x0fff) === 0) {
      tags[NATIVE] = TAG_KEEP;
      tags[BARE] = TAG_POP;
      tags[TAGGED] = TAG_REPLACE | (tci & 0xf000) | vid; // the priority is kept
    } else {
      tags[NATIVE] = TAG_POP;
      tags[BARE] = TAG_POP;
      tags[TAGGED] = TAG_KEEP;
    }
  }

  /** How `port` sends frames of this VLAN: an index of `tags`, or negative if it does not. */
  classOf(port: number, vid: number): number {
    const state = this.state[port]!;
    if ((state & (UP | BLOCKED)) !== UP) return ABSENT;
    if ((state & PVID_MASK) === vid) return (state & ALL) !== 0 ? NATIVE : BARE;
    if (vid === 0) return ABSENT;
    if ((state & ALL) !== 0) return TAGGED;
    return (state & SET) !== 0 && this.hasTag(port, vid) ? TAGGED : ABSENT;
  }

  /** Fills `egress` and `egressTag` with every member of the VLAN but `ingress`, in the order of ports; how many. */
  flood(vid: number, ingress: number, egress: Int32Array, egressTag: Int32Array): number {
    const index = vid === 0 || this.named[vid] !== 0 ? vid : SHARED;
    if (this.listGeneration[index] !== this.generation) this.makeList(index, vid);
    const list = this.lists[index]!;
    const tags = this.tags;
    const end = list[0]!;
    let count = 0;
    for (let i = 1; i <= end; i++) {
      const member = list[i]!;
      const port = member & 0xffff;
      egress[count] = port;
      egressTag[count] = tags[member >>> CLASS_SHIFT]!;
      count += port === ingress ? 0 : 1; // without a branch: the ingress's place is simply written again
    }
    return count;
  }

  /** True if the port is up and not blocked. */
  isForwarding(port: number): boolean {
    return port >= 0 && port < this.portsMax && (this.state[port]! & (UP | BLOCKED)) === UP;
  }

  setUp(port: number, isUp: boolean): void {
    this.setFlag(port, UP, isUp);
    if (isUp) this.portsTop = Math.max(this.portsTop, port + 1);
  }

  setBlocked(port: number, isBlocked: boolean): void {
    this.setFlag(port, BLOCKED, isBlocked);
  }

  /** Gives a port its pvid and its tagged VLANs. */
  configure(port: number, { pvid, tagged }: PortVlans): void {
    this.checkPort(port);
    if (!Number.isInteger(pvid) || pvid < 0 || pvid > VID_NONE) {
      throw new UsageError(
        `VLAN ${pvid} is out of range: 0 (none) to ${VID_MAX}, or ${VID_NONE} for no untagged frames`,
      );
    }
    const set = tagged === 'all' ? undefined : setOf(tagged);
    this.name(port, -1);
    const flags = this.state[port]! & (UP | BLOCKED);
    this.state[port] = flags | (pvid === VID_NONE ? PVID_NONE : pvid) | (tagged === 'all' ? ALL : SET);
    this.sets[port] = set;
    this.name(port, 1);
    this.generation++;
  }

  /** What `configure` was given, or the default. */
  vlansOf(port: number): PortVlans {
    this.checkPort(port);
    const state = this.state[port]!;
    const pvid = (state & PVID_MASK) === PVID_NONE ? VID_NONE : state & PVID_MASK;
    if ((state & ALL) !== 0) return { pvid, tagged: 'all' };
    const tagged: number[] = [];
    for (let vid = 1; vid <= VID_MAX; vid++) if (this.hasTag(port, vid)) tagged.push(vid);
    return { pvid, tagged };
  }

  /** Refuses a port number outside the switch. */
  checkPort(port: number): void {
    if (Number.isInteger(port) && port >= 0 && port < this.portsMax) return;
    throw new UsageError(`port ${port} is out of range: 0 to ${this.portsMax - 1}`);
  }

  private hasTag(port: number, vid: number): boolean {
    return ((this.sets[port]![vid >>> 5]! >>> (vid & 31)) & 1) !== 0;
  }

  private setFlag(port: number, flag: number, isSet: boolean): void {
    this.checkPort(port);
    this.state[port] = isSet ? this.state[port]! | flag : this.state[port]! & ~flag;
    this.generation++;
  }

  /** Counts a port in (1) or out (-1) of the VLANs that it names. */
  private name(port: number, change: 1 | -1): void {
    const { pvid, tagged } = this.vlansOf(port);
    if (pvid !== VID_NONE) this.named[pvid]! += change;
    if (tagged !== 'all') for (const vid of tagged) this.named[vid]! += change;
  }

  private makeList(index: number, vid: number): void {
    let count = 0;
    for (let port = 0; port < this.portsTop; port++) if (this.classOf(port, vid) >= 0) count++;
    const list = new Int32Array(1 + count);
    for (let port = 0; port < this.portsTop; port++) {
      const how = this.classOf(port, vid);
      if (how >= 0) list[++list[0]!] = (how << CLASS_SHIFT) | port;
    }
    this.lists[index] = list;
    this.listGeneration[index] = this.generation;
  }
}

function setOf(vids: readonly number[]): Uint32Array {
  const set = new Uint32Array((VID_NONE + 1) / 32);
  for (const vid of vids) {
    checkVid(vid);
    set[vid >>> 5]! |= 1 << (vid & 31);
  }
  return set;
}

/** Refuses what is not the number of a VLAN. */
export function checkVid(vid: number): void {
  if (Number.isInteger(vid) && vid >= 1 && vid <= VID_MAX) return;
  throw new UsageError(`VLAN ${vid} is out of range: 1 to ${VID_MAX}`);
}

assert(PVID_NONE > VID_NONE && PVID_NONE < UP, 'no VID means none');
