// The front of all that a host configures by itself, and of how it finds its neighbours.
//
//   ARP frames ──► arp ──► acd (RFC 5227)      ┐
//   NDP ──► ndp ──► neighbors (RFC 4861 §7)    │     addresses, routes  ◄── what was found
//            ├────► dad (RFC 4862 §5.4)        ├──►  events             ◄── polled by the layers above
//            ├────► routers, slaac, dns        │     interface outputs  ◄── whole frames
//            └────► advertiser (router role)   │
//   MLD, IGMP ──► reporters ◄── multicast      ┘
//
// An address begins tentative, is tested for its uniqueness, and is then preferred, deprecated and removed by its
// lifetimes. Every part has deadlines; this class asks all of them. State: sections stack/neighbors, acd, dad, multicast,
// mld, igmp and autoconf. Every list is bounded by `Limits` or a constant of its file.

import { StateError, type StateReader, type StateWriter } from '../../core/state.ts';
import { NEVER } from '../../core/time.ts';
import { type Address, equal, isIp4 } from '../address.ts';
import { Errno } from '../errno.ts';
import type { Limits } from '../limits.ts';
import { type AddressVerdicts, ConflictDetection } from '../link/acd.ts';
import { Arp } from '../link/arp.ts';
import { ControlFrames } from '../link/control-frames.ts';
import type { Interfaces, NetworkInterface } from '../link/interfaces.ts';
import { Ndp, type RouterMessages } from '../link/ndp.ts';
import type { NdpOptions } from '../link/ndp-options.ts';
import { ALL_NODES, NdpOutput } from '../link/ndp-output.ts';
import { NO_NEIGHBOR } from '../link/neighbor-table.ts';
import { Neighbors } from '../link/neighbors.ts';
import { isAssigned } from '../link/own-addresses.ts';
import { Igmp } from '../multicast/igmp.ts';
import { Mld } from '../multicast/mld.ts';
import { Multicast } from '../multicast/multicast.ts';
import type { Routes } from '../net/routes.ts';
import type { Packet } from '../packet.ts';
import { Random } from '../random.ts';
import { Purpose, type Shared } from '../shared.ts';
import { type Addresses, AddressOrigin, AddressState } from './addresses.ts';
import { type Advertisement, refuse } from './advertisement.ts';
import { AutoconfEvent, AutoconfEvents, type EventRecord } from './autoconf-events.ts';
import { DuplicateDetection } from './dad.ts';
import { DnsOptions } from './dns-options.ts';
import { RouterAdvertiser } from './router-advertiser.ts';
import { RouterSolicitor } from './router-solicitor.ts';
import { type PrefixUser, Routers } from './routers.ts';
import { type AddressMaker, IidKind, type Prefix, Slaac } from './slaac.ts';

/** How an interface configures itself for IPv6. */
export interface AutoconfOptions {
  /** The link-local address and the others: opaque and stable (RFC 7217) or of the hardware address. */
  readonly linkLocal: 'stable' | 'eui64' | 'none';
  /** Makes addresses of advertised prefixes. */
  readonly slaac: boolean;
  /** And temporary ones beside them, RFC 8981. */
  readonly temporary: boolean;
  /** Asks for routers, and takes what they advertise. */
  readonly routerSolicitations: boolean;
}

/** What a host does if nothing else was said. */
export const AUTOCONF: AutoconfOptions = {
  linkLocal: 'stable',
  slaac: true,
  temporary: false,
  routerSolicitations: true,
};

/**
 * Told of redirects: RFC 4861 §8.3. `next` equals `target` if that is on the link. False if `router` is not the first hop to
 * `target` now, which makes the message invalid (§8.1).
 */
export type RedirectHook = (iface: number, router: Address, target: Address, next: Address) => boolean;

const LINK_LOCAL_KINDS = ['stable', 'eui64', 'none'] as const;

