// Loss recovery, congestion control and round-trip times of all TCP connections of a stack.
//
// Theory of operation. The core of TCP says what it sent (`sent`, `resent`), what the peer acknowledged (`acked`) and that
// the timer is due (`fire`); it asks what to retransmit (`nextLost`), how much new data may go (`allowance`) and until when
// to wait (`deadlineUs`). Nothing here reads or writes a packet.
//
//   recovery-table  a row of columns per connection      segments  descriptors of what is outstanding, one pool for all
//   acknowledgments an ACK, step by step:                transmission  what may be sent, and the account of what was
//     scoreboard    which descriptors it covers            send-timer  RTO, loss probe or reordering: one timer
//     rtt           RFC 6298                                tlp         RFC 8985 §7
//     rack          what is lost, RFC 8985 §6             congestion  new-reno, cubic (with hystart)
//     frto          was the timeout spurious, RFC 5682    prr         how fast in recovery, RFC 9937
//     episodes      begin, end and undo of a reduction
//
// A descriptor is what one call of `sent` named, up to a super-frame of 64 KiB; SACKs split it where they end, losses where
// the window ends. With SACK the losses are found by RACK; with `rack: false` by RFC 6675; without SACK by duplicate ACKs
// (RFC 6582), for which pipe and PRR take the place of window inflation. All of them end in descriptors marked Lost.
//
// Without loss every call is O(1) amortized and allocates nothing. State: the columns, nothing else.

import { StateError, type StateReader, type StateWriter } from '../../core/state.ts';
import { NEVER } from '../../core/time.ts';
import type { Shared } from '../shared.ts';
import { Acknowledgments } from './acknowledgments.ts';
import { rescaleCubic } from './cubic.ts';
import { Episodes } from './episodes.ts';
import { startHystart } from './hystart.ts';
import { startRack } from './rack.ts';
import { Mark, NO_SEGMENT, Option, Phase, RecoveryTable, Timer } from './recovery-table.ts';
import { backOffRto, noteMinRtt, RTO_US_AFTER_SYN_LOSS, sampleRtt, startRtt } from './rtt.ts';
import { Scoreboard } from './scoreboard.ts';
import { Segments } from './segments.ts';
import { armTimer, restartRto } from './send-timer.ts';
import { pipeOf, Transmission } from './transmission.ts';

export { AckFlag, AckResult } from './acknowledgments.ts';

/** What the core is to do after the send timer. */
export const Action = {
  None: 0, // nothing was due
  SendProbe: 1, // RFC 8985 §7.3: send one segment of new data, whatever `allowance` says, and call `sent`; if there is none, `resent(c, probeSegment(c))`
  Retransmit: 2, // segments are lost (by timeout: `backoff(c)` > 0, or by reordering timer): call `nextLost`
} as const;
export type Action = (typeof Action)[keyof typeof Action];

/** What became of a probe of a longer path. */
export const ProbeOutcome = {
  Pending: 0,
  Delivered: 1,
  Lost: 2, // alone, so the path is too narrow
  Unknown: 3, // with other segments or by a timeout, so it may have been congestion (RFC 4821 §7.5)
} as const;
export type ProbeOutcome = (typeof ProbeOutcome)[keyof typeof ProbeOutcome];

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
  /** False: losses by RFC 6675 instead of RFC 8985. */
  readonly rack?: boolean;
}

/** Segments of the initial window, RFC 6928 §2: min(10·MSS, max(2·MSS, 14600)). */
const INITIAL_WINDOW_BYTES = 14600;

