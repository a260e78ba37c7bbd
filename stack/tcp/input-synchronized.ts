// RFC 9293 §3.10.7.4: segments of connections in SYN-RECEIVED and beyond, step by step in the order of the RFC.

import { Drop } from '../../core/drop.ts';
import { US_PER_S } from '../../core/time.ts';
import { Flag } from '../../wire/tcp.ts';
import { Errno } from '../errno.ts';
import { isBacklogFull } from './accept-queue.ts';
import { challenge } from './challenge.ts';
import { State } from './constants.ts';
import { type Core, Timer } from './core.ts';
import { startTimeWait, waitForFin } from './end.ts';
import { establish } from './establish.ts';
import { noteDuplicate } from './gaps.ts';
import { isAckAcceptable, isFinAcked, takeAck } from './input-ack.ts';
import { stateAfterFin, takeText } from './input-text.ts';
import { receiveWithheld } from './intercept.ts';
import { after, before, earlier } from './sequence.ts';
import { END, Is, Opt } from './table.ts';
import { sendAck, sendReset } from './transmit.ts';
import { receiveWindow } from './window.ts';

/** RFC 7323 §5.5: a timestamp this old says nothing. */
const PAWS_US_MAX = 24 * 86_400 * US_PER_S;

/** Takes the segment in hand, which is for `c`. */
export function receiveSynchronized(core: Core, c: number): Drop {
  const { col, segment } = core;
  if (core.has(c, Is.Withheld)) return receiveWithheld(core, c);
  const isReset = (segment.flags & Flag.Rst) !== 0;
  trimOwnSyn(core, c);
  if (!isReset && !passesPaws(core, c)) return Drop.TcpPaws;

  // First: the sequence number.
  if (!isAcceptable(core, c)) {
    if (!isReset) answerUnacceptable(core, c);
    return Drop.TcpSequence;
  }
  // Second: RST. Third, security, is not spoken.
  if (isReset) return takeReset(core, c);
  // Fourth: SYN.
  if ((segment.flags & Flag.Syn) !== 0) return takeSyn(core, c);
  // Fifth: ACK.
  if ((segment.flags & Flag.Ack) === 0) return Drop.TcpAck;
  col.heardUs[c] = core.shared.nowUs;
  col.keepCount[c] = 0;
  if (col.state[c] === State.SynReceived) {
    const drop = takeHandshake(core, c);
    if (drop !== Drop.None) return drop;
  }
  if (!isAckAcceptable(core, c)) {
    challenge(core, c);
    return Drop.TcpAck;
  }
  // Deviates from RFC 7323 §5.3 R3, which is earlier: what RFC 5961 §5 discards leaves no trace.
  noteTimestamp(core, c);
  takeAck(core, c);
  if (!afterAck(core, c)) return Drop.None;
  // Sixth: URG. Deviates from RFC 9293 §3.8.5: urgent data is data like any other, as RFC 6093 advises users to have it.
  return takeRest(core, c);
}

/** Seventh and eighth: text and FIN. */
export function takeRest(core: Core, c: number): Drop {
  const { col, segment } = core;
  const hasText = segment.dataBytes > 0;
  const state = col.state[c]!;
  if (!hasText && (segment.flags & Flag.Fin) === 0) return Drop.None;
  // In the other states the peer's FIN was taken, so nothing new can come.
  if (state === State.Established || state === State.FinWait1 || state === State.FinWait2) {
    if (hasText && isUnwanted(core, c)) {
      // RFC 9293 §3.6.1 (SHLD-3): nobody will ever read this, and the peer is to know.
      sendReset(core);
      core.finish(c, Errno.ECONNRESET);
      return Drop.TcpReset;
    }
    if (receiveWindow(core, c) === 0 && hasText) {
      // Table 6: no text is acceptable with a closed window, and the ACK that went with it was.
      sendAck(core, c);
      return Drop.TcpSequence;
    }
    const hadFin = core.has(c, Is.Eof);
    const drop = takeText(core, c);
    if (!hadFin && core.has(c, Is.Eof) && stateAfterFin(core, c, isFinAcked(core, c))) startTimeWait(core, c, true);
    return drop;
  }
  // A FIN that came again.
  sendAck(core, c);
  return Drop.None;
}

/** True if text came that nobody can read any more: the user closed. */
function isUnwanted(core: Core, c: number): boolean {
  const { col, segment } = core;
  if (!core.has(c, Is.Orphan)) return false;
  return after((segment.seq + segment.dataBytes) | 0, col.rcvNxt[c]!);
}

/**
 * RFC 9293 §3.5, figure 8: in a simultaneous open the peer's SYN comes again, with an ACK. Its sequence number is behind the
 * window, so by the letter it would only be answered; the answer goes out, and its ACK is taken too.
 */
function trimOwnSyn(core: Core, c: number): void {
  const { col, segment } = core;
  if (col.state[c] !== State.SynReceived || segment.seq !== col.irs[c]) return;
  if ((segment.flags & (Flag.Syn | Flag.Ack | Flag.Rst)) !== (Flag.Syn | Flag.Ack)) return;
  segment.seq = (segment.seq + 1) | 0;
  segment.flags &= ~Flag.Syn;
  core.ackSoon(c);
}

/** RFC 7323 §5.3 R1, §3.2: an old duplicate is answered with an ACK and dropped; without timestamps it is dropped. */
function passesPaws(core: Core, c: number): boolean {
  const { col, options, shared, segment } = core;
  if (!core.has(c, Is.Timestamps)) return true;
  if (!options.hasTimestamps) return (segment.flags & Flag.Syn) !== 0;
  if (((options.tsVal - col.tsRecent[c]!) | 0) >= 0) return true;
  if (shared.nowUs - col.tsRecentUs[c]! > PAWS_US_MAX) return true;
  sendAck(core, c);
  return false;
}

