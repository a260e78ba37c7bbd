// One interface as the operator configured it. Static addresses and gateways are in the stack's tables and known there by their
// origin; what follows from features is done by `InterfaceClients`, in `settle` after a whole line was read.

import type { StateReader, StateWriter } from '../../core/state.ts';
import { NEVER } from '../../core/time.ts';
import { ADDRESS_WORDS, type Address, ANY, ANY4, equal, isAny, isIp4 } from '../address.ts';
import { AddressOrigin } from '../autoconf/addresses.ts';
import { Errno } from '../errno.ts';
import { IP4_MTU_MIN, type NetworkInterface } from '../link/interfaces.ts';
import { RouteOrigin } from '../net/routes.ts';
import type { Sockets } from '../socket/sockets.ts';
import { type Config, Feature, formatConfig, type Prefix } from './config.ts';
import type { ApplyError, Configurable, LinkChange } from './config-apply.ts';
import { InterfaceClients } from './interface-clients.ts';
import type { LeaseTables } from './lease4-user.ts';

// Ours: of each list.
const NAMES_MAX = 16;
const NAME_BYTES_MAX = 255;

const { Dhcp4, Dhcp6, RouterDiscovery, Slaac, Static } = Feature;

/** One interface. */
export class InterfaceSetup implements Configurable {
  readonly iface: NetworkInterface;
  readonly clients: InterfaceClients;
  servers: Address[] = [];
  domains: string[] = [];
  private readonly tables: LeaseTables;
  private features = 0;
  private mtu: number; // configured, or what the hardware takes

  constructor(tables: Omit<LeaseTables, 'mtuBytes'>, sockets: Sockets) {
    const mtuOf = (): number => this.mtu;
    this.tables = {
      ...tables,
      get mtuBytes() {
        return mtuOf();
      },
    };
    this.iface = tables.iface;
    this.mtu = tables.iface.mtuBytes;
    this.clients = new InterfaceClients(this.tables, sockets);
  }

  setLink({ isUp, mac, mtuBytes }: LinkChange): number {
    const { iface } = this;
    if (mac && !mac.every((byte, i) => byte === iface.mac[i])) return -Errno.EOPNOTSUPP;
    if (mtuBytes !== undefined) {
      if (mtuBytes < IP4_MTU_MIN || mtuBytes > iface.mtuBytes) return -Errno.EINVAL;
      this.mtu = mtuBytes;
      iface.linkMtuBytes = mtuBytes;
    }
    if (isUp === false) {
      this.features &= ~Feature.Eth;
      if (iface.isUp) this.clients.stop();
      iface.isUp = false;
    } else if (isUp) {
      this.features |= Feature.Eth;
      iface.isUp = true;
    }
    return 0;
  }

  setAddress({ address, bits }: Prefix, isAdded: boolean): number {
    const { addresses, autoconf } = this.tables;
    const { number } = this.iface;
    const a = addresses.find(address, number);
    const isStatic = a >= 0 && addresses.originOf(a) === AddressOrigin.Static;
    if (!isAdded && !isStatic) return -Errno.EADDRNOTAVAIL;
    if (isAdded && isStatic && addresses.bitsOf(a) === bits) return 0;
    // What was leased or formed becomes the operator's; another prefix replaces the one before.
    if (a >= 0) autoconf.removeAddress(a);
    return isAdded ? Math.min(0, autoconf.addAddress(number, address, bits, AddressOrigin.Static, NEVER, NEVER)) : 0;
  }

  setGateway(gateway: Address, isAdded: boolean): number {
    const { routes } = this.tables;
    const route = { prefix: isIp4(gateway) ? ANY4 : ANY, bits: 0, gateway, iface: this.iface.number };
    if (isAdded) return Math.min(0, routes.add({ ...route, origin: RouteOrigin.Static }));
    const r = routes.find(route.prefix, 0, gateway, this.iface.number, RouteOrigin.Static);
    routes.remove(r);
    return r < 0 ? -Errno.EADDRNOTAVAIL : 0;
  }

  setName(what: Address | string, isAdded: boolean): number {
    this.tables.namesChanged();
    if (typeof what === 'string') return change(this.domains, what, isAdded, (one) => one === what);
    return change(this.servers, what, isAdded, (one) => equal(one, what));
  }