/** One per stack. Its parts are open to those who receive packets for them. */
export class Autoconf implements AddressVerdicts, AddressMaker, PrefixUser, RouterMessages {
  readonly neighbors: Neighbors;
  readonly multicast: Multicast;
  readonly arp: Arp;
  readonly ndp: Ndp;
  readonly mld: Mld;
  readonly igmp: Igmp;
  readonly routers: Routers;
  readonly dns: DnsOptions;
  onRedirect: RedirectHook | undefined;
  private readonly shared: Shared;
  private readonly interfaces: Interfaces;
  private readonly addresses: Addresses;
  private readonly events = new AutoconfEvents();
  private readonly conflicts: ConflictDetection;
  private readonly duplicates: DuplicateDetection;
  private readonly output: NdpOutput;
  private readonly slaac: Slaac;
  private readonly solicitor: RouterSolicitor;
  private readonly advertiser: RouterAdvertiser;
  private readonly random: Random; // of solicitations and advertisements
  private readonly started = new Map<number, AutoconfOptions>();
  private readonly disabled = new Set<number>(); // RFC 4862 §5.4.5
  private lifetimesUs = NEVER; // when the next address changes its state by age
  private generation = -1; // of the addresses, when that was computed

  constructor(shared: Shared, interfaces: Interfaces, addresses: Addresses, routes: Routes, limits: Limits) {
    this.shared = shared;
    this.interfaces = interfaces;
    this.addresses = addresses;
    const frames = new ControlFrames(shared);
    const neighbors = new Neighbors(shared, interfaces, limits);
    this.neighbors = neighbors;
    this.multicast = new Multicast(interfaces, limits);
    this.mld = new Mld(shared, interfaces, addresses, frames);
    this.igmp = new Igmp(shared, interfaces, addresses, frames);
    this.mld.isSilent = (iface) => this.disabled.has(iface);
    this.multicast.onChange6 = this.mld.reporter;
    this.multicast.onChange4 = this.igmp.reporter;
    this.conflicts = new ConflictDetection(shared, interfaces, addresses, frames, this);
    this.arp = new Arp(shared, addresses, neighbors, this.conflicts, frames);
    this.output = new NdpOutput(shared, addresses, neighbors, frames);
    neighbors.solicitor4 = this.arp;
    neighbors.solicitor6 = this.output;
    this.duplicates = new DuplicateDetection(shared, interfaces, addresses, this.multicast, this.output, this);
    this.dns = new DnsOptions(shared, this.events);
    this.routers = new Routers(shared, interfaces, routes, neighbors, this.dns, this.events, limits);
    neighbors.onRouterGone = (iface, address) => this.routers.remove(iface, address);
    routes.setUnreachableTest((iface, gateway) => {
      const n = neighbors.lookup(iface, gateway);
      return n !== NO_NEIGHBOR && neighbors.isUnreachable(n);
    });
    this.slaac = new Slaac(shared, addresses, this);
    // Derived, so that it is not the stream that reachable times are drawn from.
    this.random = new Random(new Random(shared.secret, Purpose.Router).key, Purpose.Router);
    this.solicitor = new RouterSolicitor(shared, interfaces, this.output, this.random);
    this.advertiser = new RouterAdvertiser(
      shared,
      interfaces,
      addresses,
      neighbors,
      this.multicast,
      frames,
      this.output,
      this.random,
    );
    this.ndp = new Ndp(shared, interfaces, addresses, neighbors, this.output, this.duplicates, this);
  }

  /**
   * Adds an address: tentative, tested, then preferred; an event tells. Durations in µs from now, NEVER for endless. On
   * loopback it is preferred at once. Its number; -ENETUNREACH if there is no such interface, else as `Addresses.add`.
   */
  addAddress(
    iface: number,
    address: Address,
    bits: number,
    origin: AddressOrigin,
    preferredUs: number,
    validUs: number,
  ): number {
    const { nowUs } = this.shared;
    return this.begin(iface, address, bits, origin, nowUs + preferredUs, nowUs + validUs, false);
  }

  /** Removes an address, whatever its state. */
  removeAddress(a: number): void {
    if (!this.addresses.isAddress(a)) return;
    const iface = this.addresses.ifaceOf(a);
    if (isIp4(this.addresses.addressOf(a))) this.conflicts.forget(a);
    else if (this.addresses.stateOf(a) !== AddressState.Duplicate && !this.isLoopback(iface)) this.duplicates.forget(a);
    this.slaac.forget(a);
    this.addresses.remove(a);
    this.events.push(AutoconfEvent.AddressGone, iface, a);
  }

