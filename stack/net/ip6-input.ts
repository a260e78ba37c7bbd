// IPv6 packets that came in: extension headers, pieces, and which are for this host. RFC 8200, RFC 4291.

import { PLAIN } from '../../core/burst.ts';
import { Drop } from '../../core/drop.ts';
import { setU8, u8 } from '../../wire/bytes.ts';
import * as ethernet from '../../wire/ethernet.ts';
import * as icmp6 from '../../wire/icmp6.ts';
import { Protocol } from '../../wire/ipv4.ts';
import * as ipv6 from '../../wire/ipv6.ts';
import { type Address, isAny, isIp4, isLinkLocal, isLoopback, isMulticast, read6 } from '../address.ts';
import { ANY_IFACE } from '../ip.ts';
import { type NetworkInterface, PACKET_BYTES_MAX } from '../link/interfaces.ts';
import { type Membership, NO_MEMBERSHIP } from '../link/next-hops.ts';
import type { Packet } from '../packet.ts';
import { ExtensionWalk, NO_PROBLEM, Problem } from './extension.ts';
import type { Icmp6Protocol } from './icmp6.ts';
import { beginPacket, type InputParts } from './ip4-input.ts';
import { IP6_KEY } from './reassembly.ts';
import { Scope, scopeOf } from './source-address.ts';

const LENGTH_AT = 4; // of the fixed header
const CLASS_MASK_ECN = 3;

/** The IPv6 side of one stack. */
export class Ip6Input {
  private readonly parts: InputParts;
  private readonly icmp6: Icmp6Protocol;
  private readonly walk = new ExtensionWalk();
  private groups: Membership = NO_MEMBERSHIP;

  constructor(parts: InputParts, icmp6Protocol: Icmp6Protocol) {
    this.parts = parts;
    this.icmp6 = icmp6Protocol;
  }

  setMembership(groups: Membership): void {
    this.groups = groups;
  }

  /** As `Ip4Input.receive`. */
  receive(iface: number, at: number, length: number, offload: number = PLAIN): Drop {
    const one = this.parts.interfaces.get(iface);
    const drop = one?.isUp && one.carriesIp6 ? this.take(one, at, length, offload) : Drop.NoPort;
    if (drop !== Drop.None) this.parts.shared.drops.add(drop);
    return drop;
  }

  private take(iface: NetworkInterface, at: number, length: number, offload: number): Drop {
    const { shared } = this.parts;
    const { view } = shared;
    if (length < ethernet.HEADER_BYTES) return Drop.EthTruncated;
    const ip = at + ethernet.HEADER_BYTES;
    const shape = ipv6.check(view, ip, length - ethernet.HEADER_BYTES);
    if (shape !== Drop.None) return shape;
    const packet = beginPacket(shared, iface, at, offload);
    packet.isIp6 = true;
    packet.ipBytes = ipv6.HEADER_BYTES + ipv6.payloadLength(view, ip);
    read6(view, ipv6.srcAt(ip), packet.source);
    read6(view, ipv6.dstAt(ip), packet.target);
    iface.rxPackets++;
    iface.rxBytes += packet.ipBytes;
    if (!iface.isLoopback) {
      const martian = this.checkAddresses(packet);
      if (martian !== Drop.None) return martian;
    }
    packet.hopLimit = ipv6.hopLimit(view, ip);
    packet.trafficClass = ipv6.trafficClass(view, ip);
    this.walk.start(view, ip);
    if (iface.isLoopback || this.isForUs(iface, packet)) {
      // RFC 8200 §3: who takes a packet that is for another is a router to its sender.
      const isSpent = iface.acceptsAny && packet.hopLimit <= 1 && !isMulticast(packet.target);
      if (!isSpent || this.parts.addresses.isTarget(packet.target, iface.number)) return this.read(packet);
      this.complain(packet, icmp6.Type.TimeExceeded, 0, 0, false);
      return Drop.HopLimit;
    }
    if (!iface.forwards6 || packet.isGroupFrame || isMulticast(packet.target)) return Drop.NotForUs;
    const drop = this.walk.hopByHop(view, ip, packet.ipBytes);
    if (drop !== Drop.None) return this.refuse(packet, drop);
    return this.parts.forwarder.forward6(iface, packet, offload);
  }

