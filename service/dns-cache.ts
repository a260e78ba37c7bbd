// Answers that were given, as the bytes that were sent, oldest out first: one ring of bytes and one of entries, so that keeping
// and finding make nothing. Each entry has its key, the message, and where its TTLs are, which age when it is given again.

import { assert } from '../core/assert.ts';
import { US_PER_S } from '../core/time.ts';

const NONE = -1;
// Ours: RFC 8767 §4 advises a week at most for TTLs, RFC 2308 §5 one to three hours for what is not there.
const POSITIVE_S_MAX = 86_400;
const NEGATIVE_S_MAX = 3600;

export class DnsCache {
  private readonly entriesMax: number;
  private readonly ring: Uint8Array;
  private readonly mask: number;
  private readonly heads: Int32Array;
  // Columns of an entry.
  private readonly hashes: Int32Array;
  private readonly nexts: Int32Array;
  private readonly ats: Int32Array;
  private readonly keyBytes: Uint16Array;
  private readonly wireBytes: Uint16Array;
  private readonly ttls: Uint16Array;
  private readonly storedUs: Float64Array;
  private readonly expiresUs: Float64Array;
  private oldest = 0; // entry
  private count = 0;
  private head = 0; // of the ring: the next byte

  constructor({ entriesMax, bytesMax }: { entriesMax: number; bytesMax: number }) {
    assert(entriesMax >= 1 && bytesMax >= 1, 'a cache has room');
    this.entriesMax = entriesMax;
    this.ring = new Uint8Array(bytesMax);
    let heads = 16;
    while (heads < entriesMax) heads *= 2;
    this.mask = heads - 1;
    this.heads = new Int32Array(heads).fill(NONE);
    this.hashes = new Int32Array(entriesMax);
    this.nexts = new Int32Array(entriesMax);
    this.ats = new Int32Array(entriesMax);
    this.keyBytes = new Uint16Array(entriesMax);
    this.wireBytes = new Uint16Array(entriesMax);
    this.ttls = new Uint16Array(entriesMax);
    this.storedUs = new Float64Array(entriesMax);
    this.expiresUs = new Float64Array(entriesMax);
  }

  /** Entries, those that are out of date among them. */
  get size(): number {
    return this.count;
  }

  /** The entry of a key that is still good, or -1. */
  find(key: Uint8Array, keyBytes: number, hash: number, nowUs: number): number {
    const e = this.chained(key, 0, keyBytes, hash);
    return e !== NONE && nowUs < this.expiresUs[e]! ? e : NONE;
  }

  /** Copies the message to `at`, its TTLs aged; its bytes. */
  copy(e: number, into: Uint8Array, at: number, nowUs: number): number {
    const { ring } = this;
    const from = this.ats[e]! + this.keyBytes[e]!;
    const bytes = this.wireBytes[e]!;
    for (let i = 0; i < bytes; i++) into[at + i] = ring[from + i]!;
    const ageS = Math.floor((nowUs - this.storedUs[e]!) / US_PER_S);
    if (ageS === 0) return bytes;
    let t = from + bytes;
    for (let i = this.ttls[e]!; i > 0; i--, t += 2) age(into, at + ((ring[t]! << 8) | ring[t + 1]!), ageS);
    return bytes;
  }

  /** Keeps a message whose TTLs are at `ttlAt`, for `keptS` seconds within bounds. What is too long for the ring is not kept. */
  put(
    key: Uint8Array,
    keyAt: number,
    keyBytes: number,
    hash: number,
    bytes: Uint8Array,
    at: number,
    count: number,
    ttlAt: Uint16Array,
    ttls: number,
    keptS: number,
    isNegative: boolean,
    nowUs: number,
  ): void {
    const size = keyBytes + count + 2 * ttls;
    const known = this.chained(key, keyAt, keyBytes, hash);
    if (known !== NONE) this.unchain(known);
    if (keptS <= 0 || size > this.ring.length) return;
    const place = this.place(size);
    const { ring } = this;
    for (let i = 0; i < keyBytes; i++) ring[place + i] = key[keyAt + i]!;
    for (let i = 0; i < count; i++) ring[place + keyBytes + i] = bytes[at + i]!;
    for (let i = 0, t = place + keyBytes + count; i < ttls; i++, t += 2) {
      ring[t] = ttlAt[i]! >>> 8;
      ring[t + 1] = ttlAt[i]!;
    }
    const e = (this.oldest + this.count++) % this.entriesMax;
    this.hashes[e] = hash;
    this.ats[e] = place;
    this.keyBytes[e] = keyBytes;
    this.wireBytes[e] = count;
    this.ttls[e] = ttls;
    this.storedUs[e] = nowUs;
    this.expiresUs[e] = nowUs + Math.min(keptS, isNegative ? NEGATIVE_S_MAX : POSITIVE_S_MAX) * US_PER_S;
    this.nexts[e] = this.heads[hash & this.mask]!;
    this.heads[hash & this.mask] = e;
  }

  clear(): void {
    this.heads.fill(NONE);
    this.oldest = this.count = this.head = 0;
  }

  /** `size` bytes in one piece; what was there is forgotten. */
  private place(size: number): number {
    while (this.count >= this.entriesMax) this.forgetOldest();
    let from = this.head;
    if (from + size > this.ring.length) {
      while (this.count > 0 && this.ats[this.oldest]! >= from) this.forgetOldest();
      from = 0;
    }
    while (this.count > 0 && this.overlaps(from, from + size)) this.forgetOldest();
    this.head = from + size;
    return from;
  }

  private overlaps(from: number, end: number): boolean {
    const e = this.oldest;
    const at = this.ats[e]!;
    return at < end && at + this.keyBytes[e]! + this.wireBytes[e]! + 2 * this.ttls[e]! > from;
  }

  private forgetOldest(): void {
    this.unchain(this.oldest);
    this.oldest = (this.oldest + 1) % this.entriesMax;
    this.count--;
  }

  private chained(key: Uint8Array, keyAt: number, keyBytes: number, hash: number): number {
    for (let e = this.heads[hash & this.mask]!; e !== NONE; e = this.nexts[e]!) {
      if (this.hashes[e] !== hash || this.keyBytes[e] !== keyBytes) continue;
      if (sameBytes(this.ring, this.ats[e]!, key, keyAt, keyBytes)) return e;
    }
    return NONE;
  }

  /** Out of its chain, if it is in it. */
  private unchain(e: number): void {
    const { heads, nexts } = this;
    const slot = this.hashes[e]! & this.mask;
    if (heads[slot] === e) {
      heads[slot] = nexts[e]!;
      return;
    }
    for (let p = heads[slot]!; p !== NONE; p = nexts[p]!) {
      if (nexts[p] !== e) continue;
      nexts[p] = nexts[e]!;
      return;
    }
  }
}

function sameBytes(ring: Uint8Array, at: number, key: Uint8Array, keyAt: number, count: number): boolean {
  for (let i = 0; i < count; i++) if (ring[at + i] !== key[keyAt + i]) return false;
  return true;
}

/** RFC 1035 §4.1.3: the TTL counts down in a cache. */
function age(bytes: Uint8Array, at: number, ageS: number): void {
  const ttl = ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
  const left = ttl > ageS ? ttl - ageS : 0;
  bytes[at] = left >>> 24;
  bytes[at + 1] = left >>> 16;
  bytes[at + 2] = left >>> 8;
  bytes[at + 3] = left;
}
