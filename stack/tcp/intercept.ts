// Connections for addresses that are nobody's: what a gateway asks TCP for, on an interface that accepts any address.
//
// An interceptor is a listener without address and port, of one interface. A SYN there that is for no listener makes a
// connection in SYN-RECEIVED that is withheld: it is in the interceptor's accept queue at once, with both addresses and ports,
// and its SYN-ACK waits until the user admits it, having connected elsewhere maybe. Meanwhile the peer's SYNs are absorbed.
// Or the user refuses it, with a reset or an ICMP error. Who does neither loses it after a time. Bounds: the interceptor's
// backlog, and `halfOpenMax` of the stack; what is beyond is dropped without an answer, as the peer will ask again.

import { Drop } from '../../core/drop.ts';
import { NONE } from '../../core/slab.ts';
import { US_PER_S } from '../../core/time.ts';
import * as ipv4 from '../../wire/ipv4.ts';
import * as ipv6 from '../../wire/ipv6.ts';
import * as wire from '../../wire/tcp.ts';
import { ip4Of, isIp4, write6 } from '../address.ts';
import { Errno } from '../errno.ts';
import { senderOf } from '../packet.ts';
import { enqueue, isBacklogFull } from './accept-queue.ts';
import { State, SYN_RTO_US } from './constants.ts';
import { type Core, INTERCEPTORS, Timer } from './core.ts';
import { abortNow } from './end.ts';
import { after } from './sequence.ts';
import { END, Is, NO_CONNECTION } from './table.ts';
import { ipHeaderBytes } from './transmit.ts';

/** How long a connection is withheld: shorter than what a peer waits for its SYN-ACK. */
export const WITHHELD_US = 60 * US_PER_S;
/** `refuse` with a reset instead of an ICMP code. */
export const RESET = -1;
/** `refuse` without an answer: the peer hears nothing, as if its SYN was lost. */
export const SILENT = -2;

/** Who tells a sender that its packet was not delivered: the ICMP of the stack. */
export interface RefusalSink {
  /** "Unreachable" with `code` about the packet of `ipBytes` at `ip`, which came in by `iface`; limits apply. */
  unreachable(iface: number, ip: number, ipBytes: number, isIp6: boolean, code: number): void;
}

/** Makes `c`, fresh and unbound, the interceptor of interface `iface`: 0, -EINVAL, -EADDRINUSE. */
export function intercept(core: Core, c: number, iface: number, backlog: number): number {
  const { col, interceptors } = core;
  if (col.state[c] !== State.Closed || core.has(c, Is.Ported) || col.remotePort[c] !== 0) return -Errno.EINVAL;
  if (iface <= 0 || iface >= INTERCEPTORS) return -Errno.EINVAL;
  if (interceptors[iface] !== END) return -Errno.EADDRINUSE;
  col.iface[c] = iface;
  col.backlog[c] = Math.max(0, Math.min(65535, backlog));
  interceptors[iface] = c;
  core.enter(c, State.Listen);
  return 0;
}

/** The interceptor of `iface`, or NO_CONNECTION. */
export const interceptorOf = (core: Core, iface: number): number =>
  iface < INTERCEPTORS ? core.interceptors[iface]! : NO_CONNECTION;

/** `makeChild` of input-listen.ts. */
export type MakeChild = (core: Core, l: number) => number;

/** The SYN in hand is for nobody but interceptor `l`. `floor`: what our initial number must be after, if `hasFloor`. */
export function withhold(core: Core, l: number, hasFloor: boolean, floor: number, makeChild: MakeChild): Drop {
  if (isBacklogFull(core, l) || core.halfOpen >= core.limits.halfOpenMax) return Drop.TcpBacklog;
  const c = makeChild(core, l);
  if (c === NO_CONNECTION) return Drop.TcpMemory;
  const { col, segment, shared } = core;
  if (hasFloor && !after(col.iss[c]!, floor)) restart(core, c, (floor + 0x10000) | 0);
  const { Ece, Cwr } = wire.Flag;
  if ((segment.flags & (Ece | Cwr)) === (Ece | Cwr)) core.set(c, Is.Ecn);
  core.set(c, Is.Withheld);
  rememberSender(core, c);
  core.enter(c, State.SynReceived);
  enqueue(core, c);
  core.setTimer(c, Timer.Send, shared.nowUs + WITHHELD_US);
  return Drop.None;
}

