// The DNS server of a network, on the stack of its gateway.
//
//   guest ─ UDP, TCP ─▶ DnsQuery ─▶ DnsLocal ─▶ DnsCache ─▶ DnsForward ─▶ DnsUpstream ─▶ a server of the host's
//                                   names, zones            │ Dns64
//                     ◀──────────── DnsReply ◀──────────────┘
//
// What is known here is answered here, the guests' domain and what RFCs set apart never leave the network; the rest comes from
// the cache or from the host's servers. Restricted, the rest is refused. All tables have a bound, and none is made larger by
// what guests or servers send. A query that is answered from a table, the cache or a server makes no object; DNS64 does.

import { UsageError } from '../core/assert.ts';
import { sipHash } from '../core/siphash.ts';
import { type Address, errnoName, formatAddress, type Stack, type StackUser } from '../stack/stack.ts';
import { Class, HEADER_BYTES, Rcode, Type } from '../wire/dns.ts';
import { isBelow, isName, nameBytes, nameKey, readName } from '../wire/dns-name.ts';
import { PREFIX_BITS } from '../wire/nat64.ts';
import type { AnswerTaker, DnsAsker, QueryTaker } from './dns-asker.ts';
import { TCP_WAY } from './dns-asker.ts';
import { DnsCache } from './dns-cache.ts';
import { DnsForward } from './dns-forward.ts';
import { hostsOf } from './dns-hosts.ts';
import { DnsLocal } from './dns-local.ts';
import { DnsNames } from './dns-names.ts';
import { DnsCounters, type DnsOptions, DOMAIN } from './dns-parts.ts';
import { Stage } from './dns-pending.ts';
import { BAD_VERSION, DnsQuery, NO_QUERY, OPT_BYTES } from './dns-query.ts';
import { AT, DnsReply } from './dns-reply.ts';
import { DnsTcp } from './dns-tcp.ts';
import { DnsUdp } from './dns-udp.ts';
import type { DnsUpstream } from './dns-upstream.ts';
import { DnsZones } from './dns-zones.ts';
import { Dns64 } from './dns64.ts';
import type { GuestNames } from './names.ts';

const PORT = 53;
const PENDING_MAX = 4096;
const PENDING_LIMIT = 16_384; // a quarter of the identifications
const CACHE_ENTRIES_MAX = 16_384;
const CACHE_BYTES_MAX = 4 << 20;
const PURPOSE = 0x444e5346; // of the secret: words that are ours
const LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

/** A DNS server in a network: local names, a cache, a forwarder. It is a `StackUser` of its stack. */
export class DnsServer implements StackUser, GuestNames, QueryTaker, AnswerTaker {
  readonly counters = new DnsCounters();
  readonly domain: string;
  private readonly stack: Stack;
  private readonly isRestricted: boolean;
  private readonly query: DnsQuery;
  private readonly inner: DnsQuery;
  private readonly reply = new DnsReply();
  private readonly cache: DnsCache;
  private readonly names: DnsNames;
  private readonly zones: DnsZones;
  private readonly local: DnsLocal;
  private readonly dns64: Dns64 | undefined;
  private readonly forward: DnsForward;
  private readonly udp: DnsUdp;
  private readonly tcp: DnsTcp;
  private isClosed = false;

  /** Opens its sockets, and has its turns from now on. Throws `UsageError`. */
  constructor(stack: Stack, upstream: DnsUpstream, options: DnsOptions) {
    check(options);
    this.stack = stack;
    this.domain = nameKey(options.domain ?? DOMAIN);
    this.isRestricted = options.isRestricted ?? false;
    const secret = secretOf(stack.shared.secret);
    const seed = secret[3]!;
    this.query = new DnsQuery(seed);
    this.inner = new DnsQuery(seed);
    this.names = new DnsNames(seed);
    const { dns64, networks = [] } = options;
    this.dns64 = dns64 && new Dns64(dns64);
    this.zones = new DnsZones(this.domain, networks, dns64 !== undefined);
    this.local = new DnsLocal(this.names, this.zones, dns64);
    this.addNames(options);
    this.cache = new DnsCache({
      entriesMax: options.cacheEntriesMax ?? CACHE_ENTRIES_MAX,
      bytesMax: options.cacheBytesMax ?? CACHE_BYTES_MAX,
    });
    const { reply, counters, cache } = this;
    const nowUs = (): number => stack.shared.nowUs;
    const say = options.say ?? (() => undefined);
    const parts = { upstream, cache, reply, counters, sink: this, dns64: this.dns64, secret, nowUs, say };
    this.forward = new DnsForward(parts, options.pendingMax ?? PENDING_MAX);
    this.udp = new DnsUdp(stack.sockets, reply, counters, this);
    this.tcp = new DnsTcp(stack.sockets, reply, counters, this, nowUs);
    this.listen(options);
    stack.addUser(this);
  }

