// Ways from a source to a target: what routing, source selection and ICMP say, looked up once and kept. RFC 1122 §3.3.1.3.
//
// A path is derived from interfaces, addresses, routes and facts, and each of these counts its generations: a path from an
// older one is made again when it is next asked for. So only the facts are state.

import { assert } from '../../core/assert.ts';
import { sipHash } from '../../core/siphash.ts';
import type { StateReader, StateWriter } from '../../core/state.ts';
import {
  ADDRESS_WORDS,
  type Address,
  assign,
  equal,
  hash,
  isAny,
  isIp4,
  isLinkLocal,
  isLoopback,
  isMulticast,
} from '../address.ts';
import type { Addresses } from '../autoconf/addresses.ts';
import { Errno } from '../errno.ts';
import { ANY_IFACE, LOOPBACK_IFACE, type Paths as PathsContract } from '../ip.ts';
import type { Limits } from '../limits.ts';
import { type Interfaces, IP4_MTU_MIN, IP6_MTU_MIN, PACKET_BYTES_MAX } from '../link/interfaces.ts';
import { type NextHops, NO_NEXT_HOPS } from '../link/next-hops.ts';
import { Random } from '../random.ts';
import { Purpose, type Shared } from '../shared.ts';
import { PathFacts } from './path-facts.ts';
import type { Routes } from './routes.ts';
import { Scope, scopeOf, selectSource } from './source-address.ts';

/** How a packet reaches its next hop: a neighbour, a group of them, or this host itself. */
export const PathKind = { Unicast: 0, Group: 1, Local: 2 } as const;
export type PathKind = (typeof PathKind)[keyof typeof PathKind];

/**
 * The smallest MTU that is believed of IPv4: what routers report below it is met by letting them cut (RFC 1191 §3 allows
 * down to 68, which would let anybody who guesses make every packet tiny).
 */
export const IP4_PMTU_MIN = 552;

const PATHS_START = 64; // a power of two
const NO_ONE = -1;
const STALE = -1;
const FLOW_MASK = 0xfffff;

/** Who knows which routers advertised the prefix of an address: RFC 6724 §5 rule 5.5. */
export interface Advertisers {
  hasAdvertised(a: number, router: Address): boolean;
}

/** The destination cache. */
export class Paths implements PathsContract {
  private readonly shared: Shared;
  private readonly interfaces: Interfaces;
  private readonly addresses: Addresses;
  private readonly routes: Routes;
  private readonly facts: PathFacts;
  private readonly pathsMax: number;
  private readonly random: Random; // its key only
  private readonly words = new Int32Array(2 * ADDRESS_WORDS);
  private hops: NextHops = NO_NEXT_HOPS;
  private advertisers: Advertisers = { hasAdvertised: () => false };
  private capacity = 0;
  private used = 0;
  private hand = 0; // the next one to be reused once all are in use
  private last = 0;
  private generation = -1;
  private version = 0;
  // What was asked for.
  private wanted = new Int32Array(0); // source, ANY among them
  private target = new Int32Array(0);
  private wantedIface = new Uint16Array(0);
  // What it came to.
  private source = new Int32Array(0);
  private hop = new Int32Array(0);
  private iface = new Uint16Array(0);
  private kind = new Uint8Array(0);
  private mtu = new Int32Array(0);
  private pmtu = new Int32Array(0); // 0: as `mtu`
  private pmtuUntil = new Float64Array(0);
  private isCut = new Uint8Array(0);
  private flow = new Int32Array(0);
  private stamp = new Int32Array(0);
  private next = new Int32Array(0);
  private heads = new Int32Array(0);
  // Views of the columns, made once, so that handing out an address allocates nothing.
  private sources: Address[] = [];
  private targets: Address[] = [];
  private hopViews: Address[] = [];

  constructor(shared: Shared, limits: Limits, interfaces: Interfaces, addresses: Addresses, routes: Routes) {
    this.shared = shared;
    this.interfaces = interfaces;
    this.addresses = addresses;
    this.routes = routes;
    this.facts = new PathFacts(shared, limits);
    this.random = new Random(shared.secret, Purpose.Flow);
    this.pathsMax = 1 << (31 - Math.clz32(Math.max(PATHS_START, limits.pathsMax)));
    this.resize(PATHS_START);
  }

  setNextHops(hops: NextHops): void {
    this.hops = hops;
  }

  setAdvertisers(advertisers: Advertisers): void {
    this.advertisers = advertisers;
  }

