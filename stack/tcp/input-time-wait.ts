// RFC 9293 §3.10.7.4 in TIME-WAIT, RFC 1337, RFC 6191.

import { Drop } from '../../core/drop.ts';
import { Flag } from '../../wire/tcp.ts';
import type { Core } from './core.ts';
import { after } from './sequence.ts';
import { loose, sendLoose } from './transmit.ts';

/** What `receiveTimeWait` found: a SYN that may open the connection anew. */
export const REOPEN = -1;

/** Takes the segment in hand for entry `w`; REOPEN if it is a SYN for a listener, and the entry is to be removed then. */
export function receiveTimeWait(core: Core, w: number): Drop | typeof REOPEN {
  const { segment, options, timeWait, shared } = core;
  const { col } = timeWait;
  const { flags } = segment;
  // RFC 1337 §3: a reset does not shorten the wait.
  if ((flags & Flag.Rst) !== 0) return Drop.TcpReset;
  if ((flags & (Flag.Syn | Flag.Ack)) === Flag.Syn && isNewer(core, w)) return REOPEN;
  const stamps = col.hasTimestamps[w] === 1 && options.hasTimestamps;
  const isOld = stamps && ((options.tsVal - col.tsRecent[w]!) | 0) < 0;
  const length = segment.dataBytes + ((flags & Flag.Fin) !== 0 ? 1 : 0) + ((flags & Flag.Syn) !== 0 ? 1 : 0);
  const isNext = segment.seq === col.rcvNxt[w];
  if (isNext && length === 0 && !isOld) return Drop.None;
  // The peer's FIN came again: acknowledge it, and wait from now on.
  if ((flags & Flag.Fin) !== 0 && !isOld) timeWait.restart(w, shared.nowUs);
  answer(core, w);
  return isOld ? Drop.TcpPaws : Drop.TcpSequence;
}

/** RFC 6191 §2: newer by its timestamp, or by its sequence number. */
function isNewer(core: Core, w: number): boolean {
  const { segment, options } = core;
  const { col } = core.timeWait;
  const isAfter = after(segment.seq, col.rcvNxt[w]!);
  if (col.hasTimestamps[w] === 1 && options.hasTimestamps) {
    const later = (options.tsVal - col.tsRecent[w]!) | 0;
    return later > 0 || (later === 0 && isAfter);
  }
  return isAfter;
}

function answer(core: Core, w: number): void {
  const { col } = core.timeWait;
  const { packet } = core.shared;
  core.local.set(packet.target);
  core.remote.set(packet.source);
  loose.iface = col.iface[w]!;
  loose.localPort = col.localPort[w]!;
  loose.remotePort = col.remotePort[w]!;
  loose.seq = col.sndNxt[w]!;
  loose.ack = col.rcvNxt[w]!;
  loose.flags = Flag.Ack;
  loose.window = col.window[w]!;
  loose.hopLimit = col.hopLimit[w]!;
  loose.trafficClass = col.trafficClass[w]!;
  loose.hasTimestamps = col.hasTimestamps[w] === 1;
  loose.tsVal = (core.isn.clock + col.tsOffset[w]!) | 0;
  loose.tsEcr = col.tsRecent[w]!;
  sendLoose(core);
}
