// RFC 9293 §3.10.7.4, seventh and eighth: the text of a segment goes into the receive ring, in order or behind a gap; the FIN.

import { Drop } from '../../core/drop.ts';
import { Flag } from '../../wire/tcp.ts';
import { enqueue } from './accept-queue.ts';
import { ANSWER_US, DELAYED_ACK_US, FULL_SEGMENT_BYTES_MIN, QUICK_ACKS, State } from './constants.ts';
import { type Core, Timer } from './core.ts';
import { addGap, closeGaps, lastGapEnd, noteDuplicate } from './gaps.ts';
import { growReceiveRing, powerOfTwo, storeInRing } from './ring.ts';
import { after, earlier } from './sequence.ts';
import { Is, Opt } from './table.ts';
import { sendAck } from './transmit.ts';
import { receiveWindow } from './window.ts';

const CE = 3; // RFC 3168 §5

/** Takes text and FIN of the segment in hand, whose sequence numbers are acceptable. */
export function takeText(core: Core, c: number): Drop {
  const { col, segment } = core;
  let { seq, dataBytes: bytes, dataAt: at } = segment;
  let hasFin = (segment.flags & Flag.Fin) !== 0;
  if (bytes > 0) {
    // What is owed for earlier segments would have gone at the next poll, with the window that the user makes by reading.
    if (core.has(c, Is.AckDue) && isMuchOwed(core, c)) sendAck(core, c);
    noteCongestion(core, c);
  }

  // Trim what came before …
  const old = (col.rcvNxt[c]! - seq) | 0;
  if (old > 0 && bytes > 0) {
    noteDuplicate(core, c, seq, earlier((seq + bytes) | 0, col.rcvNxt[c]!));
    core.set(c, Is.AckDue);
    const cut = Math.min(old, bytes);
    seq = (seq + cut) | 0;
    at += cut;
    bytes -= cut;
  }
  // … and what is beyond the window, the FIN with it.
  const over = (seq + bytes - limit(core, c)) | 0;
  if (over > 0) {
    bytes = Math.max(0, bytes - over);
    hasFin = false;
    core.set(c, Is.AckDue);
  }
  const hadGap = col.gapsCount[c]! > 0;
  const before = col.rcvNxt[c]!;
  let drop: Drop = Drop.None;
  if (bytes > 0) drop = store(core, c, seq, at, bytes);
  if (hasFin && drop === Drop.None) noteFin(core, c, (segment.seq + segment.dataBytes) | 0);
  if (col.rcvNxt[c] !== before) arrived(core, c);
  if (core.has(c, Is.PeerFin) && col.rcvNxt[c] === col.rcvFin[c]) takeFin(core, c);
  else acknowledge(core, c, seq !== before || hadGap || col.gapsCount[c]! > 0, segment.dataBytes > 0);
  return drop;
}

/** RFC 3168 §6.1.3: CE is echoed until CWR comes. A change is told at once. */
function noteCongestion(core: Core, c: number): void {
  if (!core.has(c, Is.Ecn)) return;
  const echoed = core.has(c, Is.EcnEcho);
  if ((core.segment.flags & Flag.Cwr) !== 0) core.unset(c, Is.EcnEcho);
  if ((core.shared.packet.trafficClass & CE) === CE) core.set(c, Is.EcnEcho);
  if (core.has(c, Is.EcnEcho) !== echoed) core.set(c, Is.AckDue);
}

/** Where the window and the ring end. */
function limit(core: Core, c: number): number {
  const { col } = core;
  const window = (col.rcvNxt[c]! + receiveWindow(core, c)) | 0;
  if (core.has(c, Is.ReadShut)) return window;
  return earlier(window, (col.rcvRead[c]! + powerOfTwo(col.rcvMax[c]!)) | 0);
}

/** Stores text that begins at or after RCV.NXT. */
function store(core: Core, c: number, seq: number, at: number, bytes: number): Drop {
  const { col } = core;
  const end = (seq + bytes) | 0;
  const next = col.rcvNxt[c]!;
  if (core.has(c, Is.PeerFin) && after(end, col.rcvFin[c]!)) return Drop.TcpSequence; // nothing follows a FIN
  const full = core.shared.packet.segmentBytes > 0 ? core.shared.packet.segmentBytes : bytes;
  if (full > col.rcvSegment[c]!) col.rcvSegment[c] = full;
  const last = col.gapsCount[c]! > 0 ? lastGapEnd(core, c) : next;
  const kept = (last - col.rcvRead[c]!) | 0;
  if (!growReceiveRing(core, c, col.rcvRead[c]!, kept, (end - col.rcvRead[c]!) | 0)) return Drop.TcpMemory;
  if (seq !== next && !addGap(core, c, seq, end)) return Drop.TcpMemory;
  storeInRing(core, col.rcvAt[c]!, col.rcvSize[c]!, seq, at, bytes);
  if (seq === next) col.rcvNxt[c] = col.gapsCount[c]! > 0 ? closeGaps(core, c, end) : end;
  return Drop.None;
}

