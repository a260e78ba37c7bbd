// Answers echo requests of both families: the same data back.

import { Drop } from '../core/drop.ts';
import { NONE, type Slab } from '../core/slab.ts';
import { setU16 } from '../wire/bytes.ts';
import { finish, pseudoHeader6 } from '../wire/checksum.ts';
import { type Address, ANY, ANY4, isMulticast } from './address.ts';
import { HOP_LIMIT_OF_LINK } from './ip.ts';
import type { IpOutput } from './ip-output.ts';
import type { Packet } from './packet.ts';
import type { Paths } from './paths.ts';
import type { Shared } from './shared.ts';

const SCRATCH_BYTES = 65536;
const CHECKSUM_AT = 2;
const IP6_ADDRESSES = 40;

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
    const any: Address = packet.isIp6 ? ANY : ANY4;
    const source = isMulticast(packet.target) ? any : packet.target;
    const path = this.paths.find(source, packet.source, packet.iface);
    if (path < 0) return Drop.NoRoute;
    if (this.scratch === NONE) {
      this.scratch = this.slab.alloc(SCRATCH_BYTES + IP6_ADDRESSES);
      if (this.scratch === NONE) return Drop.NoMemory;
    }
    const at = this.scratch + IP6_ADDRESSES;
    const { bytes } = packet;
    const { view } = this.shared;
    this.shared.bytes.copyWithin(at, packet.at, packet.at + bytes);
    view.setUint8(at, type);
    view.setUint8(at + 1, 0);
    setU16(view, at + CHECKSUM_AT, 0);
    setU16(
      view,
      at + CHECKSUM_AT,
      finish(this.shared.checksum.sum(at, bytes) + this.pseudo(path, packet.isIp6, protocol, bytes)),
    );
    return this.output.sendDatagram(path, protocol, at, bytes, HOP_LIMIT_OF_LINK, packet.trafficClass & 0xfc, true);
  }

  close(): void {
    if (this.scratch !== NONE) this.slab.release(this.scratch, SCRATCH_BYTES + IP6_ADDRESSES);
    this.scratch = NONE;
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
