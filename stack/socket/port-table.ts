// Who has which local port: binding, conflicts and ephemeral ports (RFC 6056), for UDP and for the identifiers of echo sockets.

import type { StateReader, StateWriter } from '../../core/state.ts';
import type { Address } from '../address.ts';
import { ANY4, isAny, isBroadcast, isIp4, isLinkLocal, isMulticast } from '../address.ts';
import { Errno } from '../errno.ts';
import { Random } from '../random.ts';
import { Purpose } from '../shared.ts';
import { EndpointChains } from './endpoint-chains.ts';
import type { Endpoints } from './endpoints.ts';
import { EndpointFlag, Field } from './endpoints.ts';

/** What the addresses of this host are: the network layer's to know. */
export interface Hosts {
  /** True if packets to the address are received here; `iface` may be ANY_IFACE. Loopback addresses are ours. */
  isOurs(address: Address, iface: number): boolean;
  /** True for 255.255.255.255 and the broadcast address of a subnet; `iface` may be ANY_IFACE. */
  isBroadcast(address: Address, iface: number): boolean;
}

// RFC 6056 §3.2 asks for as many ports as can be; below are those that services like to listen on.
const EPHEMERAL_FIRST = 32_768;
const EPHEMERAL_LAST = 65_535;
const PORT_MAX = 65_535;

/** True if `a` is an address that an endpoint of the family may bind, connect or send to; -errno if not. */
export function checkFamily(endpoints: Endpoints, e: number, a: Address): number {
  if (isIp4(a)) {
    return endpoints.isIp6(e) && endpoints.has(e, EndpointFlag.V6Only) ? -Errno.EINVAL : 0;
  }
  return endpoints.isIp6(e) || isAny(a) ? 0 : -Errno.EAFNOSUPPORT;
}

/** The bound endpoints of one kind, by port. */
export class PortTable {
  private readonly endpoints: Endpoints;
  private readonly hosts: Hosts;
  private readonly random: Random;
  readonly chains: EndpointChains;
  private readonly own: Address = new Int32Array(4);
  private readonly theirs: Address = new Int32Array(4);

  /** @param kind whose ports, a value of `Kind`. */
  constructor(endpoints: Endpoints, hosts: Hosts, kind: number) {
    this.endpoints = endpoints;
    this.hosts = hosts;
    // A key of its own beside TCP's, so that ports seen of one tell nothing about the other's.
    this.random = new Random(new Random(endpoints.shared.secret, Purpose.Port).key, kind);
    this.chains = new EndpointChains(endpoints, kind, Field.LocalPort);
  }

  /** bind(2): 0, -EINVAL (bound already, scope missing, port out of range), -EAFNOSUPPORT, -EADDRNOTAVAIL, -EADDRINUSE. */
  bind(e: number, address: Address, port: number, iface: number): number {
    const { endpoints } = this;
    if (endpoints.has(e, EndpointFlag.Bound) || port < 0 || port > PORT_MAX) return -Errno.EINVAL;
    const refused = this.checkAddress(e, address, iface);
    if (refused < 0) return refused;
    const local = !endpoints.isIp6(e) && isAny(address) ? ANY4 : address;
    if (port !== 0 && this.isTaken(e, local, port)) return -Errno.EADDRINUSE;
    const chosen = port === 0 ? this.choose(e, local) : port;
    if (chosen < 0) return chosen;
    endpoints.setAddress(e, Field.Local, local);
    if (!isIp4(local) && isLinkLocal(local)) endpoints.set(e, Field.Scope, iface || endpoints.get(e, Field.Device));
    this.enter(e, chosen);
    return 0;
  }

  /** Gives an endpoint that sends or connects unbound a port: 0, or -EAGAIN if all are taken. */
  autobind(e: number): number {
    const { endpoints, own } = this;
    if (endpoints.has(e, EndpointFlag.Bound)) return 0;
    endpoints.addressInto(e, Field.Local, own);
    const port = this.choose(e, own);
    if (port < 0) return -Errno.EAGAIN;
    endpoints.mark(e, EndpointFlag.PortChosen, true);
    this.enter(e, port);
    return 0;
  }

