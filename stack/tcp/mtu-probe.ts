// Packetization layer path MTU discovery, RFC 4821, in the terms of RFC 8899: a lowered size is searched upward by probes.
//
// A black hole (timers.ts) or a router's word lowers the size. While `mtuProbeUs` is not 0 the connection does not trust a
// path whose lowered MTU merely ran out: it searches. `pathMtu` is PLPMTU, `mtuHigh` is a size that is known not to pass,
// `mtuProbe` is the size of the probe in flight. A probe is the connection's own next data in one longer segment; that it is
// lost is no congestion (RFC 4821 §7.5), if nothing else is lost with it. There is no timer: only data makes probes.

import { US_PER_S } from '../../core/time.ts';
import { HEADER_BYTES } from '../../wire/tcp.ts';
import { isIp4 } from '../address.ts';
import type { Core } from './core.ts';
import { setMss } from './establish.ts';
import { ProbeOutcome } from './recovery.ts';
import { Is, Opt } from './table.ts';
import { ipHeaderBytes, roomNow } from './transmit.ts';

/** RFC 8899 §5.1.1, PMTU_RAISE_TIMER; RFC 8201 §4: ten minutes. */
export const RAISE_US = 600 * US_PER_S;
/** RFC 8899 §5.1.2. */
const MAX_PROBES = 3;
/** Sizes that links have: what tunnels, PPPoE, Ethernet and jumbo frames leave. */
const COMMON = [1280, 1400, 1492, 1500, 9000] as const;
/** RFC 4821 §7.3: a search that is this near is over. */
const NEAR_BYTES = 24;
/** Segments behind the probe, by whose SACKs its loss is found: RFC 4821 §7.4. */
const BEHIND = 3;

/** The size of `c` was lowered by what a router said: its word holds for ten minutes. */
export function sizeLowered(core: Core, c: number): void {
  const { col, shared } = core;
  const { nowUs } = shared;
  const isSearching = col.mtuProbeUs[c]! > 0 && col.mtuProbeUs[c]! <= nowUs;
  if (!isSearching) col.mtuProbeUs[c] = nowUs + RAISE_US;
}

/** A black hole: the search begins with the next data (RFC 8899 §5.2: from Base to Search). */
export function startSearch(core: Core, c: number): void {
  const { col, shared } = core;
  col.mtuProbeUs[c] = shared.nowUs;
  col.mtuHigh[c] = 0;
  col.mtuTries[c] = 0;
}

/** A router said which size does not pass, at least while a search is under way. */
export function sizeRefused(core: Core, c: number, mtu: number): void {
  const { col } = core;
  if (col.mtuProbeUs[c] === 0) return;
  if (col.mtuHigh[c] === 0 || mtu + 1 < col.mtuHigh[c]!) col.mtuHigh[c] = mtu + 1;
}

/** Whether `c`, which sends smaller segments, believes that its path takes `mtu`: not if a lowered one merely ran out. */
export function believesRise(core: Core, c: number, path: number, mtu: number): boolean {
  return core.col.mtuProbeUs[c] === 0 || mtu < (core.mtuSink?.probeLimitOf?.(path) ?? 0);
}

/** The longest packet that the search may end with: by the link, and by what the peer takes. */
function limitOf(core: Core, c: number, path: number): number {
  const { col } = core;
  const headers = ipHeaderBytes(!isIp4(core.remote)) + HEADER_BYTES;
  const limit = Math.min(core.mtuSink?.probeLimitOf?.(path) ?? 0, col.peerMss[c]! + headers);
  return col.maxSegment[c]! > 0 ? Math.min(limit, col.maxSegment[c]! + headers) : limit;
}

/** The size to be tried next, 0 if the search is over. */
export function nextSize(low: number, high: number, limit: number): number {
  if (low >= limit) return 0;
  const end = high === 0 ? limit + 1 : Math.min(high, limit + 1);
  for (const size of COMMON) if (size > low && size < end) return size;
  if (end === limit + 1) return limit;
  return end - low > NEAR_BYTES ? (low + end) >> 1 : 0;
}

/** What became of the probe in flight, if it is known. `pathOf(c)` was called; true if the size was raised. */
export function settleProbe(core: Core, c: number, path: number): boolean {
  const { col, recovery } = core;
  const size = col.mtuProbe[c]!;
  const outcome = recovery.probeOutcome(c);
  if (size === 0 || outcome === ProbeOutcome.Pending) return false;
  col.mtuProbe[c] = 0;
  if (outcome === ProbeOutcome.Delivered) {
    col.mtuTries[c] = 0;
    core.mtuSink?.raiseMtu?.(core.local, core.remote, core.paths.ifaceOf(path), size);
    const again = core.pathOf(c);
    if (again < 0) return false;
    setMss(core, c, again);
    recovery.mssChanged(c, col.mss[c]!);
    return true;
  }
  if (outcome !== ProbeOutcome.Lost) return false;
  col.mtuTries[c] = col.mtuTries[c]! + 1;
  if (col.mtuTries[c]! >= MAX_PROBES) {
    col.mtuHigh[c] = size;
    col.mtuTries[c] = 0;
  }
  return false;
}

/** The payload of the probe that is to be sent now, 0 for none; then `mtuProbe` is its packet's size. */
export function probePayload(core: Core, c: number, path: number): number {
  const { col, recovery, shared } = core;
  if (col.mtuProbe[c]! > 0 || shared.nowUs < col.mtuProbeUs[c]!) return 0;
  // Without SACK the loss of a probe cannot be told from congestion.
  if (!core.has(c, Is.Sack) || core.has(c, Is.FinSent) || core.opted(c, Opt.Cork) || recovery.inRecovery(c)) return 0;
  const limit = limitOf(core, c, path);
  const size = nextSize(col.pathMtu[c]!, col.mtuHigh[c]!, limit);
  if (size === 0) {
    col.mtuProbeUs[c] = col.pathMtu[c]! >= limit ? 0 : shared.nowUs + RAISE_US;
    col.mtuHigh[c] = 0;
    return 0;
  }
  const mss = roomNow(core, c);
  const payload = mss + size - col.pathMtu[c]!;
  const needed = payload + BEHIND * mss;
  const unsent = (col.sndEnd[c]! - col.sndNxt[c]!) | 0;
  const window = (col.sndUna[c]! + col.sndWnd[c]! - col.sndNxt[c]!) | 0;
  if (unsent < needed || window < needed || recovery.allowance(c) < payload) return 0;
  col.mtuProbe[c] = size;
  return payload;
}
