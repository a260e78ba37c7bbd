// DNS64, RFC 6147: IPv6 addresses for names that have IPv4 addresses only, by the prefix of a NAT64 (RFC 6052). We do not
// validate, so what is made has no AD bit (§5.5), and a guest that validates itself (DO and CD) gets nothing made. These
// answers are read into objects: they are made once and then kept.

import { viewOf } from '../wire/bytes.ts';
import { buildMessage, type Message, parseMessage, Rcode, type ResourceRecord, rcode, Type } from '../wire/dns.ts';
import { nameData, negativeTtlOf, record } from '../wire/dns-data.ts';
import { nameKey, reverseName } from '../wire/dns-name.ts';
import { embed, embedded, isEmbedding } from '../wire/nat64.ts';
import { addressBytes } from './dns-names.ts';
import type { DnsNetwork } from './dns-parts.ts';
import { isExcluded } from './dns-scan.ts';

/** RFC 6147 §5.1.7: for how long what is made may be kept where nothing says so, in seconds. */
const TTL_S_MAX = 600;
const FLAG_AD = 0x20;
const MAPPED = 0xffff;

export class Dns64 {
  private readonly prefix: Int32Array;
  private readonly bits: number;

  constructor({ address, bits }: DnsNetwork) {
    this.prefix = address.slice();
    this.bits = bits;
  }

  /** The name by which the IPv4 address in an IPv6 one is looked up, RFC 6147 §5.3.1; undefined if there is none in it. */
  reverseOf(address: Int32Array): string | undefined {
    if (address[2] === MAPPED && address[0] === 0 && address[1] === 0) return undefined;
    if (!isEmbedding(address, this.prefix, this.bits)) return undefined;
    const ip4 = Int32Array.of(0, 0, MAPPED, embedded(address, this.bits) | 0);
    return reverseName(addressBytes(ip4));
  }

  /** The answer without addresses that are excluded; undefined if it cannot be read. */
  filtered(answer: Uint8Array): Uint8Array | undefined {
    const message = parseMessage(answer);
    if (!message) return undefined;
    const answers = message.answers.filter((r) => r.type !== Type.AAAA || !isExcluded(r.data, 0));
    return buildMessage({ ...bare(message), answers });
  }

  /**
   * The answer for AAAA that follows from the one for A, whose aliases stay; `nothing` is the one for AAAA, which says how long
   * there is none. Undefined if there is no IPv4 address either, or it cannot be read.
   */
  synthesized(answer: Uint8Array, nothing: Uint8Array | undefined): Uint8Array | undefined {
    const message = parseMessage(answer);
    const question = message?.questions[0];
    if (!message || !question || rcode(message) !== Rcode.NoError) return undefined;
    const ttlMax = ttlOf(nothing);
    const answers: ResourceRecord[] = [];
    for (const r of message.answers) {
      if (r.type === Type.A)
        answers.push({ ...r, type: Type.AAAA, ttl: Math.min(r.ttl, ttlMax), data: this.made(r.data) });
      else if (r.type === Type.CNAME) answers.push(r);
    }
    if (!answers.some((r) => r.type === Type.AAAA)) return undefined;
    const questions = [{ ...question, type: Type.AAAA }];
    return buildMessage({ ...bare(message), questions, answers, authorities: [], additionals: [] });
  }

  /** The answer for the reverse name `name` that follows from the one for the IPv4 address in it: an alias, and what that is. */
  aliased(answer: Uint8Array, name: string): Uint8Array | undefined {
    const message = parseMessage(answer);
    const question = message?.questions[0];
    if (!message || !question) return undefined;
    const ttl = Math.min(TTL_S_MAX, ...message.answers.map((r) => r.ttl));
    const alias = record(name, Type.CNAME, ttl, nameData(nameKey(question.name)));
    const questions = [{ ...question, name }];
    return buildMessage({ ...bare(message), questions, answers: [alias, ...message.answers] });
  }

  private made(ip4: Uint8Array): Uint8Array {
    const into = new Int32Array(4);
    embed(this.prefix, this.bits, viewOf(ip4).getUint32(0), into);
    return addressBytes(into);
  }
}

/** Without OPT, which is of one hop, and without the AD bit. */
function bare(message: Message): Message {
  return {
    ...message,
    flags: message.flags & ~FLAG_AD,
    additionals: message.additionals.filter((r) => r.type !== Type.OPT),
  };
}

/** RFC 6147 §5.1.7: the SOA of the empty answer bounds the TTL. */
function ttlOf(nothing: Uint8Array | undefined): number {
  const soa = nothing && parseMessage(nothing)?.authorities.find((r) => r.type === Type.SOA);
  return soa ? negativeTtlOf(soa) : TTL_S_MAX;
}
