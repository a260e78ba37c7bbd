// What a host takes from router advertisements: RFC 4861 §6.3.4, RFC 4191, RFC 8106; and the default routers themselves.

import type { StateReader, StateWriter } from '../../core/state.ts';
import { NEVER, US_PER_MS, US_PER_S } from '../../core/time.ts';
import { NdpOption } from '../../wire/icmp6.ts';
import { ADDRESS_WORDS, type Address, ANY, equal, isLinkLocal, isMulticast, read6 } from '../address.ts';
import type { Limits } from '../limits.ts';
import { type Interfaces, IP6_MTU_MIN, type NetworkInterface } from '../link/interfaces.ts';
import { type NdpOptions, PREFIX_OPTION_BYTES, ROUTE_INFO } from '../link/ndp-options.ts';
import { NO_NEIGHBOR } from '../link/neighbor-table.ts';
import type { Neighbors } from '../link/neighbors.ts';
import { loadAddress } from '../multicast/source-set.ts';
import { RouteOrigin, RoutePreference, type Routes } from '../net/routes.ts';
import type { Packet } from '../packet.ts';
import { Random } from '../random.ts';
import { Purpose, type Shared } from '../shared.ts';
import { AutoconfEvent, type AutoconfEvents } from './autoconf-events.ts';
import type { DnsOptions } from './dns-options.ts';
import { loadTime } from './load-time.ts';
import type { Prefix } from './slaac.ts';

/** RFC 4861 §6.2.1: nobody may advertise more than an hour. */
const REACHABLE_US_MAX = 3600 * US_PER_S;
/** RFC 4861 §6.3.4: the reachable time is drawn anew every few hours. */
const REDRAW_US = 2 * 3600 * US_PER_S;
/**
 * Deviates from RFC 4861 §6.3.4: shorter times than these are taken as these, because anybody on the link could make us
 * flood it with solicitations.
 */
const REACHABLE_US_MIN = 100 * US_PER_MS;
const RETRANS_US_MIN = 10 * US_PER_MS;
const INFINITE = 0xffffffff;
/** Metric of what routers advertise, behind anything set by hand. */
const METRIC = 1024;

const FLAG_MANAGED = 0x80;
const FLAG_OTHER = 0x40;
const FLAG_ON_LINK = 0x80;
const FLAG_AUTONOMOUS = 0x40;

/** Takes autonomous prefixes. */
export interface PrefixUser {
  prefixAdvertised(iface: NetworkInterface, prefix: Prefix, router: Address): void;
}

interface Router {
  readonly iface: number;
  readonly address: Address;
  untilUs: number;
}

/** The default router list, and what advertisements set. Prefixes and routes are in the routing table. */
export class Routers {
  private readonly shared: Shared;
  private readonly interfaces: Interfaces;
  private readonly routes: Routes;
  private readonly neighbors: Neighbors;
  private readonly dns: DnsOptions;
  private readonly events: AutoconfEvents;
  private readonly limits: Limits;
  private readonly random: Random;
  private list: Router[] = [];
  private readonly flags = new Map<number, number>(); // M and O by interface
  private redrawUs = NEVER;
  private readonly address: Address = new Int32Array(ADDRESS_WORDS);

  constructor(
    shared: Shared,
    interfaces: Interfaces,
    routes: Routes,
    neighbors: Neighbors,
    dns: DnsOptions,
    events: AutoconfEvents,
    limits: Limits,
  ) {
    this.shared = shared;
    this.interfaces = interfaces;
    this.routes = routes;
    this.neighbors = neighbors;
    this.dns = dns;
    this.events = events;
    this.limits = limits;
    this.random = new Random(shared.secret, Purpose.Router);
  }

  /** Default routers, first known first. */
  all(): readonly { readonly iface: number; readonly address: Address; readonly untilUs: number }[] {
    return this.list;
  }

  has(iface: number, address: Address): boolean {
    return this.find(iface, address) !== undefined;
  }

  /** Draws the reachable time of an interface: 0.5 … 1.5 of the base, RFC 4861 §6.3.2. */
  drawReachable(iface: NetworkInterface): void {
    iface.reachableUs = this.random.between(iface.baseReachableUs / 2, (iface.baseReachableUs * 3) / 2);
    if (this.redrawUs === NEVER) this.redrawUs = this.shared.nowUs + REDRAW_US;
  }

  /** A valid router advertisement whose options were scanned. True if its sender may be used as default router. */
  receive(iface: NetworkInterface, packet: Packet, options: NdpOptions, user: PrefixUser): boolean {
    const { view } = this.shared;
    const { at } = packet;
    const lifetimeUs = view.getUint16(at + 6) * US_PER_S;
    this.setFlags(iface.number, view.getUint8(at + 5));
    this.setVariables(iface, at, options);
    this.setRouter(iface.number, packet.source, lifetimeUs, preferenceOf(view.getUint8(at + 5)));
    this.learnMac(iface.number, packet.source, options);
    this.readPrefixes(iface, packet.source, options, user);
    this.readRoutes(iface.number, packet.source, options);
    const { Dns, DnsSearch } = NdpOption;
    for (let o = options.next(Dns, 0, 24); o !== 0; o = options.next(Dns, o, 24)) {
      this.dns.receiveServers(iface.number, o, view.getUint8(o + 1) << 3);
    }
    for (let o = options.next(DnsSearch, 0, 16); o !== 0; o = options.next(DnsSearch, o, 16)) {
      this.dns.receiveDomains(iface.number, o, view.getUint8(o + 1) << 3);
    }
    return lifetimeUs > 0;
  }

