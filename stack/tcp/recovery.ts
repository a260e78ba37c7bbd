// Loss recovery, congestion control and round-trip times of all TCP connections of a stack.

import type { StateReader, StateWriter } from '../../core/state.ts';
import type { Shared } from '../shared.ts';
import { Mark, NO_SEGMENT, Option, Phase, RecoveryTable } from './recovery-table.ts';
import { backOffRto, RTO_US_AFTER_SYN_LOSS, sampleRtt, startRtt } from './rtt.ts';
import { Seg, Segments } from './segments.ts';

/** What `acked` is told about the segment, as bits. */
export const AckFlag = {
  IsData: 1, // it carried data or a FIN, so it is no duplicate ACK
  WindowChanged: 2, // it changed the send window, so it is no duplicate ACK (RFC 5681 §2)
  Ece: 4, // RFC 3168: ECN was negotiated and ECE is set, SYN is not
  HasTimestamp: 8, // `tsecrUs` is valid
} as const;

/** What `acked` did, as bits. */
export const AckResult = {
  Advanced: 1, // new data was acknowledged: free it, `una` moved
  Duplicate: 2, // a duplicate ACK by RFC 5681 §2 or one that brought new SACK information
  EnteredRecovery: 4,
  LeftRecovery: 8, // everything that was outstanding at the loss is acknowledged
  Undone: 16, // the retransmission was spurious; window and threshold are as before
  LossFound: 32, // `nextLost` may return something
} as const;

/** What the core is to do after the send timer. */
export const Action = {
  None: 0, // nothing was due
  SendProbe: 1, // RFC 8985 §7.3: send one segment of new data, whatever `allowance` says, and call `sent`; if there is none, `resent(c, probeSegment(c))`
  Retransmit: 2, // segments are lost (by timeout: `backoff(c)` > 0, or by reordering timer): call `nextLost`
} as const;
export type Action = (typeof Action)[keyof typeof Action];

/** Congestion control algorithms. */
export const Algorithm = { NewReno: 0, Cubic: 1 } as const;

/** What was negotiated, and what the user asked for. */
export interface StartOptions {
  /** The peer sends SACK (RFC 2018). */
  readonly sack: boolean;
  /** Both sides send timestamps (RFC 7323). */
  readonly timestamps: boolean;
  readonly ecn: boolean;
  /** One of `Algorithm`. */
  readonly algorithm: number;
  /** In segments; 0: RFC 6928, 10. */
  readonly initialWindow: number;
}

/** Segments of the initial window, RFC 6928 §2: min(10·MSS, max(2·MSS, 14600)). */
const INITIAL_WINDOW_BYTES = 14600;

export class Recovery {
  /** SACK blocks of the segment that `acked` is called for: `start, end` four times. Written by the core before. */
  readonly sacks = new Int32Array(8);
  /** How many blocks there are, 0 … 4; `acked` sets it to 0. */
  sackCount = 0;
  /** Bytes that are queued, not sent and within the peer's window; written by the core before `acked` (F-RTO sends new data). */
  unsentBytes = 0;

  private readonly shared: Shared;
  private readonly table = new RecoveryTable();
  private readonly segments: Segments;

  /** @param bounds `segmentsMax`: descriptors of sent ranges of all connections together, besides one for each connection. */
  constructor(shared: Shared, bounds: { readonly segmentsMax: number }) {
    this.shared = shared;
    this.segments = new Segments(this.table, bounds.segmentsMax);
  }

  /** Makes room for connections 0 … `connections` - 1. */
  grow(connections: number): void {
    this.table.grow(connections);
  }

  /** Begins connection `c`, whose SYN is acknowledged: `sndNxt` is the sequence number of the first byte of data. */
  start(c: number, sndNxt: number, mss: number, options: StartOptions): void {
    const { table } = this;
    table.clear(c);
    table.una[c] = sndNxt;
    table.nxt[c] = sndNxt;
    table.mss[c] = mss;
    table.ssthresh[c] = Infinity;
    table.initialWindow[c] = options.initialWindow;
    table.options[c] =
      (options.sack ? Option.Sack | Option.Rack : 0) |
      (options.timestamps ? Option.Timestamps : 0) |
      (options.ecn ? Option.Ecn : 0) |
      (options.algorithm === Algorithm.Cubic ? Option.Cubic : 0);
    table.cwnd[c] = this.initialCwnd(c);
    startRtt(table, c);
  }

