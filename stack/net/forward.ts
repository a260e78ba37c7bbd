// Packets that are for others: passed on by the interfaces that have the router's role. RFC 1812, RFC 8200, RFC 4861 §8.2.

import { Burst, PLAIN } from '../../core/burst.ts';
import { Drop } from '../../core/drop.ts';
import { NONE } from '../../core/slab.ts';
import { setU8, u8 } from '../../wire/bytes.ts';
import * as ethernet from '../../wire/ethernet.ts';
import * as icmp from '../../wire/icmp.ts';
import * as icmp6 from '../../wire/icmp6.ts';
import * as ipv4 from '../../wire/ipv4.ts';
import * as ipv6 from '../../wire/ipv6.ts';
import { OFFLOAD_HEADER_BYTES, Offloader } from '../../wire/offload.ts';
import { ADDRESS_WORDS, type Address, assign, equal, ip4Of, isAny, isLinkLocal } from '../address.ts';
import type { Addresses } from '../autoconf/addresses.ts';
import { ANY_IFACE } from '../ip.ts';
import type { Interfaces, NetworkInterface } from '../link/interfaces.ts';
import { NO_ADDRESS, sourceFor } from '../link/own-addresses.ts';
import type { Packet } from '../packet.ts';
import type { Shared } from '../shared.ts';
import type { IcmpProtocol } from './icmp.ts';
import type { Icmp6Protocol } from './icmp6.ts';
import type { IpOutput } from './ip-output.ts';
import { gather } from './ip4-options.ts';
import type { Redirects } from './redirects.ts';
import type { Routes } from './routes.ts';

const { HEADER_BYTES: ETHERNET_BYTES } = ethernet;
const SCRATCH_BYTES = 1 << 17;
const SEGMENTS_MAX = 128;
const OPTION_COPIED = 0x80;
const NOP = 1;

/** The forwarder of one stack. It has no state but memory for super-frames that must be cut. */
export class Forwarder {
  private readonly shared: Shared;
  private readonly interfaces: Interfaces;
  private readonly addresses: Addresses;
  private readonly routes: Routes;
  private readonly output: IpOutput;
  private readonly icmp: IcmpProtocol;
  private readonly icmp6: Icmp6Protocol;
  private readonly redirects: Redirects;
  private readonly offloader: Offloader;
  private readonly segments = new Burst(SEGMENTS_MAX);
  private readonly hop: Address = new Int32Array(ADDRESS_WORDS);
  private scratch: number = NONE;
  private out: NetworkInterface;
  private mtu = 0;

  constructor(parts: {
    shared: Shared;
    interfaces: Interfaces;
    addresses: Addresses;
    routes: Routes;
    output: IpOutput;
    icmp: IcmpProtocol;
    icmp6: Icmp6Protocol;
    redirects: Redirects;
  }) {
    this.shared = parts.shared;
    this.interfaces = parts.interfaces;
    this.addresses = parts.addresses;
    this.routes = parts.routes;
    this.output = parts.output;
    this.icmp = parts.icmp;
    this.icmp6 = parts.icmp6;
    this.redirects = parts.redirects;
    this.offloader = new Offloader(parts.shared.slab);
    this.out = parts.interfaces.all()[0]!;
  }

  /** Passes on the packet in hand, which is no group's. RFC 1812 §5.2 */
  forward4(iface: NetworkInterface, packet: Packet, offload: number): Drop {
    const { view } = this.shared;
    const { ip, source, target } = packet;
    if (isLinkLocal(source) || isLinkLocal(target)) return Drop.NotForUs; // RFC 3927 §7
    if (isAny(source)) return Drop.BadSource;
    if (ipv4.ttl(view, ip) <= 1) return this.fail4(packet, icmp.Type.TimeExceeded, 0, 0, Drop.HopLimit);
    if (!this.route(target)) return this.fail4(packet, icmp.Type.Unreachable, icmp.Unreachable.Net, 0, Drop.NoRoute);
    if (this.addresses.isBroadcast(target, this.out.number)) return Drop.BadTarget; // RFC 2644
    if (this.isDetour(iface, source)) this.redirects.send4(packet, this.hop);
    if (this.lengthOf(packet, ipv4.headerBytes(view, ip)) > this.mtu) {
      if ((ipv4.fragment(view, ip) & ipv4.DONT_FRAGMENT) !== 0 || packet.segmentBytes > 0) {
        const { FragmentationNeeded } = icmp.Unreachable;
        return this.fail4(packet, icmp.Type.Unreachable, FragmentationNeeded, this.mtu, Drop.TooBig);
      }
      return this.cut(packet);
    }
    return this.pass(packet, offload);
  }

