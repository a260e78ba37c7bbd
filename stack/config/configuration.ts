// Binds one stack to what configures it.
//
//   apply(line) ─▶ InterfaceSetup ─▶ InterfaceClients: autoconf, DHCPv4, DHCPv6, multicast DNS
//                                         │ servers and search domains
//   lookup(name) ─▶ Resolver ◀────────────┴──── static, DHCPv4, DHCPv6, router advertisements: in this order
//                     └─▶ MulticastNames for `.local`
//
// An interface that no line was applied to is left alone. The clients speak through sockets and are polled in `react`, after
// every turn of the stack. Of names only the operator's are kept here: those that were told are asked for anew whenever
// something changed, so that nothing can be left behind. State: sections stack/configuration, stack/interface-*, and the clients'.

import { UsageError } from '../../core/assert.ts';
import { Drop } from '../../core/drop.ts';
import type { StateReader, StateWriter } from '../../core/state.ts';
import { type Address, ANY, equal, isLinkLocal, parse } from '../address.ts';
import { AddressState } from '../autoconf/addresses.ts';
import { Errno, errnoName } from '../errno.ts';
import { ANY_IFACE } from '../ip.ts';
import type { NetworkInterface } from '../link/interfaces.ts';
import { isVerified } from '../net/ip4-input.ts';
import { sortTargets } from '../net/source-address.ts';
import type { Part } from '../shared.ts';
import { SocketError } from '../socket/socket-handle.ts';
import type { Stack } from '../stack.ts';
import { type Config, parseConfig } from './config.ts';
import { applyConfig } from './config-apply.ts';
import { isToClient } from './dhcp4-frame.ts';
import { refuseHardware } from './interface-options.ts';
import { InterfaceSetup } from './interface-setup.ts';
import { MulticastNames } from './multicast-names.ts';
import { News } from './news.ts';
import { Resolver } from './resolver.ts';
import { ResolverApi } from './resolver-api.ts';
import { Resolved } from './resolver-reply.ts';
import { SocketDatagrams, SocketStreams } from './socket-io.ts';
import { type Server, searchTold, serversTold } from './told-names.ts';

/** One per stack. */
export class Configuration implements Part {
  readonly resolver: Resolver;
  /** The resolver with promises. Who asks it wakes the stack's ports. */
  readonly names: ResolverApi;
  /** False while no frame can be for a DHCPv4 client alone: `hear` need not be asked. */
  hearsDhcp = false;
  private readonly stack: Stack;
  private readonly wake: () => void;
  private readonly setups = new Map<number, InterfaceSetup>();
  private readonly multicast: MulticastNames;
  private readonly reports = new News();
  private areNamesOld = false;
  private zones: readonly Server[] = [];

  /** @param wake there is something to send, outside of a turn of the stack. */
  constructor(stack: Stack, wake: () => void) {
    this.stack = stack;
    this.wake = wake;
    this.multicast = new MulticastNames(() => this.multicastLinks());
    const zoneOf = (target: Address): number => this.zoneOf(target);
    this.resolver = new Resolver(stack.shared, {
      io: new SocketDatagrams(stack.sockets, zoneOf),
      streams: new SocketStreams(stack.sockets, zoneOf),
      multicast: this.multicast,
      sort: (addresses) => this.sort(addresses),
    });
    this.names = new ResolverApi(this.resolver);
  }

  /**
   * Carries out a line (config.ts) on an interface: `iface`, or the one that the line names, or the only one. Throws `UsageError`:
   * what is wrong with the line, or the step that failed; the steps before it are done.
   */
  apply(line: string, iface: number = ANY_IFACE): void {
    const config = parseConfig(line);
    const setup = this.setupOf(this.interfaceOf(config, iface));
    refuseHardware(config, setup.iface);
    if (config.fqdn !== '') setup.clients.rename(config.fqdn);
    const error = applyConfig(config, setup) ?? setup.settle();
    if (!setup.iface.isUp) this.multicast.forget(setup.iface.number);
    this.refresh();
    this.wake();
    if (error) {
      const { step, errno } = error;
      throw new UsageError(`configuration of ${setup.iface.name}: '${step}' failed with ${errnoName(errno)}`);
    }
  }

