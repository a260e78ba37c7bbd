// Sends packets: headers, checksums, fragments, and the way out to a neighbour, a group or loopback.
//
// A packet is written where it leaves from: `open` reserves it in the interface's output with its headers, the transport
// fills in its bytes, and `send` adds what only the end knows. What leaves for a neighbour that is not known waits with it.

import { assert } from '../../core/assert.ts';
import { PLAIN } from '../../core/burst.ts';
import { Drop } from '../../core/drop.ts';
import { NONE } from '../../core/slab.ts';
import type { StateReader, StateWriter } from '../../core/state.ts';
import { setU16, setU32, u8, u32 } from '../../wire/bytes.ts';
import { finish, fold, pseudoHeader4, pseudoHeader6 } from '../../wire/checksum.ts';
import * as ethernet from '../../wire/ethernet.ts';
import * as ipv4 from '../../wire/ipv4.ts';
import * as ipv6 from '../../wire/ipv6.ts';
import { Gso, OFFLOAD_HEADER_BYTES, writeGso, writeNeedsChecksum } from '../../wire/offload.ts';
import * as tcp from '../../wire/tcp.ts';
import * as udp from '../../wire/udp.ts';
import { type Address, ip4Of, isIp4, isMulticast, write6 } from '../address.ts';
import { HOP_LIMIT_DEFAULT, HOP_LIMIT_OF_LINK, type Sender } from '../ip.ts';
import { type Interfaces, type NetworkInterface, PACKET_BYTES_MAX } from '../link/interfaces.ts';
import { type NextHops, NO_NEXT_HOPS } from '../link/next-hops.ts';
import type { Shared } from '../shared.ts';
import { Identifications } from './identifications.ts';
import { PathKind, type Paths } from './paths.ts';

const { HEADER_BYTES: ETHERNET_BYTES } = ethernet;
const NO_CHECKSUM = -1;

/** The sender of one stack. */
export class IpOutput implements Sender {
  needsSum = true;
  private readonly shared: Shared;
  private readonly interfaces: Interfaces;
  private readonly paths: Paths;
  private readonly ids: Identifications;
  private hops: NextHops = NO_NEXT_HOPS;
  // The opened packet.
  private path = 0;
  private iface: NetworkInterface;
  private protocol = 0;
  private isIp6 = false;
  private ip = 0;
  private at = 0;
  private bytes = 0;
  private checksumOffset = NO_CHECKSUM; // where the port is to complete it

  constructor(shared: Shared, interfaces: Interfaces, paths: Paths) {
    this.shared = shared;
    this.interfaces = interfaces;
    this.paths = paths;
    this.ids = new Identifications(shared);
    this.iface = interfaces.all()[0]!;
  }

  setNextHops(hops: NextHops): void {
    this.hops = hops;
  }

  open(path: number, protocol: number, bytes: number): number {
    const isIp6 = !isIp4(this.paths.targetOf(path));
    const total = bytes + (isIp6 ? ipv6.HEADER_BYTES : ipv4.HEADER_BYTES);
    if (total > this.paths.mtuOf(path) && total > this.paths.superOf(path) && total > this.paths.probeLimitOf(path))
      return NONE;
    return this.begin(path, protocol, isIp6, bytes, 0);
  }

  seal(offset: number, sum: number): void {
    const { view } = this.shared;
    const { protocol, ip, bytes } = this;
    let pseudo = 0;
    if (this.isIp6) pseudo = pseudoHeader6(view, ip, protocol, bytes);
    else if (protocol !== ipv4.Protocol.Icmp && protocol !== ipv4.Protocol.Igmp)
      pseudo = pseudoHeader4(view, ip, protocol, bytes);
    if (!this.needsSum) {
      setU16(view, this.at + offset, fold(pseudo));
      this.checksumOffset = offset;
      return;
    }
    const value = finish(sum + pseudo);
    setU16(view, this.at + offset, value === 0 && protocol === ipv4.Protocol.Udp ? udp.CHECKSUM_ZERO : value);
  }

  send(hopLimit: number, trafficClass: number, segmentBytes: number): Drop {
    this.finishHeader(this.hopsOf(hopLimit), trafficClass, ipv4.DONT_FRAGMENT);
    const frame = this.ip - ETHERNET_BYTES;
    const transport = this.at - frame;
    let offload: number = PLAIN;
    if (this.checksumOffset !== NO_CHECKSUM) {
      offload = frame - OFFLOAD_HEADER_BYTES;
      writeNeedsChecksum(this.shared.view, offload, transport, this.checksumOffset);
      if (segmentBytes > 0) this.makeSuper(offload, transport, segmentBytes);
    }
    return this.leave(frame, transport + this.bytes, offload);
  }

