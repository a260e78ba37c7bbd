// UDP: whose a datagram is, and what may be sent. RFC 768, RFC 1122 §4.1, RFC 8200 §8.1, RFC 6935.
//
// A datagram for a unicast address goes to the one socket that fits best: connected to its sender before bound to its
// address before bound to any, its own family before dual stack, a device before none; of equals the newest, or with
// SO_REUSEPORT the one that a keyed hash of the four-tuple names. A group's or broadcast datagram goes to every socket that
// fits. Sockets are rows of `Endpoints`; queues lie in the slab; ports are in a `PortTable`.

import { Drop } from '../../core/drop.ts';
import { sipHash } from '../../core/siphash.ts';
import type { StateReader, StateWriter } from '../../core/state.ts';
import { fold } from '../../wire/checksum.ts';
import { Protocol } from '../../wire/ipv4.ts';
import * as wire from '../../wire/udp.ts';
import type { Address } from '../address.ts';
import { assign, hash, isIp4, isMulticast } from '../address.ts';
import { Errno } from '../errno.ts';
import { HOP_LIMIT_DEFAULT, type Paths, type Sender, type Transport } from '../ip.ts';
import { type IcmpError, Packet, senderOf } from '../packet.ts';
import { Random } from '../random.ts';
import { Purpose } from '../shared.ts';
import { DatagramInput } from './datagram-input.ts';
import { DatagramOutput, messageBytesMax, sumOf } from './datagram-output.ts';
import { DatagramFlag } from './datagram-queue.ts';
import type { Endpoints } from './endpoints.ts';
import { EndpointFlag, Field, Kind } from './endpoints.ts';
import { dontFragmentOf, Interceptors } from './interceptors.ts';
import type { Memberships } from './memberships.ts';
import type { Hosts } from './port-table.ts';
import { PortTable } from './port-table.ts';

const NO_MATCH = -1;

/** What the message transports need of the rest of the stack. */
export interface DatagramParts {
  readonly endpoints: Endpoints;
  readonly paths: Paths;
  readonly sender: Sender;
  readonly hosts: Hosts;
  readonly memberships: Memberships;
}

/** The UDP endpoints of one stack. */
export class Udp implements Transport {
  private readonly endpoints: Endpoints;
  private readonly memberships: Memberships;
  private readonly hosts: Hosts;
  private readonly input: DatagramInput;
  private readonly output: DatagramOutput;
  readonly ports: PortTable;
  private readonly flowKey: Int32Array;
  private readonly flow = new Int32Array(3);
  private readonly paths: Paths;
  private readonly looped = new Packet();
  /** Who takes what is for nobody, by interface. */
  private readonly interceptors: Interceptors;

  constructor({ endpoints, paths, sender, hosts, memberships }: DatagramParts) {
    this.endpoints = endpoints;
    this.memberships = memberships;
    this.hosts = hosts;
    this.paths = paths;
    this.input = new DatagramInput(endpoints);
    this.output = new DatagramOutput(endpoints, paths, sender, hosts);
    this.ports = new PortTable(endpoints, hosts, Kind.Udp);
    this.interceptors = new Interceptors(endpoints, Kind.Udp);
    this.flowKey = new Random(new Random(endpoints.shared.secret, Purpose.Hash).key, Kind.Udp).key;
  }

  /** A new unbound endpoint, or -ENOBUFS. */
  open(isIp6: boolean): number {
    return this.endpoints.open(Kind.Udp, isIp6, Protocol.Udp);
  }

  /** Gives back what does not belong to an endpoint. */
  releaseMemory(): void {
    this.output.close();
  }

  close(e: number): void {
    this.ports.release(e);
    this.interceptors.remove(e);
    this.endpoints.close(e);
  }

  bind(e: number, address: Address, port: number, iface: number): number {
    return this.ports.bind(e, address, port, iface);
  }

  /** Fixes the peer: only its datagrams are taken, and its errors are told. 0 or -errno. */
  connect(e: number, target: Address, port: number, iface: number): number {
    if (port <= 0 || port > 65_535) return -Errno.EINVAL;
    const connected = this.output.connect(e, target, port, iface);
    return connected < 0 ? connected : this.ports.autobind(e);
  }

