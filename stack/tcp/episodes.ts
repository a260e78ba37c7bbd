// Episodes of congestion: how they begin, what they do to window and threshold, how they end, and how they are undone.

import type { StateReader, StateWriter } from '../../core/state.ts';
import { congestionOf, reduceThreshold } from './congestion.ts';
import type { Delivery } from './delivery.ts';
import { Frto, startFrto } from './frto.ts';
import { startPrr } from './prr.ts';
import { rackTimedOut, settleReordering } from './rack.ts';
import { Mark, Option, Phase, type RecoveryTable } from './recovery-table.ts';
import type { Scoreboard } from './scoreboard.ts';
import { Seg, type Segments } from './segments.ts';
import { Before, NO_UNDO } from './undo-table.ts';

const EPISODE_MARKS = Mark.MtuProbe | Mark.Rescued | Mark.PartialSeen | Mark.Probed | Mark.ProbeDue | Mark.ProbeIsCopy;

export class Episodes {
  /** Totals of all connections. */
  recoveries = 0;
  timeouts = 0;
  undos = 0;
  reductions = 0; // by ECN, and by losses that a probe repaired

  private readonly table: RecoveryTable;
  private readonly segments: Segments;
  private readonly board: Scoreboard;

  constructor(table: RecoveryTable, segments: Segments, board: Scoreboard) {
    this.table = table;
    this.segments = segments;
    this.board = board;
  }

  /** Fast recovery begins. `out`: FlightSize before the ACK; `flight`: the same without what was SACKed before it. */
  enterRecovery(c: number, out: number, flight: number): void {
    const { table } = this;
    this.recoveries++;
    if (table.phase[c] === Phase.Open) {
      this.remember(c);
      // RFC 5681 §3.2 step 2 and RFC 6675 §5 (4.2): Reno does not count what limited transmit sent beyond the window. RFC 9438
      // §4.6 takes FlightSize as it is; at windows of a few segments that is what lets CUBIC live with 5 % of loss.
      const isCubic = table.can(c, Option.Cubic);
      reduceThreshold(table, c, isCubic ? out : Math.min(out, Math.max(table.cwnd[c]!, table.mss[c]!)));
    } else {
      table.unset(c, Mark.Undoable); // it was reduced in this window already, for another reason
    }
    table.unset(c, EPISODE_MARKS);
    table.phase[c] = Phase.Recovery;
    table.recover[c] = table.nxt[c]!;
    table.lossRecover[c] = table.nxt[c]!;
    startPrr(table, c, flight);
    this.askForCwr(c);
  }

  /** Congestion without anything to retransmit: RFC 3168 §6.1.2, RFC 8985 §7.4. At most once in a window of data. */
  reduce(c: number, out: number): void {
    const { table } = this;
    if (table.phase[c] !== Phase.Open) return;
    this.reductions++;
    table.unset(c, Mark.Undoable);
    reduceThreshold(table, c, out);
    table.cwnd[c] = Math.min(table.cwnd[c]!, table.ssthresh[c]!);
    table.phase[c] = Phase.Reduced;
    table.recover[c] = table.nxt[c]!;
    this.askForCwr(c);
  }

  /** The retransmission timer expired: RFC 5681 §3.1 eq. 4 and 5, RFC 6675 §5.1, RFC 8985 §6.3, RFC 9438 §4.8. */
  timeOut(c: number, nowUs: number): void {
    const { table, segments } = this;
    this.timeouts++;
    const before = table.phase[c]!;
    if (before < Phase.Recovery) {
      this.remember(c);
      if (before === Phase.Reduced) table.unset(c, Mark.Undoable);
      else reduceThreshold(table, c, (table.nxt[c]! - table.una[c]!) | 0);
    }
    congestionOf(table, c).timedOut(table, c);
    table.unset(c, EPISODE_MARKS);
    table.set(c, Mark.HeadDue);
    table.phase[c] = Phase.Loss;
    table.recover[c] = table.nxt[c]!;
    table.lossRecover[c] = table.nxt[c]!;
    table.cwnd[c] = table.mss[c]!;
    table.dupBytes[c] = 0;
    table.dupAcks[c] = 0;
    this.askForCwr(c);
    // RFC 2018 §8: a first segment that was SACKed and is not acknowledged was dropped by the peer.
    const isReneged = (segments.flags[table.first[c]!]! & Seg.Sacked) !== 0;
    if (isReneged) this.board.forgetSacks(c);
    if (isReneged || !table.can(c, Option.Rack)) this.board.markAllLost(c);
    else rackTimedOut(table, segments, c, nowUs);
    if (before < Phase.Recovery && !isReneged) startFrto(table, c);
    else table.frto[c] = Frto.None;
  }

