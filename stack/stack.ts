// Theory of operation.
//
// A stack is one host's TCP/IP: interfaces, addresses, routes, neighbours, sockets. It is pure: frames and `nowUs` go in,
// frames and a deadline come out.
//
//   frame ─▶ receive ─┬─▶ arp ─────────────▶ neighbors ◀── ndp ◀─┐            addresses  routes
//                     ├─▶ ip4-input ─┐                           │               │         │
//                     └─▶ ip6-input ─┴▶ protocols ─▶ icmp, icmp6 ┴ udp  raw  tcp ┴▶ paths ─┴▶ ip-output ─▶ Output ─▶ frame
//                            │ reassembly, forward                        │
//                            └ extension headers                          └▶ sockets ─▶ streams (Promises)
//
// Five verbs drive it. `receive` takes a frame and answers at once what is answered at once (ACK, RST, echo, advertisement)
// into the `Output` of an interface. `poll` lets connections send what they may and takes in what this host sent to itself.
// `expire` does what is due, `deadlineUs` says when that is. `dispatch` tells the programs. A `StackPort` makes a port of an
// interface and calls all five; who calls sockets in between calls `nudge` of the port. A gateway or server that lives in the
// stack is a `StackUser`, with a turn in `poll` and deadlines of its own; it claims the sockets that it has.
//
// Time. The stack's own clock, `shared.nowUs`, is the host's plus an offset that `load` sets, so that it goes on where
// `save` left it: no deadline is rewritten and TCP's timestamps do not jump when a stack moves to another host.
//
// State. Each part saves and loads itself in a section of its own; pending frames are saved with them. What is derived
// (the path cache) is not saved. Chance comes from `secret` through one `Random` per purpose.
//
// Bounds: limits.ts. What is missing: docs/limits.md.

import { Drop } from '../core/drop.ts';
import type { Slab } from '../core/slab.ts';
import { StateReader, StateWriter } from '../core/state.ts';
import { NEVER } from '../core/time.ts';
import * as ethernet from '../wire/ethernet.ts';
import * as icmp from '../wire/icmp.ts';
import * as icmp6 from '../wire/icmp6.ts';
import { Protocol } from '../wire/ipv4.ts';
import { Addresses } from './autoconf/addresses.ts';
import { Autoconf } from './autoconf/autoconf.ts';
import { Configuration } from './config/configuration.ts';
import { LIMITS, type Limits } from './limits.ts';
import { type InterfaceOptions, Interfaces, type NetworkInterface } from './link/interfaces.ts';
import { Loopback } from './link/loopback.ts';
import { Forwarder } from './net/forward.ts';
import { GuestErrors } from './net/guest-error.ts';
import { IcmpProtocol } from './net/icmp.ts';
import { Icmp6Protocol } from './net/icmp6.ts';
import { IpOutput } from './net/ip-output.ts';
import { Ip4Input } from './net/ip4-input.ts';
import { Ip6Input } from './net/ip6-input.ts';
import { LinkReports } from './net/link-reports.ts';
import { Paths } from './net/paths.ts';
import { Protocols } from './net/protocols.ts';
import { Reassembly } from './net/reassembly.ts';
import { Redirects } from './net/redirects.ts';
import { Routes } from './net/routes.ts';
import { type Part, Shared, type StackUser } from './shared.ts';
import { Sockets } from './socket/sockets.ts';
import { Streams } from './socket/streams.ts';
import type { StackPort } from './stack-port.ts';
import { Tcp } from './tcp/tcp.ts';

export {
  ADDRESS_WORDS,
  type Address,
  ANY as ANY_ADDRESS,
  ANY4 as ANY_ADDRESS4,
  assign as assignAddress,
  equal as equalAddresses,
  format as formatAddress,
  hash as hashAddress,
  ip4Of,
  isAny as isAnyAddress,
  isBroadcast,
  isIp4,
  isLinkLocal,
  isLoopback,
  isMulticast,
  of4 as addressOf4,
  parse as parseAddress,
  samePrefix,
} from './address.ts';
export { AddressOrigin, AddressState } from './autoconf/addresses.ts';
export { ADVERTISEMENT, type AdvertisedPrefix, type Advertisement } from './autoconf/advertisement.ts';
export { AUTOCONF, type AutoconfOptions } from './autoconf/autoconf.ts';
export { type Config, parseConfig } from './config/config.ts';
export { interfaceOptionsOf } from './config/interface-options.ts';
export { answers as answersQuestion, outcomeOf, Resolved } from './config/resolver-reply.ts';
export { Errno, errnoName } from './errno.ts';
export { ANY_IFACE, LOOPBACK_IFACE } from './ip.ts';
export { LIMITS, type Limits } from './limits.ts';
export type { InterfaceOptions, NetworkInterface } from './link/interfaces.ts';
export { GuestError } from './net/guest-error.ts';
export { RouteOrigin } from './net/routes.ts';
export type { StackUser } from './shared.ts';
export type { GatewaySockets } from './socket/gateway-sockets.ts';
export {
  Datagram,
  DatagramFlag,
  Family,
  GroupChange,
  MessageFlag,
  SocketName,
  SocketOption,
  SocketProtocol,
  SocketType,
  type SocketUser,
} from './socket/sockets.ts';
export {
  Listener,
  type ReceivedDatagram,
  SocketError,
  SocketHandle,
  Streams,
  TcpStream,
  UdpSocket,
} from './socket/streams.ts';
export { type StackHost, StackPort } from './stack-port.ts';
export { How, RESET, Ready, SILENT, State as TcpState, TcpOption } from './tcp/tcp.ts';