  /** Configures an interface for IPv6 by itself from now on. 0 or a negative errno. RFC 4862 §5.3. */
  start(number: number, options: AutoconfOptions = AUTOCONF): number {
    const iface = this.interfaces.get(number);
    if (!iface) return -Errno.ENETUNREACH;
    if (iface.isLoopback) return 0;
    this.started.set(number, options);
    this.disabled.delete(number);
    this.routers.drawReachable(iface);
    if (options.linkLocal === 'none') {
      if (options.routerSolicitations && !iface.forwards6) this.solicitor.start(number);
      return 0;
    }
    const a = this.slaac.addLinkLocal(iface, kindOf(options));
    if (a !== -Errno.EADDRINUSE) return Math.min(a, 0);
    // Started again, as after the link was down: RFC 4861 §6.3.7 asks anew.
    if (options.routerSolicitations && !iface.forwards6) this.solicitor.start(number);
    return 0;
  }

  /** Ends it: what was configured by itself is removed, what others added stays. */
  stop(number: number): void {
    if (!this.started.delete(number)) return;
    this.forgetRouters(number);
    this.removeFormed(number, [AddressOrigin.LinkLocal]);
  }

  /** Ends only what routers have to do with: what they said, and the addresses of their prefixes. */
  forgetRouters(number: number): void {
    const options = this.started.get(number);
    if (options) this.started.set(number, { ...options, slaac: false, temporary: false, routerSolicitations: false });
    this.solicitor.stop(number);
    this.routers.forget(number);
    this.dns.forget(number);
    this.removeFormed(number, [AddressOrigin.Slaac, AddressOrigin.Temporary]);
  }

  /** Removes the addresses of an interface that have one of these origins. */
  removeFormed(number: number, origins: readonly number[]): void {
    for (const a of this.addresses.ids()) {
      const isFormed = origins.includes(this.addresses.originOf(a)) && !isIp4(this.addresses.addressOf(a));
      if (this.addresses.ifaceOf(a) === number && isFormed) this.removeAddress(a);
    }
  }

  /** True if IPv6 was given up on an interface: RFC 4862 §5.4.5. */
  isDisabled(iface: number): boolean {
    return this.disabled.has(iface);
  }

  /** Makes an interface a router's that advertises. Undefined, or what is wrong with `ad` in words. RFC 4861 §6.2. */
  advertise(number: number, ad: Advertisement): string | undefined {
    const iface = this.interfaces.get(number);
    if (!iface || iface.isLoopback) return `interface ${number} cannot advertise`;
    const wrong = refuse(ad);
    if (wrong !== undefined) return wrong;
    this.solicitor.stop(number);
    this.advertiser.start(iface, ad);
    return undefined;
  }

  /** The interface ceases to be a router's, as RFC 4861 §6.2.5 asks. */
  ceaseAdvertising(number: number): void {
    const iface = this.interfaces.get(number);
    if (iface) this.advertiser.stop(iface);
  }

  /** Tells everybody on the link where this host is now: after a restore, once for every address. */
  announce(iface: NetworkInterface): void {
    for (const a of this.addresses.ids()) {
      if (this.addresses.ifaceOf(a) !== iface.number || iface.isLoopback || !isAssigned(this.addresses, a)) continue;
      const address = this.addresses.addressOf(a);
      if (isIp4(address)) this.conflicts.announce(a);
      else this.output.advertise(iface, address, ALL_NODES, false); // RFC 4861 §7.2.6
    }
    this.mld.reporter.retell(iface);
    this.igmp.reporter.retell(iface);
  }

  /** The oldest event that was not taken yet. */
  takeEvent(): EventRecord | undefined {
    return this.events.take();
  }

  deadlineUs(): number {
    return Math.min(
      this.neighbors.deadlineUs(),
      this.conflicts.deadlineUs(),
      this.duplicates.deadlineUs(),
      this.lifetimeDeadlineUs(),
      this.slaac.deadlineUs(),
      this.solicitor.deadlineUs(),
      this.routers.deadlineUs(),
      this.dns.deadlineUs(),
      this.advertiser.deadlineUs(),
      this.mld.reporter.deadlineUs(),
      this.igmp.reporter.deadlineUs(),
    );
  }

  expire(): void {
    this.neighbors.expire();
    this.conflicts.expire();
    this.duplicates.expire();
    if (this.slaac.deadlineUs() <= this.shared.nowUs) this.slaac.expire((number) => this.interfaces.get(number));
    if (this.lifetimeDeadlineUs() <= this.shared.nowUs) this.age();
    this.solicitor.expire();
    this.routers.expire();
    this.dns.expire();
    this.advertiser.expire();
    this.mld.reporter.expire();
    this.igmp.reporter.expire();
  }

