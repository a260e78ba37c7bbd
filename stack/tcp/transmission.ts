// What may be sent and retransmitted now, and the account of what was.

import { shiftEpoch } from './cubic.ts';
import type { Episodes } from './episodes.ts';
import { Frto, frtoAllowance } from './frto.ts';
import { prrSent } from './prr.ts';
import { markLost } from './rack.ts';
import { Mark, NO_SEGMENT, Option, Phase, type RecoveryTable, Timer } from './recovery-table.ts';
import type { Scoreboard } from './scoreboard.ts';
import { Seg, type Segments } from './segments.ts';
import { armTimer, restartRto } from './send-timer.ts';
import { probeSent } from './tlp.ts';

/** `pipe` of RFC 6675 §4: bytes that are thought to be in the network. */
export function pipeOf(table: RecoveryTable, c: number): number {
  const out = (table.nxt[c]! - table.una[c]!) | 0;
  return out - table.sackedBytes[c]! - table.lostBytes[c]! - table.dupBytes[c]!;
}

export class Transmission {
  private readonly table: RecoveryTable;
  private readonly segments: Segments;
  private readonly board: Scoreboard;
  private readonly episodes: Episodes;

  constructor(table: RecoveryTable, segments: Segments, board: Scoreboard, episodes: Episodes) {
    this.table = table;
    this.segments = segments;
    this.board = board;
    this.episodes = episodes;
  }

  /** New data up to `end` was sent. */
  sent(c: number, end: number, nowUs: number): void {
    const { table, segments } = this;
    const bytes = (end - table.nxt[c]!) | 0;
    if (bytes <= 0) return;
    if (table.una[c] === table.nxt[c]) {
      restartRto(table, c, nowUs);
      shiftEpoch(table, c, nowUs - table.ackedAtUs[c]!); // RFC 9438 §4.2: nothing was in flight
      table.ackedAtUs[c] = nowUs;
    }
    const last = table.last[c]!;
    // No descriptor was left: what the last one was marked as is forgotten, which is safe.
    if (last !== NO_SEGMENT && !segments.hasRoom) this.board.unmark(c, last);
    segments.append(c, end, nowUs);
    table.nxt[c] = end;
    table.sentAtUs[c] = nowUs;
    if (table.phase[c] === Phase.Recovery) prrSent(table, c, bytes);
    if (table.has(c, Mark.ProbeDue)) {
      probeSent(table, c, false);
      restartRto(table, c, nowUs);
    }
    if (pipeOf(table, c) + table.mss[c]! > table.cwnd[c]!) table.set(c, Mark.CwndLimited);
    else table.unset(c, Mark.CwndLimited);
    if (table.timer[c] !== Timer.Reorder) armTimer(table, c, nowUs, 0);
  }

  /** Descriptor `s` was retransmitted. */
  resent(c: number, s: number, nowUs: number): void {
    const { table, segments } = this;
    const bytes = segments.bytes(s);
    const isHead = table.first[c] === s;
    const isProbe = table.has(c, Mark.ProbeDue);
    if ((segments.flags[s]! & Seg.Lost) !== 0) table.lostBytes[c] = table.lostBytes[c]! - bytes;
    segments.flags[s] = (segments.flags[s]! & ~Seg.Lost) | Seg.Resent;
    segments.stamp(c, s, nowUs);
    if (segments.seq[s] === table.probeSeq[c]) table.unset(c, Mark.MtuProbe);
    if (isProbe) probeSent(table, c, true);
    else this.episodes.noteResent(c, bytes, nowUs);
    if (table.phase[c] === Phase.Recovery) prrSent(table, c, bytes);
    if (isHead) table.unset(c, Mark.HeadDue);
    // RFC 6298 §5 leaves open when a fast retransmit restarts the timer: it does for the first segment, which all wait for.
    if (isProbe || (isHead && !table.has(c, Mark.PartialSeen))) restartRto(table, c, nowUs);
    if (isProbe || table.timer[c] !== Timer.Reorder) armTimer(table, c, nowUs, 0);
  }