  /** The lines that are in force, one an interface that a line was applied to; or that of `iface`. */
  describe(iface: number = ANY_IFACE): string {
    const chosen = [...this.setups.values()].filter((one) => iface === ANY_IFACE || one.iface.number === iface);
    return chosen.map((one) => one.describe()).join('\n');
  }

  /** True if `news` would give something. */
  get hasNews(): boolean {
    return !this.reports.isEmpty;
  }

  /** What happened since the last call, a line each: `eth0: 10.0.0.5/24 by DHCP from 10.0.0.1, 1 h`. */
  news(): string[] {
    return this.reports.take();
  }

  /** Names and addresses that no server is asked for, in the form of /etc/hosts. */
  setHosts(text: string): void {
    this.resolver.setHosts(text);
  }

  /** The name that a DHCPv4 server gave the host on an interface, or empty. */
  hostNameOf(iface: number): string {
    return this.setups.get(iface)?.clients.dhcp4.lease?.hostName ?? '';
  }

  /** Addresses of a name or of an address's text, best first (RFC 6724 §6); none if there are none. Rejects with `SocketError`. */
  async lookup(name: string): Promise<readonly Address[]> {
    const literal = parse(name);
    if (literal) return [literal];
    const asked = this.names.lookup(name);
    this.wake();
    const answer = await asked;
    if (typeof answer === 'number') throw failed(answer, name);
    if (answer.status === Resolved.Timeout) throw failed(Errno.ETIMEDOUT, name);
    if (answer.status === Resolved.Failed) throw failed(Errno.EHOSTUNREACH, name);
    return answer.addresses;
  }

  /** True if the frame was a DHCPv4 client's alone. `offload` as in `Stack.receive`. */
  hear(iface: number, at: number, length: number, offload: number): boolean {
    const setup = this.setups.get(iface);
    if (!setup?.iface.isUp || !isToClient(this.stack.shared.view, at, length)) return false;
    const isTrusted = isVerified(this.stack.shared.view, offload);
    if (setup.clients.dhcp4.receiveFrame(iface, at, length, isTrusted) !== Drop.None) return false;
    this.areNamesOld = true;
    this.updateHears();
    return true;
  }

  /** Takes in what happened in the turn. */
  react(): void {
    const { autoconf } = this.stack;
    for (let event = autoconf.takeEvent(); event; event = autoconf.takeEvent()) {
      this.setups.get(event.iface)?.clients.hear(event);
      this.areNamesOld = true;
    }
    for (const { clients } of this.setups.values()) clients.poll();
    this.resolver.poll();
    this.names.settle();
    this.refresh();
  }

  deadlineUs(): number {
    let deadlineUs = this.resolver.deadlineUs();
    for (const { clients } of this.setups.values()) deadlineUs = Math.min(deadlineUs, clients.deadlineUs());
    return deadlineUs;
  }

  expire(): void {
    const { nowUs } = this.stack.shared;
    for (const { clients } of this.setups.values()) if (clients.deadlineUs() <= nowUs) clients.expire();
    if (this.resolver.deadlineUs() <= nowUs) this.resolver.expire();
    this.refresh();
  }

  save(state: StateWriter): void {
    state.section('stack/configuration', 1);
    this.reports.save(state);
    this.multicast.save(state);
    state.boolean(this.areNamesOld).number(this.setups.size);
    for (const number of this.setups.keys()) state.number(number);
    for (const setup of this.setups.values()) setup.save(state);
    this.resolver.save(state);
  }

