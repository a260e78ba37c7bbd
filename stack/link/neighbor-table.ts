// The neighbour cache's columns: found by hash, kept in order of use, timed by a wheel.

import { StateError, type StateReader, type StateWriter } from '../../core/state.ts';
import { NEVER } from '../../core/time.ts';
import { NO_TIMER, TimerWheel } from '../../core/timer-wheel.ts';
import { MAC_BYTES } from '../../wire/ethernet.ts';
import { ADDRESS_WORDS, type Address, hash } from '../address.ts';

/** States of RFC 4861 §5.1 and §7.3.2. `Free` is no entry; `Failed` one that did not answer; `Permanent` one set by hand. */
export const NeighborState = {
  Free: 0,
  Incomplete: 1,
  Reachable: 2,
  Stale: 3,
  Delay: 4,
  Probe: 5,
  Failed: 6,
  Permanent: 7,
} as const;
export type NeighborState = (typeof NeighborState)[keyof typeof NeighborState];

/** No neighbour. */
export const NO_NEIGHBOR = -1;

const END = -1;
const SIZE_MIN = 16;

/** Neighbours are small numbers. Whoever changes `state` of a new entry owns it; this class knows of no protocol. */
export class NeighborTable {
  count = 0;
  iface = new Int32Array(0);
  words = new Int32Array(0); // of the address
  state = new Uint8Array(0);
  isRouter = new Uint8Array(0);
  mac = new Uint8Array(0); // MAC_BYTES each
  probes = new Uint8Array(0); // sent in this state
  confirmedUs = new Float64Array(0); // when it was last known to be reachable
  solicitedUs = new Float64Array(0); // when it was last solicited
  source = new Int32Array(0); // of the packet that prompted the last resolution
  private next = new Int32Array(0); // in its hash chain
  private newer = new Int32Array(0); // in order of use
  private older = new Int32Array(0);
  private buckets = new Int32Array(0);
  private newest = END;
  private oldest = END;
  private free = END; // chained by `next`
  private wheel = new TimerWheel({ timersMax: 1 });
  private readonly max: number;
  private readonly seed: number;

  /** @param seed keeps peers from choosing addresses that share a chain. */
  constructor({ neighborsMax, seed }: { neighborsMax: number; seed: number }) {
    this.max = neighborsMax;
    this.seed = seed;
    this.resize(Math.min(SIZE_MIN, neighborsMax));
  }

  /** Entries that there is room for now. */
  get size(): number {
    return this.state.length;
  }

  find(iface: number, address: Address): number {
    for (let n = this.buckets[this.bucketOf(iface, address)]!; n !== END; n = this.next[n]!) {
      if (this.iface[n] === iface && this.isAt(n, address)) return n;
    }
    return NO_NEIGHBOR;
  }

  /**
   * Adds an entry, or NO_NEIGHBOR if the table is full. As the newest, or as the oldest: what peers make us remember must
   * not drive out what we use.
   */
  add(iface: number, address: Address, asNewest: boolean): number {
    if (this.free === END && this.size < this.max) this.resize(Math.min(this.max, 2 * this.size));
    const n = this.free;
    if (n === END) return NO_NEIGHBOR;
    this.free = this.next[n]!;
    this.iface[n] = iface;
    this.words.set(address, n * ADDRESS_WORDS);
    this.isRouter[n] = 0;
    this.probes[n] = 0;
    this.confirmedUs[n] = 0;
    this.solicitedUs[n] = -NEVER;
    this.source.fill(0, n * ADDRESS_WORDS, (n + 1) * ADDRESS_WORDS);
    this.mac.fill(0, n * MAC_BYTES, (n + 1) * MAC_BYTES);
    this.link(n);
    if (asNewest) this.linkNewest(n);
    else this.linkOldest(n);
    this.count++;
    return n;
  }

  remove(n: number): void {
    this.unlink(n);
    this.unlinkUse(n);
    this.wheel.cancel(n);
    this.state[n] = NeighborState.Free;
    this.next[n] = this.free;
    this.free = n;
    this.count--;
  }

