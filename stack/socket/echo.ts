// Echo sockets (SOCK_DGRAM with ICMP or ICMPv6): a program's own pings without raw access. The identifier is the local port.

import { Drop } from '../../core/drop.ts';
import type { StateReader, StateWriter } from '../../core/state.ts';
import { finish } from '../../wire/checksum.ts';
import * as icmp from '../../wire/icmp.ts';
import * as icmp6 from '../../wire/icmp6.ts';
import { Protocol } from '../../wire/ipv4.ts';
import { type Address, isMulticast } from '../address.ts';
import { Errno } from '../errno.ts';
import type { EchoSockets } from '../ip.ts';
import { type IcmpError, type Packet, senderOf } from '../packet.ts';
import { DatagramInput } from './datagram-input.ts';
import { DatagramOutput } from './datagram-output.ts';
import type { Endpoints } from './endpoints.ts';
import { EndpointFlag, Field, Kind } from './endpoints.ts';
import { dontFragmentOf, Interceptors } from './interceptors.ts';
import { PortTable } from './port-table.ts';
import type { DatagramParts } from './udp.ts';

const CHECKSUM_AT = 2;
const ID_AT = 4;

/**
 * The echo endpoints of one stack. Messages are read and written with their ICMP header of 8 bytes, of which identifier and
 * checksum are the stack's. ICMP gives it echo replies whose checksum was verified, and errors that quote an echo request.
 */
export class Echo implements EchoSockets {
  private readonly endpoints: Endpoints;
  private readonly input: DatagramInput;
  private readonly output: DatagramOutput;
  private readonly ids: PortTable;
  private readonly interceptors4: Interceptors;
  private readonly interceptors6: Interceptors;

  constructor({ endpoints, paths, sender, hosts }: DatagramParts) {
    this.endpoints = endpoints;
    this.input = new DatagramInput(endpoints);
    this.output = new DatagramOutput(endpoints, paths, sender, hosts);
    this.ids = new PortTable(endpoints, hosts, Kind.Echo);
    this.interceptors4 = new Interceptors(endpoints, Kind.Echo);
    this.interceptors6 = new Interceptors(endpoints, Kind.Echo);
  }

  /** A new endpoint without an identifier, or -ENOBUFS. One of IPv6 does not take IPv4. */
  open(isIp6: boolean): number {
    const e = this.endpoints.open(Kind.Echo, isIp6, isIp6 ? Protocol.Icmp6 : Protocol.Icmp);
    if (e >= 0 && isIp6) this.endpoints.mark(e, EndpointFlag.V6Only, true);
    return e;
  }

  /** Gives back what does not belong to an endpoint. */
  releaseMemory(): void {
    this.output.close();
  }

  close(e: number): void {
    this.ids.release(e);
    this.interceptors4.remove(e);
    this.interceptors6.remove(e);
    this.endpoints.close(e);
  }

  /** Takes an address and an identifier, 0: any. 0 or -errno, as for UDP. */
  bind(e: number, address: Address, id: number, iface: number): number {
    return this.ids.bind(e, address, id, iface);
  }

  connect(e: number, target: Address, iface: number): number {
    const connected = this.output.connect(e, target, 0, iface);
    return connected < 0 ? connected : this.ids.autobind(e);
  }

  disconnect(e: number): void {
    this.output.disconnect(e);
  }

  /** Sends an echo request: `count` bytes that begin with an ICMP header. -EINVAL if they are something else. */
  send(e: number, bytes: Uint8Array, from: number, count: number, target: Address, iface: number): number {
    const { endpoints, output } = this;
    const isIp6 = endpoints.isIp6(e);
    const request = isIp6 ? icmp6.Type.EchoRequest : icmp.Type.EchoRequest;
    if (count < icmp.HEADER_BYTES || bytes[from] !== request || bytes[from + 1] !== 0) return -Errno.EINVAL;
    const path = output.route(e, target, iface);
    if (path < 0) return path;
    const bound = this.ids.autobind(e);
    if (bound < 0) return bound;
    const ready = output.begin(e, path, isIp6 ? Protocol.Icmp6 : Protocol.Icmp, count);
    if (ready < 0) return ready;
    output.fill(0, bytes, from, count);
    endpoints.shared.view.setUint16(output.at + ID_AT, endpoints.get(e, Field.LocalPort));
    return this.finish(isIp6, count, -1, -1);
  }

  private finish(isIp6: boolean, count: number, hops: number, trafficClass: number): number {
    const { view, checksum } = this.endpoints.shared;
    const { output } = this;
    view.setUint16(output.at + CHECKSUM_AT, 0);
    // RFC 792: no pseudo-header, so the network layer has nothing to complete.
    if (!isIp6) view.setUint16(output.at + CHECKSUM_AT, finish(checksum.sum(output.at, count)));
    const sent = output.finish(isIp6 ? CHECKSUM_AT : -1, hops, trafficClass);
    return sent < 0 ? sent : count;
  }

