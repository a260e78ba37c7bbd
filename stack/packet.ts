// The packet in hand: what the network layer read of it, for whoever it is given to.

import type { Address } from './address.ts';
import { ADDRESS_WORDS } from './address.ts';

/** One per stack, overwritten by the next packet; nothing of it is kept without copying. Offsets are those of the slab. */
export class Packet {
  /** Number of the interface that it came in by. */
  iface = 0;
  /** Where the Ethernet header is, or 0 if there is none (loopback). */
  frameAt = 0;
  /** It was sent to a link-layer group address. */
  isGroupFrame = false;
  isIp6 = false;
  /** Where the IP header is. */
  ip = 0;
  /** Bytes of the whole packet from `ip` on, without Ethernet padding. */
  ipBytes = 0;
  readonly source: Address = new Int32Array(ADDRESS_WORDS);
  readonly target: Address = new Int32Array(ADDRESS_WORDS);
  /** Upper-layer protocol; IPv6: after the extension headers. */
  protocol = 0;
  /** Where in the packet the number `protocol` stands: the pointer of "unrecognized next header". Offset from `ip`. */
  protocolOffset = 0;
  /** Where the upper-layer header is, and how many bytes are there. */
  at = 0;
  bytes = 0;
  /** TTL or hop limit as received. */
  hopLimit = 0;
  /** DSCP and ECN. */
  trafficClass = 0;
  /** The port vouched for the transport checksum (virtio NeedsChecksum or DataValid): it is not verified. */
  isChecksumKnown = false;
  /** Payload bytes a segment if this is a super-frame, else 0. */
  segmentBytes = 0;
  /** It had a fragment header: pieces were put together, and `at` is not in the frame; or there was only one. */
  wasReassembled = false;
}

/** The hardware address that the packet's frame came from, as a number of 48 bits; 0 without a frame. */
export function senderOf(view: DataView, { frameAt }: Packet): number {
  return frameAt === 0 ? 0 : view.getUint16(frameAt + 6) * 2 ** 32 + view.getUint32(frameAt + 8);
}

/** What an ICMP error says about a packet that this host sent. One per stack, overwritten by the next. */
export class IcmpError {
  iface = 0;
  /** The addresses of the packet that failed: `source` is ours. */
  readonly source: Address = new Int32Array(ADDRESS_WORDS);
  readonly target: Address = new Int32Array(ADDRESS_WORDS);
  /** Who reported it. */
  readonly reporter: Address = new Int32Array(ADDRESS_WORDS);
  protocol = 0;
  /** The quoted upper-layer header and how many bytes of it were quoted: 8 at least. */
  at = 0;
  bytes = 0;
  isIp6 = false;
  type = 0;
  code = 0;
  /** The Linux error number that a socket is given. */
  errno = 0;
  /** RFC 1122 §4.2.3.9: protocol or port unreachable, and their IPv6 counterparts. The rest is soft. */
  isHard = false;
  /** This host itself says so: the next hop does not answer. Nobody can have forged it. */
  isLocal = false;
  /** The path's new MTU in bytes if it is "too big", else 0. The path already knows. */
  mtuBytes = 0;
}
