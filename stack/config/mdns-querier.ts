// Questions to everybody on the link, once or continuously, and what was answered. RFC 6762 §5, §7.1, §10.

import type { StateReader, StateWriter } from '../../core/state.ts';
import { NEVER, US_PER_MS, US_PER_S } from '../../core/time.ts';
import * as dns from '../../wire/dns.ts';
import { isName, nameKey } from '../../wire/dns-name.ts';
import { Errno } from '../errno.ts';
import type { Random } from '../random.ts';
import { loadRecords, readNameText, saveRecords } from './dns-records.ts';
import { compareBytes } from './mdns-host.ts';

// §5.2.
const FIRST_US = { min: 20 * US_PER_MS, max: 120 * US_PER_MS };
const INTERVAL_US = US_PER_S;
const INTERVAL_US_MAX = 3600 * US_PER_S;
const GOODBYE_US = US_PER_S; // §10.1, and for flushed records §10.2
// Ours.
const ONCE_US = 3 * US_PER_S;
const ASKS_MAX = 64;
const CACHE_MAX = 512;
const TTL_S_MAX = 86400;
const REFRESH_PERCENT = [80, 85, 90, 95] as const; // §5.2

interface Ask {
  readonly id: number;
  readonly name: string;
  readonly type: number;
  readonly isContinuous: boolean;
  sends: number;
  deadlineUs: number;
  endUs: number;
}

interface Kept {
  readonly record: dns.ResourceRecord;
  readonly storedUs: number;
  expiresUs: number;
}

/** An answer: of a continuous question all records that are valid now, each time that they changed. */
export interface MdnsAnswer {
  readonly id: number;
  readonly records: readonly dns.ResourceRecord[];
}

/** The questions of one interface. */
export class MdnsQuerier {
  private readonly random: Random;
  private readonly asks = new Map<number, Ask>();
  private readonly cache = new Map<string, Kept>();
  private done: MdnsAnswer[] = [];
  private lastId = 0;

  constructor(random: Random) {
    this.random = random;
  }

  get cacheSize(): number {
    return this.cache.size;
  }

  /** A number for `nextAnswer`, -EINVAL or -ENOBUFS. One that is asked once is answered once, with nothing after 3 s. */
  query(name: string, type: number, isContinuous: boolean, nowUs: number): number {
    if (!isName(name)) return -Errno.EINVAL;
    if (this.asks.size + this.done.length >= ASKS_MAX) return -Errno.ENOBUFS;
    const id = ++this.lastId;
    const known = this.known(name, type, nowUs);
    if (known.length > 0) this.done.push({ id, records: known });
    if (known.length > 0 && !isContinuous) return id;
    const deadlineUs = nowUs + this.random.between(FIRST_US.min, FIRST_US.max);
    this.asks.set(id, {
      id,
      name,
      type,
      isContinuous,
      sends: 0,
      deadlineUs,
      endUs: isContinuous ? NEVER : nowUs + ONCE_US,
    });
    return id;
  }

  cancel(id: number): void {
    this.asks.delete(id);
    this.done = this.done.filter((answer) => answer.id !== id);
  }

  /** Puts an answer there that was not asked of the link: the stack's own. */
  answerNow(records: readonly dns.ResourceRecord[]): number {
    if (this.asks.size + this.done.length >= ASKS_MAX) return -Errno.ENOBUFS;
    this.done.push({ id: ++this.lastId, records });
    return this.lastId;
  }

  nextAnswer(): MdnsAnswer | undefined {
    return this.done.shift();
  }

  get deadlineUs(): number {
    let least = NEVER;
    for (const ask of this.asks.values()) least = Math.min(least, ask.deadlineUs, ask.endUs);
    for (const kept of this.cache.values()) least = Math.min(least, kept.expiresUs);
    return least;
  }

  /** Ends what is over, and returns the questions that are due in one message, or undefined. */
  expire(nowUs: number): dns.Message | undefined {
    this.expireCache(nowUs);
    const questions: dns.Question[] = [];
    const answers: dns.ResourceRecord[] = [];
    for (const ask of [...this.asks.values()]) {
      if (ask.endUs <= nowUs) {
        this.asks.delete(ask.id);
        this.done.push({ id: ask.id, records: [] });
      } else if (ask.deadlineUs <= nowUs) {
        // §5.4: the first question of somebody who waits may be answered to him alone.
        const wantsUnicast = ask.sends === 0 && !ask.isContinuous;
        questions.push({ name: ask.name, type: ask.type, class: dns.Class.In | (wantsUnicast ? dns.Class.TopBit : 0) });
        answers.push(...this.suppressing(ask, nowUs));
        ask.sends = Math.min(ask.sends + 1, 32);
        ask.deadlineUs = this.nextSendUs(ask, nowUs);
      }
    }
    if (questions.length === 0) return undefined;
    return { id: 0, flags: 0, questions, answers, authorities: [], additionals: [] };
  }

  /** Takes the records of a response. */
  hear(message: dns.Message, nowUs: number): void {
    const records = [...message.answers, ...message.additionals].filter(
      (r) => (r.class & ~dns.Class.TopBit) === dns.Class.In && r.type !== dns.Type.OPT,
    );
    const changed = new Set<string>();
    for (const r of records) if (this.keep(r, nowUs)) changed.add(`${r.type} ${nameKey(r.name)}`);
    for (const ask of [...this.asks.values()]) {
      const isNews = ask.isContinuous
        ? changed.has(`${ask.type} ${nameKey(ask.name)}`)
        : records.some((r) => matches(r, ask.name, ask.type) && r.ttl > 0);
      if (isNews) this.report(ask, nowUs);
    }
  }

