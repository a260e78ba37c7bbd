// The stub resolver: RFC 1034 §5.3.1, RFC 1123 §6.1, forgery resistance RFC 5452, EDNS RFC 6891, TCP RFC 7766.
//
// A query has candidates (search list) and one or two types; each type is a transaction with a datagram socket, and so a port,
// of its own. A transaction goes through the servers, each with a longer wait in the next round; TCP follows where an answer
// was cut. Answers are fetched with `nextAnswer`, in the order in which they were complete.

import type { StateReader, StateWriter } from '../../core/state.ts';
import { NEVER, US_PER_S } from '../../core/time.ts';
import * as dns from '../../wire/dns.ts';
import { ednsRecord } from '../../wire/dns-data.ts';
import { isName } from '../../wire/dns-name.ts';
import { type Address, equal, isIp4, of4, parse } from '../address.ts';
import { Errno } from '../errno.ts';
import { Random } from '../random.ts';
import { type Part, Purpose, type Shared } from '../shared.ts';
import type { DatagramIo, StreamIo } from './datagram-io.ts';
import { addressOf } from './dhcp6-lease.ts';
import { ResolverCache } from './resolver-cache.ts';
import { candidates, Hosts, localRecords, Place, placeOf } from './resolver-names.ts';
import { ALIASES_MAX, answers, type Outcome, outcomeOf, Resolved } from './resolver-reply.ts';
import { loadQueries, newTransaction, type Query, saveQueries, type Transaction } from './resolver-state.ts';

/** Who is asked, and how: resolv.conf(5). */
export interface ResolverConfig {
  readonly servers: readonly Address[];
  readonly search: readonly string[];
  readonly ndots: number;
  readonly timeoutUs: number;
  /** Rounds through all servers. */
  readonly attempts: number;
}

/** An answer. `addresses` are those of A and AAAA records, in the order in which they should be tried. */
export interface Answer {
  readonly id: number;
  readonly status: Resolved;
  /** The name that was found, of the candidates. */
  readonly name: string;
  readonly records: readonly dns.ResourceRecord[];
  readonly addresses: readonly Address[];
}

/** Multicast DNS, which answers for `.local`. Numbers below 0 are negated errnos. */
export interface MulticastResolver {
  query(name: string, type: number): number;
  nextAnswer(): { readonly id: number; readonly records: readonly dns.ResourceRecord[] } | undefined;
}

/** What the resolver is built on. */
export interface ResolverWays {
  readonly io: DatagramIo;
  readonly streams?: StreamIo;
  readonly multicast?: MulticastResolver;
  /** Orders the addresses of one answer in place, RFC 6724 §6. Without it IPv6 comes first. */
  readonly sort?: (addresses: Address[]) => void;
}

/** As most systems have it, but for the shorter wait. */
export const RESOLVER_DEFAULTS: ResolverConfig = {
  servers: [],
  search: [],
  ndots: 1,
  timeoutUs: 2 * US_PER_S,
  attempts: 2,
};

const PORT = 53;
const EDNS_BYTES = 1232; // fits an IPv6 packet that no link cuts
// Ours.
const QUERIES_MAX = 256;
const CACHE_MAX = 1024;
const SERVERS_MAX = 4;
const TCP_FACTOR = 2;

/** One stack's resolver. */
export class Resolver implements Part {
  config: ResolverConfig = RESOLVER_DEFAULTS;
  /** Messages that came to a query's port and do not answer it. */
  ignored = 0;
  readonly cache = new ResolverCache({ entriesMax: CACHE_MAX });
  private hosts = new Hosts('');
  private readonly shared: Shared;
  private readonly ways: ResolverWays;
  private readonly random: Random;
  private readonly queries = new Map<number, Query>();
  private done: Answer[] = [];
  private lastId = 0;
  private first = 0; // the server that answered last
  private readonly buffer = new Uint8Array(EDNS_BYTES + 1);

  constructor(shared: Shared, ways: ResolverWays) {
    this.shared = shared;
    this.ways = ways;
    this.random = new Random(shared.secret, Purpose.Dns);
  }

  /** Takes what is given; other servers make the cache worthless. */
  configure(config: Partial<ResolverConfig>): void {
    this.config = { ...this.config, ...config };
    if (config.servers) {
      this.config = { ...this.config, servers: config.servers.slice(0, SERVERS_MAX) };
      this.cache.clear();
      this.first = 0;
    }
  }

  /** Names and addresses that no server is asked for, in the form of /etc/hosts. */
  setHosts(text: string): void {
    this.hosts = new Hosts(text);
  }

  /** Asks for the records of a type: a number for `nextAnswer`, or -EINVAL (no name), -ENOBUFS (too many at a time). */
  query(name: string, type: number, { search = false }: { search?: boolean } = {}): number {
    return this.begin(name, [type], search);
  }

