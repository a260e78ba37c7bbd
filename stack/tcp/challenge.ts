// RFC 5961: challenge ACKs, and their limits (§7).

import { US_PER_S } from '../../core/time.ts';
import type { Core } from './core.ts';
import { sendAck } from './transmit.ts';

// Ours: a second's worth.
const CHALLENGES_MAX = 1000;
const CHALLENGES_MAX_EACH = 10;

/** Answers with an ACK what may be an attack or a peer that restarted, so many times a second. */
export function challenge(core: Core, c: number): void {
  if (isAllowed(core, c)) sendAck(core, c);
}

function isAllowed(core: Core, c: number): boolean {
  const { col } = core;
  const { nowUs } = core.shared;
  if (nowUs - core.challengeUs >= US_PER_S) {
    core.challengeUs = nowUs;
    core.challenges = 0;
  }
  if (nowUs - col.challengeUs[c]! >= US_PER_S) {
    col.challengeUs[c] = nowUs;
    col.challenges[c] = 0;
  }
  if (core.challenges >= CHALLENGES_MAX || col.challenges[c]! >= CHALLENGES_MAX_EACH) return false;
  core.challenges++;
  col.challenges[c] = col.challenges[c]! + 1;
  return true;
}
