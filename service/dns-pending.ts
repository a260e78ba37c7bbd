// Queries that wait for a server, and who waits for each: two tables in columns, chained by number. A row keeps the query as it
// is sent, its key, and a list of waiters; rows are in the order of their deadlines, since all wait equally long.

import type { Address } from '../stack/stack.ts';
import { KEY_BYTES_MAX, OPT_BYTES, QUERY_BYTES_MAX } from './dns-query.ts';

export const NONE = -1;
/** Waiters of one query; more are refused. */
export const WAITERS_MAX = 256;
const IDS = 65_536;
const NAME_CELL = 256;
export const QUERY_CELL = QUERY_BYTES_MAX + OPT_BYTES;

/** What becomes of an answer. */
export const Stage = {
  /** It is the guest's. */
  Plain: 0,
  /** DNS64: if there is no AAAA, ask for A. */
  Six: 1,
  /** DNS64: the answer for A, of which AAAA is made. */
  Four: 2,
  /** DNS64: the answer for the reverse name of the IPv4 address. */
  Reverse: 3,
} as const;

/** Rows of both tables are numbers, freed and used again. */
export class DnsPending {
  readonly rowsMax: number;
  /** Rows in use. */
  count = 0;
  /** The row whose deadline is first, or -1. */
  first = NONE;
  private last = NONE;
  // Of a query.
  readonly id: Int32Array;
  readonly hash: Int32Array;
  readonly keyBytes: Int32Array;
  readonly queryBytes: Int32Array;
  /** Who was asked last, who was asked at all (bits), how often. */
  readonly server: Int32Array;
  readonly asked: Int32Array;
  readonly tries: Int32Array;
  readonly isTcp: Uint8Array;
  readonly stage: Uint8Array;
  /** The OPT record at the end is ours, and may go. */
  readonly hasOwnOpt: Uint8Array;
  /** It is nobody else's, and not kept. */
  readonly isPrivate: Uint8Array;
  readonly deadlineUs: Float64Array;
  readonly keys: Uint8Array;
  readonly queries: Uint8Array;
  /** DNS64: the answer without addresses. */
  readonly held: (Uint8Array | undefined)[];
  readonly firstWaiter: Int32Array;
  readonly waiters: Int32Array;
  private readonly lastWaiter: Int32Array;
  private readonly before: Int32Array;
  private readonly after: Int32Array;
  private readonly chain: Int32Array;
  private readonly heads: Int32Array;
  private readonly byId = new Int32Array(IDS).fill(NONE);
  private free = 0;
  // Of a waiter: who asked, by which way, and what only its own answer has.
  readonly next: Int32Array;
  readonly way: Int32Array;
  readonly generation: Int32Array;
  readonly addresses: Int32Array;
  readonly port: Int32Array;
  readonly iface: Int32Array;
  readonly guestId: Int32Array;
  readonly bytesMax: Int32Array;
  readonly hasEdns: Uint8Array;
  readonly isDnssecOk: Uint8Array;
  readonly names: Uint8Array;
  readonly nameBytes: Uint8Array;
  private readonly waitersMax: number;
  private freeWaiter = 0;

  constructor(rowsMax: number) {
    this.rowsMax = rowsMax;
    const columns = (): Int32Array => new Int32Array(rowsMax);
    const flags = (): Uint8Array => new Uint8Array(rowsMax);
    [this.id, this.hash, this.keyBytes, this.queryBytes] = [columns(), columns(), columns(), columns()];
    [this.server, this.asked, this.tries] = [columns(), columns(), columns()];
    [this.isTcp, this.stage, this.hasOwnOpt, this.isPrivate] = [flags(), flags(), flags(), flags()];
    this.deadlineUs = new Float64Array(rowsMax);
    this.keys = new Uint8Array(rowsMax * KEY_BYTES_MAX);
    this.queries = new Uint8Array(rowsMax * QUERY_CELL);
    this.held = new Array<Uint8Array | undefined>(rowsMax).fill(undefined);
    [this.firstWaiter, this.lastWaiter, this.waiters] = [columns(), columns(), columns()];
    [this.before, this.after, this.chain] = [columns(), columns(), columns()];
    let heads = 16;
    while (heads < rowsMax) heads *= 2;
    this.heads = new Int32Array(heads).fill(NONE);
    for (let r = 0; r < rowsMax; r++) this.after[r] = r + 1 < rowsMax ? r + 1 : NONE;

    this.waitersMax = 2 * rowsMax;
    const wide = (): Int32Array => new Int32Array(this.waitersMax);
    [this.next, this.way, this.generation, this.port, this.iface] = [wide(), wide(), wide(), wide(), wide()];
    [this.guestId, this.bytesMax] = [wide(), wide()];
    this.addresses = new Int32Array(4 * this.waitersMax);
    this.hasEdns = new Uint8Array(this.waitersMax);
    this.isDnssecOk = new Uint8Array(this.waitersMax);
    this.names = new Uint8Array(this.waitersMax * NAME_CELL);
    this.nameBytes = new Uint8Array(this.waitersMax);
    for (let w = 0; w < this.waitersMax; w++) this.next[w] = w + 1 < this.waitersMax ? w + 1 : NONE;
  }