  /** Ends connection `c` and frees its descriptors. */
  stop(c: number): void {
    this.segments.removeAll(c);
    this.table.clear(c);
  }

  /** Takes a round trip that was measured elsewhere, of the SYN, in µs. Call it after `start`. */
  sample(c: number, rttUs: number): void {
    sampleRtt(this.table, c, rttUs);
  }

  /** The SYN was retransmitted: RTO 3 s (RFC 6298 §5.7), initial window one segment (RFC 5681 §3.1). Call it after `start`, instead of `sample`. */
  synTimedOut(c: number): void {
    this.table.rtoUs[c] = RTO_US_AFTER_SYN_LOSS;
    this.table.cwnd[c] = this.table.mss[c]!;
    this.table.set(c, Mark.SynLost);
  }

  /** New data from `nxt` up to `end` was sent now. A FIN counts one. */
  sent(c: number, end: number): void {
    const { table } = this;
    this.segments.append(c, end, this.shared.nowUs);
    table.nxt[c] = end;
    if (table.deadlineUs[c] === Infinity) table.deadlineUs[c] = this.shared.nowUs + table.rtoUs[c]!;
  }

  /** Descriptor `seg`, which came from `nextLost` or `probeSegment`, was retransmitted now, whole. */
  resent(c: number, seg: number): void {
    const { table, segments } = this;
    if ((segments.flags[seg]! & Seg.Lost) !== 0) table.lostBytes[c] = table.lostBytes[c]! - segments.bytes(seg);
    segments.flags[seg] = (segments.flags[seg]! & ~Seg.Lost) | Seg.Resent;
    segments.stamp(c, seg, this.shared.nowUs);
  }

  /**
   * The next descriptor to be retransmitted now, within what window and PRR allow, or -1. It may be longer than a segment:
   * send it whole as one super-frame, or `split` it first. Call `resent` before asking again.
   */
  nextLost(c: number): number {
    const { segments } = this;
    const first = this.table.first[c]!;
    return first !== NO_SEGMENT && (segments.flags[first]! & Seg.Lost) !== 0 ? first : NO_SEGMENT;
  }

  /** The descriptor that a loss probe retransmits if there is no new data: the last one, at most one segment long; -1 if none is left. */
  probeSegment(c: number): number {
    return this.table.last[c]!;
  }

  /** First sequence number of a descriptor. */
  seqOf(seg: number): number {
    return this.segments.seq[seg]!;
  }

  /** Sequence number after a descriptor. */
  endOf(seg: number): number {
    return this.segments.end[seg]!;
  }

  /**
   * Shortens descriptor `seg` to its first `bytes` bytes; the rest becomes a descriptor of its own. False if it cannot, as
   * no descriptor is left; then the whole of it is to be sent, in several packets if need be.
   */
  split(c: number, seg: number, bytes: number): boolean {
    const { segments } = this;
    if (bytes >= segments.bytes(seg)) return true;
    return segments.split(c, seg, (segments.seq[seg]! + bytes) | 0) !== NO_SEGMENT;
  }

  /** Bytes of new data that may be sent now: what window, PRR and limited transmit allow. The core clips it by the peer's window. */
  allowance(c: number): number {
    return Math.max(0, this.table.cwnd[c]! - this.flight(c));
  }

  /**
   * An acceptable ACK came: `una` <= `ack` <= `nxt` (an older one is passed as `una`, for its DSACK). `sacks` and
   * `sackCount` hold its blocks, in the order of the option.
   *
   * @param flags bits of `AckFlag`.
   * @param tsecrUs the stack's time for which TSecr stands: when the segment that is echoed was sent, rounded down to the
   *   timestamp clock's tick of 1 ms.
   * @returns bits of `AckResult`.
   */
  acked(c: number, ack: number, _flags: number, _tsecrUs: number): number {
    const { table, segments } = this;
    this.sackCount = 0;
    if (((ack - table.una[c]!) | 0) <= 0) return 0;
    table.una[c] = ack;
    for (let s = table.first[c]!; s !== NO_SEGMENT; s = table.first[c]!) {
      if (((segments.end[s]! - ack) | 0) > 0) break;
      segments.remove(c, s);
    }
    const s = table.first[c]!;
    if (s !== NO_SEGMENT) segments.seq[s] = ack;
    table.deadlineUs[c] = s === NO_SEGMENT ? Infinity : this.shared.nowUs + table.rtoUs[c]!;
    return AckResult.Advanced;
  }