  sendDatagram(
    path: number,
    protocol: number,
    at: number,
    bytes: number,
    hopLimit: number,
    trafficClass: number,
    mayFragment: boolean,
  ): Drop {
    const isIp6 = !isIp4(this.paths.targetOf(path));
    const headerBytes = isIp6 ? ipv6.HEADER_BYTES : ipv4.HEADER_BYTES;
    if (bytes > PACKET_BYTES_MAX - (isIp6 ? 0 : headerBytes)) return Drop.TooBig;
    if (headerBytes + bytes > this.paths.mtuOf(path)) {
      if (!mayFragment) return Drop.TooBig;
      return isIp6
        ? this.sendPieces6(path, protocol, at, bytes, hopLimit, trafficClass)
        : this.sendPieces4(path, protocol, at, bytes, hopLimit, trafficClass);
    }
    const to = this.begin(path, protocol, isIp6, bytes, 0);
    if (to === NONE) return Drop.TxFull;
    this.shared.checksum.copy(at, to, bytes);
    this.finishHeader(this.hopsOf(hopLimit), trafficClass, ipv4.DONT_FRAGMENT);
    return this.leave(this.ip - ETHERNET_BYTES, ETHERNET_BYTES + headerBytes + bytes, PLAIN);
  }

  /**
   * As `sendDatagram` of IPv4, with options in the header: the `optionBytes`, a multiple of 4, at `optionsAt`. Without them if
   * the packet would have to be cut.
   */
  sendOptions4(
    path: number,
    protocol: number,
    at: number,
    bytes: number,
    optionsAt: number,
    optionBytes: number,
    tos: number,
  ): Drop {
    const headerBytes = ipv4.HEADER_BYTES + optionBytes;
    if (headerBytes + bytes > this.paths.mtuOf(path)) {
      return this.sendDatagram(path, protocol, at, bytes, HOP_LIMIT_DEFAULT, tos, true);
    }
    const to = this.begin(path, protocol, false, bytes, optionBytes);
    if (to === NONE) return Drop.TxFull;
    const { view, checksum } = this.shared;
    checksum.copy(at, to, bytes);
    this.shared.bytes.copyWithin(this.ip + ipv4.HEADER_BYTES, optionsAt, optionsAt + optionBytes);
    ipv4.setHeaderBytes(view, this.ip, headerBytes);
    ipv4.setTotalLength(view, this.ip, headerBytes + bytes);
    this.finishHeader(HOP_LIMIT_DEFAULT, tos, ipv4.DONT_FRAGMENT);
    return this.leave(this.ip - ETHERNET_BYTES, ETHERNET_BYTES + headerBytes + bytes, PLAIN);
  }

  /**
   * Sends a whole packet that is already at `ip` in a frame that was reserved in `iface`'s output, to `hop` on that link.
   * Drop.None counts it as sent. `offload` is where its offload header is, or PLAIN.
   */
  pass(iface: NetworkInterface, hop: Address, ip: number, ipBytes: number, isIp6: boolean, offload: number): Drop {
    this.iface = iface;
    this.isIp6 = isIp6;
    this.bytes = ipBytes;
    return this.toNeighbor(iface, hop, ip - ETHERNET_BYTES, ETHERNET_BYTES + ipBytes, offload);
  }

  save(state: StateWriter): void {
    this.ids.save(state);
  }

  load(state: StateReader): void {
    this.ids.load(state);
  }

