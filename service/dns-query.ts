// A guest's query, read in place: nothing is made for it. RFC 1035 §4.1, EDNS(0) RFC 6891 §6.

import { Flag, HEADER_BYTES, Rcode, Type, UDP_BYTES_MIN } from '../wire/dns.ts';
import { LABEL_BYTES_MAX, NAME_BYTES_MAX } from '../wire/dns-name.ts';

/** What `read` says beside a response code: it is no query at all, and gets no answer. */
export const NO_QUERY = -1;
/** RFC 6891 §9: the server knows version 0 only. An extended code. */
export const BAD_VERSION = 16;
/** A longer query is refused: a name, EDNS and padding to four blocks (RFC 8467 §4.1) fit. */
export const QUERY_BYTES_MAX = 512;
/** Bytes of a key: a name, type, class, and the bits that make another answer. */
export const KEY_BYTES_MAX = NAME_BYTES_MAX + 5;
/** Bytes of an OPT record without options. */
export const OPT_BYTES = 11;

// Bits of a key's last byte.
const DNSSEC_OK = 1;
const CHECKING_DISABLED = 2;
const RECURSION_DESIRED = 4;
const AUTHENTIC_DATA = 8; // RFC 6840 §5.7: it wants to know

const FLAG_AD = 0x20;
const FLAG_CD = 0x10;
const LABELS_MAX = 128;

// EDNS options that change nothing in what is answered: NSID, cookies, keepalive, padding.
const HARMLESS_OPTIONS: ReadonlySet<number> = new Set([3, 10, 11, 12]);

const EMPTY = new Uint8Array(0);

/** The hash of a name in lower case with its final zero: of `count` bytes at `at`. */
export function hashOf(seed: number, bytes: Uint8Array, at: number, count: number): number {
  let h = seed;
  for (let i = 0; i < count; i++) h = Math.imul(h ^ bytes[at + i]!, 0x01000193);
  return h ^ (h >>> 15);
}

/** One at a time; the next `read` overwrites it. Offsets count from the message's beginning. */
export class DnsQuery {
  bytes: Uint8Array = EMPTY;
  at = 0;
  id = 0;
  /** The flags word. */
  flags = 0;
  type = 0;
  class = 0;
  /** Of the name, the root's zero among them. */
  nameBytes = 0;
  /** Behind the question; 0 if there is none that can be answered with. */
  questionEnd = 0;
  /** Behind the last record. */
  end = 0;
  /** The OPT record, 0 if there is none. */
  optAt = 0;
  /** What the guest takes over UDP, 512 without EDNS. */
  udpBytes = UDP_BYTES_MIN;
  isDnssecOk = false;
  isCheckingDisabled = false;
  /** An option may change the answer, so that it is nobody else's. */
  isPrivate = false;
  /** The name in lower case, type, class, bits. */
  readonly key = new Uint8Array(KEY_BYTES_MAX);
  keyBytes = 0;
  nameHash = 0;
  hash = 0;
  /** Where the labels begin in `key`. */
  readonly labelAt = new Uint8Array(LABELS_MAX);
  labels = 0;
  private readonly seed: number;

  /** @param seed nobody outside may know it. */
  constructor(seed: number) {
    this.seed = seed;
  }

  get hasEdns(): boolean {
    return this.optAt !== 0;
  }

