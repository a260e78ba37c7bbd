// Invariants of frames and IP packets: right checksums, identifications used once, few resets.

import { US_PER_S } from '../core/time.ts';
import { u8, u16 } from '../wire/bytes.ts';
import { checksumOf, pseudoHeader4, pseudoHeader6 } from '../wire/checksum.ts';
import * as ipv4 from '../wire/ipv4.ts';
import * as tcp from '../wire/tcp.ts';
import * as udp from '../wire/udp.ts';
import { Checker, PerKey } from './checker.ts';
import { type PacketPlace, packetIn, segmentIn } from './segment.ts';
import type { Hop } from './sim-port.ts';

/** Every checksum of every frame that is sent is right: IPv4 header, ICMP, ICMPv6, UDP, TCP, IGMP. */
export const checksumChecker = (): Checker =>
  new Checker('checksum', (accuse) => ({
    sent(hop, nowUs) {
      if (hop.offload !== 0) return; // a super-frame's are to be completed
      const packet = packetIn(hop.view, hop.at, hop.length);
      const wrong = packet && wrongChecksum(hop.view, packet);
      if (wrong !== undefined) accuse(`the ${wrong} checksum is wrong`, hop, nowUs);
    },
  }));

const NAMES: ReadonlyMap<number, string> = new Map([
  [ipv4.Protocol.Icmp, 'icmp'],
  [ipv4.Protocol.Igmp, 'igmp'],
  [ipv4.Protocol.Tcp, 'tcp'],
  [ipv4.Protocol.Udp, 'udp'],
  [ipv4.Protocol.Icmp6, 'icmp6'],
]);

function wrongChecksum(view: DataView, packet: PacketPlace): string | undefined {
  const { ip, at, bytes, protocol, isIp6 } = packet;
  if (!isIp6 && ipv4.checkSum(view, ip) !== 0) return 'ip';
  const name = NAMES.get(protocol);
  if (packet.isFragment || name === undefined || bytes < 2) return undefined;
  let length = bytes;
  if (protocol === ipv4.Protocol.Udp) {
    if (udp.check(view, at, bytes) !== 0) return undefined;
    if (udp.checksum(view, at) === 0) return isIp6 ? name : undefined; // RFC 8200 §8.1: not over IPv6
    length = udp.length(view, at);
  }
  const isBare = protocol === ipv4.Protocol.Icmp || protocol === ipv4.Protocol.Igmp;
  const pseudo = isBare ? 0 : (isIp6 ? pseudoHeader6 : pseudoHeader4)(view, ip, protocol, length);
  return checksumOf(view, at, length, pseudo) === 0xffff ? undefined : name;
}

interface Use {
  timeUs: number;
  /** Offsets of the pieces seen; one offset 0 for a whole packet. */
  offsets: Set<number>;
}

/**
 * RFC 6864 §4.3: packets that may be fragmented, or are, do not share source, target, protocol and identification within
 * `lifetimeUs`. Judged where a node sends, link by link.
 */
export const ipv4IdChecker = ({ lifetimeUs = 30 * US_PER_S }: { lifetimeUs?: number } = {}): Checker =>
  new Checker('ipv4-id', (accuse) => {
    const uses = new PerKey<Map<number, Use>>(() => new Map());
    return {
      sent(hop, nowUs) {
        const { view } = hop;
        const packet = packetIn(view, hop.at, hop.length);
        if (packet === undefined || packet.isIp6) return;
        const { ip } = packet;
        if (!packet.isFragment && (ipv4.fragment(view, ip) & ipv4.DONT_FRAGMENT) !== 0) return; // atomic
        const id = ipv4.id(view, ip);
        const ends = `${ipv4.src(view, ip)} ${ipv4.dst(view, ip)} ${ipv4.protocol(view, ip)}`;
        const used = uses.of(`${hop.link}.${hop.from} ${ends}`);
        const offset = ipv4.fragmentBytes(view, ip);
        const last = used.get(id);
        if (last === undefined || nowUs - last.timeUs >= lifetimeUs) {
          used.set(id, { timeUs: nowUs, offsets: new Set([offset]) });
        } else if (!packet.isFragment || last.offsets.has(offset)) {
          accuse(`identification ${id} was used ${nowUs - last.timeUs} µs ago`, hop, nowUs);
        } else last.offsets.add(offset);
      },
    };
  });

/** At most `perSecond` resets a second from each end of each link. */
export const resetRateChecker = ({ perSecond }: { perSecond: number }): Checker =>
  new Checker('reset-rate', (accuse) => {
    const times = new PerKey<number[]>(() => []);
    return {
      sent(hop, nowUs) {
        if (!isReset(hop)) return;
        const recent = times.of(`${hop.link}.${hop.from}`);
        while (recent.length > 0 && nowUs - recent[0]! >= US_PER_S) recent.shift();
        recent.push(nowUs);
        if (recent.length > perSecond) accuse(`${recent.length} resets within a second`, hop, nowUs);
      },
    };
  });

function isReset({ view, at, length }: Hop): boolean {
  const segment = segmentIn(view, at, length);
  return segment !== undefined && (segment.flags & tcp.Flag.Rst) !== 0;
}

/** Nothing is sent with no hops left. RFC 1122 §3.2.1.7. */
export const hopLimitChecker = (): Checker =>
  new Checker('hop-limit', (accuse) => ({
    sent(hop, nowUs) {
      const packet = packetIn(hop.view, hop.at, hop.length);
      if (packet === undefined) return;
      const hops = packet.isIp6 ? u16(hop.view, packet.ip + 6) & 255 : u8(hop.view, packet.ip + 8);
      if (hops === 0) accuse('no hops left', hop, nowUs);
    },
  }));
