// Endpoints by port or protocol: a hash table whose chains go through the rows themselves, the newest first.

import type { StateReader, StateWriter } from '../../core/state.ts';
import type { Endpoints } from './endpoints.ts';
import { Field } from './endpoints.ts';

const BUCKETS_FIRST = 64;
const ORDER_MAX = 2 ** 31 - 1;
const LOAD_MAX = 2; // endpoints a bucket before the buckets double

/** Chains of the endpoints of one kind by the value of one column, which stays as it is while they are in. */
export class EndpointChains {
  private readonly endpoints: Endpoints;
  private readonly kind: number;
  private readonly field: number;
  private heads = new Int32Array(BUCKETS_FIRST).fill(-1);
  private order = 0;
  /** Endpoints that are in. */
  count = 0;

  constructor(endpoints: Endpoints, kind: number, field: number) {
    this.endpoints = endpoints;
    this.kind = kind;
    this.field = field;
  }

  /** The newest endpoint whose column is `key`, or -1. */
  first(key: number): number {
    return this.match(this.heads[key & (this.heads.length - 1)]!, key);
  }

  /** The next older one of the same key, or -1. */
  next(e: number, key: number): number {
    return this.match(this.endpoints.get(e, Field.Next), key);
  }

  add(e: number): void {
    if (this.order === ORDER_MAX) this.renumber();
    this.endpoints.set(e, Field.Order, this.order++);
    this.link(e);
    this.count++;
    if (this.count > LOAD_MAX * this.heads.length) {
      this.heads = new Int32Array(2 * this.heads.length);
      this.relink();
    }
  }

  remove(e: number): void {
    const { endpoints } = this;
    const bucket = endpoints.get(e, this.field) & (this.heads.length - 1);
    const after = endpoints.get(e, Field.Next);
    let at = this.heads[bucket]!;
    if (at === e) this.heads[bucket] = after;
    else {
      while (at >= 0 && endpoints.get(at, Field.Next) !== e) at = endpoints.get(at, Field.Next);
      if (at < 0) return;
      endpoints.set(at, Field.Next, after);
    }
    endpoints.set(e, Field.Next, -1);
    this.count--;
  }

  save(state: StateWriter): void {
    state.number(this.order);
  }

  /** Builds the chains again from rows that were loaded. `isIn` says which of the kind were in. */
  load(state: StateReader, isIn: (e: number) => boolean): void {
    const { endpoints } = this;
    this.order = state.integer(0, ORDER_MAX);
    let buckets = BUCKETS_FIRST;
    this.count = 0;
    for (let e = 0; e < endpoints.end; e++) if (endpoints.get(e, Field.Kind) === this.kind && isIn(e)) this.count++;
    while (this.count > LOAD_MAX * buckets) buckets *= 2;
    this.heads = new Int32Array(buckets);
    this.relink();
  }

  private match(from: number, key: number): number {
    let e = from;
    while (e >= 0 && this.endpoints.get(e, this.field) !== key) e = this.endpoints.get(e, Field.Next);
    return e;
  }

  private link(e: number): void {
    const bucket = this.endpoints.get(e, this.field) & (this.heads.length - 1);
    this.endpoints.set(e, Field.Next, this.heads[bucket]!);
    this.heads[bucket] = e;
  }

  /** Gives the orders 0 … again, before the numbers of a row end. */
  private renumber(): void {
    const rows = this.rows();
    this.order = 0;
    for (const e of rows) this.endpoints.set(e, Field.Order, this.order++);
  }

  /** Those that are in, the oldest first. */
  private rows(): number[] {
    const { endpoints } = this;
    const rows: number[] = [];
    for (let e = 0; e < endpoints.end; e++) {
      if (endpoints.get(e, Field.Kind) === this.kind && this.isLinked(e)) rows.push(e);
    }
    return rows.sort((a, b) => endpoints.get(a, Field.Order) - endpoints.get(b, Field.Order));
  }

  /** Puts all endpoints into the new buckets, each chain in the old order. */
  private relink(): void {
    this.heads.fill(-1);
    for (const e of this.rows()) this.link(e);
  }

  private isLinked(e: number): boolean {
    return this.field === Field.Protocol || this.endpoints.get(e, Field.LocalPort) !== 0;
  }
}