  load(state: StateReader): void {
    state.section('stack/configuration', 1);
    this.reports.load(state);
    this.multicast.load(state);
    this.areNamesOld = state.boolean();
    const interfacesMax = this.stack.interfaces.all().length;
    const numbers = Array.from({ length: state.integer(0, interfacesMax) }, () => state.integer(2, interfacesMax));
    this.setups.clear();
    for (const number of numbers) this.setupOf(this.stack.interfaces.get(number)!).load(state);
    this.resolver.load(state);
    this.zones = serversTold(this.setups.values(), this.stack.autoconf.dns);
    this.updateHears();
  }

  /** Those who wait for an answer get ECONNABORTED. */
  close(): void {
    this.names.close();
  }

  private setupOf(iface: NetworkInterface): InterfaceSetup {
    const known = this.setups.get(iface.number);
    if (known) return known;
    const { shared, addresses, routes, autoconf, sockets } = this.stack;
    const namesChanged = (): void => {
      this.areNamesOld = true;
    };
    const made = new InterfaceSetup(
      { shared, iface, addresses, routes, autoconf, news: this.reports, namesChanged },
      sockets,
    );
    this.setups.set(iface.number, made);
    return made;
  }

  private interfaceOf(config: Config, number: number): NetworkInterface {
    const links = this.stack.interfaces.all().filter((one) => !one.isLoopback);
    const isNamed = number !== ANY_IFACE || config.iface !== '' || config.ifindex !== 0;
    const fitting = links.filter(
      (one) =>
        (number === ANY_IFACE || one.number === number) &&
        (config.iface === '' || one.name === config.iface) &&
        (config.ifindex === 0 || one.number === config.ifindex),
    );
    const [found] = fitting;
    if (found && fitting.length === 1) return found;
    const all = links.map((one) => `${one.name} (ifindex=${one.number})`).join(', ') || 'none';
    throw new UsageError(
      `configuration ${isNamed ? 'of an interface that is not there' : 'of which interface?'}; there are: ${all}`,
    );
  }

  /** The resolver gets the servers and domains that are known now. Others than before make its cache worthless. */
  private refresh(): void {
    this.updateHears();
    if (!this.areNamesOld) return;
    this.areNamesOld = false;
    this.zones = serversTold(this.setups.values(), this.stack.autoconf.dns);
    const servers = this.zones.map((one) => one.address);
    const search = searchTold(this.setups.values(), this.stack.autoconf.dns);
    const { config } = this.resolver;
    const isSame =
      search.join() === config.search.join() &&
      servers.length === config.servers.length &&
      servers.every((server, i) => equal(server, config.servers[i]!));
    if (!isSame) this.resolver.configure({ servers, search });
  }

  private updateHears(): void {
    this.hearsDhcp = false;
    for (const { clients } of this.setups.values()) if (clients.awaitsFrames) this.hearsDhcp = true;
  }

  private zoneOf(target: Address): number {
    if (!isLinkLocal(target)) return ANY_IFACE;
    return this.zones.find((one) => equal(one.address, target))?.iface ?? ANY_IFACE;
  }

  private multicastLinks(): { number: number; mdns: ReturnType<InterfaceSetup['clients']['openMdns']> }[] {
    return [...this.setups.values()]
      .filter((one) => one.iface.isUp)
      .map(({ iface, clients }) => ({ number: iface.number, mdns: clients.openMdns() }));
  }

  /** RFC 6724 §6, with the source that each would be reached from. */
  private sort(targets: Address[]): void {
    const { paths, addresses } = this.stack;
    const candidates = targets.map((target) => {
      const path = paths.find(ANY, target, ANY_IFACE);
      if (path < 0) return { target, source: undefined, isDeprecated: false };
      const source = paths.sourceOf(path).slice();
      const a = addresses.find(source, ANY_IFACE);
      return { target, source, isDeprecated: a >= 0 && addresses.stateOf(a) === AddressState.Deprecated };
    });
    for (const [i, { target }] of sortTargets(candidates).entries()) targets[i] = target;
  }
}

const failed = (errno: number, name: string): SocketError =>
  new SocketError(errno, 'getaddrinfo', { address: name, port: 0 });