  /** Makes it the newest. */
  touch(n: number): void {
    if (this.newest === n) return;
    this.unlinkUse(n);
    this.linkNewest(n);
  }

  /** The one that was not used for longest, PERMANENT ones aside; failed ones first among the eldest few. */
  leastUsed(): number {
    let found = NO_NEIGHBOR;
    let seen = 0;
    for (let n = this.oldest; n !== END && seen < 8; n = this.newer[n]!) {
      if (this.state[n] === NeighborState.Permanent) continue;
      if (this.state[n] === NeighborState.Failed) return n;
      if (found === NO_NEIGHBOR) found = n;
      seen++;
    }
    return found;
  }

  setTimer(n: number, deadlineUs: number): void {
    this.wheel.set(n, deadlineUs);
  }

  deadlineOf(n: number): number {
    return this.wheel.deadlineOf(n);
  }

  deadlineUs(): number {
    return this.wheel.deadlineUs();
  }

  /** One that is due, its timer unset; NO_NEIGHBOR if none is. */
  expire(nowUs: number): number {
    const n = this.wheel.expire(nowUs);
    return n === NO_TIMER ? NO_NEIGHBOR : n;
  }

  isAt(n: number, address: Address): boolean {
    const w = n * ADDRESS_WORDS;
    const { words } = this;
    return (
      words[w + 3] === address[3] &&
      words[w + 2] === address[2] &&
      words[w + 1] === address[1] &&
      words[w] === address[0]
    );
  }

  readAddress(n: number, to: Address): void {
    for (let i = 0; i < ADDRESS_WORDS; i++) to[i] = this.words[n * ADDRESS_WORDS + i]!;
  }

  /** Entries in order of use, newest first. */
  ids(): number[] {
    const ids: number[] = [];
    for (let n = this.newest; n !== END; n = this.older[n]!) ids.push(n);
    return ids;
  }

  save(state: StateWriter): void {
    state.number(this.size).number(this.newest).number(this.oldest).number(this.count);
    for (const column of this.columns()) state.column(column);
    const free: number[] = [];
    for (let n = this.free; n !== END; n = this.next[n]!) free.push(n);
    state.column(Int32Array.from(free));
    const timers = Int32Array.from(this.wheel.ids());
    state.number(timers.length);
    for (const n of timers) state.number(n).number(this.wheel.deadlineOf(n));
  }

  load(state: StateReader): void {
    const size = state.integer(1, this.max);
    this.allocate(size);
    this.wheel = new TimerWheel({ timersMax: size });
    this.newest = state.integer(END, size - 1);
    this.oldest = state.integer(END, size - 1);
    this.count = state.integer(0, size);
    for (const column of this.columns()) state.into(column);
    this.validate();
    this.rehash();
    const free = new Int32Array(size - this.count);
    state.into(free);
    this.chainFree(free);
    const timers = state.integer(0, size);
    for (let i = 0; i < timers; i++) {
      const n = state.integer(0, size - 1);
      this.wheel.set(n, state.integer(0, Number.MAX_SAFE_INTEGER));
    }
  }

  private columns(): (Int32Array | Uint8Array | Float64Array)[] {
    return [
      this.iface,
      this.words,
      this.state,
      this.isRouter,
      this.mac,
      this.probes,
      this.confirmedUs,
      this.solicitedUs,
      this.source,
      this.newer,
      this.older,
    ];
  }

  /** What was loaded must be lists that end, and states that exist. */
  private validate(): void {
    let used = 0;
    for (const state of this.state) {
      if (state > NeighborState.Permanent) throw new StateError('a neighbour in no state');
      if (state !== NeighborState.Free) used++;
    }
    const size = this.size;
    for (const links of [this.newer, this.older]) {
      for (const n of links) if (n < END || n >= size) throw new StateError('a link to no neighbour');
    }
    let steps = 0;
    let last = END;
    for (let n = this.newest; n !== END && steps <= used; n = this.older[n]!, steps++) {
      if (this.state[n] === NeighborState.Free || this.newer[n] !== last) throw new StateError('a broken list of use');
      last = n;
    }
    if (steps !== used || used !== this.count || this.oldest !== last) throw new StateError('a broken list of use');
  }

