// What an interface does by itself: IPv6 autoconfiguration, DHCP of both families, multicast DNS.
//
//   features ─▶ settle ─┬─▶ autoconf   link-local (eth), routers and their prefixes (rd, slaac), temporary addresses (temp)
//                       ├─▶ dhcp4 ─▶ Lease4User ─▶ addresses, routes, MTU
//                       └─▶ dhcp6 ─▶ Lease6User ─▶ addresses     as routers say (M, O) if they are listened to, else at once
//
// Events of autoconf come back through `hear`: an address that is up, one that is a duplicate, a router's M and O.

import type { StateReader, StateWriter } from '../../core/state.ts';
import { type Address, format, ip4Of, isIp4, isLinkLocal, of4 } from '../address.ts';
import { AddressOrigin, AddressState } from '../autoconf/addresses.ts';
import type { AutoconfOptions } from '../autoconf/autoconf.ts';
import { AutoconfEvent, type EventRecord } from '../autoconf/autoconf-events.ts';
import type { NetworkInterface } from '../link/interfaces.ts';
import { linkLocalOf, NO_ADDRESS } from '../link/own-addresses.ts';
import type { Part } from '../shared.ts';
import type { Sockets } from '../socket/sockets.ts';
import { Feature } from './config.ts';
import { Dhcp4Client, Dhcp4State } from './dhcp4-client.ts';
import { Dhcp6Client } from './dhcp6-client.ts';
import type { Lease6 } from './dhcp6-lease.ts';
import { Lease4User, type LeaseTables } from './lease4-user.ts';
import { Lease6User } from './lease6-user.ts';
import { Mdns } from './mdns.ts';
import { SocketDatagrams } from './socket-io.ts';

/** How DHCPv6 runs. */
const Mode6 = { Off: 0, Stateless: 1, Stateful: 2 } as const;
type Mode6 = (typeof Mode6)[keyof typeof Mode6];

// What autoconf was started with, as bits.
const STARTED = 1;
const EUI64 = 2;
const HEARS = 4;
const TEMPORARY = 8;

const FLAG_MANAGED = 1; // of AutoconfEvent.RaFlags
const FLAG_OTHER = 2;
const NAME_BYTES_MAX = 255;

/** Addresses that others gave are news. */
const BY: ReadonlyMap<number, string> = new Map([
  [AddressOrigin.Slaac, 'by router advertisement'],
  [AddressOrigin.Temporary, 'by router advertisement, temporary'],
  [AddressOrigin.Dhcp6, 'by DHCPv6'],
]);

/** Servers and search domains that a client was told. */
export interface ToldNames {
  readonly servers: readonly Address[];
  readonly search: readonly string[];
}

const NO_NAMES: ToldNames = { servers: [], search: [] };

/** One interface's clients. */
export class InterfaceClients implements Part {
  readonly iface: NetworkInterface;
  readonly dhcp4: Dhcp4Client;
  readonly dhcp6: Dhcp6Client;
  readonly mdns: Mdns;
  private readonly tables: LeaseTables;
  private readonly lease4: Lease4User;
  private name = ''; // the host's, complete
  private features = 0;
  private started = 0;
  private raFlags = 0;
  private mode6: Mode6 = Mode6.Off;

  constructor(tables: LeaseTables, sockets: Sockets) {
    const { shared, iface } = tables;
    this.tables = tables;
    this.iface = iface;
    this.lease4 = new Lease4User(tables);
    const io = new SocketDatagrams(sockets);
    const nameOf = (): string => this.name;
    const options = {
      get hostName() {
        return nameOf();
      },
    };
    this.dhcp4 = new Dhcp4Client(shared, iface, io, this.lease4, options);
    this.dhcp6 = new Dhcp6Client(shared, iface, io, new Lease6User(tables), options);
    this.mdns = new Mdns(shared, iface.number, io, '');
  }

  /** The host's name, which servers are told and whose first label is claimed on the link. */
  get fqdn(): string {
    return this.name;
  }

  rename(fqdn: string): void {
    if (fqdn === this.name) return;
    this.name = fqdn;
    this.mdns.rename(fqdn.split('.')[0]!);
    this.claim();
  }

  /** True while answers of a DHCPv4 server come in frames that no socket would get. */
  get awaitsFrames(): boolean {
    const { state } = this.dhcp4;
    return state !== Dhcp4State.Stopped && state !== Dhcp4State.Bound && state !== Dhcp4State.Ip6Only;
  }

