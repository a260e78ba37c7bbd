// User calls that begin something: OPEN in its parts — bind, listen, connect, accept. RFC 9293 §3.10.1.

import { type Address, isAny, isBroadcast, isIp4, isMulticast } from '../address.ts';
import { Errno } from '../errno.ts';
import { ANY_IFACE } from '../ip.ts';
import { dequeue } from './accept-queue.ts';
import { State } from './constants.ts';
import { type Core, Timer } from './core.ts';
import { scopeOf } from './demux.ts';
import { prepareSyn } from './establish.ts';
import { addressAt, END, Is, NO_CONNECTION, Opt, setAddress } from './table.ts';

// RFC 6335 §6: dynamic ports.
const PORT_MIN = 49152;
const PORTS = 65536 - PORT_MIN;
const BACKLOG_MAX = 65535;

/** RFC 9293 §3.10.1: -EADDRINUSE, -EINVAL. Port 0: one is chosen. */
export function bind(core: Core, c: number, local: Address, port: number, iface: number): number {
  const { col, demux } = core;
  if (col.state[c] !== State.Closed || core.has(c, Is.Ported)) return -Errno.EINVAL;
  if (port < 0 || port > 65535 || isMulticast(local)) return -Errno.EINVAL;
  if (!core.isIp6Socket(c) && !isIp4(local) && !isAny(local)) return -Errno.EAFNOSUPPORT;
  const bound = iface === ANY_IFACE ? col.iface[c]! : iface;
  let chosen = port;
  if (port === 0) {
    chosen = freePort(core, c, local, bound);
    if (chosen === 0) return -Errno.EADDRINUSE;
  } else if (demux.isTaken(c, local, port, bound)) return -Errno.EADDRINUSE;
  else if (!core.opted(c, Opt.ReuseAddress) && core.timeWait.holdsPort(port)) return -Errno.EADDRINUSE;
  setAddress(col.local, c, local);
  col.localPort[c] = chosen;
  col.iface[c] = bound;
  demux.addPort(c);
  return 0;
}

/** A port that nobody holds, begun at a random one (RFC 6056 §3.3.1); 0 if there is none. */
function freePort(core: Core, c: number, local: Address, iface: number): number {
  const start = core.ports.below(PORTS);
  for (let i = 0; i < PORTS; i++) {
    const port = PORT_MIN + ((start + i) % PORTS);
    if (!core.demux.isTaken(c, local, port, iface)) return port;
  }
  return 0;
}

/** Passive OPEN. A listener may set its backlog again. */
export function listen(core: Core, c: number, backlog: number): number {
  const { col } = core;
  const state = col.state[c]!;
  if (state !== State.Closed && state !== State.Listen) return -Errno.EINVAL;
  if (state === State.Closed && col.remotePort[c] !== 0) return -Errno.EINVAL;
  if (!core.has(c, Is.Ported)) {
    const bound = bind(core, c, addressAt(col.local, c, core.local), 0, ANY_IFACE);
    if (bound < 0) return bound;
  }
  col.backlog[c] = Math.max(0, Math.min(BACKLOG_MAX, backlog));
  core.enter(c, State.Listen);
  return 0;
}

/** The next connection of a listener, or -EAGAIN, -EINVAL. */
export function accept(core: Core, c: number): number {
  if (core.col.state[c] !== State.Listen) return -Errno.EINVAL;
  const next = dequeue(core, c);
  return next === END ? -Errno.EAGAIN : next;
}

