// How many error messages a host sends: a bucket for all and one for each target, as far as a table keeps them apart.
// RFC 4443 §2.4 (f), RFC 1812 §4.3.2.8.

import type { StateReader, StateWriter } from '../../core/state.ts';
import { US_PER_S } from '../../core/time.ts';
import { type Address, hash } from '../address.ts';
import { Random } from '../random.ts';
import { Purpose, type Shared } from '../shared.ts';

// Ours.
const RATES: ErrorRates = { allPerS: 1000, allBurst: 50, onePerS: 10, oneBurst: 10 };
const BUCKETS = 256; // a power of two

/** Messages a second, and at once: all together, and to one target. */
export interface ErrorRates {
  readonly allPerS: number;
  readonly allBurst: number;
  readonly onePerS: number;
  readonly oneBurst: number;
}

/** Token buckets. Tokens are whole µs of credit, so that nothing is rounded. */
export class ErrorLimit {
  private readonly shared: Shared;
  private readonly key: number;
  private readonly name: string;
  private readonly rates: ErrorRates;
  private readonly full = new Float64Array(BUCKETS + 1); // when the bucket was, or will be, empty of debt

  /** @param name of its section in a snapshot. */
  constructor(shared: Shared, name: string, rates: ErrorRates = RATES) {
    this.shared = shared;
    this.name = name;
    this.rates = rates;
    this.key = new Random(shared.secret, Purpose.Hash).key[0]!;
  }

  /** True if one more may go to `target` now, which is then counted. */
  allows(target: Address): boolean {
    const b = Math.imul(hash(target) ^ this.key, 0x9e3779b1) >>> 24;
    const { allPerS, allBurst, onePerS, oneBurst } = this.rates;
    if (!this.has(b, onePerS, oneBurst) || !this.has(BUCKETS, allPerS, allBurst)) return false;
    this.take(b, onePerS);
    this.take(BUCKETS, allPerS);
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
