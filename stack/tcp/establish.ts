// The handshake is over: sizes, recovery and timers of a connection that carries data.

import { US_PER_S } from '../../core/time.ts';
import { HEADER_BYTES } from '../../wire/tcp.ts';
import { isIp4 } from '../address.ts';
import { enqueue } from './accept-queue.ts';
import { DEFER_ACCEPT_US, QUICK_ACKS, State, USER_TIMEOUT_S_MAX, USER_TIMEOUT_S_MIN } from './constants.ts';
import { type Core, Timer } from './core.ts';
import { TIMESTAMPS_BYTES } from './options.ts';
import { END, Is, Opt } from './table.ts';
import { defaultMss, ipHeaderBytes } from './transmit.ts';
import { shiftOf } from './window.ts';

const MSS_MIN = 88; // ours: nobody makes us send a header for every few bytes

/** Whether a connection's packets are IPv6. Of the addresses that `pathOf` loaded. */
const isIp6Now = (core: Core): boolean => !isIp4(core.remote);

/** RFC 9293 §3.7.1: Eff.snd.MSS on `path`, without the timestamps that every segment carries. `pathOf(c)` was called. */
export function setMss(core: Core, c: number, path: number): void {
  const { col } = core;
  const mtu = core.paths.mtuOf(path);
  const isIp6 = isIp6Now(core);
  const peer = col.peerMss[c]! > 0 ? col.peerMss[c]! : defaultMss(isIp6);
  let mss = Math.min(peer, mtu - ipHeaderBytes(isIp6) - HEADER_BYTES);
  if (col.maxSegment[c]! > 0) mss = Math.min(mss, col.maxSegment[c]!);
  mss = Math.max(mss, MSS_MIN);
  col.pathMtu[c] = mtu;
  col.mss[c] = mss - (core.has(c, Is.Timestamps) ? TIMESTAMPS_BYTES : 0);
}

/** Prepares what a SYN of `c` offers. */
export function prepareSyn(core: Core, c: number): void {
  const { col } = core;
  col.rcvWs[c] = core.opted(c, Opt.Scaling) ? shiftOf(core, c) : 0;
}

/** What the options of the peer's SYN, which is in hand, mean for `c` (RFC 7323 §1.3: both sides must have offered). */
export function takeSynOptions(core: Core, c: number): void {
  const { col, options } = core;
  col.peerMss[c] = options.mss;
  takeUserTimeout(core, c);
  if (options.hasTimestamps && core.opted(c, Opt.Timestamps)) {
    core.set(c, Is.Timestamps);
    col.tsRecent[c] = options.tsVal;
    col.tsRecentUs[c] = core.shared.nowUs;
  }
  if (options.isSackPermitted && core.opted(c, Opt.Sack)) core.set(c, Is.Sack);
  if (options.scale >= 0 && core.opted(c, Opt.Scaling)) {
    core.set(c, Is.Scaling);
    col.sndWs[c] = options.scale;
  } else col.rcvWs[c] = 0;
}

/** RFC 5482 §3.1: the peer's timeout, within limits, unless our user has one of his own (CHANGEABLE is false then). */
function takeUserTimeout(core: Core, c: number): void {
  const { col, options } = core;
  if (options.userTimeoutS === 0 || col.userTimeoutUs[c]! > 0 || !core.opted(c, Opt.UserTimeout)) return;
  const seconds = Math.min(USER_TIMEOUT_S_MAX, Math.max(USER_TIMEOUT_S_MIN, options.userTimeoutS));
  col.userTimeoutUs[c] = seconds * US_PER_S;
}

/** Enters ESTABLISHED. The windows are the caller's to set. */
export function establish(core: Core, c: number): void {
  const { col, recovery } = core;
  const { nowUs } = core.shared;
  const path = core.pathOf(c);
  if (path >= 0) setMss(core, c, path);
  else if (col.mss[c] === 0) col.mss[c] = defaultMss(isIp6Now(core)) - TIMESTAMPS_BYTES;
  recovery.start(c, (col.iss[c]! + 1) | 0, col.mss[c]!, {
    sack: core.has(c, Is.Sack),
    timestamps: core.has(c, Is.Timestamps),
    ecn: core.has(c, Is.Ecn),
    algorithm: col.congestion[c]!,
    initialWindow: col.initialWindow[c]!,
    rack: core.opted(c, Opt.Rack),
  });
  if (col.synCount[c]! > 0) recovery.synTimedOut(c);
  else if (col.synSentUs[c]! > 0) recovery.sample(c, nowUs - col.synSentUs[c]!);
  core.cancelTimer(c, Timer.Send);
  core.unset(c, Is.SynDue);
  core.enter(c, State.Established);
  col.quickAcks[c] = QUICK_ACKS;
  col.progressUs[c] = nowUs;
  col.heardUs[c] = nowUs;
  core.set(c, Is.Progress);
  armKeepAlive(core, c);
  core.touch(c);
  if (core.has(c, Is.Passive) && !core.opted(c, Opt.DeferAccept)) enqueue(core, c);
  if (isDeferred(core, c)) core.setTimer(c, Timer.Slow, nowUs + DEFER_ACCEPT_US);
  core.tell(c);
}

/** True if the listener's user is not told of `c` yet, as it has no data. */
export const isDeferred = (core: Core, c: number): boolean =>
  core.opted(c, Opt.DeferAccept) && core.col.listener[c] !== END && !core.has(c, Is.Queued);

/** RFC 9293 §3.8.4: off by default, and only while nothing else would tell that the peer is gone. */
export function armKeepAlive(core: Core, c: number): void {
  if (!core.opted(c, Opt.KeepAlive)) return;
  core.setTimer(c, Timer.Slow, core.col.heardUs[c]! + core.col.keepIdleUs[c]!);
}