  /** When `fire` is due, for RTO, loss probe or reordering timer; `NEVER` if nothing is in flight. Changes with every call of `sent`, `resent`, `acked`, `fire`. */
  deadlineUs(c: number): number {
    return this.table.deadlineUs[c]!;
  }

  /** The deadline passed. Called early it returns `None`. The core counts `backoff(c)` against its limits R1 and R2. */
  fire(c: number): Action {
    const { table, segments } = this;
    if (this.shared.nowUs < table.deadlineUs[c]!) return Action.None;
    backOffRto(table, c);
    table.deadlineUs[c] = this.shared.nowUs + table.rtoUs[c]!;
    const first = table.first[c]!;
    if (first === NO_SEGMENT) return Action.None;
    segments.flags[first] = segments.flags[first]! | Seg.Lost;
    return Action.Retransmit;
  }

  /**
   * Says that the window kept the core from sending (or not). `sent` notices a full window by itself; this is for a core
   * that knows better. Without a full window the window does not grow (RFC 7661, RFC 9438 §5.8).
   */
  isCwndLimited(c: number, isLimited: boolean): void {
    if (isLimited) this.table.set(c, Mark.CwndLimited);
    else this.table.unset(c, Mark.CwndLimited);
  }

  /** RFC 5681 §4.1: after an idle time longer than the RTO the window is at most the initial window. Call it before new data is sent. */
  restartIfIdle(_c: number): void {}

  /** The path's MTU changed: `mss` bytes of data fit a segment from now on. */
  mssChanged(c: number, mss: number): void {
    this.table.mss[c] = mss;
  }

  /** Segments of the last size that are too long now are lost by RFC 1191 §6.5 without a sign of congestion: retransmits all that is longer than the mss. */
  retransmitLonger(_c: number): void {}

  /** The timeout as it is, backed off. */
  rtoUs(c: number): number {
    return this.table.rtoUs[c]!;
  }

  /** Timeouts since the last sample: how often the RTO was doubled. */
  backoff(c: number): number {
    return this.table.backoff[c]!;
  }

  /** 0: no sample yet. */
  srttUs(c: number): number {
    return this.table.srttUs[c]!;
  }

  rttvarUs(c: number): number {
    return this.table.rttvarUs[c]!;
  }

  /** The least round trip, `Infinity`: no sample yet. */
  minRttUs(c: number): number {
    return this.table.minRttUs[c]!;
  }

  cwnd(c: number): number {
    return this.table.cwnd[c]!;
  }

  /** `Infinity` before the first loss. */
  ssthresh(c: number): number {
    return this.table.ssthresh[c]!;
  }

  /** Bytes that are thought to be in the network: `pipe` of RFC 6675. */
  flight(c: number): number {
    const { table } = this;
    const out = (table.nxt[c]! - table.una[c]!) | 0;
    return out - table.sackedBytes[c]! - table.lostBytes[c]! - table.dupBytes[c]!;
  }

  /** True in fast recovery and after a timeout, until what was outstanding is acknowledged. */
  inRecovery(c: number): boolean {
    return this.table.phase[c]! >= Phase.Recovery;
  }

  /** RFC 3168 §6.1.2: a reduction as for a loss, at most once per window of data. `acked` does it by itself for `AckFlag.Ece`. */
  ecnReaction(_c: number): void {}

  /** True if the next new data is to carry CWR; then call `cwrSent`. */
  cwrPending(c: number): boolean {
    return this.table.has(c, Mark.CwrPending);
  }

  cwrSent(c: number): void {
    this.table.unset(c, Mark.CwrPending);
  }

  save(state: StateWriter): void {
    state.section('stack/tcp-recovery', 1);
    this.table.save(state);
    this.segments.save(state);
  }

  /** Replaces everything. `grow` for the rows that are loaded is done here. */
  load(state: StateReader): void {
    state.section('stack/tcp-recovery', 1);
    this.table.load(state, 1 << 20);
    this.segments.load(state);
  }

  private initialCwnd(c: number): number {
    const mss = this.table.mss[c]!;
    const segments = this.table.initialWindow[c]!;
    if (segments > 0) return segments * mss;
    return Math.min(10 * mss, Math.max(2 * mss, INITIAL_WINDOW_BYTES));
  }
}
