// One TCP segment in a frame, as numbers: what checkers and packet scripts look at.

import { u8, u16, u32 } from '../wire/bytes.ts';
import { EtherType } from '../wire/ethernet.ts';
import * as ipv4 from '../wire/ipv4.ts';
import * as ipv6 from '../wire/ipv6.ts';
import * as tcp from '../wire/tcp.ts';
import { payloadAt } from '../wire/vlan.ts';

/** Where a packet and its payload are. */
export interface PacketPlace {
  readonly isIp6: boolean;
  /** Offset of the IP header. */
  readonly ip: number;
  readonly protocol: number;
  /** Offset and bytes of what the packet carries. */
  readonly at: number;
  readonly bytes: number;
  /** Part of a fragmented packet. */
  readonly isFragment: boolean;
}

/** The whole IP packet in a frame, or undefined. */
export function packetIn(view: DataView, at: number, length: number): PacketPlace | undefined {
  const ip = payloadAt(view, at, length);
  if (ip < 0) return undefined;
  const avail = at + length - ip;
  const type = u16(view, ip - 2);
  if (type === EtherType.Ip4 && ipv4.check(view, ip, avail) === 0) {
    const header = ipv4.headerBytes(view, ip);
    const bytes = ipv4.totalLength(view, ip) - header;
    const isFragment = ipv4.isFragment(view, ip);
    return { isIp6: false, ip, protocol: ipv4.protocol(view, ip), at: ip + header, bytes, isFragment };
  }
  if (type !== EtherType.Ip6 || ipv6.check(view, ip, avail) !== 0) return undefined;
  const walked = ipv6.walk(view, ip);
  if (walked === ipv6.MALFORMED) return undefined;
  const protocol = ipv6.walkProtocol(walked);
  const offset = ipv6.walkOffset(walked);
  const bytes = ipv6.HEADER_BYTES + ipv6.payloadLength(view, ip) - offset;
  return { isIp6: true, ip, protocol, at: ip + offset, bytes, isFragment: protocol === ipv6.Extension.Fragment };
}

/** A segment's fields; sequence numbers are 0 … 2^32 - 1. */
export interface Segment {
  /** `10.0.0.1.80`: the ends, as text. */
  readonly source: string;
  readonly target: string;
  readonly sourcePort: number;
  readonly targetPort: number;
  readonly flags: number;
  readonly seq: number;
  readonly ack: number;
  /** As it stands in the header. */
  readonly window: number;
  readonly headerAt: number;
  readonly payloadAt: number;
  readonly payloadBytes: number;
  /** Shift of a window scale option, or -1. */
  readonly windowScale: number;
}

/** The segment in a frame; undefined if there is none, or part of one. */
export function segmentIn(view: DataView, at: number, length: number): Segment | undefined {
  const packet = packetIn(view, at, length);
  if (packet === undefined || packet.isFragment || packet.protocol !== ipv4.Protocol.Tcp) return undefined;
  const t = packet.at;
  if (tcp.check(view, t, packet.bytes) !== 0) return undefined;
  const { ip, isIp6 } = packet;
  const source = isIp6 ? ipv6.addressText(view, ipv6.srcAt(ip)) : ipv4.formatAddress(ipv4.src(view, ip));
  const target = isIp6 ? ipv6.addressText(view, ipv6.dstAt(ip)) : ipv4.formatAddress(ipv4.dst(view, ip));
  const [sourcePort, targetPort] = [tcp.srcPort(view, t), tcp.dstPort(view, t)];
  const header = tcp.headerBytes(view, t);
  return {
    source: `${source}.${sourcePort}`,
    target: `${target}.${targetPort}`,
    sourcePort,
    targetPort,
    flags: tcp.flags(view, t),
    seq: u32(view, t + 4),
    ack: u32(view, t + 8),
    window: tcp.window(view, t),
    headerAt: t,
    payloadAt: t + header,
    payloadBytes: packet.bytes - header,
    windowScale: windowScaleOf(view, t),
  };
}

function windowScaleOf(view: DataView, t: number): number {
  for (
    let o = tcp.nextOption(view, t, tcp.optionsAt(t));
    o >= 0;
    o = tcp.nextOption(view, t, tcp.afterOption(view, o))
  ) {
    if (tcp.optionKind(view, o) === tcp.Option.WindowScale && tcp.optionBytes(view, o) === 3) return u8(view, o + 2);
  }
  return -1;
}

/** Sequence numbers that a segment takes: payload, and one each for SYN and FIN. */
export const sequenceBytes = ({ payloadBytes, flags }: Segment): number =>
  payloadBytes + ((flags & tcp.Flag.Syn) !== 0 ? 1 : 0) + ((flags & tcp.Flag.Fin) !== 0 ? 1 : 0);
