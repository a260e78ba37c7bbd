// Ends of connections: TIME-WAIT, orphans in FIN-WAIT-2, aborts. RFC 9293 §3.6, §3.10.5.

import { FIN_WAIT_2_US, State } from './constants.ts';
import { type Core, Timer } from './core.ts';
import { freeGaps, freeSendRing } from './ring.ts';
import { Is } from './table.ts';
import { sendAbort, sendAck } from './transmit.ts';
import { announce, receiveWindow } from './window.ts';

/** Enters TIME-WAIT. The peer's FIN is acknowledged, unless it was before. The slot stays for a user who has it. */
export function startTimeWait(core: Core, c: number, isFinNew: boolean): void {
  if (isFinNew) sendAck(core, c);
  const { col } = core;
  core.timeWait.add(col, c, announce(core, c), receiveWindow(core, c), core.shared.nowUs);
  core.leaveTables(c);
  core.demux.removePort(c);
  core.enter(c, State.TimeWait);
  core.unset(c, Is.AckDue | Is.FinDue);
  freeSendRing(core, c);
  freeGaps(core, c);
  if (core.has(c, Is.Owned)) core.tell(c);
  else core.release(c);
}

/** In FIN-WAIT-2 a connection that nobody has any more waits for the peer's FIN only so long; others keep their keep-alive. */
export function waitForFin(core: Core, c: number): void {
  if (!core.has(c, Is.Orphan)) return;
  core.cancelTimer(c, Timer.Slow);
  core.setTimer(c, Timer.Slow, core.shared.nowUs + FIN_WAIT_2_US);
}

/** Whether ABORT sends a reset: RFC 9293 §3.10.5 names these states. */
function isResetDue(state: number): boolean {
  return (
    state === State.SynReceived ||
    state === State.Established ||
    state === State.FinWait1 ||
    state === State.FinWait2 ||
    state === State.CloseWait ||
    // Deviates from §3.10.5, where CLOSING and LAST-ACK just end: the peer is not left to wait for data that is gone.
    state === State.Closing ||
    state === State.LastAck
  );
}

/** Ends `c` at once, with a reset to the peer where one is due. `error` is for the user. */
export function abortNow(core: Core, c: number, error: number): void {
  if (isResetDue(core.col.state[c]!)) sendAbort(core, c);
  core.finish(c, error);
}