  /**
   * `e` takes echo requests that come in by `iface` and are for addresses that are none of this host's: the whole message,
   * the identifier in `port`. One of each family an interface. 0, -EINVAL, -EADDRINUSE. For gateways.
   */
  intercept(e: number, iface: number): number {
    return this.interceptorsOf(this.endpoints.isIp6(e)).add(e, iface);
  }

  /**
   * Sends an echo request or reply, `count` bytes with their ICMP header, as they are but for the checksum, from any source: by
   * an interceptor only, on its interface. -EPERM for others, -EINVAL of other messages. `hops` and `trafficClass` -1: the
   * socket's.
   */
  sendFrom(
    e: number,
    bytes: Uint8Array,
    from: number,
    count: number,
    source: Address,
    target: Address,
    hops: number,
    trafficClass: number,
  ): number {
    const { endpoints, output } = this;
    const isIp6 = endpoints.isIp6(e);
    const iface = this.interceptorsOf(isIp6).ifaceOf(e);
    if (iface < 0) return -Errno.EPERM;
    const request = isIp6 ? icmp6.Type.EchoRequest : icmp.Type.EchoRequest;
    const reply = isIp6 ? icmp6.Type.EchoReply : icmp.Type.EchoReply;
    const isEcho = count >= icmp.HEADER_BYTES && (bytes[from] === request || bytes[from] === reply);
    if (!isEcho || bytes[from + 1] !== 0 || isMulticast(source)) return -Errno.EINVAL;
    const path = output.route(e, target, iface, source);
    if (path < 0) return path;
    const ready = output.begin(e, path, isIp6 ? Protocol.Icmp6 : Protocol.Icmp, count);
    if (ready < 0) return ready;
    output.fill(0, bytes, from, count);
    return this.finish(isIp6, count, hops, trafficClass);
  }

  intercepted(packet: Packet): Drop {
    const { view } = this.endpoints.shared;
    const e = this.interceptorsOf(packet.isIp6).find(packet.iface);
    if (e < 0) return Drop.NotForUs;
    const id = view.getUint16(packet.at + ID_AT);
    const flags = dontFragmentOf(view, packet);
    return this.input.deliver(e, packet, id, flags, 0, 0, packet.at, packet.bytes, 0, senderOf(view, packet));
  }

  private interceptorsOf(isIp6: boolean): Interceptors {
    return isIp6 ? this.interceptors6 : this.interceptors4;
  }

  receive(packet: Packet): Drop {
    const { view } = this.endpoints.shared;
    if (packet.bytes < icmp.HEADER_BYTES) return Drop.IcmpTruncated;
    const reply = packet.isIp6 ? icmp6.Type.EchoReply : icmp.Type.EchoReply;
    if (view.getUint8(packet.at) !== reply) return Drop.NoSocket;
    const id = view.getUint16(packet.at + ID_AT);
    const e = this.find(id, packet.isIp6, packet.iface, packet.target, packet.source);
    if (e < 0) return Drop.NoSocket;
    return this.input.deliver(e, packet, id, 0, 0, 0, packet.at, packet.bytes);
  }

  fail(error: IcmpError): void {
    const { view } = this.endpoints.shared;
    if (error.bytes < icmp.HEADER_BYTES) return;
    const id = view.getUint16(error.at + ID_AT);
    const e = this.find(id, error.isIp6, error.iface, error.source, error.target);
    if (e >= 0) this.input.report(e, error, 0, error.at, error.bytes);
  }

  save(state: StateWriter): void {
    state.section('stack/echo', 2);
    this.ids.save(state);
    this.interceptors4.save(state);
    this.interceptors6.save(state);
  }

  /** After the endpoints were loaded. */
  load(state: StateReader): void {
    state.section('stack/echo', 2);
    this.ids.load(state);
    this.interceptors4.load(state);
    this.interceptors6.load(state);
  }

  private find(id: number, isIp6: boolean, iface: number, ours: Address, theirs: Address): number {
    const { endpoints, ids } = this;
    for (let e = ids.chains.first(id); e >= 0; e = ids.chains.next(e, id)) {
      if (endpoints.isIp6(e) !== isIp6 || !endpoints.takesIface(e, iface)) continue;
      if (!endpoints.isAny(e, Field.Local) && !endpoints.equals(e, Field.Local, ours)) continue;
      if (endpoints.has(e, EndpointFlag.Connected) && !endpoints.equals(e, Field.Remote, theirs)) continue;
      return e;
    }
    return -1;
  }
}
