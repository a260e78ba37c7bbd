// Identifications of packets that may be cut: numbers that must not repeat, and that nobody may guess.

import { sipHash } from '../../core/siphash.ts';
import type { StateReader, StateWriter } from '../../core/state.ts';
import { ADDRESS_WORDS, type Address } from '../address.ts';
import { Random } from '../random.ts';
import { Purpose, type Shared } from '../shared.ts';

const COUNTERS = 1024; // a power of two
const KEY_WORDS = 2 * ADDRESS_WORDS + 1;

/** Numbers for what the sender puts into IP headers. */
export class Identifications {
  private readonly random: Random;
  private readonly counters = new Uint16Array(COUNTERS);
  private readonly words = new Int32Array(KEY_WORDS);

  constructor(shared: Shared) {
    this.random = new Random(shared.secret, Purpose.FragmentId);
  }

  /**
   * IPv4, 16 bits, of a packet that may be cut. RFC 6864 §4.3: not again between the same two and of the same protocol for
   * as long as can be, so each counts for itself, as well as a table of `COUNTERS` can keep them apart (RFC 7739 §5.3).
   */
  next4(source: Address, target: Address, protocol: number): number {
    const h = this.hash(source, target, protocol);
    const c = h & (COUNTERS - 1);
    this.counters[c] = this.counters[c]! + 1;
    return (this.counters[c]! + (h >>> 16)) & 0xffff;
  }

  /** IPv6, 32 bits, at random: RFC 7739 §5.2. */
  next6(): number {
    return this.random.u32();
  }

  save(state: StateWriter): void {
    state.section('stack/identifications', 1);
    this.random.save(state);
    state.column(this.counters);
  }

  load(state: StateReader): void {
    state.section('stack/identifications', 1);
    this.random.load(state);
    state.into(this.counters);
  }

  private hash(source: Address, target: Address, last: number): number {
    const { words } = this;
    for (let i = 0; i < ADDRESS_WORDS; i++) {
      words[i] = source[i]!;
      words[ADDRESS_WORDS + i] = target[i]!;
    }
    words[2 * ADDRESS_WORDS] = last;
    return sipHash(this.random.key, words, 0, KEY_WORDS);
  }
}