  /** Answers that are kept, queries that wait for a server, and connections that are open. */
  get sizes(): { readonly cached: number; readonly waiting: number; readonly connections: number } {
    return { cached: this.cache.size, waiting: this.forward.waiting, connections: this.tcp.count };
  }

  /**
   * The guest at `address` is called `name` now, a label or a name of the domain; what it was called before is forgotten. What
   * is no host name, or a name of the configuration, is not set: false.
   */
  set(name: string, address: Address): boolean {
    const key = nameKey(name);
    const label = key.endsWith(`.${this.domain}`) ? key.slice(0, -this.domain.length - 1) : key;
    if (!LABEL.test(label) || label === 'localhost') {
      this.names.removeGuest(address);
      return false;
    }
    return this.names.setGuest([label, `${label}.${this.domain}`], address);
  }

  /** The guest at `address` has no name any more. */
  remove(address: Address): void {
    this.names.removeGuest(address);
  }

  /** True if the configuration has the name: no guest may. */
  isTaken(name: string): boolean {
    const key = nameKey(name);
    return this.names.isFixed(key) || this.names.isFixed(`${key}.${this.domain}`);
  }

  /** Forgets what servers said. */
  clear(): void {
    this.cache.clear();
  }

  turn(): void {
    this.udp.turn();
    this.tcp.turn();
    this.forward.flush();
  }

  deadlineUs(): number {
    return Math.min(this.forward.deadlineUs(), this.tcp.deadlineUs());
  }

  expire(): void {
    this.forward.expire();
    this.tcp.expire();
  }

  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.stack.removeUser(this);
    this.udp.close();
    this.tcp.close();
  }

  ask(bytes: Uint8Array, at: number, count: number, asker: DnsAsker): boolean {
    const { query, counters } = this;
    const wrong = query.read(bytes, at, count);
    if (wrong === NO_QUERY) return false;
    if (!asker.isTcp) asker.bytesMax = Math.min(asker.bytesMax, query.udpBytes);
    if (wrong !== 0) {
      counters.malformed++;
      this.answerWith(wrong, asker);
    } else if (this.local.answer(query, this.reply)) {
      counters.local++;
      this.finish(asker, 0);
    } else if (this.isRestricted || isTransfer(query.type)) {
      counters.refused++;
      this.answerWith(Rcode.Refused, asker);
    } else if (!this.fromCache(asker) && !this.fromServers(asker)) {
      counters.full++;
      this.answerWith(Rcode.ServFail, asker);
    }
    return true;
  }

  asked(): void {
    this.forward.flush();
  }

  send(asker: DnsAsker): void {
    if (asker.way >= TCP_WAY) this.tcp.send(asker);
    else this.udp.send(asker);
  }

  private fromCache(asker: DnsAsker): boolean {
    const { query, cache, reply } = this;
    this.forward.refresh();
    if (query.isPrivate) return false;
    const { nowUs } = this.stack.shared;
    const e = cache.find(query.key, query.keyBytes, query.hash, nowUs);
    if (e < 0) return false;
    this.counters.hits++;
    const count = cache.copy(e, reply.bytes, AT, nowUs);
    reply.load(reply.bytes, AT, count, query.questionEnd);
    reply.address(query.id, query.bytes, query.at + HEADER_BYTES, query.nameBytes);
    this.finish(asker, 0);
    return true;
  }

  private fromServers(asker: DnsAsker): boolean {
    const { query, dns64 } = this;
    let stage: number = Stage.Plain;
    if (dns64 && query.class === Class.In && !(query.isDnssecOk && query.isCheckingDisabled)) {
      if (query.type === Type.AAAA) stage = Stage.Six;
      else if (query.type === Type.PTR && this.zones.reverse(query)) {
        const name = dns64.reverseOf(this.zones.address);
        if (name !== undefined) return this.reverse(dns64, name, asker);
      }
    }
    return this.forward.ask(query, asker, stage);
  }

  /** DNS64: the reverse name of an IPv4 address is asked for in place of the query's. */
  private reverse(dns64: Dns64, name: string, asker: DnsAsker): boolean {
    const { query, inner, reply } = this;
    const bytes = withName(query, nameBytes(name)!);
    inner.read(bytes, 0, bytes.length);
    if (!this.local.answer(inner, reply)) return this.forward.ask(query, asker, Stage.Reverse, bytes);
    const name6 = readName(query.key, 0)!.name;
    const made = dns64.aliased(reply.bytes.slice(AT, reply.end), name6);
    if (!made) return false;
    this.counters.local++;
    reply.load(made, 0, made.length, query.questionEnd);
    reply.address(query.id, query.bytes, query.at + HEADER_BYTES, query.nameBytes);
    this.finish(asker, 0);
    return true;
  }

  private answerWith(code: number, asker: DnsAsker): void {
    const isExtended = code === BAD_VERSION;
    this.reply.begin(this.query, 0, isExtended ? 0 : code);
    this.finish(asker, code >>> 4);
  }

  /** The reply as this guest takes it: its length, its EDNS. RFC 6891 §7. */
  private finish(asker: DnsAsker, extended: number): void {
    const { query, reply } = this;
    if (reply.count + (query.hasEdns ? OPT_BYTES : 0) > asker.bytesMax) reply.truncate();
    if (query.hasEdns) reply.appendOpt(query.isDnssecOk, extended);
    this.send(asker);
  }

  private addNames(options: DnsOptions): void {
    const { domain, names } = this;
    for (const address of options.gateway ?? []) {
      for (const label of ['gateway', 'host']) {
        names.addFixed(`${label}.${domain}`, address);
        names.addFixed(label, address);
      }
    }
    const given = [...(options.names ?? []), ...hostsOf(options.hosts ?? '')];
    for (const { name, address } of given) {
      const key = nameKey(name);
      if (!key.includes('.')) names.addFixed(`${key}.${domain}`, address);
      names.addFixed(key, address);
      this.addParents(key);
    }
  }

  /** RFC 8020 §2: what is above a name of the domain exists, too. */
  private addParents(key: string): void {
    let parent = key.slice(key.indexOf('.') + 1);
    while (isBelow(parent, this.domain) && parent !== this.domain) {
      this.names.addEmpty(parent);
      parent = parent.slice(parent.indexOf('.') + 1);
    }
  }

  private listen({ addresses, port = PORT }: DnsOptions): void {
    for (const address of addresses) {
      const udp = this.udp.open(address, port);
      const opened = udp < 0 ? udp : this.tcp.open(address, port);
      if (opened >= 0) continue;
      this.close();
      throw new UsageError(
        `no DNS server at ${formatAddress(address)}, port ${port}: ${errnoName(opened)}; it must be the stack's own address`,
      );
    }
  }
}

