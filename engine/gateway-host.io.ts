// One gateway on a fabric: a stack with its port, the host's sockets, flows, and the servers that guests expect of a router.
//
//   network ◀─ frames ─▶ StackPort ─ Stack ─┬─ Gateway      flows, forwards, rules     ─▶ HostSockets ─▶ the host
//                                           ├─ DhcpService  leases ──names──▶ DnsServer ─▶ HostUpstream ─▶ its name servers
//                                           └─ router advertisements   │
//                                                                      └▶ DIR/leases.json
//
// All of it lives on the fabric's thread and has its turns in the port's.

import { randomBytes } from 'node:crypto';
import type { JoinLease } from '../plug/plug.ts';
import { DhcpService, type DhcpSettings } from '../service/service.ts';
import { advertise, Gateway, type GatewayStack, newGatewayStack } from '../slirp/slirp.ts';
import { type Address, formatAddress, parseAddress, type Stack, StackPort, type StackUser } from '../stack/stack.ts';
import { formatMac } from '../wire/ethernet.ts';
import type { Fabric } from './fabric.io.ts';
import type { GatewayOptions } from './gateway-options.ts';
import { flowsOf, type GatewayParts, gatewayMetrics, gatewayStatusOf, leasesOf } from './gateway-report.ts';
import { type GatewaySettings, gatewaySettings } from './gateway-settings.ts';
import { type OwnedSockets, openHostSockets } from './gateway-sockets.io.ts';
import { addressOf, forwardTable, nameTable } from './gateway-tables.ts';
import type { ForwardTable, GatewayPlace, Metric, NameTable, NetworkGateway } from './gateway-view.ts';
import { hostPlaces } from './host-places.io.ts';
import { LeaseFile } from './lease-file.io.ts';
import { LeaseNews } from './lease-news.ts';
import { NameServer } from './name-server.io.ts';

const LOOK_US = 5_000_000; // between looks at the host's interfaces, while packets come
const SAVE_US = 500_000; // leases that change together are saved together
const REFUSED_US = 10_000_000; // between news of what rules refused

/**
 * Makes a gateway; it is attached by its network. All of this code is loaded only where there is one. Throws `UsageError` for
 * what can never work, `FailedError` where the host refuses a forward.
 */
export const newGateway = (fabric: Fabric, options: GatewayOptions | string, place: GatewayPlace): NetworkGateway =>
  new GatewayHost(fabric, gatewaySettings(options), place);

export type NewGateway = typeof newGateway;

/** It is attached by whoever made it. */
export class GatewayHost implements NetworkGateway, GatewayParts, StackUser {
  readonly number: number;
  readonly settings: GatewaySettings;
  readonly gateway: Gateway;
  readonly dhcp: DhcpService | undefined;
  readonly dns: NameServer | undefined;
  readonly port: StackPort;
  readonly forwards: ForwardTable;
  readonly names: NameTable;
  private readonly fabric: Fabric;
  private readonly made: GatewayStack;
  private readonly stack: Stack;
  private readonly sockets: OwnedSockets;
  private readonly notify: GatewayPlace['notify'];
  private readonly file: LeaseFile | undefined;
  private readonly news = new LeaseNews();
  private readonly programs = new Map<string, number>(); // how many ports of `weft run` have a MAC address's lease
  private lookedUs = 0;
  private refused = 0;
  private refusedUs = Number.NEGATIVE_INFINITY;
  private savedRevision = 0;
  private saveTimer = 0;
  private isClosed = false;