  /** The neighbour is a host now: RFC 4861 §7.2.5. All that went by it goes elsewhere. */
  remove(iface: number, address: Address): void {
    const gone = this.find(iface, address);
    if (gone) {
      this.list.splice(this.list.indexOf(gone), 1);
      this.events.push(AutoconfEvent.RouterChange, iface);
    }
    for (const r of this.routes.ids()) {
      if (this.routes.originOf(r) !== RouteOrigin.Router || this.routes.ifaceOf(r) !== iface) continue;
      if (equal(this.routes.gatewayOf(r), address)) this.routes.remove(r);
    }
  }

  /** Forgets all that an interface's routers said. */
  forget(iface: number): void {
    this.list = this.list.filter((one) => one.iface !== iface);
    this.flags.delete(iface);
    for (const r of this.routes.ids()) {
      if (this.routes.originOf(r) === RouteOrigin.Router && this.routes.ifaceOf(r) === iface) this.routes.remove(r);
    }
  }

  deadlineUs(): number {
    let earliestUs = this.redrawUs;
    for (const one of this.list) earliestUs = Math.min(earliestUs, one.untilUs);
    return earliestUs;
  }

  expire(): void {
    const { nowUs } = this.shared;
    for (const one of [...this.list]) if (one.untilUs <= nowUs) this.end(one);
    if (this.redrawUs > nowUs) return;
    this.redrawUs = NEVER;
    for (const iface of this.interfaces.all()) this.drawReachable(iface);
  }

  save(state: StateWriter): void {
    this.random.save(state);
    state.number(this.redrawUs).number(this.list.length);
    for (const one of this.list) state.number(one.iface).column(one.address).number(one.untilUs);
    state.number(this.flags.size);
    for (const [iface, flags] of this.flags) state.number(iface).number(flags);
  }

  load(state: StateReader): void {
    this.random.load(state);
    this.redrawUs = loadTime(state);
    this.list = [];
    this.flags.clear();
    const routers = state.integer(0, this.limits.routersMax);
    for (let i = 0; i < routers; i++) {
      this.list.push({ iface: state.integer(1, 65535), address: loadAddress(state), untilUs: loadTime(state) });
    }
    const flags = state.integer(0, 65535);
    for (let i = 0; i < flags; i++) this.flags.set(state.integer(1, 65535), state.integer(0, 3));
  }

  private find(iface: number, address: Address): Router | undefined {
    return this.list.find((one) => one.iface === iface && equal(one.address, address));
  }

  /** Hands M and O up when they change; what they ask for is DHCPv6's. */
  private setFlags(iface: number, bits: number): void {
    const flags = ((bits & FLAG_MANAGED) !== 0 ? 1 : 0) | ((bits & FLAG_OTHER) !== 0 ? 2 : 0);
    if (this.flags.get(iface) === flags) return;
    this.flags.set(iface, flags);
    this.events.push(AutoconfEvent.RaFlags, iface, -1, flags);
  }

  /** §6.3.4: 0 means that the router does not say. */
  private setVariables(iface: NetworkInterface, at: number, options: NdpOptions): void {
    const { view } = this.shared;
    const hopLimit = view.getUint8(at + 4);
    const reachableUs = within(view.getUint32(at + 8), REACHABLE_US_MIN);
    const retransUs = within(view.getUint32(at + 12), RETRANS_US_MIN);
    if (hopLimit !== 0) iface.curHopLimit = hopLimit;
    if (retransUs !== 0) iface.retransUs = retransUs;
    if (reachableUs !== 0 && reachableUs !== iface.baseReachableUs) {
      iface.baseReachableUs = reachableUs;
      this.drawReachable(iface);
    }
    if (options.mtu === 0) return;
    const mtuBytes = view.getUint32(options.mtu + 4);
    if (mtuBytes >= IP6_MTU_MIN && mtuBytes <= iface.mtuBytes) iface.linkMtuBytes = mtuBytes;
  }

  private setRouter(iface: number, address: Address, lifetimeUs: number, preference: number): void {
    const known = this.find(iface, address);
    const untilUs = this.shared.nowUs + lifetimeUs;
    if (lifetimeUs === 0) {
      if (known) this.end(known);
      return;
    }
    if (known) known.untilUs = untilUs;
    else {
      if (this.list.length >= this.limits.routersMax) return;
      this.list.push({ iface, address: Int32Array.from(address), untilUs });
      this.events.push(AutoconfEvent.RouterChange, iface);
    }
    this.addRoute(iface, ANY, 0, address, untilUs, preference);
  }