  /** Asks for the addresses of a name or of an address's text: `family` 4, 6, or 0 for both. The search list counts. */
  lookup(name: string, family: 0 | 4 | 6 = 0): number {
    const literal = parse(name);
    if (literal) return this.answerLiteral(name, literal, family);
    const types = family === 4 ? [dns.Type.A] : family === 6 ? [dns.Type.AAAA] : [dns.Type.AAAA, dns.Type.A];
    return this.begin(name, types, true);
  }

  /** Forgets a query; it is not answered. */
  cancel(id: number): void {
    for (const t of this.queries.get(id)?.transactions ?? []) this.finish(t);
    this.queries.delete(id);
    this.done = this.done.filter((answer) => answer.id !== id);
  }

  /** The next complete answer, or undefined. */
  nextAnswer(): Answer | undefined {
    return this.done.shift();
  }

  /** Reads what came for all queries. */
  poll(): void {
    const { multicast } = this.ways;
    for (let reply = multicast?.nextAnswer(); reply; reply = multicast?.nextAnswer()) {
      this.takeMulticast(reply.id, reply.records);
    }
    for (const query of [...this.queries.values()]) {
      for (const t of query.transactions) {
        if (t.stream >= 0) this.pump(query, t);
        else this.receive(query, t);
      }
    }
  }

  deadlineUs(): number {
    let least = NEVER;
    for (const query of this.queries.values()) {
      for (const t of query.transactions) least = Math.min(least, t.deadlineUs);
    }
    return least;
  }

  expire(): void {
    for (const query of [...this.queries.values()]) {
      for (const t of query.transactions) if (t.deadlineUs <= this.shared.nowUs) this.nextServer(query, t);
    }
  }

  save(state: StateWriter): void {
    state.section('stack/resolver', 1);
    const { servers, search, ndots, timeoutUs, attempts } = this.config;
    state.number(servers.length);
    for (const server of servers) state.column(server);
    state.text(search.join(' ')).number(ndots).number(timeoutUs).number(attempts);
    state.text(this.hosts.text).number(this.lastId).number(this.first).number(this.ignored);
    this.random.save(state);
    this.cache.save(state);
    saveQueries(state, this.queries, this.done);
  }

  load(state: StateReader): void {
    state.section('stack/resolver', 1);
    const servers = Array.from({ length: state.integer(0, SERVERS_MAX) }, () => {
      const server = new Int32Array(4);
      state.into(server);
      return server;
    });
    const search = state
      .text(1 << 16)
      .split(' ')
      .filter(Boolean);
    const [ndots, timeoutUs, attempts] = [state.integer(0, 15), state.number(), state.integer(1, 16)];
    this.config = { servers, search, ndots, timeoutUs, attempts };
    this.hosts = new Hosts(state.text(1 << 24));
    this.lastId = state.integer(0, 2 ** 53 - 1);
    this.first = state.integer(0, SERVERS_MAX);
    this.ignored = state.number();
    this.random.load(state);
    this.cache.load(state);
    this.queries.clear();
    this.done = loadQueries(state, this.queries, QUERIES_MAX).map((answer) => this.answerOf(answer));
  }

  private begin(name: string, types: readonly number[], search: boolean): number {
    if (!isName(name) || name === '') return -Errno.EINVAL;
    if (this.queries.size + this.done.length >= QUERIES_MAX) return -Errno.ENOBUFS;
    const plain = name.replace(/\.$/, '');
    const isSearched = search && !this.isOwn(plain);
    const names = isSearched ? candidates(name, this.config.search, this.config.ndots) : [plain];
    const query: Query = { id: ++this.lastId, names, types, index: 0, status: Resolved.NoName, transactions: [] };
    this.queries.set(query.id, query);
    this.ask(query);
    return query.id;
  }

  /** Known without a server: the search list, which servers would be asked about, does not count. */
  private isOwn(name: string): boolean {
    return this.hosts.find(name, dns.Type.A) !== undefined || placeOf(name) !== Place.Servers;
  }

  private answerLiteral(name: string, address: Address, family: 0 | 4 | 6): number {
    if (this.queries.size + this.done.length >= QUERIES_MAX) return -Errno.ENOBUFS;
    const isWanted = family === 0 || (family === 4) === isIp4(address);
    const status = isWanted ? Resolved.Ok : Resolved.NoData;
    this.done.push({ id: ++this.lastId, status, name, records: [], addresses: isWanted ? [address] : [] });
    return this.lastId;
  }

  /** Begins with the query's candidate: one transaction a type. */
  private ask(query: Query): void {
    const name = query.names[query.index]!;
    query.transactions = query.types.map((type) => newTransaction(name, type));
    for (const t of [...query.transactions]) this.look(query, t);
  }