function rememberSender(core: Core, c: number): void {
  const { shared, table } = core;
  if (c >= core.senders.length) {
    const senders = new Float64Array(table.size);
    senders.set(core.senders);
    core.senders = senders;
  }
  core.senders[c] = senderOf(shared.view, shared.packet);
}

function restart(core: Core, c: number, iss: number): void {
  const { col } = core;
  col.iss[c] = iss;
  col.sndUna[c] = iss;
  col.sndNxt[c] = (iss + 1) | 0;
  col.sndEnd[c] = (iss + 1) | 0;
}

/** A segment for a connection that is withheld: its SYN again, or the peer gives up. Nothing is answered. */
export function receiveWithheld(core: Core, c: number): Drop {
  const { col, segment } = core;
  if ((segment.flags & wire.Flag.Rst) === 0) return (segment.flags & wire.Flag.Syn) === 0 ? Drop.TcpAck : Drop.None;
  if (segment.seq !== col.rcvNxt[c]) return Drop.TcpReset;
  core.finish(c, Errno.ECONNRESET);
  return Drop.None;
}

/** The handshake goes on: 0, or -EINVAL for what is not withheld. How it went says `readiness`, as after `connect`. */
export function admit(core: Core, c: number): number {
  if (!core.has(c, Is.Withheld) || core.col.state[c] !== State.SynReceived) return -Errno.EINVAL; // the peer may be gone
  core.unset(c, Is.Withheld);
  core.set(c, Is.SynDue);
  core.setTimer(c, Timer.Send, core.shared.nowUs + SYN_RTO_US);
  core.touch(c);
  return 0;
}

/** Ends `c`, which its user has no more: with a reset, with "unreachable" and the `code` of its family, or `SILENT`. 0, -EINVAL. */
export function refuse(core: Core, c: number, code: number): number {
  if (!core.has(c, Is.Withheld)) return -Errno.EINVAL;
  core.unset(c, Is.Owned);
  if (code === RESET) abortNow(core, c, 0);
  else {
    if (code !== SILENT) tellUnreachable(core, c, code);
    core.finish(c, 0);
  }
  return 0;
}

/** The peer's SYN is gone; its headers, by which the peer knows it, are made again. */
function tellUnreachable(core: Core, c: number, code: number): void {
  const { col, shared, slab, refusals } = core;
  core.loadAddresses(c);
  const isIp6 = !isIp4(core.remote);
  const header = ipHeaderBytes(isIp6);
  const bytes = header + wire.HEADER_BYTES;
  const ip = slab.alloc(bytes);
  if (ip === NONE) return;
  const { view } = shared;
  shared.bytes.fill(0, ip, ip + bytes);
  if (isIp6) {
    ipv6.setClassFlow(view, ip, 0, 0);
    ipv6.setPayloadLength(view, ip, wire.HEADER_BYTES);
    ipv6.setNextHeader(view, ip, ipv4.Protocol.Tcp);
    ipv6.setHopLimit(view, ip, 64);
    write6(view, ipv6.srcAt(ip), core.remote);
    write6(view, ipv6.dstAt(ip), core.local);
  } else {
    ipv4.setHeaderBytes(view, ip, header);
    ipv4.setTotalLength(view, ip, bytes);
    ipv4.setProtocol(view, ip, ipv4.Protocol.Tcp);
    ipv4.setTtl(view, ip, 64);
    ipv4.setSrc(view, ip, ip4Of(core.remote));
    ipv4.setDst(view, ip, ip4Of(core.local));
    ipv4.seal(view, ip);
  }
  const at = ip + header;
  wire.setSrcPort(view, at, col.remotePort[c]!);
  wire.setDstPort(view, at, col.localPort[c]!);
  wire.setSeq(view, at, col.irs[c]!);
  wire.setHeaderBytes(view, at, wire.HEADER_BYTES);
  wire.setFlags(view, at, wire.Flag.Syn);
  wire.setWindow(view, at, col.sndWnd[c]!);
  refusals?.unreachable(col.iface[c]!, ip, bytes, isIp6, code);
  slab.release(ip, bytes);
}
