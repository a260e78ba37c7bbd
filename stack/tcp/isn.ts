// Initial sequence numbers and timestamp offsets that only this stack can tell: RFC 6528 §3, RFC 7323 §5.4.

import { sipHash } from '../../core/siphash.ts';
import type { StateReader, StateWriter } from '../../core/state.ts';
import { US_PER_MS } from '../../core/time.ts';
import { ADDRESS_WORDS, type Address } from '../address.ts';
import { Random } from '../random.ts';
import { Purpose, type Shared } from '../shared.ts';

const ISN_TICK_US = 4; // RFC 9293 §3.4.1

/** Keyed hashes of the four that name a connection. */
export class Isn {
  private readonly shared: Shared;
  private readonly key: Random;
  private readonly stampKey: Random;
  private readonly words = new Int32Array(2 * ADDRESS_WORDS + 1);

  constructor(shared: Shared) {
    this.shared = shared;
    this.key = new Random(shared.secret, Purpose.Isn);
    this.stampKey = new Random(shared.secret, Purpose.Timestamp);
  }

  /** ISN = M + F(localip, localport, remoteip, remoteport, secretkey), RFC 6528 §3. */
  choose(local: Address, localPort: number, remote: Address, remotePort: number): number {
    this.fill(local, localPort, remote, remotePort);
    const m = Math.floor(this.shared.nowUs / ISN_TICK_US) % 2 ** 32;
    return (m + sipHash(this.key.key, this.words, 0, this.words.length)) | 0;
  }

  /** Added to the clock of milliseconds; the same for every incarnation of a connection, so that it only grows (RFC 6191). */
  timestampOffset(local: Address, localPort: number, remote: Address, remotePort: number): number {
    this.fill(local, localPort, remote, remotePort);
    return sipHash(this.stampKey.key, this.words, 0, this.words.length);
  }

  /** The clock of timestamps without offset, RFC 7323 §5.4: milliseconds. */
  get clock(): number {
    return (Math.floor(this.shared.nowUs / US_PER_MS) % 2 ** 32) | 0;
  }

  private fill(local: Address, localPort: number, remote: Address, remotePort: number): void {
    this.words.set(local);
    this.words.set(remote, ADDRESS_WORDS);
    this.words[2 * ADDRESS_WORDS] = (localPort << 16) | remotePort;
  }

  save(state: StateWriter): void {
    this.key.save(state);
    this.stampKey.save(state);
  }

  load(state: StateReader): void {
    this.key.load(state);
    this.stampKey.load(state);
  }
}
