// The forwarder proper: a question goes to one server at a time under a random identification (RFC 5452 §9.2; ports are the
// upstream's), each gets 2 s, three are asked, the last that answered first. What is asked while the same question is on its
// way waits for the same answer. What was cut is cut for the guest, too, which then asks over TCP, and so do we (RFC 7766 §5).
//
// We are a stub: the servers that we ask are trusted to have looked whose data an answer has (its bailiwick).

import { sipHash, sipHigh } from '../core/siphash.ts';
import { NEVER, US_PER_S } from '../core/time.ts';
import { hashAddress } from '../stack/stack.ts';
import { buildMessage, Flag, HEADER_BYTES, parseMessage, Rcode, Type } from '../wire/dns.ts';
import { readName } from '../wire/dns-name.ts';
import type { AnswerTaker } from './dns-asker.ts';
import { DnsAsker } from './dns-asker.ts';
import type { DnsCache } from './dns-cache.ts';
import type { DnsCounters } from './dns-parts.ts';
import { DnsPending, NONE, Stage } from './dns-pending.ts';
import { type DnsQuery, KEY_BYTES_MAX, OPT_BYTES } from './dns-query.ts';
import { AT, type DnsReply, UDP_BYTES } from './dns-reply.ts';
import { DnsScan } from './dns-scan.ts';
import type { DnsUpstream, DnsUpstreamUser } from './dns-upstream.ts';
import type { Dns64 } from './dns64.ts';

/** How long a server has, and how often one is asked in all. */
export const TRY_US = 2 * US_PER_S;
export const TRIES = 3;
/** How long a failure is given again, RFC 9520 §3.2. */
const FAILURE_S = 1;
const GUEST_SLOTS = 1024;
const RECURSION_AVAILABLE = 0x80;
const NO_TTLS = new Uint16Array(0);

/** What the forwarder works with. */
export interface ForwardParts {
  readonly upstream: DnsUpstream;
  readonly cache: DnsCache;
  readonly reply: DnsReply;
  readonly counters: DnsCounters;
  readonly sink: AnswerTaker;
  readonly dns64: Dns64 | undefined;
  /** 4 words. */
  readonly secret: Int32Array;
  nowUs(): number;
  say(line: string): void;
}

export class DnsForward implements DnsUpstreamUser {
  private readonly parts: ForwardParts;
  private readonly pending: DnsPending;
  private readonly scan = new DnsScan();
  private readonly asker = new DnsAsker();
  private readonly failure = new Uint8Array(HEADER_BYTES + KEY_BYTES_MAX);
  private readonly guests = new Uint16Array(GUEST_SLOTS);
  private readonly guestMax: number;
  private readonly draw = new Int32Array(2);
  private drawn = 0; // the half of a draw that was not used
  private hasDrawn = false;
  private generation = -1;
  private preferred = 0;
  private isDirty = false;
  private isAlone = false; // without servers, and it was said

  constructor(parts: ForwardParts, pendingMax: number) {
    this.parts = parts;
    this.pending = new DnsPending(pendingMax);
    this.guestMax = Math.max(1, pendingMax >>> 2);
    parts.upstream.setUser(this);
  }

  /** Queries that wait. */
  get waiting(): number {
    return this.pending.count;
  }

  /**
   * Asks for a guest; `send` of the sink follows, perhaps from within. False if too much waits. In a stage of DNS64 `inner`
   * is what is asked in place of the query.
   */
  ask(query: DnsQuery, asker: DnsAsker, stage: number, inner?: Uint8Array): boolean {
    const { pending, parts } = this;
    const servers = this.refresh();
    const isPrivate = query.isPrivate;
    const isTcp = asker.isTcp;
    const known = isPrivate ? NONE : pending.find(query.key, query.keyBytes, query.hash, isTcp);
    if (known !== NONE) {
      if (!isTcp && pending.isWaiting(known, asker.way, asker.address, asker.port, query.id)) return true;
      if (!this.wait(known, query, asker)) return false;
      parts.counters.joined++;
      return true;
    }
    if (pending.isFull) return false;
    const r = pending.add(this.freeId(), query.key, query.keyBytes, query.hash, isPrivate);
    pending.isTcp[r] = isTcp ? 1 : 0;
    pending.stage[r] = stage;
    if (!this.wait(r, query, asker)) {
      pending.remove(r);
      return false;
    }
    this.write(r, query, inner);
    parts.counters.forwarded++;
    pending.server[r] = servers > 0 ? this.preferred % servers : 0;
    this.send(r, servers);
    return true;
  }