  /** Where a name may be known without a question; or asks. */
  private look(query: Query, t: Transaction): void {
    const known = this.hosts.find(t.name, t.type);
    const place = placeOf(t.name);
    if (known && (known.length > 0 || place === Place.Servers)) this.settle(query, t, known);
    else if (place === Place.Here) this.settle(query, t, localRecords(t.name, t.type));
    else if (place === Place.Nowhere) this.complete(query, t, Resolved.NoName);
    else if (place === Place.Multicast) this.askMulticast(query, t);
    else this.askServers(query, t);
  }

  private askServers(query: Query, t: Transaction): void {
    const cached = this.cache.find(t.name, t.type, this.shared.nowUs);
    if (cached) {
      t.records.push(...cached.records);
      this.complete(query, t, cached.status as Resolved);
      return;
    }
    if (this.config.servers.length === 0) {
      this.complete(query, t, Resolved.Failed);
      return;
    }
    t.tries = 0;
    t.hasEdns = true;
    this.send(t);
  }

  private settle(query: Query, t: Transaction, records: readonly dns.ResourceRecord[]): void {
    t.records.push(...records);
    this.complete(query, t, records.length > 0 ? Resolved.Ok : Resolved.NoData);
  }

  private askMulticast(query: Query, t: Transaction): void {
    const id = this.ways.multicast?.query(t.name, t.type) ?? -1;
    if (id < 0)
      this.complete(query, t, Resolved.NoName); // RFC 6762 §3: never to a server
    else t.multicastId = id;
  }

  private takeMulticast(id: number, records: readonly dns.ResourceRecord[]): void {
    for (const query of this.queries.values()) {
      const t = query.transactions.find((one) => one.multicastId === id);
      if (!t) continue;
      t.multicastId = -1;
      t.records.push(...records);
      this.complete(query, t, records.length > 0 ? Resolved.Ok : Resolved.NoName);
      return;
    }
  }

  private serverOf(t: Transaction): Address {
    const { servers } = this.config;
    return servers[(this.first + t.tries) % servers.length]!;
  }

  /** RFC 5452 §9: an unpredictable identification and, by a new socket, an unpredictable port for each try. */
  private send(t: Transaction): void {
    this.finish(t);
    const { servers, timeoutUs } = this.config;
    t.server = this.serverOf(t);
    t.messageId = this.random.below(0x10000);
    t.deadlineUs = this.shared.nowUs + timeoutUs * 2 ** Math.min(8, Math.floor(t.tries / servers.length));
    t.handle = this.ways.io.open({ isIp6: !isIp4(t.server), port: 0, iface: 0 });
    const sent = t.handle < 0 ? t.handle : this.ways.io.sendTo(t.handle, this.build(t), t.server, PORT);
    if (sent < 0) t.deadlineUs = this.shared.nowUs + US_PER_S / 10; // not reachable now: the next one soon
    if (t.handle < 0) t.handle = -1;
  }

  private build(t: Transaction): Uint8Array {
    return dns.buildMessage({
      id: t.messageId,
      flags: dns.Flag.RecursionDesired,
      questions: [{ name: t.name, type: t.type, class: dns.Class.In }],
      answers: [],
      authorities: [],
      additionals: t.hasEdns ? [ednsRecord(EDNS_BYTES)] : [],
    });
  }

  private nextServer(query: Query, t: Transaction): void {
    const { servers, attempts } = this.config;
    t.tries++;
    if (t.tries >= servers.length * attempts) this.complete(query, t, t.hasFailed ? Resolved.Failed : Resolved.Timeout);
    else this.send(t);
  }

  private receive(query: Query, t: Transaction): void {
    const { io } = this.ways;
    while (t.handle >= 0) {
      const bytes = io.receiveFrom(t.handle, this.buffer);
      if (bytes === -Errno.EAGAIN) return;
      if (bytes < 0) {
        t.hasFailed = true;
        this.nextServer(query, t); // refused or unreachable: no need to wait
        return;
      }
      const isFromServer = io.source.port === PORT && equal(io.source.address, t.server);
      if (!isFromServer || bytes > EDNS_BYTES || !this.take(query, t, this.buffer.subarray(0, bytes), true))
        this.ignored++;
    }
  }

  /** False if the message does not answer the question. */
  private take(query: Query, t: Transaction, bytes: Uint8Array, mayBeCut: boolean): boolean {
    const message = dns.parseMessage(bytes.slice());
    if (!message || message.id !== t.messageId) return false;
    const code = dns.rcode(message);
    if (code === dns.Rcode.FormErr && t.hasEdns && message.questions.length <= 1) {
      t.hasEdns = false; // RFC 6891 §7: it does not know EDNS
      this.send(t);
      return true;
    }
    if (!answers(message, t.name, t.type)) return false;
    if (mayBeCut && (message.flags & dns.Flag.Truncated) !== 0) {
      this.connect(query, t);
      return true;
    }
    if (code !== dns.Rcode.NoError && code !== dns.Rcode.NxDomain) {
      t.hasFailed = true;
      this.nextServer(query, t);
      return true;
    }
    this.first = Math.max(
      0,
      this.config.servers.findIndex((server) => equal(server, t.server)),
    );
    this.conclude(query, t, outcomeOf(message, t.name, t.type));
    return true;
  }