  /** connect(2) with AF_UNSPEC: the peer is forgotten, and a port that was not bound explicitly. */
  disconnect(e: number): void {
    this.output.disconnect(e);
    if (this.endpoints.has(e, EndpointFlag.PortChosen)) this.ports.release(e);
  }

  /** Sends one datagram; `iface` is the scope of the target. `count`, or -errno. */
  send(
    e: number,
    bytes: Uint8Array,
    from: number,
    count: number,
    target: Address,
    port: number,
    iface: number,
  ): number {
    return this.emit(e, bytes, from, count, target, port, iface, undefined, 0, -1, -1);
  }

  private emit(
    e: number,
    bytes: Uint8Array,
    from: number,
    count: number,
    target: Address,
    port: number,
    iface: number,
    source: Address | undefined,
    sourcePort: number,
    hops: number,
    trafficClass: number,
  ): number {
    const { endpoints, output } = this;
    if (port <= 0 || port > 65_535) return -Errno.EINVAL;
    const path = output.route(e, target, iface, source);
    if (path < 0) return path;
    const total = count + wire.HEADER_BYTES;
    if (total > messageBytesMax(output.target)) return -Errno.EMSGSIZE;
    const bound = source ? 0 : this.ports.autobind(e);
    if (bound < 0) return bound;
    const ready = output.begin(e, path, Protocol.Udp, total);
    if (ready < 0) return ready;
    const { view } = endpoints.shared;
    const { at } = output;
    wire.setSrcPort(view, at, source ? sourcePort : endpoints.get(e, Field.LocalPort));
    wire.setDstPort(view, at, port);
    wire.setLength(view, at, total);
    wire.setChecksum(view, at, 0);
    output.fill(wire.HEADER_BYTES, bytes, from, count);
    const isBare = endpoints.has(e, output.target[2] === 0xffff ? EndpointFlag.NoChecksum : EndpointFlag.NoChecksum6Tx);
    const sent = output.finish(isBare ? -1 : wire.CHECKSUM_AT, hops, trafficClass);
    if (sent < 0) return sent;
    if (output.isToMany) this.loop(e, this.paths.ifaceOf(path), total, path);
    return count;
  }

  /**
   * `e` takes unicast datagrams that come in by `iface` and are for no other socket, whatever address and port they are for:
   * `target` and `info` of the datagram. The interface must accept any address. 0, -EINVAL, -EADDRINUSE. For gateways.
   */
  intercept(e: number, iface: number): number {
    return this.interceptors.add(e, iface);
  }

  /**
   * As `send`, from any address and port: by an interceptor only, on its interface. -EPERM for others. `from` of the bytes is
   * their place in `bytes`. `hops` and `trafficClass` 0 … 255, or -1: the socket's.
   */
  sendFrom(
    e: number,
    bytes: Uint8Array,
    from: number,
    count: number,
    source: Address,
    sourcePort: number,
    target: Address,
    port: number,
    hops: number,
    trafficClass: number,
  ): number {
    const iface = this.interceptors.ifaceOf(e);
    if (iface < 0) return -Errno.EPERM;
    if (sourcePort < 0 || sourcePort > 65_535 || isMulticast(source)) return -Errno.EINVAL;
    return this.emit(e, bytes, from, count, target, port, iface, source, sourcePort, hops, trafficClass);
  }

  receive(packet: Packet): Drop {
    const { view } = this.endpoints.shared;
    const bad = wire.check(view, packet.at, packet.bytes);
    if (bad !== Drop.None) return bad;
    const sum = wire.checksum(view, packet.at);
    if (sum !== 0 && !packet.isChecksumKnown && !this.isSumRight(packet)) return Drop.UdpChecksum;
    // RFC 8200 §8.1, RFC 6935 §5: no checksum over IPv6 only where the socket agreed.
    const isBare = sum === 0 && packet.isIp6 && !packet.isChecksumKnown;
    const { target } = packet;
    if (isMulticast(target) || this.hosts.isBroadcast(target, packet.iface)) return this.deliverAll(packet, isBare);
    const e = this.find(
      packet.source,
      target,
      wire.srcPort(view, packet.at),
      wire.dstPort(view, packet.at),
      packet,
      isBare,
    );
    if (e === NO_MATCH) return this.deliverIntercepted(packet, isBare);
    return this.deliver(e, packet, 0);
  }