/** RFC 7323 §4.3 (2): TS.Recent follows segments that span Last.ACK.sent; after 24 days any. */
export function noteTimestamp(core: Core, c: number): void {
  const { col, options, segment, shared } = core;
  if (!options.hasTimestamps || !core.has(c, Is.Timestamps)) return;
  if (after(segment.seq, col.lastAck[c]!)) return;
  const isOld = ((options.tsVal - col.tsRecent[c]!) | 0) < 0;
  if (isOld && shared.nowUs - col.tsRecentUs[c]! <= PAWS_US_MAX) return;
  col.tsRecent[c] = options.tsVal;
  col.tsRecentUs[c] = shared.nowUs;
}

/** RFC 9293 §3.10.7.4, table 6. With a closed window the segment at RCV.NXT goes on, for its ACK; its text does not. */
function isAcceptable(core: Core, c: number): boolean {
  const { col, segment } = core;
  const { seq, flags } = segment;
  const length = segment.dataBytes + ((flags & Flag.Syn) !== 0 ? 1 : 0) + ((flags & Flag.Fin) !== 0 ? 1 : 0);
  const offset = (seq - col.rcvNxt[c]!) | 0;
  const window = receiveWindow(core, c);
  if (window === 0) return offset === 0;
  if (offset >= 0 && offset < window) return true;
  // A part of it is in the window; also if it is longer than the window on both sides.
  return length > 0 && offset < 0 && offset + length > 0;
}

/** Sends `<SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK>`; what carries nothing is answered so many times a second only (RFC 5961 §7). */
function answerUnacceptable(core: Core, c: number): void {
  const { col, segment } = core;
  const isOwnSyn = (segment.flags & (Flag.Syn | Flag.Ack)) === Flag.Syn && segment.seq === col.irs[c];
  if (col.state[c] === State.SynReceived && isOwnSyn && core.has(c, Is.Passive)) {
    // The SYN-ACK is an ACK too, and what the peer waits for if ours was lost.
    core.set(c, Is.SynDue);
    core.touch(c);
    return;
  }
  if (segment.dataBytes === 0 && (segment.flags & Flag.Fin) === 0) {
    challenge(core, c);
    return;
  }
  const end = (segment.seq + segment.dataBytes) | 0;
  if (before(segment.seq, col.rcvNxt[c]!)) noteDuplicate(core, c, segment.seq, earlier(end, col.rcvNxt[c]!));
  sendAck(core, c);
}

/** RFC 5961 §3.2: only the exact sequence number resets; another in the window is challenged. */
function takeReset(core: Core, c: number): Drop {
  const { col, segment } = core;
  if (segment.seq !== col.rcvNxt[c]) {
    challenge(core, c);
    return Drop.TcpReset;
  }
  const state = col.state[c]!;
  if (state === State.SynReceived) core.finish(c, passiveError(core, c, Errno.ECONNRESET, Errno.ECONNREFUSED));
  else if (state === State.Closing || state === State.LastAck) core.finish(c, 0);
  else core.finish(c, Errno.ECONNRESET);
  return Drop.None;
}

/** The error of an opening that failed: a passive one has none unless somebody has it already. */
function passiveError(core: Core, c: number, passive: number, active: number): number {
  if (!core.has(c, Is.Passive)) return active;
  return core.has(c, Is.Owned) ? passive : 0;
}

/** RFC 9293 §3.10.7.4, fourth: back to LISTEN from SYN-RECEIVED; else RFC 5961 §4.2, a challenge whatever its number. */
function takeSyn(core: Core, c: number): Drop {
  if (core.col.state[c] === State.SynReceived && core.has(c, Is.Passive)) core.finish(c, 0);
  else challenge(core, c);
  return Drop.TcpReset;
}

/** Fifth, SYN-RECEIVED: the ACK of our SYN, or a reset. A full accept queue waits for the ACK to come again. */
function takeHandshake(core: Core, c: number): Drop {
  const { col, segment } = core;
  if (!after(segment.ack, col.sndUna[c]!) || after(segment.ack, col.sndNxt[c]!)) {
    sendReset(core);
    return Drop.TcpAck;
  }
  const listener = col.listener[c]!;
  if (listener !== END && !core.has(c, Is.Queued)) {
    if (isBacklogFull(core, listener)) return Drop.TcpBacklog;
    if (core.opted(c, Opt.DeferAccept) && segment.dataBytes === 0) core.cancelTimer(c, Timer.Ack);
  }
  col.sndUna[c] = (col.iss[c]! + 1) | 0;
  col.sndWnd[c] = segment.window << col.sndWs[c]!;
  col.sndMaxWnd[c] = Math.max(col.sndMaxWnd[c]!, col.sndWnd[c]!);
  col.sndWl1[c] = segment.seq;
  col.sndWl2[c] = segment.ack;
  establish(core, c);
  // The user of a connection that was opened by SYNs that crossed may have closed it meanwhile.
  if (core.has(c, Is.FinDue)) core.enter(c, State.FinWait1);
  return Drop.None;
}

/** Fifth, the states in which our FIN is out. False if the connection is over. */
function afterAck(core: Core, c: number): boolean {
  const { col } = core;
  if (!isFinAcked(core, c)) return true;
  const state = col.state[c]!;
  if (state === State.FinWait1) {
    core.enter(c, State.FinWait2);
    waitForFin(core, c);
    core.tell(c);
  } else if (state === State.Closing) {
    startTimeWait(core, c, false);
    return false;
  } else if (state === State.LastAck) {
    core.finish(c, 0);
    return false;
  }
  return true;
}
