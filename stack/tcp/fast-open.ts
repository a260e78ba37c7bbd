// TCP Fast Open, RFC 7413: cookies that a server makes, and cookies that a client keeps.

import { sipHash, sipHigh } from '../../core/siphash.ts';
import type { StateReader, StateWriter } from '../../core/state.ts';
import { StateError } from '../../core/state.ts';
import { u8 } from '../../wire/bytes.ts';
import { ADDRESS_WORDS, type Address } from '../address.ts';
import type { Random } from '../random.ts';
import { COOKIE_BYTES_MAX } from './options.ts';
import { addressIs, END, setAddress } from './table.ts';

/** RFC 7413 §4.1.2: our cookies have 8 bytes. */
export const COOKIE_BYTES = 8;
const COOKIE_WORDS = COOKIE_BYTES_MAX / 4;
const COOKIES_MAX = 256; // that a client keeps

/** Both sides' cookies. */
export class FastOpenKeys {
  /** The cookie that was made last: two words. */
  readonly made = new Int32Array(COOKIE_WORDS);
  /** What servers gave, a ring: the address, the cookie's bytes and its length, the server's MSS. */
  readonly words = new Int32Array(COOKIES_MAX * COOKIE_WORDS);
  private readonly random: Random;
  private readonly servers = new Int32Array(COOKIES_MAX * ADDRESS_WORDS);
  private readonly lengths = new Uint8Array(COOKIES_MAX);
  private readonly mss = new Uint16Array(COOKIES_MAX);
  private next = 0;

  constructor(random: Random) {
    this.random = random;
  }

  /** RFC 7413 §4.1.2: a keyed hash of the client's address, into `made`. */
  make(client: Address): void {
    this.made[0] = sipHash(this.random.key, client, 0, ADDRESS_WORDS);
    this.made[1] = sipHigh;
  }

  /** True if the 8 bytes at `at` are the client's cookie. */
  isValid(view: DataView, at: number, bytes: number, client: Address): boolean {
    if (bytes !== COOKIE_BYTES) return false;
    this.make(client);
    return view.getInt32(at) === this.made[0] && view.getInt32(at + 4) === this.made[1];
  }

  /** Where the server's cookie is kept, or END. */
  find(server: Address): number {
    for (let i = 0; i < COOKIES_MAX; i++) {
      if (this.lengths[i] !== 0 && addressIs(this.servers, i, server)) return i;
    }
    return END;
  }

  lengthOf(i: number): number {
    return this.lengths[i]!;
  }

  /** The MSS that the server announced with it, RFC 7413 §4.1.3. */
  mssOf(i: number): number {
    return this.mss[i]!;
  }

  /** Keeps what the server gave. A table that is full forgets the oldest. */
  keep(server: Address, view: DataView, at: number, bytes: number, mss: number): void {
    let i = this.find(server);
    if (i === END) {
      i = this.next;
      this.next = (i + 1) % COOKIES_MAX;
    }
    setAddress(this.servers, i, server);
    this.words.fill(0, COOKIE_WORDS * i, COOKIE_WORDS * (i + 1));
    for (let k = 0; k < bytes; k++) {
      const word = COOKIE_WORDS * i + (k >> 2);
      this.words[word] = this.words[word]! | (u8(view, at + k) << (24 - 8 * (k & 3)));
    }
    this.lengths[i] = bytes;
    this.mss[i] = mss;
  }

  /** RFC 7413 §4.1.3.1: data in a SYN was lost, so the server's cookie is not used again. */
  forget(server: Address): void {
    const i = this.find(server);
    if (i !== END) this.lengths[i] = 0;
  }

  /** Words of a kept cookie begin here in `words`. */
  wordsAt(i: number): number {
    return COOKIE_WORDS * i;
  }

  save(state: StateWriter): void {
    this.random.save(state);
    state.column(this.words).column(this.servers).column(this.lengths).column(this.mss).number(this.next);
  }

  load(state: StateReader): void {
    this.random.load(state);
    state.into(this.words);
    state.into(this.servers);
    state.into(this.lengths);
    state.into(this.mss);
    this.next = state.integer(0, COOKIES_MAX - 1);
    for (const bytes of this.lengths) if (bytes > COOKIE_BYTES_MAX) throw new StateError(`a cookie of ${bytes} bytes`);
  }
}