  /** Reads a message; 0, or the code to answer with, or `NO_QUERY`. */
  read(bytes: Uint8Array, at: number, count: number): number {
    this.bytes = bytes;
    this.at = at;
    this.questionEnd = this.optAt = 0;
    this.udpBytes = UDP_BYTES_MIN;
    this.isPrivate = this.isDnssecOk = false;
    if (count < HEADER_BYTES) return NO_QUERY;
    this.id = this.word(0);
    this.flags = this.word(2);
    this.isCheckingDisabled = (this.flags & FLAG_CD) !== 0;
    if ((this.flags & Flag.Response) !== 0) return NO_QUERY;
    const opcode = (this.flags >>> 11) & 15;
    if (opcode !== 0) return Rcode.NotImp;
    if (this.word(4) !== 1) return Rcode.FormErr;
    if (!this.readQuestion(count)) return Rcode.FormErr;
    if (count > QUERY_BYTES_MAX || this.word(6) !== 0 || this.word(8) !== 0) return Rcode.FormErr;
    const additionals = this.word(10);
    this.end = this.questionEnd;
    if (additionals > 1 || this.type === Type.OPT) return Rcode.FormErr;
    const code = additionals === 1 ? this.readOpt(count) : 0;
    this.finishKey();
    return code;
  }

  /** The other end's address family of type A or AAAA; the key of the same question with another type is not made. */
  private readQuestion(count: number): boolean {
    const { bytes, at, key, labelAt } = this;
    let p = HEADER_BYTES;
    let labels = 0;
    let k = 0;
    for (;;) {
      const n = p < count ? bytes[at + p]! : 0xff;
      // A question comes first, so there is nothing that a pointer could lead to.
      if (n > LABEL_BYTES_MAX || k + n + 1 > NAME_BYTES_MAX || p + n + 1 > count) return false;
      if (n > 0) labelAt[labels++] = k;
      key[k] = n;
      for (let i = 1; i <= n; i++) {
        const b = bytes[at + p + i]!;
        key[k + i] = b >= 0x41 && b <= 0x5a ? b | 0x20 : b;
      }
      p += n + 1;
      k += n + 1;
      if (n === 0) break;
    }
    if (p + 4 > count) return false;
    this.labels = labels;
    this.nameBytes = k;
    this.type = this.word(p);
    this.class = this.word(p + 2);
    this.questionEnd = p + 4;
    return true;
  }

  /** RFC 6891 §6.1.2: the root, the type, what it takes over UDP, extended code, version, flags, options. */
  private readOpt(count: number): number {
    const { bytes, at } = this;
    const p = this.questionEnd;
    if (p + OPT_BYTES > count || bytes[at + p] !== 0 || this.word(p + 1) !== Type.OPT) return Rcode.FormErr;
    const end = p + OPT_BYTES + this.word(p + 9);
    if (end > count) return Rcode.FormErr;
    for (let o = p + OPT_BYTES; o < end; ) {
      if (o + 4 > end) return Rcode.FormErr;
      if (!HARMLESS_OPTIONS.has(this.word(o))) this.isPrivate = true;
      o += 4 + this.word(o + 2);
      if (o > end) return Rcode.FormErr;
    }
    this.optAt = p;
    this.end = end;
    this.udpBytes = Math.max(UDP_BYTES_MIN, this.word(p + 3));
    this.isDnssecOk = (bytes[at + p + 7]! & 0x80) !== 0;
    return bytes[at + p + 6] === 0 ? 0 : BAD_VERSION;
  }

  private finishKey(): void {
    const { key, nameBytes } = this;
    const bits =
      (this.isDnssecOk ? DNSSEC_OK : 0) |
      (this.isCheckingDisabled ? CHECKING_DISABLED : 0) |
      ((this.flags & Flag.RecursionDesired) !== 0 ? RECURSION_DESIRED : 0) |
      ((this.flags & FLAG_AD) !== 0 ? AUTHENTIC_DATA : 0);
    key[nameBytes] = this.type >>> 8;
    key[nameBytes + 1] = this.type;
    key[nameBytes + 2] = this.class >>> 8;
    key[nameBytes + 3] = this.class;
    key[nameBytes + 4] = bits;
    this.keyBytes = nameBytes + 5;
    this.nameHash = hashOf(this.seed, key, 0, nameBytes);
    this.hash = hashOf(this.nameHash, key, nameBytes, 5);
  }

  private word(p: number): number {
    return (this.bytes[this.at + p]! << 8) | this.bytes[this.at + p + 1]!;
  }
}
