// DHCPv4 messages in frames of their own: before there is an address there is no socket. RFC 2131 §4.1.

import { PLAIN } from '../../core/burst.ts';
import { Drop } from '../../core/drop.ts';
import { NONE } from '../../core/slab.ts';
import { checksumOf, finish, pseudoHeader4 } from '../../wire/checksum.ts';
import * as dhcp4 from '../../wire/dhcp4.ts';
import * as ethernet from '../../wire/ethernet.ts';
import * as ipv4 from '../../wire/ipv4.ts';
import * as udp from '../../wire/udp.ts';
import type { Output } from '../output.ts';
import type { Shared } from '../shared.ts';

const EVERYBODY = Uint8Array.of(255, 255, 255, 255, 255, 255);
const BROADCAST = 0xffffffff;
const HEADERS_BYTES = ethernet.HEADER_BYTES + ipv4.HEADER_BYTES + udp.HEADER_BYTES;
const TTL = 64;

/** Broadcasts a message from `source` (0 before there is an address). `Drop.TxFull` if the output has no room. */
export function broadcast(shared: Shared, output: Output, mac: Uint8Array, source: number, message: Uint8Array): Drop {
  const { view } = shared;
  const at = output.reserve(HEADERS_BYTES + message.length);
  if (at === NONE) return Drop.TxFull;
  ethernet.writeHeader(view, at, EVERYBODY, mac, ethernet.EtherType.Ip4);
  const ip = at + ethernet.HEADER_BYTES;
  const udpBytes = udp.HEADER_BYTES + message.length;
  ipv4.setHeaderBytes(view, ip, ipv4.HEADER_BYTES);
  ipv4.setTos(view, ip, 0);
  ipv4.setTotalLength(view, ip, ipv4.HEADER_BYTES + udpBytes);
  ipv4.setId(view, ip, 0);
  ipv4.setFragment(view, ip, ipv4.DONT_FRAGMENT);
  ipv4.setTtl(view, ip, TTL);
  ipv4.setProtocol(view, ip, ipv4.Protocol.Udp);
  ipv4.setSrc(view, ip, source);
  ipv4.setDst(view, ip, BROADCAST);
  ipv4.seal(view, ip);
  const u = ip + ipv4.HEADER_BYTES;
  udp.setSrcPort(view, u, dhcp4.CLIENT_PORT);
  udp.setDstPort(view, u, dhcp4.SERVER_PORT);
  udp.setLength(view, u, udpBytes);
  udp.setChecksum(view, u, 0);
  shared.bytes.set(message, u + udp.HEADER_BYTES);
  const sum = finish(checksumOf(view, u, udpBytes, pseudoHeader4(view, ip, ipv4.Protocol.Udp, udpBytes)));
  udp.setChecksum(view, u, sum === 0 ? udp.CHECKSUM_ZERO : sum);
  output.commit(HEADERS_BYTES + message.length, PLAIN);
  return Drop.None;
}

/** A cheap look: an IPv4 datagram to the port of DHCPv4 clients. */
export function isToClient(view: DataView, at: number, length: number): boolean {
  const ip = at + ethernet.HEADER_BYTES;
  if (length < ethernet.HEADER_BYTES + ipv4.HEADER_BYTES || ipv4.protocol(view, ip) !== ipv4.Protocol.Udp) return false;
  const u = ip + ipv4.headerBytes(view, ip);
  return u + 4 <= at + length && view.getUint16(u + 2) === dhcp4.CLIENT_PORT;
}

/**
 * None if the frame at `at` is an unbroken IPv4 datagram to port 68 with right checksums; `Drop.NotForUs` if it is a frame for
 * somebody else to look at. The UDP checksum does not count if the frame `isTrusted`.
 */
export function checkFrame(view: DataView, at: number, length: number, isTrusted = false): Drop {
  if (length < HEADERS_BYTES || ethernet.etherType(view, at) !== ethernet.EtherType.Ip4) return Drop.NotForUs;
  const ip = at + ethernet.HEADER_BYTES;
  const bad = ipv4.check(view, ip, length - ethernet.HEADER_BYTES) || ipv4.checkSum(view, ip);
  if (bad !== Drop.None) return bad;
  if (ipv4.protocol(view, ip) !== ipv4.Protocol.Udp || ipv4.isFragment(view, ip)) return Drop.NotForUs;
  const u = ip + ipv4.headerBytes(view, ip);
  const badUdp = udp.check(view, u, ipv4.totalLength(view, ip) - ipv4.headerBytes(view, ip));
  if (badUdp !== Drop.None) return badUdp;
  if (udp.dstPort(view, u) !== dhcp4.CLIENT_PORT || udp.srcPort(view, u) !== dhcp4.SERVER_PORT) return Drop.NotForUs;
  const bytes = udp.length(view, u);
  const isRight =
    isTrusted ||
    udp.checksum(view, u) === 0 ||
    checksumOf(view, u, bytes, pseudoHeader4(view, ip, ipv4.Protocol.Udp, bytes)) === 0xffff;
  return isRight ? Drop.None : Drop.UdpChecksum;
}

/** Where the message of a frame that `checkFrame` let through begins. */
export function messageAt(view: DataView, at: number): number {
  const ip = at + ethernet.HEADER_BYTES;
  return ip + ipv4.headerBytes(view, ip) + udp.HEADER_BYTES;
}

/** Bytes of that message. */
export const messageBytes = (view: DataView, at: number): number =>
  udp.length(view, messageAt(view, at) - udp.HEADER_BYTES) - udp.HEADER_BYTES;
