// DNS messages: RFC 1035 §4, EDNS(0) RFC 6891, SRV RFC 2782, AAAA RFC 3596, NSEC RFC 4034 §4, and what mDNS puts into the
// class (RFC 6762 §5.4, §10.2). Records keep their data uncompressed, so that it can be compared, kept and sent as it is.
// Messages are read into objects, since none of this is on the path of frames.

import { assert } from '../core/assert.ts';
import { viewOf } from './bytes.ts';
import { labelsOf, nameBytes, nameKey, readName } from './dns-name.ts';

/** Bytes before the questions. */
export const HEADER_BYTES = 12;
/** UDP payload that every server takes, RFC 1035 §4.2.1. */
export const UDP_BYTES_MIN = 512;
/** Questions and records of one message that are read; a message with more is refused. */
export const RECORDS_MAX = 512;

/** Types of records. Any other type is opaque. */
export const Type = {
  A: 1,
  NS: 2,
  CNAME: 5,
  SOA: 6,
  PTR: 12,
  MX: 15,
  TXT: 16,
  AAAA: 28,
  SRV: 33,
  OPT: 41,
  NSEC: 47,
  SVCB: 64,
  HTTPS: 65,
  ANY: 255,
} as const;

/** Classes, and the top bit that mDNS has there: "unicast answer" of a question, "cache flush" of a record. */
export const Class = { In: 1, Any: 255, TopBit: 0x8000 } as const;

/** Bits of the flags word. */
export const Flag = { Response: 0x8000, Authoritative: 0x400, Truncated: 0x200, RecursionDesired: 0x100 } as const;

/** Response codes. */
export const Rcode = { NoError: 0, FormErr: 1, ServFail: 2, NxDomain: 3, NotImp: 4, Refused: 5 } as const;

/** What is asked. `class` is the whole field. */
export interface Question {
  readonly name: string;
  readonly type: number;
  readonly class: number;
}

/** `class` is the whole field, `ttl` seconds as sent (OPT: flags), `data` without compression. */
export interface ResourceRecord extends Question {
  readonly ttl: number;
  readonly data: Uint8Array;
}

/** One message. `flags` is the whole word: `Flag`, opcode and code. */
export interface Message {
  readonly id: number;
  readonly flags: number;
  readonly questions: readonly Question[];
  readonly answers: readonly ResourceRecord[];
  readonly authorities: readonly ResourceRecord[];
  readonly additionals: readonly ResourceRecord[];
}

/** The response code, a value of `Rcode` or another. */
export const rcode = (message: Message): number => message.flags & 15;
/** 0 for a query; others are no business of ours. */
export const opcode = (message: Message): number => (message.flags >>> 11) & 15;
/** True for an answer. */
export const isResponse = (message: Message): boolean => (message.flags & Flag.Response) !== 0;

// Data with names in it: `before` bytes, then names, then the rest; the rest of an SOA is 20 bytes.
const NAMES_IN: ReadonlyMap<number, { before: number; names: number; after: number; compress: boolean }> = new Map([
  [Type.NS, { before: 0, names: 1, after: 0, compress: true }],
  [Type.CNAME, { before: 0, names: 1, after: 0, compress: true }],
  [Type.PTR, { before: 0, names: 1, after: 0, compress: true }],
  [Type.SOA, { before: 0, names: 2, after: 20, compress: true }],
  [Type.MX, { before: 2, names: 1, after: 0, compress: true }],
  [Type.SRV, { before: 6, names: 1, after: 0, compress: false }], // RFC 2782: not compressed, but RFC 6762 §18.14 does
  [Type.NSEC, { before: 0, names: 1, after: -1, compress: false }],
]);
const SIZE_OF: ReadonlyMap<number, number> = new Map([
  [Type.A, 4],
  [Type.AAAA, 16],
]);

/** Reads a whole message; undefined if it is malformed anywhere. Bytes after the last record do not count. */
export function parseMessage(bytes: Uint8Array): Message | undefined {
  if (bytes.length < HEADER_BYTES) return undefined;
  const view = viewOf(bytes);
  const counts = [view.getUint16(4), view.getUint16(6), view.getUint16(8), view.getUint16(10)];
  if (counts.reduce((a, b) => a + b) > RECORDS_MAX) return undefined;
  let at = HEADER_BYTES;
  const questions: Question[] = [];
  for (let i = 0; i < counts[0]!; i++) {
    const name = readName(bytes, at);
    if (!name || name.next + 4 > bytes.length) return undefined;
    questions.push({ name: name.name, type: view.getUint16(name.next), class: view.getUint16(name.next + 2) });
    at = name.next + 4;
  }
  const sections: ResourceRecord[][] = [[], [], []];
  for (let s = 0; s < 3; s++) {
    for (let i = 0; i < counts[s + 1]!; i++) {
      const read = readRecord(bytes, view, at);
      if (!read) return undefined;
      sections[s]!.push(read.record);
      at = read.next;
    }
  }
  const [answers, authorities, additionals] = sections;
  return {
    id: view.getUint16(0),
    flags: view.getUint16(2),
    questions,
    answers: answers!,
    authorities: authorities!,
    additionals: additionals!,
  };
}

