// Whole frames of ARP, neighbour discovery and multicast listening, written in place into an interface's output.

import { PLAIN } from '../../core/burst.ts';
import { NONE } from '../../core/slab.ts';
import * as arp from '../../wire/arp.ts';
import * as ethernet from '../../wire/ethernet.ts';
import { EtherType, MAC_BYTES } from '../../wire/ethernet.ts';
import * as icmp6 from '../../wire/icmp6.ts';
import * as ipv4 from '../../wire/ipv4.ts';
import * as ipv6 from '../../wire/ipv6.ts';
import { type Address, isMulticast, write4, write6 } from '../address.ts';
import type { Shared } from '../shared.ts';
import type { NetworkInterface } from './interfaces.ts';

/** Bytes of the hop-by-hop header that holds a router alert, RFC 2711 and 8 bytes of alignment. */
const ALERT6_BYTES = 8;
/** Bytes of an IPv4 header with a router alert, RFC 2113. */
const ALERT4_HEADER_BYTES = 24;
const ALERT4_OPTION = 0x94040000;
const ALERT6_OPTION = 0x05020000; // type 5, length 2, value 0: multicast listener discovery
const PADN_0 = 0x0100;
const IGMP_TOS = 0xc0; // RFC 3376 §4: internetwork control

/** ff:ff:ff:ff:ff:ff. Never written to. */
export const BROADCAST_MAC = new Uint8Array(MAC_BYTES).fill(0xff);

/** Writes the hardware group address of an IP group to `view` at `at`: RFC 1112 §6.4, RFC 2464 §7. */
export function writeGroupMac(view: DataView, at: number, group: Address): void {
  const low = group[3]!;
  if (group[0] !== 0) {
    view.setUint16(at, 0x3333);
    view.setInt32(at + 2, low);
  } else {
    view.setUint16(at, 0x0100);
    view.setInt32(at + 2, 0x5e000000 | (low & 0x7fffff));
  }
}

/** One frame at a time: `begin…`, write the message, `end…`. A full output forgets the frame, as a full cable would. */
export class ControlFrames {
  /** Where the frame in hand is, and how long it is with everything. */
  frameAt = NONE;
  frameBytes = 0;
  private readonly view: DataView;
  private iface: NetworkInterface | undefined;
  private ip = 0;
  private message = 0;
  private messageBytes = 0;

  constructor(shared: Shared) {
    this.view = shared.view;
  }

  /**
   * Starts an ICMPv6 message of `bytes` bytes: where it begins, or NONE. A group target has its hardware address at once;
   * for others `setTargetMac` writes it. `hasAlert` puts a router alert in front (RFC 2710 §3).
   */
  begin6(
    iface: NetworkInterface,
    source: Address,
    target: Address,
    bytes: number,
    hopLimit: number,
    hasAlert: boolean,
  ): number {
    const { view } = this;
    const front = ethernet.HEADER_BYTES + ipv6.HEADER_BYTES + (hasAlert ? ALERT6_BYTES : 0);
    const at = this.reserve(iface, front + bytes, target, EtherType.Ip6);
    if (at === NONE) return NONE;
    this.ip = at + ethernet.HEADER_BYTES;
    ipv6.setClassFlow(view, this.ip, 0, 0);
    ipv6.setPayloadLength(view, this.ip, front + bytes - ethernet.HEADER_BYTES - ipv6.HEADER_BYTES);
    ipv6.setNextHeader(view, this.ip, hasAlert ? ipv6.Extension.HopByHop : ipv4.Protocol.Icmp6);
    view.setUint8(this.ip + 7, hopLimit);
    write6(view, ipv6.srcAt(this.ip), source);
    write6(view, ipv6.dstAt(this.ip), target);
    this.message = at + front;
    if (hasAlert) {
      view.setUint16(this.message - ALERT6_BYTES, ipv4.Protocol.Icmp6 << 8);
      view.setUint32(this.message - ALERT6_BYTES + 2, ALERT6_OPTION);
      view.setUint16(this.message - 2, PADN_0);
    }
    this.messageBytes = bytes;
    return this.message;
  }

