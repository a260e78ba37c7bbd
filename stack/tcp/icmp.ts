// What ICMP errors do to connections: RFC 5461, RFC 5927, RFC 9293 §3.9.2.2.

import * as wire from '../../wire/tcp.ts';
import type { IcmpError } from '../packet.ts';
import { State } from './constants.ts';
import type { Core } from './core.ts';
import { sizeRefused } from './mtu-probe.ts';
import { after, before } from './sequence.ts';
import { NO_CONNECTION } from './table.ts';

/** Takes an ICMP error about a segment that this host sent. */
export function takeIcmp(core: Core, error: IcmpError): void {
  const { view } = core.shared;
  if (error.bytes < 8) return;
  const localPort = wire.srcPort(view, error.at);
  const remotePort = wire.dstPort(view, error.at);
  const c = core.demux.find(error.source, localPort, error.target, remotePort, error.iface);
  if (c === NO_CONNECTION) return;
  const { col } = core;
  // RFC 5927 §4.1: the error must quote something that is in flight.
  const seq = wire.seq(view, error.at) | 0;
  if (before(seq, col.sndUna[c]!) || after(seq, col.sndNxt[c]!)) return;
  if (error.mtuBytes > 0) {
    // RFC 5927 §7.2: what it quotes is in flight, so it is believed. `poll` sees it, and sends again what is too long.
    core.loadAddresses(c);
    core.mtuSink?.lowerMtu(core.local, core.remote, col.iface[c]!, error.mtuBytes);
    sizeRefused(core, c, error.mtuBytes);
    core.touch(c);
    return;
  }
  const state = col.state[c]!;
  const isOpening = state === State.SynSent || state === State.SynReceived;
  // RFC 5461 §4: hard errors end a connection only while it is being opened. All others are told if it fails later, but that
  // the next hop is not there this host knows for itself: as in Linux a connect waits no longer than its neighbour is looked for.
  if ((error.isHard && isOpening) || (error.isLocal && state === State.SynSent)) core.finish(c, error.errno);
  else col.softError[c] = error.errno;
}