  save(state: StateWriter): void {
    state.number(this.lastId).number(this.asks.size);
    for (const { id, name, type, isContinuous, sends, deadlineUs, endUs } of this.asks.values()) {
      state.number(id).text(name).number(type).boolean(isContinuous).number(sends).number(deadlineUs).number(endUs);
    }
    state.number(this.cache.size);
    for (const [key, { record, storedUs, expiresUs }] of this.cache) {
      state.text(key).number(storedUs).number(expiresUs);
      saveRecords(state, [record]);
    }
    state.number(this.done.length);
    for (const { id, records } of this.done) {
      state.number(id);
      saveRecords(state, records);
    }
  }

  load(state: StateReader): void {
    this.lastId = state.integer(0, 2 ** 53 - 1);
    this.asks.clear();
    this.cache.clear();
    for (let n = state.integer(0, ASKS_MAX); n > 0; n--) {
      const id = state.integer(1, 2 ** 53 - 1);
      const name = readNameText(state);
      const [type, isContinuous, sends] = [state.integer(0, 0xffff), state.boolean(), state.integer(0, 32)];
      this.asks.set(id, { id, name, type, isContinuous, sends, deadlineUs: state.number(), endUs: state.number() });
    }
    for (let n = state.integer(0, CACHE_MAX); n > 0; n--) {
      const key = state.text(1 << 18);
      const [storedUs, expiresUs] = [state.number(), state.number()];
      for (const record of loadRecords(state)) this.cache.set(key, { record, storedUs, expiresUs });
    }
    this.done = Array.from({ length: state.integer(0, 2 * ASKS_MAX) }, () => ({
      id: state.integer(1, 2 ** 53 - 1),
      records: loadRecords(state),
    }));
  }

  private report(ask: Ask, nowUs: number): void {
    const records = this.known(ask.name, ask.type, nowUs);
    if (!ask.isContinuous) this.asks.delete(ask.id);
    else {
      // Who does not fetch sees the newest state only.
      this.done = this.done.filter((answer) => answer.id !== ask.id);
      ask.deadlineUs = Math.min(ask.deadlineUs, this.refreshUs(ask, nowUs));
    }
    this.done.push({ id: ask.id, records });
  }

  /** §5.2: intervals double up to an hour; records are asked for again before they end. */
  private nextSendUs(ask: Ask, nowUs: number): number {
    const intervalUs = Math.min(INTERVAL_US_MAX, INTERVAL_US * 2 ** (ask.sends - 1));
    return Math.min(nowUs + intervalUs, ask.isContinuous ? this.refreshUs(ask, nowUs) : NEVER);
  }

  private refreshUs(ask: Ask, nowUs: number): number {
    let least = NEVER;
    for (const { record, storedUs, expiresUs } of this.cache.values()) {
      if (!matches(record, ask.name, ask.type)) continue;
      for (const percent of REFRESH_PERCENT) {
        const atUs = storedUs + Math.floor(((expiresUs - storedUs) * percent) / 100);
        if (atUs > nowUs) least = Math.min(least, atUs);
      }
    }
    return least;
  }

  private known(name: string, type: number, nowUs: number): dns.ResourceRecord[] {
    return [...this.cache.values()]
      .filter((kept) => kept.expiresUs > nowUs && matches(kept.record, name, type))
      .map((kept) => kept.record);
  }

  /** §7.1: known answers with more than half of their time left need not be given again. */
  private suppressing(ask: Ask, nowUs: number): dns.ResourceRecord[] {
    return [...this.cache.values()]
      .filter((k) => matches(k.record, ask.name, ask.type) && k.expiresUs - nowUs > (k.expiresUs - k.storedUs) / 2)
      .slice(0, 16)
      .map((k) => ({ ...k.record, class: dns.Class.In, ttl: Math.floor((k.expiresUs - nowUs) / US_PER_S) }));
  }

  /** True if the set of valid records changed. */
  private keep(record: dns.ResourceRecord, nowUs: number): boolean {
    const key = `${record.type} ${nameKey(record.name)} ${record.data.join()}`;
    const had = this.cache.get(key);
    if ((record.class & dns.Class.TopBit) !== 0) this.flush(record, nowUs);
    if (record.ttl === 0) {
      // §10.1: a goodbye ends it in a second, so that another holder can object.
      if (had) had.expiresUs = Math.min(had.expiresUs, nowUs + GOODBYE_US);
      return false;
    }
    this.cache.delete(key);
    for (const oldest of this.cache.keys()) {
      if (this.cache.size < CACHE_MAX) break;
      this.cache.delete(oldest);
    }
    this.cache.set(key, { record, storedUs: nowUs, expiresUs: nowUs + Math.min(TTL_S_MAX, record.ttl) * US_PER_S });
    return had === undefined;
  }

  /** §10.2: other records of the set that are older than a second end in a second. */
  private flush(record: dns.ResourceRecord, nowUs: number): void {
    for (const kept of this.cache.values()) {
      const isOld = nowUs - kept.storedUs > US_PER_S && matches(kept.record, record.name, record.type);
      if (isOld && compareBytes(kept.record.data, record.data) !== 0) {
        kept.expiresUs = Math.min(kept.expiresUs, nowUs + GOODBYE_US);
      }
    }
  }

  private expireCache(nowUs: number): void {
    for (const [key, kept] of this.cache) {
      if (kept.expiresUs > nowUs) continue;
      this.cache.delete(key);
      for (const ask of [...this.asks.values()]) {
        if (ask.isContinuous && matches(kept.record, ask.name, ask.type)) this.report(ask, nowUs);
      }
    }
  }
}

const matches = (r: dns.ResourceRecord, name: string, type: number): boolean =>
  (type === dns.Type.ANY || r.type === type) && nameKey(r.name) === nameKey(name);
