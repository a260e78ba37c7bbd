// RFC 9293 §3.10.7.2: LISTEN. A SYN makes a connection, or a cookie where there are too many that are half open (RFC 4987).

import { Drop } from '../../core/drop.ts';
import { Flag } from '../../wire/tcp.ts';
import type { Address } from '../address.ts';
import { enqueue, isBacklogFull } from './accept-queue.ts';
import { State, SYN_RTO_US } from './constants.ts';
import { type Core, Timer } from './core.ts';
import { scopeOf } from './demux.ts';
import { prepareSyn, takeSynOptions } from './establish.ts';
import { receiveSynchronized } from './input-synchronized.ts';
import { withhold } from './intercept.ts';
import { growReceiveRing, storeInRing } from './ring.ts';
import { after } from './sequence.ts';
import { cookieOf, sendCookie } from './syn-cookie.ts';
import { Is, NO_CONNECTION, setAddress } from './table.ts';
import { emitSyn, sendReset } from './transmit.ts';
import { shiftOf } from './window.ts';

/** Takes the segment in hand for listener `l`. `issFloor` is what our initial number must be after, if `hasFloor` (RFC 9293 §3.10.7.4, TIME-WAIT). */
export function receiveListen(core: Core, l: number, hasFloor: boolean, issFloor: number): Drop {
  const { segment } = core;
  const { flags } = segment;
  // First: RST.
  if ((flags & Flag.Rst) !== 0) return Drop.TcpReset;
  // Second: ACK. It may bring a cookie of ours back.
  if ((flags & Flag.Ack) !== 0) return takeCookie(core, l);
  // Third: SYN. Fourth: anything else is dropped.
  if ((flags & Flag.Syn) === 0) return Drop.TcpAck;
  if (isBacklogFull(core, l)) return Drop.TcpBacklog;
  if (core.halfOpen >= core.limits.halfOpenMax) {
    sendCookie(core, l);
    return Drop.None;
  }
  const c = makeChild(core, l);
  if (c === NO_CONNECTION) {
    sendCookie(core, l);
    return Drop.None;
  }
  const { col } = core;
  if (hasFloor && !after(col.iss[c]!, issFloor)) startAt(core, c, (issFloor + 0x10000) | 0);
  col.synSentUs[c] = core.shared.nowUs;
  // RFC 3168 §6.1.1: both bits ask.
  if ((flags & (Flag.Ece | Flag.Cwr)) === (Flag.Ece | Flag.Cwr)) core.set(c, Is.Ecn);
  core.enter(c, State.SynReceived);
  takeFastOpen(core, c, l);
  core.setTimer(c, Timer.Send, core.shared.nowUs + SYN_RTO_US);
  const path = core.pathOf(c);
  if (path >= 0) emitSyn(core, c, path, 0);
  return Drop.None;
}

function startAt(core: Core, c: number, iss: number): void {
  const { col } = core;
  col.iss[c] = iss;
  col.sndUna[c] = iss;
  col.sndNxt[c] = (iss + 1) | 0;
  col.sndEnd[c] = (iss + 1) | 0;
}

/** Takes the SYN in hand for interceptor `l`, as nobody listens. */
export function receiveIntercepted(core: Core, l: number, hasFloor: boolean, issFloor: number): Drop {
  return withhold(core, l, hasFloor, issFloor, makeChild);
}

/** A connection of listener `l` by the packet in hand, with everything that its SYN says; NO_CONNECTION if the table is full. */
function makeChild(core: Core, l: number): number {
  const { segment } = core;
  const { packet } = core.shared;
  const c = core.take();
  if (c === NO_CONNECTION) return c;
  inherit(core, l, c);
  const { col } = core;
  setAddress(col.local, c, packet.target);
  setAddress(col.remote, c, packet.source);
  col.localPort[c] = segment.targetPort;
  col.remotePort[c] = segment.sourcePort;
  col.iface[c] = scopeOf(packet.source, packet.iface, col.iface[l]!);
  col.listener[c] = l;
  core.set(c, Is.Passive);
  prepareSyn(core, c);
  takeSynOptions(core, c);
  nameNumbers(core, c, packet.target, packet.source);
  setReceive(core, c, segment.seq);
  col.sndWnd[c] = segment.window;
  col.sndMaxWnd[c] = segment.window;
  core.demux.add(c, packet.target, packet.source);
  core.demux.addPort(c);
  return c;
}

