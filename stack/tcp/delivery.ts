// What one ACK delivered: a scratch record that the ACK's parts fill in and the decisions read.

import { US_PER_MS } from '../../core/time.ts';

/** The tick of the timestamp clock: a TSecr stands for a time that is up to this much earlier than the transmission. */
const TICK_US = US_PER_MS;

export class Delivery {
  nowUs = 0;
  hasTimestamp = false;
  tsecrUs = 0;
  /** Before the ACK: FlightSize, and how much of it was known to be delivered. */
  out = 0;
  held = 0;
  /** Bytes acknowledged cumulatively. */
  bytes = 0;
  /** True if a descriptor, or a part of one, was delivered. */
  isAny = false;
  /** True if something was SACKed that was not before. */
  isSacked = false;
  /** Data before `limit` that was never retransmitted was delivered: RFC 5682 needs to know. */
  isOriginal = false;
  limit = 0;
  /** RFC 6298: the round trip of the first segment that the ACK covers and that was sent once; 0 if none. */
  firstRttUs = 0;
  /** The same of the one sent last, which waited least for the ACK. */
  newestRttUs = 0;
  newestAtUs = 0;
  /** When the latest retransmission that this ACK covers was sent, 0: it covers none. */
  resentAtUs = 0;
  /** `rackFack` before this ACK: within one ACK nothing is reordered. */
  fack = 0;
  hasFack = false;
  /** Bytes of the DSACK block, RFC 2883; 0 if there was none. */
  dsackBytes = 0;
  dsackEnd = 0;

  begin(nowUs: number, hasTimestamp: boolean, tsecrUs: number): void {
    this.nowUs = nowUs;
    this.hasTimestamp = hasTimestamp;
    this.tsecrUs = tsecrUs;
    this.isAny = false;
    this.isSacked = false;
    this.isOriginal = false;
    this.firstRttUs = 0;
    this.newestRttUs = 0;
    this.newestAtUs = -1;
    this.resentAtUs = 0;
    this.dsackBytes = 0;
    this.dsackEnd = 0;
  }

  /** True if the ACK answers something that was sent before `atUs` for certain: TSecr is an earlier tick (RFC 3522 §3.2 step 5). */
  echoesBefore(atUs: number): boolean {
    return this.hasTimestamp && this.tsecrUs + TICK_US <= atUs;
  }

  /** A segment sent once, at `atUs`, was delivered up to `end`. */
  sample(atUs: number, end: number): void {
    if (((end - this.limit) | 0) <= 0) this.isOriginal = true;
    const rttUs = Math.max(1, this.nowUs - atUs);
    if (this.firstRttUs === 0) this.firstRttUs = rttUs;
    if (atUs < this.newestAtUs) return;
    this.newestAtUs = atUs;
    this.newestRttUs = rttUs;
  }
}