  find(source: Address, target: Address, iface: number): number {
    const generation = this.interfaces.generation + this.addresses.generation + this.routes.generation;
    if (generation !== this.generation) {
      this.generation = generation;
      this.version = (this.version + 1) & 0x7fffffff;
    }
    const { last } = this;
    if (this.stamp[last] === this.version && this.isKey(last, source, target, iface)) return last;
    const h = hashOf(source, target) & (this.capacity - 1);
    let p = this.heads[h]!;
    while (p !== NO_ONE && !this.isKey(p, source, target, iface)) p = this.next[p]!;
    if (p === NO_ONE) return this.make(source, target, iface);
    if (this.stamp[p] !== this.version) {
      const code = this.resolve(p);
      if (code < 0) return code;
    }
    this.last = p;
    return p;
  }

  sourceOf(path: number): Address {
    return this.sources[path]!;
  }

  /** Not to be kept or written, as `sourceOf`. */
  targetOf(path: number): Address {
    return this.targets[path]!;
  }

  /** The neighbour that the packets are handed to; of meaning for `PathKind.Unicast`. */
  hopOf(path: number): Address {
    return this.hopViews[path]!;
  }

  ifaceOf(path: number): number {
    return this.iface[path]!;
  }

  kindOf(path: number): PathKind {
    return this.kind[path] as PathKind;
  }

  mtuOf(path: number): number {
    const pmtu = this.pmtu[path]!;
    return pmtu !== 0 && this.shared.nowUs < this.pmtuUntil[path]! ? pmtu : this.mtu[path]!;
  }

  superOf(path: number): number {
    if (this.kind[path] === PathKind.Group || !this.interfaces.get(this.iface[path]!)!.takesOffload)
      return this.mtuOf(path);
    if (this.kind[path] === PathKind.Local) return this.mtu[path]!;
    // A super-frame does not wait for a neighbour.
    const n = this.hops.find(this.iface[path]!, this.hopViews[path]!);
    return n >= 0 && this.hops.isUsable(n) ? PACKET_BYTES_MAX : this.mtuOf(path);
  }

  /** True if packets must not ask routers to leave them whole: the path's real MTU is below what is believed. */
  mayCut(path: number): boolean {
    return this.isCut[path] === 1 && this.shared.nowUs < this.pmtuUntil[path]!;
  }

  /** The flow label of packets with these ports (both as one number, 0 if there are none), 20 bits. RFC 6437 §3. */
  flowOf(path: number, ports: number): number {
    let h = Math.imul(this.flow[path]! ^ ports, 0x85ebca6b);
    h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
    return (h ^ (h >>> 16)) & FLOW_MASK;
  }

  confirm(path: number): void {
    if (this.kind[path] !== PathKind.Unicast) return;
    const n = this.hops.find(this.iface[path]!, this.hopViews[path]!);
    if (n >= 0) this.hops.confirm(n);
  }

  doubt(path: number): void {
    if (this.kind[path] !== PathKind.Unicast) return;
    const n = this.hops.find(this.iface[path]!, this.hopViews[path]!);
    if (n >= 0) this.hops.doubt?.(n);
  }

  /** The MTU of an interface's link, whatever was learned about paths: what an MSS is announced by, RFC 6691 §2. */
  linkMtuOf(iface: number): number {
    return this.interfaces.get(iface)?.linkMtuBytes ?? IP4_MTU_MIN;
  }

  /**
   * Somebody said "too big" about a packet from `source` to `target`, and whoever sent it found that credible. True if the
   * path's MTU is lower now. RFC 8201 §4: never below 1280, and never up. RFC 1191 §3: nothing below 68 is believed.
   */
  lowerMtu(source: Address, target: Address, iface: number, mtuBytes: number): boolean {
    const is4 = isIp4(target);
    if (mtuBytes < (is4 ? IP4_MTU_MIN : IP6_MTU_MIN)) return false;
    const path = this.find(source, target, iface);
    // RFC 8201 §4: of a group's paths the narrowest counts. IPv4 routers say nothing about groups.
    if (path < 0 || this.kind[path] === PathKind.Local || mtuBytes >= this.mtuOf(path)) return false;
    if (is4 && this.kind[path] === PathKind.Group) return false;
    const mayCut = is4 && mtuBytes < IP4_PMTU_MIN;
    this.facts.setMtu(target, this.iface[path]!, mayCut ? Math.min(IP4_PMTU_MIN, this.mtu[path]!) : mtuBytes, mayCut);
    this.invalidate();
    return true;
  }