  /** Only the default route goes: the router may still be on the way to what it told in particular. */
  private end(router: Router): void {
    this.list.splice(this.list.indexOf(router), 1);
    this.routes.remove(this.routes.find(ANY, 0, router.address, router.iface, RouteOrigin.Router));
    this.events.push(AutoconfEvent.RouterChange, router.iface);
  }

  /** §6.3.4: its hardware address, and that it is a router, whatever its lifetime. */
  private learnMac(iface: number, address: Address, options: NdpOptions): void {
    const n =
      options.sourceMac !== 0
        ? this.neighbors.learn(iface, address, options.sourceMac)
        : this.neighbors.lookup(iface, address);
    if (n !== NO_NEIGHBOR) this.neighbors.setRouter(n, true);
  }

  private readPrefixes(iface: NetworkInterface, router: Address, options: NdpOptions, user: PrefixUser): void {
    const { view } = this.shared;
    const { Prefix: kind } = NdpOption;
    for (let o = options.next(kind, 0, PREFIX_OPTION_BYTES); o !== 0; o = options.next(kind, o, PREFIX_OPTION_BYTES)) {
      const bits = view.getUint8(o + 2);
      const flags = view.getUint8(o + 3);
      if (bits > 128) continue;
      const validUs = lifetime(view.getUint32(o + 4));
      const preferredUs = lifetime(view.getUint32(o + 8));
      const address = new Int32Array(ADDRESS_WORDS);
      read6(view, o + 16, address);
      if (isLinkLocal(address) || isMulticast(address)) continue; // §6.3.4: the link-local prefix is not touched
      if ((flags & FLAG_ON_LINK) !== 0) this.setPrefix(iface.number, address, bits, validUs);
      if ((flags & FLAG_AUTONOMOUS) !== 0)
        user.prefixAdvertised(iface, { address, bits, preferredUs, validUs }, router);
    }
  }

  /** §6.3.4: the prefix list. */
  private setPrefix(iface: number, prefix: Address, bits: number, validUs: number): void {
    this.setRoute(iface, prefix, bits, ANY, validUs, RoutePreference.Medium);
  }

  /** RFC 4191 §2.3, §3.1. */
  private readRoutes(iface: number, router: Address, options: NdpOptions): void {
    const { view } = this.shared;
    for (let o = options.next(ROUTE_INFO, 0, 8); o !== 0; o = options.next(ROUTE_INFO, o, 8)) {
      const bytes = view.getUint8(o + 1) << 3;
      const bits = view.getUint8(o + 2);
      const flags = view.getUint8(o + 3);
      const isReserved = (flags & 0x18) === 0x10; // such an option is ignored
      if (bits > 128 || bytes > 24 || bytes < (bits > 64 ? 24 : bits > 0 ? 16 : 8) || isReserved) continue;
      const { address } = this;
      for (let w = 0; w < ADDRESS_WORDS; w++) address[w] = 4 * w + 8 < bytes ? view.getInt32(o + 8 + 4 * w) : 0;
      this.setRoute(iface, address, bits, router, lifetime(view.getUint32(o + 4)), preferenceOf(flags));
    }
  }

  private setRoute(
    iface: number,
    prefix: Address,
    bits: number,
    gateway: Address,
    validUs: number,
    preference: number,
  ): void {
    const known = this.routes.find(prefix, bits, gateway, iface, RouteOrigin.Router);
    if (validUs === 0) {
      if (known >= 0) this.routes.remove(known);
      return;
    }
    if (known < 0 && this.advertisedCount() >= this.limits.prefixesMax) return;
    this.addRoute(iface, prefix, bits, gateway, this.shared.nowUs + validUs, preference);
  }

  private advertisedCount(): number {
    return this.routes.ids().filter((r) => this.routes.originOf(r) === RouteOrigin.Router).length;
  }

  private addRoute(
    iface: number,
    prefix: Address,
    bits: number,
    gateway: Address,
    expiresUs: number,
    preference: number,
  ): void {
    const origin = RouteOrigin.Router;
    this.routes.add({ prefix, bits, gateway, iface, metric: METRIC, origin, preference, expiresUs });
  }
}

/** Milliseconds of an advertisement as µs, within bounds; 0 stays 0. */
const within = (ms: number, usMin: number): number =>
  ms === 0 ? 0 : Math.min(REACHABLE_US_MAX, Math.max(usMin, ms * US_PER_MS));

/** Seconds of an option as µs; all ones is for ever. */
const lifetime = (seconds: number): number => (seconds === INFINITE ? NEVER : seconds * US_PER_S);

/** RFC 4191 §2.1: two signed bits; the reserved value counts as medium. */
function preferenceOf(flags: number): number {
  const bits = (flags >>> 3) & 3;
  return bits === 1 ? RoutePreference.High : bits === 3 ? RoutePreference.Low : RoutePreference.Medium;
}