  /** Reserves a packet and writes what is known of its header; `extra` bytes of other headers come before the payload. */
  private begin(path: number, protocol: number, isIp6: boolean, bytes: number, extra: number): number {
    const { view } = this.shared;
    const iface = this.interfaces.get(this.paths.ifaceOf(path))!;
    const headerBytes = isIp6 ? ipv6.HEADER_BYTES : ipv4.HEADER_BYTES;
    const frame = iface.output.reserve(ETHERNET_BYTES + headerBytes + extra + bytes);
    if (frame === NONE) return NONE;
    const ip = frame + ETHERNET_BYTES;
    this.path = path;
    this.iface = iface;
    this.protocol = protocol;
    this.isIp6 = isIp6;
    this.ip = ip;
    this.at = ip + headerBytes + extra;
    this.bytes = bytes;
    this.needsSum = !iface.takesOffload;
    this.checksumOffset = NO_CHECKSUM;
    const source = this.paths.sourceOf(path);
    const target = this.paths.targetOf(path);
    if (isIp6) {
      ipv6.setPayloadLength(view, ip, bytes + extra);
      ipv6.setNextHeader(view, ip, extra === 0 ? protocol : ipv6.Extension.Fragment);
      write6(view, ipv6.srcAt(ip), source);
      write6(view, ipv6.dstAt(ip), target);
    } else {
      ipv4.setHeaderBytes(view, ip, headerBytes);
      ipv4.setTotalLength(view, ip, headerBytes + bytes);
      ipv4.setProtocol(view, ip, protocol);
      ipv4.setSrc(view, ip, ip4Of(source));
      ipv4.setDst(view, ip, ip4Of(target));
    }
    return this.at;
  }

  /** What is left of the header; `fragment` is IPv4's word of flags and offset, of a packet that was not cut. */
  private finishHeader(hopLimit: number, trafficClass: number, fragment: number): void {
    const { view } = this.shared;
    const { ip, path } = this;
    if (this.isIp6) {
      const hasPorts = this.protocol === ipv4.Protocol.Tcp || this.protocol === ipv4.Protocol.Udp;
      const ports = hasPorts && this.bytes >= 4 ? u32(view, this.at) : 0;
      ipv6.setClassFlow(view, ip, trafficClass, this.paths.flowOf(path, ports));
      ipv6.setHopLimit(view, ip, hopLimit);
      return;
    }
    // RFC 6864 §4.1: an atomic packet needs no identification. One that routers may cut does.
    const mayCut = this.paths.mayCut(path);
    ipv4.setTos(view, ip, trafficClass);
    ipv4.setId(view, ip, mayCut ? this.id4() : 0);
    ipv4.setFragment(view, ip, mayCut ? fragment & ~ipv4.DONT_FRAGMENT : fragment);
    ipv4.setTtl(view, ip, hopLimit);
    ipv4.seal(view, ip);
  }

  /** What stands in the header for what the sender asked for. */
  private hopsOf(hopLimit: number): number {
    if (hopLimit !== HOP_LIMIT_OF_LINK) return hopLimit;
    return this.isIp6 ? this.iface.curHopLimit : HOP_LIMIT_DEFAULT;
  }

  private id4(): number {
    return this.ids.next4(this.paths.sourceOf(this.path), this.paths.targetOf(this.path), this.protocol);
  }

  private makeSuper(offload: number, transport: number, segmentBytes: number): void {
    const { view } = this.shared;
    const isUdp = this.protocol === ipv4.Protocol.Udp;
    const headerBytes = isUdp ? udp.HEADER_BYTES : tcp.headerBytes(view, this.at);
    if (this.bytes - headerBytes <= segmentBytes) return; // one segment: nothing to cut
    const type = isUdp ? Gso.UdpL4 : this.isIp6 ? Gso.Tcp6 : Gso.Tcp4;
    writeGso(view, offload, type, transport + headerBytes, segmentBytes);
  }

  private sendPieces4(path: number, protocol: number, at: number, bytes: number, ttl: number, tos: number): Drop {
    const { view, checksum } = this.shared;
    const step = (this.paths.mtuOf(path) - ipv4.HEADER_BYTES) & ~7;
    let id = -1;
    for (let done = 0; done < bytes; done += step) {
      const piece = Math.min(step, bytes - done);
      const to = this.begin(path, protocol, false, piece, 0);
      if (to === NONE) return Drop.TxFull;
      if (id < 0) id = this.id4();
      checksum.copy(at + done, to, piece);
      ipv4.setTos(view, this.ip, tos);
      ipv4.setId(view, this.ip, id);
      ipv4.setFragment(view, this.ip, (done >>> 3) | (done + piece < bytes ? ipv4.MORE_FRAGMENTS : 0));
      ipv4.setTtl(view, this.ip, this.hopsOf(ttl));
      ipv4.seal(view, this.ip);
      const drop = this.leave(this.ip - ETHERNET_BYTES, ETHERNET_BYTES + ipv4.HEADER_BYTES + piece, PLAIN);
      if (drop !== Drop.None) return drop;
    }
    return Drop.None;
  }

