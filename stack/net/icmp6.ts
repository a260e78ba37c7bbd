// ICMP of IPv6: echo, errors that this host sends, and those that it is told. RFC 4443, RFC 8201.

import { Drop } from '../../core/drop.ts';
import { NONE } from '../../core/slab.ts';
import type { StateReader, StateWriter } from '../../core/state.ts';
import { u8, u16 } from '../../wire/bytes.ts';
import { fold, pseudoHeader6 } from '../../wire/checksum.ts';
import * as icmp6 from '../../wire/icmp6.ts';
import { Protocol } from '../../wire/ipv4.ts';
import * as ipv6 from '../../wire/ipv6.ts';
import { ADDRESS_WORDS, type Address, ANY, assign, isAny, isLinkLocal, isMulticast, read6 } from '../address.ts';
import type { Addresses } from '../autoconf/addresses.ts';
import { ANY_IFACE, type EchoSockets, HOP_LIMIT_OF_LINK, type Transport } from '../ip.ts';
import { type Interfaces, IP6_MTU_MIN } from '../link/interfaces.ts';
import type { IcmpError, Packet } from '../packet.ts';
import type { Shared } from '../shared.ts';
import { EchoReplies } from './echo-reply.ts';
import { ErrorLimit } from './error-limit.ts';
import { errnoOf6, isHard6 } from './icmp-errno.ts';
import type { IpOutput } from './ip-output.ts';
import type { Paths } from './paths.ts';
import type { Protocols } from './protocols.ts';

const { Icmp6, Tcp } = Protocol;
const QUOTED_MIN = 8;
const NO_PORT = 4; // code of "unreachable"
const INFORMATION = 128; // types from here on are no errors

/** Takes one kind of message: neighbour discovery or multicast listening. The checksum is right. */
export interface Icmp6Listener {
  receive(packet: Packet): Drop;
}

/** A transport, of protocol 58. */
export class Icmp6Protocol implements Transport {
  private readonly shared: Shared;
  private readonly interfaces: Interfaces;
  private readonly addresses: Addresses;
  private readonly paths: Paths;
  private readonly output: IpOutput;
  private readonly protocols: Protocols;
  private readonly echo: EchoReplies;
  private readonly limit: ErrorLimit;
  private pings: EchoSockets | undefined;
  private readonly source: Address = new Int32Array(ADDRESS_WORDS);
  private readonly target: Address = new Int32Array(ADDRESS_WORDS);
  private ndp: Icmp6Listener | undefined;
  private mld: Icmp6Listener | undefined;

  constructor(
    shared: Shared,
    interfaces: Interfaces,
    addresses: Addresses,
    paths: Paths,
    output: IpOutput,
    protocols: Protocols,
  ) {
    this.shared = shared;
    this.interfaces = interfaces;
    this.addresses = addresses;
    this.paths = paths;
    this.output = output;
    this.protocols = protocols;
    this.echo = new EchoReplies(shared, paths, output);
    this.limit = new ErrorLimit(shared, 'stack/icmp6-limit');
    protocols.register(Icmp6, this);
  }

  setNdp(ndp: Icmp6Listener): void {
    this.ndp = ndp;
  }

  setMld(mld: Icmp6Listener): void {
    this.mld = mld;
  }

