// IPv4 addresses inside IPv6 addresses, RFC 6052 §2.2. Addresses are four words in network order, signed; an IPv4 address is one.
//
//   PL  0             32    40    48    56    64    72    80    88    96    104
//   32 │ prefix       │ v4(32)                │ u │ suffix                    │
//   40 │ prefix             │ v4(24)          │ u │(8)│ suffix                │
//   48 │ prefix                   │ v4(16)    │ u │ (16)    │ suffix          │
//   56 │ prefix                         │(8)  │ u │ v4(24)        │ suffix    │
//   64 │ prefix                               │ u │ v4(32)              │suffix│
//   96 │ prefix                                                      │ v4(32) │
//
// The octet u, bits 64 … 71, is zero.

/** Lengths that a prefix may have. */
export const PREFIX_BITS: readonly number[] = [32, 40, 48, 56, 64, 96];

/** 64:ff9b::/96, RFC 6052 §2.1. */
export const WELL_KNOWN: Int32Array = Int32Array.of(0x0064ff9b, 0, 0, 0);
export const WELL_KNOWN_BITS = 96;

const U_OCTET = 8;
const OCTETS = 4;

/** Where octet `i` of the IPv4 address is, in octets of the IPv6 address. */
function placeOf(bits: number, i: number): number {
  const place = (bits >>> 3) + i;
  return bits < 96 && place >= U_OCTET ? place + 1 : place;
}

const octet = (words: Int32Array, place: number): number => (words[place >>> 2]! >>> (24 - 8 * (place & 3))) & 255;

/** The IPv4 address in `words` after a prefix of `bits` bits, 0 … 2^32 - 1. What the prefix is is not looked at. */
export function embedded(words: Int32Array, bits: number): number {
  let address = 0;
  for (let i = 0; i < OCTETS; i++) address = (address << 8) | octet(words, placeOf(bits, i));
  return address >>> 0;
}

/** Writes `prefix` of `bits` bits with the IPv4 address in it to `into`; the rest is zero. `into` may be `prefix`. */
export function embed(prefix: Int32Array, bits: number, address: number, into: Int32Array): void {
  for (let w = 0; w < 4; w++) {
    const kept = Math.max(0, Math.min(32, bits - 32 * w));
    into[w] = kept === 0 ? 0 : prefix[w]! & (-1 << (32 - kept));
  }
  for (let i = 0; i < OCTETS; i++) {
    const place = placeOf(bits, i);
    into[place >>> 2] = into[place >>> 2]! | (((address >>> (24 - 8 * i)) & 255) << (24 - 8 * (place & 3)));
  }
}

/** True if `words` are an address of this prefix with u zero; a suffix is ignored, as §2.2 asks. */
export function isEmbedding(words: Int32Array, prefix: Int32Array, bits: number): boolean {
  for (let w = 0; w < 4 && 32 * w < bits; w++) {
    const kept = Math.min(32, bits - 32 * w);
    if (((words[w]! ^ prefix[w]!) & (-1 << (32 - kept))) !== 0) return false;
  }
  return octet(words, U_OCTET) === 0;
}
