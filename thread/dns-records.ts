// DNS records as Node's `dns` module gives them to programs.

import { addressOf4, formatAddress } from '../stack/stack.ts';
import { viewOf } from '../wire/bytes.ts';
import { type ResourceRecord, Type } from '../wire/dns.ts';
import { preferenceOf, serviceOf, targetOf, textsOf } from '../wire/dns-data.ts';
import { readName } from '../wire/dns-name.ts';

const NAPTR = 35; // RFC 3403
const CAA = 257; // RFC 8659
const SOA_NUMBERS_BYTES = 20;

/** What each of c-ares' calls asks for. */
export const QUERY_TYPES = {
  queryAny: Type.ANY,
  queryA: Type.A,
  queryAaaa: Type.AAAA,
  queryCaa: CAA,
  queryCname: Type.CNAME,
  queryMx: Type.MX,
  queryNs: Type.NS,
  queryTxt: Type.TXT,
  querySrv: Type.SRV,
  queryPtr: Type.PTR,
  queryNaptr: NAPTR,
  querySoa: Type.SOA,
} as const;

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

/** The string with its length before it that starts at `at`, and where the next thing is. */
function stringAt(bytes: Uint8Array, at: number): { value: string; next: number } {
  const next = at + 1 + (bytes[at] ?? 0);
  return { value: text(bytes.subarray(at + 1, next)), next };
}

/** Address, name, list or object, as `dns.resolve` has it for the record's type; undefined for what it does not know. */
export function contentOf(record: ResourceRecord): unknown {
  const { data, type } = record;
  switch (type) {
    case Type.A:
      return data.length === 4 ? formatAddress(addressOf4(viewOf(data).getUint32(0))) : undefined;
    case Type.AAAA:
      return data.length === 16 ? formatAddress(wordsOf(data)) : undefined;
    case Type.CNAME:
    case Type.NS:
    case Type.PTR:
      return targetOf(record);
    case Type.TXT:
      return textsOf(record).map(text);
    case Type.MX:
      return { exchange: targetOf(record), priority: preferenceOf(record) };
    case Type.SRV: {
      const service = serviceOf(record);
      return (
        service && { name: service.target, port: service.port, priority: service.priority, weight: service.weight }
      );
    }
    case Type.SOA:
      return soaOf(data);
    case NAPTR:
      return naptrOf(data);
    case CAA:
      return caaOf(data);
  }
  return undefined;
}

function wordsOf(data: Uint8Array): Int32Array {
  const view = viewOf(data);
  return Int32Array.of(view.getInt32(0), view.getInt32(4), view.getInt32(8), view.getInt32(12));
}

function soaOf(data: Uint8Array): unknown {
  const primary = readName(data, 0);
  const mailbox = primary && readName(data, primary.next);
  if (!mailbox || mailbox.next + SOA_NUMBERS_BYTES > data.length) return undefined;
  const view = viewOf(data);
  const number = (i: number): number => view.getUint32(mailbox.next + 4 * i);
  return {
    nsname: primary.name,
    hostmaster: mailbox.name,
    serial: number(0),
    refresh: number(1),
    retry: number(2),
    expire: number(3),
    minttl: number(4),
  };
}

function naptrOf(data: Uint8Array): unknown {
  if (data.length < 8) return undefined;
  const view = viewOf(data);
  const flags = stringAt(data, 4);
  const service = stringAt(data, flags.next);
  const regexp = stringAt(data, service.next);
  const replacement = readName(data, regexp.next);
  if (!replacement) return undefined;
  return {
    flags: flags.value,
    service: service.value,
    regexp: regexp.value,
    replacement: replacement.name,
    order: view.getUint16(0),
    preference: view.getUint16(2),
  };
}

function caaOf(data: Uint8Array): unknown {
  if (data.length < 2) return undefined;
  const tag = stringAt(data, 1);
  return { critical: data[0], [tag.value]: text(data.subarray(tag.next)) };
}

const ANY_NAMES: ReadonlyMap<number, string> = new Map([
  [Type.A, 'A'],
  [Type.AAAA, 'AAAA'],
  [Type.CNAME, 'CNAME'],
  [Type.NS, 'NS'],
  [Type.PTR, 'PTR'],
  [Type.TXT, 'TXT'],
  [Type.MX, 'MX'],
  [Type.SRV, 'SRV'],
  [Type.SOA, 'SOA'],
  [NAPTR, 'NAPTR'],
  [CAA, 'CAA'],
]);

/** A record in the answer of `resolveAny`. */
export function anyOf(record: ResourceRecord): unknown {
  const value = contentOf(record);
  const type = ANY_NAMES.get(record.type);
  if (value === undefined || type === undefined) return undefined;
  if (record.type === Type.A || record.type === Type.AAAA) return { type, address: value, ttl: record.ttl };
  if (record.type === Type.TXT) return { type, entries: value };
  return typeof value === 'string' ? { type, value } : { type, ...(value as object) };
}
