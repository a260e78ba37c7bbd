// Multicast DNS on one interface: the stack's own name and questions to others. RFC 6762.
//
// Two sockets of port 5353, one a family, each in its group. What comes is a query, which `MdnsHost` answers, or a response, which
// `MdnsQuerier` keeps and `MdnsHost` compares with its own. Known answers that come in more than one packet (§7.2) are not
// waited for, so they suppress nothing; that costs an answer too many.

import type { StateReader, StateWriter } from '../../core/state.ts';
import { US_PER_MS, US_PER_S } from '../../core/time.ts';
import * as dns from '../../wire/dns.ts';
import { nameKey } from '../../wire/dns-name.ts';
import { type Address, parse } from '../address.ts';
import { Random } from '../random.ts';
import { type Part, Purpose, type Shared } from '../shared.ts';
import type { DatagramIo } from './datagram-io.ts';
import { readNameText } from './dns-records.ts';
import { compareBytes, HOST_TTL_S, MdnsHost, response } from './mdns-host.ts';
import { type MdnsAnswer, MdnsQuerier } from './mdns-querier.ts';

const PORT = 5353;
const GROUPS = [parse('224.0.0.251')!, parse('ff02::fb')!] as const;
const HOP_LIMIT = 255; // §11
const AGAIN_US = US_PER_S; // §6: a record is multicast at most once a second
const AGAIN_PROBE_US = 250 * US_PER_MS; // §6: but a probe is answered
const LEGACY_TTL_S = 10; // §6.7
const MESSAGE_BYTES_MAX = 9000; // §17
const RECORDS_MAX = 64;

/** One interface's multicast DNS. */
export class Mdns implements Part {
  readonly host: MdnsHost;
  /** Messages that were malformed or came from where no answer may come from. */
  ignored = 0;
  private readonly shared: Shared;
  private readonly io: DatagramIo;
  private readonly iface: number;
  private readonly random: Random;
  private readonly querier: MdnsQuerier;
  private readonly handles: number[] = [-1, -1]; // as GROUPS
  private readonly buffer = new Uint8Array(MESSAGE_BYTES_MAX);
  private readonly multicastUs = new Map<string, number>(); // when our records were last multicast

  /** @param label first label of the host's name, without `.local`. */
  constructor(shared: Shared, iface: number, io: DatagramIo, label: string) {
    this.shared = shared;
    this.iface = iface;
    this.io = io;
    this.random = new Random(shared.secret, Purpose.Mdns + 256 * iface);
    this.host = new MdnsHost(this.random, label);
    this.querier = new MdnsQuerier(this.random);
  }

  /** Opens the sockets and claims the name for the interface's addresses; called again when these change. */
  start(addresses: readonly Address[]): void {
    for (let f = 0; f < GROUPS.length; f++) {
      if (this.handles[f]! >= 0) continue;
      const group = GROUPS[f]!;
      const options = { isIp6: f === 1, port: PORT, iface: this.iface, group, hopLimit: HOP_LIMIT, isShared: true };
      this.handles[f] = Math.max(-1, this.io.open(options));
    }
    this.host.claim(addresses, this.shared.nowUs);
  }

  /** Another label for the host's name; the one before gets its goodbye. */
  rename(label: string): void {
    if (this.host.isOurs) this.multicast(response(this.host.records(0)));
    this.host.rename(label, this.shared.nowUs);
  }

  /** True while its sockets are open. */
  get isStarted(): boolean {
    return this.handles.some((handle) => handle >= 0);
  }

  /** Says goodbye (§10.1) and ends. */
  stop(): void {
    if (this.host.isOurs) this.multicast(response(this.host.records(0)));
    this.host.stop();
    for (let f = 0; f < GROUPS.length; f++) {
      if (this.handles[f]! >= 0) this.io.close(this.handles[f]!);
      this.handles[f] = -1;
    }
  }

  /** Asks the link: a number for `nextAnswer`, or a negated errno. The stack's own name is answered by itself. */
  query(name: string, type: number, { isContinuous = false }: { isContinuous?: boolean } = {}): number {
    const own = this.host.answers({ name, type, class: dns.Class.In }).filter((r) => r.type === type);
    if (own.length > 0 && !isContinuous) return this.querier.answerNow(own);
    return this.querier.query(name, type, isContinuous, this.shared.nowUs);
  }

  cancel(id: number): void {
    this.querier.cancel(id);
  }

  nextAnswer(): MdnsAnswer | undefined {
    return this.querier.nextAnswer();
  }

  /** Reads what came. */
  poll(): void {
    for (let f = 0; f < GROUPS.length; f++) {
      while (this.handles[f]! >= 0) {
        const bytes = this.io.receiveFrom(this.handles[f]!, this.buffer);
        if (bytes < 0) break;
        const message = dns.parseMessage(this.buffer.slice(0, bytes));
        if (!message || !this.take(message, f)) this.ignored++;
      }
    }
  }

  deadlineUs(): number {
    return Math.min(this.host.deadlineUs, this.querier.deadlineUs);
  }

  expire(): void {
    const { nowUs } = this.shared;
    const claim = this.host.expire(nowUs);
    if (claim) this.multicast(claim);
    const questions = this.querier.expire(nowUs);
    if (questions) this.multicast(questions);
  }