  /** Starts an IGMP message with TTL 1, TOS 0xc0 and router alert (RFC 3376 §4): where it begins, or NONE. */
  begin4(iface: NetworkInterface, source: Address, target: Address, bytes: number): number {
    const { view } = this;
    const front = ethernet.HEADER_BYTES + ALERT4_HEADER_BYTES;
    const at = this.reserve(iface, front + bytes, target, EtherType.Ip4);
    if (at === NONE) return NONE;
    const ip = at + ethernet.HEADER_BYTES;
    this.ip = ip;
    ipv4.setHeaderBytes(view, ip, ALERT4_HEADER_BYTES);
    ipv4.setTos(view, ip, IGMP_TOS);
    ipv4.setTotalLength(view, ip, ALERT4_HEADER_BYTES + bytes);
    ipv4.setId(view, ip, 0);
    ipv4.setFragment(view, ip, ipv4.DONT_FRAGMENT);
    ipv4.setTtl(view, ip, 1);
    ipv4.setProtocol(view, ip, ipv4.Protocol.Igmp);
    write4(view, ip + 12, source);
    write4(view, ip + 16, target);
    view.setUint32(ip + ipv4.HEADER_BYTES, ALERT4_OPTION);
    ipv4.seal(view, ip);
    this.message = at + front;
    this.messageBytes = bytes;
    return this.message;
  }

  /** Writes the hardware address to send to: 6 bytes at `macAt` in the slab. */
  setTargetMac(macAt: number): void {
    this.view.setUint16(this.frameAt, this.view.getUint16(macAt));
    this.view.setUint32(this.frameAt + 2, this.view.getUint32(macAt + 2));
  }

  /** Writes the hardware address to send to, of 6 bytes. */
  setTargetMacBytes(mac: Uint8Array): void {
    ethernet.setMac(this.view, this.frameAt, mac);
  }

  /** Completes the ICMPv6 message's checksum. */
  seal6(): void {
    icmp6.seal(this.view, this.ip, this.message, this.messageBytes);
  }

  /** Gives the frame to the output. */
  commit(): void {
    this.iface!.output.commit(this.frameBytes, PLAIN);
  }

  /** Sends an ARP packet. `sender` and `target` are IPv4 addresses; `to` is the hardware address to send to. */
  sendArp(
    iface: NetworkInterface,
    operation: number,
    sender: number,
    target: number,
    targetMac: Uint8Array,
    to: Uint8Array,
  ): void {
    const { view } = this;
    const at = iface.isUp ? iface.output.reserve(ethernet.FRAME_BYTES_MIN) : NONE;
    if (at === NONE) return;
    ethernet.writeHeader(view, at, to, iface.mac, EtherType.Arp);
    const packet = at + ethernet.HEADER_BYTES;
    arp.writeFixed(view, packet, operation);
    ethernet.setMac(view, arp.senderMacAt(packet), iface.mac);
    arp.setSenderIp(view, packet, sender);
    ethernet.setMac(view, arp.targetMacAt(packet), targetMac);
    arp.setTargetIp(view, packet, target);
    const end = packet + arp.PACKET_BYTES;
    for (let p = end; p < at + ethernet.FRAME_BYTES_MIN; p++) view.setUint8(p, 0);
    iface.output.commit(ethernet.FRAME_BYTES_MIN, PLAIN);
  }

  private reserve(iface: NetworkInterface, bytes: number, target: Address, etherType: number): number {
    const at = iface.isUp ? iface.output.reserve(bytes) : NONE;
    this.frameAt = at;
    if (at === NONE) return NONE;
    this.iface = iface;
    this.frameBytes = bytes;
    ethernet.setMac(this.view, ethernet.srcAt(at), iface.mac);
    ethernet.setEtherType(this.view, at, etherType);
    if (isMulticast(target)) writeGroupMac(this.view, at, target);
    return at;
  }
}
