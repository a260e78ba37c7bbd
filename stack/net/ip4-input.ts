// IPv4 packets that came in: which are for this host, which are passed on, and which nobody may send. RFC 1122 §3.2.1.

import { PLAIN } from '../../core/burst.ts';
import { Drop } from '../../core/drop.ts';
import type { StateReader, StateWriter } from '../../core/state.ts';
import { u8 } from '../../wire/bytes.ts';
import * as ethernet from '../../wire/ethernet.ts';
import * as icmp from '../../wire/icmp.ts';
import * as ipv4 from '../../wire/ipv4.ts';
import { gsoBytes, gsoType, OffloadFlag, offloadFlags } from '../../wire/offload.ts';
import { type Address, isAny, isLoopback, isMulticast, read4 } from '../address.ts';
import type { Addresses } from '../autoconf/addresses.ts';
import { ANY_IFACE } from '../ip.ts';
import { type Interfaces, type NetworkInterface, PACKET_BYTES_MAX } from '../link/interfaces.ts';
import { type Membership, NO_MEMBERSHIP } from '../link/next-hops.ts';
import type { Packet } from '../packet.ts';
import type { Shared } from '../shared.ts';
import type { Forwarder } from './forward.ts';
import type { IcmpProtocol } from './icmp.ts';
import type { Protocols } from './protocols.ts';
import type { Reassembly } from './reassembly.ts';

const PROTOCOL_AT = 9;
const VERIFIED = OffloadFlag.NeedsChecksum | OffloadFlag.DataValid;
const Option = { End: 0, Nop: 1, LooseRoute: 131, StrictRoute: 137 } as const;
const ALL_HOSTS = 0xe0000001 | 0;

/** What IPv4 and IPv6 input are made of. */
export interface InputParts {
  readonly shared: Shared;
  readonly interfaces: Interfaces;
  readonly addresses: Addresses;
  readonly protocols: Protocols;
  readonly reassembly: Reassembly;
  readonly forwarder: Forwarder;
}

/** True if whoever gave the frame vouches for its checksum. `offload` may be PLAIN. */
export const isVerified = (view: DataView, offload: number): boolean =>
  offload !== PLAIN && (offloadFlags(view, offload) & VERIFIED) !== 0;

/** Fills the shared packet with what is the same for both families. `frame` is where the Ethernet header is. */
export function beginPacket(shared: Shared, iface: NetworkInterface, frame: number, offload: number): Packet {
  const { packet, view } = shared;
  packet.iface = iface.number;
  packet.frameAt = iface.isLoopback ? 0 : frame;
  packet.isGroupFrame = ethernet.isGroup(view, frame) && !iface.isLoopback;
  packet.ip = frame + ethernet.HEADER_BYTES;
  packet.isChecksumKnown = iface.isLoopback || isVerified(view, offload);
  packet.segmentBytes = offload !== PLAIN && gsoType(view, offload) !== 0 ? gsoBytes(view, offload) : 0;
  packet.wasReassembled = false;
  return packet;
}

/** The IPv4 side of one stack. */
export class Ip4Input {
  private readonly parts: InputParts;
  private readonly icmp: IcmpProtocol;
  private groups: Membership = NO_MEMBERSHIP;

  constructor(parts: InputParts, icmpProtocol: IcmpProtocol) {
    this.parts = parts;
    this.icmp = icmpProtocol;
  }

  setMembership(groups: Membership): void {
    this.groups = groups;
  }

  /**
   * Takes the frame of `length` bytes at `at`, Ethernet header included, that came in by `iface` and is addressed to this host
   * or a group. `offload`: where its offload header is, or PLAIN. What became of it, already counted.
   */
  receive(iface: number, at: number, length: number, offload: number = PLAIN): Drop {
    const one = this.parts.interfaces.get(iface);
    const drop = one?.isUp ? this.take(one, at, length, offload) : Drop.NoPort;
    if (drop !== Drop.None) this.parts.shared.drops.add(drop);
    return drop;
  }

  /** The state of what IPv4 and IPv6 input share. */
  save(state: StateWriter): void {
    this.parts.reassembly.save(state);
  }

  load(state: StateReader): void {
    this.parts.reassembly.load(state);
  }