/** RFC 5936, RFC 1995, RFC 8945: transfers, and what is between two servers. */
const isTransfer = (type: number): boolean => type >= 249 && type <= 252;

/** The query's bytes with another name. */
function withName(query: DnsQuery, name: Uint8Array): Uint8Array {
  const rest = query.at + HEADER_BYTES + query.nameBytes;
  const tail = query.bytes.subarray(rest, query.at + query.end);
  const bytes = new Uint8Array(HEADER_BYTES + name.length + tail.length);
  bytes.set(query.bytes.subarray(query.at, query.at + HEADER_BYTES));
  bytes.set(name, HEADER_BYTES);
  bytes.set(tail, HEADER_BYTES + name.length);
  return bytes;
}

/** 4 words that only this server has. */
function secretOf(secret: Int32Array): Int32Array {
  const own = new Int32Array(4);
  for (let i = 0; i < 4; i++) own[i] = sipHash(secret, Int32Array.of(PURPOSE, i), 0, 2);
  return own;
}

function check(options: DnsOptions): void {
  const { addresses, domain = DOMAIN, names = [], dns64, pendingMax = PENDING_MAX } = options;
  const { cacheEntriesMax = CACHE_ENTRIES_MAX, cacheBytesMax = CACHE_BYTES_MAX } = options;
  if (addresses.length < 1 || addresses.length > TCP_WAY)
    throw new UsageError(`a DNS server has 1 … ${TCP_WAY} addresses, not ${addresses.length}`);
  if (!isName(domain) || nameKey(domain) === '') throw new UsageError(`'${domain}' is no domain name; try '${DOMAIN}'`);
  for (const { name } of names) {
    if (!isName(name) || nameKey(name) === '') throw new UsageError(`'${name}' is no name; try NAME=ADDRESS`);
  }
  if (dns64 && !PREFIX_BITS.includes(dns64.bits))
    throw new UsageError(`a DNS64 prefix has ${PREFIX_BITS.join(', ')} bits, not ${dns64.bits}; try 64:ff9b::/96`);
  for (const [what, value, max] of [
    ['queries that wait', pendingMax, PENDING_LIMIT],
    ['answers in the cache', cacheEntriesMax, 1 << 20],
    ['bytes of the cache', cacheBytesMax, 1 << 28],
  ] as const) {
    if (!Number.isInteger(value) || value < 1 || value > max)
      throw new UsageError(`${what}: ${value} is not in 1 … ${max}`);
  }
}
