// Puts segments together: header, options, data from the send ring, checksum; nothing is decided here.

import { Drop } from '../../core/drop.ts';
import { NONE } from '../../core/slab.ts';
import { US_PER_S } from '../../core/time.ts';
import { fold } from '../../wire/checksum.ts';
import { Protocol } from '../../wire/ipv4.ts';
import * as wire from '../../wire/tcp.ts';
import { isIp4 } from '../address.ts';
import { HOP_LIMIT_OF_LINK } from '../ip.ts';
import { MSS_DEFAULT_4, MSS_DEFAULT_6, State } from './constants.ts';
import { type Core, Timer } from './core.ts';
import { COOKIE_BYTES } from './fast-open.ts';
import { gapSacks, sacks } from './gaps.ts';
import {
  TIMESTAMPS_BYTES,
  writeCookie,
  writeMss,
  writeSackPermitted,
  writeSacks,
  writeScale,
  writeTimestamps,
  writeUserTimeout,
} from './options.ts';
import { fetchFromRing } from './ring.ts';
import { END, Is, Opt } from './table.ts';
import { announce } from './window.ts';

const ECT0 = 2; // RFC 3168 §5
const DSCP = 0xfc;
const IP4_HEADER_BYTES = 20;
const IP6_HEADER_BYTES = 40;

export const ipHeaderBytes = (isIp6: boolean): number => (isIp6 ? IP6_HEADER_BYTES : IP4_HEADER_BYTES);

/** RFC 9293 §3.7.1: the MSS of a peer that says none. */
export const defaultMss = (isIp6: boolean): number => (isIp6 ? MSS_DEFAULT_6 : MSS_DEFAULT_4);

/** Writes the fixed part of a header. */
function writeHeader(
  core: Core,
  at: number,
  ports: { localPort: number; remotePort: number },
  seq: number,
  ack: number,
  headerBytes: number,
  flags: number,
  window: number,
): void {
  const { view } = core.shared;
  wire.setSrcPort(view, at, ports.localPort);
  wire.setDstPort(view, at, ports.remotePort);
  wire.setSeq(view, at, seq);
  wire.setAck(view, at, ack);
  wire.setHeaderBytes(view, at, headerBytes);
  wire.setFlags(view, at, flags);
  wire.setWindow(view, at, window);
  wire.setChecksum(view, at, 0);
  wire.setUrgent(view, at, 0);
}

/** Completes the opened segment of which the data's sum is known, and sends it. */
function seal(
  core: Core,
  at: number,
  headerBytes: number,
  dataSum: number,
  hopLimit: number,
  trafficClass: number,
  segmentBytes: number,
): Drop {
  const { sender, shared } = core;
  sender.seal(wire.CHECKSUM_AT, sender.needsSum ? fold(shared.checksum.sum(at, headerBytes) + dataSum) : 0);
  return sender.send(hopLimit === 0 ? HOP_LIMIT_OF_LINK : hopLimit, trafficClass, segmentBytes);
}

// Ports of the segment in hand, so that no object is made for each.
const ports = { localPort: 0, remotePort: 0 };

function setPorts(localPort: number, remotePort: number): typeof ports {
  ports.localPort = localPort;
  ports.remotePort = remotePort;
  return ports;
}

/** Bytes of the SACK option of the next ACK; its blocks are in `sacks` then. */
function sackBytes(core: Core, c: number): number {
  if (!core.has(c, Is.Sack)) return 0;
  if (core.col.gapsCount[c] === 0 && !core.has(c, Is.Dsack)) return 0;
  const count = gapSacks(core, c, core.has(c, Is.Timestamps) ? 3 : 4);
  return count === 0 ? 0 : 4 + 8 * count;
}

/** Payload of a full segment that is sent now: RFC 6691 takes options off per segment. */
export const roomNow = (core: Core, c: number): number => core.col.mss[c]! - sackBytes(core, c);