const HEADER_BYTES = ethernet.HEADER_BYTES;

/** What a stack is made of. */
export interface StackOptions {
  /** Frames and buffers live in it; other stacks, switches and ports of the thread share it. */
  readonly slab: Slab;
  /** 4 words: from a good source, or from a seed in virtual time. Sequence numbers and ports follow from it. */
  readonly secret: Int32Array;
  /** The host's clock now. */
  readonly nowUs: number;
  readonly limits?: Partial<Limits>;
}

/** One host's TCP/IP. Its parts are open for those who configure and inspect it. */
export class Stack {
  readonly shared: Shared;
  readonly limits: Limits;
  readonly interfaces: Interfaces;
  readonly routes: Routes;
  readonly addresses: Addresses;
  readonly paths: Paths;
  readonly autoconf: Autoconf;
  readonly tcp: Tcp;
  readonly sockets: Sockets;
  /** The promise API. */
  readonly streams: Streams;
  /** The interfaces that are plugged in; each adds and removes itself. */
  readonly ports: StackPort[] = [];
  /** DHCP, name resolution, and the one string that configures all. */
  readonly configuration: Configuration;
  private readonly output: IpOutput;
  private readonly icmp: IcmpProtocol;
  private readonly icmp6: Icmp6Protocol;
  private readonly reassembly: Reassembly;
  private readonly forwarder: Forwarder;
  private readonly guestErrors: GuestErrors;
  private readonly ip4: Ip4Input;
  private readonly ip6: Ip6Input;
  private readonly loopback: Loopback;
  private readonly parts: readonly Part[];
  private offsetUs = 0; // the stack's clock minus the host's
  private isUnfinished = false;
  private isClosed = false;
  private readonly wakers: (() => void)[] = [];
  private readonly users: StackUser[] = [];
  private readonly readers: (() => void)[] = [];
  private toldGeneration = -1; // of the addresses, when readers were told last

  constructor({ slab, secret, nowUs, limits }: StackOptions) {
    this.limits = { ...LIMITS, ...limits };
    this.shared = new Shared(slab, secret);
    this.shared.nowUs = nowUs;
    const { shared } = this;
    this.interfaces = new Interfaces(slab, this.limits);
    this.routes = new Routes(shared, this.limits);
    this.addresses = new Addresses(this.limits, this.routes);
    this.paths = new Paths(shared, this.limits, this.interfaces, this.addresses, this.routes);
    this.output = new IpOutput(shared, this.interfaces, this.paths);
    this.autoconf = new Autoconf(shared, this.interfaces, this.addresses, this.routes, this.limits);
    const protocols = new Protocols();
    this.icmp = new IcmpProtocol(shared, this.interfaces, this.addresses, this.paths, this.output, protocols);
    this.icmp6 = new Icmp6Protocol(shared, this.interfaces, this.addresses, this.paths, this.output, protocols);
    this.reassembly = new Reassembly(shared, this.limits);
    this.forwarder = this.makeForwarder();
    const input = {
      shared,
      interfaces: this.interfaces,
      addresses: this.addresses,
      protocols,
      reassembly: this.reassembly,
      forwarder: this.forwarder,
    };
    this.ip4 = new Ip4Input(input, this.icmp);
    this.ip6 = new Ip6Input(input, this.icmp6);
    this.loopback = new Loopback(shared, this.interfaces, this.ip4, this.ip6);
    this.tcp = new Tcp(shared, this.paths, this.output, this.limits, this.paths, {
      unreachable: (iface, ip, ipBytes, isIp6, code) => {
        const { limit } = this.guestErrors;
        if (isIp6) this.icmp6.sendError(iface, ip, ipBytes, false, icmp6.Type.Unreachable, code, 0, false, limit);
        else this.icmp.sendError(iface, ip, ipBytes, false, icmp.Type.Unreachable, code, 0, limit);
      },
    });
    this.guestErrors = new GuestErrors(shared, this.addresses, this.paths, this.output, this.tcp);
    this.sockets = new Sockets(shared, this.limits, {
      tcp: this.tcp,
      paths: this.paths,
      sender: this.output,
      hosts: this.addresses,
      links: this.interfaces,
      groups: this.autoconf.multicast,
      errors: this.guestErrors,
    });
    this.streams = new Streams({
      sockets: this.sockets,
      wake: () => this.wake(),
      nowUs: () => shared.nowUs,
      lookup: (name) => this.configuration.lookup(name),
    });
    this.configuration = new Configuration(this, () => this.wake());
    this.connectParts(protocols);
    this.parts = [this.autoconf, this.routes, this.reassembly, this.configuration, this.tcp, this.streams];
  }