  /** What was asked is to leave. */
  flush(): void {
    if (!this.isDirty) return;
    this.isDirty = false;
    this.parts.upstream.flush();
  }

  deadlineUs(): number {
    const { first, deadlineUs } = this.pending;
    return first === NONE ? NEVER : deadlineUs[first]!;
  }

  expire(): void {
    const { pending, parts } = this;
    const nowUs = parts.nowUs();
    const servers = this.refresh();
    while (pending.first !== NONE && pending.deadlineUs[pending.first]! <= nowUs) {
      parts.counters.timeouts++;
      this.nextServer(pending.first, servers);
    }
    this.flush();
  }

  answered(server: number, bytes: Uint8Array, at: number, count: number, isTcp: boolean): void {
    const { scan, parts } = this;
    const r = scan.read(bytes, at, count) ? this.rowOf(server, bytes, at, isTcp) : NONE;
    if (r === NONE) {
      parts.counters.ignored++;
      return;
    }
    parts.counters.answers++;
    this.take(r, server, bytes, at);
    this.flush();
  }

  failed(server: number, isTcp: boolean): void {
    const { pending } = this;
    const servers = this.refresh();
    let r = pending.first;
    for (let left = pending.count; left > 0 && r !== NONE; left--) {
      const following = pending.following(r);
      if (pending.server[r] === server && (pending.isTcp[r] === 1) === isTcp) {
        // A connection may have been closed for its age; a port that is closed stays so.
        if (isTcp || this.hasFresh(r, servers)) this.nextServer(r, servers);
        else this.fail(r, servers);
      }
      r = following;
    }
    this.flush();
  }

  /** The servers that there are; when they are others than before, nothing that the old ones said counts. */
  refresh(): number {
    const { upstream, cache } = this.parts;
    const servers = upstream.servers();
    if (upstream.generation === this.generation) return servers;
    const isFirst = this.generation === -1;
    this.generation = upstream.generation;
    this.preferred = 0;
    cache.clear();
    if (isFirst || this.pending.count === 0) return servers;
    const { pending } = this;
    let r = pending.first;
    for (let left = pending.count; left > 0 && r !== NONE; left--) {
      const following = pending.following(r);
      pending.tries[r] = pending.asked[r] = pending.server[r] = 0;
      this.send(r, servers);
      r = following;
    }
    return servers;
  }

  /** The waiting query that a message answers, RFC 5452 §9.1: by identification, server, transport and question. */
  private rowOf(server: number, bytes: Uint8Array, at: number, isTcp: boolean): number {
    const { pending, scan } = this;
    if ((scan.flags & (Flag.Response | 0x7800)) !== Flag.Response) return NONE;
    const r = pending.ofId((bytes[at]! << 8) | bytes[at + 1]!);
    if (r === NONE || (pending.isTcp[r] === 1) !== isTcp || ((pending.asked[r]! >>> server) & 1) === 0) return NONE;
    if (scan.questionEnd === 0) {
      // RFC 1035 §4.1.1: who could not read the question may not repeat it.
      return scan.code === Rcode.NoError || scan.code === Rcode.NxDomain ? NONE : r;
    }
    const from = pending.queryAt(r);
    for (let i = HEADER_BYTES; i < scan.questionEnd; i++) {
      if (lower(bytes[at + i]!) !== lower(pending.queries[from + i]!)) return NONE;
    }
    return r;
  }

  /** `scan` has read the answer. */
  private take(r: number, server: number, bytes: Uint8Array, at: number): void {
    const { pending, scan } = this;
    const { code } = scan;
    const isBadVersion = scan.extended === 1 && code === Rcode.NoError;
    if (pending.hasOwnOpt[r] === 1 && (code === Rcode.FormErr || code === Rcode.NotImp || isBadVersion)) {
      this.withoutOpt(r); // RFC 6891 §7: it does not know EDNS
      this.send(r, this.refresh());
      return;
    }
    const isGood = code === Rcode.NoError || code === Rcode.NxDomain;
    if (isGood) this.preferred = server;
    else if (code !== Rcode.FormErr && pending.tries[r]! < TRIES && this.hasFresh(r, this.refresh())) {
      this.nextServer(r, this.refresh());
      return;
    }
    if (scan.questionEnd === 0) this.fail(r, 1, code);
    else if ((scan.flags & Flag.Truncated) !== 0 && pending.isTcp[r] === 0) this.cut(r);
    else if (pending.stage[r] === Stage.Plain) this.conclude(r, bytes, at);
    else this.translate(r, bytes, at);
  }

