// RFC 5961: challenge ACKs, and their limits (§7).

import { US_PER_S } from '../../core/time.ts';
import type { Core } from './core.ts';
import { sendAck } from './transmit.ts';

// Ours: a second's worth. Each connection has its own count: one that all share tells an attacker, by a connection of his
// own, whether a guess about another hit.
const CHALLENGES_MAX = 10;

/** Answers with an ACK what may be an attack or a peer that restarted, so many times a second. */
export function challenge(core: Core, c: number): void {
  const { col } = core;
  const { nowUs } = core.shared;
  if (nowUs - col.challengeUs[c]! >= US_PER_S) {
    col.challengeUs[c] = nowUs;
    col.challenges[c] = 0;
  }
  if (col.challenges[c]! >= CHALLENGES_MAX) return;
  col.challenges[c] = col.challenges[c]! + 1;
  sendAck(core, c);
}