  save(state: StateWriter): void {
    this.neighbors.save(state);
    this.conflicts.save(state);
    this.duplicates.save(state);
    this.multicast.save(state);
    this.mld.save(state);
    this.igmp.save(state);
    state.section('stack/autoconf', 1);
    this.random.save(state);
    this.events.save(state);
    this.slaac.save(state);
    this.solicitor.save(state);
    this.routers.save(state);
    this.dns.save(state);
    this.advertiser.save(state);
    state.number(this.started.size);
    for (const [iface, options] of this.started) {
      state.number(iface).number(LINK_LOCAL_KINDS.indexOf(options.linkLocal));
      state.boolean(options.slaac).boolean(options.temporary).boolean(options.routerSolicitations);
    }
    state.number(this.disabled.size);
    for (const iface of this.disabled) state.number(iface);
  }

  /** After the interfaces, addresses and routes were loaded. */
  load(state: StateReader): void {
    this.neighbors.load(state);
    this.conflicts.load(state);
    this.duplicates.load(state);
    this.multicast.load(state);
    this.mld.load(state);
    this.igmp.load(state);
    state.section('stack/autoconf', 1);
    this.random.load(state);
    this.events.load(state);
    this.slaac.load(state);
    this.solicitor.load(state);
    this.routers.load(state);
    this.dns.load(state);
    this.advertiser.load(state);
    this.loadStarted(state);
    this.generation = -1;
  }

  /** `AddressVerdicts`: the test is passed. */
  addressUnique(a: number): void {
    const isPreferred = this.addresses.preferredUntilUs(a) > this.shared.nowUs;
    this.addresses.setState(a, isPreferred ? AddressState.Preferred : AddressState.Deprecated);
    const number = this.addresses.ifaceOf(a);
    this.events.push(AutoconfEvent.AddressUp, number, a);
    const iface = this.interfaces.get(number);
    const options = this.started.get(number);
    if (!iface || this.addresses.originOf(a) !== AddressOrigin.LinkLocal || isIp4(this.addresses.addressOf(a))) return;
    this.mld.reporter.retell(iface); // RFC 3590 §4: routers did not believe what came from ::
    if (options?.routerSolicitations && !iface.forwards6) this.solicitor.start(number);
  }

  /** `AddressVerdicts`: RFC 4862 §5.4.5, RFC 7217 §6, RFC 5227 §2.4. */
  addressTaken(a: number, wasInUse: boolean): void {
    const number = this.addresses.ifaceOf(a);
    this.addresses.setState(a, AddressState.Duplicate);
    this.events.push(AutoconfEvent.AddressDuplicate, number, a, wasInUse ? 1 : 0);
    const iface = this.interfaces.get(number);
    const options = this.started.get(number);
    if (!iface || !options || isIp4(this.addresses.addressOf(a))) return;
    if (this.slaac.taken(iface, a, kindOf(options))) return;
    if (this.addresses.originOf(a) === AddressOrigin.LinkLocal) this.disable(number);
  }

  /** `AddressMaker`. */
  addFormed(
    iface: NetworkInterface,
    address: Address,
    origin: AddressOrigin,
    preferredUntilUs: number,
    validUntilUs: number,
    isDelayed: boolean,
  ): number {
    return this.begin(iface.number, address, 64, origin, preferredUntilUs, validUntilUs, isDelayed);
  }

  /** `PrefixUser`. */
  prefixAdvertised(iface: NetworkInterface, prefix: Prefix, router: Address): void {
    const options = this.started.get(iface.number);
    if (options?.slaac) this.slaac.receive(iface, prefix, router, kindOf(options), options.temporary);
  }

  /** `Advertisers` of paths. */
  hasAdvertised(a: number, router: Address): boolean {
    return this.slaac.advertised(a, router);
  }

  /** `RouterMessages`: only interfaces that configure themselves listen to routers. */
  advertised(iface: NetworkInterface, packet: Packet, options: NdpOptions): void {
    if (!this.started.get(iface.number)?.routerSolicitations || this.disabled.has(iface.number)) return;
    // RFC 7559 §2.1: asking ends with a router that is one.
    if (this.routers.receive(iface, packet, options, this)) this.solicitor.stop(iface.number);
  }