  receive(packet: Packet): Drop {
    const { view, checksum } = this.shared;
    const { at, bytes } = packet;
    if (!packet.isIp6) return Drop.UnknownProtocol; // of IPv4, 58 is nobody's
    const shape = icmp6.check(view, at, bytes);
    if (shape !== Drop.None) return shape;
    if (!packet.isChecksumKnown) {
      const sum = checksum.sum(at, bytes) + pseudoHeader6(view, packet.ip, Icmp6, bytes);
      if (fold(sum) !== 0xffff) return Drop.IcmpChecksum;
    }
    const type = icmp6.type(view, at);
    switch (type) {
      case icmp6.Type.EchoRequest:
        // A gateway takes what is for others, too; in their name it answers nothing.
        if (this.isForeign(packet)) return this.pings?.intercepted(packet) ?? Drop.NotForUs;
        return this.echo.answer(packet, Icmp6, icmp6.Type.EchoReply);
      case icmp6.Type.EchoReply:
        this.pings?.receive(packet); // whoever waits for it or not, it is never answered
        return Drop.None;
      case icmp6.Type.ListenerQuery:
      case icmp6.Type.ListenerReport:
      case icmp6.Type.ListenerDone:
      case icmp6.Type.ListenerReport2:
        return this.mld?.receive(packet) ?? Drop.None;
      case icmp6.Type.RouterSolicitation:
      case icmp6.Type.RouterAdvertisement:
      case icmp6.Type.NeighborSolicitation:
      case icmp6.Type.NeighborAdvertisement:
      case icmp6.Type.Redirect:
        return this.ndp?.receive(packet) ?? Drop.None;
      default:
        // RFC 4443 §2.4 (a), (b): unknown errors go up, unknown information is discarded.
        return type < INFORMATION ? this.told(packet) : Drop.None;
    }
  }

  /** Told by an error about an echo request of this host. */
  fail(error: IcmpError): void {
    this.pings?.fail(error);
  }

  /** Who takes echo replies and intercepted requests, and hears of errors about echo requests. */
  setEcho(pings: EchoSockets): void {
    this.pings = pings;
  }

  /**
   * Sends an error about the packet of `ipBytes` at `ip`, which came in by `iface`, unless RFC 4443 §2.4 (e) forbids it or there
   * were too many by `limit`. `isForGroups`: one of the two that are sent about multicast packets as well.
   */
  sendError(
    iface: number,
    ip: number,
    ipBytes: number,
    isGroupFrame: boolean,
    type: number,
    code: number,
    word: number,
    isForGroups = false,
    limit = this.limit,
  ): Drop {
    const { view } = this.shared;
    const { source, target } = this;
    read6(view, ipv6.srcAt(ip), source);
    read6(view, ipv6.dstAt(ip), target);
    if ((isGroupFrame || isMulticast(target)) && !isForGroups) return Drop.None;
    if (!this.mayAnswer(ip, ipBytes)) return Drop.None;
    if (!limit.allows(source)) return Drop.RateLimited;
    const from = this.isSpeaker(iface, type, code) ? target : ANY;
    const path = this.paths.find(from, source, isLinkLocal(source) ? iface : ANY_IFACE);
    if (path < 0) return Drop.NoRoute;
    const quoted = Math.min(ipBytes, IP6_MTU_MIN - ipv6.HEADER_BYTES - icmp6.HEADER_BYTES);
    const bytes = icmp6.HEADER_BYTES + quoted;
    const at = this.output.open(path, Icmp6, bytes);
    if (at === NONE) return Drop.TxFull;
    icmp6.setType(view, at, type);
    icmp6.setCode(view, at, code);
    icmp6.setWord(view, at, word);
    this.shared.bytes.copyWithin(at + icmp6.HEADER_BYTES, ip, ip + quoted);
    icmp6.seal(view, at - ipv6.HEADER_BYTES, at, bytes);
    return this.output.send(HOP_LIMIT_OF_LINK, 0, 0);
  }

  save(state: StateWriter): void {
    this.limit.save(state);
  }

  load(state: StateReader): void {
    this.limit.load(state);
  }

  close(): void {
    this.echo.close();
  }

  /**
   * True if an error comes from where the packet was sent to. In the name of an address that it only accepts packets for, a
   * gateway says that there is no such port, for nobody else would; everything else is in its own name.
   */
  private isSpeaker(iface: number, type: number, code: number): boolean {
    if (isMulticast(this.target)) return false;
    if (this.addresses.isTarget(this.target, iface)) return true;
    return type === icmp6.Type.Unreachable && code === NO_PORT && this.acceptsAny(iface);
  }

  private isForeign({ target, iface }: Packet): boolean {
    return this.acceptsAny(iface) && !isMulticast(target) && !this.addresses.isTarget(target, iface);
  }

  private acceptsAny(iface: number): boolean {
    return this.interfaces.get(iface)?.acceptsAny ?? false;
  }