  private take(iface: NetworkInterface, at: number, length: number, offload: number): Drop {
    const { shared } = this.parts;
    const { view } = shared;
    if (length < ethernet.HEADER_BYTES) return Drop.EthTruncated;
    const ip = at + ethernet.HEADER_BYTES;
    const shape = ipv4.check(view, ip, length - ethernet.HEADER_BYTES);
    if (shape !== Drop.None) return shape;
    // RFC 1122 §3.2.1.2: always, whatever the port vouches for.
    if (shared.checksum.sum(ip, ipv4.headerBytes(view, ip)) !== 0xffff) return Drop.Ip4Checksum;
    const packet = beginPacket(shared, iface, at, offload);
    packet.isIp6 = false;
    packet.ipBytes = ipv4.totalLength(view, ip);
    read4(view, ip + 12, packet.source);
    read4(view, ip + 16, packet.target);
    iface.rxPackets++;
    iface.rxBytes += packet.ipBytes;
    if (!iface.isLoopback) {
      const martian = this.checkAddresses(iface, packet);
      if (martian !== Drop.None) return martian;
    }
    const options = ipv4.headerBytes(view, ip) > ipv4.HEADER_BYTES ? this.checkOptions(packet) : Drop.None;
    if (options !== Drop.None) return options;
    if (!iface.isLoopback && !this.isForUs(iface, packet)) return this.passOn(iface, packet, offload);
    // RFC 1812 §5.3.1: who takes a packet that is for another is a router to its sender.
    if (iface.acceptsAny && ipv4.ttl(view, ip) <= 1 && this.isForeign(iface, packet)) {
      this.complain(packet, icmp.Type.TimeExceeded, 0, 0);
      return Drop.HopLimit;
    }
    return ipv4.isFragment(view, ip) ? this.gather(packet) : this.deliver(packet);
  }

  /** RFC 1122 §3.2.1.3, RFC 1812 §5.3.7: what may not be in a packet from a wire. */
  private checkAddresses(iface: NetworkInterface, packet: Packet): Drop {
    const { source, target } = packet;
    const { addresses } = this.parts;
    const isToAll = addresses.isBroadcast(target, iface.number);
    if (source[3]! >>> 24 === 0 && !(isAny(source) && (isToAll || isMulticast(target)))) return Drop.BadSource; // (a), (b)
    if (isLoopback(source) || isMulticast(source) || source[3]! >>> 28 === 15) return Drop.BadSource;
    if (addresses.isBroadcast(source, iface.number) || addresses.isOurs(source, ANY_IFACE)) return Drop.BadSource;
    if (isLoopback(target) || target[3]! >>> 24 === 0) return Drop.BadTarget; // (g)
    if (target[3]! >>> 28 === 15 && !isToAll) return Drop.BadTarget;
    // RFC 1122 §3.3.6: a unicast packet has no business in a group frame.
    return packet.isGroupFrame && !isToAll && !isMulticast(target) ? Drop.BadTarget : Drop.None;
  }

  private isForUs(iface: NetworkInterface, { source, target }: Packet): boolean {
    const { addresses } = this.parts;
    if (isMulticast(target)) return this.isMember(iface.number, target, source);
    if (iface.acceptsAny || addresses.isTarget(target, iface.number)) return true;
    return addresses.isBroadcast(target, iface.number);
  }

  private isForeign(iface: NetworkInterface, { target }: Packet): boolean {
    const { addresses } = this.parts;
    return (
      !isMulticast(target) && !addresses.isTarget(target, iface.number) && !addresses.isBroadcast(target, iface.number)
    );
  }

  /** RFC 1112 §7.2: everybody is in 224.0.0.1. */
  private isMember(iface: number, group: Address, source: Address): boolean {
    return group[3] === ALL_HOSTS || this.groups.isMember(iface, group, source);
  }

  private passOn(iface: NetworkInterface, packet: Packet, offload: number): Drop {
    if (!iface.forwards4 || packet.isGroupFrame || isMulticast(packet.target)) return Drop.NotForUs;
    return this.parts.forwarder.forward4(iface, packet, offload);
  }

