// Uses what a DHCPv4 server leased: the address at once, to be looked for first (RFC 2131 §3.1.5, RFC 5227); routes, MTU and names
// once it is in use. What is installed is found again by its origin in the tables, so that nothing of it is kept here.

import type { Route4 } from '../../wire/dhcp4.ts';
import { equal, format, isAny, of4, samePrefix } from '../address.ts';
import { type Addresses, AddressOrigin } from '../autoconf/addresses.ts';
import type { Autoconf } from '../autoconf/autoconf.ts';
import { errnoName } from '../errno.ts';
import { IP6_MTU_MIN, type NetworkInterface } from '../link/interfaces.ts';
import { RouteOrigin, type Routes } from '../net/routes.ts';
import type { Shared } from '../shared.ts';
import type { Dhcp4Host } from './dhcp4-client.ts';
import type { Lease4 } from './dhcp4-lease.ts';
import { durationText, type News } from './news.ts';

const IP4_BITS = 96;
/** What an operator says himself comes first. */
const METRIC = 100;

/** The parts of a stack that leases are put into. `mtuBytes`: the configured MTU. */
export interface LeaseTables {
  readonly shared: Shared;
  readonly iface: NetworkInterface;
  readonly addresses: Addresses;
  readonly routes: Routes;
  readonly autoconf: Autoconf;
  readonly news: News;
  readonly mtuBytes: number;
  /** Servers or search domains may be others now. */
  namesChanged(): void;
}

/** One interface's. */
export class Lease4User implements Dhcp4Host {
  private readonly tables: LeaseTables;

  constructor(tables: LeaseTables) {
    this.tables = tables;
  }

  use(lease: Lease4): void {
    const { addresses, iface } = this.tables;
    let a = addresses.find(of4(lease.address), iface.number);
    if (a >= 0 && addresses.originOf(a) === AddressOrigin.Dhcp4) {
      if (addresses.bitsOf(a) === lease.bits) addresses.setLifetimes(a, lease.expiresUs, lease.expiresUs);
      else {
        this.tables.autoconf.removeAddress(a);
        a = -1;
      }
    }
    if (a < 0) this.add(lease);
    if (this.isInUse(lease)) this.install(lease);
  }

  forget(lease: Lease4): void {
    const { addresses, autoconf, iface, news, routes } = this.tables;
    for (const r of this.installed()) routes.remove(r);
    if (lease.mtuBytes !== 0) iface.linkMtuBytes = this.tables.mtuBytes;
    const a = addresses.find(of4(lease.address), iface.number);
    if (a >= 0 && addresses.originOf(a) === AddressOrigin.Dhcp4) autoconf.removeAddress(a);
    news.add(`${iface.name}: the lease of ${format(of4(lease.address))} is over`);
    this.tables.namesChanged();
  }

  /** The address was tested and is in use now. */
  addressUp(lease: Lease4): void {
    const { iface, news, shared } = this.tables;
    const left = durationText(lease.expiresUs - shared.nowUs);
    news.add(`${iface.name}: ${addressText(lease)} by DHCP from ${format(of4(lease.server))}, ${left}`);
    this.install(lease);
  }

  /** True if the lease's address passed its test, or is the host's anyway. */
  isInUse(lease: Lease4): boolean {
    const { addresses, iface } = this.tables;
    const a = addresses.find(of4(lease.address), iface.number);
    return a >= 0 && addresses.isUsable(a);
  }

  private add(lease: Lease4): void {
    const { autoconf, iface, news, shared } = this.tables;
    const leftUs = lease.expiresUs - shared.nowUs;
    const a = autoconf.addAddress(iface.number, of4(lease.address), lease.bits, AddressOrigin.Dhcp4, leftUs, leftUs);
    if (a < 0) news.add(`${iface.name}: ${addressText(lease)} by DHCP cannot be used: ${errnoName(a)}`);
  }

  private install(lease: Lease4): void {
    const { iface, mtuBytes, routes } = this.tables;
    const wanted = routesOf(lease);
    for (const r of this.installed()) if (!wanted.some((route) => this.isSame(r, route))) routes.remove(r);
    for (const { prefix, bits, gateway } of wanted) {
      const how = { iface: iface.number, metric: METRIC, origin: RouteOrigin.Dhcp4 };
      routes.add({ prefix: of4(prefix), bits, ...(gateway === 0 ? {} : { gateway: of4(gateway) }), ...how });
    }
    // Deviates from RFC 2132 §5.1: an MTU below 1280 would end IPv6 on the whole link, so it is raised to that.
    if (lease.mtuBytes !== 0) iface.linkMtuBytes = Math.min(mtuBytes, Math.max(IP6_MTU_MIN, lease.mtuBytes));
    this.tables.namesChanged();
  }

  private installed(): number[] {
    const { routes, iface } = this.tables;
    const isOurs = (r: number): boolean =>
      routes.originOf(r) === RouteOrigin.Dhcp4 && routes.ifaceOf(r) === iface.number;
    return routes.ids().filter(isOurs);
  }

  private isSame(r: number, { prefix, bits, gateway }: Route4): boolean {
    const { routes } = this.tables;
    const hop = routes.gatewayOf(r);
    const isHop = gateway === 0 ? isAny(hop) : equal(hop, of4(gateway));
    return isHop && routes.bitsOf(r) === bits && samePrefix(routes.prefixOf(r), of4(prefix), bits + IP4_BITS);
  }
}

/** The lease's routes; a gateway outside of the subnet is on the link by a route of its own, as RFC 3442 has it for some. */
function routesOf(lease: Lease4): Route4[] {
  const direct: Route4[] = [];
  const isCovered = (gateway: number, prefix: number, bits: number): boolean =>
    samePrefix(of4(gateway), of4(prefix), bits + IP4_BITS);
  for (const { gateway } of lease.routes) {
    const isOnLink =
      gateway === 0 ||
      isCovered(gateway, lease.address, lease.bits) ||
      [...lease.routes, ...direct].some((r) => r.gateway === 0 && isCovered(gateway, r.prefix, r.bits));
    if (!isOnLink) direct.push({ prefix: gateway, bits: 32, gateway: 0 });
  }
  return [...direct, ...lease.routes];
}

const addressText = (lease: Lease4): string => `${format(of4(lease.address))}/${lease.bits}`;
