// What becomes of packets whose time was over: pieces that stayed alone, and a next hop that never answered.

import { Drop } from '../../core/drop.ts';
import { u8 } from '../../wire/bytes.ts';
import { HEADER_BYTES } from '../../wire/ethernet.ts';
import * as icmp from '../../wire/icmp.ts';
import * as icmp6 from '../../wire/icmp6.ts';
import * as ipv4 from '../../wire/ipv4.ts';
import * as ipv6 from '../../wire/ipv6.ts';
import { ADDRESS_WORDS, type Address, assign, read4, read6 } from '../address.ts';
import type { Addresses } from '../autoconf/addresses.ts';
import { Errno } from '../errno.ts';
import { ANY_IFACE } from '../ip.ts';
import type { Shared } from '../shared.ts';
import type { IcmpProtocol } from './icmp.ts';
import type { Icmp6Protocol } from './icmp6.ts';
import type { Protocols } from './protocols.ts';
import type { Reassembly } from './reassembly.ts';

const REASSEMBLY_TIME = 1; // code of "time exceeded"
const HOST = 1; // code of IPv4's "unreachable"
const ADDRESS = 3; // and of IPv6's
const QUOTED_MIN = 8;

/** Tells sources and sockets. */
export class LinkReports {
  private readonly shared: Shared;
  private readonly addresses: Addresses;
  private readonly protocols: Protocols;
  private readonly icmp: IcmpProtocol;
  private readonly icmp6: Icmp6Protocol;
  private readonly source: Address = new Int32Array(ADDRESS_WORDS);

  /** Hooks itself into `reassembly`. */
  constructor(
    shared: Shared,
    addresses: Addresses,
    protocols: Protocols,
    icmpProtocol: IcmpProtocol,
    icmp6Protocol: Icmp6Protocol,
    reassembly: Reassembly,
  ) {
    this.shared = shared;
    this.addresses = addresses;
    this.protocols = protocols;
    this.icmp = icmpProtocol;
    this.icmp6 = icmp6Protocol;
    reassembly.setTimeoutHook((row) => {
      // RFC 1122 §3.3.2, RFC 8200 §4.5: only if the first piece came, which is what is quoted.
      const { iface, isIp6, ip, headerBytes, bytes } = reassembly.gathered(row);
      if (ip !== 0) this.exceeded(iface, isIp6, ip, headerBytes + bytes);
    });
  }

  /** For `onUnreachable` of the neighbours: a frame that waited for one that never answered, RFC 4861 §7.2.2. */
  unreachable(iface: number, frameAt: number, frameBytes: number): void {
    const { view } = this.shared;
    const ip = frameAt + HEADER_BYTES;
    const ipBytes = frameBytes - HEADER_BYTES;
    const isIp6 = ipBytes > 0 && u8(view, ip) >>> 4 === 6;
    const check = isIp6 ? ipv6.check : ipv4.check;
    if (check(view, ip, ipBytes) !== Drop.None) return;
    if (isIp6) read6(view, ipv6.srcAt(ip), this.source);
    else read4(view, ip + 12, this.source);
    if (this.addresses.isOurs(this.source, ANY_IFACE)) this.tell(iface, ip, ipBytes, isIp6);
    else if (isIp6) this.icmp6.sendError(iface, ip, ipBytes, false, icmp6.Type.Unreachable, ADDRESS, 0);
    else this.icmp.sendError(iface, ip, ipBytes, false, icmp.Type.Unreachable, HOST, 0);
  }

  private exceeded(iface: number, isIp6: boolean, ip: number, ipBytes: number): void {
    if (isIp6) this.icmp6.sendError(iface, ip, ipBytes, false, icmp6.Type.TimeExceeded, REASSEMBLY_TIME, 0);
    else this.icmp.sendError(iface, ip, ipBytes, false, icmp.Type.TimeExceeded, REASSEMBLY_TIME, 0);
  }

  /** The host's own transport hears of it as if a router had said so. */
  private tell(iface: number, ip: number, ipBytes: number, isIp6: boolean): void {
    const { view } = this.shared;
    const walked = isIp6 ? ipv6.walk(view, ip) : (ipv4.headerBytes(view, ip) << 8) | ipv4.protocol(view, ip);
    if (walked < 0 || (!isIp6 && ipv4.fragmentBytes(view, ip) !== 0)) return;
    const offset = ipv6.walkOffset(walked);
    if (offset + QUOTED_MIN > ipBytes) return;
    const error = this.shared.icmpError;
    assign(error.source, this.source);
    assign(error.reporter, this.source);
    if (isIp6) read6(view, ipv6.dstAt(ip), error.target);
    else read4(view, ip + 16, error.target);
    error.iface = iface;
    error.isIp6 = isIp6;
    error.protocol = ipv6.walkProtocol(walked);
    error.at = ip + offset;
    error.bytes = ipBytes - offset;
    error.type = isIp6 ? icmp6.Type.Unreachable : icmp.Type.Unreachable;
    error.code = isIp6 ? ADDRESS : HOST;
    error.errno = Errno.EHOSTUNREACH;
    error.isHard = false;
    error.isLocal = true;
    error.mtuBytes = 0;
    this.protocols.fail(error);
  }
}
