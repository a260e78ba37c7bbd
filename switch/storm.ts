// The storm guard: how many frames that go to everybody a port may send in.

import { UsageError } from '../core/assert.ts';
import { US_PER_S } from '../core/time.ts';

/** Destination ff:ff:ff:ff:ff:ff. */
export const BROADCAST = 0;
/** Any other group address. */
export const MULTICAST = 1;
/** A station that is not in the table. */
export const UNKNOWN = 2;
const KINDS = 3;
const PPS_MAX = 1_000_000_000; // times the µs of a second it is exact in a double

/** Frames per second, whole; 0 or absent: no limit. */
export interface StormLimits {
  readonly broadcastPps?: number;
  readonly multicastPps?: number;
  readonly unknownPps?: number;
}

/**
 * Token buckets, one per port and kind. A bucket holds a tenth of a second's frames, at least one; it starts full. Tokens
 * are counted in millionths of a frame, so that rates of whole frames a second and whole µs never round.
 */
export class StormGuard {
  private readonly pps: Int32Array;
  private readonly tokens: Float64Array;
  private readonly filledUs: Float64Array;

  constructor(portsMax: number) {
    this.pps = new Int32Array(portsMax * KINDS);
    this.tokens = new Float64Array(portsMax * KINDS);
    this.filledUs = new Float64Array(portsMax * KINDS);
  }

  set(port: number, limits: StormLimits): void {
    const pps = [limits.broadcastPps ?? 0, limits.multicastPps ?? 0, limits.unknownPps ?? 0];
    for (const rate of pps) {
      if (Number.isInteger(rate) && rate >= 0 && rate <= PPS_MAX) continue;
      throw new UsageError(`${rate} frames a second is out of range: 1 to ${PPS_MAX}, or 0 for no limit`);
    }
    for (let kind = 0; kind < KINDS; kind++) {
      const i = port * KINDS + kind;
      this.pps[i] = pps[kind]!;
      this.tokens[i] = bucketOf(pps[kind]!);
      this.filledUs[i] = 0;
    }
  }

  /** True if one more frame may pass, and takes its token. */
  take(port: number, kind: number, nowUs: number): boolean {
    const i = port * KINDS + kind;
    const pps = this.pps[i]!;
    if (pps === 0) return true;
    const elapsedUs = Math.min(US_PER_S, nowUs - this.filledUs[i]!);
    const tokens = Math.min(bucketOf(pps), this.tokens[i]! + elapsedUs * pps);
    this.filledUs[i] = nowUs;
    if (tokens < US_PER_S) {
      this.tokens[i] = tokens;
      return false;
    }
    this.tokens[i] = tokens - US_PER_S;
    return true;
  }
}

const bucketOf = (pps: number): number => Math.max(1, Math.ceil(pps / 10)) * US_PER_S;