  /** `RouterMessages`. */
  solicited(iface: NetworkInterface, packet: Packet, options: NdpOptions): void {
    this.advertiser.solicited(iface, packet, options);
  }

  /** `RouterMessages`: RFC 4861 §8.3. */
  redirected(iface: NetworkInterface, router: Address, target: Address, next: Address, options: NdpOptions): boolean {
    if (!this.onRedirect?.(iface.number, router, target, next)) return false;
    const { targetMac } = options;
    const n =
      targetMac !== 0 ? this.neighbors.learn(iface.number, next, targetMac) : this.neighbors.lookup(iface.number, next);
    if (n !== NO_NEIGHBOR && !equal(next, target)) this.neighbors.setRouter(n, true);
    return true;
  }

  private begin(
    number: number,
    address: Address,
    bits: number,
    origin: AddressOrigin,
    preferredUntilUs: number,
    validUntilUs: number,
    isDelayed: boolean,
  ): number {
    const iface = this.interfaces.get(number);
    if (!iface) return -Errno.ENETUNREACH;
    const isIp6 = !isIp4(address);
    if (isIp6 && this.disabled.has(number)) return -Errno.ENETUNREACH;
    const state = iface.isLoopback ? AddressState.Preferred : AddressState.Tentative;
    const a = this.addresses.add(number, address, bits, state, origin, preferredUntilUs, validUntilUs);
    if (a < 0) return a;
    if (iface.isLoopback) this.events.push(AutoconfEvent.AddressUp, number, a);
    else if (isIp6) this.duplicates.start(a, isDelayed);
    else this.conflicts.start(a);
    return a;
  }

  private disable(number: number): void {
    this.disabled.add(number);
    this.solicitor.stop(number);
    this.routers.forget(number);
    for (const a of this.addresses.ids()) {
      if (this.addresses.ifaceOf(a) !== number || isIp4(this.addresses.addressOf(a))) continue;
      if (this.addresses.stateOf(a) !== AddressState.Duplicate) this.removeAddress(a);
    }
    this.events.push(AutoconfEvent.Ip6Disabled, number);
  }

  private isLoopback(number: number): boolean {
    return this.interfaces.get(number)?.isLoopback !== false;
  }

  private lifetimeDeadlineUs(): number {
    if (this.generation === this.addresses.generation) return this.lifetimesUs;
    this.generation = this.addresses.generation;
    this.lifetimesUs = NEVER;
    for (const a of this.addresses.ids()) {
      const isPreferred = this.addresses.stateOf(a) === AddressState.Preferred;
      const ageUs = isPreferred ? this.addresses.preferredUntilUs(a) : NEVER;
      this.lifetimesUs = Math.min(this.lifetimesUs, ageUs, this.addresses.validUntilUs(a));
    }
    return this.lifetimesUs;
  }

  /** RFC 4862 §5.5.4: preferred, deprecated, gone. */
  private age(): void {
    const { nowUs } = this.shared;
    for (const a of this.addresses.ids()) {
      if (this.addresses.validUntilUs(a) <= nowUs) this.removeAddress(a);
      else if (this.addresses.stateOf(a) === AddressState.Preferred && this.addresses.preferredUntilUs(a) <= nowUs) {
        this.addresses.setState(a, AddressState.Deprecated);
      }
    }
  }

  private loadStarted(state: StateReader): void {
    this.started.clear();
    this.disabled.clear();
    const interfacesMax = this.interfaces.all().length;
    const count = state.integer(0, interfacesMax);
    for (let i = 0; i < count; i++) {
      const iface = state.integer(1, interfacesMax);
      const linkLocal = LINK_LOCAL_KINDS[state.integer(0, 2)]!;
      const options = { linkLocal, slaac: state.boolean(), temporary: state.boolean() };
      this.started.set(iface, { ...options, routerSolicitations: state.boolean() });
    }
    const disabled = state.integer(0, interfacesMax);
    for (let i = 0; i < disabled; i++) {
      const iface = state.integer(1, interfacesMax);
      if (this.disabled.has(iface)) throw new StateError('an interface disabled twice');
      this.disabled.add(iface);
    }
  }
}

const kindOf = (options: AutoconfOptions): IidKind => (options.linkLocal === 'eui64' ? IidKind.Eui64 : IidKind.Stable);
