// SYN cookies, RFC 4987 §3.6: a SYN-ACK whose numbers remember the SYN, so that it takes no memory.
//
// Sequence number: 24 bits of a keyed hash, 5 bits of a minute counter, 3 bits of MSS. Timestamp: the low 6 bits hold the
// peer's window scale (15: none), SACK permitted and ECN.

import { sipHash } from '../../core/siphash.ts';
import { US_PER_S } from '../../core/time.ts';
import { Flag } from '../../wire/tcp.ts';
import { ADDRESS_WORDS } from '../address.ts';
import type { Core } from './core.ts';
import { Opt } from './table.ts';
import { defaultMss, ipHeaderBytes, loose, sendLoose } from './transmit.ts';
import { shiftOf } from './window.ts';

const MSS_TABLE = [216, 536, 1000, 1220, 1360, 1440, 1460, 8960];
const COUNTER_US = 64 * US_PER_S;
const COUNTERS_BACK = 2; // a cookie is good for one to two minutes
const HIDDEN_BITS = 63;

const words = new Int32Array(2 * ADDRESS_WORDS + 4);

/** The hash of the packet in hand with the peer's initial number and the bits below it, so that none of them can be another. */
function hashOf(core: Core, peerIsn: number, counter: number, index: number): number {
  const { segment, shared } = core;
  words.set(shared.packet.source);
  words.set(shared.packet.target, ADDRESS_WORDS);
  words[2 * ADDRESS_WORDS] = (segment.sourcePort << 16) | segment.targetPort;
  words[2 * ADDRESS_WORDS + 1] = peerIsn;
  words[2 * ADDRESS_WORDS + 2] = counter;
  words[2 * ADDRESS_WORDS + 3] = index;
  return sipHash(core.cookies.key, words, 0, words.length) & 0xffffff00;
}

/** Answers the SYN in hand for listener `l`. */
export function sendCookie(core: Core, l: number): void {
  const { segment, options, shared } = core;
  const { packet } = shared;
  const peerMss = options.mss > 0 ? options.mss : defaultMss(packet.isIp6);
  let index = 0;
  while (index + 1 < MSS_TABLE.length && MSS_TABLE[index + 1]! <= peerMss) index++;
  const counter = Math.floor(shared.nowUs / COUNTER_US);
  core.local.set(packet.target);
  core.remote.set(packet.source);
  const path = core.paths.find(core.local, core.remote, packet.iface);
  if (path < 0) return;
  loose.iface = packet.iface;
  loose.localPort = segment.targetPort;
  loose.remotePort = segment.sourcePort;
  loose.seq = hashOf(core, segment.seq, counter, index) | ((counter & 31) << 3) | index;
  loose.ack = (segment.seq + 1) | 0;
  loose.flags = Flag.Syn | Flag.Ack;
  loose.window = Math.min(65535, core.col.rcvMax[l]!);
  loose.hopLimit = core.col.hopLimit[l]!;
  loose.trafficClass = core.col.trafficClass[l]!;
  loose.mss = core.paths.mtuOf(path) - ipHeaderBytes(packet.isIp6) - 20;
  if (options.hasTimestamps && core.opted(l, Opt.Timestamps)) hideOptions(core, l);
  core.cookieUs = Math.max(1, shared.nowUs);
  sendLoose(core);
}

/** Without timestamps nothing but the MSS can be remembered, so nothing else is agreed to. */
function hideOptions(core: Core, l: number): void {
  const { options, segment, isn, local, remote } = core;
  const asksEcn = (segment.flags & (Flag.Ece | Flag.Cwr)) === (Flag.Ece | Flag.Cwr);
  const sack = options.isSackPermitted && core.opted(l, Opt.Sack);
  const scales = options.scale >= 0 && core.opted(l, Opt.Scaling);
  const hidden = (scales ? options.scale : 15) | (sack ? 16 : 0) | (asksEcn ? 32 : 0);
  const offset = isn.timestampOffset(local, segment.targetPort, remote, segment.sourcePort);
  loose.hasTimestamps = true;
  // Rounded down, so the clock never shows a time that is yet to come.
  const now = (isn.clock - HIDDEN_BITS - 1) & ~HIDDEN_BITS;
  loose.tsVal = ((now | hidden) + (offset & ~HIDDEN_BITS)) | 0;
  loose.tsEcr = options.tsVal;
  loose.isSackPermitted = sack;
  loose.scale = scales ? shiftOf(core, l) : -1;
  if (asksEcn) loose.flags |= Flag.Ece;
}

/** The MSS of a good cookie that the ACK in hand brings back, else 0; what was hidden is in `core.cookieOptions`. */
export function cookieOf(core: Core): number {
  const { segment, options, shared } = core;
  if ((segment.flags & (Flag.Syn | Flag.Rst)) !== 0) return 0;
  if (core.cookieUs === 0 || shared.nowUs - core.cookieUs > 3 * COUNTER_US) return 0;
  const cookie = (segment.ack - 1) | 0;
  const now = Math.floor(shared.nowUs / COUNTER_US);
  const age = (now - ((cookie >>> 3) & 31)) & 31;
  if (age > COUNTERS_BACK || age > now) return 0;
  if (hashOf(core, (segment.seq - 1) | 0, now - age, cookie & 7) !== (cookie & 0xffffff00)) return 0;
  core.cookieOptions = options.hasTimestamps ? options.tsEcr & HIDDEN_BITS : 0;
  return MSS_TABLE[cookie & 7]!;
}