/** Active OPEN: -EINPROGRESS if the SYN will go out at the next poll. */
export function connect(core: Core, c: number, remote: Address, port: number, iface: number): number {
  const { col, paths } = core;
  const refused = cannotConnect(core, c, remote, port);
  if (refused !== 0) return refused;
  const local = addressAt(col.local, c, core.local);
  core.remote.set(remote);
  if (isIp4(remote) && isAny(local)) local[2] = 0xffff;
  const bound = iface === ANY_IFACE ? col.iface[c]! : iface;
  const path = paths.find(local, core.remote, bound);
  if (path < 0) return path;
  if (isAny(local)) local.set(paths.sourceOf(path));
  const scope = scopeOf(remote, paths.ifaceOf(path), bound);
  const bad = core.has(c, Is.Ported)
    ? checkFree(core, col.localPort[c]!, remote, port, scope)
    : choosePort(core, c, remote, port, scope);
  if (bad < 0) return bad;
  setAddress(col.local, c, core.local);
  setAddress(col.remote, c, core.remote);
  col.remotePort[c] = port;
  col.iface[c] = scope;
  start(core, c);
  return -Errno.EINPROGRESS;
}

/** Errors of OPEN that have nothing to do with the way. */
function cannotConnect(core: Core, c: number, remote: Address, port: number): number {
  const state = core.col.state[c]!;
  if (state === State.SynSent) return -Errno.EALREADY;
  if (state === State.Listen) return -Errno.EINVAL;
  if (state !== State.Closed) return -Errno.EISCONN;
  if (core.col.remotePort[c] !== 0) return -Errno.EINVAL; // it had its connection
  if (port <= 0 || port > 65535) return -Errno.EADDRNOTAVAIL;
  if (isAny(remote) || isMulticast(remote) || isBroadcast(remote)) return -Errno.ENETUNREACH; // MUST-46
  if (!core.isIp6Socket(c) && !isIp4(remote)) return -Errno.EAFNOSUPPORT;
  if (core.isIp6Socket(c) && core.opted(c, Opt.V6Only) && isIp4(remote)) return -Errno.ENETUNREACH;
  return 0;
}

/** 0 if no connection has these four, old ones in TIME-WAIT among them. */
function checkFree(core: Core, localPort: number, remote: Address, port: number, scope: number): number {
  const { demux, timeWait, local } = core;
  if (demux.find(local, localPort, remote, port, scope) !== NO_CONNECTION) return -Errno.EADDRNOTAVAIL;
  const w = timeWait.find(local, localPort, remote, port, scope);
  return w === END ? 0 : -Errno.EADDRNOTAVAIL;
}

/** RFC 6056 §3.3.1: from a random one on, the first port that is free for this peer. */
function choosePort(core: Core, c: number, remote: Address, port: number, scope: number): number {
  const { col, demux, local } = core;
  const first = core.ports.below(PORTS);
  for (let i = 0; i < PORTS; i++) {
    const candidate = PORT_MIN + ((first + i) % PORTS);
    if (demux.isTaken(c, local, candidate, scope) || checkFree(core, candidate, remote, port, scope) < 0) continue;
    col.localPort[c] = candidate;
    demux.addPort(c);
    return 0;
  }
  return -Errno.EADDRNOTAVAIL;
}

/** Enters SYN-SENT. */
function start(core: Core, c: number): void {
  const { col, isn, local, remote, shared } = core;
  const iss = isn.choose(local, col.localPort[c]!, remote, col.remotePort[c]!);
  col.tsOffset[c] = isn.timestampOffset(local, col.localPort[c]!, remote, col.remotePort[c]!);
  col.iss[c] = iss;
  col.sndUna[c] = iss;
  col.sndNxt[c] = (iss + 1) | 0;
  col.sndEnd[c] = (iss + 1) | 0;
  col.progressUs[c] = shared.nowUs;
  prepareSyn(core, c);
  if (col.fastOpenMax[c]! > 0) {
    core.set(c, Is.CookieAsk);
    col.cookie[c] = core.fastOpen.find(remote);
  }
  core.demux.add(c, local, remote);
  core.enter(c, State.SynSent);
  core.set(c, Is.SynDue);
  if (col.userTimeoutUs[c]! > 0) core.setTimer(c, Timer.User, shared.nowUs + col.userTimeoutUs[c]!);
  core.touch(c);
}