  fail(error: IcmpError): void {
    if (error.bytes < wire.HEADER_BYTES) return;
    const { view } = this.endpoints.shared;
    const ours = wire.srcPort(view, error.at);
    const theirs = wire.dstPort(view, error.at);
    const e = this.findSender(error, theirs, ours);
    if (e === NO_MATCH) return;
    this.input.report(e, error, theirs, error.at + wire.HEADER_BYTES, error.bytes - wire.HEADER_BYTES);
  }

  save(state: StateWriter): void {
    state.section('stack/udp', 1);
    this.ports.save(state);
    this.interceptors.save(state);
  }

  /** After the endpoints were loaded. */
  load(state: StateReader): void {
    state.section('stack/udp', 1);
    this.ports.load(state);
    this.interceptors.load(state);
  }

  /** IP_MULTICAST_LOOP: what is sent to a group or broadcast comes to the sockets of this host, too. RFC 1112 §6.1. */
  private loop(e: number, iface: number, bytes: number, path: number): void {
    const { output, looped, endpoints } = this;
    const { target } = output;
    const isIp6 = !isIp4(target);
    if (isMulticast(target)) {
      if (!endpoints.has(e, isIp6 ? EndpointFlag.Loop6 : EndpointFlag.Loop4)) return;
      if (!this.memberships.isJoined(iface, target)) return;
    }
    looped.iface = iface;
    looped.isIp6 = isIp6;
    assign(looped.source, this.paths.sourceOf(path));
    assign(looped.target, target);
    looped.at = output.at;
    looped.bytes = bytes;
    const hops = output.hops();
    looped.hopLimit = hops < 0 ? HOP_LIMIT_DEFAULT : hops;
    looped.trafficClass = endpoints.get(e, isIp6 ? Field.Class6 : Field.Class4);
    looped.isChecksumKnown = true;
    this.deliverAll(looped, false);
  }

  private deliver(e: number, packet: Packet, flags: number): Drop {
    const { view } = this.endpoints.shared;
    const { at } = packet;
    // RFC 768: the length says where the datagram ends, which may be before the packet does.
    const payload = wire.length(view, at) - wire.HEADER_BYTES;
    return this.input.deliver(e, packet, wire.srcPort(view, at), flags, 0, 0, at + wire.HEADER_BYTES, payload);
  }

  /** Nobody is bound to what the packet is for: is there an interceptor? */
  private deliverIntercepted(packet: Packet, isBare: boolean): Drop {
    const { view } = this.endpoints.shared;
    const { at, iface } = packet;
    const e = this.interceptors.find(iface);
    const isTaken = e !== NO_MATCH && this.endpoints.takesFamily(e, packet.isIp6);
    if (!isTaken || isBare) return isBare ? Drop.UdpChecksum : Drop.NoSocket;
    const payload = wire.length(view, at) - wire.HEADER_BYTES;
    const from = at + wire.HEADER_BYTES;
    const flags = dontFragmentOf(view, packet);
    const port = wire.srcPort(view, at);
    const target = wire.dstPort(view, at);
    return this.input.deliver(e, packet, port, flags, 0, 0, from, payload, target, senderOf(view, packet));
  }

  /** RFC 1122 §4.1.3.5 and RFC 3376 §4.2.1: a copy to every socket that fits and wants the group. */
  private deliverAll(packet: Packet, isBare: boolean): Drop {
    const { view } = this.endpoints.shared;
    const sourcePort = wire.srcPort(view, packet.at);
    const port = wire.dstPort(view, packet.at);
    const isGroup = isMulticast(packet.target);
    let result: Drop = Drop.NoSocket;
    for (let e = this.ports.chains.first(port); e >= 0; e = this.ports.chains.next(e, port)) {
      if (this.score(e, packet.source, packet.target, sourcePort, packet.iface, packet.isIp6, isBare) < 0) continue;
      if (isGroup && !this.memberships.takes(e, packet.iface, packet.target, packet.source)) {
        if (result === Drop.NoSocket) result = Drop.Filtered;
        continue;
      }
      const dropped = this.deliver(e, packet, DatagramFlag.Group);
      if (result !== Drop.None) result = dropped;
    }
    return result;
  }