  /** RFC 8200 §4.5. All pieces have the label that the whole packet would have (RFC 6437 §3). */
  private sendPieces6(
    path: number,
    protocol: number,
    at: number,
    bytes: number,
    hopLimit: number,
    class8: number,
  ): Drop {
    const { view, checksum } = this.shared;
    const headers = ipv6.HEADER_BYTES + ipv6.FRAGMENT_BYTES;
    const step = (this.paths.mtuOf(path) - headers) & ~7;
    const hasPorts = protocol === ipv4.Protocol.Tcp || protocol === ipv4.Protocol.Udp;
    const flow = this.paths.flowOf(path, hasPorts ? u32(view, at) : 0);
    const id = this.ids.next6();
    for (let done = 0; done < bytes; done += step) {
      const piece = Math.min(step, bytes - done);
      const to = this.begin(path, protocol, true, piece, ipv6.FRAGMENT_BYTES);
      if (to === NONE) return Drop.TxFull;
      checksum.copy(at + done, to, piece);
      ipv6.setClassFlow(view, this.ip, class8, flow);
      ipv6.setHopLimit(view, this.ip, this.hopsOf(hopLimit));
      const header = to - ipv6.FRAGMENT_BYTES;
      setU16(view, header, protocol << 8);
      setU16(view, header + 2, done | (done + piece < bytes ? 1 : 0));
      setU32(view, header + 4, id);
      const drop = this.leave(this.ip - ETHERNET_BYTES, ETHERNET_BYTES + headers + piece, PLAIN);
      if (drop !== Drop.None) return drop;
    }
    return Drop.None;
  }

  private leave(frame: number, bytes: number, offload: number): Drop {
    const { view } = this.shared;
    const { path, iface } = this;
    assert(frame > 0, 'a packet was opened');
    const kind = this.paths.kindOf(path);
    // RFC 1122 §3.2.1.7: 0 is never sent. Of a group it means this host alone (RFC 1112 §6.1), which has it already.
    if (kind !== PathKind.Local && u8(view, this.ip + (this.isIp6 ? 7 : 8)) === 0) return Drop.None;
    if (kind === PathKind.Unicast) return this.toNeighbor(iface, this.paths.hopOf(path), frame, bytes, offload);
    if (kind === PathKind.Group) writeGroupMac(view, frame, this.paths.targetOf(path));
    else {
      setU16(view, frame, 0);
      setU32(view, frame + 2, 0);
    }
    return this.commit(iface, frame, bytes, offload);
  }

  private toNeighbor(iface: NetworkInterface, hop: Address, frame: number, bytes: number, offload: number): Drop {
    const { hops } = this;
    const n = hops.find(iface.number, hop);
    if (n < 0) return Drop.NoNeighbor;
    if (!hops.isUsable(n)) {
      this.writeEthernet(iface, frame);
      return hops.hold(n, frame, bytes, offload);
    }
    hops.writeMac(n, frame);
    hops.use(n);
    return this.commit(iface, frame, bytes, offload);
  }

  private commit(iface: NetworkInterface, frame: number, bytes: number, offload: number): Drop {
    this.writeEthernet(iface, frame);
    iface.output.commit(bytes, offload);
    iface.txPackets++;
    iface.txBytes += bytes - ETHERNET_BYTES;
    return Drop.None;
  }

  /** The header but for the destination. */
  private writeEthernet(iface: NetworkInterface, frame: number): void {
    const { view } = this.shared;
    setU16(view, frame + 6, iface.macHigh);
    setU32(view, frame + 8, iface.macLow);
    setU16(view, frame + 12, this.isIp6 ? ethernet.EtherType.Ip6 : ethernet.EtherType.Ip4);
  }
}

/** RFC 1112 §6.4, RFC 2464 §7; all ones for a broadcast. */
function writeGroupMac(view: DataView, at: number, target: Address): void {
  const low = target[3]!;
  if (!isIp4(target)) {
    setU16(view, at, 0x3333);
    setU32(view, at + 2, low);
  } else if (isMulticast(target)) {
    setU16(view, at, 0x0100);
    setU32(view, at + 2, 0x5e000000 | (low & 0x7fffff));
  } else {
    setU16(view, at, 0xffff);
    setU32(view, at + 2, 0xffffffff);
  }
}
