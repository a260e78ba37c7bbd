// The parts of the network layer put together for tests, with small fakes of what belongs to others.

import { Burst, PLAIN } from '../../core/burst.ts';
import { Drop } from '../../core/drop.ts';
import { Slab } from '../../core/slab.ts';
import { type Address, format, parse } from '../../stack/address.ts';
import { Addresses, AddressOrigin, AddressState } from '../../stack/autoconf/addresses.ts';
import type { Transport } from '../../stack/ip.ts';
import { LIMITS, type Limits } from '../../stack/limits.ts';
import { Interfaces, type NetworkInterface } from '../../stack/link/interfaces.ts';
import { Loopback } from '../../stack/link/loopback.ts';
import type { NextHops } from '../../stack/link/next-hops.ts';
import { Forwarder } from '../../stack/net/forward.ts';
import { IcmpProtocol } from '../../stack/net/icmp.ts';
import { Icmp6Protocol } from '../../stack/net/icmp6.ts';
import { IpOutput } from '../../stack/net/ip-output.ts';
import { Ip4Input } from '../../stack/net/ip4-input.ts';
import { Ip6Input } from '../../stack/net/ip6-input.ts';
import { LinkReports } from '../../stack/net/link-reports.ts';
import { Paths } from '../../stack/net/paths.ts';
import { Protocols } from '../../stack/net/protocols.ts';
import { Reassembly } from '../../stack/net/reassembly.ts';
import { Redirects } from '../../stack/net/redirects.ts';
import { Routes } from '../../stack/net/routes.ts';
import type { IcmpError, Packet } from '../../stack/packet.ts';
import { Shared } from '../../stack/shared.ts';
import { checksumOf, finish, pseudoHeader4, pseudoHeader6 } from '../../wire/checksum.ts';
import * as ipv4 from '../../wire/ipv4.ts';
import * as ipv6 from '../../wire/ipv6.ts';

/** An address, which the test spelled right. */
export function ip(text: string): Address {
  const address = parse(text);
  if (!address) throw new Error(`no address: ${text}`);
  return address;
}

export const SECRET = Int32Array.of(1, 2, 3, 4);
export const MAC = Uint8Array.of(2, 0, 0, 0, 0, 1);

/** What every part needs: memory, interfaces, addresses, routes. */
export class BaseKit {
  readonly slab: Slab;
  readonly shared: Shared;
  readonly interfaces: Interfaces;
  readonly routes: Routes;
  readonly addresses: Addresses;
  readonly limits: Limits;

  constructor(limits: Partial<Limits> = {}) {
    this.limits = { ...LIMITS, ...limits };
    this.slab = new Slab({ bytesMax: 16 << 20 });
    this.shared = new Shared(this.slab, SECRET);
    this.interfaces = new Interfaces(this.slab, this.limits);
    this.routes = new Routes(this.shared, this.limits);
    this.addresses = new Addresses(this.limits, this.routes);
  }

  link(name: string, options: { mtuBytes?: number; takesOffload?: boolean } = {}): NetworkInterface {
    return this.interfaces.add({
      name,
      mac: MAC,
      mtuBytes: options.mtuBytes ?? 1500,
      takesOffload: options.takesOffload ?? false,
    });
  }

  /** Adds a preferred static address: `10.0.0.1/24`. */
  address(iface: number, text: string, state: AddressState = AddressState.Preferred): number {
    const [address, bits] = text.split('/');
    return this.addresses.add(iface, ip(address!), Number(bits), state, AddressOrigin.Static, Infinity, Infinity);
  }

  route(text: string, gateway: string | undefined, iface: number, metric = 0): number {
    const [prefix, bits] = text.split('/');
    const via = gateway === undefined ? {} : { gateway: ip(gateway) };
    return this.routes.add({ prefix: ip(prefix!), bits: Number(bits), iface, metric, ...via });
  }
}

/** Neighbours that all answer, or none. */
export class FakeHops implements NextHops {
  isKnown = true;
  readonly held: number[] = [];
  readonly asked: string[] = [];
  confirmed = 0;
  private readonly slab: Slab;

  constructor(slab: Slab) {
    this.slab = slab;
  }

  find(_iface: number, address: Address): number {
    this.asked.push(format(address));
    return 0;
  }
  isUsable(): boolean {
    return this.isKnown;
  }
  writeMac(_n: number, at: number): void {
    this.slab.bytes.set([2, 0, 0, 0, 0, 9], at);
  }
  use(): void {}
  hold(_n: number, _at: number, bytes: number): Drop {
    this.held.push(bytes);
    return Drop.None;
  }
  confirm(): void {
    this.confirmed++;
  }
}