/**
 * Sends a segment of `c` with `bytes` of data from `seq` on, on `path`. It acknowledges everything that came, which is noted.
 *
 * @param flags bits of `wire.Flag`; ACK is added.
 * @param segmentBytes above 0: cut it into segments of so much.
 * @param isNew RFC 3168 §6.1.5: only new data is sent as ECN-capable.
 */
export function emit(
  core: Core,
  c: number,
  path: number,
  flags: number,
  seq: number,
  bytes: number,
  segmentBytes: number,
  isNew: boolean,
): Drop {
  const { col } = core;
  const { view } = core.shared;
  const stamps = core.has(c, Is.Timestamps);
  const sackOption = sackBytes(core, c);
  const headerBytes = wire.HEADER_BYTES + (stamps ? TIMESTAMPS_BYTES : 0) + sackOption;
  const at = core.sender.open(path, Protocol.Tcp, headerBytes + bytes);
  if (at === NONE) return Drop.TxFull;
  const ecnBits = core.has(c, Is.EcnEcho) ? wire.Flag.Ece : 0;
  const window = announce(core, c);
  const all = flags | wire.Flag.Ack | ecnBits;
  const named = setPorts(col.localPort[c]!, col.remotePort[c]!);
  writeHeader(core, at, named, seq, col.rcvNxt[c]!, headerBytes, all, window);
  let p = wire.optionsAt(at);
  if (stamps) p = writeTimestamps(view, p, (core.isn.clock + col.tsOffset[c]!) | 0, col.tsRecent[c]!, false);
  if (sackOption > 0) writeSacks(view, p, sacks, (sackOption - 4) / 8);
  const sum =
    bytes === 0
      ? 0
      : fetchFromRing(core, col.sndAt[c]!, col.sndSize[c]!, seq, at + headerBytes, bytes, core.sender.needsSum);
  const ect = isNew && bytes > 0 && core.has(c, Is.Ecn) ? ECT0 : 0;
  acknowledged(core, c);
  return seal(core, at, headerBytes, sum, col.hopLimit[c]!, (col.trafficClass[c]! & DSCP) | ect, segmentBytes);
}

/** An ACK went out: none is due. */
function acknowledged(core: Core, c: number): void {
  const { col } = core;
  col.lastAck[c] = col.rcvNxt[c]!;
  core.unset(c, Is.AckDue | Is.Dsack);
  core.cancelTimer(c, Timer.Ack);
}

/** Sends `<SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK>` now; where the output is full, at the next poll. */
export function sendAck(core: Core, c: number): void {
  const path = core.pathOf(c);
  if (path >= 0 && emit(core, c, path, 0, core.col.sndNxt[c]!, 0, 0, false) !== Drop.TxFull) return;
  core.ackSoon(c);
}

/**
 * Sends `<SEQ=SND.NXT><CTL=RST>` of `c`. Deviates from RFC 9293 §3.10.5: with ACK, because §3.1 says that it is always set
 * once a connection is established, and because there are hosts that take no other.
 */
export function sendAbort(core: Core, c: number): void {
  const path = core.pathOf(c);
  if (path >= 0) emit(core, c, path, wire.Flag.Rst, core.col.sndNxt[c]!, 0, 0, false);
}

/** What we announce: RFC 9293 §3.7.1, by the interface and not by the path, which is the peer's to find out. */
export function announcedMss(core: Core, c: number, path: number): number {
  const { mtuSink, paths } = core;
  const mtu = mtuSink?.linkMtuOf?.(paths.ifaceOf(path)) ?? paths.mtuOf(path);
  const byLink = Math.min(65535, mtu - ipHeaderBytes(!isIp4(core.remote)) - wire.HEADER_BYTES);
  const wanted = core.col.maxSegment[c]!;
  return wanted > 0 ? Math.min(wanted, byLink) : byLink;
}

/** The room that a fast open cookie takes in the SYN or SYN-ACK of `c`, 0 if there is none. */
function cookieBytes(core: Core, c: number): number {
  if (!core.has(c, Is.CookieAsk)) return 0;
  const i = core.col.cookie[c]!;
  const bytes = core.has(c, Is.Passive) ? COOKIE_BYTES : i === END ? 0 : core.fastOpen.lengthOf(i);
  return (2 + bytes + 3) & ~3;
}