  /** A packet of `mtuBytes` passed from `source` to `target`, for certain: at least so much is believed for ten minutes. */
  raiseMtu(source: Address, target: Address, iface: number, mtuBytes: number): void {
    const path = this.find(source, target, iface);
    if (path < 0 || this.kind[path] !== PathKind.Unicast || mtuBytes > this.mtu[path]!) return;
    const isKnown = this.pmtu[path] !== 0 && this.shared.nowUs < this.pmtuUntil[path]!;
    if (isKnown && mtuBytes <= this.pmtu[path]!) return;
    this.facts.setMtu(target, this.iface[path]!, mtuBytes, false);
    this.invalidate();
  }

  /** The longest packet that the path may be probed with: what link and route take; 0 where routers may cut what is too long. */
  probeLimitOf(path: number): number {
    return this.mayCut(path) ? 0 : this.mtu[path]!;
  }

  /**
   * A router said that `target` is better reached by `gateway` (or is on the link itself, if they are the same). True if that
   * is taken: `from` is the target's first hop now, and `gateway` is on the link. RFC 1122 §3.2.2.2, RFC 4861 §8.1 and §8.3.
   */
  redirect(iface: number, target: Address, gateway: Address, from: Address): boolean {
    if (isIp4(target) !== isIp4(gateway) || isAny(gateway) || isMulticast(gateway) || isMulticast(target)) return false;
    const route = this.routes.lookup(target, iface);
    if (route < 0 || !this.routes.hasGateway(route) || this.routes.ifaceOf(route) !== iface) return false;
    const fact = this.facts.find(target, iface);
    const isRedirected = fact >= 0 && this.facts.hasGateway(fact);
    const now = isRedirected ? this.facts.gatewayOf(fact) : this.routes.gatewayOf(route);
    if (!equal(now, from) || this.addresses.isOurs(gateway, ANY_IFACE)) return false;
    const isNear = equal(target, gateway) || isLinkLocal(gateway) || this.routes.isOnLink(gateway, iface);
    if (!isNear || this.addresses.isBroadcast(gateway, iface)) return false;
    this.facts.setGateway(target, iface, gateway);
    this.invalidate();
    return true;
  }

  /** A next hop does not answer any more: redirects to it are forgotten, and other routers are looked for. RFC 4861 §7.3.3 */
  gatewayGone(iface: number, gateway: Address): void {
    this.facts.forgetGateway(iface, gateway);
    this.invalidate();
  }

  /** Makes every path be looked up again, as when a router became reachable. */
  invalidate(): void {
    this.version = (this.version + 1) & 0x7fffffff;
  }

  save(state: StateWriter): void {
    this.facts.save(state);
  }

  load(state: StateReader): void {
    this.facts.load(state);
    this.invalidate();
  }

  private make(source: Address, target: Address, iface: number): number {
    if (this.used === this.capacity && this.capacity < this.pathsMax) this.resize(2 * this.capacity);
    let p = this.used;
    if (p < this.capacity) this.used++;
    else {
      p = this.hand;
      this.hand = (p + 1) & (this.capacity - 1);
      this.unlink(p);
    }
    const w = p * ADDRESS_WORDS;
    for (let i = 0; i < ADDRESS_WORDS; i++) {
      this.wanted[w + i] = source[i]!;
      this.target[w + i] = target[i]!;
    }
    this.wantedIface[p] = iface;
    this.link(p);
    const code = this.resolve(p);
    if (code < 0) return code;
    this.last = p;
    return p;
  }

  /** Looks path `p` up: 0 or a negative errno. */
  private resolve(p: number): number {
    this.stamp[p] = STALE;
    const code = this.route(p);
    if (code < 0) return this.fail(p, code);
    const iface = this.iface[p]!;
    const one = this.interfaces.get(iface)!;
    if (!one.isUp) return this.fail(p, -Errno.ENETDOWN);
    if (!isIp4(this.targets[p]!) && !one.carriesIp6) return this.fail(p, -Errno.ENETUNREACH);
    const fact = this.kind[p] !== PathKind.Local ? this.facts.find(this.targets[p]!, iface) : NO_ONE;
    const pmtu = fact >= 0 ? this.facts.mtuOf(fact) : 0;
    this.pmtu[p] = pmtu < this.mtu[p]! ? pmtu : 0;
    this.pmtuUntil[p] = fact >= 0 ? this.facts.untilUs(fact) : 0;
    this.isCut[p] = fact >= 0 && this.facts.mayCut(fact) ? 1 : 0;
    const found = this.chooseSource(p);
    if (found === 0) this.flow[p] = this.keyed(this.sources[p]!, this.targets[p]!);
    return found;
  }

