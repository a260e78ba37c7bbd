// Answers of a DHCPv4 server as frames of their own: to a client that has no address yet, none that ARP could find.
// RFC 2131 §4.1: to its hardware address and the address that it gets.

import { checksumOf, finish, pseudoHeader4 } from '../wire/checksum.ts';
import * as dhcp4 from '../wire/dhcp4.ts';
import * as ethernet from '../wire/ethernet.ts';
import * as ipv4 from '../wire/ipv4.ts';
import * as udp from '../wire/udp.ts';

const HEADERS_BYTES = ethernet.HEADER_BYTES + ipv4.HEADER_BYTES + udp.HEADER_BYTES;
const TTL = 64;

/** Who an answer comes from and goes to. Addresses are numbers. */
export interface FrameEnds {
  readonly sourceMac: Uint8Array;
  readonly source: number;
  readonly targetMac: Uint8Array;
  readonly target: number;
}

/** The frame with a server's message to port 68. */
export function answerFrame(message: Uint8Array, ends: FrameEnds): Uint8Array {
  const frame = new Uint8Array(HEADERS_BYTES + message.length);
  const view = new DataView(frame.buffer);
  ethernet.writeHeader(view, 0, ends.targetMac, ends.sourceMac, ethernet.EtherType.Ip4);
  const ip = ethernet.HEADER_BYTES;
  const udpBytes = udp.HEADER_BYTES + message.length;
  ipv4.setHeaderBytes(view, ip, ipv4.HEADER_BYTES);
  ipv4.setTotalLength(view, ip, ipv4.HEADER_BYTES + udpBytes);
  ipv4.setFragment(view, ip, ipv4.DONT_FRAGMENT);
  ipv4.setTtl(view, ip, TTL);
  ipv4.setProtocol(view, ip, ipv4.Protocol.Udp);
  ipv4.setSrc(view, ip, ends.source);
  ipv4.setDst(view, ip, ends.target);
  ipv4.seal(view, ip);
  const u = ip + ipv4.HEADER_BYTES;
  udp.setSrcPort(view, u, dhcp4.SERVER_PORT);
  udp.setDstPort(view, u, dhcp4.CLIENT_PORT);
  udp.setLength(view, u, udpBytes);
  frame.set(message, HEADERS_BYTES);
  const sum = finish(checksumOf(view, u, udpBytes, pseudoHeader4(view, ip, ipv4.Protocol.Udp, udpBytes)));
  udp.setChecksum(view, u, sum === 0 ? udp.CHECKSUM_ZERO : sum);
  return frame;
}
