// Which sockets joined which groups, with their source filters (RFC 3376 §3.1, RFC 3678); what they make together is the network layer's.

import type { StateReader, StateWriter } from '../../core/state.ts';
import type { Address } from '../address.ts';
import { equal, isIp4, isMulticast } from '../address.ts';
import { Errno } from '../errno.ts';
import type { Limits } from '../limits.ts';
import type { Endpoints } from './endpoints.ts';
import { EndpointFlag } from './endpoints.ts';

/** The interfaces' memberships, which IGMP and MLD speak for. */
export interface Groups {
  /**
   * What `owner` wants of a group from now on: with `isExclude` all but `sources`, else `sources` only; "only none" is to
   * leave. 0 or -errno.
   */
  setFilter(iface: number, group: Address, owner: number, isExclude: boolean, sources: readonly Address[]): number;
}

// Ours, as Linux's mld_max_msf.
const SOURCES_MAX = 64;

interface Membership {
  readonly e: number;
  readonly iface: number;
  readonly group: Address;
  isExclude: boolean;
  sources: Address[];
}

/** The memberships of all endpoints; at most `groupsMax`. */
export class Memberships {
  private readonly endpoints: Endpoints;
  private readonly groups: Groups;
  private readonly limits: Limits;
  private list: Membership[] = [];

  constructor(endpoints: Endpoints, groups: Groups, limits: Limits) {
    this.endpoints = endpoints;
    this.groups = groups;
    this.limits = limits;
  }

  /** True if the endpoint wants what `source` sent to `group` on the interface. */
  takes(e: number, iface: number, group: Address, source: Address): boolean {
    const found = this.find(e, iface, group);
    // IP_MULTICAST_ALL: who did not join hears what others of this host joined for.
    if (!found) return this.endpoints.has(e, isIp4(group) ? EndpointFlag.All4 : EndpointFlag.All6);
    return found.isExclude !== has(found.sources, source);
  }

  /** True if any endpoint of this host joined. */
  isJoined(iface: number, group: Address): boolean {
    return this.list.some((m) => m.iface === iface && equal(m.group, group));
  }

  /** Joins for all sources: 0, -EINVAL (no group), -EADDRINUSE (joined already), -ENOBUFS. */
  join(e: number, group: Address, iface: number): number {
    if (!isMulticast(group)) return -Errno.EINVAL;
    if (this.find(e, iface, group)) return -Errno.EADDRINUSE;
    return this.add({ e, iface, group: group.slice(), isExclude: true, sources: [] });
  }

  /** Leaves, whatever the filter: 0 or -EADDRNOTAVAIL. */
  leave(e: number, group: Address, iface: number): number {
    const found = this.find(e, iface, group);
    return found ? this.remove(found) : -Errno.EADDRNOTAVAIL;
  }

  /** RFC 3678 §4.1.3: takes one source more. 0, -EINVAL (joined for all), -EADDRNOTAVAIL (has it), -ENOBUFS. */
  joinSource(e: number, group: Address, source: Address, iface: number): number {
    if (!isMulticast(group) || isIp4(group) !== isIp4(source)) return -Errno.EINVAL;
    const found = this.find(e, iface, group);
    if (!found) return this.add({ e, iface, group: group.slice(), isExclude: false, sources: [source.slice()] });
    if (found.isExclude) return -Errno.EINVAL;
    return this.addSource(found, source);
  }

  /** Takes one source less; the last one leaves the group. 0, -EINVAL, -EADDRNOTAVAIL. */
  leaveSource(e: number, group: Address, source: Address, iface: number): number {
    const found = this.find(e, iface, group);
    if (found?.isExclude) return -Errno.EINVAL;
    if (!found || !has(found.sources, source)) return -Errno.EADDRNOTAVAIL;
    return found.sources.length === 1 ? this.remove(found) : this.removeSource(found, source);
  }

  /** Of a group joined for all sources: no longer this one. 0, -EINVAL, -EADDRNOTAVAIL, -ENOBUFS. */
  blockSource(e: number, group: Address, source: Address, iface: number): number {
    const found = this.find(e, iface, group);
    return found?.isExclude ? this.addSource(found, source) : -Errno.EINVAL;
  }

  /** Takes a blocked source back. 0, -EINVAL, -EADDRNOTAVAIL. */
  unblockSource(e: number, group: Address, source: Address, iface: number): number {
    const found = this.find(e, iface, group);
    if (!found?.isExclude) return -Errno.EINVAL;
    return has(found.sources, source) ? this.removeSource(found, source) : -Errno.EADDRNOTAVAIL;
  }

  /** Leaves all groups of an endpoint that closes. */
  drop(e: number): void {
    for (const membership of this.list.filter((m) => m.e === e)) this.remove(membership);
  }

  save(state: StateWriter): void {
    state.section('stack/memberships', 1).number(this.list.length);
    for (const { e, iface, group, isExclude, sources } of this.list) {
      state.number(e).number(iface).boolean(isExclude).number(sources.length).column(group);
      for (const source of sources) state.column(source);
    }
  }

  /** After the endpoints were loaded; the interfaces' filters are loaded by their own part. */
  load(state: StateReader): void {
    state.section('stack/memberships', 1);
    const count = state.integer(0, this.limits.groupsMax);
    this.list = [];
    for (let i = 0; i < count; i++) {
      const e = state.integer(0, this.endpoints.end - 1);
      const iface = state.integer(0, this.limits.interfacesMax);
      const isExclude = state.boolean();
      const sources: Address[] = [];
      const sourceCount = state.integer(0, SOURCES_MAX);
      const group = readAddress(state);
      for (let s = 0; s < sourceCount; s++) sources.push(readAddress(state));
      this.list.push({ e, iface, group, isExclude, sources });
    }
  }

  private find(e: number, iface: number, group: Address): Membership | undefined {
    for (const m of this.list) if (m.e === e && m.iface === iface && equal(m.group, group)) return m;
    return undefined;
  }

  private add(membership: Membership): number {
    if (this.list.length >= this.limits.groupsMax) return -Errno.ENOBUFS;
    this.list.push(membership);
    const result = this.announce(membership);
    if (result < 0) this.list.pop();
    return result;
  }

  private remove(membership: Membership): number {
    const { e, iface, group } = membership;
    this.list.splice(this.list.indexOf(membership), 1);
    this.groups.setFilter(iface, group, e, false, []);
    return 0;
  }

  private addSource(membership: Membership, source: Address): number {
    if (has(membership.sources, source)) return -Errno.EADDRNOTAVAIL;
    if (membership.sources.length >= SOURCES_MAX) return -Errno.ENOBUFS;
    membership.sources.push(source.slice());
    return this.announce(membership);
  }

  private removeSource(membership: Membership, source: Address): number {
    membership.sources = membership.sources.filter((s) => !equal(s, source));
    return this.announce(membership);
  }

  private announce({ e, iface, group, isExclude, sources }: Membership): number {
    return this.groups.setFilter(iface, group, e, isExclude, sources);
  }
}

const has = (list: readonly Address[], a: Address): boolean => list.some((b) => equal(a, b));

function readAddress(state: StateReader): Address {
  const address = new Int32Array(4);
  state.into(address);
  return address;
}