function readRecord(
  bytes: Uint8Array,
  view: DataView,
  at: number,
): { record: ResourceRecord; next: number } | undefined {
  const name = readName(bytes, at);
  if (!name || name.next + 10 > bytes.length) return undefined;
  const from = name.next + 10;
  const end = from + view.getUint16(name.next + 8);
  if (end > bytes.length) return undefined;
  const type = view.getUint16(name.next);
  const data = expand(bytes, from, end, type);
  if (!data) return undefined;
  const record = {
    name: name.name,
    type,
    class: view.getUint16(name.next + 2),
    ttl: view.getUint32(name.next + 4),
    data,
  };
  return { record, next: end };
}

/** The data with its names uncompressed; undefined if it is not what its type says. Empty data stands in mDNS and RFC 2136 only. */
function expand(bytes: Uint8Array, from: number, end: number, type: number): Uint8Array | undefined {
  const layout = NAMES_IN.get(type);
  if (!layout || from === end) {
    const size = SIZE_OF.get(type);
    return size === undefined || end - from === size ? bytes.slice(from, end) : undefined;
  }
  if (end - from < layout.before) return undefined;
  const parts: Uint8Array[] = [bytes.subarray(from, from + layout.before)];
  let at = from + layout.before;
  for (let i = 0; i < layout.names; i++) {
    const name = readName(bytes, at);
    if (!name || name.next > end) return undefined;
    parts.push(nameBytes(name.name)!);
    at = name.next;
  }
  if (layout.after >= 0 && end - at !== layout.after) return undefined;
  parts.push(bytes.subarray(at, end));
  return concat(parts);
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** The message with compressed names. Its names and data are ours: a bad name is a bug. */
export function buildMessage(message: Message): Uint8Array {
  const out: number[] = [];
  const known = new Map<string, number>();
  const sections = [message.answers, message.authorities, message.additionals];
  push16(out, message.id, message.flags, message.questions.length, ...sections.map((section) => section.length));
  for (const question of message.questions) {
    pushName(out, known, question.name);
    push16(out, question.type, question.class);
  }
  for (const section of sections) for (const record of section) pushRecord(out, known, record);
  return Uint8Array.from(out);
}

function push16(out: number[], ...values: number[]): void {
  for (const value of values) out.push((value >>> 8) & 255, value & 255);
}

function pushRecord(out: number[], known: Map<string, number>, record: ResourceRecord): void {
  pushName(out, known, record.name);
  push16(out, record.type, record.class, record.ttl >>> 16, record.ttl & 0xffff, 0);
  const from = out.length;
  const layout = NAMES_IN.get(record.type);
  if (layout?.compress && record.data.length > 0) {
    let at = layout.before;
    out.push(...record.data.subarray(0, at));
    for (let i = 0; i < layout.names; i++) {
      const name = readName(record.data, at);
      assert(name !== undefined, `data of a record of type ${record.type}`);
      pushName(out, known, name.name);
      at = name.next;
    }
    out.push(...record.data.subarray(at));
  } else for (let i = 0; i < record.data.length; i++) out.push(record.data[i]!);
  out[from - 2] = (out.length - from) >>> 8;
  out[from - 1] = (out.length - from) & 255;
}

/** RFC 1035 §4.1.4: the longest ending that stands in the message is pointed to. */
function pushName(out: number[], known: Map<string, number>, name: string): void {
  const labels = labelsOf(name);
  assert(labels !== undefined, `a name: ${name}`);
  for (let i = 0; i < labels.length; i++) {
    const key = labels
      .slice(i)
      .map((label) => nameKey(String.fromCharCode(label.length, ...label)))
      .join('');
    const at = known.get(key);
    if (at !== undefined) {
      push16(out, 0xc000 | at);
      return;
    }
    if (out.length < 0x4000) known.set(key, out.length);
    out.push(labels[i]!.length, ...labels[i]!);
  }
  out.push(0);
}