  /** Ends the episode if all that was outstanding at its beginning is acknowledged. Returns true if it was a recovery. */
  leave(c: number): boolean {
    const { table } = this;
    const phase = table.phase[c]!;
    if (phase === Phase.Open || ((table.una[c]! - table.recover[c]!) | 0) < 0) return false;
    table.phase[c] = Phase.Open;
    table.frto[c] = Frto.None;
    table.unset(c, Mark.HeadDue);
    if (phase === Phase.Reduced) return false;
    if (phase === Phase.Recovery) table.cwnd[c] = table.ssthresh[c]!; // RFC 9937 §6.3
    table.dupBytes[c] = 0;
    settleReordering(table, c);
    return true;
  }

  /** RFC 3522: the ACK answers the original, not the first retransmission. */
  isEchoOfOriginal(c: number, delivery: Delivery): boolean {
    const { table } = this;
    const marks = Mark.Undoable | Mark.Timestamped;
    return (table.state[c]! & marks) === marks && delivery.echoesBefore(table.firstResentUs[c]!);
  }

  /** RFC 3708: true if every retransmission of the episode turned out to be a duplicate, by the DSACK of this ACK. */
  isAllDuplicate(c: number, delivery: Delivery): boolean {
    const { table } = this;
    if (delivery.dsackBytes === 0 || !table.has(c, Mark.Undoable)) return false;
    const { before } = table;
    const row = table.undoRow[c]!;
    if (before.get(row, Before.Bytes) === 0) return false;
    const left = Math.max(0, before.get(row, Before.Bytes) - delivery.dsackBytes);
    before.set(row, Before.Bytes, left);
    return left === 0;
  }

  /** The episode was about nothing: window, threshold and CUBIC's state are as before it (RFC 4015 §4, RFC 9438 §4.9). */
  undo(c: number): void {
    const { table } = this;
    this.undos++;
    const { before } = table;
    const row = table.undoRow[c]!;
    table.cwnd[c] = Math.max(table.cwnd[c]!, before.get(row, Before.Cwnd));
    table.ssthresh[c] = before.get(row, Before.Ssthresh);
    table.cubicMax[c] = before.get(row, Before.CubicMax);
    table.cubicPrior[c] = before.get(row, Before.CubicPrior);
    table.cubicKUs[c] = before.get(row, Before.CubicKUs);
    table.cubicEpochUs[c] = before.get(row, Before.CubicEpochUs);
    table.cubicOrigin[c] = before.get(row, Before.CubicOrigin);
    table.cubicReno[c] = before.get(row, Before.CubicReno);
    if (table.phase[c]! >= Phase.Recovery) settleReordering(table, c);
    this.board.forgetLosses(c);
    table.phase[c] = Phase.Open;
    table.frto[c] = Frto.None;
    table.dupBytes[c] = 0;
    table.unset(c, Mark.Undoable | Mark.HeadDue | Mark.Timestamped);
  }

  /** A descriptor of `bytes` bytes was retransmitted in the episode. */
  noteResent(c: number, bytes: number, nowUs: number): void {
    const { table } = this;
    if (!table.has(c, Mark.Undoable)) return;
    const { before } = table;
    const row = table.undoRow[c]!;
    before.set(row, Before.Bytes, before.get(row, Before.Bytes) + bytes);
    if (table.has(c, Mark.Timestamped)) return;
    table.firstResentUs[c] = nowUs;
    table.set(c, Mark.Timestamped);
  }

  save(state: StateWriter): void {
    state.number(this.recoveries).number(this.timeouts).number(this.undos).number(this.reductions);
  }

  load(state: StateReader): void {
    this.recoveries = state.number();
    this.timeouts = state.number();
    this.undos = state.number();
    this.reductions = state.number();
  }

  private remember(c: number): void {
    const { table } = this;
    const { before } = table;
    if (table.undoRow[c] === NO_UNDO) table.undoRow[c] = before.take();
    const row = table.undoRow[c]!;
    before.set(row, Before.Cwnd, table.cwnd[c]!);
    before.set(row, Before.Ssthresh, table.ssthresh[c]!);
    before.set(row, Before.CubicMax, table.cubicMax[c]!);
    before.set(row, Before.CubicPrior, table.cubicPrior[c]!);
    before.set(row, Before.CubicKUs, table.cubicKUs[c]!);
    before.set(row, Before.CubicEpochUs, table.cubicEpochUs[c]!);
    before.set(row, Before.CubicOrigin, table.cubicOrigin[c]!);
    before.set(row, Before.CubicReno, table.cubicReno[c]!);
    before.set(row, Before.Bytes, 0);
    table.unset(c, Mark.Timestamped); // RFC 3522 §3.2 step 2: of an episode's retransmissions the first counts
    table.set(c, Mark.Undoable);
  }

  private askForCwr(c: number): void {
    if (this.table.can(c, Option.Ecn)) this.table.set(c, Mark.CwrPending);
  }
}
