// User calls on the streams: SEND and RECEIVE, RFC 9293 §3.10.2, §3.10.3. Each in two forms: one copies to or from an array of
// the user's; the other shows where the bytes are in the rings, and where they may go, for who reads and writes the slab.

import { assert } from '../../core/assert.ts';
import { NONE } from '../../core/slab.ts';
import type { Span } from '../../core/span.ts';
import { Errno } from '../errno.ts';
import { tuneReceive } from './autotune.ts';
import { ReceiveFlag, SendFlag, State } from './constants.ts';
import type { Core } from './core.ts';
import { updateWindow } from './output.ts';
import { growSendRing, readRing, restReceiveRing, restSendRing, spanOfRing, writeRing } from './ring.ts';
import { Is, Opt } from './table.ts';

/** States in which the user may still write. SYN-SENT and SYN-RECEIVED queue. */
const isWritable = (state: number): boolean =>
  state === State.Established || state === State.CloseWait || state === State.SynSent || state === State.SynReceived;

/** What a call returns that is too late: the connection's own error once, else `otherwise`. */
function lateError(core: Core, c: number, otherwise: number): number {
  const error = core.col.error[c]!;
  if (error === 0) return -otherwise;
  core.col.error[c] = 0;
  return -error;
}

/** Takes as many bytes as there is room for: how many, -EAGAIN, -EPIPE, -ENOTCONN, -ENOBUFS, or the connection's error. */
export function send(core: Core, c: number, bytes: Uint8Array, from: number, count: number, flags: number): number {
  const { col } = core;
  const n = makeRoom(core, c, count);
  if (n <= 0) return n;
  writeRing(core, col.sndAt[c]!, col.sndSize[c]!, col.sndEnd[c]!, bytes, from, n);
  append(core, c, n, flags);
  if (n < count) core.set(c, Is.WantsSpace);
  return n;
}

/** Makes room in the send ring for up to `count` bytes more: for how many, or why not, as `send`. */
function makeRoom(core: Core, c: number, count: number): number {
  const { col } = core;
  const state = col.state[c]!;
  if (state === State.Listen || (state === State.Closed && col.remotePort[c] === 0)) return -Errno.ENOTCONN;
  if (state === State.Closed || !isWritable(state) || core.has(c, Is.FinDue)) return lateError(core, c, Errno.EPIPE);
  if (state === State.SynSent && !core.has(c, Is.CookieAsk)) return -Errno.EAGAIN;
  if (count === 0) return 0;
  const n = Math.min(count, space(core, c));
  if (n <= 0) {
    core.set(c, Is.WantsSpace);
    return -Errno.EAGAIN;
  }
  const kept = core.queued(c);
  return growSendRing(core, c, core.sendStart(c), kept, kept + n) ? n : -Errno.ENOBUFS;
}

/** The `n` bytes behind what is queued are the user's. */
function append(core: Core, c: number, n: number, flags: number): void {
  const { col } = core;
  col.sndEnd[c] = (col.sndEnd[c]! + n) | 0;
  if ((flags & SendFlag.More) !== 0) core.set(c, Is.More);
  else core.unset(c, Is.More);
  core.touch(c);
}

/** Where up to `wanted` bytes may be written, for `commit`: how many, or what `send` would return. The ring stays until then. */
export function room(core: Core, c: number, span: Span, wanted: number): number {
  span.set(0, 0);
  let n = makeRoom(core, c, wanted);
  if (n === -Errno.ENOBUFS) n = roomLeft(core, c, wanted);
  if (n > 0) spanOfRing(span, core.col.sndAt[c]!, core.col.sndSize[c]!, core.col.sndEnd[c]!, n);
  return n;
}

/** The slab is exhausted: what the ring has room for as it is, or once its bytes are acknowledged; -ENOBUFS without a ring. */
function roomLeft(core: Core, c: number, wanted: number): number {
  if (core.col.sndAt[c] === NONE) return -Errno.ENOBUFS;
  const n = Math.min(wanted, space(core, c), core.col.sndSize[c]! - core.queued(c));
  if (n > 0) return n;
  core.set(c, Is.WantsSpace);
  return -Errno.EAGAIN;
}

/** Sends `count` bytes that were written where `room` said: `count`. With 0 a ring that was made for nothing is given back. */
export function commit(core: Core, c: number, count: number, flags: number): number {
  const { col } = core;
  assert(count >= 0 && count <= col.sndSize[c]! - core.queued(c), 'what is committed has room');
  if (count > 0) append(core, c, count, flags);
  else if (core.queued(c) === 0 && col.sndAt[c] !== NONE) restSendRing(core, c);
  if (count > 0 && space(core, c) === 0) core.set(c, Is.WantsSpace);
  return count;
}

/** Bytes that `send` takes now. */
export function space(core: Core, c: number): number {
  const { col } = core;
  let room = col.sndMax[c]! - core.queued(c);
  const unsentMax = core.unsentMax(c);
  if (unsentMax > 0) room = Math.min(room, unsentMax - ((col.sndEnd[c]! - col.sndNxt[c]!) | 0));
  return Math.max(0, room);
}

/** Gives what came in order: how many bytes, 0 at the end of the stream, -EAGAIN, -ENOTCONN, or the connection's error. */
export function receive(core: Core, c: number, into: Uint8Array, from: number, count: number, flags: number): number {
  const { col } = core;
  const n = Math.min(count, core.available(c));
  if (n <= 0) return count === 0 && isOpened(core, c) ? 0 : nothing(core, c);
  readRing(core, col.rcvAt[c]!, col.rcvSize[c]!, col.rcvRead[c]!, into, from, n);
  if ((flags & ReceiveFlag.Peek) === 0) consume(core, c, n);
  return n;
}

/** False of a listener and of what was never connected. */
const isOpened = (core: Core, c: number): boolean =>
  core.col.state[c] !== State.Listen && (core.col.state[c] !== State.Closed || core.col.remotePort[c] !== 0);

/** What there is instead of bytes: the end of the stream, an error, or nothing yet. */
function nothing(core: Core, c: number): number {
  if (!isOpened(core, c)) return -Errno.ENOTCONN;
  if (core.has(c, Is.Eof | Is.ReadShut)) return 0;
  const state = core.col.state[c]!;
  if (state === State.Closed || state === State.TimeWait) return lateError(core, c, 0) || 0;
  return -Errno.EAGAIN;
}

/** Where all that came in order is: how many bytes, or what `receive` would return. */
export function received(core: Core, c: number, span: Span): number {
  const { col } = core;
  span.set(0, 0);
  const n = core.available(c);
  if (n <= 0) return nothing(core, c);
  spanOfRing(span, col.rcvAt[c]!, col.rcvSize[c]!, col.rcvRead[c]!, n);
  return n;
}

/** Takes the first `count` of the bytes that `received` showed. */
export function consume(core: Core, c: number, count: number): void {
  const { col } = core;
  assert(count >= 0 && count <= Math.max(0, core.available(c)), 'what is consumed was received');
  if (count === 0) return;
  col.rcvRead[c] = (col.rcvRead[c]! + count) | 0;
  if (core.available(c) === 0 && col.gapsCount[c] === 0 && col.rcvAt[c] !== NONE) restReceiveRing(core, c);
  tuneReceive(core, c);
  updateWindow(core, c);
}

/** Nagle's or the cork's reason to wait is gone. */
export function push(core: Core, c: number): void {
  if (core.opted(c, Opt.NoDelay) || !core.opted(c, Opt.Cork)) {
    core.unset(c, Is.More);
    core.touch(c);
  }
}
