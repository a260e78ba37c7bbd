// Errors that a gateway tells its guests of: a packet of theirs went on to the outside and failed there, so that the gateway
// has it no more. The headers by which the guest knows it are made again. RFC 792, RFC 4443.

import { Drop } from '../../core/drop.ts';
import { NONE } from '../../core/slab.ts';
import type { StateReader, StateWriter } from '../../core/state.ts';
import { setU16, setU32 } from '../../wire/bytes.ts';
import { finish, pseudoHeader4, pseudoHeader6 } from '../../wire/checksum.ts';
import * as icmp from '../../wire/icmp.ts';
import * as icmp6 from '../../wire/icmp6.ts';
import * as ipv4 from '../../wire/ipv4.ts';
import * as ipv6 from '../../wire/ipv6.ts';
import * as tcp from '../../wire/tcp.ts';
import * as udp from '../../wire/udp.ts';
import { ADDRESS_WORDS, type Address, ANY, ANY4, ip4Of, isAny, isIp4, isMulticast, write6 } from '../address.ts';
import type { Addresses } from '../autoconf/addresses.ts';
import { Errno } from '../errno.ts';
import { HOP_LIMIT_DEFAULT, HOP_LIMIT_OF_LINK } from '../ip.ts';
import { IP6_MTU_MIN } from '../link/interfaces.ts';
import type { Shared } from '../shared.ts';
import { ErrorLimit } from './error-limit.ts';
import { ERROR_BYTES_MAX, ERROR_TOS } from './icmp.ts';
import type { IpOutput } from './ip-output.ts';
import type { Paths } from './paths.ts';

const { Icmp, Icmp6, Tcp, Udp } = ipv4.Protocol;
const ICMP_BYTES = 8; // of the message, and of the echo that it is about
const TRANSPORT_MIN = 8; // of what failed is always quoted: RFC 792

/**
 * Ours: guests' own traceroutes bring three probes for each of thirty hops at once, and whoever sent the errors to the host
 * limited them already. A guest that sends to many closed ports is told of most of them.
 */
const RELAYED = { allPerS: 2000, allBurst: 512, onePerS: 200, oneBurst: 128 };

/** What failed, and who says so. Made once and filled for each; `reporter` all zero: the gateway itself. */
export class GuestError {
  /** Where the guest is. */
  iface = 0;
  /** A router outside, or the target; all zero: the gateway's own address. */
  readonly reporter: Address = new Int32Array(ADDRESS_WORDS);
  /** Who sent the packet that failed, and where to. */
  readonly guest: Address = new Int32Array(ADDRESS_WORDS);
  readonly target: Address = new Int32Array(ADDRESS_WORDS);
  /** 17, 6; 1 or 58 for an echo request. */
  protocol = 0;
  /** The source port, or an echo's identifier. */
  guestPort = 0;
  /** The port that it was sent to, or an echo's sequence number. */
  targetPort = 0;
  /** Of the guest's family: ICMP 3, 11, 12 or ICMPv6 1 … 4, with their codes. */
  type = 0;
  code = 0;
  /** The 4 bytes after the checksum: the MTU of "fragmentation needed" and "packet too big". */
  word = 0;
  /** The packet's payload behind its UDP or echo header as far as it is known, in the slab. Of TCP it is not used. */
  at = 0;
  bytes = 0;
}

/** What is asked about a guest's connection; see `Tcp.sequenceOf`. */
export interface Sequences {
  sequenceOf(local: Address, localPort: number, remote: Address, remotePort: number, iface: number): number;
}

/** Sends such errors for one stack. */
export class GuestErrors {
  private readonly shared: Shared;
  private readonly addresses: Addresses;
  private readonly paths: Paths;
  private readonly output: IpOutput;
  private readonly sequences: Sequences;
  /** For what else tells guests of connections that failed. */
  readonly limit: ErrorLimit;

  constructor(shared: Shared, addresses: Addresses, paths: Paths, output: IpOutput, sequences: Sequences) {
    this.shared = shared;
    this.addresses = addresses;
    this.paths = paths;
    this.output = output;
    this.sequences = sequences;
    this.limit = new ErrorLimit(shared, 'stack/guest-error-limit', RELAYED);
  }

