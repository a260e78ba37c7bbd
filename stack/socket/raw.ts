// Raw sockets: every packet of a protocol, beside the transport that owns it, and packets of the program's own making.
//
// IPv4 sockets read the IP header too and may write one (IP_HDRINCL); IPv6 sockets never see theirs (RFC 3542 §3). ICMPv6
// checksums are always the stack's to write and verify, others if IPV6_CHECKSUM says where they are (RFC 3542 §3.1).

import { Drop } from '../../core/drop.ts';
import type { StateReader, StateWriter } from '../../core/state.ts';
import { fold } from '../../wire/checksum.ts';
import * as ipv4 from '../../wire/ipv4.ts';
import type { Address } from '../address.ts';
import { isMulticast, read4 } from '../address.ts';
import { Errno } from '../errno.ts';
import type { RawListener } from '../ip.ts';
import type { IcmpError, Packet } from '../packet.ts';
import { DatagramInput } from './datagram-input.ts';
import { DatagramOutput, sumOf } from './datagram-output.ts';
import { EndpointChains } from './endpoint-chains.ts';
import type { Endpoints } from './endpoints.ts';
import { EndpointFlag, Field, Kind } from './endpoints.ts';
import type { Memberships } from './memberships.ts';
import { PortTable } from './port-table.ts';
import type { DatagramParts } from './udp.ts';

/** The protocol of sockets that only send, with headers of their own. */
export const RAW_PROTOCOL = 255;
const ICMP6_CHECKSUM_AT = 2;

/** The raw endpoints of one stack. */
export class Raw implements RawListener {
  private readonly endpoints: Endpoints;
  private readonly memberships: Memberships;
  private readonly input: DatagramInput;
  private readonly output: DatagramOutput;
  private readonly chains: EndpointChains;
  private readonly addresses: PortTable; // for its checks of addresses; raw sockets have no ports
  private readonly target: Address = new Int32Array(4);
  private readonly header = new DataView(new ArrayBuffer(ipv4.HEADER_BYTES));
  private readonly headerBytes = new Uint8Array(this.header.buffer);

  constructor({ endpoints, paths, sender, hosts, memberships }: DatagramParts) {
    this.endpoints = endpoints;
    this.memberships = memberships;
    this.input = new DatagramInput(endpoints);
    this.output = new DatagramOutput(endpoints, paths, sender, hosts);
    this.chains = new EndpointChains(endpoints, Kind.Raw, Field.Protocol);
    this.addresses = new PortTable(endpoints, hosts, Kind.Raw);
  }

  /** A new endpoint for an IP protocol 1 … 255; 255 includes headers and receives nothing. -ENOBUFS, -EPROTONOSUPPORT. */
  open(isIp6: boolean, protocol: number): number {
    if (protocol < 1 || protocol > RAW_PROTOCOL) return -Errno.EPROTONOSUPPORT;
    const e = this.endpoints.open(Kind.Raw, isIp6, protocol);
    if (e < 0) return e;
    if (protocol === RAW_PROTOCOL && !isIp6) this.endpoints.mark(e, EndpointFlag.HeaderIncluded, true);
    if (protocol === ipv4.Protocol.Icmp6 && isIp6) this.endpoints.set(e, Field.ChecksumOffset, ICMP6_CHECKSUM_AT);
    this.chains.add(e);
    return e;
  }

  /** Gives back what does not belong to an endpoint. */
  releaseMemory(): void {
    this.output.close();
  }

  close(e: number): void {
    this.chains.remove(e);
    this.endpoints.close(e);
  }

  /** Fixes the local address: 0, or -errno as for UDP. */
  bind(e: number, address: Address, iface: number): number {
    const refused = this.addresses.checkAddress(e, address, iface);
    if (refused < 0) return refused;
    this.endpoints.setAddress(e, Field.Local, address);
    if (iface !== 0) this.endpoints.set(e, Field.Scope, iface);
    return 0;
  }

  connect(e: number, target: Address, iface: number): number {
    return this.output.connect(e, target, 0, iface);
  }

  disconnect(e: number): void {
    this.output.disconnect(e);
  }

  /** Sends `count` bytes as one packet's payload, or, with HeaderIncluded, as a packet whose header says where to. */
  send(e: number, bytes: Uint8Array, from: number, count: number, target: Address, iface: number): number {
    const { endpoints, output } = this;
    if (endpoints.has(e, EndpointFlag.HeaderIncluded)) return this.sendPacket(e, bytes, from, count, iface);
    const offset = endpoints.get(e, Field.ChecksumOffset);
    if (offset >= 0 && endpoints.isIp6(e) && offset + 2 > count) return -Errno.EINVAL;
    const path = output.route(e, target, iface);
    if (path < 0) return path;
    const ready = output.begin(e, path, endpoints.get(e, Field.Protocol), count);
    if (ready < 0) return ready;
    output.fill(0, bytes, from, count);
    const isSummed = offset >= 0 && endpoints.isIp6(e);
    if (isSummed) endpoints.shared.view.setUint16(output.at + offset, 0);
    const sent = output.finish(isSummed ? offset : -1);
    return sent < 0 ? sent : count;
  }

