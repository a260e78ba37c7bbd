// What happens when time passes: retransmission, probes, keep-alives, and who gives up when. RFC 9293 §3.8.

import { Drop } from '../../core/drop.ts';
import { NO_TIMER } from '../../core/timer-wheel.ts';
import { isIp4 } from '../address.ts';
import { Errno } from '../errno.ts';
import { enqueue } from './accept-queue.ts';
import { DATA_RETRIES, RTO_US_MAX, State, SYN_RTO_US } from './constants.ts';
import { type Core, Timer } from './core.ts';
import { abortNow } from './end.ts';
import { armKeepAlive, isDeferred } from './establish.ts';
import { startSearch } from './mtu-probe.ts';
import { armSend, probeUs, resend, sendData } from './output.ts';
import { Action } from './recovery.ts';
import { END, Is, Opt } from './table.ts';
import { emit, roomNow, sendAck } from './transmit.ts';

const TIMERS = 4;
/** An orphan's user will not ask again: it gives up earlier, after about 100 s. */
const ORPHAN_RETRIES = 8;
/** RFC 4821 §7.7: at R1, three retransmissions in vain (RFC 9293 §3.8.3), the path may be a black hole for long packets. */
const BLACK_HOLE_TIMEOUTS = 4;
/** RFC 9293 §3.8.3 (SHLD-9): at least three retransmissions. */
const R1 = 3;
/** Where full segments arrived before, it is more likely that many were lost than that the route changed. */
const LOST_WAY_TIMEOUTS = 8;
const BASE_MTU_4 = 576;
const BASE_MTU_6 = 1280;

/** Does all that is due. */
export function expireAll(core: Core): void {
  const { nowUs } = core.shared;
  for (let id = core.wheel.expire(nowUs); id !== NO_TIMER; id = core.wheel.expire(nowUs)) {
    fire(core, Math.floor(id / TIMERS), id % TIMERS);
  }
  core.timeWait.expire(nowUs);
}

function fire(core: Core, c: number, timer: number): void {
  const state = core.col.state[c]!;
  if (timer === Timer.Ack) sendAck(core, c);
  else if (timer === Timer.Slow) fireSlow(core, c, state);
  else if (timer === Timer.User) fireUser(core, c);
  else if (state === State.SynSent || state === State.SynReceived) fireSyn(core, c);
  else if (core.has(c, Is.Persist)) firePersist(core, c);
  else fireRecovery(core, c);
}

/** RFC 6298 §5.5: the SYN or SYN-ACK again, with the timeout doubled, until R2 (RFC 9293 §3.8.3). */
function fireSyn(core: Core, c: number): void {
  const { col, shared } = core;
  if (col.synCount[c]! >= col.synMax[c]! || core.has(c, Is.Withheld)) {
    const isUnknown = core.has(c, Is.Passive) && !core.has(c, Is.Owned);
    core.finish(c, isUnknown ? 0 : timeoutError(core, c));
    return;
  }
  col.synCount[c] = col.synCount[c]! + 1;
  if (col.synCount[c]! >= R1) doubtPath(core, c);
  if (core.has(c, Is.SynData)) withoutData(core, c);
  core.set(c, Is.SynDue);
  core.touch(c);
  core.setTimer(c, Timer.Send, shared.nowUs + Math.min(RTO_US_MAX, SYN_RTO_US * 2 ** col.synCount[c]!));
}

/** RFC 7413 §4.1.3.1: a SYN whose data may have been the trouble is repeated without it and without the option. */
function withoutData(core: Core, c: number): void {
  const { col } = core;
  core.loadAddresses(c);
  core.fastOpen.forget(core.remote);
  core.unset(c, Is.SynData | Is.CookieAsk);
  col.cookie[c] = END;
  col.sndNxt[c] = (col.iss[c]! + 1) | 0;
}

/** RFC 5461 §2: what the network said meanwhile explains it better. */
const timeoutError = (core: Core, c: number): number =>
  core.col.softError[c] !== 0 ? core.col.softError[c]! : Errno.ETIMEDOUT;

function fireRecovery(core: Core, c: number): void {
  const { recovery } = core;
  const action = recovery.fire(c);
  const retries = core.has(c, Is.Orphan) ? ORPHAN_RETRIES : DATA_RETRIES;
  if (action === Action.Retransmit && recovery.backoff(c) > retries && !isAnswering(core, c)) {
    abortNow(core, c, timeoutError(core, c));
    return;
  }
  if (action === Action.Retransmit) {
    if (recovery.backoff(c) >= R1) doubtPath(core, c);
    findBlackHole(core, c);
    core.touch(c);
  } else if (action === Action.SendProbe) probeLoss(core, c);
  armSend(core, c);
}

/** RFC 9293 §3.8.3 (MUST-20): from R1 on the network layer is told, so that it looks whether the next hop is there. */
function doubtPath(core: Core, c: number): void {
  const path = core.pathOf(c);
  if (path >= 0) core.paths.doubt?.(path);
}

/** RFC 9293 §3.8.6.1 (MUST-37): a peer that closed its window and answers is alive, however long. */
function isAnswering(core: Core, c: number): boolean {
  const { col, recovery, shared } = core;
  return col.sndWnd[c] === 0 && shared.nowUs - col.heardUs[c]! < 2 * recovery.rtoUs(c);
}

