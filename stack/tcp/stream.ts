// User calls on the streams: SEND and RECEIVE, RFC 9293 §3.10.2, §3.10.3.

import { NONE } from '../../core/slab.ts';
import { Errno } from '../errno.ts';
import { tuneReceive } from './autotune.ts';
import { ReceiveFlag, SendFlag, State } from './constants.ts';
import type { Core } from './core.ts';
import { updateWindow } from './output.ts';
import { growSendRing, readRing, restReceiveRing, writeRing } from './ring.ts';
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
  const start = core.sendStart(c);
  const kept = core.queued(c);
  if (!growSendRing(core, c, start, kept, kept + n)) return -Errno.ENOBUFS;
  writeRing(core, col.sndAt[c]!, col.sndSize[c]!, col.sndEnd[c]!, bytes, from, n);
  col.sndEnd[c] = (col.sndEnd[c]! + n) | 0;
  if ((flags & SendFlag.More) !== 0) core.set(c, Is.More);
  else core.unset(c, Is.More);
  if (n < count) core.set(c, Is.WantsSpace);
  core.touch(c);
  return n;
}

/** Bytes that `send` takes now. */
export function space(core: Core, c: number): number {
  const { col } = core;
  let room = col.sndMax[c]! - core.queued(c);
  const lowat = col.notSentLowat[c]!;
  if (lowat > 0) room = Math.min(room, lowat - ((col.sndEnd[c]! - col.sndNxt[c]!) | 0));
  return Math.max(0, room);
}

/** Gives what came in order: how many bytes, 0 at the end of the stream, -EAGAIN, -ENOTCONN, or the connection's error. */
export function receive(core: Core, c: number, into: Uint8Array, from: number, count: number, flags: number): number {
  const { col } = core;
  const state = col.state[c]!;
  if (state === State.Listen || (state === State.Closed && col.remotePort[c] === 0)) return -Errno.ENOTCONN;
  const n = Math.min(count, core.available(c));
  if (n <= 0) {
    if (count === 0) return 0;
    if (core.has(c, Is.Eof | Is.ReadShut)) return 0;
    if (state === State.Closed || state === State.TimeWait) return lateError(core, c, 0) || 0;
    return -Errno.EAGAIN;
  }
  readRing(core, col.rcvAt[c]!, col.rcvSize[c]!, col.rcvRead[c]!, into, from, n);
  if ((flags & ReceiveFlag.Peek) !== 0) return n;
  col.rcvRead[c] = (col.rcvRead[c]! + n) | 0;
  if (core.available(c) === 0 && col.gapsCount[c] === 0 && col.rcvAt[c] !== NONE) restReceiveRing(core, c);
  tuneReceive(core, c);
  updateWindow(core, c);
  return n;
}

/** Nagle's or the cork's reason to wait is gone. */
export function push(core: Core, c: number): void {
  if (core.opted(c, Opt.NoDelay) || !core.opted(c, Opt.Cork)) {
    core.unset(c, Is.More);
    core.touch(c);
  }
}