  /** RFC 6675 §4 NextSeg rule (1), with RFC 9937 §6.2 or slow start deciding how much; NO_SEGMENT if nothing. */
  nextLost(c: number): number {
    const { table } = this;
    if (table.has(c, Mark.HeadDue)) return this.headDue(c);
    if (table.frto[c] !== Frto.None) return NO_SEGMENT;
    const room = Math.floor(table.cwnd[c]! - pipeOf(table, c));
    if (table.lostBytes[c]! <= 0) return this.rescue(c, room);
    const s = this.firstLost(c);
    return s === NO_SEGMENT ? s : this.clip(c, s, room);
  }

  /** Bytes of new data that may be sent. What is lost goes first. */
  allowance(c: number): number {
    const { table, segments } = this;
    if (table.frto[c] !== Frto.None) return frtoAllowance(table, c);
    if (table.has(c, Mark.HeadDue)) return 0;
    if (!segments.hasRoom && this.isTailMarked(c)) return 0;
    const room = Math.floor(table.cwnd[c]! - pipeOf(table, c));
    if (room <= 0 || (table.lostBytes[c]! > 0 && this.firstLost(c) !== NO_SEGMENT)) return 0;
    return room - (room % table.mss[c]!); // whole segments, as the window is one of segments
  }

  /** RFC 8985 §7.3: the segment with the highest sequence number. */
  probeSegment(c: number): number {
    const { table, segments } = this;
    const s = table.last[c]!;
    if (s === NO_SEGMENT || segments.bytes(s) <= table.mss[c]!) return s;
    const rest = segments.split(c, s, (segments.end[s]! - table.mss[c]!) | 0);
    return rest === NO_SEGMENT ? s : rest;
  }

  /** RFC 1191 §6.5: everything in flight that is longer than the mss did not fit the path; that is no congestion. */
  markLonger(c: number): void {
    const { table, segments } = this;
    for (let s = table.first[c]!; s !== NO_SEGMENT; s = segments.next[s]!) {
      if ((segments.flags[s]! & (Seg.Sacked | Seg.Lost)) !== 0) continue;
      if (segments.bytes(s) > table.mss[c]!) markLost(table, segments, c, s);
    }
  }

  private headDue(c: number): number {
    const s = this.table.first[c]!;
    if (s !== NO_SEGMENT && (this.segments.flags[s]! & Seg.Lost) !== 0) return this.clip(c, s, this.table.mss[c]!);
    this.table.unset(c, Mark.HeadDue);
    return NO_SEGMENT;
  }

  /** The lost descriptor with the lowest sequence number. */
  private firstLost(c: number): number {
    const { table, segments } = this;
    let s = table.lostHint[c]!;
    if (s === NO_SEGMENT) s = table.first[c]!;
    while (s !== NO_SEGMENT && (segments.flags[s]! & Seg.Lost) === 0) s = segments.next[s]!;
    if (s !== NO_SEGMENT) table.lostHint[c] = s;
    return s;
  }

  /** `s`, shortened to whole segments within `room`; NO_SEGMENT if not even one fits. */
  private clip(c: number, s: number, room: number): number {
    const { table, segments } = this;
    const mss = table.mss[c]!;
    const bytes = segments.bytes(s);
    if (room >= bytes) return s;
    if (room < mss) return NO_SEGMENT;
    segments.split(c, s, (segments.seq[s]! + room - (room % mss)) | 0);
    return s;
  }

  /** NextSeg rule (4), once in a recovery without RACK: the last segment again, so that the SACKs go on. */
  private rescue(c: number, room: number): number {
    const { table, segments } = this;
    if (table.phase[c] !== Phase.Recovery || table.can(c, Option.Rack) || !table.can(c, Option.Sack)) return NO_SEGMENT;
    if (room < table.mss[c]! || (table.state[c]! & (Mark.Rescued | Mark.HasUnsent)) !== 0) return NO_SEGMENT;
    table.set(c, Mark.Rescued);
    const s = this.probeSegment(c);
    return s !== NO_SEGMENT && (segments.flags[s]! & (Seg.Sacked | Seg.Resent)) === 0 ? s : NO_SEGMENT;
  }

  private isTailMarked(c: number): boolean {
    const s = this.table.last[c]!;
    return s !== NO_SEGMENT && (this.segments.flags[s]! & (Seg.Sacked | Seg.Lost)) !== 0;
  }
}