  /** A copy to every socket that wants the packet; true if there was one. */
  hear(packet: Packet): boolean {
    if (this.chains.count === 0) return false;
    let heard = false;
    const { protocol } = packet;
    for (let e = this.chains.first(protocol); e >= 0; e = this.chains.next(e, protocol)) {
      if (!this.wants(e, packet)) continue;
      const dropped = this.deliver(e, packet);
      if (dropped !== Drop.None) this.endpoints.shared.drops.add(dropped);
      heard = true;
    }
    return heard;
  }

  /** An ICMP error about a packet of a raw socket's protocol: to all that may have sent it. */
  fail(error: IcmpError): void {
    const { protocol } = error;
    for (let e = this.chains.first(protocol); e >= 0; e = this.chains.next(e, protocol)) {
      if (!this.matches(e, error.isIp6, error.iface, error.source, error.target)) continue;
      this.input.report(e, error, 0, error.at, error.bytes);
    }
  }

  save(state: StateWriter): void {
    state.section('stack/raw', 1);
    this.chains.save(state);
  }

  /** After the endpoints were loaded. */
  load(state: StateReader): void {
    state.section('stack/raw', 1);
    this.chains.load(state, () => true);
  }

  /**
   * IP_HDRINCL. Deviates from Linux: identification, fragment bits and checksum are written anew, and options are refused with
   * -EOPNOTSUPP, because the network layer builds all headers; the source has to be an address of this host.
   */
  private sendPacket(e: number, bytes: Uint8Array, from: number, count: number, iface: number): number {
    const { endpoints, output, header } = this;
    if (count < ipv4.HEADER_BYTES) return -Errno.EINVAL;
    this.headerBytes.set(bytes.subarray(from, from + ipv4.HEADER_BYTES));
    if (ipv4.headerBytes(header, 0) !== ipv4.HEADER_BYTES) return -Errno.EOPNOTSUPP;
    read4(header, 16, this.target);
    const path = output.route(e, this.target, iface);
    if (path < 0) return path;
    const payload = count - ipv4.HEADER_BYTES;
    const ready = output.begin(e, path, ipv4.protocol(header, 0), payload);
    if (ready < 0) return ready;
    output.fill(0, bytes, from + ipv4.HEADER_BYTES, payload);
    const hops = endpoints.get(e, Field.Hops4);
    const trafficClass = endpoints.get(e, Field.Class4);
    endpoints.set(e, Field.Hops4, ipv4.ttl(header, 0));
    endpoints.set(e, Field.Class4, ipv4.tos(header, 0));
    const sent = output.finish(-1);
    endpoints.set(e, Field.Hops4, hops);
    endpoints.set(e, Field.Class4, trafficClass);
    return sent < 0 ? sent : count;
  }

  private wants(e: number, packet: Packet): boolean {
    const { endpoints } = this;
    const { source, target, iface, isIp6, protocol } = packet;
    if (!this.matches(e, isIp6, iface, target, source)) return false;
    if (isMulticast(target) && !this.memberships.takes(e, iface, target, source)) return false;
    const isIcmp = protocol === (isIp6 ? ipv4.Protocol.Icmp6 : ipv4.Protocol.Icmp);
    if (isIcmp && packet.bytes > 0 && endpoints.isFiltered(e, endpoints.shared.view.getUint8(packet.at))) return false;
    return !isIp6 || this.isSumRight(e, packet);
  }

  private matches(e: number, isIp6: boolean, iface: number, ours: Address, theirs: Address): boolean {
    const { endpoints } = this;
    if (endpoints.isIp6(e) !== isIp6 || !endpoints.takesIface(e, iface)) return false;
    if (!endpoints.isAny(e, Field.Local) && !endpoints.equals(e, Field.Local, ours)) return false;
    return !endpoints.has(e, EndpointFlag.Connected) || endpoints.equals(e, Field.Remote, theirs);
  }

  private deliver(e: number, packet: Packet): Drop {
    const { view } = this.endpoints.shared;
    const header = packet.isIp6 ? 0 : ipv4.headerBytes(view, packet.ip);
    return this.input.deliver(e, packet, packet.protocol, 0, packet.ip, header, packet.at, packet.bytes);
  }

  /** RFC 3542 §3.1: what fails the socket's checksum is not given to it. */
  private isSumRight(e: number, packet: Packet): boolean {
    const offset = this.endpoints.get(e, Field.ChecksumOffset);
    if (offset < 0 || packet.isChecksumKnown) return true;
    if (offset + 2 > packet.bytes) return false;
    const pseudo = sumOf(packet.source) + sumOf(packet.target) + packet.protocol + packet.bytes;
    return fold(pseudo + this.endpoints.shared.checksum.sum(packet.at, packet.bytes)) === 0xffff;
  }
}

/** True if IPV6_CHECKSUM may be set on the endpoint: an even offset, and not of ICMPv6, whose checksum is fixed. */
export const mayMoveChecksum = (endpoints: Endpoints, e: number, offset: number): boolean =>
  endpoints.get(e, Field.Protocol) !== ipv4.Protocol.Icmp6 && (offset === -1 || (offset >= 0 && offset % 2 === 0));