/** There is something to read. */
function arrived(core: Core, c: number): void {
  const { col } = core;
  if (core.has(c, Is.ReadShut)) col.rcvRead[c] = col.rcvNxt[c]!;
  if (core.has(c, Is.Passive) && core.opted(c, Opt.DeferAccept)) enqueue(core, c);
  core.tell(c);
}

/** Keeps where the peer's FIN is; it is taken when all before it has come, however often it comes. */
function noteFin(core: Core, c: number, seq: number): void {
  if (core.has(c, Is.PeerFin | Is.Eof)) return;
  core.set(c, Is.PeerFin);
  core.col.rcvFin[c] = seq;
}

/** RFC 9293 §3.10.7.4, eighth: RCV.NXT goes over the FIN, which is acknowledged at once. The state is the caller's. */
function takeFin(core: Core, c: number): void {
  const { col } = core;
  col.rcvNxt[c] = (col.rcvNxt[c]! + 1) | 0;
  core.unset(c, Is.PeerFin);
  core.set(c, Is.Eof);
  core.ackSoon(c);
  if (core.has(c, Is.Passive) && core.opted(c, Opt.DeferAccept)) enqueue(core, c);
  core.tell(c);
}

/**
 * RFC 9293 §3.8.6.3, RFC 5681 §4.2: at once for what is out of order or fills a gap, for every second full segment, and at
 * the start; also for a quarter of the buffer, without which a small one stands still, and for a short segment, which ends
 * what the peer has to send, unless our user is about to answer. Else within `DELAYED_ACK_US`, so that it may go with data.
 */
function acknowledge(core: Core, c: number, isOutOfOrder: boolean, hasText: boolean): void {
  const { col } = core;
  if (!hasText) return;
  const isMuch = isMuchOwed(core, c);
  // The peer's window is small after a loss, as at the start.
  if (isOutOfOrder) col.quickAcks[c] = QUICK_ACKS;
  const isQuick = col.quickAcks[c]! > 0;
  if (col.quickAcks[c]! > 0) col.quickAcks[c] = col.quickAcks[c]! - 1;
  if (isOutOfOrder || (core.has(c, Is.AckDue) && !isMuch)) sendAck(core, c);
  else if (isMuch || isLastForNow(core, c)) core.ackSoon(c);
  else if (isQuick) core.ackSoon(c);
  else if (!core.isTimerSet(c, Timer.Ack)) core.setTimer(c, Timer.Ack, core.shared.nowUs + DELAYED_ACK_US);
}

/** Two full segments, or a quarter of the buffer. */
function isMuchOwed(core: Core, c: number): boolean {
  const { col } = core;
  const full = Math.max(col.rcvSegment[c]!, Math.min(FULL_SEGMENT_BYTES_MIN, col.ourMss[c]!));
  return ((col.rcvNxt[c]! - col.lastAck[c]!) | 0) >= Math.min(2 * full, col.rcvMax[c]! >> 2);
}

/** True if the segment in hand is shorter than the peer's full ones, and our user sent nothing lately. */
function isLastForNow(core: Core, c: number): boolean {
  const { col, segment, shared, recovery } = core;
  const isShort = col.rcvSegment[c]! >= FULL_SEGMENT_BYTES_MIN && segment.dataBytes < col.rcvSegment[c]!;
  return isShort && shared.nowUs - recovery.sentAtUs(c) >= ANSWER_US;
}

/** The state after the peer's FIN was taken; true if the connection is to enter TIME-WAIT. */
export function stateAfterFin(core: Core, c: number, isOurFinAcked: boolean): boolean {
  const state = core.col.state[c]!;
  if (state === State.Established || state === State.SynReceived) core.enter(c, State.CloseWait);
  else if (state === State.FinWait1 && !isOurFinAcked) core.enter(c, State.Closing);
  else return state === State.FinWait1 || state === State.FinWait2;
  return false;
}
