// A server's answer, walked once in place: is it well-formed, how long is it good, where is its OPT. RFC 1035 §4, RFC 2308.

import { HEADER_BYTES, Rcode, Type } from '../wire/dns.ts';

/** TTLs of one answer that the cache can age; an answer with more is not kept. */
export const TTLS_MAX = 256;
const RECORD_BYTES = 10; // type, class, TTL, length
const SOA_BYTES_MIN = 22; // two roots and five numbers
const TTL_MAX_S = 0x7fffffff; // RFC 2181 §8: one above it counts as 0

/** Behind the name at `p`, which is not followed; -1 if it does not fit before `end`. */
export function skipName(bytes: Uint8Array, p: number, end: number): number {
  let q = p;
  while (q < end) {
    const n = bytes[q]!;
    if (n === 0) return q + 1;
    if (n >= 0xc0) return q + 2 <= end ? q + 2 : -1;
    if (n > 63) return -1;
    q += n + 1;
  }
  return -1;
}

/** Offsets count from the message's beginning. */
export class DnsScan {
  /** The response code without its extension. */
  code = 0;
  flags = 0;
  answers = 0;
  /** Records of the question's type among the answers. */
  matches = 0;
  /** AAAA records among them that hold no IPv6 address: ::ffff:0:0/96. */
  mapped = 0;
  /** Behind the last record. */
  end = 0;
  /** Behind the question; 0 if there is none. */
  questionEnd = 0;
  /** The OPT record and its end, 0 if there is none. */
  optAt = 0;
  optEnd = 0;
  /** The upper 8 bits of the code. */
  extended = 0;
  readonly ttlAt = new Uint16Array(TTLS_MAX);
  /** More than `TTLS_MAX` if there are too many. */
  ttls = 0;
  /** The lowest TTL in seconds; `TTL_MAX_S` if there is no record. */
  ttlMin = 0;
  /** How long "there is none" may be kept: RFC 2308 §5; -1 without SOA. */
  negativeTtl = -1;
  private base = 0;
  private type = 0;

  /** False if it is malformed. A message without question is well-formed here. */
  read(bytes: Uint8Array, at: number, count: number): boolean {
    if (count < HEADER_BYTES) return false;
    this.base = at;
    this.flags = word(bytes, at + 2);
    this.code = this.flags & 15;
    this.optAt = this.optEnd = this.extended = this.ttls = this.matches = this.mapped = this.questionEnd = 0;
    this.ttlMin = TTL_MAX_S;
    this.negativeTtl = -1;
    this.answers = word(bytes, at + 6);
    const questions = word(bytes, at + 4);
    const end = at + count;
    let p = at + HEADER_BYTES;
    if (questions > 1) return false;
    if (questions === 1) {
      p = skipName(bytes, p, end);
      if (p < 0 || p + 4 > end) return false;
      this.type = word(bytes, p);
      p += 4;
      this.questionEnd = p - at;
    }
    for (let section = 0; section < 3 && p >= 0; section++) {
      const records = word(bytes, at + 6 + 2 * section);
      for (let i = 0; i < records && p >= 0; i++) p = this.record(bytes, p, end, section);
    }
    this.end = p - at;
    return p >= 0;
  }

  /** Nothing follows its OPT record, if it has one. */
  get isOptLast(): boolean {
    return this.optAt === 0 || this.optEnd === this.end;
  }

  /** How long it may be kept, in seconds; 0 for not at all. Its class of answer is bounded by who keeps it. */
  get keptS(): number {
    if (this.ttls > TTLS_MAX || this.extended !== 0) return 0;
    if (this.code === Rcode.NoError && this.matches > 0) return this.ttlMin;
    if (this.code !== Rcode.NoError && this.code !== Rcode.NxDomain) return 0;
    return Math.max(0, Math.min(this.negativeTtl, this.ttlMin));
  }

  /** It says that there is nothing, rather than what. */
  get isNegative(): boolean {
    return this.code !== Rcode.NoError || this.matches === 0;
  }

  private record(bytes: Uint8Array, from: number, end: number, section: number): number {
    const p = skipName(bytes, from, end);
    if (p < 0 || p + RECORD_BYTES > end) return -1;
    const type = word(bytes, p);
    const length = word(bytes, p + 8);
    const next = p + RECORD_BYTES + length;
    if (next > end) return -1;
    if (type === Type.OPT) {
      // RFC 6891 §6.1.1: one, at the root, among the additional records.
      if (this.optAt !== 0 || section !== 2 || p !== from + 1) return -1;
      this.optAt = from - this.base;
      this.optEnd = next - this.base;
      this.extended = bytes[p + 4]!;
      return next;
    }
    const high = word(bytes, p + 4);
    const ttl = high >= 0x8000 ? 0 : high * 65536 + word(bytes, p + 6);
    if (ttl < this.ttlMin) this.ttlMin = ttl;
    if (this.ttls < TTLS_MAX) this.ttlAt[this.ttls] = p + 4 - this.base;
    this.ttls++;
    if (section === 0 && (type === this.type || this.type === Type.ANY)) {
      this.matches++;
      if (type === Type.AAAA && length === 16 && isExcluded(bytes, p + RECORD_BYTES)) this.mapped++;
    }
    if (section === 1 && type === Type.SOA && length >= SOA_BYTES_MIN) {
      const minimum = word(bytes, next - 4) * 65536 + word(bytes, next - 2);
      this.negativeTtl = Math.min(ttl, minimum);
    }
    return next;
  }
}

/** True for ::ffff:0:0/96, which no host may be reached by; RFC 6147 §5.1.4. Of the 16 bytes at `at`. */
export function isExcluded(bytes: Uint8Array, at: number): boolean {
  for (let i = 0; i < 10; i++) if (bytes[at + i] !== 0) return false;
  return bytes[at + 10] === 0xff && bytes[at + 11] === 0xff;
}

const word = (bytes: Uint8Array, at: number): number => (bytes[at]! << 8) | bytes[at + 1]!;
