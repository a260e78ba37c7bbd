// ICMP of IPv4: echo, errors that this host sends, and those that it is told. RFC 792, RFC 1122 §3.2.2, RFC 1191.

import { Drop } from '../../core/drop.ts';
import { NONE } from '../../core/slab.ts';
import type { StateReader, StateWriter } from '../../core/state.ts';
import { setU32, u8 } from '../../wire/bytes.ts';
import * as icmp from '../../wire/icmp.ts';
import * as ipv4 from '../../wire/ipv4.ts';
import { ADDRESS_WORDS, type Address, ANY4, assign, isAny, isLoopback, isMulticast, read4 } from '../address.ts';
import type { Addresses } from '../autoconf/addresses.ts';
import { ANY_IFACE, type EchoSockets, HOP_LIMIT_DEFAULT, type Transport } from '../ip.ts';
import type { Interfaces } from '../link/interfaces.ts';
import type { IcmpError, Packet } from '../packet.ts';
import type { Shared } from '../shared.ts';
import { EchoReplies } from './echo-reply.ts';
import { ErrorLimit } from './error-limit.ts';
import { errnoOf4, isHard4, plateauBelow } from './icmp-errno.ts';
import type { IpOutput } from './ip-output.ts';
import type { Paths } from './paths.ts';
import type { Protocols } from './protocols.ts';

const { Icmp, Tcp } = ipv4.Protocol;

/** RFC 1812 §4.3.2.3: as much of the packet as fits into this many bytes, headers included. */
export const ERROR_BYTES_MAX = 576;
/** RFC 1812 §4.3.2.5: routing control and errors go out as internetwork control. */
export const ERROR_TOS = 0xc0;
const QUOTED_MIN = 8;
const TIMESTAMP_BYTES = 20;
/** Messages that are no errors, about which errors may be sent. RFC 1122 §3.2.2 */
const QUERIES: ReadonlySet<number> = new Set([0, 8, 9, 10, 13, 14, 15, 16, 17, 18, 42, 43]);

