// The lower half of an IPv6 address: opaque and stable (RFC 7217), random (RFC 8981), or of the hardware address (RFC 4291).

import { sipHash, sipHigh } from '../../core/siphash.ts';
import type { Address } from '../address.ts';
import type { Random } from '../random.ts';

/** Bits of an interface identifier on Ethernet, RFC 2464 §4. */
export const IID_BITS = 64;

const words = new Int32Array(4);

/** RFC 5453 and its registry: identifiers that no host may take. */
export function isReserved(high: number, low: number): boolean {
  const h = high >>> 0;
  const l = low >>> 0;
  if (h === 0 && l === 0) return true; // subnet-router anycast
  if (h === 0x02005eff && l >= 0xfe000000 && l <= 0xfe005212) return true;
  return h === 0xfdffffff && l >= 0xffffff80; // reserved anycast, RFC 2526
}

/**
 * RFC 7217 §5: writes the identifier for a prefix on an interface to the lower half of `to`, whose upper half is the prefix.
 * `counter` is DAD_Counter; the counter that was used is returned, since a reserved identifier takes the next one.
 */
export function writeStable(key: Int32Array, to: Address, iface: number, counter: number): number {
  for (let c = counter; ; c++) {
    words[0] = to[0]!;
    words[1] = to[1]!;
    words[2] = iface;
    words[3] = c;
    const low = sipHash(key, words, 0, 4);
    const high = sipHigh;
    if (isReserved(high, low)) continue;
    to[2] = high;
    to[3] = low;
    return c;
  }
}

/** RFC 8981 §3.3.1: a random identifier. */
export function writeRandom(random: Random, to: Address): void {
  do {
    to[2] = random.u32();
    to[3] = random.u32();
  } while (isReserved(to[2], to[3]));
}

/** RFC 4291 appendix A: of the hardware address, with the universal bit turned. */
export function writeEui64(mac: Uint8Array, to: Address): void {
  to[2] = ((mac[0]! ^ 2) << 24) | (mac[1]! << 16) | (mac[2]! << 8) | 0xff;
  to[3] = 0xfe000000 | (mac[3]! << 16) | (mac[4]! << 8) | mac[5]!;
}