/** RFC 8985 §7.3: one segment of new data, or else the last one again. */
function probeLoss(core: Core, c: number): void {
  const { col, recovery } = core;
  const path = core.pathOf(c);
  if (path < 0) return;
  const mss = roomNow(core, c);
  const unsent = core.has(c, Is.FinSent) ? 0 : (col.sndEnd[c]! - col.sndNxt[c]!) | 0;
  const window = (col.sndUna[c]! + col.sndWnd[c]! - col.sndNxt[c]!) | 0;
  const bytes = Math.min(unsent, window, mss);
  if (bytes > 0) {
    sendData(core, c, path, bytes, mss);
    return;
  }
  const seg = recovery.probeSegment(c);
  if (seg >= 0) resend(core, c, path, seg);
}

/** RFC 4821 §7.6, RFC 8899 §4.3: full segments that vanish again and again, on a path whose MTU nobody says. */
function findBlackHole(core: Core, c: number): void {
  const { col, recovery, mtuSink, paths } = core;
  const isProven = col.provenMtu[c] === col.pathMtu[c];
  if (mtuSink === undefined || recovery.backoff(c) < (isProven ? LOST_WAY_TIMEOUTS : BLACK_HOLE_TIMEOUTS)) return;
  if (((col.sndNxt[c]! - col.sndUna[c]!) | 0) < col.mss[c]!) return;
  const path = core.pathOf(c);
  if (path < 0) return;
  const mtu = Math.min(paths.mtuOf(path), col.pathMtu[c]!);
  const base = isIp4(core.remote) ? BASE_MTU_4 : BASE_MTU_6;
  if (mtu <= base) return;
  startSearch(core, c);
  mtuSink.lowerMtu(core.local, core.remote, paths.ifaceOf(path), Math.max(base, mtu >> 1));
}

/**
 * The window is closed: a byte beyond it (RFC 9293 §3.8.6.1). Or it is too small for good manners: what fits goes (§3.8.6.2.1).
 * While there is no way to the peer each try counts as one that was not answered, so that nothing waits for ever.
 */
function firePersist(core: Core, c: number): void {
  const { col, shared } = core;
  core.unset(c, Is.Persist);
  const path = core.pathOf(c);
  if (col.sndWnd[c]! > 0 && path >= 0) {
    core.set(c, Is.Override);
    core.touch(c);
    return;
  }
  const retries = core.has(c, Is.Orphan) ? ORPHAN_RETRIES : DATA_RETRIES;
  if (col.keepCount[c]! > retries) {
    abortNow(core, c, timeoutError(core, c));
    return;
  }
  col.keepCount[c] = col.keepCount[c]! + 1; // probes that were not answered
  const hasData = ((col.sndEnd[c]! - col.sndNxt[c]!) | 0) > 0;
  if (path >= 0 && hasData && emit(core, c, path, 0, col.sndNxt[c]!, 1, 0, false) !== Drop.TxFull)
    core.set(c, Is.Probed);
  if (col.persists[c]! < 255) col.persists[c] = col.persists[c]! + 1;
  core.set(c, Is.Persist);
  core.setTimer(c, Timer.Send, shared.nowUs + probeUs(core, c));
}

/** RFC 5482 §3, RFC 9293 §3.8.3: nothing was acknowledged for so long. */
function fireUser(core: Core, c: number): void {
  const { col, shared } = core;
  const timeoutUs = col.userTimeoutUs[c]!;
  if (timeoutUs === 0) return;
  const state = col.state[c]!;
  const waits = state < State.Established || col.sndUna[c] !== col.sndNxt[c] || col.sndEnd[c] !== col.sndNxt[c];
  if (!waits) return;
  if (shared.nowUs - col.progressUs[c]! >= timeoutUs) abortNow(core, c, timeoutError(core, c));
  else core.setTimer(c, Timer.User, col.progressUs[c]! + timeoutUs);
}

function fireSlow(core: Core, c: number, state: number): void {
  if (core.has(c, Is.Orphan) && state === State.FinWait2) core.finish(c, 0);
  else if (isDeferred(core, c)) {
    enqueue(core, c);
    armKeepAlive(core, c);
  } else if (core.opted(c, Opt.KeepAlive)) fireKeepAlive(core, c);
}

/** RFC 9293 §3.8.4: a segment the peer must answer, `<SEQ=SND.NXT-1>` without data; no single one decides. */
function fireKeepAlive(core: Core, c: number): void {
  const { col, shared } = core;
  const { nowUs } = shared;
  const dueUs = col.heardUs[c]! + col.keepIdleUs[c]!;
  const isUnsent = col.sndEnd[c] !== col.sndNxt[c] && !core.has(c, Is.FinSent); // the FIN is past the end
  const isBusy = col.sndUna[c] !== col.sndNxt[c] || isUnsent;
  if (nowUs < dueUs || isBusy) {
    core.setTimer(c, Timer.Slow, isBusy ? nowUs + col.keepIdleUs[c]! : dueUs);
    return;
  }
  if (col.keepCount[c]! >= col.keepMax[c]!) {
    abortNow(core, c, timeoutError(core, c));
    return;
  }
  col.keepCount[c] = col.keepCount[c]! + 1;
  const path = core.pathOf(c);
  if (path >= 0) emit(core, c, path, 0, (col.sndNxt[c]! - 1) | 0, 0, 0, false);
  core.setTimer(c, Timer.Slow, nowUs + col.keepIntervalUs[c]!);
}