  /**
   * Sends the error: 0, or why not: -EINVAL (no such error, families that differ, or about what RFC 1122 §3.2.2 and RFC 4443
   * §2.4 (e) forbid), -ENOTCONN (of TCP: no such connection), -EAGAIN (too many, or the output is full), or what the path says.
   */
  send(error: GuestError): number {
    const { guest, reporter, iface } = error;
    const isIp6 = !isIp4(guest);
    if (!this.isAllowed(error, isIp6)) return -Errno.EINVAL;
    let sequence = 0;
    if (error.protocol === Tcp) {
      sequence = this.sequences.sequenceOf(error.target, error.targetPort, guest, error.guestPort, iface);
      if (sequence < 0) return -Errno.ENOTCONN;
    }
    const source = isAny(reporter) ? (isIp6 ? ANY : ANY4) : reporter;
    const path = this.paths.find(source, guest, iface);
    if (path < 0) return path;
    if (!this.limit.allows(guest)) {
      this.shared.drops.add(Drop.RateLimited);
      return -Errno.EAGAIN;
    }
    const drop = isIp6 ? this.send6(error, path, sequence) : this.send4(error, path, sequence);
    if (drop === Drop.None) return 0;
    this.shared.drops.add(drop);
    return drop === Drop.TxFull ? -Errno.EAGAIN : -Errno.EHOSTUNREACH;
  }

  save(state: StateWriter): void {
    this.limit.save(state);
  }

  load(state: StateReader): void {
    this.limit.load(state);
  }

  private isAllowed({ guest, target, reporter, iface, protocol, type }: GuestError, isIp6: boolean): boolean {
    if (isIp4(target) === isIp6 || (!isAny(reporter) && isIp4(reporter) === isIp6)) return false;
    if (isAny(guest) || isMulticast(guest) || isMulticast(target) || isMulticast(reporter)) return false;
    if (protocol !== Udp && protocol !== Tcp && protocol !== (isIp6 ? Icmp6 : Icmp)) return false;
    if (isIp6) return type >= icmp6.Type.Unreachable && type <= icmp6.Type.ParameterProblem;
    if (this.addresses.isBroadcast(guest, iface) || this.addresses.isBroadcast(target, iface)) return false;
    return type === icmp.Type.Unreachable || type === icmp.Type.TimeExceeded || type === icmp.Type.ParameterProblem;
  }

  private send4(error: GuestError, path: number, sequence: number): Drop {
    const { view } = this.shared;
    const most = Math.min(ERROR_BYTES_MAX, this.paths.mtuOf(path)) - 2 * ipv4.HEADER_BYTES - ICMP_BYTES;
    const quoted = Math.min(wholeBytes(error), most);
    const bytes = ICMP_BYTES + ipv4.HEADER_BYTES + quoted;
    const at = this.output.open(path, Icmp, bytes);
    if (at === NONE) return Drop.TxFull;
    icmp.setType(view, at, error.type);
    icmp.setCode(view, at, error.code);
    setU32(view, at + 4, error.word);
    const ip = at + ICMP_BYTES;
    ipv4.setHeaderBytes(view, ip, ipv4.HEADER_BYTES);
    ipv4.setTos(view, ip, 0);
    ipv4.setTotalLength(view, ip, ipv4.HEADER_BYTES + wholeBytes(error));
    ipv4.setId(view, ip, 0);
    ipv4.setFragment(view, ip, ipv4.DONT_FRAGMENT);
    ipv4.setTtl(view, ip, error.type === icmp.Type.TimeExceeded ? 1 : HOP_LIMIT_DEFAULT);
    ipv4.setProtocol(view, ip, error.protocol);
    ipv4.setSrc(view, ip, ip4Of(error.guest));
    ipv4.setDst(view, ip, ip4Of(error.target));
    ipv4.seal(view, ip);
    this.quote(error, ip, ip + ipv4.HEADER_BYTES, quoted, sequence, false);
    icmp.seal(view, at, bytes);
    return this.output.send(HOP_LIMIT_DEFAULT, ERROR_TOS, 0);
  }