  /** The endpoint for a unicast datagram, or NO_MATCH. */
  private find(
    source: Address,
    target: Address,
    sourcePort: number,
    port: number,
    packet: Packet,
    isBare: boolean,
  ): number {
    const { iface, isIp6 } = packet;
    const { chains } = this.ports;
    let best = NO_MATCH;
    let bestScore = -1;
    let equals = 0;
    for (let e = chains.first(port); e >= 0; e = chains.next(e, port)) {
      const score = this.score(e, source, target, sourcePort, iface, isIp6, isBare);
      if (score > bestScore) {
        best = e;
        bestScore = score;
        equals = 1;
      } else if (score >= 0 && score === bestScore) equals++;
    }
    if (equals < 2 || !this.isShared(best)) return best;
    let k = this.flowHash(source, target, sourcePort, port) % equals;
    for (let e = chains.first(port); e >= 0; e = chains.next(e, port)) {
      if (this.score(e, source, target, sourcePort, iface, isIp6, isBare) === bestScore && k-- === 0) return e;
    }
    return best;
  }

  /** True if SO_REUSEPORT spreads its datagrams. */
  private isShared(e: number): boolean {
    return this.endpoints.has(e, EndpointFlag.ReusePort) && !this.endpoints.has(e, EndpointFlag.Connected);
  }

  /** The endpoint whose datagram failed: the one that an answer would have come to. */
  private findSender(error: IcmpError, theirs: number, ours: number): number {
    const { chains } = this.ports;
    let best = NO_MATCH;
    let bestScore = -1;
    for (let e = chains.first(ours); e >= 0; e = chains.next(e, ours)) {
      const score = this.score(e, error.target, error.source, theirs, error.iface, error.isIp6, false);
      if (score <= bestScore) continue;
      best = e;
      bestScore = score;
    }
    return best;
  }

  /** How well a datagram from `source` to `target` fits the endpoint, 0 or more; -1 if it is not its. */
  private score(
    e: number,
    source: Address,
    target: Address,
    sourcePort: number,
    iface: number,
    isIp6: boolean,
    isBare: boolean,
  ): number {
    const { endpoints } = this;
    if (!endpoints.takesFamily(e, isIp6) || !endpoints.takesIface(e, iface)) return -1;
    if (isBare && !endpoints.has(e, EndpointFlag.NoChecksum6Rx)) return -1;
    let score = endpoints.isIp6(e) === isIp6 ? 1 : 0;
    if (!endpoints.isAny(e, Field.Local)) {
      if (!endpoints.equals(e, Field.Local, target)) return -1;
      score += 2;
    }
    if (endpoints.has(e, EndpointFlag.Connected)) {
      if (endpoints.get(e, Field.RemotePort) !== sourcePort || !endpoints.equals(e, Field.Remote, source)) return -1;
      score += 4;
    }
    return endpoints.get(e, Field.Device) === 0 ? score : score + 2;
  }

  private flowHash(source: Address, target: Address, sourcePort: number, port: number): number {
    const { flow } = this;
    flow[0] = hash(source);
    flow[1] = hash(target);
    flow[2] = (sourcePort << 16) | port;
    return sipHash(this.flowKey, flow, 0, 3) >>> 0;
  }

  private isSumRight(packet: Packet): boolean {
    const { view, checksum } = this.endpoints.shared;
    const bytes = wire.length(view, packet.at);
    const pseudo = sumOf(packet.source) + sumOf(packet.target) + Protocol.Udp + bytes;
    return fold(pseudo + checksum.sum(packet.at, bytes)) === 0xffff;
  }
}
