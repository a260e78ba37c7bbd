// RFC 9293 §3.10.7.3: SYN-SENT.

import { Drop } from '../../core/drop.ts';
import { Flag } from '../../wire/tcp.ts';
import { isIp4 } from '../address.ts';
import { Errno } from '../errno.ts';
import { State, SYN_RTO_US } from './constants.ts';
import { type Core, Timer } from './core.ts';
import { establish, takeSynOptions } from './establish.ts';
import { takeRest } from './input-synchronized.ts';
import { after } from './sequence.ts';
import { Is, Opt } from './table.ts';
import { defaultMss, sendReset } from './transmit.ts';

/** Takes the segment in hand, which is for `c` in SYN-SENT. */
export function receiveSynSent(core: Core, c: number): Drop {
  const { col, segment } = core;
  const { flags, ack } = segment;
  const hasAck = (flags & Flag.Ack) !== 0;
  // First: ACK.
  if (hasAck && (!after(ack, col.iss[c]!) || after(ack, col.sndNxt[c]!))) {
    if ((flags & Flag.Rst) === 0) sendReset(core);
    return Drop.TcpAck;
  }
  // Second: RST, which counts with an acceptable ACK only.
  if ((flags & Flag.Rst) !== 0) {
    if (!hasAck) return Drop.TcpReset;
    core.finish(c, Errno.ECONNREFUSED);
    return Drop.None;
  }
  // Third, security, is not spoken. Fourth: SYN.
  if ((flags & Flag.Syn) === 0) return Drop.TcpAck; // Fifth: neither SYN nor RST.
  takePeerSyn(core, c);
  if (!hasAck) {
    openBothWays(core, c);
    return Drop.None;
  }
  keepCookie(core, c);
  takeSynAck(core, c);
  core.ackSoon(c);
  if (core.has(c, Is.FinDue)) core.enter(c, State.FinWait1);
  // Text and FIN behind the SYN: the sixth step of §3.10.7.4 and on.
  segment.seq = (segment.seq + 1) | 0;
  return takeRest(core, c);
}

function takePeerSyn(core: Core, c: number): void {
  const { col, segment } = core;
  takeSynOptions(core, c);
  const next = (segment.seq + 1) | 0;
  // What was announced in our SYN counts from here.
  const announced = (col.rcvAdv[c]! - col.rcvNxt[c]!) | 0;
  col.irs[c] = segment.seq;
  col.rcvNxt[c] = next;
  col.rcvRead[c] = next;
  col.rcvAdv[c] = (next + announced) | 0;
  col.lastAck[c] = next;
  col.heardUs[c] = core.shared.nowUs;
  col.sndWnd[c] = segment.window; // RFC 7323 §2.2: never scaled in a SYN
  col.sndMaxWnd[c] = segment.window;
  col.sndWl1[c] = segment.seq;
  col.sndWl2[c] = segment.ack;
}

/** Our SYN is acknowledged, and some of the data that it carried, or none (RFC 7413 §4.2.2). */
function takeSynAck(core: Core, c: number): void {
  const { col, segment } = core;
  // RFC 3168 §6.1.1: ECE without CWR agrees.
  const asked = col.synCount[c] === 0 && (segment.flags & (Flag.Ece | Flag.Cwr)) === Flag.Ece;
  if (asked && core.opted(c, Opt.Ecn)) core.set(c, Is.Ecn);
  const first = (col.iss[c]! + 1) | 0;
  const acked = segment.ack;
  col.sndUna[c] = acked;
  col.sndNxt[c] = acked;
  establish(core, c);
  if (acked !== first) {
    // Recovery begins at the first byte; what went with the SYN is acknowledged already.
    core.recovery.sent(c, acked);
    core.recovery.acked(c, acked, 0, 0);
  }
}

/** Simultaneous open, RFC 9293 §3.5: `<SEQ=ISS><ACK=RCV.NXT><CTL=SYN,ACK>`. */
function openBothWays(core: Core, c: number): void {
  const { col, segment } = core;
  if ((segment.flags & (Flag.Ece | Flag.Cwr)) === (Flag.Ece | Flag.Cwr) && core.opted(c, Opt.Ecn)) core.set(c, Is.Ecn);
  col.sndNxt[c] = (col.iss[c]! + 1) | 0;
  core.unset(c, Is.CookieAsk | Is.SynData);
  core.enter(c, State.SynReceived);
  core.set(c, Is.SynDue);
  col.synCount[c] = 0;
  core.setTimer(c, Timer.Send, core.shared.nowUs + SYN_RTO_US);
  core.touch(c);
}

/** RFC 7413 §4.1.3: the client keeps the server's cookie, and its MSS. */
function keepCookie(core: Core, c: number): void {
  const { options, shared } = core;
  if (!core.has(c, Is.CookieAsk) || options.cookieBytes <= 0) return;
  const mss = options.mss > 0 ? options.mss : defaultMss(!isIp4(shared.packet.source));
  core.fastOpen.keep(shared.packet.source, shared.view, options.cookieAt, options.cookieBytes, mss);
}
