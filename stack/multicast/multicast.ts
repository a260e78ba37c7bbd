// Which groups this host listens to, on which interface, from which sources: RFC 3376 §3 and RFC 3810 §4.

import { StateError, type StateReader, type StateWriter } from '../../core/state.ts';
import { type Address, equal, isIp4, isMulticast } from '../address.ts';
import { Errno } from '../errno.ts';
import type { Limits } from '../limits.ts';
import type { Interfaces } from '../link/interfaces.ts';
import {
  common,
  hasSource,
  loadAddress,
  loadSources,
  minus,
  NO_SOURCES,
  SOURCES_MAX,
  type SourceSet,
  sameSources,
  saveSources,
  sourceSet,
  union,
} from './source-set.ts';

/** Filters of one group, each of a socket. */
const FILTERS_MAX = 256;
const JOINS_MAX = 1e9;
const OWNER_MAX = 2 ** 31;

/** What one socket wants of a group. */
interface Filter {
  readonly isExclude: boolean;
  readonly sources: SourceSet;
}

/** A group on an interface: what sockets want, and what that makes together. */
export interface Membership {
  readonly iface: number;
  readonly group: Address;
  /** Joins without a filter: EXCLUDE of nobody. */
  joins: number;
  readonly filters: Map<number, Filter>;
  isExclude: boolean;
  sources: SourceSet;
}

/** Speaks for the memberships of one family: `changed` after a change of what they make together. */
export interface MembershipListener {
  changed(iface: number, group: Address, isExclude: boolean, sources: SourceSet): void;
}

/** The memberships. `onChange4`, `onChange6` are IGMP and MLD. */
export class Multicast {
  onChange4: MembershipListener | undefined;
  onChange6: MembershipListener | undefined;
  private readonly interfaces: Interfaces;
  private readonly max: number;
  private readonly list: Membership[] = [];

  constructor(interfaces: Interfaces, limits: Limits) {
    this.interfaces = interfaces;
    this.max = limits.groupsMax;
  }

  /** Listens to a group, whoever sends. Counted: as many `leave` end it. 0, -EINVAL, -ENETUNREACH or -ENOBUFS. */
  join(iface: number, group: Address): number {
    const found = this.obtain(iface, group);
    if (typeof found === 'number') return found;
    found.joins++;
    this.update(found);
    return 0;
  }

  /** Ends one `join`. 0, or -EADDRNOTAVAIL if there is none. */
  leave(iface: number, group: Address): number {
    const found = this.find(iface, group);
    if (!found || found.joins === 0) return -Errno.EADDRNOTAVAIL;
    found.joins--;
    this.update(found);
    return 0;
  }

  /**
   * What `owner` (a socket's number) wants of a group, in place of what it wanted: everybody but `sources`, or only them.
   * Nobody at all (include, no sources) ends it. 0, -EINVAL, -ENETUNREACH or -ENOBUFS. RFC 3376 §3.1.
   */
  setFilter(iface: number, group: Address, owner: number, isExclude: boolean, sources: readonly Address[]): number {
    if (sources.length > SOURCES_MAX) return -Errno.ENOBUFS;
    const found = this.obtain(iface, group);
    if (typeof found === 'number') return found;
    if (!found.filters.has(owner) && found.filters.size >= FILTERS_MAX) return -Errno.ENOBUFS;
    if (!isExclude && sources.length === 0) found.filters.delete(owner);
    else found.filters.set(owner, { isExclude, sources: sourceSet(sources) });
    this.update(found);
    return 0;
  }

  /** True if the interface takes packets from `source` to `group`. Everybody is in all-nodes and all-hosts. */
  isMember(iface: number, group: Address, source: Address): boolean {
    const found = this.find(iface, group);
    if (!found) return isEverybody(group);
    return hasSource(found.sources, source) !== found.isExclude;
  }

  /** All memberships in the order in which they were made. */
  all(): readonly Membership[] {
    return this.list;
  }

  save(state: StateWriter): void {
    state.section('stack/multicast', 1).number(this.list.length);
    for (const m of this.list) {
      state.number(m.iface).column(m.group).number(m.joins).number(m.filters.size);
      for (const [owner, filter] of m.filters) {
        state.number(owner).boolean(filter.isExclude);
        saveSources(state, filter.sources);
      }
    }
  }

  load(state: StateReader): void {
    state.section('stack/multicast', 1);
    this.list.length = 0;
    const count = state.integer(0, this.max);
    for (let i = 0; i < count; i++) {
      const iface = state.integer(1, this.interfaces.all().length);
      const m = blank(iface, loadAddress(state));
      if (!isMulticast(m.group)) throw new StateError('a membership of no group');
      m.joins = state.integer(0, JOINS_MAX);
      const filters = state.integer(0, FILTERS_MAX);
      for (let k = 0; k < filters; k++) {
        m.filters.set(state.integer(0, OWNER_MAX), { isExclude: state.boolean(), sources: loadSources(state) });
      }
      merge(m);
      this.list.push(m);
    }
  }

  private find(iface: number, group: Address): Membership | undefined {
    for (const m of this.list) if (m.iface === iface && equal(m.group, group)) return m;
    return undefined;
  }

  private obtain(iface: number, group: Address): Membership | number {
    if (!isMulticast(group)) return -Errno.EINVAL;
    if (!this.interfaces.get(iface)) return -Errno.ENETUNREACH;
    const found = this.find(iface, group);
    if (found) return found;
    if (this.list.length >= this.max) return -Errno.ENOBUFS;
    const made = blank(iface, Int32Array.from(group));
    this.list.push(made);
    return made;
  }

  private update(m: Membership): void {
    const { isExclude, sources } = m;
    merge(m);
    if (m.joins === 0 && m.filters.size === 0) this.list.splice(this.list.indexOf(m), 1);
    if (isExclude === m.isExclude && sameSources(sources, m.sources)) return;
    if (this.interfaces.get(m.iface)?.isLoopback) return;
    const listener = isIp4(m.group) ? this.onChange4 : this.onChange6;
    listener?.changed(m.iface, m.group, m.isExclude, m.sources);
  }
}

const blank = (iface: number, group: Address): Membership => ({
  iface,
  group,
  joins: 0,
  filters: new Map(),
  isExclude: false,
  sources: NO_SOURCES,
});

/** RFC 3376 §3.2: EXCLUDE wins, of those that all exclude and none includes; else all that any includes. */
function merge(m: Membership): void {
  let excluded: SourceSet | undefined = m.joins > 0 ? NO_SOURCES : undefined;
  let included: SourceSet = NO_SOURCES;
  for (const filter of m.filters.values()) {
    if (filter.isExclude) excluded = excluded ? common(excluded, filter.sources) : filter.sources;
    else included = union(included, filter.sources);
  }
  m.isExclude = excluded !== undefined;
  m.sources = excluded ? minus(excluded, included) : included;
}

/** 224.0.0.1, ff01::1 and ff02::1: nobody leaves them, and nobody reports them (RFC 3376 §5, RFC 3810 §6). */
export function isEverybody(group: Address): boolean {
  if (isIp4(group)) return group[3] === (0xe0000001 | 0);
  const scope = group[0]! >>> 16;
  return (
    (scope === 0xff01 || scope === 0xff02) &&
    (group[0]! & 0xffff) === 0 &&
    group[1] === 0 &&
    group[2] === 0 &&
    group[3] === 1
  );
}