  /** RFC 4443 §2.4 (e): not about errors and redirects, nor to what names no single node. */
  private mayAnswer(ip: number, ipBytes: number): boolean {
    const { view } = this.shared;
    if (isAny(this.source) || isMulticast(this.source)) return false;
    const found = upperLayer(view, ip, ipBytes);
    if (found < 0) return true; // errors are at most 1280 bytes, so neither a later piece nor a cut chain is one's
    const offset = ipv6.walkOffset(found);
    if (ipv6.walkProtocol(found) !== Icmp6 || offset >= ipBytes) return true;
    const type = u8(view, ip + offset);
    return type >= INFORMATION && type !== icmp6.Type.Redirect;
  }

  private told(packet: Packet): Drop {
    const { view } = this.shared;
    const error = this.shared.icmpError;
    const ip = packet.at + icmp6.HEADER_BYTES;
    const left = packet.bytes - icmp6.HEADER_BYTES;
    if (left < ipv6.HEADER_BYTES || u8(view, ip) >>> 4 !== 6) return Drop.IcmpTruncated;
    read6(view, ipv6.srcAt(ip), error.source);
    read6(view, ipv6.dstAt(ip), error.target);
    if (!this.addresses.isTarget(error.source, packet.iface) && !this.acceptsAny(packet.iface)) return Drop.NotForUs;
    const found = upperLayer(view, ip, left);
    // RFC 8201 §4: any piece of a packet may have been too big; no socket is named by a later one.
    if (found === LATER_PIECE && icmp6.type(view, packet.at) === icmp6.Type.PacketTooBig) return this.tooBig(packet);
    if (found < 0) return Drop.IcmpTruncated;
    const offset = ipv6.walkOffset(found);
    if (offset + QUOTED_MIN > left) return Drop.IcmpTruncated;
    assign(error.reporter, packet.source);
    const type = icmp6.type(view, packet.at);
    const code = icmp6.code(view, packet.at);
    error.iface = packet.iface;
    error.isIp6 = true;
    error.protocol = ipv6.walkProtocol(found);
    error.at = ip + offset;
    error.bytes = left - offset;
    error.type = type;
    error.code = code;
    error.errno = errnoOf6(type, code);
    error.isHard = isHard6(type, code);
    error.isLocal = false;
    error.mtuBytes = 0;
    if (type === icmp6.Type.PacketTooBig) {
      error.mtuBytes = icmp6.mtu(view, packet.at);
      const drop = error.protocol === Tcp && error.mtuBytes >= IP6_MTU_MIN ? Drop.None : this.tooBig(packet);
      if (drop !== Drop.None) return drop;
    }
    this.protocols.fail(error);
    return Drop.None;
  }

  /** Lowers the MTU of the path of the error in hand. RFC 8201 §4: below the smallest link MTU it is nonsense. */
  private tooBig(packet: Packet): Drop {
    const { source, target } = this.shared.icmpError;
    const mtuBytes = icmp6.mtu(this.shared.view, packet.at);
    if (mtuBytes < IP6_MTU_MIN) return Drop.IcmpTruncated;
    const zone = isLinkLocal(target) || isMulticast(target) ? packet.iface : ANY_IFACE;
    this.paths.lowerMtu(source, target, zone, mtuBytes);
    return Drop.None;
  }
}

const CUT = -2;
const LATER_PIECE = -1;

/** As `ipv6.walk`, of a packet of which only `bytes` are there, and past the fragment header of a first piece. */
function upperLayer(view: DataView, ip: number, bytes: number): number {
  const { HopByHop, Routing, Destination, Fragment } = ipv6.Extension;
  let next = ipv6.nextHeader(view, ip);
  let offset = ipv6.HEADER_BYTES;
  while (next === HopByHop || next === Routing || next === Destination || next === Fragment) {
    if (offset + ipv6.FRAGMENT_BYTES > bytes) return CUT;
    const isFragment = next === Fragment;
    if (isFragment && (u16(view, ip + offset + 2) & 0xfff8) !== 0) return LATER_PIECE;
    next = u8(view, ip + offset);
    offset += isFragment ? ipv6.FRAGMENT_BYTES : (u8(view, ip + offset + 1) + 1) << 3;
  }
  return offset > bytes ? CUT : (offset << 8) | next;
}