  /** Passes on the packet in hand, which is no group's and whose hop-by-hop options were read. RFC 8200 §3, RFC 4007 §9 */
  forward6(iface: NetworkInterface, packet: Packet, offload: number): Drop {
    const { view } = this.shared;
    const { ip, source, target } = packet;
    if (isAny(source)) return Drop.BadSource;
    if (isLinkLocal(target)) return Drop.NotForUs;
    if (ipv6.hopLimit(view, ip) <= 1) return this.fail6(packet, icmp6.Type.TimeExceeded, 0, 0, Drop.HopLimit);
    if (isLinkLocal(source)) return this.fail6(packet, icmp6.Type.Unreachable, 2, 0, Drop.BadSource);
    if (!this.route(target) || !this.out.carriesIp6)
      return this.fail6(packet, icmp6.Type.Unreachable, 0, 0, Drop.NoRoute);
    if (this.isDetour(iface, source)) this.redirects.send6(packet, this.hop);
    if (this.lengthOf(packet, ipv6.HEADER_BYTES) > this.mtu) {
      return this.fail6(packet, icmp6.Type.PacketTooBig, 0, this.mtu, Drop.TooBig);
    }
    return this.pass(packet, offload);
  }

  close(): void {
    if (this.scratch !== NONE) this.shared.slab.release(this.scratch, SCRATCH_BYTES);
    this.scratch = NONE;
  }

  /** Finds the way out and the next hop; false if there is none. */
  private route(target: Address): boolean {
    const route = this.routes.lookup(target, ANY_IFACE);
    const out = route < 0 ? undefined : this.interfaces.get(this.routes.ifaceOf(route));
    if (!out?.isUp || out.isLoopback) return false;
    const limit = this.routes.mtuOf(route);
    this.out = out;
    this.mtu = limit === 0 ? out.linkMtuBytes : Math.min(limit, out.linkMtuBytes);
    assign(this.hop, this.routes.hasGateway(route) ? this.routes.gatewayOf(route) : target);
    return true;
  }

  /** RFC 1812 §5.2.7.2, RFC 4861 §8.2: the source is a neighbour, and could have sent it to the next hop itself. */
  private isDetour(iface: NetworkInterface, source: Address): boolean {
    if (this.out !== iface || equal(this.hop, source)) return false;
    return this.routes.isOnLink(source, iface.number);
  }

  /** What the longest packet is that will leave: of a super-frame, its first segment. The TCP header counts as 60 bytes at most. */
  private lengthOf(packet: Packet, headerBytes: number): number {
    if (packet.segmentBytes === 0) return packet.ipBytes;
    const { view } = this.shared;
    const at = packet.ip + headerBytes;
    const isUdp =
      (packet.isIp6 ? ipv6.nextHeader(view, packet.ip) : ipv4.protocol(view, packet.ip)) === ipv4.Protocol.Udp;
    const upper = isUdp ? 8 : (u8(view, at + 12) >>> 4) << 2;
    return Math.min(packet.ipBytes, headerBytes + upper + packet.segmentBytes);
  }

  private pass(packet: Packet, offload: number): Drop {
    const frame = packet.ip - ETHERNET_BYTES;
    const bytes = ETHERNET_BYTES + packet.ipBytes;
    if (offload === PLAIN || this.out.takesOffload || packet.segmentBytes === 0) {
      return this.copy(packet.ip, packet.ipBytes, packet.isIp6, offload);
    }
    if (this.scratch === NONE) this.scratch = this.shared.slab.alloc(SCRATCH_BYTES);
    if (this.scratch === NONE) return Drop.NoMemory;
    this.segments.count = 0;
    const cut = this.offloader.segment(offload, frame, bytes, this.scratch, SCRATCH_BYTES, this.segments);
    if (cut !== Drop.None) return cut;
    for (let k = 0; k < this.segments.count; k++) {
      const ip = this.segments.at[k]! + ETHERNET_BYTES;
      const drop = this.copy(ip, this.segments.length[k]! - ETHERNET_BYTES, packet.isIp6, PLAIN);
      if (drop !== Drop.None) return drop;
    }
    return Drop.None;
  }