  private conclude(query: Query, t: Transaction, outcome: Outcome): void {
    this.finish(t);
    t.records.push(...outcome.records);
    if (outcome.alias === '') {
      const { status, records, ttlS } = outcome;
      if (status !== Resolved.Failed) this.cache.keep(t.name, t.type, { status, records }, ttlS, this.shared.nowUs);
      this.complete(query, t, status);
    } else if (t.records.length > ALIASES_MAX) this.complete(query, t, Resolved.Failed);
    else {
      t.name = outcome.alias;
      this.look(query, t);
    }
  }

  /** RFC 7766 §5: what was cut is asked for over TCP, of the same server. */
  private connect(query: Query, t: Transaction): void {
    const server = t.server;
    this.finish(t);
    const stream = this.ways.streams?.connect(server, PORT) ?? -1;
    if (stream < 0) {
      this.nextServer(query, t);
      return;
    }
    const message = this.build(t);
    t.stream = stream;
    t.out = Uint8Array.from([message.length >>> 8, message.length & 255, ...message]);
    t.outDone = 0;
    t.in = new Uint8Array(2);
    t.inDone = 0;
    t.deadlineUs = this.shared.nowUs + TCP_FACTOR * this.config.timeoutUs;
    this.pump(query, t);
  }

  private pump(query: Query, t: Transaction): void {
    const done = this.exchange(t);
    if (done === -Errno.EAGAIN) return;
    if (done < 0 || !this.take(query, t, t.in.subarray(2), false)) this.nextServer(query, t);
  }

  /** 0 if the answer is whole, -EAGAIN while it is not, another error if the stream broke or ended. */
  private exchange(t: Transaction): number {
    const streams = this.ways.streams!;
    while (t.outDone < t.out.length) {
      const count = streams.send(t.stream, t.out, t.outDone);
      if (count < 0) return count;
      t.outDone += count;
    }
    while (t.inDone < t.in.length) {
      const count = streams.receive(t.stream, t.in, t.inDone);
      if (count <= 0) return count === 0 ? -Errno.ECONNRESET : count;
      t.inDone += count;
      if (t.inDone !== 2) continue;
      const whole = new Uint8Array(2 + t.in[0]! * 256 + t.in[1]!);
      whole.set(t.in);
      t.in = whole;
    }
    return 0;
  }

  private finish(t: Transaction): void {
    if (t.handle >= 0) this.ways.io.close(t.handle);
    if (t.stream >= 0) this.ways.streams?.close(t.stream);
    t.handle = -1;
    t.stream = -1;
    t.deadlineUs = NEVER;
  }

  private complete(query: Query, t: Transaction, status: Resolved): void {
    this.finish(t);
    t.status = status;
    if (query.transactions.every((one) => one.status >= 0)) this.conclusion(query);
  }

  /** All types of a candidate are known: this one answers, or the next candidate is asked for. */
  private conclusion(query: Query): void {
    const worst = query.transactions.map((t) => t.status as Resolved);
    const isOk = worst.includes(Resolved.Ok);
    const hasTrouble = worst.find((status) => status === Resolved.Timeout || status === Resolved.Failed);
    const status = isOk
      ? Resolved.Ok
      : (hasTrouble ?? (worst.includes(Resolved.NoData) ? Resolved.NoData : Resolved.NoName));
    // A name that exists without such records says more than one that does not exist.
    if (status === Resolved.NoData) query.status = status;
    if (!isOk && hasTrouble === undefined && query.index + 1 < query.names.length) {
      query.index++;
      this.ask(query);
      return;
    }
    this.queries.delete(query.id);
    const records = query.transactions.flatMap((t) => t.records);
    const final = status === Resolved.NoName ? query.status : status;
    this.done.push(this.answerOf({ id: query.id, status: final, name: query.names[query.index]!, records }));
  }

  private answerOf({ id, status, name, records }: Omit<Answer, 'addresses'>): Answer {
    const addresses = records
      .filter((r) => r.type === dns.Type.A || r.type === dns.Type.AAAA)
      .map((r) =>
        r.type === dns.Type.A ? of4(new DataView(r.data.buffer, r.data.byteOffset).getUint32(0)) : addressOf(r.data),
      );
    addresses.sort((a, b) => Number(isIp4(a)) - Number(isIp4(b)));
    this.ways.sort?.(addresses);
    return { id, status: status as Resolved, name, records, addresses };
  }
}