  /** Interface, next hop and kind. `stamp` says whether the answer may be kept. */
  private route(p: number): number {
    const target = this.targets[p]!;
    const wanted = this.wantedIface[p]!;
    const source = this.wantedSource(p);
    const isFree = isAny(source);
    if (isAny(target) || (!isFree && isIp4(source) !== isIp4(target)) || isMulticast(source)) return -Errno.EINVAL;
    this.stamp[p] = this.version;
    assign(this.hopViews[p]!, target);
    const isNear = scopeOf(target) === Scope.Interface || isLoopback(target);
    if (isNear || this.addresses.isOurs(target, isLinkLocal(target) ? wanted : ANY_IFACE)) {
      return this.settle(p, LOOPBACK_IFACE, PathKind.Local);
    }
    if (isLoopback(source)) return -Errno.EINVAL; // RFC 1122 §3.2.1.3 (g): never outside of the host
    if (isMulticast(target) || this.addresses.isBroadcast(target, wanted)) return this.routeGroup(p);
    if (isLinkLocal(target) && !isIp4(target)) {
      const iface = this.zoneOf(p);
      return iface === ANY_IFACE ? -Errno.EINVAL : this.settle(p, iface, PathKind.Unicast);
    }
    return this.routeUnicast(p);
  }

  private routeUnicast(p: number): number {
    const target = this.targets[p]!;
    const route = this.routes.lookup(target, this.wantedIface[p]!);
    if (route < 0) return -Errno.ENETUNREACH;
    const iface = this.routes.ifaceOf(route);
    if (this.routes.isDoubtful(route)) this.stamp[p] = STALE; // its router may be another's turn next time
    if (this.routes.hasGateway(route)) {
      const fact = this.facts.find(target, iface);
      const isRedirected = fact >= 0 && this.facts.hasGateway(fact);
      assign(this.hopViews[p]!, isRedirected ? this.facts.gatewayOf(fact) : this.routes.gatewayOf(route));
    }
    const code = this.settle(p, iface, PathKind.Unicast);
    const mtu = this.routes.mtuOf(route);
    if (code === 0 && mtu !== 0)
      this.mtu[p] = Math.max(isIp4(target) ? IP4_MTU_MIN : IP6_MTU_MIN, Math.min(mtu, this.mtu[p]!));
    return code;
  }

  /** RFC 1122 §3.3.1.1: a group is on the link that was asked for, or the source's, or the route's, or the first one. */
  private routeGroup(p: number): number {
    const target = this.targets[p]!;
    let iface = this.zoneOf(p);
    if (iface === ANY_IFACE) {
      const route = this.routes.lookup(target, ANY_IFACE);
      if (route >= 0) iface = this.routes.ifaceOf(route);
    }
    if (iface === ANY_IFACE) {
      const first = this.interfaces
        .all()
        .find((one) => !one.isLoopback && one.isUp && (isIp4(target) || one.carriesIp6));
      if (first) iface = first.number;
    }
    return iface === ANY_IFACE ? -Errno.ENETUNREACH : this.settle(p, iface, PathKind.Group);
  }

  /** RFC 4007 §6: the zone that was asked for, or the source address's, or the only one there is. */
  private zoneOf(p: number): number {
    if (this.wantedIface[p] !== ANY_IFACE) return this.wantedIface[p]!;
    const source = this.wantedSource(p);
    const a = isAny(source) ? NO_ONE : this.addresses.find(source, ANY_IFACE);
    if (a >= 0 && this.addresses.find(source, this.addresses.ifaceOf(a)) === a) return this.addresses.ifaceOf(a);
    const links = this.interfaces.all().filter((one) => !one.isLoopback && one.isUp);
    return links.length === 1 ? links[0]!.number : ANY_IFACE;
  }

  private settle(p: number, iface: number, kind: PathKind): number {
    const one = this.interfaces.get(iface);
    if (!one) return -Errno.EINVAL;
    this.iface[p] = iface;
    this.kind[p] = kind;
    this.mtu[p] = one.linkMtuBytes;
    return 0;
  }