  private chainFree(free: Int32Array): void {
    this.free = END;
    const seen = new Uint8Array(this.size);
    for (let i = free.length - 1; i >= 0; i--) {
      const n = free[i]!;
      if (this.state[n] !== NeighborState.Free || seen[n] === 1)
        throw new StateError('a neighbour that is free and not');
      seen[n] = 1;
      this.next[n] = this.free;
      this.free = n;
    }
  }

  /** Chains do not depend on what was there before: newest first within each. */
  private rehash(): void {
    this.buckets.fill(END);
    const ids = this.ids();
    for (let i = ids.length - 1; i >= 0; i--) this.link(ids[i]!);
  }

  private bucketOf(iface: number, address: Address): number {
    return Math.imul(hash(address) ^ Math.imul(iface + this.seed, 0x9e3779b1), 0x85ebca6b) >>> this.shift();
  }

  private shift(): number {
    return Math.clz32(this.buckets.length - 1);
  }

  private readonly scratch: Address = new Int32Array(ADDRESS_WORDS);

  private link(n: number): void {
    this.readAddress(n, this.scratch);
    const bucket = this.bucketOf(this.iface[n]!, this.scratch);
    this.next[n] = this.buckets[bucket]!;
    this.buckets[bucket] = n;
  }

  private unlink(n: number): void {
    this.readAddress(n, this.scratch);
    const bucket = this.bucketOf(this.iface[n]!, this.scratch);
    let previous = END;
    for (let i = this.buckets[bucket]!; i !== n; i = this.next[i]!) previous = i;
    if (previous === END) this.buckets[bucket] = this.next[n]!;
    else this.next[previous] = this.next[n]!;
  }

  private linkNewest(n: number): void {
    this.older[n] = this.newest;
    this.newer[n] = END;
    if (this.newest !== END) this.newer[this.newest] = n;
    else this.oldest = n;
    this.newest = n;
  }

  private linkOldest(n: number): void {
    this.newer[n] = this.oldest;
    this.older[n] = END;
    if (this.oldest !== END) this.older[this.oldest] = n;
    else this.newest = n;
    this.oldest = n;
  }

  private unlinkUse(n: number): void {
    const newer = this.newer[n]!;
    const older = this.older[n]!;
    if (newer !== END) this.older[newer] = older;
    else this.newest = older;
    if (older !== END) this.newer[older] = newer;
    else this.oldest = newer;
  }

  private resize(size: number): void {
    const before = this.size;
    const ids = this.wheel.ids();
    const old = this.wheel;
    this.allocate(size);
    this.wheel = new TimerWheel({ timersMax: size });
    for (const n of ids) this.wheel.set(n, old.deadlineOf(n));
    this.rehash();
    for (let n = size - 1; n >= before; n--) {
      this.next[n] = this.free;
      this.free = n;
    }
  }

  private allocate(size: number): void {
    this.iface = grown(this.iface, new Int32Array(size));
    this.words = grown(this.words, new Int32Array(size * ADDRESS_WORDS));
    this.state = grown(this.state, new Uint8Array(size));
    this.isRouter = grown(this.isRouter, new Uint8Array(size));
    this.mac = grown(this.mac, new Uint8Array(size * MAC_BYTES));
    this.probes = grown(this.probes, new Uint8Array(size));
    this.confirmedUs = grown(this.confirmedUs, new Float64Array(size));
    this.solicitedUs = grown(this.solicitedUs, new Float64Array(size));
    this.source = grown(this.source, new Int32Array(size * ADDRESS_WORDS));
    this.next = grown(this.next, new Int32Array(size));
    this.newer = grown(this.newer, new Int32Array(size));
    this.older = grown(this.older, new Int32Array(size));
    let buckets = 2;
    while (buckets < size) buckets *= 2;
    this.buckets = new Int32Array(buckets).fill(END);
  }
}

/** `to` with what `from` holds, as far as it fits. */
function grown<T extends Int32Array | Uint8Array | Float64Array>(from: T, to: T): T {
  to.set(from.length <= to.length ? from : from.subarray(0, to.length));
  return to;
}