function writeSynCookie(core: Core, c: number, p: number): void {
  const { fastOpen } = core;
  const { view } = core.shared;
  if (core.has(c, Is.Passive)) {
    fastOpen.make(core.remote);
    writeCookie(view, p, fastOpen.made, 0, COOKIE_BYTES);
    return;
  }
  const i = core.col.cookie[c]!;
  writeCookie(view, p, fastOpen.words, i === END ? 0 : fastOpen.wordsAt(i), i === END ? 0 : fastOpen.lengthOf(i));
}

/**
 * Sends the SYN of `c`, or its SYN-ACK, with `bytes` of data. In a SYN the options are offers; in a SYN-ACK they answer the
 * peer's (RFC 7323 §1.3, RFC 2018 §2).
 */
export function emitSyn(core: Core, c: number, path: number, bytes: number): Drop {
  const { col } = core;
  const { view } = core.shared;
  const isAnswer = col.state[c] !== State.SynSent;
  const stamps = isAnswer ? core.has(c, Is.Timestamps) : core.opted(c, Opt.Timestamps);
  const sack = isAnswer ? core.has(c, Is.Sack) : core.opted(c, Opt.Sack);
  const scaling = isAnswer ? core.has(c, Is.Scaling) : core.opted(c, Opt.Scaling);
  const options = 4 + (stamps ? TIMESTAMPS_BYTES : 0) + (sack && !stamps ? 4 : 0) + (scaling ? 4 : 0);
  const timeoutS = userTimeoutS(core, c);
  const headerBytes = wire.HEADER_BYTES + options + cookieBytes(core, c) + (timeoutS > 0 ? 4 : 0);
  const at = core.sender.open(path, Protocol.Tcp, headerBytes + bytes);
  if (at === NONE) return Drop.TxFull;
  col.ourMss[c] = announcedMss(core, c, path);
  const flags = wire.Flag.Syn | (isAnswer ? wire.Flag.Ack : 0) | synEcn(core, c, isAnswer);
  const named = setPorts(col.localPort[c]!, col.remotePort[c]!);
  // RFC 7323 §2.2: the window of a SYN is never scaled.
  const window = announce(core, c);
  writeHeader(core, at, named, col.iss[c]!, isAnswer ? col.rcvNxt[c]! : 0, headerBytes, flags, window);
  let p = writeMss(view, wire.optionsAt(at), col.ourMss[c]!);
  if (stamps) {
    const echo = isAnswer ? col.tsRecent[c]! : 0;
    p = writeTimestamps(view, p, (core.isn.clock + col.tsOffset[c]!) | 0, echo, sack);
  } else if (sack) p = writeSackPermitted(view, p);
  if (scaling) p = writeScale(view, p, col.rcvWs[c]!);
  if (timeoutS > 0) p = writeUserTimeout(view, p, timeoutS);
  if (core.has(c, Is.CookieAsk)) writeSynCookie(core, c, p);
  const seq = (col.iss[c]! + 1) | 0;
  const sum =
    bytes === 0
      ? 0
      : fetchFromRing(core, col.sndAt[c]!, col.sndSize[c]!, seq, at + headerBytes, bytes, core.sender.needsSum);
  if (isAnswer) acknowledged(core, c);
  return seal(core, at, headerBytes, sum, col.hopLimit[c]!, col.trafficClass[c]! & DSCP, 0);
}

/** RFC 5482: what a SYN says of our user timeout, 0 for nothing; beside a fast open cookie there may be no room. */
function userTimeoutS(core: Core, c: number): number {
  if (!core.opted(c, Opt.UserTimeout) || core.has(c, Is.CookieAsk)) return 0;
  return Math.ceil(core.col.userTimeoutUs[c]! / US_PER_S);
}