  private send6(error: GuestError, path: number, sequence: number): Drop {
    const { view } = this.shared;
    const quoted = Math.min(wholeBytes(error), IP6_MTU_MIN - 2 * ipv6.HEADER_BYTES - ICMP_BYTES);
    const bytes = ICMP_BYTES + ipv6.HEADER_BYTES + quoted;
    const at = this.output.open(path, Icmp6, bytes);
    if (at === NONE) return Drop.TxFull;
    icmp6.setType(view, at, error.type);
    icmp6.setCode(view, at, error.code);
    icmp6.setWord(view, at, error.word);
    const ip = at + ICMP_BYTES;
    ipv6.setClassFlow(view, ip, 0, 0);
    ipv6.setPayloadLength(view, ip, wholeBytes(error));
    ipv6.setNextHeader(view, ip, error.protocol);
    ipv6.setHopLimit(view, ip, error.type === icmp6.Type.TimeExceeded ? 1 : HOP_LIMIT_DEFAULT);
    write6(view, ipv6.srcAt(ip), error.guest);
    write6(view, ipv6.dstAt(ip), error.target);
    this.quote(error, ip, ip + ipv6.HEADER_BYTES, quoted, sequence, true);
    icmp6.seal(view, at - ipv6.HEADER_BYTES, at, bytes);
    return this.output.send(HOP_LIMIT_OF_LINK, 0, 0);
  }

  /** Writes `quoted` bytes of the packet from its transport header on; the header of IP at `ip` is written. */
  private quote(error: GuestError, ip: number, at: number, quoted: number, sequence: number, isIp6: boolean): void {
    const { shared } = this;
    const { view } = shared;
    const { protocol, guestPort, targetPort } = error;
    const whole = wholeBytes(error);
    shared.bytes.fill(0, at, at + TRANSPORT_MIN);
    if (protocol === Tcp) {
      shared.bytes.fill(0, at, at + quoted);
      tcp.setSrcPort(view, at, guestPort);
      tcp.setDstPort(view, at, targetPort);
      tcp.setSeq(view, at, sequence);
      tcp.setHeaderBytes(view, at, tcp.HEADER_BYTES);
      return;
    }
    shared.bytes.copyWithin(at + TRANSPORT_MIN, error.at, error.at + quoted - TRANSPORT_MIN);
    // The sum of the payload as far as it is known, which is the packet's own where that is all of it.
    const payload = quoted === whole ? shared.checksum.sum(at + TRANSPORT_MIN, quoted - TRANSPORT_MIN) : NO_SUM;
    if (protocol === Udp) {
      udp.setSrcPort(view, at, guestPort);
      udp.setDstPort(view, at, targetPort);
      udp.setLength(view, at, whole);
      if (payload === NO_SUM) return;
      const pseudo = isIp6 ? pseudoHeader6(view, ip, Udp, whole) : pseudoHeader4(view, ip, Udp, whole);
      udp.setChecksum(view, at, finish(payload + pseudo + shared.checksum.sum(at, TRANSPORT_MIN)) || udp.CHECKSUM_ZERO);
      return;
    }
    icmp.setType(view, at, isIp6 ? icmp6.Type.EchoRequest : icmp.Type.EchoRequest);
    icmp.setId(view, at, guestPort);
    icmp.setSeq(view, at, targetPort);
    if (payload === NO_SUM) return;
    const pseudo = isIp6 ? pseudoHeader6(view, ip, Icmp6, whole) : 0;
    setU16(view, at + 2, finish(payload + pseudo + shared.checksum.sum(at, TRANSPORT_MIN)));
  }
}

const NO_SUM = -1;

/** Bytes behind the IP header of what failed, as far as they are known. */
const wholeBytes = ({ protocol, bytes }: GuestError): number =>
  protocol === Tcp ? tcp.HEADER_BYTES : TRANSPORT_MIN + bytes;
