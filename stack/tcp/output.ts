// What a connection sends now: SYN, what is lost, new data as window, Nagle and congestion control allow, FIN, ACK.

import { Drop } from '../../core/drop.ts';
import { NEVER } from '../../core/time.ts';
import { Flag, HEADER_BYTES } from '../../wire/tcp.ts';
import { isIp4 } from '../address.ts';
import { OVERRIDE_US, RTO_US_MAX, State, SYN_RTO_US } from './constants.ts';
import { type Core, Timer } from './core.ts';
import { setMss } from './establish.ts';
import { believesRise, probePayload, settleProbe, sizeLowered } from './mtu-probe.ts';
import { TIMESTAMPS_BYTES } from './options.ts';
import { after } from './sequence.ts';
import { END, Is, Opt } from './table.ts';
import { emit, emitSyn, ipHeaderBytes, roomNow, synHeaderBytes } from './transmit.ts';
import { isUpdateDue } from './window.ts';

/** States in which data and FIN go out. */
const isSending = (state: number): boolean => state >= State.Established && state <= State.LastAck;

/** Sends what all connections in the list may send, in its order. True if the output was full before that was done. */
export function pollAll(core: Core): boolean {
  const { col } = core;
  while (core.dirtyFirst !== END) {
    const c = core.dirtyFirst;
    if (!pollOne(core, c)) return true;
    core.dirtyFirst = col.dirtyNext[c]!;
    if (core.dirtyFirst === END) core.dirtyLast = END;
    core.unset(c, Is.Dirty);
  }
  return false;
}

/** False if the output was full. */
function pollOne(core: Core, c: number): boolean {
  const state = core.col.state[c]!;
  if (state === State.Closed || state === State.Listen || state === State.TimeWait) return true;
  const path = core.pathOf(c);
  if (path < 0) {
    core.col.softError[c] = -path;
    if (isSending(state)) armSend(core, c);
    return true;
  }
  if (core.has(c, Is.Progress)) {
    core.unset(c, Is.Progress);
    core.paths.confirm(path);
  }
  if (core.has(c, Is.SynDue)) return sendSyn(core, c, path);
  if (isSending(state)) {
    checkMtu(core, c, path);
    if (!resendLost(core, c, path)) return false;
    if (core.col.mtuProbeUs[c]! > 0 && !sendProbe(core, c, path)) return false;
    if (!sendNew(core, c, path)) return false;
    armSend(core, c);
  }
  return sendDueAck(core, c, path);
}

function sendSyn(core: Core, c: number, path: number): boolean {
  const { col, shared } = core;
  const bytes = col.state[c] === State.SynSent ? synData(core, c, path) : 0;
  if (emitSyn(core, c, path, bytes) === Drop.TxFull) return false;
  core.unset(c, Is.SynDue);
  if (bytes > 0) {
    core.set(c, Is.SynData);
    col.sndNxt[c] = (col.iss[c]! + 1 + bytes) | 0;
  }
  if (col.synCount[c] === 0) {
    col.synSentUs[c] = shared.nowUs;
    core.setTimer(c, Timer.Send, shared.nowUs + SYN_RTO_US);
  }
  return true;
}

/** RFC 7413 §4.2.1: data goes with the first SYN if there is a cookie, as much as the server's MSS takes. */
function synData(core: Core, c: number, path: number): number {
  const { col, fastOpen, paths } = core;
  const i = col.cookie[c]!;
  if (!core.has(c, Is.CookieAsk) || i === END || col.synCount[c]! > 0) return 0;
  const mtuRoom = paths.mtuOf(path) - ipHeaderBytes(!isIp4(core.remote)) - synHeaderBytes(core, c);
  return Math.max(0, Math.min(core.queued(c), mtuRoom, fastOpen.mssOf(i) - synHeaderBytes(core, c) + HEADER_BYTES));
}

/** RFC 1191 §6.5: the path's MTU changed, so segments of the old size that are longer now are sent again in pieces. */
function checkMtu(core: Core, c: number, path: number): void {
  const { col, recovery } = core;
  if (col.mtuProbe[c]! > 0) settleProbe(core, c, path);
  const mtu = core.paths.mtuOf(path);
  if (mtu === col.pathMtu[c]) return;
  const isLess = mtu < col.pathMtu[c]!;
  if (!isLess && !believesRise(core, c, path, mtu)) return;
  setMss(core, c, path);
  recovery.mssChanged(c, col.mss[c]!);
  if (!isLess) return;
  recovery.retransmitLonger(c);
  sizeLowered(core, c);
}

/** Sends a probe of a longer path if one is due (RFC 4821 §7.4). False if the output was full. */
function sendProbe(core: Core, c: number, path: number): boolean {
  const payload = probePayload(core, c, path);
  if (payload === 0) return true;
  const seq = core.col.sndNxt[c]!;
  if (!sendData(core, c, path, payload, payload)) {
    core.col.mtuProbe[c] = 0;
    return false;
  }
  core.recovery.probing(c, seq);
  return true;
}

