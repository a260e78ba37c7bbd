// Answers echo requests of both families, the same data back, and IPv4's requests for the time.

import { Drop } from '../../core/drop.ts';
import { NONE, type Slab } from '../../core/slab.ts';
import { setU16, setU32 } from '../../wire/bytes.ts';
import { finish, pseudoHeader6 } from '../../wire/checksum.ts';
import * as ipv4 from '../../wire/ipv4.ts';
import { type Address, ANY, ANY4, ip4Of, isMulticast } from '../address.ts';
import { HOP_LIMIT_OF_LINK } from '../ip.ts';
import type { Packet } from '../packet.ts';
import type { Shared } from '../shared.ts';
import type { IpOutput } from './ip-output.ts';
import { copyGathering, gather, timestampOf } from './ip4-options.ts';
import type { Paths } from './paths.ts';

const { Icmp } = ipv4.Protocol;
const SCRATCH_BYTES = 65536;
const CHECKSUM_AT = 2;
/** In front of the message: an IPv6 header's room for the pseudo-header, or IPv4's options. */
const FRONT_BYTES = 40;
// Of ICMP's timestamp message, RFC 792.
const TIMESTAMP_BYTES = 20;
const RECEIVED_AT = 12;
const SENT_AT = 16;
const NO_MEMORY = -(2 ** 30); // no errno is as low

/** Sends replies. Long ones go through a scratch piece of the slab, which is taken when first needed. */
export class EchoReplies {
  private readonly shared: Shared;
  private readonly slab: Slab;
  private readonly paths: Paths;
  private readonly output: IpOutput;
  private scratch: number = NONE;

  constructor(shared: Shared, paths: Paths, output: IpOutput) {
    this.shared = shared;
    this.slab = shared.slab;
    this.paths = paths;
    this.output = output;
  }

  /** Answers the request in hand with a message of `type`. RFC 1122 §3.2.2.6, RFC 4443 §4.2: from where it was sent to. */
  answer(packet: Packet, protocol: number, type: number): Drop {
    const path = this.begin(packet);
    if (path < 0) return path === NO_MEMORY ? Drop.NoMemory : Drop.NoRoute;
    const at = this.scratch + FRONT_BYTES;
    const { bytes } = packet;
    this.shared.bytes.copyWithin(at, packet.at, packet.at + bytes);
    this.seal(path, packet.isIp6, protocol, type, bytes);
    const tos = packet.trafficClass & 0xfc;
    const optionBytes = packet.isIp6 ? 0 : this.copyOptions(packet, path);
    if (optionBytes > 0) return this.output.sendOptions4(path, protocol, at, bytes, this.scratch, optionBytes, tos);
    return this.output.sendDatagram(path, protocol, at, bytes, HOP_LIMIT_OF_LINK, tos, true);
  }

  /** Answers ICMP's timestamp request, of 20 bytes at least. RFC 792, RFC 1122 §3.2.2.8 */
  stamp(packet: Packet, type: number): Drop {
    const path = this.begin(packet);
    if (path < 0) return path === NO_MEMORY ? Drop.NoMemory : Drop.NoRoute;
    const at = this.scratch + FRONT_BYTES;
    this.shared.bytes.copyWithin(at, packet.at, packet.at + TIMESTAMP_BYTES);
    const time = timestampOf(this.shared.nowUs);
    setU32(this.shared.view, at + RECEIVED_AT, time);
    setU32(this.shared.view, at + SENT_AT, time);
    this.seal(path, false, Icmp, type, TIMESTAMP_BYTES);
    return this.output.sendDatagram(
      path,
      Icmp,
      at,
      TIMESTAMP_BYTES,
      HOP_LIMIT_OF_LINK,
      packet.trafficClass & 0xfc,
      true,
    );
  }

  close(): void {
    if (this.scratch !== NONE) this.slab.release(this.scratch, SCRATCH_BYTES + FRONT_BYTES);
    this.scratch = NONE;
  }

  /** The path back, with the scratch piece ready; a negative errno or NO_MEMORY. */
  private begin(packet: Packet): number {
    const any: Address = packet.isIp6 ? ANY : ANY4;
    const source = isMulticast(packet.target) ? any : packet.target;
    const path = this.paths.find(source, packet.source, packet.iface);
    if (path < 0) return path;
    if (this.scratch === NONE) this.scratch = this.slab.alloc(SCRATCH_BYTES + FRONT_BYTES);
    return this.scratch === NONE ? NO_MEMORY : path;
  }

  /** RFC 1122 §3.2.2.6: record route and timestamp come back, with this host in them. Their bytes, at the scratch piece's start. */
  private copyOptions(packet: Packet, path: number): number {
    const { view, nowUs } = this.shared;
    const end = packet.ip + ipv4.headerBytes(view, packet.ip);
    const bytes = copyGathering(view, packet.ip + ipv4.HEADER_BYTES, end, this.scratch);
    gather(view, this.scratch, this.scratch + bytes, ip4Of(this.paths.sourceOf(path)), nowUs);
    return bytes;
  }

  private seal(path: number, isIp6: boolean, protocol: number, type: number, bytes: number): void {
    const at = this.scratch + FRONT_BYTES;
    const { view } = this.shared;
    view.setUint8(at, type);
    view.setUint8(at + 1, 0);
    setU16(view, at + CHECKSUM_AT, 0);
    const pseudo = this.pseudo(path, isIp6, protocol, bytes);
    setU16(view, at + CHECKSUM_AT, finish(this.shared.checksum.sum(at, bytes) + pseudo));
  }

  /** The pseudo-header's sum, from addresses that are written where an IPv6 header would have them. */
  private pseudo(path: number, isIp6: boolean, protocol: number, bytes: number): number {
    if (!isIp6) return 0;
    const ip = this.scratch;
    const source = this.paths.sourceOf(path);
    const target = this.paths.targetOf(path);
    for (let i = 0; i < 4; i++) {
      this.shared.view.setInt32(ip + 8 + 4 * i, source[i]!);
      this.shared.view.setInt32(ip + 24 + 4 * i, target[i]!);
    }
    return pseudoHeader6(this.shared.view, ip, protocol, bytes);
  }
}
