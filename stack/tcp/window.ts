// The receive window: how much we announce, and never less than before. RFC 9293 §3.8.6, RFC 7323 §2.

import { FULL_SEGMENT_BYTES_MIN, RECEIVE_BUFFER_BYTES, State } from './constants.ts';
import type { Core } from './core.ts';
import { Is, Opt } from './table.ts';

const WINDOW_MAX = 65535;

/** The shift for a buffer that may grow to `bytes`, RFC 7323 §2.2: 0 … 14. */
export function scaleFor(bytes: number): number {
  let shift = 0;
  while (shift < 14 && bytes >>> shift > WINDOW_MAX) shift++;
  return shift;
}

/**
 * The shift that a SYN of `c` offers. The buffer may be made larger later, but the shift is said once (RFC 7323 §2.2); who
 * made it small, though, wants a small window, which a shift would round.
 */
export function shiftOf(core: Core, c: number): number {
  const bytes = core.col.rcvMax[c]!;
  const isSmall = core.opted(c, Opt.ReceiveFixed) && bytes < RECEIVE_BUFFER_BYTES;
  return scaleFor(isSmall ? bytes : Math.max(bytes, core.limits.receiveBufferBytesMax));
}

/** Bytes that are announced and not yet used: RCV.WND. */
export const receiveWindow = (core: Core, c: number): number =>
  Math.max(0, (core.col.rcvAdv[c]! - core.col.rcvNxt[c]!) | 0);

/** Bytes that the receive buffer has room for behind RCV.NXT. */
function space(core: Core, c: number): number {
  const { col } = core;
  if (core.has(c, Is.ReadShut)) return col.rcvMax[c]!;
  return Math.max(0, col.rcvMax[c]! - core.available(c));
}

/** What the peer fills a segment with, once it did, its options taken off; by our MSS before. */
function segmentBytes(core: Core, c: number): number {
  const { col } = core;
  const seen = col.rcvSegment[c]!;
  return seen >= FULL_SEGMENT_BYTES_MIN ? Math.min(seen, col.ourMss[c]!) : col.ourMss[c]!;
}

/** RFC 9293 §3.8.6.2.2: how far the right edge may move, 0 while it would be less than half the buffer and less than a segment. */
function step(core: Core, c: number): number {
  const { col } = core;
  const edge = (col.rcvNxt[c]! + space(core, c)) | 0;
  const more = (edge - col.rcvAdv[c]!) | 0;
  const segment = segmentBytes(core, c);
  // Deviates from §3.8.6.2.2: a buffer of less than 4 segments is announced whenever it is empty, of which the RFC's rule
  // leaves a part unused for ever; the sender's own avoidance keeps the segments long.
  const least = col.rcvMax[c]! < 4 * segment && core.available(c) === 0 ? 1 : Math.min(col.rcvMax[c]! >> 1, segment);
  return more >= least ? more : 0;
}

/**
 * Moves the right edge and returns what stands in the header. The edge is not drawn back: a shift rounds up what was announced
 * before; bytes beyond the buffer are then trimmed as they come, which only the last few of a window can be. Once the edge is
 * a unit of the shift ahead of the buffer, what is announced is rounded down, and what was announced is still taken: RFC 7323
 * §2.4 has senders bear that.
 */
export function announce(core: Core, c: number): number {
  const { col } = core;
  const state = col.state[c]!;
  if (state === State.SynSent || state === State.SynReceived) return announceFirst(core, c);
  const shift = col.rcvWs[c]!;
  const more = step(core, c);
  if (more > 0) {
    const wanted = (col.rcvAdv[c]! + more - col.rcvNxt[c]!) | 0;
    const window = Math.min(WINDOW_MAX, wanted >>> shift);
    const edge = (col.rcvNxt[c]! + (window << shift)) | 0;
    if (((edge - col.rcvAdv[c]!) | 0) >= 0) {
      col.rcvAdv[c] = edge;
      return window;
    }
  }
  const kept = receiveWindow(core, c);
  const unit = 1 << shift;
  // Rounded up with every ACK, the edge would creep ahead of the buffer, a part of a unit each time.
  const ahead = (col.rcvAdv[c]! - col.rcvNxt[c]! - space(core, c)) | 0;
  if (ahead >= unit) return Math.min(WINDOW_MAX, kept >>> shift);
  const window = Math.min(WINDOW_MAX, (kept + unit - 1) >>> shift);
  if (kept > 0) col.rcvAdv[c] = (col.rcvNxt[c]! + (window << shift)) | 0;
  return window;
}

/** RFC 7323 §2.2: not scaled in a SYN, whatever was agreed on. */
function announceFirst(core: Core, c: number): number {
  const { col } = core;
  const window = Math.min(WINDOW_MAX, space(core, c));
  const edge = (col.rcvNxt[c]! + window) | 0;
  if (((edge - col.rcvAdv[c]!) | 0) > 0) col.rcvAdv[c] = edge;
  return window;
}

/** True if the user read so much that the peer should hear of it: a segment or half the buffer, RFC 9293 §3.8.6.2.2. */
export function isUpdateDue(core: Core, c: number): boolean {
  const { col } = core;
  const edge = (col.rcvNxt[c]! + space(core, c)) | 0;
  const more = (edge - col.rcvAdv[c]!) | 0;
  const mss = segmentBytes(core, c);
  const window = receiveWindow(core, c);
  if (window < 2 * mss) return more >= Math.min(col.rcvMax[c]! >> 1, mss);
  // A window that is open can wait for the next ACK of data.
  return window < col.rcvMax[c]! >> 4 && more >= col.rcvMax[c]! >> 4;
}
