// The walk over a received packet's IPv6 extension headers. RFC 8200 §4, RFC 5095, RFC 7112.

import { Drop } from '../../core/drop.ts';
import { u8 } from '../../wire/bytes.ts';
import { Protocol } from '../../wire/ipv4.ts';
import { EXTENSIONS_MAX, Extension, FRAGMENT_BYTES, HEADER_BYTES, nextHeader } from '../../wire/ipv6.ts';

/** Codes of "parameter problem", RFC 4443 §3.4 and RFC 7112 §5. */
export const Problem = { Field: 0, NextHeader: 1, Option: 2, Chain: 3 } as const;

/** `problem` of a walk that found nothing to complain about. */
export const NO_PROBLEM = -1;

const PAD1 = 0;
const NEXT_AT = 6; // of the fixed header
const UNIT = 8;

/** Where a walk stopped. One per reader, overwritten by the next walk; offsets from the start of the packet. */
export class ExtensionWalk {
  /** The upper-layer protocol, or `Extension.Fragment`, or `Extension.NoNext`. */
  protocol = 0;
  protocolOffset = NEXT_AT;
  offset = HEADER_BYTES;
  /** What to answer if the walk ended with a drop: a value of `Problem` and its pointer, or NO_PROBLEM. */
  problem: number = NO_PROBLEM;
  pointer = 0;
  /** The problem is told even to the source of a multicast packet: RFC 8200 §4.2, action 10. */
  isForGroups = false;

  /** Starts at the fixed header of the packet at `ip`. */
  start(view: DataView, ip: number): void {
    this.protocol = nextHeader(view, ip);
    this.protocolOffset = NEXT_AT;
    this.offset = HEADER_BYTES;
  }

  /** Goes past the fragment header that the walk stopped at. */
  skipFragment(view: DataView, ip: number): void {
    this.protocolOffset = this.offset;
    this.protocol = u8(view, ip + this.offset);
    this.offset += FRAGMENT_BYTES;
  }

  /** Reads the hop-by-hop options only, as a router does. Drop.None also if there are none. RFC 8200 §4.3 */
  hopByHop(view: DataView, ip: number, ipBytes: number): Drop {
    this.problem = NO_PROBLEM;
    return this.protocol === Extension.HopByHop ? this.options(view, ip, ipBytes) : Drop.None;
  }

  /** Walks to the upper layer, a fragment header or the end. RFC 8200 §4.1; no more than `EXTENSIONS_MAX` headers (RFC 8504 §5.3). */
  walk(view: DataView, ip: number, ipBytes: number): Drop {
    this.problem = NO_PROBLEM;
    for (let headers = 0; ; headers++) {
      const { protocol } = this;
      let drop: Drop = Drop.None;
      if (protocol === Extension.HopByHop) {
        // RFC 8200 §4.1: directly behind the fixed header, or it is not recognised.
        if (this.offset !== HEADER_BYTES)
          return this.complain(Problem.NextHeader, this.protocolOffset, Drop.Ip6Extension);
        drop = this.options(view, ip, ipBytes);
      } else if (protocol === Extension.Destination) drop = this.options(view, ip, ipBytes);
      else if (protocol === Extension.Routing) drop = this.routing(view, ip, ipBytes);
      else if (protocol === Extension.Fragment) {
        return this.offset + FRAGMENT_BYTES > ipBytes ? Drop.Ip6Extension : Drop.None;
      } else return Drop.None;
      if (drop !== Drop.None) return drop;
      if (headers === EXTENSIONS_MAX) return Drop.Ip6Extension;
      this.protocolOffset = this.offset;
      this.protocol = u8(view, ip + this.offset);
      this.offset += (u8(view, ip + this.offset + 1) + 1) * UNIT;
    }
  }

  /**
   * RFC 7112 §5: true if the packet, of which only `ipBytes` are in its first piece, holds all headers up to the upper-layer
   * one. Starts at the fragment header where the walk stopped, and leaves the walk as it is.
   */
  hasWholeChain(view: DataView, ip: number, ipBytes: number): boolean {
    let next = u8(view, ip + this.offset);
    let offset = this.offset + FRAGMENT_BYTES;
    while (next === Extension.HopByHop || next === Extension.Destination || next === Extension.Routing) {
      if (offset + UNIT > ipBytes) return false;
      next = u8(view, ip + offset);
      offset += (u8(view, ip + offset + 1) + 1) * UNIT;
    }
    return offset + upperBytes(next) <= ipBytes;
  }

  private complain(problem: number, pointer: number, drop: Drop): Drop {
    this.problem = problem;
    this.pointer = pointer;
    this.isForGroups = false;
    return drop;
  }

  /** True if a header of this kind is whole at the walk's place. */
  private fits(view: DataView, ip: number, ipBytes: number): boolean {
    if (this.offset + UNIT > ipBytes) return false;
    return this.offset + (u8(view, ip + this.offset + 1) + 1) * UNIT <= ipBytes;
  }

  /** RFC 8200 §4.4: no routing type is recognised, so one with segments left is a problem, type 0 (RFC 5095 §3) as any other. */
  private routing(view: DataView, ip: number, ipBytes: number): Drop {
    if (!this.fits(view, ip, ipBytes)) return Drop.Ip6Extension;
    const segmentsLeft = u8(view, ip + this.offset + 3);
    return segmentsLeft === 0 ? Drop.None : this.complain(Problem.Field, this.offset + 2, Drop.Ip6Routing);
  }

  /** RFC 8200 §4.2. No option changes what is done; those that are known and padding are skipped. */
  private options(view: DataView, ip: number, ipBytes: number): Drop {
    if (!this.fits(view, ip, ipBytes)) return Drop.Ip6Extension;
    const end = this.offset + (u8(view, ip + this.offset + 1) + 1) * UNIT;
    for (let o = this.offset + 2; o < end; ) {
      const kind = u8(view, ip + o);
      if (kind === PAD1) {
        o++;
        continue;
      }
      if (o + 2 > end || o + 2 + u8(view, ip + o + 1) > end) return Drop.Ip6Extension;
      // PadN (1) and router alert (5) have action bits 00, as what may be skipped.
      const action = kind >>> 6;
      if (action === 1) return Drop.Ip6Option;
      if (action >= 2) {
        this.complain(Problem.Option, o, Drop.Ip6Option);
        this.isForGroups = action === 2;
        return Drop.Ip6Option;
      }
      o += 2 + u8(view, ip + o + 1);
    }
    return Drop.None;
  }
}

/** The bytes that an upper-layer header has at least. */
function upperBytes(protocol: number): number {
  switch (protocol) {
    case Protocol.Tcp:
      return 20;
    case Protocol.Udp:
    case Protocol.Icmp6:
      return 8;
    default:
      return 0;
  }
}