/** The most payload that goes out at once: several segments where the path takes super-frames. */
function roomAtOnce(core: Core, c: number, path: number, mss: number): number {
  const { paths } = core;
  const most = paths.superOf(path);
  if (most <= paths.mtuOf(path)) return mss;
  const options = core.has(c, Is.Timestamps) ? TIMESTAMPS_BYTES : 0;
  const payload = most - ipHeaderBytes(!isIp4(core.remote)) - HEADER_BYTES - options - (core.col.mss[c]! - mss);
  return Math.max(mss, payload - (payload % mss));
}

/** Retransmits what recovery says is lost. */
function resendLost(core: Core, c: number, path: number): boolean {
  const { recovery } = core;
  for (let seg = recovery.nextLost(c); seg >= 0; seg = recovery.nextLost(c)) {
    if (!resend(core, c, path, seg)) return false;
  }
  return true;
}

/** Retransmits one descriptor: whole, or its first part. False if the output was full. */
export function resend(core: Core, c: number, path: number, seg: number): boolean {
  const { col, recovery } = core;
  const mss = roomNow(core, c);
  const most = roomAtOnce(core, c, path, mss);
  recovery.split(c, seg, most);
  const end = recovery.endOf(seg);
  const dataEnd = after(end, col.sndEnd[c]!) ? col.sndEnd[c]! : end;
  let seq = recovery.seqOf(seg);
  do {
    const bytes = Math.max(0, Math.min(most, (dataEnd - seq) | 0));
    const isLast = ((seq + bytes) | 0) === dataEnd;
    let flags = isLast && bytes > 0 && dataEnd === col.sndEnd[c] ? Flag.Psh : 0;
    if (isLast && dataEnd !== end) flags |= Flag.Fin;
    if (emit(core, c, path, flags, seq, bytes, bytes > mss ? mss : 0, false) === Drop.TxFull) return false;
    seq = (seq + bytes) | 0;
  } while (seq !== dataEnd);
  recovery.resent(c, seg);
  return true;
}

/** Sends new data, and the FIN behind it. False if the output was full. */
function sendNew(core: Core, c: number, path: number): boolean {
  const { col, recovery } = core;
  if (core.has(c, Is.FinSent)) return true;
  let unsent = (col.sndEnd[c]! - col.sndNxt[c]!) | 0;
  if (unsent > 0 && col.sndNxt[c] === col.sndUna[c]) recovery.restartIfIdle(c);
  while (unsent > 0) {
    const mss = roomNow(core, c);
    const bytes = sizeOfNext(core, c, unsent, mss, roomAtOnce(core, c, path, mss));
    if (bytes <= 0) return true;
    if (!sendData(core, c, path, bytes, mss)) return false;
    unsent = (col.sndEnd[c]! - col.sndNxt[c]!) | 0;
  }
  return !core.has(c, Is.FinDue) || core.has(c, Is.FinSent) || sendFin(core, c, path);
}

/** How much of `unsent` bytes goes out next, 0 for nothing. */
function sizeOfNext(core: Core, c: number, unsent: number, mss: number, most: number): number {
  const { col } = core;
  const inFlight = (col.sndNxt[c]! - col.sndUna[c]!) | 0;
  const window = col.sndWnd[c]! - inFlight;
  let allowed = core.recovery.allowance(c);
  if (inFlight === 0 && allowed < mss) allowed = mss;
  const n = Math.min(unsent, window, allowed);
  if (n <= 0) return 0;
  if (n < mss) return maySendSmall(core, c, n, unsent) ? n : 0;
  if (n >= most) return most;
  const tail = n % mss;
  const withTail = tail > 0 && most > mss && n === unsent && maySendSmall(core, c, tail, tail);
  return withTail ? n : Math.min(most, n - tail);
}

/** RFC 9293 §3.7.4 and §3.8.6.2.1: whether a segment that is not full may go, `n` of `unsent` bytes. */
function maySendSmall(core: Core, c: number, n: number, unsent: number): boolean {
  const { col } = core;
  if (core.has(c, Is.Override)) return true;
  if (n < unsent) return n >= col.sndMaxWnd[c]! >> 1;
  if (core.has(c, Is.FinDue)) return true;
  if (core.opted(c, Opt.Cork) || core.has(c, Is.More)) return false;
  if (core.opted(c, Opt.NoDelay)) return true;
  // Deviates from §3.7.4: after full segments one small one goes too; there is never more than one (Minshall).
  return !core.has(c, Is.Small) || !after(col.sndSmall[c]!, col.sndUna[c]!);
}