/** A transport, of protocol 1. Address masks are not answered, RFC 1122 §3.2.2.9. */
export class IcmpProtocol implements Transport {
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
    this.limit = new ErrorLimit(shared, 'stack/icmp-limit');
    protocols.register(Icmp, this);
  }

  receive(packet: Packet): Drop {
    const { view } = this.shared;
    const { at, bytes } = packet;
    if (packet.isIp6) return Drop.UnknownProtocol; // of IPv6, 1 is nobody's
    if (icmp.check(view, at, bytes) !== Drop.None) return Drop.IcmpTruncated;
    if (!packet.isChecksumKnown && this.shared.checksum.sum(at, bytes) !== 0xffff) return Drop.IcmpChecksum;
    switch (icmp.type(view, at)) {
      case icmp.Type.EchoRequest:
        if (this.isToMany(packet)) return Drop.None;
        if (this.isForeign(packet)) return this.pings?.intercepted(packet) ?? Drop.NotForUs;
        return this.echo.answer(packet, Icmp, icmp.Type.EchoReply);
      case icmp.Type.Timestamp:
        if (bytes < TIMESTAMP_BYTES) return Drop.IcmpTruncated;
        if (!this.isToMany(packet) && this.isForeign(packet)) return Drop.NotForUs;
        return this.isToMany(packet) ? Drop.None : this.echo.stamp(packet, icmp.Type.TimestampReply);
      case icmp.Type.EchoReply:
        this.pings?.receive(packet); // whoever waits for it or not, it is never answered
        return Drop.None;
      case icmp.Type.Redirect:
        return this.redirected(packet);
      case icmp.Type.Unreachable:
      case icmp.Type.TimeExceeded:
      case icmp.Type.ParameterProblem:
        return this.told(packet);
      default:
        return Drop.None; // RFC 1122 §3.2.2: unknown types are silently discarded; RFC 6633 §3: so is source quench
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
   * Sends an error about the packet of `ipBytes` at `ip`, which came in by `iface`, unless RFC 1122 §3.2.2 forbids it or there
   * were too many by `limit`. `word`: the 4 bytes after the checksum.
   */
  sendError(
    iface: number,
    ip: number,
    ipBytes: number,
    isGroupFrame: boolean,
    type: number,
    code: number,
    word: number,
    limit = this.limit,
  ): Drop {
    const { view } = this.shared;
    const { source, target } = this;
    read4(view, ip + 12, source);
    read4(view, ip + 16, target);
    if (isGroupFrame || !this.mayAnswer(iface, ip, ipBytes)) return Drop.None;
    if (!limit.allows(source)) return Drop.RateLimited;
    const path = this.paths.find(this.isSpeaker(iface, type, code) ? target : ANY4, source, ANY_IFACE);
    if (path < 0) return Drop.NoRoute;
    const most = Math.min(ERROR_BYTES_MAX, this.paths.mtuOf(path)) - ipv4.HEADER_BYTES - icmp.HEADER_BYTES;
    const quoted = Math.min(ipBytes, most);
    const bytes = icmp.HEADER_BYTES + quoted;
    const at = this.output.open(path, Icmp, bytes);
    if (at === NONE) return Drop.TxFull;
    icmp.setType(view, at, type);
    icmp.setCode(view, at, code);
    setU32(view, at + 4, word);
    this.shared.bytes.copyWithin(at + icmp.HEADER_BYTES, ip, ip + quoted);
    icmp.seal(view, at, bytes);
    return this.output.send(HOP_LIMIT_DEFAULT, ERROR_TOS, 0);
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

  /** RFC 1122 §3.2.2, RFC 1812 §4.3.2.7: not about errors, groups, later pieces, or what names no single host. */
  private mayAnswer(iface: number, ip: number, ipBytes: number): boolean {
    const { view } = this.shared;
    const { source, target, addresses } = this;
    if (ipv4.fragmentBytes(view, ip) !== 0) return false;
    if (isMulticast(target) || addresses.isBroadcast(target, iface)) return false;
    if (isAny(source) || isMulticast(source) || source[3]! >>> 28 === 15 || addresses.isBroadcast(source, iface))
      return false;
    if (source[3]! >>> 24 === 0 || (isLoopback(source) && !this.interfaces.get(iface)?.isLoopback)) return false;
    if (ipv4.protocol(view, ip) !== Icmp) return true;
    const header = ipv4.headerBytes(view, ip);
    return header < ipBytes && QUERIES.has(u8(view, ip + header));
  }

  /** RFC 1122 §3.2.2: the transport whose packet it was is told. */
  private told(packet: Packet): Drop {
    const { view } = this.shared;
    const error = this.shared.icmpError;
    const header = this.quotedHeader(packet);
    if (header === 0) return Drop.IcmpTruncated;
    const ip = packet.at + icmp.HEADER_BYTES;
    read4(view, ip + 12, error.source);
    read4(view, ip + 16, error.target);
    // Nobody else's packets are talked about here, and later pieces name no socket.
    if (!this.isFromHere(error.source, packet.iface) || ipv4.fragmentBytes(view, ip) !== 0) return Drop.NotForUs;
    assign(error.reporter, packet.source);
    const type = icmp.type(view, packet.at);
    const code = icmp.code(view, packet.at);
    error.iface = packet.iface;
    error.isIp6 = false;
    error.protocol = ipv4.protocol(view, ip);
    error.at = ip + header;
    error.bytes = packet.bytes - icmp.HEADER_BYTES - header;
    error.type = type;
    error.code = code;
    error.errno = errnoOf4(type, code);
    error.isHard = isHard4(type, code);
    error.isLocal = false;
    error.mtuBytes = 0;
    if (type === icmp.Type.Unreachable && code === icmp.Unreachable.FragmentationNeeded) {
      // RFC 1191 §5: old routers say nothing; the plateau below the packet's length is as good a guess as any.
      const said = icmp.mtu(view, packet.at);
      error.mtuBytes = said === 0 ? plateauBelow(ipv4.totalLength(view, ip)) : said;
      // TCP knows what it has in flight and lowers the MTU itself, RFC 5927 §7.2.
      if (error.protocol !== Tcp) this.paths.lowerMtu(error.source, error.target, ANY_IFACE, error.mtuBytes);
    }
    this.protocols.fail(error);
    return Drop.None;
  }

  /** RFC 1122 §3.2.2.2: only hosts are redirected, by their router, to somebody on the link. */
  private redirected(packet: Packet): Drop {
    const { view } = this.shared;
    const iface = this.interfaces.get(packet.iface);
    if (this.quotedHeader(packet) === 0) return Drop.IcmpTruncated;
    const ip = packet.at + icmp.HEADER_BYTES;
    read4(view, ip + 12, this.source);
    read4(view, ip + 16, this.target);
    if (!iface || iface.forwards4 || !this.isFromHere(this.source, packet.iface)) return Drop.NotForUs;
    const gateway = this.shared.icmpError.reporter;
    read4(view, packet.at + 4, gateway);
    this.paths.redirect(packet.iface, this.target, gateway, packet.source);
    return Drop.None;
  }

  /** RFC 1122 §3.2.2.6 and §3.2.2.8 allow silence to groups, which makes this host no amplifier. */
  private isToMany({ target, iface }: Packet): boolean {
    return isMulticast(target) || this.addresses.isBroadcast(target, iface);
  }

  /** A gateway takes what is for others, too; in their name it answers nothing. */
  private isForeign({ target, iface }: Packet): boolean {
    return this.acceptsAny(iface) && !this.addresses.isTarget(target, iface);
  }

  /**
   * True if an error comes from where the packet was sent to. In the name of an address that it only accepts packets for, a
   * gateway says that there is no such port or protocol, for nobody else would; everything else is in its own name.
   */
  private isSpeaker(iface: number, type: number, code: number): boolean {
    if (this.addresses.isTarget(this.target, iface)) return true;
    const isOfHost = code === icmp.Unreachable.Port || code === icmp.Unreachable.Protocol;
    return type === icmp.Type.Unreachable && isOfHost && this.acceptsAny(iface);
  }

  private isFromHere(source: Address, iface: number): boolean {
    return this.addresses.isOurs(source, ANY_IFACE) || this.acceptsAny(iface);
  }

  private acceptsAny(iface: number): boolean {
    return this.interfaces.get(iface)?.acceptsAny ?? false;
  }

  /** Bytes of the quoted packet's header if that and 8 more bytes are there, else 0. */
  private quotedHeader(packet: Packet): number {
    const { view } = this.shared;
    const left = packet.bytes - icmp.HEADER_BYTES;
    const ip = packet.at + icmp.HEADER_BYTES;
    if (left < ipv4.HEADER_BYTES + QUOTED_MIN || u8(view, ip) >>> 4 !== 4) return 0;
    const header = ipv4.headerBytes(view, ip);
    return header >= ipv4.HEADER_BYTES && header + QUOTED_MIN <= left ? header : 0;
  }
}
