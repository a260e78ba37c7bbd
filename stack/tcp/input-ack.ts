// RFC 9293 §3.10.7.4, fifth: the ACK field, of a connection that is synchronized; the send window; the retransmission queue.

import { NONE } from '../../core/slab.ts';
import { US_PER_MS } from '../../core/time.ts';
import { Flag } from '../../wire/tcp.ts';
import { tuneSend } from './autotune.ts';
import { type Core, Timer } from './core.ts';
import { AckFlag } from './recovery.ts';
import { restSendRing } from './ring.ts';
import { after, before } from './sequence.ts';
import { Is } from './table.ts';

const TICK_US = US_PER_MS;

/** RFC 5961 §5: SND.UNA - MAX.SND.WND =< SEG.ACK =< SND.NXT. */
export function isAckAcceptable(core: Core, c: number): boolean {
  const { col, segment } = core;
  if (core.has(c, Is.Probed) && segment.ack === ((col.sndNxt[c]! + 1) | 0)) takeProbe(core, c);
  if (after(segment.ack, col.sndNxt[c]!)) return false;
  return !before(segment.ack, (col.sndUna[c]! - col.sndMaxWnd[c]!) | 0);
}

/** The peer took the byte of a zero-window probe: it counts as sent. */
function takeProbe(core: Core, c: number): void {
  const { col } = core;
  col.sndNxt[c] = (col.sndNxt[c]! + 1) | 0;
  core.unset(c, Is.Probed);
  core.recovery.sent(c, col.sndNxt[c]!);
}

/** Takes an acceptable ACK and the window that comes with it. */
export function takeAck(core: Core, c: number): void {
  const { col, segment, recovery } = core;
  const { ack } = segment;
  const una = col.sndUna[c]!;
  let flags = segment.dataBytes > 0 || (segment.flags & Flag.Fin) !== 0 ? AckFlag.IsData : 0;
  if (!before(ack, una) && takeWindow(core, c)) flags |= AckFlag.WindowChanged;
  const advances = after(ack, una);
  // An ACK that says nothing new, on a connection that waits for nothing, is the most common segment of a receiver.
  if (!advances && col.sndNxt[c] === una) return;
  if (core.has(c, Is.Ecn) && (segment.flags & (Flag.Ece | Flag.Syn)) === Flag.Ece) flags |= AckFlag.Ece;
  const sentUs = echoUs(core, c);
  if (sentUs >= 0) flags |= AckFlag.HasTimestamp;
  fillSacks(core, c);
  const unsent = (col.sndEnd[c]! - col.sndNxt[c]!) | 0;
  recovery.unsentBytes = Math.max(0, Math.min(unsent, (una + col.sndWnd[c]! - col.sndNxt[c]!) | 0));
  if (advances) {
    if (((ack - una) | 0) >= col.mss[c]!) col.provenMtu[c] = col.pathMtu[c]!;
    col.sndUna[c] = ack;
  }
  recovery.acked(c, advances ? ack : una, flags, Math.max(0, sentUs));
  if (advances) advanced(core, c);
  core.touch(c);
}

/** RFC 9293 §3.10.7.4: only a segment newer than the last may change the window. True if it did. */
function takeWindow(core: Core, c: number): boolean {
  const { col, segment } = core;
  const wl1 = col.sndWl1[c]!;
  const isNewer = before(wl1, segment.seq) || (wl1 === segment.seq && !after(col.sndWl2[c]!, segment.ack));
  if (!isNewer) return false;
  const window = segment.window << col.sndWs[c]!;
  const changed = window !== col.sndWnd[c];
  col.sndWl1[c] = segment.seq;
  col.sndWl2[c] = segment.ack;
  if (!changed) return false;
  col.sndWnd[c] = window;
  if (window > col.sndMaxWnd[c]!) col.sndMaxWnd[c] = window;
  if (window > 0) col.persists[c] = 0;
  core.touch(c);
  return true;
}

/** When the segment that the peer echoes was sent, or -1. A tick is 1 ms. */
function echoUs(core: Core, c: number): number {
  const { options, col, isn } = core;
  if (!core.has(c, Is.Timestamps) || !options.hasTimestamps || options.tsEcr === 0) return -1;
  const ticks = (isn.clock + col.tsOffset[c]! - options.tsEcr) | 0;
  if (ticks < 0) return -1;
  return (Math.floor(core.shared.nowUs / TICK_US) - ticks) * TICK_US;
}

function fillSacks(core: Core, c: number): void {
  const { options, recovery } = core;
  recovery.sackCount = 0;
  if (options.sackCount === 0 || !core.has(c, Is.Sack)) return;
  const oldest = oldestSent(core, c);
  let n = 0;
  for (let i = 0; i < 2 * options.sackCount; i += 2) {
    const start = options.sacks[i]!;
    const end = options.sacks[i + 1]!;
    if (!before(start, end) || before(start, oldest) || after(end, core.col.sndNxt[c]!)) continue;
    recovery.sacks[n++] = start;
    recovery.sacks[n++] = end;
  }
  recovery.sackCount = n >> 1;
}

/** What a duplicate may still be of: a window before SND.UNA, but never before the first byte. A DSACK for less is forged. */
function oldestSent(core: Core, c: number): number {
  const { col } = core;
  const una = col.sndUna[c]!;
  const first = (col.iss[c]! + 1) | 0;
  const sent = (una - first) | 0;
  const window = col.sndMaxWnd[c]!;
  return sent >= 0 && sent < window ? first : (una - window) | 0;
}

/** Data, or the FIN, was acknowledged. */
function advanced(core: Core, c: number): void {
  const { col } = core;
  col.progressUs[c] = core.shared.nowUs;
  core.set(c, Is.Progress);
  if (core.has(c, Is.Small) && !after(col.sndSmall[c]!, col.sndUna[c]!)) core.unset(c, Is.Small);
  if (core.queued(c) === 0 && col.sndAt[c] !== NONE) restSendRing(core, c);
  if (col.userTimeoutUs[c]! > 0 && col.sndUna[c] === col.sndNxt[c]) core.cancelTimer(c, Timer.User);
  if (!core.has(c, Is.WantsSpace)) return;
  tuneSend(core, c);
  if (!core.canWrite(c)) return;
  core.unset(c, Is.WantsSpace);
  core.tell(c);
}

/** True if our FIN was sent and is acknowledged. */
export const isFinAcked = (core: Core, c: number): boolean =>
  core.has(c, Is.FinSent) && core.col.sndUna[c] === core.col.sndNxt[c];