  /** Starts and stops what `features` (bits of `Feature`) ask for, on an interface that is up. 0 or a negated errno. */
  settle(features: number): number {
    this.features = features;
    const failed = this.settleAutoconf();
    if (failed < 0) return failed;
    if (features & Feature.Dhcp4) this.dhcp4.start();
    this.settle6();
    this.claim();
    return 0;
  }

  /** Gives the lease back. */
  stopDhcp4(): void {
    this.dhcp4.stop();
    this.tables.namesChanged();
  }

  /** Gives the lease back, in an exchange that goes on for a while. */
  stopDhcp6(): void {
    this.dhcp6.stop();
    this.mode6 = Mode6.Off;
    this.tables.namesChanged();
  }

  /** Forgets what routers said. */
  stopRouters(): void {
    this.raFlags = 0;
    if (this.started === 0) return;
    this.started &= ~(HEARS | TEMPORARY);
    this.tables.autoconf.forgetRouters(this.iface.number);
    this.tables.namesChanged();
  }

  /** Everything ends, before the interface goes down. */
  stop(): void {
    this.stopDhcp6();
    this.dhcp6.stop(); // the exchange that gives the lease back: its first message was sent, and none follows
    this.stopDhcp4();
    if (this.mdns.isStarted) this.mdns.stop();
    this.tables.autoconf.stop(this.iface.number);
    this.started = 0;
    this.raFlags = 0;
  }

  /** Multicast DNS is ready to be asked, whether or not there is a name to claim. */
  openMdns(): Mdns {
    if (!this.mdns.isStarted) this.mdns.start(this.claimed());
    return this.mdns;
  }

  /** One event of autoconf. */
  hear({ kind, a, value }: EventRecord): void {
    switch (kind) {
      case AutoconfEvent.AddressUp:
        this.addressUp(a);
        this.claim();
        return;
      case AutoconfEvent.AddressGone:
        this.claim();
        return;
      case AutoconfEvent.AddressDuplicate:
        this.addressTaken(a);
        return;
      case AutoconfEvent.RaFlags:
        this.raFlags = value;
        this.settle6();
        return;
      case AutoconfEvent.Ip6Disabled:
        this.tell('no IPv6: the address made of the hardware address is in use by another station');
        return;
    }
  }

  /** What DHCPv4 told, while its address is in use. */
  get names4(): ToldNames {
    const { lease } = this.dhcp4;
    if (!lease || !this.lease4.isInUse(lease)) return NO_NAMES;
    return { servers: lease.dnsServers.map((server) => of4(server)), search: lease.search };
  }

  /** What DHCPv6 told, while it is in force. */
  get names6(): ToldNames {
    const lease: Lease6 = this.dhcp6.lease;
    const isInForce = this.mode6 === Mode6.Stateless || (this.mode6 === Mode6.Stateful && lease.addresses.length > 0);
    return isInForce ? { servers: lease.dnsServers, search: lease.search } : NO_NAMES;
  }

  /** Reads what came. */
  poll(): void {
    this.dhcp4.poll();
    this.dhcp6.poll();
    this.mdns.poll();
  }

  deadlineUs(): number {
    return Math.min(this.dhcp4.deadlineUs(), this.dhcp6.deadlineUs(), this.mdns.deadlineUs());
  }

  expire(): void {
    this.dhcp4.expire();
    this.dhcp6.expire();
    this.mdns.expire();
  }

  save(state: StateWriter): void {
    state.section(`stack/interface-clients/${this.iface.number}`, 1);
    state.text(this.name).number(this.features).number(this.started).number(this.raFlags).number(this.mode6);
    for (const part of [this.dhcp4, this.dhcp6, this.mdns]) part.save(state);
  }

  load(state: StateReader): void {
    state.section(`stack/interface-clients/${this.iface.number}`, 1);
    this.name = state.text(NAME_BYTES_MAX);
    this.features = state.integer(0, 255);
    this.started = state.integer(0, STARTED | EUI64 | HEARS | TEMPORARY);
    this.raFlags = state.integer(0, FLAG_MANAGED | FLAG_OTHER);
    this.mode6 = state.integer(Mode6.Off, Mode6.Stateful) as Mode6;
    for (const part of [this.dhcp4, this.dhcp6, this.mdns]) part.load(state);
  }

