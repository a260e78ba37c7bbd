// How many error messages a host sends: a bucket for all and one for each target, as far as a table keeps them apart.
// RFC 4443 §2.4 (f), RFC 1812 §4.3.2.8.

import type { StateReader, StateWriter } from '../../core/state.ts';
import { US_PER_S } from '../../core/time.ts';
import { type Address, hash } from '../address.ts';
import { Random } from '../random.ts';
import { Purpose, type Shared } from '../shared.ts';

// Ours.
const ALL_PER_S = 1000;
const ALL_BURST = 50;
const ONE_PER_S = 10;
const ONE_BURST = 10;
const BUCKETS = 256; // a power of two

/** Token buckets. Tokens are whole µs of credit, so that nothing is rounded. */
export class ErrorLimit {
  private readonly shared: Shared;
  private readonly key: number;
  private readonly name: string;
  private readonly full = new Float64Array(BUCKETS + 1); // when the bucket was, or will be, empty of debt

  /** @param name of its section in a snapshot. */
  constructor(shared: Shared, name: string) {
    this.shared = shared;
    this.name = name;
    this.key = new Random(shared.secret, Purpose.Hash).key[0]!;
  }

  /** True if one more may go to `target` now, which is then counted. */
  allows(target: Address): boolean {
    const b = Math.imul(hash(target) ^ this.key, 0x9e3779b1) >>> 24;
    if (!this.has(b, ONE_PER_S, ONE_BURST) || !this.has(BUCKETS, ALL_PER_S, ALL_BURST)) return false;
    this.take(b, ONE_PER_S);
    this.take(BUCKETS, ALL_PER_S);
    return true;
  }

  save(state: StateWriter): void {
    state.section(this.name, 1).column(this.full);
  }

  load(state: StateReader): void {
    state.section(this.name, 1);
    state.into(this.full);
  }

  private has(b: number, perSecond: number, burst: number): boolean {
    const step = US_PER_S / perSecond;
    return this.full[b]! - this.shared.nowUs <= (burst - 1) * step;
  }

  private take(b: number, perSecond: number): void {
    this.full[b] = Math.max(this.full[b]!, this.shared.nowUs) + US_PER_S / perSecond;
  }
}