  /** DNS64: what follows from an answer. */
  private translate(r: number, bytes: Uint8Array, at: number): void {
    const { pending, scan, parts } = this;
    const dns64 = parts.dns64!;
    const { matches, mapped, code, end } = scan;
    const stage = pending.stage[r];
    if (stage === Stage.Six) {
      // RFC 6147 §5.1.2: a name that is not there has no IPv4 address; any other failure says nothing about one.
      const isEmpty = code !== Rcode.NxDomain && (code !== Rcode.NoError || matches === mapped);
      if (isEmpty) this.askFour(r, bytes.slice(at, at + end));
      else if (mapped === 0) this.conclude(r, bytes, at);
      else this.concludeMade(r, dns64.filtered(bytes.slice(at, at + end)));
      return;
    }
    const answer = bytes.slice(at, at + end);
    if (stage === Stage.Reverse) {
      const key = pending.keys.slice(r * KEY_BYTES_MAX, r * KEY_BYTES_MAX + pending.keyBytes[r]!);
      this.concludeMade(r, dns64.aliased(answer, readName(key, 0)!.name));
      return;
    }
    const made = dns64.synthesized(answer, pending.held[r]);
    if (made) parts.counters.synthesized++;
    this.concludeMade(r, made ?? pending.held[r]);
  }

  /** RFC 6147 §5.1.6: the same question for A. */
  private askFour(r: number, nothing: Uint8Array): void {
    const { pending } = this;
    const typeAt = pending.queryAt(r) + HEADER_BYTES + pending.keyBytes[r]! - 5;
    pending.held[r] = nothing;
    pending.stage[r] = Stage.Four;
    pending.queries[typeAt] = 0;
    pending.queries[typeAt + 1] = Type.A;
    pending.rename(r, this.freeId());
    pending.tries[r] = pending.asked[r] = 0;
    this.send(r, this.refresh());
  }

  private concludeMade(r: number, answer: Uint8Array | undefined): void {
    if (answer && this.scan.read(answer, 0, answer.length)) this.conclude(r, answer, 0);
    else this.fail(r, 1);
  }

  /** The answer that `scan` has read is kept and given to all who wait. */
  private conclude(r: number, bytes: Uint8Array, at: number): void {
    const { scan, pending, parts } = this;
    const { reply, cache } = parts;
    if (!scan.isOptLast) {
      this.withOptApart(r, bytes.slice(at, at + scan.end));
      return;
    }
    const { code } = scan;
    const keptS = code === Rcode.ServFail ? FAILURE_S : scan.keptS;
    if (keptS > 0 && pending.isPrivate[r] === 0) {
      this.body(bytes, at);
      cache.put(
        pending.keys,
        r * KEY_BYTES_MAX,
        pending.keyBytes[r]!,
        pending.hash[r]!,
        reply.bytes,
        AT,
        reply.count,
        scan.ttlAt,
        scan.ttls,
        keptS,
        scan.isNegative,
        parts.nowUs(),
      );
    }
    this.deliver(r, bytes, at);
  }

  /** An OPT record is not the last: the message is made anew without it. */
  private withOptApart(r: number, answer: Uint8Array): void {
    const message = parseMessage(answer);
    if (!message) {
      this.fail(r, 1);
      return;
    }
    const additionals = message.additionals.filter((one) => one.type !== Type.OPT);
    this.concludeMade(r, buildMessage({ ...message, additionals }));
  }

  /** The answer that `scan` has read, without its OPT record, as the reply. */
  private body(bytes: Uint8Array, at: number): void {
    const { scan, parts } = this;
    const hasOpt = scan.optAt !== 0;
    parts.reply.load(bytes, at, hasOpt ? scan.optAt : scan.end, scan.questionEnd);
    if (hasOpt) parts.reply.dropAdditional();
  }

