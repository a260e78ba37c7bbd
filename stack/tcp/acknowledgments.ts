// What an ACK means: samples, deliveries, losses, episodes, growth; in this order.

import { growWindow } from './congestion.ts';
import { shiftEpoch } from './cubic.ts';
import { Delivery } from './delivery.ts';
import type { Episodes } from './episodes.ts';
import { Frto, frtoAck } from './frto.ts';
import { countDuplicate, settleDuplicates } from './new-reno.ts';
import { prrAck } from './prr.ts';
import { noteDsackRound, rackDetectLoss } from './rack.ts';
import { Mark, NO_SEGMENT, Option, Phase, type RecoveryTable } from './recovery-table.ts';
import { sampleRtt } from './rtt.ts';
import type { Scoreboard } from './scoreboard.ts';
import { Seg, type Segments } from './segments.ts';
import { armTimer, restartRto } from './send-timer.ts';
import { probeAcked } from './tlp.ts';
import { pipeOf } from './transmission.ts';

/** What `acked` is told about the segment, as bits. */
export const AckFlag = {
  IsData: 1, // it carried data, SYN or FIN, so it is no duplicate ACK
  WindowChanged: 2, // it changed the send window, so it is no duplicate ACK (RFC 5681 §2)
  Ece: 4, // RFC 3168: ECN was negotiated and ECE is set, SYN is not
  HasTimestamp: 8, // `tsecrUs` is valid
} as const;

/** What `acked` did, as bits. */
export const AckResult = {
  Advanced: 1, // new data was acknowledged
  Duplicate: 2, // a duplicate ACK by RFC 5681 §2, or one that brought new SACK information
  EnteredRecovery: 4,
  LeftRecovery: 8, // everything that was outstanding at the loss is acknowledged
  Undone: 16, // the retransmission was spurious; window and threshold are as before
  LossFound: 32, // `nextLost` may return something
} as const;

/** SACK blocks as the core writes them: `start, end` up to four times. */
export interface Blocks {
  readonly sacks: Int32Array;
  sackCount: number;
  unsentBytes: number;
}

export class Acknowledgments {
  private readonly table: RecoveryTable;
  private readonly segments: Segments;
  private readonly board: Scoreboard;
  private readonly episodes: Episodes;
  private readonly delivery = new Delivery();

  constructor(table: RecoveryTable, segments: Segments, board: Scoreboard, episodes: Episodes) {
    this.table = table;
    this.segments = segments;
    this.board = board;
    this.episodes = episodes;
  }

  /** See `Recovery.acked`. */
  acked(c: number, ack: number, flags: number, tsecrUs: number, blocks: Blocks, nowUs: number): number {
    const { table, delivery, episodes } = this;
    this.beginDelivery(c, ack, flags, tsecrUs, nowUs);
    const { bytes, out } = delivery;
    const isSack = table.can(c, Option.Sack);
    this.takeBlocks(c, blocks);
    const isPlain =
      bytes === 0 && out > 0 && blocks.sackCount === 0 && (flags & (AckFlag.IsData | AckFlag.WindowChanged)) === 0;
    if (bytes > 0) this.board.acknowledge(c, ack, delivery);
    this.takeSacks(c, blocks);
    this.takeRtt(c, bytes);

    const isThird = isPlain && !isSack && countDuplicate(table, c);
    if (bytes > 0 && !isSack) settleDuplicates(table, c, bytes);
    if (isSack) noteDsackRound(table, c, delivery.dsackBytes > 0);
    const isEce = (flags & AckFlag.Ece) !== 0 && table.can(c, Option.Ecn);
    if (probeAcked(table, c, delivery, isPlain) || isEce) episodes.reduce(c, out);

    const isDuplicate = delivery.isSacked || (isPlain && !isSack);
    let result = (bytes > 0 ? AckResult.Advanced : 0) | (isDuplicate ? AckResult.Duplicate : 0);
    result |= this.undoIfSpurious(c, bytes, isDuplicate, blocks.unsentBytes);
    if (episodes.leave(c)) result |= AckResult.LeftRecovery;
    const lost = table.lostBytes[c]!;
    const reorderUs = this.findLosses(c, bytes, isThird, nowUs);
    const isSafe = bytes > 0 && table.lostBytes[c] === lost;
    result |= this.enterIfLost(c, (result & AckResult.LeftRecovery) !== 0 ? 0 : lost);
    if (table.phase[c] === Phase.Recovery) prrAck(table, c, this.deliveredBytes(c), isSafe, pipeOf(table, c));
    const isStill = isEce || (result & AckResult.LeftRecovery) !== 0;
    this.grow(c, isStill ? 0 : bytes, out, nowUs);
    this.setTimer(c, bytes, reorderUs, nowUs, isDuplicate);
    return result | (table.lostBytes[c]! > 0 ? AckResult.LossFound : 0);
  }