  private chooseSource(p: number): number {
    const { addresses } = this;
    const source = this.wantedSource(p);
    const target = this.targets[p]!;
    const to = this.sources[p]!;
    const kind = this.kind[p];
    if (!isAny(source)) {
      assign(to, source);
      const isOurs = addresses.isOurs(
        source,
        isLinkLocal(source) && kind !== PathKind.Local ? this.iface[p]! : ANY_IFACE,
      );
      return isOurs || this.interfaces.get(this.iface[p]!)!.acceptsAny ? 0 : this.fail(p, -Errno.EADDRNOTAVAIL);
    }
    if (kind === PathKind.Local && addresses.find(target, ANY_IFACE) >= 0) {
      assign(to, target); // RFC 6724 §5 rule 1
      return 0;
    }
    const hop = this.hopViews[p]!;
    const a = selectSource(addresses, target, this.iface[p]!, (one) => this.advertisers.hasAdvertised(one, hop));
    if (a >= 0) {
      assign(to, addresses.addressOf(a));
      return 0;
    }
    // RFC 1122 §3.2.1.3 (a): a host that has no address yet says so, to all on its link.
    if (kind !== PathKind.Group || !isIp4(target)) return this.fail(p, -Errno.EADDRNOTAVAIL);
    to.fill(0);
    to[2] = 0xffff;
    return 0;
  }

  /** RFC 6437 §3: nobody may guess the labels of others, so they come from a keyed hash of the addresses. */
  private keyed(source: Address, target: Address): number {
    this.words.set(source);
    this.words.set(target, ADDRESS_WORDS);
    return sipHash(this.random.key, this.words, 0, 2 * ADDRESS_WORDS);
  }

  private fail(p: number, code: number): number {
    this.stamp[p] = STALE;
    return code;
  }

  private wantedSource(p: number): Address {
    return this.wanted.subarray(p * ADDRESS_WORDS, (p + 1) * ADDRESS_WORDS);
  }

  private isKey(p: number, source: Address, target: Address, iface: number): boolean {
    const w = p * ADDRESS_WORDS;
    const t = this.target;
    const s = this.wanted;
    return (
      t[w + 3] === target[3] &&
      s[w + 3] === source[3] &&
      t[w + 2] === target[2] &&
      s[w + 2] === source[2] &&
      t[w + 1] === target[1] &&
      s[w + 1] === source[1] &&
      t[w] === target[0] &&
      s[w] === source[0] &&
      this.wantedIface[p] === iface
    );
  }

  private link(p: number): void {
    const h = hashOf(this.wantedSource(p), this.targets[p]!) & (this.capacity - 1);
    this.next[p] = this.heads[h]!;
    this.heads[h] = p;
  }

  private unlink(p: number): void {
    const h = hashOf(this.wantedSource(p), this.targets[p]!) & (this.capacity - 1);
    let before = this.heads[h]!;
    if (before === p) {
      this.heads[h] = this.next[p]!;
      return;
    }
    while (this.next[before] !== p) before = this.next[before]!;
    this.next[before] = this.next[p]!;
  }

  private resize(capacity: number): void {
    assert(capacity <= this.pathsMax, 'paths are bounded');
    const words = capacity * ADDRESS_WORDS;
    this.wanted = copied(this.wanted, new Int32Array(words));
    this.target = copied(this.target, new Int32Array(words));
    this.source = copied(this.source, new Int32Array(words));
    this.hop = copied(this.hop, new Int32Array(words));
    this.wantedIface = copied(this.wantedIface, new Uint16Array(capacity));
    this.iface = copied(this.iface, new Uint16Array(capacity));
    this.kind = copied(this.kind, new Uint8Array(capacity));
    this.isCut = copied(this.isCut, new Uint8Array(capacity));
    this.flow = copied(this.flow, new Int32Array(capacity));
    this.mtu = copied(this.mtu, new Int32Array(capacity));
    this.pmtu = copied(this.pmtu, new Int32Array(capacity));
    this.pmtuUntil = copied(this.pmtuUntil, new Float64Array(capacity));
    this.stamp = copied(this.stamp, new Int32Array(capacity).fill(STALE));
    this.next = new Int32Array(capacity).fill(NO_ONE);
    this.heads = new Int32Array(capacity).fill(NO_ONE);
    this.capacity = capacity;
    this.sources = views(this.source);
    this.targets = views(this.target);
    this.hopViews = views(this.hop);
    for (let p = 0; p < this.used; p++) this.link(p);
  }
}

const hashOf = (source: Address, target: Address): number => hash(target) ^ Math.imul(hash(source), 0x9e3779b1);

const views = (words: Int32Array): Address[] =>
  Array.from({ length: words.length / ADDRESS_WORDS }, (_, i) =>
    words.subarray(i * ADDRESS_WORDS, (i + 1) * ADDRESS_WORDS),
  );

function copied<T extends Uint8Array | Uint16Array | Int32Array | Float64Array>(from: T, to: T): T {
  to.set(from);
  return to;
}