  private tell(what: string): void {
    this.tables.news.add(`${this.iface.name}: ${what}`);
  }

  /** Autoconf is started, changed or stopped if it is to do something else than it does. */
  private settleAutoconf(): number {
    const { autoconf } = this.tables;
    const { number } = this.iface;
    const wanted = this.iface.carriesIp6 ? startedBy(this.features) : 0;
    const old = this.started;
    if (wanted === old) return 0;
    const isOther = wanted === 0 || (wanted & EUI64) !== (old & EUI64);
    if (old !== 0 && isOther) autoconf.stop(number);
    else if (old & HEARS & ~wanted) this.stopRouters();
    else if (old & TEMPORARY & ~wanted) autoconf.removeFormed(number, [AddressOrigin.Temporary]);
    this.started = wanted;
    return wanted === 0 ? 0 : autoconf.start(number, optionsOf(wanted));
  }

  /** RFC 4862 §5.5.3: what a router asks for begins; what it asks for no more goes on. */
  private settle6(): void {
    const isWanted = (this.features & Feature.Dhcp6) !== 0 && this.iface.carriesIp6;
    const mode = isWanted ? this.wantedMode6() : Mode6.Off;
    if (mode <= this.mode6 || linkLocalOf(this.tables.addresses, this.iface.number) === NO_ADDRESS) return;
    if (this.mode6 !== Mode6.Off) this.dhcp6.stop();
    this.mode6 = mode;
    this.dhcp6.start(mode === Mode6.Stateful);
  }

  private wantedMode6(): Mode6 {
    if ((this.started & HEARS) === 0) return Mode6.Stateful;
    if (this.raFlags & FLAG_MANAGED) return Mode6.Stateful;
    return this.raFlags & FLAG_OTHER ? Mode6.Stateless : Mode6.Off;
  }

  private addressUp(a: number): void {
    const { addresses } = this.tables;
    if (!addresses.isUsable(a)) return; // gone again already
    const address = addresses.addressOf(a);
    const by = BY.get(addresses.originOf(a));
    const { lease } = this.dhcp4;
    if (lease && isIp4(address) && ip4Of(address) === lease.address) this.lease4.addressUp(lease);
    else if (by !== undefined) this.tell(`${format(address)}/${addresses.bitsOf(a)} ${by}`);
    if (!isIp4(address) && isLinkLocal(address)) this.settle6();
  }

  private addressTaken(a: number): void {
    const { addresses } = this.tables;
    if (!addresses.isAddress(a) || addresses.stateOf(a) !== AddressState.Duplicate) return;
    const address = addresses.addressOf(a).slice();
    const origin = addresses.originOf(a);
    this.tell(`${format(address)} is in use by another station`);
    if (origin === AddressOrigin.Dhcp4) this.dhcp4.decline(ip4Of(address));
    else if (origin === AddressOrigin.Dhcp6) this.dhcp6.decline(address);
  }

  /** The name is claimed for the addresses that the interface has now. */
  private claim(): void {
    const addresses = this.claimed();
    if (this.mdns.isStarted || addresses.length > 0) this.mdns.start(addresses);
  }

  private claimed(): Address[] {
    const { addresses } = this.tables;
    if (this.name === '' || !this.iface.isUp) return [];
    const isOurs = (a: number): boolean =>
      addresses.ifaceOf(a) === this.iface.number &&
      addresses.isUsable(a) &&
      addresses.originOf(a) !== AddressOrigin.Temporary;
    return addresses
      .ids()
      .filter(isOurs)
      .map((a) => addresses.addressOf(a).slice());
  }
}

function startedBy(features: number): number {
  const { Eth, Dhcp6, RouterDiscovery, Slaac, Temporary, Eui64 } = Feature;
  if ((features & (Eth | Dhcp6 | RouterDiscovery | Slaac)) === 0) return 0;
  const hears = (features & (RouterDiscovery | Slaac)) !== 0;
  const temporary = hears && (features & Temporary) !== 0;
  return STARTED | (features & Eui64 ? EUI64 : 0) | (hears ? HEARS : 0) | (temporary ? TEMPORARY : 0);
}

const optionsOf = (started: number): AutoconfOptions => ({
  linkLocal: started & EUI64 ? 'eui64' : 'stable',
  slaac: (started & HEARS) !== 0,
  temporary: (started & TEMPORARY) !== 0,
  routerSolicitations: (started & HEARS) !== 0,
});