/** Sends `bytes` of new data, with the FIN if that is all and the window takes it. */
export function sendData(core: Core, c: number, path: number, bytes: number, mss: number): boolean {
  const { col, recovery, shared } = core;
  const seq = col.sndNxt[c]!;
  const end = (seq + bytes) | 0;
  const isAll = end === col.sndEnd[c];
  const withFin = isAll && core.has(c, Is.FinDue) && ((end - col.sndUna[c]!) | 0) < col.sndWnd[c]!;
  let flags = isAll ? Flag.Psh : 0;
  if (withFin) flags |= Flag.Fin;
  const withCwr = core.has(c, Is.Ecn) && recovery.cwrPending(c);
  if (withCwr) flags |= Flag.Cwr;
  if (emit(core, c, path, flags, seq, bytes, bytes > mss ? mss : 0, true) === Drop.TxFull) return false;
  if (withCwr) recovery.cwrSent(c);
  if (seq === col.sndUna[c]) col.progressUs[c] = shared.nowUs;
  if (bytes % mss !== 0) {
    core.set(c, Is.Small);
    col.sndSmall[c] = end;
  }
  core.unset(c, Is.Override | Is.Probed);
  if (withFin) core.set(c, Is.FinSent);
  col.sndNxt[c] = withFin ? (end + 1) | 0 : end;
  recovery.sent(c, col.sndNxt[c]!);
  return true;
}

/** A FIN of its own. With a closed window it goes all the same, as its own probe. */
function sendFin(core: Core, c: number, path: number): boolean {
  const { col, recovery, shared } = core;
  const inFlight = (col.sndNxt[c]! - col.sndUna[c]!) | 0;
  if (inFlight > 0 && inFlight >= col.sndWnd[c]!) return true;
  if (emit(core, c, path, Flag.Fin, col.sndNxt[c]!, 0, 0, false) === Drop.TxFull) return false;
  if (inFlight === 0) col.progressUs[c] = shared.nowUs;
  core.set(c, Is.FinSent);
  core.unset(c, Is.Override | Is.Probed);
  col.sndNxt[c] = (col.sndNxt[c]! + 1) | 0;
  recovery.sent(c, col.sndNxt[c]!);
  return true;
}

function sendDueAck(core: Core, c: number, path: number): boolean {
  if (!core.has(c, Is.AckDue)) return true;
  return emit(core, c, path, 0, core.col.sndNxt[c]!, 0, 0, false) !== Drop.TxFull;
}

/** The one send timer: recovery's, or if nothing is in flight and something waits, the persist timer. Never both. */
export function armSend(core: Core, c: number): void {
  const { col, recovery, shared } = core;
  armUser(core, c);
  const deadlineUs = recovery.deadlineUs(c);
  if (deadlineUs !== NEVER) {
    core.unset(c, Is.Persist);
    core.setTimer(c, Timer.Send, deadlineUs);
    return;
  }
  const unsent = (col.sndEnd[c]! - col.sndNxt[c]!) | 0;
  const waits = unsent > 0 || (core.has(c, Is.FinDue) && !core.has(c, Is.FinSent));
  if (!waits) {
    core.unset(c, Is.Persist);
    core.cancelTimer(c, Timer.Send);
    return;
  }
  if (core.has(c, Is.Persist) && core.isTimerSet(c, Timer.Send)) return;
  core.set(c, Is.Persist);
  core.setTimer(c, Timer.Send, shared.nowUs + persistUs(core, c));
}

/** RFC 9293 §3.8.6.1: a closed window is probed after an RTO, and then ever less often; one that is too small waits for the override. */
const persistUs = (core: Core, c: number): number => (core.col.sndWnd[c]! > 0 ? OVERRIDE_US : probeUs(core, c));

/** Until the next probe of one that is not answered: the RTO, doubled with each, up to a minute. */
export function probeUs(core: Core, c: number): number {
  const { col, recovery } = core;
  return Math.min(RTO_US_MAX, recovery.rtoUs(c) * 2 ** Math.min(10, col.persists[c]!));
}

/** RFC 5482: the user's timeout counts from the last progress, while something is not acknowledged. */
function armUser(core: Core, c: number): void {
  const { col } = core;
  const timeoutUs = col.userTimeoutUs[c]!;
  if (timeoutUs === 0 || core.isTimerSet(c, Timer.User)) return;
  if (col.sndUna[c] === col.sndNxt[c] && col.sndEnd[c] === col.sndNxt[c]) return;
  if (col.sndUna[c] === col.sndNxt[c]) col.progressUs[c] = core.shared.nowUs;
  core.setTimer(c, Timer.User, col.progressUs[c]! + timeoutUs);
}

/** After the user read: whether a window update goes out (RFC 9293 §3.8.6.2.2). */
export function updateWindow(core: Core, c: number): void {
  const state = core.col.state[c]!;
  if (state < State.Established || state > State.FinWait2 || core.has(c, Is.Eof)) return;
  if (isUpdateDue(core, c)) core.ackSoon(c);
}