  /** RFC 4291 §2.5.2, §2.5.3, §2.7. IPv4-mapped addresses on a wire would pass for IPv4's here, so they are refused. */
  private checkAddresses({ source, target }: Packet): Drop {
    const { addresses } = this.parts;
    if (isMulticast(source) || isIp4(source) || isLoopback(source)) return Drop.BadSource;
    if (isAny(target) || isIp4(target) || isLoopback(target)) return Drop.BadTarget;
    if (isMulticast(target) && scopeOf(target) <= Scope.Interface) return Drop.BadTarget;
    if (isAny(source)) return isMulticast(target) ? Drop.None : Drop.BadSource;
    return addresses.isOurs(source, ANY_IFACE) ? Drop.BadSource : Drop.None;
  }

  private isForUs(iface: NetworkInterface, { source, target }: Packet): boolean {
    if (isMulticast(target))
      return (
        isAllNodes(target) ||
        (iface.forwards6 && isAllRouters(target)) ||
        this.groups.isMember(iface.number, target, source)
      );
    // RFC 4291 §2.5.6: no router takes a packet for another's link-local address.
    return (iface.acceptsAny && !isLinkLocal(target)) || this.parts.addresses.isTarget(target, iface.number);
  }

  /** Walks on from where the walk is, to the upper layer. */
  private read(packet: Packet): Drop {
    const { view } = this.parts.shared;
    const { walk } = this;
    for (;;) {
      const drop = walk.walk(view, packet.ip, packet.ipBytes);
      if (drop !== Drop.None) return this.refuse(packet, drop);
      if (walk.protocol === ipv6.Extension.NoNext) return Drop.None; // RFC 8200 §4.7
      if (walk.protocol !== ipv6.Extension.Fragment) return this.deliver(packet);
      const header = packet.ip + walk.offset;
      const isAtomic = ipv6.fragmentBytes(view, header) === 0 && !ipv6.fragmentMore(view, header);
      if (!isAtomic) return packet.wasReassembled ? Drop.FragmentFormat : this.gather(packet);
      walk.skipFragment(view, packet.ip); // RFC 6946 §4: alone, whatever else is waiting
      packet.wasReassembled = true; // RFC 6980 §5: the header alone makes neighbour discovery invalid
    }
  }

  /** RFC 8200 §4.5, RFC 7112 §5. */
  private gather(packet: Packet): Drop {
    const { shared, reassembly } = this.parts;
    const { view } = shared;
    const { walk } = this;
    const { ip, ipBytes } = packet;
    const header = ip + walk.offset;
    const headerBytes = walk.offset + ipv6.FRAGMENT_BYTES;
    const bytes = ipBytes - headerBytes;
    const start = ipv6.fragmentBytes(view, header);
    const isLast = !ipv6.fragmentMore(view, header);
    if (!isLast && (bytes & 7) !== 0) return this.problem(packet, Problem.Field, LENGTH_AT, Drop.FragmentFormat);
    if (walk.offset - ipv6.HEADER_BYTES + start + bytes > PACKET_BYTES_MAX) {
      return this.problem(packet, Problem.Field, walk.offset + 2, Drop.FragmentFormat);
    }
    if (start === 0 && !walk.hasWholeChain(view, ip, ipBytes)) {
      return this.problem(packet, Problem.Chain, 0, Drop.FragmentFormat);
    }
    if (bytes <= 0) return Drop.FragmentFormat;
    const row = reassembly.row(packet.source, packet.target, ipv6.fragmentId(view, header), IP6_KEY, packet.iface);
    const ecn = packet.trafficClass & CLASS_MASK_ECN;
    if (!reassembly.add(row, ip, headerBytes, ip + headerBytes, bytes, start, isLast, ecn)) return reassembly.drop;
    const drop = this.join(packet) ? this.read(packet) : Drop.FragmentFormat;
    reassembly.release(row);
    return drop;
  }