  get isFull(): boolean {
    return this.free === NONE || this.freeWaiter === NONE;
  }

  queryAt(r: number): number {
    return r * QUERY_CELL;
  }

  nameAt(w: number): number {
    return w * NAME_CELL;
  }

  /** A row with the key of a query, found by `find` unless it is private; not full. `id` is nobody's. */
  add(id: number, key: Uint8Array, keyBytes: number, hash: number, isPrivate: boolean): number {
    const r = this.free;
    this.free = this.after[r]!;
    this.count++;
    this.id[r] = id;
    this.byId[id] = r;
    this.hash[r] = hash;
    this.keyBytes[r] = keyBytes;
    this.keys.set(key, r * KEY_BYTES_MAX);
    this.isPrivate[r] = isPrivate ? 1 : 0;
    this.server[r] = this.tries[r] = this.asked[r] = this.stage[r] = this.hasOwnOpt[r] = 0;
    this.firstWaiter[r] = this.lastWaiter[r] = NONE;
    this.waiters[r] = 0;
    if (!isPrivate) {
      const slot = hash & (this.heads.length - 1);
      this.chain[r] = this.heads[slot]!;
      this.heads[slot] = r;
    }
    this.append(r);
    return r;
  }

  /** The row of this key by this transport, or -1. */
  find(key: Uint8Array, keyBytes: number, hash: number, isTcp: boolean): number {
    for (let r = this.heads[hash & (this.heads.length - 1)]!; r !== NONE; r = this.chain[r]!) {
      if (this.hash[r] !== hash || this.keyBytes[r] !== keyBytes || (this.isTcp[r] === 1) !== isTcp) continue;
      if (this.hasKey(r, key, keyBytes)) return r;
    }
    return NONE;
  }

  ofId(id: number): number {
    return this.byId[id]!;
  }

  /** Another identification, for another question. */
  rename(r: number, id: number): void {
    this.byId[this.id[r]!] = NONE;
    this.id[r] = id;
    this.byId[id] = r;
  }

  /** Its deadline is the last of all now. */
  postpone(r: number, deadlineUs: number): void {
    this.unlink(r);
    this.append(r);
    this.deadlineUs[r] = deadlineUs;
  }

  following(r: number): number {
    return this.after[r]!;
  }

  /** The row is free, and its waiters, too. */
  remove(r: number): void {
    for (let w = this.firstWaiter[r]!; w !== NONE; ) {
      const next = this.next[w]!;
      this.next[w] = this.freeWaiter;
      this.freeWaiter = w;
      w = next;
    }
    this.unlink(r);
    if (this.isPrivate[r] === 0) this.unchain(r);
    this.byId[this.id[r]!] = NONE;
    this.held[r] = undefined;
    this.after[r] = this.free;
    this.free = r;
    this.count--;
  }

  /** One more waiter, the last; the caller fills it. -1 if there are too many. */
  addWaiter(r: number): number {
    const w = this.freeWaiter;
    if (w === NONE || this.waiters[r]! >= WAITERS_MAX) return NONE;
    this.freeWaiter = this.next[w]!;
    this.next[w] = NONE;
    if (this.lastWaiter[r] === NONE) this.firstWaiter[r] = w;
    else this.next[this.lastWaiter[r]!] = w;
    this.lastWaiter[r] = w;
    this.waiters[r] = this.waiters[r]! + 1;
    return w;
  }

  /** True if a waiter of the row is this one: it asked again. */
  isWaiting(r: number, way: number, address: Address, port: number, guestId: number): boolean {
    const { addresses } = this;
    for (let w = this.firstWaiter[r]!; w !== NONE; w = this.next[w]!) {
      if (this.port[w] !== port || this.guestId[w] !== guestId || this.way[w] !== way) continue;
      const a = 4 * w;
      if (addresses[a + 3] === address[3] && addresses[a + 2] === address[2]) {
        if (addresses[a + 1] === address[1] && addresses[a] === address[0]) return true;
      }
    }
    return false;
  }

  private hasKey(r: number, key: Uint8Array, keyBytes: number): boolean {
    const at = r * KEY_BYTES_MAX;
    for (let i = 0; i < keyBytes; i++) if (this.keys[at + i] !== key[i]) return false;
    return true;
  }

  private append(r: number): void {
    this.before[r] = this.last;
    this.after[r] = NONE;
    if (this.last === NONE) this.first = r;
    else this.after[this.last] = r;
    this.last = r;
  }

  private unlink(r: number): void {
    const before = this.before[r]!;
    const after = this.after[r]!;
    if (before === NONE) this.first = after;
    else this.after[before] = after;
    if (after === NONE) this.last = before;
    else this.before[after] = before;
  }

  private unchain(r: number): void {
    const slot = this.hash[r]! & (this.heads.length - 1);
    if (this.heads[slot] === r) {
      this.heads[slot] = this.chain[r]!;
      return;
    }
    for (let p = this.heads[slot]!; p !== NONE; p = this.chain[p]!) {
      if (this.chain[p] === r) {
        this.chain[p] = this.chain[r]!;
        return;
      }
    }
  }
}