  save(state: StateWriter): void {
    state.section(`stack/mdns/${this.iface}`, 1).number(this.handles[0]!).number(this.handles[1]!).number(this.ignored);
    this.random.save(state);
    this.host.save(state);
    this.querier.save(state);
    state.number(this.multicastUs.size);
    for (const [key, atUs] of this.multicastUs) state.text(key).number(atUs);
  }

  load(state: StateReader): void {
    state.section(`stack/mdns/${this.iface}`, 1);
    this.handles[0] = state.integer(-1, 2 ** 31 - 1);
    this.handles[1] = state.integer(-1, 2 ** 31 - 1);
    this.ignored = state.number();
    this.random.load(state);
    this.host.load(state);
    this.querier.load(state);
    this.multicastUs.clear();
    for (let n = state.integer(0, RECORDS_MAX); n > 0; n--) this.multicastUs.set(readNameText(state), state.number());
  }

  private multicast(message: dns.Message): void {
    if (dns.isResponse(message)) this.noteMulticast(message.answers);
    const bytes = dns.buildMessage(message);
    for (let f = 0; f < GROUPS.length; f++) {
      if (this.handles[f]! >= 0) this.io.sendTo(this.handles[f]!, bytes, GROUPS[f]!, PORT);
    }
  }

  private noteMulticast(records: readonly dns.ResourceRecord[]): void {
    for (const r of records) {
      this.multicastUs.delete(keyOf(r));
      if (this.multicastUs.size >= RECORDS_MAX) this.multicastUs.clear();
      this.multicastUs.set(keyOf(r), this.shared.nowUs);
    }
  }

  private take(message: dns.Message, family: number): boolean {
    const { source } = this.io;
    // §18.3, §18.11: messages with another opcode or code are ignored.
    if (dns.opcode(message) !== 0 || dns.rcode(message) !== 0) return false;
    if (!dns.isResponse(message)) {
      this.host.hearProbe(message, this.shared.nowUs);
      this.answer(message, family);
      return true;
    }
    // §6: a response from another port is ignored. Deviates from §11: a hop limit of 255 shows that the sender is on the link,
    // because what addresses the link has is not known here.
    if (source.port !== PORT || (source.hopLimit >= 0 && source.hopLimit !== HOP_LIMIT)) return false;
    this.host.hear(message, this.shared.nowUs);
    this.querier.hear(message, this.shared.nowUs);
    return true;
  }

  /** §6. The records are unique to us, so that no answer has to wait. */
  private answer(message: dns.Message, family: number): void {
    const isLegacy = this.io.source.port !== PORT;
    const alone: dns.ResourceRecord[] = [];
    const everybody: dns.ResourceRecord[] = [];
    for (const question of message.questions) {
      const wantsUnicast = (question.class & dns.Class.TopBit) !== 0;
      for (const r of this.host.answers(question)) {
        if (!isLegacy && isKnown(r, message.answers)) continue;
        // §5.4: asked for alone, but everybody gets it who has not had it for a quarter of its time.
        const isFresh = this.sinceMulticastUs(r) < (HOST_TTL_S * US_PER_S) / 4;
        if (isLegacy || (wantsUnicast && isFresh)) alone.push(r);
        else everybody.push(r);
      }
    }
    if (alone.length > 0) this.reply(message, alone, family, isLegacy);
    const againUs = message.authorities.length > 0 ? AGAIN_PROBE_US : AGAIN_US;
    const due = everybody.filter((r) => this.sinceMulticastUs(r) >= againUs);
    if (due.length > 0) this.multicast(response(unique(due), this.additional(due)));
  }

  private sinceMulticastUs(r: dns.ResourceRecord): number {
    return this.shared.nowUs - (this.multicastUs.get(keyOf(r)) ?? -Infinity);
  }

  /** §6.2: with one address the others, since they are wanted next. */
  private additional(answers: readonly dns.ResourceRecord[]): dns.ResourceRecord[] {
    const isAddress = (r: dns.ResourceRecord): boolean => r.type === dns.Type.A || r.type === dns.Type.AAAA;
    if (!answers.some(isAddress)) return [];
    return this.host.records().filter((r) => isAddress(r) && !answers.some((a) => keyOf(a) === keyOf(r)));
  }

  /** To the asker alone. §6.7: one who is no multicast DNS host gets his number, question, and short TTLs. */
  private reply(query: dns.Message, records: readonly dns.ResourceRecord[], family: number, isLegacy: boolean): void {
    const { address, port } = this.io.source;
    const answers = unique(records);
    const message = isLegacy
      ? {
          ...response(answers.map((r) => ({ ...r, class: dns.Class.In, ttl: Math.min(LEGACY_TTL_S, r.ttl) }))),
          id: query.id,
          questions: query.questions,
        }
      : response(answers, this.additional(answers));
    this.io.sendTo(this.handles[family]!, dns.buildMessage(message), address, port);
  }
}

const keyOf = (r: dns.ResourceRecord): string => `${r.type} ${nameKey(r.name)} ${r.data.subarray(0, 16).join()}`;

/** §7.1: the asker has it, with at least half of its time left. */
const isKnown = (r: dns.ResourceRecord, known: readonly dns.ResourceRecord[]): boolean =>
  known.some(
    (k) =>
      k.type === r.type &&
      nameKey(k.name) === nameKey(r.name) &&
      k.ttl >= r.ttl / 2 &&
      compareBytes(k.data, r.data) === 0,
  );

const unique = (records: readonly dns.ResourceRecord[]): dns.ResourceRecord[] =>
  records.filter((r, i) => records.findIndex((other) => keyOf(other) === keyOf(r)) === i);