  /** Throws `UsageError` for what can never work, `FailedError` where the host refuses a forward. */
  constructor(fabric: Fabric, settings: GatewaySettings, place: GatewayPlace) {
    const { number, leasesPath, notify } = place;
    this.fabric = fabric;
    this.settings = settings;
    this.number = number;
    this.notify = notify;
    const secret = new Int32Array(new Uint8Array(randomBytes(16)).buffer);
    const made = newGatewayStack({ slab: fabric.slab, secret, nowUs: fabric.nowUs(), network: settings.network });
    this.made = made;
    this.stack = made.stack;
    this.port = new StackPort(made.stack, made.iface, {
      nowUs: () => fabric.nowUs(),
      wake: (port) => fabric.wake(port),
      at: (deadlineUs, act) => fabric.at(deadlineUs, act),
      cancel: (timer) => fabric.cancel(timer),
    });
    this.sockets = openHostSockets(fabric, () => fabric.wake(this.port));
    const path = settings.leasesPath ?? leasesPath;
    this.file = path ? new LeaseFile(path, (line) => notify('gateway', line)) : undefined;
    try {
      this.stack.addUser(this); // first: rules know the host as it is now before they are asked
      this.gateway = this.openGateway(made, place);
      this.dns = this.openDns();
      this.dhcp = this.openDhcp(made);
      this.forwards = forwardTable(this);
      this.names = nameTable(this);
      for (const forward of settings.forwards) this.gateway.addForward(forward);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** For listings: where guests find it. */
  describe(): string {
    const { net4, net6 } = this.settings.network;
    return [net4, net6].flatMap((net) => (net ? [`${formatAddress(net.gateway)}/${net.bits}`] : [])).join(' ');
  }

  status(): object {
    return gatewayStatusOf(this);
  }

  flows(guest: string | undefined): object[] {
    return flowsOf(this, guest === undefined ? undefined : addressOf('guest', guest));
  }

  leases(): object[] {
    return leasesOf(this);
  }

  metrics(): Metric[] {
    return gatewayMetrics(this);
  }

  nowS(): number {
    return Math.floor(Date.now() / 1000);
  }

  /** Whoever is in the network now hears who has the gateway's addresses. */
  announce(): void {
    this.stack.tick(this.fabric.nowUs());
    this.stack.announce();
    advertise(this.made, this.settings.network);
    this.port.nudge();
  }

  /** Addresses for a program of `weft run`; undefined where none are leased, one line where none is left. */
  lease(mac: Uint8Array, name: string, had: readonly string[] = []): JoinLease | string | undefined {
    const { dhcp, settings, programs } = this;
    if (!dhcp) return undefined;
    const station = formatMac(mac);
    const found = dhcp.allot(station, name, addressesOf(had));
    if (!found)
      return `no address is left for '${name}' in the gateway's network; see weft leases, or give it one by --ip`;
    programs.set(station, (programs.get(station) ?? 0) + 1);
    const { net4, net6 } = settings.network;
    const gateways = [net4, net6].flatMap((net) => (net ? [formatAddress(net.gateway)] : []));
    return {
      addresses: found.addresses.map(({ address, bits }) => `${formatAddress(address)}/${bits}`),
      gateways,
      mtu: found.mtuBytes,
      dns: found.dns.map(formatAddress),
      search: [found.domain, ...found.search].filter((domain) => domain !== ''),
      release: () => this.release(station),
    };
  }

  /** Part of a `StackUser`: what is due now and then while packets come. */
  turn(): void {
    const nowUs = this.fabric.nowUs();
    if (this.dhcp && this.dhcp.leases.revision !== this.savedRevision) this.saveSoon();
    if (nowUs - this.lookedUs < LOOK_US) return;
    this.lookedUs = nowUs;
    this.gateway.setHost(hostPlaces());
    this.tellRefused(nowUs);
  }

  deadlineUs(): number {
    return Number.POSITIVE_INFINITY;
  }

  expire(): void {}

  /** Its owner detaches the port in the same turn. Leases are saved, and stay those of whoever has them. */
  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    if (this.saveTimer !== 0) this.fabric.cancel(this.saveTimer);
    if (this.dhcp) this.save(this.dhcp);
    this.dhcp?.close();
    this.dns?.close();
    this.gateway?.close();
    this.sockets.end();
    const { fabric, port, stack } = this;
    if (!fabric.attachmentOf(port)) port.close();
    fabric.at(fabric.nowUs() + 1, () => stack.close()); // when the port is closed
  }

  private openGateway({ stack, iface }: GatewayStack, { portOf }: GatewayPlace): Gateway {
    const { settings, sockets } = this;
    const { network, rules, isRestricted, filtering, nat64, outbound4, outbound6 } = settings;
    const { tcpFlowsMax, udpFlowsMax } = settings;
    this.lookedUs = this.fabric.nowUs();
    return new Gateway({
      stack,
      iface,
      network,
      host: sockets,
      rules,
      isRestricted,
      places: hostPlaces(),
      portOf,
      whoHas: (address) => this.dhcp?.leases.macOf(address) ?? 0,
      caps: {
        ...(tcpFlowsMax === undefined ? {} : { tcpPerGuest: tcpFlowsMax }),
        ...(udpFlowsMax === undefined ? {} : { udpPerGuest: udpFlowsMax }),
      },
      ...(filtering && { filtering }),
      ...(nat64 && { nat64 }),
      ...(outbound4 && { outbound4 }),
      ...(outbound6 && { outbound6 }),
    });
  }

  private openDns(): NameServer | undefined {
    const { fabric, stack, sockets, settings, notify } = this;
    const { net4, net6 } = settings.network;
    if (!net4?.dns && !net6?.dns) return undefined;
    return new NameServer(fabric, stack, sockets, settings, (line) => notify('gateway', line));
  }

  private openDhcp({ stack, iface }: GatewayStack): DhcpService | undefined {
    const { settings, dns, file } = this;
    const { network, pool4, pool6, reservations, leaseSeconds, names } = settings;
    if (!network.hasDhcp) return undefined;
    const taken = new Set(names.map(({ name }) => name.toLowerCase()));
    const dhcp = new DhcpService(stack, iface.number, {
      settings: dhcpSettings(settings),
      nowS: () => this.nowS(),
      leaseS: leaseSeconds,
      reservations,
      isNameTaken: (name) => taken.has(name),
      ...(pool4 && { pool4: { ...pool4, isSequential: true } }),
      ...(pool6 && { pool6: { ...pool6, isSequential: true } }),
      ...(dns && { names: dns }),
    });
    const saved = file?.read();
    const complaint = saved === undefined ? '' : dhcp.leases.load(saved, this.nowS());
    if (complaint !== '') this.notify('gateway', complaint);
    this.savedRevision = dhcp.leases.revision;
    this.news.since(dhcp.leases.list());
    return dhcp;
  }

  private release(station: string): void {
    if (this.isClosed || !this.dhcp) return;
    const count = (this.programs.get(station) ?? 1) - 1;
    if (count > 0) {
      this.programs.set(station, count);
      return;
    }
    this.programs.delete(station);
    this.dhcp.giveBack(station);
    this.saveSoon();
  }

  private saveSoon(): void {
    if (this.saveTimer !== 0 || this.isClosed) return;
    this.saveTimer = this.fabric.at(this.fabric.nowUs() + SAVE_US, () => {
      this.saveTimer = 0;
      if (this.dhcp) this.save(this.dhcp);
    });
  }

  private save({ leases }: DhcpService): void {
    if (leases.revision === this.savedRevision) return;
    this.savedRevision = leases.revision;
    for (const line of this.news.since(leases.list())) this.notify('lease', line);
    this.file?.write(leases.save(this.nowS()));
  }

  private tellRefused(nowUs: number): void {
    const { prohibited } = this.gateway.counters;
    if (prohibited === this.refused || nowUs - this.refusedUs < REFUSED_US) return;
    const count = prohibited - this.refused;
    this.refused = prohibited;
    this.refusedUs = nowUs;
    this.notify('refused', `${count} ${count === 1 ? 'flow' : 'flows'} of guests, by the rules of the gateway`);
  }
}

/** Of `10.0.2.15/24`; what is no address is left out. */
const addressesOf = (texts: readonly string[]): Address[] =>
  texts.flatMap((text) => parseAddress(text.replace(/\/.*/s, '')) ?? []);

/** What guests are told beside their addresses. */
function dhcpSettings({ network, bootFile, bootServer }: GatewaySettings): DhcpSettings {
  const { net4, net6, domain, search, advertisedMtuBytes } = network;
  const dnsOf = (dns: Address | undefined): { dns: readonly Address[] } => ({ dns: dns ? [dns] : [] });
  const boot = bootFile === '' ? {} : { boot: { file: bootFile, ...(bootServer && { server: bootServer }) } };
  return {
    domain,
    search,
    mtuBytes: advertisedMtuBytes,
    ...(net4 && { ip4: { server: net4.gateway, bits: net4.bits, gateway: net4.gateway, ...dnsOf(net4.dns), ...boot } }),
    ...(net6 && { ip6: { ...dnsOf(net6.dns), ...(/^\w+:\/\//.test(bootFile) ? { bootUrl: bootFile } : {}) } }),
  };
}