function nameNumbers(core: Core, c: number, local: Address, remote: Address): void {
  const { col, isn } = core;
  startAt(core, c, isn.choose(local, col.localPort[c]!, remote, col.remotePort[c]!));
  col.tsOffset[c] = isn.timestampOffset(local, col.localPort[c]!, remote, col.remotePort[c]!);
}

function setReceive(core: Core, c: number, irs: number): void {
  const { col } = core;
  const next = (irs + 1) | 0;
  col.irs[c] = irs;
  col.rcvNxt[c] = next;
  col.rcvRead[c] = next;
  col.rcvAdv[c] = next;
  col.lastAck[c] = next;
  col.heardUs[c] = core.shared.nowUs;
}

/** What the user set at the listener. */
function inherit(core: Core, l: number, c: number): void {
  const { col } = core;
  col.options[c] = col.options[l]!;
  for (const name of INHERITED) col[name][c] = col[name][l]!;
}

const INHERITED = [
  'synMax',
  'keepMax',
  'hopLimit',
  'trafficClass',
  'congestion',
  'initialWindow',
  'maxSegment',
  'sndMax',
  'rcvMax',
  'notSentLowat',
  'keepIdleUs',
  'keepIntervalUs',
  'userTimeoutUs',
  'lingerUs',
] as const;

/** RFC 7413 §4.2.2: data of a SYN with a good cookie is taken at once, and the connection is accepted before its handshake. */
function takeFastOpen(core: Core, c: number, l: number): void {
  const { col, options, segment, shared } = core;
  if (col.fastOpenMax[l] === 0 || options.cookieBytes < 0) return;
  if (!core.fastOpen.isValid(shared.view, options.cookieAt, options.cookieBytes, shared.packet.source)) {
    core.set(c, Is.CookieAsk); // the SYN-ACK brings a cookie
    return;
  }
  const bytes = Math.min(segment.dataBytes, col.rcvMax[c]!);
  if (bytes === 0 || core.halfOpen > col.fastOpenMax[l]!) return;
  if (!growReceiveRing(core, c, col.rcvRead[c]!, 0, bytes)) return;
  storeInRing(core, col.rcvAt[c]!, col.rcvSize[c]!, col.rcvNxt[c]!, segment.dataAt, bytes);
  col.rcvNxt[c] = (col.rcvNxt[c]! + bytes) | 0;
  col.rcvAdv[c] = col.rcvNxt[c]!;
  col.rcvSegment[c] = bytes;
  enqueue(core, c);
}

/** An ACK that no connection is for: the end of a handshake whose SYN-ACK was a cookie, or a reset is due. */
function takeCookie(core: Core, l: number): Drop {
  const { segment, options, shared } = core;
  const mss = cookieOf(core);
  if (mss === 0) {
    sendReset(core);
    return Drop.TcpAck;
  }
  if (isBacklogFull(core, l)) return Drop.TcpBacklog;
  // What the options of the SYN were was hidden in our timestamp; only then there are any.
  const { tsVal, hasTimestamps } = options;
  const hidden = core.cookieOptions;
  options.mss = mss;
  options.scale = hasTimestamps && (hidden & 15) !== 15 ? hidden & 15 : -1;
  options.isSackPermitted = hasTimestamps && (hidden & 16) !== 0;
  options.tsVal = tsVal;
  const c = makeChild(core, l);
  if (c === NO_CONNECTION) return Drop.TcpMemory;
  const { col } = core;
  startAt(core, c, (segment.ack - 1) | 0);
  setReceive(core, c, (segment.seq - 1) | 0);
  col.ourMss[c] = mss;
  if (options.scale >= 0) col.rcvWs[c] = shiftOf(core, c);
  if (hasTimestamps && (hidden & 32) !== 0) core.set(c, Is.Ecn);
  col.rcvAdv[c] = (col.rcvNxt[c]! + Math.min(65535, col.rcvMax[c]!)) | 0;
  col.sndMaxWnd[c] = segment.window << col.sndWs[c]!;
  col.heardUs[c] = shared.nowUs;
  core.enter(c, State.SynReceived);
  return receiveSynchronized(core, c);
}
