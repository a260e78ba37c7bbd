// How large the buffers are while their user does not say: as large as the path needs, up to the stack's limits.
//
// Receiving: what the user took within a round trip, twice, is what the window must be for the sender to double its rate once
// more (dynamic right-sizing). The buffer only grows, so that the right edge of the window never moves back, and only for a
// user who keeps up. Sending: two congestion windows, one in flight and one that waits for it.

import { US_PER_MS } from '../../core/time.ts';
import type { Core } from './core.ts';
import { Opt } from './table.ts';

/** The round trip if none was measured; one that is too short only makes the buffer grow more slowly. */
const ROUND_US = 100 * US_PER_MS;
/** Room for the segments that come while the user is told. */
const SLACK_SEGMENTS = 16;

/** The user of `c` read. */
export function tuneReceive(core: Core, c: number): void {
  const { col, recovery, shared, limits } = core;
  const { nowUs } = shared;
  if (nowUs - col.tuneUs[c]! < (recovery.srttUs(c) || ROUND_US)) return;
  const copied = (col.rcvRead[c]! - col.tuneRead[c]!) | 0;
  const isFirst = col.tuneUs[c] === 0;
  col.tuneUs[c] = nowUs;
  col.tuneRead[c] = col.rcvRead[c]!;
  if (isFirst || core.opted(c, Opt.ReceiveFixed) || core.isTight) return;
  const wanted = Math.min(2 * copied + SLACK_SEGMENTS * col.ourMss[c]!, limits.receiveBufferBytesMax);
  if (wanted > col.rcvMax[c]!) col.rcvMax[c] = wanted;
}

/** The user of `c` waits for room in the send buffer. */
export function tuneSend(core: Core, c: number): void {
  const { col, recovery, limits } = core;
  if (core.opted(c, Opt.SendFixed) || core.isTight) return;
  const wanted = Math.min(2 * recovery.cwnd(c), limits.sendBufferBytesMax);
  if (wanted > col.sndMax[c]!) col.sndMax[c] = wanted;
}