  private makeForwarder(): Forwarder {
    const { shared, interfaces, addresses, routes, output, icmp, icmp6, paths } = this;
    const redirects = new Redirects(shared, addresses, paths, output, icmp);
    redirects.setNextHops(this.autoconf.neighbors);
    return new Forwarder({ shared, interfaces, addresses, routes, output, icmp, icmp6, redirects });
  }

  /** The hooks between those who know each other only by contract. */
  private connectParts(protocols: Protocols): void {
    const { autoconf, sockets, icmp, icmp6, output, paths, shared, addresses, reassembly } = this;
    const reports = new LinkReports(shared, addresses, protocols, icmp, icmp6, reassembly);
    output.setNextHops(autoconf.neighbors);
    paths.setNextHops(autoconf.neighbors);
    paths.setAdvertisers(autoconf);
    this.ip4.setMembership(autoconf.multicast);
    this.ip6.setMembership(autoconf.multicast);
    icmp6.setNdp(autoconf.ndp);
    icmp6.setMld(autoconf.mld);
    icmp.setEcho(sockets.echo);
    icmp6.setEcho(sockets.echo);
    protocols.register(Protocol.Igmp, autoconf.igmp);
    protocols.register(Protocol.Tcp, this.tcp);
    protocols.register(Protocol.Udp, sockets.udp);
    protocols.setRawListener(sockets.raw);
    autoconf.onRedirect = (iface, router, target, next) => paths.redirect(iface, target, next, router);
    const { onRouterGone } = autoconf.neighbors;
    autoconf.neighbors.onRouterGone = (iface, address) => {
      onRouterGone?.(iface, address);
      paths.gatewayGone(iface, address);
    };
    autoconf.neighbors.onReachability = (iface, address, isUsable) =>
      isUsable ? paths.invalidate() : paths.gatewayGone(iface, address);
    autoconf.neighbors.onUnreachable = (iface, at, bytes) => reports.unreachable(iface, at, bytes);
  }

  /** Adds an interface: number 2 and up; 1 is loopback. Throws `UsageError`. */
  addInterface(options: InterfaceOptions): NetworkInterface {
    return this.interfaces.add(options);
  }

  /** The host's clock was read: all that follows happens then. Time never goes back. */
  tick(nowUs: number): void {
    this.shared.nowUs = Math.max(this.shared.nowUs, nowUs + this.offsetUs);
  }

  /** Takes a frame that came in by an interface; what became of it. The bytes may be overwritten. */
  receive(iface: NetworkInterface, at: number, length: number, offload: number, nowUs: number): Drop {
    this.tick(nowUs);
    const { view } = this.shared;
    if (length < HEADER_BYTES) return Drop.EthTruncated;
    const { packets } = this.sockets;
    if (!packets.isIdle) packets.hearFrame(iface.number, at, length, false);
    // RFC 1122 §2: what a switch floods for another station is not ours. The group bit is the lowest of the first byte.
    const isOurs = view.getUint32(at + 2) === iface.macLow && view.getUint16(at) === iface.macHigh;
    if (!isOurs && (view.getUint8(at) & 1) === 0) return Drop.NotForUs;
    switch (ethernet.etherType(view, at)) {
      case ethernet.EtherType.Ip6:
        // RFC 4862 §5.4.5: an address of the hardware was taken, so nothing is received either.
        if (this.autoconf.isDisabled(iface.number)) return Drop.NotForUs;
        return this.ip6.receive(iface.number, at, length, offload);
      case ethernet.EtherType.Ip4:
        if (this.configuration.hearsDhcp && this.configuration.hear(iface.number, at, length, offload))
          return Drop.None;
        return this.ip4.receive(iface.number, at, length, offload);
      case ethernet.EtherType.Arp:
        return this.autoconf.arp.receive(iface, at + HEADER_BYTES, length - HEADER_BYTES);
      default:
        return Drop.EtherType;
    }
  }