/** Remembers what it was given. */
export class FakeTransport implements Transport {
  readonly packets: {
    at: number;
    bytes: Uint8Array;
    protocolOffset: number;
    trafficClass: number;
    segmentBytes: number;
    isChecksumKnown: boolean;
  }[] = [];
  readonly errors: Partial<IcmpError>[] = [];
  answer: Drop = Drop.None;
  private readonly slab: Slab;

  constructor(slab: Slab) {
    this.slab = slab;
  }

  receive(p: Packet): Drop {
    const bytes = this.slab.bytes.slice(p.at, p.at + p.bytes);
    const { at, protocolOffset, trafficClass, segmentBytes, isChecksumKnown } = p;
    this.packets.push({ at, bytes, protocolOffset, trafficClass, segmentBytes, isChecksumKnown });
    return this.answer;
  }

  fail({ type, code, errno, isHard, mtuBytes, protocol, bytes }: IcmpError): void {
    this.errors.push({ type, code, errno, isHard, mtuBytes, protocol, bytes });
  }
}

export const UDP = 17;

/** The whole network layer: eth0 (2) with 10.0.0.1/24, 2001:db8::1/64 and fe80::1, a transport for UDP. */
export class NetKit extends BaseKit {
  readonly hops: FakeHops;
  readonly udp: FakeTransport;
  readonly groups = { isMember: (_iface: number, group: Address) => this.joined.has(format(group)) };
  readonly joined = new Set<string>();
  readonly eth0: NetworkInterface;
  readonly paths: Paths;
  readonly output: IpOutput;
  readonly protocols = new Protocols();
  readonly reassembly: Reassembly;
  readonly icmp: IcmpProtocol;
  readonly icmp6: Icmp6Protocol;
  readonly reports: LinkReports;
  readonly forwarder: Forwarder;
  readonly ip4: Ip4Input;
  readonly ip6: Ip6Input;
  readonly loopback: Loopback;
  private readonly frameAt: number;

  constructor(options: { mtuBytes?: number; takesOffload?: boolean; limits?: Partial<Limits> } = {}) {
    super(options.limits);
    const { shared, interfaces, addresses, routes, limits, protocols } = this;
    this.eth0 = this.link('eth0', options);
    this.address(2, '10.0.0.1/24');
    this.address(2, '2001:db8::1/64');
    this.address(2, 'fe80::1/64');
    this.hops = new FakeHops(this.slab);
    this.udp = new FakeTransport(this.slab);
    this.paths = new Paths(shared, limits, interfaces, addresses, routes);
    this.paths.setNextHops(this.hops);
    this.output = new IpOutput(shared, interfaces, this.paths);
    this.output.setNextHops(this.hops);
    this.reassembly = new Reassembly(shared, limits);
    this.icmp = new IcmpProtocol(shared, interfaces, addresses, this.paths, this.output, protocols);
    this.icmp6 = new Icmp6Protocol(shared, interfaces, addresses, this.paths, this.output, protocols);
    this.reports = new LinkReports(shared, addresses, protocols, this.icmp, this.icmp6, this.reassembly);
    const redirects = new Redirects(shared, addresses, this.paths, this.output, this.icmp);
    const { output, icmp, icmp6, reassembly } = this;
    this.forwarder = new Forwarder({ shared, interfaces, addresses, routes, output, icmp, icmp6, redirects });
    const parts = { shared, interfaces, addresses, protocols, reassembly, forwarder: this.forwarder };
    this.ip4 = new Ip4Input(parts, icmp);
    this.ip6 = new Ip6Input(parts, icmp6);
    this.ip4.setMembership(this.groups);
    this.ip6.setMembership(this.groups);
    this.loopback = new Loopback(shared, interfaces, this.ip4, this.ip6);
    protocols.register(UDP, this.udp);
    this.frameAt = this.slab.alloc(1 << 17) + 14; // room for an offload header
  }

  /** Receives an IP packet in a frame to this host, or to a group. */
  receive(packet: Uint8Array, { iface = 2, isGroup = false, header = undefined as Uint8Array | undefined } = {}): Drop {
    const at = this.frameAt;
    const isIp6 = packet[0]! >>> 4 === 6;
    this.slab.bytes.set([isGroup ? 1 : 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 9, ...(isIp6 ? [0x86, 0xdd] : [8, 0])], at);
    this.slab.bytes.set(packet, at + 14);
    if (header) this.slab.bytes.set(header, at - 10);
    return (isIp6 ? this.ip6 : this.ip4).receive(iface, at, packet.length + 14, header ? at - 10 : PLAIN);
  }

