// What is in the data of DNS records, by type: readers of what `parseMessage` let through, and builders.

import { assert } from '../core/assert.ts';
import { viewOf } from './bytes.ts';
import type { ResourceRecord } from './dns.ts';
import { Class, Type } from './dns.ts';
import { nameBytes, readName } from './dns-name.ts';

const NAME_AT: ReadonlyMap<number, number> = new Map([
  [Type.NS, 0],
  [Type.CNAME, 0],
  [Type.PTR, 0],
  [Type.MX, 2],
  [Type.SRV, 6],
  [Type.NSEC, 0],
  [Type.SOA, 0],
]);

/** The name that an NS, CNAME, PTR, MX or SRV record points to, an NSEC's next, an SOA's primary; undefined of another type. */
export function targetOf(record: ResourceRecord): string | undefined {
  const at = NAME_AT.get(record.type);
  return at === undefined ? undefined : readName(record.data, at)?.name;
}

/** Priority, weight and port of an SRV record, RFC 2782. */
export interface Service {
  readonly priority: number;
  readonly weight: number;
  readonly port: number;
  readonly target: string;
}

/** An SRV record's data; undefined if it is none. */
export function serviceOf(record: ResourceRecord): Service | undefined {
  const target = record.type === Type.SRV ? targetOf(record) : undefined;
  if (target === undefined) return undefined;
  const view = viewOf(record.data);
  return { priority: view.getUint16(0), weight: view.getUint16(2), port: view.getUint16(4), target };
}

/** An MX record's preference, 0 … 65535; undefined if it is none. */
export const preferenceOf = (record: ResourceRecord): number | undefined =>
  record.type === Type.MX && record.data.length >= 2 ? viewOf(record.data).getUint16(0) : undefined;

/** How long "no such name" may be kept, in seconds: the lower of the SOA's TTL and its minimum. RFC 2308 §5. */
export const negativeTtlOf = (soa: ResourceRecord): number =>
  soa.data.length < 22 ? 0 : Math.min(soa.ttl, viewOf(soa.data).getUint32(soa.data.length - 4));

/** The strings of a TXT record, RFC 1035 §3.3.14; what does not fit is left out. */
export function textsOf(record: ResourceRecord): Uint8Array[] {
  const texts: Uint8Array[] = [];
  if (record.type !== Type.TXT) return texts;
  for (let at = 0; at < record.data.length; at += 1 + record.data[at]!) {
    const end = at + 1 + record.data[at]!;
    if (end <= record.data.length) texts.push(record.data.slice(at + 1, end));
  }
  return texts;
}

/** The types that an NSEC record's bitmap names, RFC 4034 §4.1.2, ascending; at most 256. */
export function typesOf(record: ResourceRecord): number[] {
  const types: number[] = [];
  let at = readName(record.data, 0)?.next ?? record.data.length;
  while (at + 2 <= record.data.length) {
    const window = record.data[at]!;
    const bytes = record.data[at + 1]!;
    for (let bit = 0; bit < 8 * bytes && at + 2 + (bit >>> 3) < record.data.length; bit++) {
      const isSet = (record.data[at + 2 + (bit >>> 3)]! & (0x80 >>> (bit & 7))) !== 0;
      if (isSet && types.length < 256) types.push(256 * window + bit);
    }
    at += 2 + bytes;
  }
  return types;
}

/** The data of an NS, CNAME or PTR record. */
export function nameData(target: string): Uint8Array {
  const bytes = nameBytes(target);
  assert(bytes !== undefined, `a name: ${target}`);
  return bytes;
}

/** The data of an NSEC record whose next name is its own, as mDNS sends (RFC 6762 §6.1). Types below 256. */
export function nsecData(name: string, types: readonly number[]): Uint8Array {
  const next = nameData(name);
  const bytes = (Math.max(...types) >>> 3) + 1;
  const data = new Uint8Array(next.length + 2 + bytes);
  data.set(next);
  data[next.length + 1] = bytes;
  for (const type of types) data[next.length + 2 + (type >>> 3)]! |= 0x80 >>> (type & 7);
  return data;
}

/** The data of an SRV record. */
export function serviceData({ priority, weight, port, target }: Service): Uint8Array {
  const name = nameData(target);
  const data = new Uint8Array(6 + name.length);
  const view = viewOf(data);
  view.setUint16(0, priority);
  view.setUint16(2, weight);
  view.setUint16(4, port);
  data.set(name, 6);
  return data;
}

/** An OPT record that offers `udpBytes` of UDP payload and knows no option. RFC 6891 §6.1.2. */
export const ednsRecord = (udpBytes: number): ResourceRecord => ({
  name: '',
  type: Type.OPT,
  class: udpBytes,
  ttl: 0,
  data: new Uint8Array(0),
});

/** A record of class IN. */
export const record = (name: string, type: number, ttl: number, data: Uint8Array, flush = false): ResourceRecord => ({
  name,
  type,
  class: flush ? Class.In | Class.TopBit : Class.In,
  ttl,
  data,
});