  /** The reordering timer expired. Returns true if something is lost. */
  reorderExpired(c: number, nowUs: number): boolean {
    const { table } = this;
    this.delivery.out = (table.nxt[c]! - table.una[c]!) | 0;
    this.delivery.held = table.sackedBytes[c]!;
    const room = table.phase[c] === Phase.Recovery ? table.cwnd[c]! - pipeOf(table, c) : 0;
    const lost = table.lostBytes[c]!;
    const reorderUs = rackDetectLoss(table, this.segments, c, nowUs);
    this.enterIfLost(c, lost);
    // Nothing was delivered, so PRR lets no more out than before, but the retransmission itself.
    if (table.phase[c] === Phase.Recovery) table.cwnd[c] = pipeOf(table, c) + Math.max(room, table.mss[c]!);
    armTimer(table, c, nowUs, reorderUs);
    return table.lostBytes[c]! > 0;
  }

  /** Blocks of a peer that did not offer SACK do not count. */
  private takeBlocks(c: number, blocks: Blocks): void {
    const { table } = this;
    if (!table.can(c, Option.Sack)) blocks.sackCount = 0;
    if (blocks.unsentBytes > 0) table.set(c, Mark.HasUnsent);
    else table.unset(c, Mark.HasUnsent);
  }

  private beginDelivery(c: number, ack: number, flags: number, tsecrUs: number, nowUs: number): void {
    const { table, delivery } = this;
    delivery.begin(nowUs, (flags & AckFlag.HasTimestamp) !== 0, tsecrUs);
    delivery.out = (table.nxt[c]! - table.una[c]!) | 0;
    delivery.held = table.sackedBytes[c]! + table.dupBytes[c]!;
    delivery.bytes = Math.max(0, (ack - table.una[c]!) | 0);
    delivery.hasFack = table.has(c, Mark.HasFack);
    delivery.fack = table.rackFack[c]!;
    delivery.limit = table.frto[c] === Frto.None ? table.nxt[c]! : table.frtoNxt[c]!;
  }

  /** DeliveredData of RFC 9937 §6.2: how much less is outstanding and not SACKed than before the ACK. */
  private deliveredBytes(c: number): number {
    const { table, delivery } = this;
    const left = (table.nxt[c]! - table.una[c]!) | 0;
    return delivery.out - delivery.held - (left - table.sackedBytes[c]! - table.dupBytes[c]!);
  }

  /** RFC 2883 §4: the first block is a DSACK if it is acknowledged already, or within the second. */
  private takeSacks(c: number, blocks: Blocks): void {
    const { table, delivery } = this;
    const { sacks, sackCount } = blocks;
    blocks.sackCount = 0;
    if (sackCount === 0) return;
    const start = sacks[0]!;
    const end = sacks[1]!;
    const isBelow = ((end - table.una[c]!) | 0) <= 0;
    const isWithin = sackCount > 1 && ((start - sacks[2]!) | 0) >= 0 && ((sacks[3]! - end) | 0) >= 0;
    const isDsack = (isBelow || isWithin) && ((end - start) | 0) > 0;
    if (isDsack) {
      delivery.dsackBytes = (end - start) | 0;
      delivery.dsackEnd = end;
    }
    for (let i = isDsack ? 1 : 0; i < sackCount; i++) {
      this.board.selectivelyAcknowledge(c, sacks[2 * i]!, sacks[2 * i + 1]!, delivery);
    }
  }

  /**
   * RFC 6298 §3 (Karn), RFC 7323 §4.1: what was sent once is timed, and what was retransmitted by the echo of its timestamp.
   * An ACK of both answers the retransmission: what was sent once before it waited for that, behind the gap. With a DSACK
   * the echo is the original's, whose ACK got lost, and the copy's own time counts.
   */
  private takeRtt(c: number, bytes: number): void {
    const { table, delivery } = this;
    const { nowUs, resentAtUs } = delivery;
    table.lastRttUs[c] = delivery.newestRttUs;
    const isCopy = delivery.dsackBytes > 0 && resentAtUs > 0;
    let rttUs = delivery.firstRttUs;
    if (bytes > 0 && isCopy) rttUs = nowUs - resentAtUs >= table.minRttUs[c]! ? nowUs - resentAtUs : 0;
    else if (bytes > 0 && delivery.hasTimestamp && delivery.tsecrUs <= nowUs && (resentAtUs > 0 || rttUs === 0)) {
      rttUs = nowUs - delivery.tsecrUs;
    }
    if (rttUs > 0) sampleRtt(table, c, rttUs);
  }