  /** Gives the port back. */
  release(e: number): void {
    const { endpoints } = this;
    if (!endpoints.has(e, EndpointFlag.Bound)) return;
    this.chains.remove(e);
    endpoints.set(e, Field.LocalPort, 0);
    endpoints.mark(e, EndpointFlag.Bound | EndpointFlag.PortChosen, false);
  }

  /** 0 if the endpoint may bind the address, else -errno. */
  checkAddress(e: number, address: Address, iface: number): number {
    const { endpoints } = this;
    const refused = checkFamily(endpoints, e, address);
    if (refused < 0) return refused;
    const device = endpoints.get(e, Field.Device);
    if (iface !== 0 && device !== 0 && iface !== device) return -Errno.EINVAL;
    if (isAny(address) || isMulticast(address) || endpoints.has(e, EndpointFlag.FreeBind)) return 0;
    const scope = iface || device;
    if (!isIp4(address) && isLinkLocal(address) && scope === 0) return -Errno.EINVAL;
    const known = this.hosts.isOurs(address, scope) || (isIp4(address) && this.hosts.isBroadcast(address, scope));
    return known || isBroadcast(address) ? 0 : -Errno.EADDRNOTAVAIL;
  }

  save(state: StateWriter): void {
    this.random.save(state);
    this.chains.save(state);
  }

  load(state: StateReader): void {
    this.random.load(state);
    this.chains.load(state, (e) => this.endpoints.has(e, EndpointFlag.Bound));
  }

  private enter(e: number, port: number): void {
    this.endpoints.set(e, Field.LocalPort, port);
    this.endpoints.mark(e, EndpointFlag.Bound, true);
    this.chains.add(e);
  }

  /** RFC 6056 §3.3.1: a random port and from there the first that is free; -EADDRINUSE if there is none. */
  private choose(e: number, local: Address): number {
    const ports = EPHEMERAL_LAST - EPHEMERAL_FIRST + 1;
    const first = this.random.below(ports);
    for (let i = 0; i < ports; i++) {
      const port = EPHEMERAL_FIRST + ((first + i) % ports);
      if (this.chains.first(port) < 0 || !this.isTaken(e, local, port)) return port;
    }
    return -Errno.EADDRINUSE;
  }

  /** True if somebody else has the port at an overlapping address and interface, and not both allow to share it. */
  private isTaken(e: number, local: Address, port: number): boolean {
    for (let other = this.chains.first(port); other >= 0; other = this.chains.next(other, port)) {
      if (other !== e && this.conflicts(e, other, local)) return true;
    }
    return false;
  }

  private conflicts(e: number, other: number, local: Address): boolean {
    const { endpoints } = this;
    const { ReuseAddress, ReusePort } = EndpointFlag;
    if (endpoints.has(e, ReuseAddress) && endpoints.has(other, ReuseAddress)) return false;
    if (endpoints.has(e, ReusePort) && endpoints.has(other, ReusePort)) return false;
    const device = endpoints.get(e, Field.Device);
    const otherDevice = endpoints.get(other, Field.Device);
    if (device !== 0 && otherDevice !== 0 && device !== otherDevice) return false;
    return this.overlaps(e, other, local);
  }

  /** True if a packet could be for both. */
  private overlaps(e: number, other: number, local: Address): boolean {
    const { endpoints } = this;
    if (isAny(local)) return this.reaches(e, other, local);
    if (endpoints.isAny(other, Field.Local)) return endpoints.takesFamily(other, !isIp4(local));
    return endpoints.equals(other, Field.Local, local);
  }

  /** `e`, at any address, against `other`, at any or at one. */
  private reaches(e: number, other: number, local: Address): boolean {
    const { endpoints } = this;
    const takes4 = !endpoints.isIp6(e) || !endpoints.has(e, EndpointFlag.V6Only) || isIp4(local);
    const takes6 = endpoints.isIp6(e) && !isIp4(local);
    return (takes4 && endpoints.takesFamily(other, false)) || (takes6 && this.takesIp6(other));
  }

  private takesIp6(other: number): boolean {
    const { endpoints, theirs } = this;
    endpoints.addressInto(other, Field.Local, theirs);
    return endpoints.isIp6(other) && !isIp4(theirs);
  }
}