  /** Sends a copy with one hop less. What came in stays as it is: others may be reading it. */
  private copy(ip: number, ipBytes: number, isIp6: boolean, offload: number): Drop {
    const { view, bytes } = this.shared;
    const frame = this.out.output.reserve(ETHERNET_BYTES + ipBytes);
    if (frame === NONE) return Drop.TxFull;
    const to = frame + ETHERNET_BYTES;
    bytes.copyWithin(to, ip, ip + ipBytes);
    let header: number = PLAIN;
    if (offload !== PLAIN) {
      header = frame - OFFLOAD_HEADER_BYTES;
      bytes.copyWithin(header, offload, offload + OFFLOAD_HEADER_BYTES);
      if (!this.out.takesOffload) {
        const drop = this.offloader.complete(header, frame, ETHERNET_BYTES + ipBytes);
        if (drop !== Drop.None) return drop;
        header = PLAIN;
      }
    }
    if (isIp6) ipv6.setHopLimit(view, to, ipv6.hopLimit(view, to) - 1);
    else {
      decrement(view, to);
      if (this.gatherOptions(to)) ipv4.seal(view, to);
    }
    return this.output.pass(this.out, this.hop, to, ipBytes, isIp6, header);
  }

  /** RFC 791 §3.2, RFC 1812 §5.2.6: pieces as long as can be; options go along where their copy bit says so. */
  private cut(packet: Packet): Drop {
    const { view, bytes } = this.shared;
    const { ip } = packet;
    const headerBytes = ipv4.headerBytes(view, ip);
    const data = packet.ipBytes - headerBytes;
    const word = ipv4.fragment(view, ip);
    const step = (this.mtu - headerBytes) & ~7;
    for (let done = 0; done < data; done += step) {
      const piece = Math.min(step, data - done);
      const frame = this.out.output.reserve(ETHERNET_BYTES + headerBytes + piece);
      if (frame === NONE) return Drop.TxFull;
      const to = frame + ETHERNET_BYTES;
      bytes.copyWithin(to, ip, ip + headerBytes);
      bytes.copyWithin(to + headerBytes, ip + headerBytes + done, ip + headerBytes + done + piece);
      if (done > 0) blankOptions(view, to, headerBytes);
      else this.gatherOptions(to);
      const isMore = done + piece < data || (word & ipv4.MORE_FRAGMENTS) !== 0;
      ipv4.setTotalLength(view, to, headerBytes + piece);
      ipv4.setFragment(view, to, ((word & 0x1fff) + (done >>> 3)) | (isMore ? ipv4.MORE_FRAGMENTS : 0));
      ipv4.setTtl(view, to, ipv4.ttl(view, ip) - 1);
      ipv4.seal(view, to);
      const drop = this.output.pass(this.out, this.hop, to, headerBytes + piece, false, PLAIN);
      if (drop !== Drop.None) return drop;
    }
    return Drop.None;
  }

  /** RFC 1812 §5.3.13.2, §5.3.13.5: record route and timestamp get the address that the packet leaves by. True if there are options. */
  private gatherOptions(ip: number): boolean {
    const { view, nowUs } = this.shared;
    const headerBytes = ipv4.headerBytes(view, ip);
    if (headerBytes === ipv4.HEADER_BYTES) return false;
    const a = sourceFor(this.addresses, this.out.number, this.hop);
    if (a === NO_ADDRESS) return false;
    gather(view, ip + ipv4.HEADER_BYTES, ip + headerBytes, ip4Of(this.addresses.addressOf(a)), nowUs);
    return true;
  }

  private fail4(packet: Packet, type: number, code: number, word: number, drop: Drop): Drop {
    const { iface, ip, ipBytes, isGroupFrame } = packet;
    this.icmp.sendError(iface, ip, ipBytes, isGroupFrame, type, code, word);
    return drop;
  }

  private fail6(packet: Packet, type: number, code: number, word: number, drop: Drop): Drop {
    const { iface, ip, ipBytes, isGroupFrame } = packet;
    this.icmp6.sendError(iface, ip, ipBytes, isGroupFrame, type, code, word);
    return drop;
  }
}

/** One hop less, and the checksum with it: RFC 1624 §3, of a word that becomes 0x100 smaller. */
function decrement(view: DataView, ip: number): void {
  ipv4.setTtl(view, ip, ipv4.ttl(view, ip) - 1);
  const sum = ipv4.checksum(view, ip) + 0x100;
  ipv4.setChecksum(view, ip, (sum & 0xffff) + (sum >>> 16));
}

/** Makes the options that stay with the first piece into no operations. */
function blankOptions(view: DataView, ip: number, headerBytes: number): void {
  for (let o = ipv4.HEADER_BYTES; o < headerBytes; ) {
    const kind = u8(view, ip + o);
    if (kind === 0) return;
    const bytes = kind === NOP ? 1 : Math.max(1, u8(view, ip + o + 1));
    if ((kind & OPTION_COPIED) === 0) {
      for (let i = o; i < Math.min(o + bytes, headerBytes); i++) setU8(view, ip + i, NOP);
    }
    o += bytes;
  }
}