  /** Each waiter gets it with its own identification, case, length and OPT record. The first gets the server's. */
  private deliver(r: number, bytes: Uint8Array, at: number): void {
    const { pending, scan, asker, parts } = this;
    const { reply } = parts;
    const optBytes = scan.optEnd - scan.optAt;
    for (let w = pending.firstWaiter[r]!; w !== NONE; w = pending.next[w]!) {
      const isFirst = w === pending.firstWaiter[r] && scan.optAt !== 0;
      const hasEdns = pending.hasEdns[w] === 1;
      const more = !hasEdns ? 0 : isFirst ? optBytes : OPT_BYTES;
      this.body(bytes, at);
      reply.address(pending.guestId[w]!, pending.names, pending.nameAt(w), pending.nameBytes[w]!);
      if (scan.extended !== 0 && !(isFirst && hasEdns)) reply.setCode(Rcode.ServFail);
      if (reply.count + more > pending.bytesMax[w]!) reply.truncate();
      if (hasEdns && isFirst) reply.appendOptOf(bytes, at + scan.optAt, optBytes);
      else if (hasEdns) reply.appendOpt(pending.isDnssecOk[w] === 1);
      this.loadAsker(w);
      this.leave(asker);
      parts.sink.send(asker);
    }
    pending.remove(r);
  }

  /** Nobody said anything of use. */
  private fail(r: number, servers: number, code: number = Rcode.ServFail): void {
    const { pending, parts } = this;
    const held = pending.stage[r] === Stage.Four ? pending.held[r] : undefined;
    if (held && this.scan.read(held, 0, held.length) && this.scan.isOptLast) {
      this.deliver(r, held, 0); // RFC 6147 §5.1.6: what is known is that there is no AAAA
      return;
    }
    parts.counters.failed++;
    const count = this.writeFailure(r, code);
    if (servers > 0 && pending.isPrivate[r] === 0 && code === Rcode.ServFail) {
      const { keys, hash, keyBytes } = pending;
      const keyAt = r * KEY_BYTES_MAX;
      const nowUs = parts.nowUs();
      parts.cache.put(keys, keyAt, keyBytes[r]!, hash[r]!, this.failure, 0, count, NO_TTLS, 0, FAILURE_S, true, nowUs);
    }
    this.deliver(r, this.failure, 0);
  }

  /** The answer was cut: so is the guest's. */
  private cut(r: number): void {
    this.writeFailure(r, Rcode.NoError, Flag.Truncated);
    this.deliver(r, this.failure, 0);
  }

  /** A header and the question as the guest asked it, which `scan` has read then. */
  private writeFailure(r: number, code: number, more = 0): number {
    const { failure, pending } = this;
    const from = pending.queryAt(r);
    const flags = Flag.Response | RECURSION_AVAILABLE | more | code;
    failure.fill(0, 0, HEADER_BYTES);
    failure[2] = (flags >>> 8) | (pending.queries[from + 2]! & (Flag.RecursionDesired >>> 8));
    failure[3] = flags | (pending.queries[from + 3]! & 0x10);
    failure[5] = 1;
    const count = pending.keyBytes[r]! - 1; // all but the bits
    for (let i = 0; i < count; i++) failure[HEADER_BYTES + i] = pending.keys[r * KEY_BYTES_MAX + i]!;
    this.scan.read(failure, 0, HEADER_BYTES + count);
    return HEADER_BYTES + count;
  }

  /** Sends to the row's server, or the next that takes it. */
  private send(r: number, servers: number): void {
    const { pending, parts } = this;
    const at = pending.queryAt(r);
    pending.queries[at] = pending.id[r]! >>> 8;
    pending.queries[at + 1] = pending.id[r]!;
    let server = pending.server[r]!;
    for (let i = 0; i < servers; i++, server++) {
      if (server >= servers) server = 0;
      if (!parts.upstream.send(server, pending.queries, at, pending.queryBytes[r]!, pending.isTcp[r] === 1)) continue;
      pending.server[r] = server;
      pending.asked[r] = pending.asked[r]! | (1 << server);
      pending.tries[r] = pending.tries[r]! + 1;
      pending.postpone(r, parts.nowUs() + TRY_US);
      this.isDirty = true;
      this.isAlone = false;
      return;
    }
    if (servers === 0 && !this.isAlone) {
      this.isAlone = true;
      parts.say('no name server is known: names of the outside fail until there is one');
    }
    this.fail(r, servers);
  }

