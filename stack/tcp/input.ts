// A segment comes in: is it whole, who is it for, and which section of RFC 9293 §3.10.7 is it under.

import { Drop } from '../../core/drop.ts';
import { fold, pseudoHeader4, pseudoHeader6 } from '../../wire/checksum.ts';
import { Protocol } from '../../wire/ipv4.ts';
import * as wire from '../../wire/tcp.ts';
import { isAny, isBroadcast, isMulticast } from '../address.ts';
import type { Packet } from '../packet.ts';
import { State } from './constants.ts';
import type { Core } from './core.ts';
import { takeAck } from './input-ack.ts';
import { receiveIntercepted, receiveListen } from './input-listen.ts';
import { receiveSynSent } from './input-syn-sent.ts';
import { noteTimestamp, receiveSynchronized, takeRest } from './input-synchronized.ts';
import { REOPEN, receiveTimeWait } from './input-time-wait.ts';
import { interceptorOf } from './intercept.ts';
import { after, before } from './sequence.ts';
import { END, Is, NO_CONNECTION } from './table.ts';
import { sendReset } from './transmit.ts';
import { receiveWindow } from './window.ts';

/** Takes a packet for this host. Never `Drop.NoSocket`: TCP answers for itself. */
export function receivePacket(core: Core, packet: Packet): Drop {
  const drop = readSegment(core, packet);
  if (drop !== Drop.None) return drop;
  const { segment } = core;
  const c = core.demux.find(packet.target, segment.targetPort, packet.source, segment.sourcePort, packet.iface);
  if (c !== NO_CONNECTION) return receiveFor(core, c);
  const w = core.timeWait.find(packet.target, segment.targetPort, packet.source, segment.sourcePort, packet.iface);
  if (w !== END) {
    const result = receiveTimeWait(core, w);
    return result === REOPEN ? reopen(core, packet, w) : result;
  }
  const l = listenerOf(core, packet);
  if (l !== NO_CONNECTION) return receiveListen(core, l, false, 0);
  return receiveUnheard(core, packet, false, 0);
}

/** Nobody listens: a SYN may be intercepted, everything else is for CLOSED. */
function receiveUnheard(core: Core, packet: Packet, hasFloor: boolean, floor: number): Drop {
  const { Syn, Ack, Rst, Fin } = wire.Flag;
  const i = interceptorOf(core, packet.iface);
  const isSyn = (core.segment.flags & (Syn | Ack | Rst | Fin)) === Syn;
  return i !== NO_CONNECTION && isSyn ? receiveIntercepted(core, i, hasFloor, floor) : receiveClosed(core);
}

/** RFC 9293 §3.10.7.1: CLOSED. A reset is never answered. */
function receiveClosed(core: Core): Drop {
  core.shared.drops.add(Drop.NoSocket);
  if ((core.segment.flags & wire.Flag.Rst) === 0) sendReset(core);
  return Drop.None;
}

function listenerOf(core: Core, packet: Packet): number {
  const spread = core.demux.hashOf(packet.source, core.segment.sourcePort, core.segment.targetPort, packet.target);
  return core.demux.findListener(packet.target, core.segment.targetPort, packet.iface, spread);
}

/** RFC 9293 §3.6.1: a new incarnation begins beyond the old one's numbers. */
function reopen(core: Core, packet: Packet, w: number): Drop {
  const l = listenerOf(core, packet);
  const floor = core.timeWait.col.sndNxt[w]!;
  core.timeWait.remove(w);
  return l === NO_CONNECTION ? receiveUnheard(core, packet, true, floor) : receiveListen(core, l, true, floor);
}

function receiveFor(core: Core, c: number): Drop {
  if (isPredicted(core, c)) {
    noteTimestamp(core, c);
    core.col.heardUs[c] = core.shared.nowUs;
    core.col.keepCount[c] = 0;
    takeAck(core, c);
    return takeRest(core, c);
  }
  return core.col.state[c] === State.SynSent ? receiveSynSent(core, c) : receiveSynchronized(core, c);
}

/**
 * Header prediction: in ESTABLISHED the next segment in order, with nothing special about it, passes all checks of
 * §3.10.7.4 with these few.
 */
function isPredicted(core: Core, c: number): boolean {
  const { col, segment, options } = core;
  if (col.state[c] !== State.Established || (segment.flags & ~wire.Flag.Psh) !== wire.Flag.Ack) return false;
  if (segment.seq !== col.rcvNxt[c] || segment.dataBytes > receiveWindow(core, c)) return false;
  if (before(segment.ack, col.sndUna[c]!) || after(segment.ack, col.sndNxt[c]!)) return false;
  if (core.has(c, Is.Probed | Is.Orphan)) return false;
  if (!core.has(c, Is.Timestamps)) return true;
  return options.hasTimestamps && ((options.tsVal - col.tsRecent[c]!) | 0) >= 0;
}

/** Checks the packet and reads its header into `segment` and `options`. */
function readSegment(core: Core, packet: Packet): Drop {
  const { view } = core.shared;
  const { at, bytes } = packet;
  const bad = wire.check(view, at, bytes);
  if (bad !== Drop.None) return bad;
  // RFC 9293 §3.9.2.3 (MUST-57), RFC 1122 §4.2.3.10: nothing that many were meant to have, and nothing from many.
  if (packet.isGroupFrame || isMulticast(packet.target) || isBroadcast(packet.target)) return Drop.BadTarget;
  if (isMulticast(packet.source) || isBroadcast(packet.source) || isAny(packet.source)) return Drop.BadSource;
  if (!packet.isChecksumKnown && !isChecksumRight(core, packet)) return Drop.TcpChecksum;
  const { segment } = core;
  const header = wire.headerBytes(view, at);
  segment.at = at;
  segment.sourcePort = wire.srcPort(view, at);
  segment.targetPort = wire.dstPort(view, at);
  segment.seq = wire.seq(view, at) | 0;
  segment.ack = wire.ack(view, at) | 0;
  segment.flags = wire.flags(view, at);
  segment.window = wire.window(view, at);
  segment.dataAt = at + header;
  segment.dataBytes = bytes - header;
  core.options.read(view, at);
  return Drop.None;
}

function isChecksumRight(core: Core, packet: Packet): boolean {
  const { view, checksum } = core.shared;
  const { ip, at, bytes } = packet;
  const pseudo = packet.isIp6
    ? pseudoHeader6(view, ip, Protocol.Tcp, bytes)
    : pseudoHeader4(view, ip, Protocol.Tcp, bytes);
  return fold(pseudo + checksum.sum(at, bytes)) === 0xffff;
}
