// Answers that were had before: positive ones for their time to live, negative ones by RFC 2308. Bounded; the oldest go first.

import type { StateReader, StateWriter } from '../../core/state.ts';
import { US_PER_S } from '../../core/time.ts';
import type { ResourceRecord } from '../../wire/dns.ts';
import { nameKey } from '../../wire/dns-name.ts';
import { loadRecords, RECORDS_MAX, readNameText, saveRecords } from './dns-records.ts';

/** RFC 2181 §8: a TTL with the top bit set is 0. Ours: nothing is kept for more than a day. */
export const TTL_S_MAX = 86400;
/** RFC 2308 §5: up to three hours. */
export const NEGATIVE_TTL_S_MAX = 10800;

/** A kept answer. `status` is the resolver's. */
export interface CacheEntry {
  readonly status: number;
  readonly records: readonly ResourceRecord[];
}

interface Kept extends CacheEntry {
  readonly storedUs: number;
  readonly expiresUs: number;
}

/** By name and type. */
export class ResolverCache {
  private readonly entries = new Map<string, Kept>();
  private readonly entriesMax: number;

  constructor({ entriesMax }: { entriesMax: number }) {
    this.entriesMax = entriesMax;
  }

  get size(): number {
    return this.entries.size;
  }

  /** The answer with what is left of its time to live, or undefined. */
  find(name: string, type: number, nowUs: number): CacheEntry | undefined {
    const key = keyOf(name, type);
    const kept = this.entries.get(key);
    if (!kept) return undefined;
    if (kept.expiresUs <= nowUs) {
      this.entries.delete(key);
      return undefined;
    }
    const ageS = Math.floor((nowUs - kept.storedUs) / US_PER_S);
    return { status: kept.status, records: kept.records.map((r) => ({ ...r, ttl: Math.max(0, r.ttl - ageS) })) };
  }

  /** Keeps an answer for `ttlS` seconds; 0 keeps nothing. */
  keep(name: string, type: number, entry: CacheEntry, ttlS: number, nowUs: number): void {
    const key = keyOf(name, type);
    this.entries.delete(key);
    if (ttlS <= 0 || entry.records.length > RECORDS_MAX) return;
    for (const oldest of this.entries.keys()) {
      if (this.entries.size < this.entriesMax) break;
      this.entries.delete(oldest);
    }
    this.entries.set(key, { ...entry, storedUs: nowUs, expiresUs: nowUs + Math.min(TTL_S_MAX, ttlS) * US_PER_S });
  }

  /** Forgets everything: the network is another one. */
  clear(): void {
    this.entries.clear();
  }

  save(state: StateWriter): void {
    state.number(this.entries.size);
    for (const [key, { status, records, storedUs, expiresUs }] of this.entries) {
      state.text(key).number(status).number(storedUs).number(expiresUs);
      saveRecords(state, records);
    }
  }

  load(state: StateReader): void {
    this.entries.clear();
    for (let n = state.integer(0, this.entriesMax); n > 0; n--) {
      const key = readNameText(state);
      const status = state.integer(0, 255);
      const storedUs = state.number();
      const expiresUs = state.number();
      this.entries.set(key, { status, storedUs, expiresUs, records: loadRecords(state) });
    }
  }
}

const keyOf = (name: string, type: number): string => `${type} ${nameKey(name)}`;

/** Seconds that records may be kept: the least of theirs. */
export const ttlOf = (records: readonly ResourceRecord[]): number =>
  records.reduce((least, r) => Math.min(least, r.ttl > 0x7fffffff ? 0 : r.ttl), TTL_S_MAX);
