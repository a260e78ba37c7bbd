// The two bits by which a queue says "congestion" without dropping. RFC 3168 §5.

import { setU16, u16 } from '../wire/bytes.ts';
import { fold } from '../wire/checksum.ts';
import { EtherType } from '../wire/ethernet.ts';
import { payloadAt } from '../wire/vlan.ts';

/** The field's values, RFC 3168 §5. */
export const Ecn = { NotEct: 0, Ect1: 1, Ect0: 2, Ce: 3 } as const;

const IP4_CHECKSUM = 10;

/** The ECN field of the packet in the frame, or -1 if it holds no IP packet. */
export function ecnOf(view: DataView, at: number, length: number): number {
  const ip = payloadAt(view, at, length);
  if (ip < 0 || ip + 2 > at + length) return -1;
  const type = u16(view, ip - 2);
  if (type === EtherType.Ip4) return u16(view, ip) & 3;
  return type === EtherType.Ip6 ? (u16(view, ip) >>> 4) & 3 : -1;
}

/** Sets CE in the packet of an ECN-capable transport; false, and nothing is changed, if it is not one. */
export function markCe(view: DataView, at: number, length: number): boolean {
  const ecn = ecnOf(view, at, length);
  if (ecn === Ecn.Ce) return true;
  if (ecn <= Ecn.NotEct) return false;
  const ip = payloadAt(view, at, length);
  const word = u16(view, ip);
  if (u16(view, ip - 2) === EtherType.Ip6) {
    setU16(view, ip, word | (Ecn.Ce << 4));
    return true;
  }
  if (ip + IP4_CHECKSUM + 2 > at + length) return false;
  setU16(view, ip, word | Ecn.Ce);
  // RFC 1624 §3: HC' = ~(~HC + ~m + m').
  const sum = (~u16(view, ip + IP4_CHECKSUM) & 0xffff) + (~word & 0xffff) + (word | Ecn.Ce);
  setU16(view, ip + IP4_CHECKSUM, ~fold(sum) & 0xffff);
  return true;
}