  /** Sends what may be sent; true if there is more than the outputs take now. */
  poll(nowUs: number): boolean {
    this.tick(nowUs);
    for (const user of this.users) user.turn();
    let isUnfinished = this.tcp.poll();
    // What this host sent to itself may make it send again; a bound keeps two talkers here from starving the others.
    for (let rounds = 0; this.loopback.hasPending && rounds < LOOPBACK_ROUNDS_MAX; rounds++) {
      this.loopback.poll();
      isUnfinished = this.tcp.poll();
    }
    this.sockets.outputDrained();
    this.isUnfinished = isUnfinished;
    return isUnfinished;
  }

  /** True if `poll` has something to do. */
  get hasWork(): boolean {
    return this.isUnfinished || this.tcp.isDirty || this.loopback.hasPending;
  }

  /** When `expire` has something to do, on the host's clock. */
  deadlineUs(): number {
    let deadlineUs = NEVER;
    for (const part of this.parts) deadlineUs = Math.min(deadlineUs, part.deadlineUs());
    for (const user of this.users) deadlineUs = Math.min(deadlineUs, user.deadlineUs());
    return deadlineUs - this.offsetUs;
  }

  /** Does what is due. Early it does nothing. */
  expire(nowUs: number): void {
    this.tick(nowUs);
    for (const part of this.parts) if (part.deadlineUs() <= this.shared.nowUs) part.expire();
    for (const user of this.users) if (user.deadlineUs() <= this.shared.nowUs) user.expire();
  }

  /** Tells programs and clients what happened since. */
  dispatch(nowUs: number): void {
    this.tick(nowUs);
    this.configuration.react();
    this.streams.dispatch();
    this.tellReaders();
  }

  /** `user` gets its turn at the start of each `poll`, and its deadlines are the stack's. It is not in a snapshot. */
  addUser(user: StackUser): void {
    this.users.push(user);
  }

  removeUser(user: StackUser): void {
    const i = this.users.indexOf(user);
    if (i >= 0) this.users.splice(i, 1);
  }

  /** `act` is called when programs left work for the stack: for who drives ports without a host, as the simulator. */
  onWake(act: () => void): void {
    this.wakers.push(act);
  }

  /**
   * `act` is called from `dispatch`, first from the next, when addresses changed and as long as the configuration has news that
   * nobody took.
   */
  onNews(act: () => void): void {
    this.readers.push(act);
    this.toldGeneration = -1;
  }

  private tellReaders(): void {
    if (this.readers.length === 0) return;
    const { generation } = this.addresses;
    if (generation === this.toldGeneration && !this.configuration.hasNews) return;
    this.toldGeneration = generation;
    for (const act of this.readers) act();
  }

  /** Everything that the stack is, to be given to `load`. Streams are not in it: their owners adopt the sockets anew. */
  save(): Uint8Array<ArrayBuffer> {
    const state = new StateWriter();
    state.section('stack', 1).number(this.shared.nowUs).boolean(this.isUnfinished);
    for (const part of this.savedParts()) part.save(state);
    return state.finish();
  }

  /**
   * Becomes the saved stack, on a host whose clock is at `nowUs`. The stack is new and has the same interfaces; it goes on
   * as if no time had passed. Throws `StateError` and is then of no use.
   */
  load(snapshot: Uint8Array, nowUs: number): void {
    const state = new StateReader(snapshot);
    state.section('stack', 1);
    const savedUs = state.number();
    this.isUnfinished = state.boolean();
    this.shared.nowUs = savedUs;
    this.offsetUs = savedUs - nowUs;
    for (const part of this.savedParts()) part.load(state);
  }

  /** Tells the link who has which address now: after `load` on another host. */
  announce(): void {
    for (const iface of this.interfaces.all()) if (!iface.isLoopback) this.autoconf.announce(iface);
  }

  /** Aborts what the promise API has open, and gives all memory back. The stack is of no use afterwards; its ports are closed first. */
  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.configuration.close();
    this.streams.close();
    this.sockets.releaseMemory();
    this.autoconf.neighbors.close();
    this.icmp.close();
    this.icmp6.close();
    this.reassembly.close();
    this.forwarder.close();
    this.interfaces.close();
  }

  private savedParts(): readonly Saved[] {
    const { interfaces, routes, addresses, paths, output, icmp, icmp6, ip4, loopback, autoconf, tcp, sockets } = this;
    return [
      interfaces,
      routes,
      addresses,
      paths,
      output,
      icmp,
      icmp6,
      this.guestErrors,
      ip4,
      loopback,
      autoconf,
      tcp,
      sockets,
      this.configuration,
    ];
  }

  /** Programs or users called the stack outside of its turns: its ports ask for one soon, never from within. */
  wake(): void {
    for (const port of this.ports) port.nudge();
    for (const act of this.wakers) act();
  }
}

/** A part with state. */
interface Saved {
  save(state: StateWriter): void;
  load(state: StateReader): void;
}

const LOOPBACK_ROUNDS_MAX = 16;
