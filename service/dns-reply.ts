// The answer that is being made: one buffer, reused. The message begins at `AT`, so that TCP's length fits before it.

import { Class, Flag, HEADER_BYTES, Type } from '../wire/dns.ts';
import { type DnsQuery, OPT_BYTES } from './dns-query.ts';

/** Where the message begins: TCP's length is before it. */
export const AT = 2;
/** RFC 1035 §4.2.2: the longest message over TCP. */
export const MESSAGE_BYTES_MAX = 65_535;
/** What we offer over UDP, and send at most: it fits an IPv6 packet that no link cuts. RFC 9715. */
export const UDP_BYTES = 1232;
/** How long names of ours may be kept, in seconds: guests come and go. */
export const LOCAL_TTL_S = 10;

const RECURSION_AVAILABLE = 0x80;
const KEPT_FLAGS = Flag.RecursionDesired | 0x10 | 0x7800; // of the query: RD, CD, opcode
const POINTER_TO_NAME = 0xc000 | HEADER_BYTES;
const SOA_NUMBERS = [1, 3600, 1200, 604_800, LOCAL_TTL_S]; // RFC 6303 §3, but for the minimum
const NOBODY = Uint8Array.of(6, 110, 111, 98, 111, 100, 121, 7, 105, 110, 118, 97, 108, 105, 100, 0); // nobody.invalid

export class DnsReply {
  readonly bytes = new Uint8Array(AT + MESSAGE_BYTES_MAX + OPT_BYTES);
  /** Behind the message so far. */
  end = AT;
  /** Behind the question. */
  questionEnd = AT + HEADER_BYTES;

  get count(): number {
    return this.end - AT;
  }

  /** Begins an answer to what is asked: its header and question. `code` is 0 … 15. */
  begin(query: DnsQuery, flags: number, code: number): void {
    const { bytes } = this;
    this.put16(AT, query.id);
    this.put16(AT + 2, Flag.Response | RECURSION_AVAILABLE | flags | (query.flags & KEPT_FLAGS) | code);
    bytes.fill(0, AT + 4, AT + HEADER_BYTES);
    this.end = AT + HEADER_BYTES;
    if (query.questionEnd > 0) {
      bytes[AT + 5] = 1;
      for (let i = HEADER_BYTES; i < query.questionEnd; i++) bytes[this.end++] = query.bytes[query.at + i]!;
    }
    this.questionEnd = this.end;
  }

  /** Begins with a whole message of somebody else's, whose question ends there. */
  load(from: Uint8Array, at: number, count: number, questionEnd: number): void {
    const { bytes } = this;
    if (from !== bytes) for (let i = 0; i < count; i++) bytes[AT + i] = from[at + i]!;
    this.end = AT + count;
    this.questionEnd = AT + questionEnd;
  }

  /** It answers this identification and a name in this case, of as many bytes as its own. */
  address(id: number, name: Uint8Array, at: number, count: number): void {
    const { bytes } = this;
    this.put16(AT, id);
    for (let i = 0; i < count; i++) bytes[AT + HEADER_BYTES + i] = name[at + i]!;
  }

  /** A record of class IN in the answer section, of the name in question. */
  answer(type: number, data: Uint8Array): void {
    this.record(type, data.length);
    for (let i = 0; i < data.length; i++) this.bytes[this.end++] = data[i]!;
    this.bump(6);
  }

  /** RFC 2308 §3: the SOA of the zone whose name begins at `zoneAt` of the question's, in the authority section. */
  authority(zoneAt: number): void {
    this.soa(zoneAt);
    this.bump(8);
  }

  /** The SOA as the answer, of the zone that is asked about. */
  soaAnswer(): void {
    this.soa(0);
    this.bump(6);
  }

  private soa(zoneAt: number): void {
    const { bytes } = this;
    const zone = POINTER_TO_NAME + zoneAt;
    const length = 2 + NOBODY.length + 20;
    this.record(Type.SOA, length, zone);
    this.push16(zone);
    for (let i = 0; i < NOBODY.length; i++) bytes[this.end++] = NOBODY[i]!;
    for (let i = 0; i < SOA_NUMBERS.length; i++) {
      this.push16(SOA_NUMBERS[i]! >>> 16);
      this.push16(SOA_NUMBERS[i]! & 0xffff);
    }
  }

  /** Appends an OPT record of ours; `extended` are the upper bits of the code. */
  appendOpt(isDnssecOk: boolean, extended = 0): void {
    this.bytes[this.end++] = 0;
    this.push16(Type.OPT);
    this.push16(UDP_BYTES);
    this.push16(extended << 8);
    this.push16(isDnssecOk ? 0x8000 : 0);
    this.push16(0);
    this.bump(10);
  }

  /** Appends somebody else's OPT record, with our size. */
  appendOptOf(from: Uint8Array, at: number, count: number): void {
    const start = this.end;
    for (let i = 0; i < count; i++) this.bytes[this.end++] = from[at + i]!;
    this.put16(start + 3, UDP_BYTES);
    this.bump(10);
  }

  /** RFC 2181 §9: header and question only, and the bit that says so. */
  truncate(): void {
    this.bytes[AT + 2] = this.bytes[AT + 2]! | (Flag.Truncated >>> 8);
    this.bytes.fill(0, AT + 6, AT + HEADER_BYTES);
    this.end = this.questionEnd;
  }

  /** Another code, 0 … 15. */
  setCode(code: number): void {
    this.bytes[AT + 3] = (this.bytes[AT + 3]! & 0xf0) | code;
  }

  /** One record less in the additional section. */
  dropAdditional(): void {
    const at = AT + 10;
    this.put16(at, ((this.bytes[at]! << 8) | this.bytes[at + 1]!) - 1);
  }

  /** Writes TCP's length before the message: bytes of both, from 0 on. */
  frame(): number {
    this.put16(0, this.count);
    return this.end;
  }

  private record(type: number, length: number, name = POINTER_TO_NAME): void {
    this.push16(name);
    this.push16(type);
    this.push16(Class.In);
    this.push16(0);
    this.push16(LOCAL_TTL_S);
    this.push16(length);
  }

  private bump(at: number): void {
    const low = this.bytes[AT + at + 1]! + 1;
    this.bytes[AT + at + 1] = low;
    if (low > 255) this.bytes[AT + at] = this.bytes[AT + at]! + 1;
  }

  private push16(value: number): void {
    this.bytes[this.end++] = value >>> 8;
    this.bytes[this.end++] = value;
  }

  private put16(at: number, value: number): void {
    this.bytes[at] = value >>> 8;
    this.bytes[at + 1] = value;
  }
}