// Ours.
const ROWS_MAX = 1 << 20;

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
  private readonly board: Scoreboard;
  private readonly episodes: Episodes;
  private readonly transmission: Transmission;
  private readonly acknowledgments: Acknowledgments;

  /** @param bounds `segmentsMax`: descriptors of sent ranges of all connections together, besides one for each connection. */
  constructor(shared: Shared, bounds: { readonly segmentsMax: number }) {
    this.shared = shared;
    const { table } = this;
    this.segments = new Segments(table, bounds.segmentsMax);
    this.board = new Scoreboard(table, this.segments);
    this.episodes = new Episodes(table, this.segments, this.board);
    this.transmission = new Transmission(table, this.segments, this.board, this.episodes);
    this.acknowledgments = new Acknowledgments(table, this.segments, this.board, this.episodes);
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
      (options.sack ? Option.Sack : 0) |
      (options.sack && options.rack !== false ? Option.Rack : 0) |
      (options.timestamps ? Option.Timestamps : 0) |
      (options.ecn ? Option.Ecn : 0) |
      (options.algorithm === Algorithm.Cubic ? Option.Cubic : 0);
    table.cwnd[c] = this.initialCwnd(c);
    table.recover[c] = (sndNxt - 1) | 0;
    table.lossRecover[c] = (sndNxt - 1) | 0;
    table.sentAtUs[c] = this.shared.nowUs;
    table.ackedAtUs[c] = this.shared.nowUs;
    table.cubicEpochUs[c] = -1;
    startRtt(table, c);
    startRack(table, c);
    startHystart(table, c);
  }

  /** Ends connection `c` and frees its descriptors. */
  stop(c: number): void {
    this.segments.removeAll(c);
    this.table.clear(c);
  }

  /** Takes a round trip that was measured elsewhere, of the SYN, in µs. Call it after `start`. */
  sample(c: number, rttUs: number): void {
    sampleRtt(this.table, c, rttUs);
    noteMinRtt(this.table, c, Math.max(1, rttUs), this.shared.nowUs); // RFC 8985 §6.2 step 1
  }

  /** The SYN was retransmitted: RTO 3 s (RFC 6298 §5.7), initial window one segment (RFC 5681 §3.1). Call it after `start`, instead of `sample`. */
  synTimedOut(c: number): void {
    this.table.rtoUs[c] = RTO_US_AFTER_SYN_LOSS;
    this.table.cwnd[c] = this.table.mss[c]!;
    this.table.set(c, Mark.SynLost);
  }

  /** New data from `nxt` up to `end` was sent now. A FIN counts one. */
  sent(c: number, end: number): void {
    this.transmission.sent(c, end, this.shared.nowUs);
  }

  /** Descriptor `seg`, which came from `nextLost` or `probeSegment`, was retransmitted now, whole. */
  resent(c: number, seg: number): void {
    this.transmission.resent(c, seg, this.shared.nowUs);
  }

  /**
   * The next descriptor to be retransmitted now, within what window and PRR allow, or -1. It may be longer than a segment:
   * send it whole as one super-frame, or `split` it first. Call `resent` before asking again.
   */
  nextLost(c: number): number {
    return this.transmission.nextLost(c);
  }

  /** The descriptor that a loss probe retransmits if there is no new data: the last one, at most one segment long; -1 if none is left. */
  probeSegment(c: number): number {
    return this.transmission.probeSegment(c);
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
    return this.transmission.allowance(c);
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
  acked(c: number, ack: number, flags: number, tsecrUs: number): number {
    return this.acknowledgments.acked(c, ack, flags, tsecrUs, this, this.shared.nowUs);
  }

  /** When `fire` is due, for RTO, loss probe or reordering timer; `NEVER` if nothing is in flight. Changes with every call of `sent`, `resent`, `acked`, `fire`. */
  deadlineUs(c: number): number {
    return this.table.deadlineUs[c]!;
  }

  /** The deadline passed. Called early it returns `None`. The core counts `backoff(c)` against its limits R1 and R2. */
  fire(c: number): Action {
    const { table } = this;
    const { nowUs } = this.shared;
    if (nowUs < table.deadlineUs[c]!) return Action.None;
    switch (table.timer[c]) {
      case Timer.Reorder:
        return this.acknowledgments.reorderExpired(c, nowUs) ? Action.Retransmit : Action.None;
      case Timer.Probe:
        table.set(c, Mark.ProbeDue);
        restartRto(table, c, nowUs);
        armTimer(table, c, nowUs, 0);
        return Action.SendProbe;
      case Timer.Rto:
        this.episodes.timeOut(c, nowUs);
        backOffRto(table, c);
        restartRto(table, c, nowUs);
        armTimer(table, c, nowUs, 0);
        return Action.Retransmit;
      default:
        table.deadlineUs[c] = NEVER;
        return Action.None;
    }
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
  restartIfIdle(c: number): void {
    const { table } = this;
    if (table.una[c] !== table.nxt[c] || this.shared.nowUs - table.sentAtUs[c]! <= table.rtoUs[c]!) return;
    table.cwnd[c] = Math.min(table.cwnd[c]!, this.initialCwnd(c));
  }

  /** The path's MTU changed: `mss` bytes of data fit a segment from now on. */
  mssChanged(c: number, mss: number): void {
    const { table } = this;
    rescaleCubic(table, c, table.mss[c]! / mss);
    table.mss[c] = mss;
    table.cwnd[c] = Math.max(table.cwnd[c]!, mss);
    table.ssthresh[c] = Math.max(table.ssthresh[c]!, 2 * mss);
  }

  /** The path's MTU fell, `mssChanged` was called: what is in flight and longer than the mss is to be sent again, which is no congestion (RFC 1191 §6.5). `nextLost` returns it. */
  retransmitLonger(c: number): void {
    this.transmission.markLonger(c);
  }

  /** What was sent last, from `seq` on, is a probe of a longer path: that it is lost alone is no congestion (RFC 4821 §7.5). */
  probing(c: number, seq: number): void {
    const { table } = this;
    table.probeSeq[c] = seq;
    table.probeEnd[c] = table.nxt[c]!;
    table.unset(c, Mark.MtuLost);
    table.set(c, Mark.MtuProbe);
  }

  /** What became of the probe. */
  probeOutcome(c: number): ProbeOutcome {
    const { table } = this;
    if (!table.has(c, Mark.MtuProbe)) return table.has(c, Mark.MtuLost) ? ProbeOutcome.Lost : ProbeOutcome.Unknown;
    return ((table.una[c]! - table.probeEnd[c]!) | 0) >= 0 ? ProbeOutcome.Delivered : ProbeOutcome.Pending;
  }

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

  /** When new data was sent last; at first when the connection began. */
  sentAtUs(c: number): number {
    return this.table.sentAtUs[c]!;
  }

  /** The least round trip, `Infinity`: no sample yet. */
  minRttUs(c: number): number {
    return this.table.minRttUs[c]!;
  }

  cwnd(c: number): number {
    return Math.floor(this.table.cwnd[c]!);
  }

  /** `Infinity` before the first loss. */
  ssthresh(c: number): number {
    return this.table.ssthresh[c]!;
  }

  /** Bytes that are thought to be in the network: `pipe` of RFC 6675. */
  flight(c: number): number {
    return pipeOf(this.table, c);
  }

  /** True in fast recovery and after a timeout, until what was outstanding is acknowledged. */
  inRecovery(c: number): boolean {
    return this.table.phase[c]! >= Phase.Recovery;
  }

  /** RFC 3168 §6.1.2: a reduction as for a loss, at most once per window of data. `acked` does it by itself for `AckFlag.Ece`. */
  ecnReaction(c: number): void {
    this.episodes.reduce(c, (this.table.nxt[c]! - this.table.una[c]!) | 0);
  }

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
    this.episodes.save(state);
  }

  /** Replaces everything. `grow` for the rows that are loaded is done here. */
  load(state: StateReader): void {
    state.section('stack/tcp-recovery', 1);
    this.table.load(state, ROWS_MAX);
    this.segments.load(state);
    this.episodes.load(state);
    for (let c = 0; c < this.table.rows; c++) {
      if (!this.segments.isSound(c))
        throw new StateError(`section stack/tcp-recovery: connection ${c} has broken lists`);
    }
  }

  /** Totals of all connections: fast recoveries, timeouts, episodes undone, reductions without retransmission. */
  totals(): { recoveries: number; timeouts: number; undos: number; reductions: number } {
    const { recoveries, timeouts, undos, reductions } = this.episodes;
    return { recoveries, timeouts, undos, reductions };
  }

  /** Descriptors in use, of all connections. */
  segmentsUsed(): number {
    return this.segments.used;
  }

  private initialCwnd(c: number): number {
    const mss = this.table.mss[c]!;
    const segments = this.table.initialWindow[c]!;
    if (segments > 0) return segments * mss;
    return Math.min(10 * mss, Math.max(2 * mss, INITIAL_WINDOW_BYTES));
  }
}
