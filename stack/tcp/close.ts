// User calls that end something: CLOSE and ABORT, RFC 9293 §3.10.4, §3.10.5, and half of them: shutdown.

import { Errno } from '../errno.ts';
import { How, State } from './constants.ts';
import { type Core, Timer } from './core.ts';
import { abortNow, waitForFin } from './end.ts';
import { updateWindow } from './output.ts';
import { freeReceiveRing } from './ring.ts';
import { END, Is } from './table.ts';

/** Connections that nobody has any more, of all: half of the table. */
const orphansMax = (core: Core): number => core.limits.connectionsMax >> 1;

/** Shuts one direction or both: 0, or -ENOTCONN. RFC 9293 §3.6: who shut writing may go on to read. */
export function shutdown(core: Core, c: number, how: number): number {
  const { col } = core;
  const state = col.state[c]!;
  if (state === State.Listen && how !== How.Write) {
    closeListener(core, c);
    core.demux.removePort(c);
    core.enter(c, State.Closed);
    core.tell(c);
    return 0;
  }
  if (state < State.SynSent || state === State.TimeWait) return -Errno.ENOTCONN;
  if (how !== How.Write) shutReading(core, c);
  if (how !== How.Read) {
    if (state === State.SynSent) {
      core.finish(c, 0);
      return 0;
    }
    finishWriting(core, c);
  }
  core.tell(c);
  return 0;
}

/** What comes from now on is acknowledged and thrown away. */
function shutReading(core: Core, c: number): void {
  const { col } = core;
  core.set(c, Is.ReadShut);
  col.rcvRead[c] = (col.rcvNxt[c]! - (core.has(c, Is.Eof) ? 1 : 0)) | 0;
  if (col.gapsCount[c] === 0) freeReceiveRing(core, c);
  updateWindow(core, c);
}

/** RFC 9293 §3.10.4: a FIN follows what was written. From SYN-RECEIVED it waits for the handshake. */
function finishWriting(core: Core, c: number): void {
  const { col } = core;
  if (core.has(c, Is.FinDue)) return;
  core.set(c, Is.FinDue);
  if (col.state[c] === State.Established) core.enter(c, State.FinWait1);
  else if (col.state[c] === State.CloseWait) core.enter(c, State.LastAck);
  core.touch(c);
}

/** The user has the connection no more; TCP ends it by itself. */
export function close(core: Core, c: number): void {
  const { col } = core;
  const state = col.state[c]!;
  core.unset(c, Is.Owned);
  if (state === State.Listen) closeListener(core, c);
  if (state === State.Closed || state === State.Listen || state === State.TimeWait) {
    core.release(c);
    return;
  }
  if (state === State.SynSent) {
    core.finish(c, 0);
    return;
  }
  // RFC 9293 §3.6.1 (SHLD-3): data that nobody reads is lost, and a reset says so. So does a linger time of 0.
  if (core.available(c) > 0 || col.lingerUs[c] === 0 || core.has(c, Is.Withheld) || core.orphans >= orphansMax(core)) {
    abortNow(core, c, 0);
    return;
  }
  core.set(c, Is.Orphan);
  core.orphans++;
  finishWriting(core, c);
  if (state === State.FinWait2) waitForFin(core, c);
  else core.cancelTimer(c, Timer.Slow);
}

/** Everything that came to the listener and that nobody accepted is reset. */
function closeListener(core: Core, l: number): void {
  for (let c = 0; c < core.table.end; c++) {
    if (core.has(c, Is.Used) && core.col.listener[c] === l) abortNow(core, c, 0);
  }
  core.col.listener[l] = END;
  const i = core.interceptors.indexOf(l);
  if (i >= 0) core.interceptors[i] = END;
}

/** ABORT: a reset where one is due, all queues flushed. The user has the connection no more. */
export function abort(core: Core, c: number): void {
  const { col } = core;
  const state = col.state[c]!;
  core.unset(c, Is.Owned);
  if (state === State.Listen) closeListener(core, c);
  if (state === State.Closed || state === State.Listen || state === State.TimeWait) core.release(c);
  else abortNow(core, c, 0);
}