  private nextServer(r: number, servers: number): void {
    const { pending, parts } = this;
    if (pending.tries[r]! >= TRIES) {
      this.preferred = pending.server[r]! + 1;
      this.fail(r, servers);
      return;
    }
    parts.counters.retries++;
    pending.server[r] = servers > 0 ? (pending.server[r]! + 1) % servers : 0;
    this.send(r, servers);
  }

  /** There is a server that was not asked. */
  private hasFresh(r: number, servers: number): boolean {
    const all = 2 ** servers - 1;
    return (this.pending.asked[r]! & all) !== all;
  }

  /** What is sent: the guest's own bytes, with room for what we take over UDP. */
  private write(r: number, query: DnsQuery, inner: Uint8Array | undefined): void {
    const { pending } = this;
    const at = pending.queryAt(r);
    const to = pending.queries;
    const from = inner ?? query.bytes;
    const base = inner ? 0 : query.at;
    const count = inner ? inner.length : query.end;
    for (let i = 0; i < count; i++) to[at + i] = from[base + i]!;
    let end = at + count;
    let optAt = at + query.optAt + (inner ? count - query.end : 0);
    if (!query.hasEdns) {
      optAt = end;
      to.fill(0, end, end + OPT_BYTES);
      to[end + 2] = Type.OPT;
      end += OPT_BYTES;
      to[at + 11] = 1;
      pending.hasOwnOpt[r] = 1;
    }
    to[optAt + 3] = UDP_BYTES >>> 8;
    to[optAt + 4] = UDP_BYTES & 255;
    pending.queryBytes[r] = end - at;
  }

  private withoutOpt(r: number): void {
    const { pending } = this;
    pending.hasOwnOpt[r] = 0;
    pending.queryBytes[r] = pending.queryBytes[r]! - OPT_BYTES;
    pending.queries[pending.queryAt(r) + 11] = 0;
  }

  /** One more waits for a row: false if it, or the row, may have no more. */
  private wait(r: number, query: DnsQuery, asker: DnsAsker): boolean {
    const { pending, guests } = this;
    const slot = hashAddress(asker.address) & (GUEST_SLOTS - 1);
    const w = guests[slot]! < this.guestMax ? pending.addWaiter(r) : NONE;
    if (w === NONE) return false;
    guests[slot] = guests[slot]! + 1;
    pending.way[w] = asker.way;
    pending.generation[w] = asker.generation;
    for (let i = 0; i < 4; i++) pending.addresses[4 * w + i] = asker.address[i]!;
    pending.port[w] = asker.port;
    pending.iface[w] = asker.iface;
    pending.guestId[w] = query.id;
    pending.bytesMax[w] = asker.bytesMax;
    pending.hasEdns[w] = query.hasEdns ? 1 : 0;
    pending.isDnssecOk[w] = query.isDnssecOk ? 1 : 0;
    pending.nameBytes[w] = query.nameBytes;
    const at = pending.nameAt(w);
    for (let i = 0; i < query.nameBytes; i++) pending.names[at + i] = query.bytes[query.at + HEADER_BYTES + i]!;
    return true;
  }

  private leave(asker: DnsAsker): void {
    const slot = hashAddress(asker.address) & (GUEST_SLOTS - 1);
    this.guests[slot] = this.guests[slot]! - 1;
  }

  private loadAsker(w: number): void {
    const { pending, asker } = this;
    asker.way = pending.way[w]!;
    asker.generation = pending.generation[w]!;
    for (let i = 0; i < 4; i++) asker.address[i] = pending.addresses[4 * w + i]!;
    asker.port = pending.port[w]!;
    asker.iface = pending.iface[w]!;
    asker.bytesMax = pending.bytesMax[w]!;
  }

  /** An identification that is nobody's now: two to a hash. */
  private freeId(): number {
    const { draw, pending } = this;
    for (;;) {
      let id = this.drawn;
      if (!this.hasDrawn) {
        draw[0] = draw[0]! + 1;
        if (draw[0] === 0) draw[1] = draw[1]! + 1;
        id = sipHash(this.parts.secret, draw, 0, 2) & 0xffff;
        this.drawn = sipHigh & 0xffff;
      }
      this.hasDrawn = !this.hasDrawn;
      if (pending.ofId(id) === NONE) return id;
    }
  }
}

const lower = (b: number): number => (b >= 0x41 && b <= 0x5a ? b | 0x20 : b);