  /** Takes note; `settle` carries it out. What is switched off ends at once, so that it can begin anew in the same line. */
  setFeature(feature: Feature, isOn: boolean): number {
    if (isOn) {
      this.features |= feature;
      return 0;
    }
    this.features &= ~feature;
    if (feature === Dhcp4) this.clients.stopDhcp4();
    if (feature === Dhcp6) this.clients.stopDhcp6();
    const hears = RouterDiscovery | Slaac;
    if (feature & hears && (this.features & hears) === 0) this.clients.stopRouters();
    return 0;
  }

  forgetStatic(): number {
    for (const prefix of this.staticAddresses()) this.setAddress(prefix, false);
    for (const gateway of this.gateways()) this.setGateway(gateway, false);
    this.servers = [];
    this.domains = [];
    this.tables.namesChanged();
    return 0;
  }

  /** Begins what was asked for. */
  settle(): ApplyError | undefined {
    if (!this.iface.isUp) return undefined;
    const errno = this.clients.settle(this.features);
    return errno < 0 ? { step: 'eth', errno } : undefined;
  }

  /** The line that makes an interface like this one. */
  describe(): string {
    const { iface, clients, features, mtu } = this;
    const nothing = { features: 0, addresses: [], gateways: [], dnsServers: [], domains: [] };
    const config: Config = {
      stack: '',
      vnl: '',
      iface: iface.name,
      ifindex: 0,
      fqdn: clients.fqdn,
      mac: iface.mac,
      mtuBytes: mtu,
      isDebug: false,
      undo: nothing,
      set: {
        features: features & ~Static,
        addresses: this.staticAddresses(),
        gateways: this.gateways(),
        dnsServers: this.servers,
        domains: this.domains,
      },
    };
    return formatConfig(config);
  }

  save(state: StateWriter): void {
    state.section(`stack/interface-setup/${this.iface.number}`, 1);
    state.number(this.features).number(this.mtu).number(this.servers.length);
    for (const server of this.servers) state.column(server);
    state.number(this.domains.length);
    for (const domain of this.domains) state.text(domain);
    this.clients.save(state);
  }

  load(state: StateReader): void {
    state.section(`stack/interface-setup/${this.iface.number}`, 1);
    this.features = state.integer(0, 255);
    this.mtu = state.integer(IP4_MTU_MIN, this.iface.mtuBytes);
    this.servers = Array.from({ length: state.integer(0, NAMES_MAX) }, () => {
      const server = new Int32Array(ADDRESS_WORDS);
      state.into(server);
      return server;
    });
    this.domains = Array.from({ length: state.integer(0, NAMES_MAX) }, () => state.text(NAME_BYTES_MAX));
    this.clients.load(state);
  }

  private staticAddresses(): Prefix[] {
    const { addresses } = this.tables;
    return addresses
      .ids()
      .filter((a) => addresses.ifaceOf(a) === this.iface.number && addresses.originOf(a) === AddressOrigin.Static)
      .map((a) => ({ address: addresses.addressOf(a).slice(), bits: addresses.bitsOf(a) }));
  }

  private gateways(): Address[] {
    const { routes } = this.tables;
    const isDefault = (r: number): boolean =>
      routes.ifaceOf(r) === this.iface.number &&
      routes.originOf(r) === RouteOrigin.Static &&
      isAny(routes.prefixOf(r)) &&
      routes.bitsOf(r) === 0 &&
      routes.hasGateway(r);
    return routes
      .ids()
      .filter(isDefault)
      .map((r) => routes.gatewayOf(r).slice());
  }
}

/** Adds to a list, or takes away. 0 or a negated errno. */
function change<T>(list: T[], what: T, isAdded: boolean, isSame: (one: T) => boolean): number {
  const at = list.findIndex(isSame);
  if (!isAdded) return at < 0 || list.splice(at, 1).length === 0 ? -Errno.EADDRNOTAVAIL : 0;
  if (at >= 0) return 0;
  if (list.length >= NAMES_MAX) return -Errno.ENOBUFS;
  list.push(what);
  return 0;
}