  /** Makes one packet of the headers and the data that were put together: without the fragment header. RFC 8200 §4.5 */
  private join(packet: Packet): boolean {
    const { shared, reassembly } = this.parts;
    const { view } = shared;
    const { walk } = this;
    const stored = reassembly.doneIp;
    // The headers are the first piece's, which may have others than the last one's.
    walk.start(view, stored);
    walk.walk(view, stored, reassembly.doneHeaderBytes);
    const { offset, protocolOffset } = walk;
    const payload = offset - ipv6.HEADER_BYTES + reassembly.doneBytes;
    if (payload > PACKET_BYTES_MAX) return false;
    const next = u8(view, stored + offset);
    const ip = stored + ipv6.FRAGMENT_BYTES;
    shared.bytes.copyWithin(ip, stored, stored + offset);
    setU8(view, ip + protocolOffset, next);
    ipv6.setPayloadLength(view, ip, payload);
    if (reassembly.doneEcn >= 0) {
      const marked = ipv6.trafficClass(view, ip) | reassembly.doneEcn;
      ipv6.setClassFlow(view, ip, marked, ipv6.flowLabel(view, ip));
    }
    walk.protocol = next;
    packet.ip = ip;
    packet.ipBytes = ipv6.HEADER_BYTES + payload;
    packet.hopLimit = ipv6.hopLimit(view, ip);
    packet.trafficClass = ipv6.trafficClass(view, ip);
    packet.wasReassembled = true;
    packet.segmentBytes = 0;
    packet.isChecksumKnown = this.parts.interfaces.get(packet.iface)!.isLoopback;
    return true;
  }

  private deliver(packet: Packet): Drop {
    const { walk } = this;
    packet.protocol = walk.protocol;
    packet.protocolOffset = walk.protocolOffset;
    packet.at = packet.ip + walk.offset;
    packet.bytes = packet.ipBytes - walk.offset;
    const { protocolOffset } = walk;
    const drop = this.parts.protocols.deliver(packet);
    // An echo reply that nobody waits for has no port.
    if (drop === Drop.NoSocket && packet.protocol === Protocol.Icmp6) return drop;
    if (drop === Drop.NoSocket) this.complain(packet, icmp6.Type.Unreachable, 4, 0, false);
    else if (drop === Drop.UnknownProtocol) {
      this.complain(packet, icmp6.Type.ParameterProblem, Problem.NextHeader, protocolOffset, false);
    }
    return drop;
  }

  /** Tells the source what the walk found wrong, if it is to be told. */
  private refuse(packet: Packet, drop: Drop): Drop {
    const { problem, pointer, isForGroups } = this.walk;
    if (problem !== NO_PROBLEM) this.complain(packet, icmp6.Type.ParameterProblem, problem, pointer, isForGroups);
    return drop;
  }

  private problem(packet: Packet, code: number, pointer: number, drop: Drop): Drop {
    this.complain(packet, icmp6.Type.ParameterProblem, code, pointer, false);
    return drop;
  }

  private complain(packet: Packet, type: number, code: number, word: number, isForGroups: boolean): void {
    const { iface, ip, ipBytes, isGroupFrame } = packet;
    const drop = this.icmp6.sendError(iface, ip, ipBytes, isGroupFrame, type, code, word, isForGroups);
    if (drop !== Drop.None) this.parts.shared.drops.add(drop);
  }
}

/** ff02::1; every node is a member. RFC 4291 §2.7.1 */
const isAllNodes = (a: Address): boolean => a[0] === (0xff020000 | 0) && a[1] === 0 && a[2] === 0 && a[3] === 1;

/** ff02::2 and ff05::2; every router is a member where it forwards. RFC 4291 §2.8 */
const isAllRouters = (a: Address): boolean =>
  (a[0] === (0xff020000 | 0) || a[0] === (0xff050000 | 0)) && a[1] === 0 && a[2] === 0 && a[3] === 2;
