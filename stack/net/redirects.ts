// Redirects that a router sends to neighbours who know a worse way than it does. RFC 1812 §5.2.7.2, RFC 4861 §8.2.

import { NONE } from '../../core/slab.ts';
import type { StateReader, StateWriter } from '../../core/state.ts';
import { setU8, setU16 } from '../../wire/bytes.ts';
import * as icmp from '../../wire/icmp.ts';
import * as icmp6 from '../../wire/icmp6.ts';
import * as ipv4 from '../../wire/ipv4.ts';
import * as ipv6 from '../../wire/ipv6.ts';
import { type Address, equal, ip4Of, isLinkLocal, write6 } from '../address.ts';
import type { Addresses } from '../autoconf/addresses.ts';
import { IP6_MTU_MIN } from '../link/interfaces.ts';
import { MAC_OPTION_BYTES } from '../link/ndp-options.ts';
import { type NextHops, NO_NEXT_HOPS } from '../link/next-hops.ts';
import type { Packet } from '../packet.ts';
import type { Shared } from '../shared.ts';
import { ErrorLimit } from './error-limit.ts';
import type { IcmpProtocol } from './icmp.ts';
import type { IpOutput } from './ip-output.ts';
import type { Paths } from './paths.ts';

const HOST = 1; // code: for the host, RFC 1812 §5.2.7.2
const NDP_HOP_LIMIT = 255;
const OPTION_BYTES = 8;

/** Sends them, rate-limited. */
export class Redirects {
  private readonly shared: Shared;
  private readonly addresses: Addresses;
  private readonly paths: Paths;
  private readonly output: IpOutput;
  private readonly icmp: IcmpProtocol;
  private readonly limit: ErrorLimit;
  private hops: NextHops = NO_NEXT_HOPS;

  constructor(shared: Shared, addresses: Addresses, paths: Paths, output: IpOutput, icmpProtocol: IcmpProtocol) {
    this.shared = shared;
    this.addresses = addresses;
    this.paths = paths;
    this.output = output;
    this.icmp = icmpProtocol;
    this.limit = new ErrorLimit(shared, 'stack/redirect-limit');
  }

  setNextHops(hops: NextHops): void {
    this.hops = hops;
  }

  /** Tells the source of the packet in hand that `hop`, on its own link, is the better gateway. */
  send4(packet: Packet, hop: Address): void {
    if (!this.limit.allows(packet.source)) return;
    this.icmp.sendError(
      packet.iface,
      packet.ip,
      packet.ipBytes,
      packet.isGroupFrame,
      icmp.Type.Redirect,
      HOST,
      ip4Of(hop),
    );
  }

  /**
   * As `send4`. `hop` is a router's link-local address, or the packet's target where that is on the link, else nothing is sent
   * (RFC 4861 §4.5, §8.2). Its hardware address goes along if it is known, §4.6.3.
   */
  send6(packet: Packet, hop: Address): void {
    const { view, bytes } = this.shared;
    if (!equal(hop, packet.target) && !isLinkLocal(hop)) return;
    const own = this.addresses
      .ids()
      .find((a) => this.addresses.ifaceOf(a) === packet.iface && this.isLinkLocal(a) && this.addresses.isUsable(a));
    if (own === undefined || !this.limit.allows(packet.source)) return;
    const path = this.paths.find(this.addresses.addressOf(own), packet.source, packet.iface);
    if (path < 0) return;
    const n = this.hops.find(packet.iface, hop);
    const macBytes = n >= 0 && this.hops.isUsable(n) ? MAC_OPTION_BYTES : 0;
    const room = IP6_MTU_MIN - ipv6.HEADER_BYTES - icmp6.REDIRECT_BYTES - macBytes - OPTION_BYTES;
    const quoted = Math.min(packet.ipBytes, room) & ~7;
    const length = icmp6.REDIRECT_BYTES + macBytes + OPTION_BYTES + quoted;
    const at = this.output.open(path, ipv4.Protocol.Icmp6, length);
    if (at === NONE) return;
    icmp6.setType(view, at, icmp6.Type.Redirect);
    icmp6.setCode(view, at, 0);
    icmp6.setWord(view, at, 0);
    write6(view, icmp6.targetAt(at), hop);
    write6(view, icmp6.targetAt(at) + ipv6.ADDRESS_BYTES, packet.target);
    if (macBytes > 0) {
      setU16(view, at + icmp6.REDIRECT_BYTES, (icmp6.NdpOption.TargetMac << 8) | 1);
      this.hops.writeMac(n, at + icmp6.REDIRECT_BYTES + 2);
    }
    const option = at + icmp6.REDIRECT_BYTES + macBytes;
    setU8(view, option, icmp6.NdpOption.Redirected);
    setU8(view, option + 1, (OPTION_BYTES + quoted) >>> 3);
    setU16(view, option + 2, 0);
    view.setUint32(option + 4, 0);
    bytes.copyWithin(option + OPTION_BYTES, packet.ip, packet.ip + quoted);
    icmp6.seal(view, at - ipv6.HEADER_BYTES, at, length);
    this.output.send(NDP_HOP_LIMIT, 0, 0);
  }

  save(state: StateWriter): void {
    this.limit.save(state);
  }

  load(state: StateReader): void {
    this.limit.load(state);
  }

  private isLinkLocal(a: number): boolean {
    const address = this.addresses.addressOf(a);
    return isLinkLocal(address) && address[2] !== 0xffff;
  }
}