/** RFC 3168 §6.1.1: both bits ask, ECE alone agrees; a SYN that was lost is repeated without. What was agreed to stays so. */
function synEcn(core: Core, c: number, isAnswer: boolean): number {
  if (isAnswer) return core.has(c, Is.Ecn) ? wire.Flag.Ece : 0;
  return core.opted(c, Opt.Ecn) && core.col.synCount[c] === 0 ? wire.Flag.Ece | wire.Flag.Cwr : 0;
}

/** Bytes of options of a SYN of `c` with data, to find how much data fits it. */
export function synHeaderBytes(core: Core, c: number): number {
  const stamps = core.opted(c, Opt.Timestamps) ? TIMESTAMPS_BYTES : 4;
  return wire.HEADER_BYTES + 4 + stamps + 4 + cookieBytes(core, c);
}

/** A segment that belongs to no connection in the table. Addresses are `core.local` and `core.remote`. */
export class Loose {
  iface = 0;
  localPort = 0;
  remotePort = 0;
  seq = 0;
  ack = 0;
  flags = 0;
  window = 0;
  hopLimit = 0; // as the table's
  trafficClass = 0;
  hasTimestamps = false;
  tsVal = 0;
  tsEcr = 0;
  // Of a SYN-ACK only.
  mss = 0;
  scale = -1;
  isSackPermitted = false;
}

/** The one that is filled in before `sendLoose`; that clears its options. */
export const loose = new Loose();

/** Sends `loose`, if there is a way and room. */
export function sendLoose(core: Core): Drop {
  const { view } = core.shared;
  const path = core.paths.find(core.local, core.remote, loose.iface);
  if (path < 0) return Drop.NoRoute;
  const { mss, scale, hasTimestamps, isSackPermitted } = loose;
  const syn = (mss > 0 ? 4 : 0) + (scale >= 0 ? 4 : 0) + (isSackPermitted && !hasTimestamps ? 4 : 0);
  const headerBytes = wire.HEADER_BYTES + syn + (hasTimestamps ? TIMESTAMPS_BYTES : 0);
  const at = core.sender.open(path, Protocol.Tcp, headerBytes);
  if (at === NONE) return Drop.TxFull;
  const named = setPorts(loose.localPort, loose.remotePort);
  writeHeader(core, at, named, loose.seq, loose.ack, headerBytes, loose.flags, loose.window);
  let p = wire.optionsAt(at);
  if (mss > 0) p = writeMss(view, p, mss);
  if (hasTimestamps) p = writeTimestamps(view, p, loose.tsVal, loose.tsEcr, isSackPermitted);
  else if (isSackPermitted) p = writeSackPermitted(view, p);
  if (scale >= 0) writeScale(view, p, scale);
  loose.mss = 0;
  loose.scale = -1;
  loose.hasTimestamps = false;
  loose.isSackPermitted = false;
  return seal(core, at, headerBytes, 0, loose.hopLimit, loose.trafficClass & DSCP, 0);
}

/**
 * RFC 9293 §3.10.7.1: answers the segment in hand, which is no RST, with a reset that its sender will believe:
 * `<SEQ=SEG.ACK><CTL=RST>`, or without an ACK `<SEQ=0><ACK=SEG.SEQ+SEG.LEN><CTL=RST,ACK>`.
 */
export function sendReset(core: Core): void {
  const { segment, shared } = core;
  const { packet } = shared;
  core.local.set(packet.target);
  core.remote.set(packet.source);
  loose.iface = packet.iface;
  loose.localPort = segment.targetPort;
  loose.remotePort = segment.sourcePort;
  loose.window = 0;
  loose.hopLimit = 0;
  loose.trafficClass = packet.trafficClass;
  const { flags } = segment;
  if ((flags & wire.Flag.Ack) !== 0) {
    loose.seq = segment.ack;
    loose.ack = 0;
    loose.flags = wire.Flag.Rst;
  } else {
    const length = ((flags & wire.Flag.Syn) !== 0 ? 1 : 0) + ((flags & wire.Flag.Fin) !== 0 ? 1 : 0);
    loose.seq = 0;
    loose.ack = (segment.seq + segment.dataBytes + length) | 0;
    loose.flags = wire.Flag.Rst | wire.Flag.Ack;
  }
  sendLoose(core);
}