  private undoIfSpurious(c: number, bytes: number, isDuplicate: boolean, unsent: number): number {
    const { table, delivery, episodes } = this;
    const isEcho = bytes > 0 && table.phase[c]! >= Phase.Recovery && episodes.isEchoOfOriginal(c, delivery);
    const isFrto =
      table.frto[c] !== Frto.None &&
      frtoAck(table, c, bytes, isDuplicate, unsent, delivery) &&
      table.has(c, Mark.Undoable);
    const isCopy = episodes.isAllDuplicate(c, delivery);
    if (!isEcho && !isFrto && !isCopy) return 0;
    episodes.undo(c);
    return AckResult.Undone;
  }

  /** Marks what this ACK shows to be lost; returns RACK's waiting time. */
  private findLosses(c: number, bytes: number, isThird: boolean, nowUs: number): number {
    const { table, segments, delivery } = this;
    if (table.can(c, Option.Rack)) return rackDetectLoss(table, segments, c, nowUs);
    if (table.can(c, Option.Sack)) {
      if (delivery.isSacked || table.phase[c] === Phase.Recovery) this.board.markBySacks(c);
      return 0;
    }
    // RFC 6582 §3.2 step 2, and step 3 on a partial acknowledgment, which PRR does not hold back.
    const isPartial = bytes > 0 && table.phase[c] === Phase.Recovery;
    if (isThird || isPartial) this.board.markHeadLost(c);
    if (isPartial) table.set(c, Mark.HeadDue);
    return 0;
  }

  /** Fast recovery begins if more than `known` bytes are lost: what is sent again for another reason is no congestion. */
  private enterIfLost(c: number, known: number): number {
    const { table, delivery } = this;
    if (table.lostBytes[c]! <= known || table.phase[c]! >= Phase.Recovery) return 0;
    if (table.has(c, Mark.MtuProbe) && this.isProbeAlone(c, table.lostBytes[c]! - known)) return 0;
    this.episodes.enterRecovery(c, delivery.out, delivery.out - delivery.held);
    return AckResult.EnteredRecovery;
  }

  /** RFC 4821 §7.5: of the `bytes` bytes that are lost now all are the probe's. The path was too narrow, not too full. */
  private isProbeAlone(c: number, bytes: number): boolean {
    const { table, segments } = this;
    let s = table.lostHint[c]!;
    while (s !== NO_SEGMENT && segments.seq[s] !== table.probeSeq[c]) s = segments.next[s]!;
    const isAlone = s !== NO_SEGMENT && (segments.flags[s]! & Seg.Lost) !== 0 && segments.bytes(s) === bytes;
    table.unset(c, Mark.MtuProbe);
    if (isAlone) table.set(c, Mark.MtuLost);
    return isAlone;
  }

  /** PRR in fast recovery; else growth, if the window was what limited the flight (RFC 7661 §4, RFC 9438 §5.8). */
  private grow(c: number, bytes: number, out: number, nowUs: number): void {
    const { table } = this;
    const idleUs = nowUs - table.ackedAtUs[c]!;
    table.ackedAtUs[c] = nowUs;
    if (bytes === 0 || table.phase[c] === Phase.Reduced || table.phase[c] === Phase.Recovery) return;
    const cwnd = table.cwnd[c]!;
    const isUsed = table.has(c, Mark.CwndLimited) || (cwnd < table.ssthresh[c]! && cwnd < 2 * out);
    if (isUsed) growWindow(table, c, bytes, nowUs);
    else shiftEpoch(table, c, idleUs);
  }

  private setTimer(c: number, bytes: number, reorderUs: number, nowUs: number, isDuplicate: boolean): void {
    const { table } = this;
    if (bytes > 0) {
      // RFC 6582 §4, the impatient variant: only the first partial ACK restarts the timer.
      const isPartial = table.phase[c] === Phase.Recovery && !table.can(c, Option.Sack);
      if (!isPartial || !table.has(c, Mark.PartialSeen)) restartRto(table, c, nowUs);
      if (isPartial) table.set(c, Mark.PartialSeen);
    }
    if (bytes > 0 || isDuplicate || reorderUs > 0) armTimer(table, c, nowUs, reorderUs);
  }
}
