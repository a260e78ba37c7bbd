// What a message says about a question: records, or another name to ask for, or that there is nothing. RFC 1034 §4.3.2, RFC 2308.

import * as dns from '../../wire/dns.ts';
import { negativeTtlOf, targetOf } from '../../wire/dns-data.ts';
import { isBelow, nameKey } from '../../wire/dns-name.ts';
import { NEGATIVE_TTL_S_MAX, ttlOf } from './resolver-cache.ts';

/** How a query ended. */
export const Resolved = { Ok: 0, NoName: 1, NoData: 2, Timeout: 3, Failed: 4 } as const;
export type Resolved = (typeof Resolved)[keyof typeof Resolved];

/** Aliases that are followed in all. */
export const ALIASES_MAX = 16;

/** The outcome of one message. `alias` is not empty if that name has to be asked for. */
export interface Outcome {
  readonly status: Resolved;
  readonly records: readonly dns.ResourceRecord[];
  readonly alias: string;
  /** Seconds that it may be kept. */
  readonly ttlS: number;
}

/** True if `message` answers this question: the same name, type and class, and one only (RFC 5452 §4.2). */
export function answers(message: dns.Message, name: string, type: number): boolean {
  const [question] = message.questions;
  return (
    dns.isResponse(message) &&
    dns.opcode(message) === 0 &&
    message.questions.length === 1 &&
    nameKey(question!.name) === nameKey(name) &&
    question!.type === type &&
    question!.class === dns.Class.In
  );
}

/** Reads an answer whose code is NoError or NxDomain. Records that do not belong to the name do not count. */
export function outcomeOf(message: dns.Message, name: string, type: number): Outcome {
  const records: dns.ResourceRecord[] = [];
  let owner = nameKey(name);
  const inClass = message.answers.filter((r) => r.class === dns.Class.In);
  for (let aliases = 0; aliases <= ALIASES_MAX; aliases++) {
    const found = inClass.filter((r) => nameKey(r.name) === owner && (r.type === type || type === dns.Type.ANY));
    if (found.length > 0) {
      records.push(...found);
      return { status: Resolved.Ok, records, alias: '', ttlS: ttlOf(records) };
    }
    const alias = inClass.find((r) => r.type === dns.Type.CNAME && nameKey(r.name) === owner);
    if (!alias) break;
    records.push(alias);
    owner = nameKey(targetOf(alias) ?? '');
  }
  if (records.length > ALIASES_MAX) return { status: Resolved.Failed, records: [], alias: '', ttlS: 0 };
  // RFC 2308 §2: an SOA in the authority section says that nothing will follow.
  const soa = message.authorities.find((r) => r.type === dns.Type.SOA && isBelow(owner, r.name));
  const ttlS = soa ? Math.min(NEGATIVE_TTL_S_MAX, negativeTtlOf(soa), ttlOf(records)) : 0;
  if (dns.rcode(message) === dns.Rcode.NxDomain) return { status: Resolved.NoName, records, alias: '', ttlS };
  const isUnfinished = records.length > 0 && !soa;
  return { status: Resolved.NoData, records, alias: isUnfinished ? owner : '', ttlS };
}