  /** RFC 1122 §3.2.1.8: options that are not understood are ignored. Source routes are refused, RFC 7126 §4.3 and §4.4. */
  private checkOptions(packet: Packet): Drop {
    const { view } = this.parts.shared;
    const end = ipv4.headerBytes(view, packet.ip);
    for (let o = ipv4.HEADER_BYTES; o < end; ) {
      const kind = u8(view, packet.ip + o);
      if (kind === Option.End) return Drop.None;
      if (kind === Option.Nop) {
        o++;
        continue;
      }
      const bytes = o + 1 < end ? u8(view, packet.ip + o + 1) : 0;
      if (bytes < 2 || o + bytes > end) {
        const pointer = o + 1 < end ? o + 1 : o;
        this.complain(packet, icmp.Type.ParameterProblem, 0, pointer * 0x1000000);
        return Drop.Ip4Option;
      }
      if (kind === Option.LooseRoute || kind === Option.StrictRoute) return Drop.Ip4Option;
      o += bytes;
    }
    return Drop.None;
  }

  /** One piece of a packet; the whole packet if it was the last. RFC 791 §3.2 */
  private gather(packet: Packet): Drop {
    const { shared, reassembly } = this.parts;
    const { view } = shared;
    const { ip } = packet;
    const headerBytes = ipv4.headerBytes(view, ip);
    const bytes = packet.ipBytes - headerBytes;
    const start = ipv4.fragmentBytes(view, ip);
    const isLast = (ipv4.fragment(view, ip) & ipv4.MORE_FRAGMENTS) === 0;
    const fits = bytes > 0 && start + bytes <= PACKET_BYTES_MAX - headerBytes && (isLast || (bytes & 7) === 0);
    if (!fits) return Drop.FragmentFormat;
    const protocol = ipv4.protocol(view, ip);
    const row = reassembly.row(packet.source, packet.target, ipv4.id(view, ip), protocol, packet.iface);
    const ecn = ipv4.tos(view, ip) & 3;
    if (!reassembly.add(row, ip, headerBytes, ip + headerBytes, bytes, start, isLast, ecn)) return reassembly.drop;
    const whole = reassembly.doneIp;
    const total = reassembly.doneHeaderBytes + reassembly.doneBytes;
    if (total > PACKET_BYTES_MAX) {
      reassembly.release(row);
      return Drop.FragmentFormat;
    }
    ipv4.setTotalLength(view, whole, total);
    ipv4.setFragment(view, whole, 0);
    if (reassembly.doneEcn >= 0) ipv4.setTos(view, whole, ipv4.tos(view, whole) | reassembly.doneEcn);
    ipv4.seal(view, whole);
    packet.ip = whole;
    packet.ipBytes = total;
    packet.wasReassembled = true;
    packet.segmentBytes = 0;
    packet.isChecksumKnown = this.parts.interfaces.get(packet.iface)!.isLoopback;
    const drop = this.deliver(packet);
    reassembly.release(row);
    return drop;
  }

  private deliver(packet: Packet): Drop {
    const { view } = this.parts.shared;
    const { ip } = packet;
    const headerBytes = ipv4.headerBytes(view, ip);
    packet.protocol = ipv4.protocol(view, ip);
    packet.protocolOffset = PROTOCOL_AT;
    packet.at = ip + headerBytes;
    packet.bytes = packet.ipBytes - headerBytes;
    packet.hopLimit = ipv4.ttl(view, ip);
    packet.trafficClass = ipv4.tos(view, ip);
    const drop = this.parts.protocols.deliver(packet);
    const { Protocol, Port } = icmp.Unreachable;
    // An echo reply that nobody waits for has no port: RFC 1122 §3.2.2.6 asks for silence.
    if (drop === Drop.NoSocket && packet.protocol === ipv4.Protocol.Icmp) return drop;
    if (drop === Drop.NoSocket) this.complain(packet, icmp.Type.Unreachable, Port, 0);
    else if (drop === Drop.UnknownProtocol) this.complain(packet, icmp.Type.Unreachable, Protocol, 0);
    return drop;
  }

  private complain(packet: Packet, type: number, code: number, word: number): void {
    const { iface, ip, ipBytes, isGroupFrame } = packet;
    const drop = this.icmp.sendError(iface, ip, ipBytes, isGroupFrame, type, code, word);
    if (drop !== Drop.None) this.parts.shared.drops.add(drop);
  }
}