  /** The IP packets that left by an interface since the last call. */
  sent(iface = 2): Uint8Array[] {
    return this.frames(iface).map((frame) => frame.slice(14));
  }

  /** The frames that left, and whether each had an offload header. */
  frames(iface = 2): Uint8Array[] {
    const burst = new Burst(1024);
    this.interfaces.get(iface)!.output.drain(burst);
    return Array.from({ length: burst.count }, (_, k) =>
      this.slab.bytes.slice(burst.at[k]!, burst.at[k]! + burst.length[k]!),
    );
  }
}

/** A payload of UDP with ports, to be put into a packet: no checksum, which nobody here looks at. */
export const udpData = (bytes: number): Uint8Array =>
  Uint8Array.from({ length: bytes }, (_, i) =>
    i < 4 ? [4, 210, 22, 46][i]! : i === 4 ? bytes >>> 8 : i === 5 ? bytes : i < 8 ? 0 : i * 7,
  );

/** An IPv4 packet, sealed. */
export function packet4(o: {
  from?: string;
  to?: string;
  protocol?: number;
  data?: Uint8Array;
  options?: number[];
  ttl?: number;
  fragment?: number;
  id?: number;
  tos?: number;
}): Uint8Array {
  const data = o.data ?? udpData(16);
  const options = o.options ?? [];
  const bytes = new Uint8Array(20 + options.length + data.length);
  const view = new DataView(bytes.buffer);
  bytes.set(options, 20);
  bytes.set(data, 20 + options.length);
  ipv4.setHeaderBytes(view, 0, 20 + options.length);
  ipv4.setTos(view, 0, o.tos ?? 0);
  ipv4.setTotalLength(view, 0, bytes.length);
  ipv4.setId(view, 0, o.id ?? 0);
  ipv4.setFragment(view, 0, o.fragment ?? 0);
  ipv4.setTtl(view, 0, o.ttl ?? 64);
  ipv4.setProtocol(view, 0, o.protocol ?? UDP);
  ipv4.setSrc(view, 0, ip(o.from ?? '10.0.0.2')[3]!);
  ipv4.setDst(view, 0, ip(o.to ?? '10.0.0.1')[3]!);
  ipv4.seal(view, 0);
  return bytes;
}

/** An IPv6 packet; `data` begins with the extension headers that `next` says. */
export function packet6(o: {
  from?: string;
  to?: string;
  next?: number;
  data?: Uint8Array;
  hopLimit?: number;
  trafficClass?: number;
}): Uint8Array {
  const data = o.data ?? udpData(16);
  const bytes = new Uint8Array(40 + data.length);
  const view = new DataView(bytes.buffer);
  bytes.set(data, 40);
  ipv6.setClassFlow(view, 0, o.trafficClass ?? 0, 0);
  ipv6.setPayloadLength(view, 0, data.length);
  ipv6.setNextHeader(view, 0, o.next ?? UDP);
  ipv6.setHopLimit(view, 0, o.hopLimit ?? 64);
  ipv6.setAddress(view, 8, ipv6.parseAddress(o.from ?? '2001:db8::2')!);
  ipv6.setAddress(view, 24, ipv6.parseAddress(o.to ?? '2001:db8::1')!);
  return bytes;
}

/** An ICMP or ICMPv6 message with its right checksum, in a packet. */
export function icmpPacket(
  isIp6: boolean,
  head: number[],
  body: Uint8Array,
  o: { from?: string; to?: string } = {},
): Uint8Array {
  const data = Uint8Array.of(...head, ...body);
  const packet = isIp6 ? packet6({ ...o, next: 58, data }) : packet4({ ...o, protocol: 1, data });
  const view = new DataView(packet.buffer);
  const at = isIp6 ? 40 : 20;
  const pseudo = isIp6 ? pseudoHeader6(view, 0, 58, data.length) : 0;
  view.setUint16(at + 2, finish(checksumOf(view, at, data.length, pseudo)));
  return packet;
}

/** True if the transport checksum of a sent packet is right. */
export function isSumRight(packet: Uint8Array): boolean {
  const view = new DataView(packet.buffer, packet.byteOffset, packet.length);
  const isIp6 = packet[0]! >>> 4 === 6;
  const at = isIp6 ? 40 : ipv4.headerBytes(view, 0);
  const length = packet.length - at;
  const protocol = isIp6 ? packet[6]! : packet[9]!;
  const pseudo = isIp6
    ? pseudoHeader6(view, 0, protocol, length)
    : protocol === 1
      ? 0
      : pseudoHeader4(view, 0, protocol, length);
  return checksumOf(view, at, length, pseudo) === 0xffff && (isIp6 || checksumOf(view, 0, at) === 0xffff);
}
