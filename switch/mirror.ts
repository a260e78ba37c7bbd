// The mirror: shows frames to one more port.

import { UsageError } from '../core/assert.ts';
import { NO_PORT } from './fdb.ts';
import { TAG_KEEP } from './vlan.ts';

/** Which frames the mirror shows, and to whom. */
export interface Mirror {
  readonly from: number | 'all';
  /** Seen from the switch: `ingress` is what comes in from the port. */
  readonly direction: 'ingress' | 'egress' | 'both';
  readonly to: number;
}

/** At most one mirror; off at first. */
export class MirrorPort {
  /** Who sees the frames; `NO_PORT`: there is no mirror. */
  to = NO_PORT;
  /** What `set` was given. */
  config: Mirror | undefined;
  private from = NO_PORT; // all
  private takesIngress = false;
  private takesEgress = false;

  set(mirror: Mirror): void {
    const { from, direction, to } = mirror;
    if (from === to) throw new UsageError(`port ${to} cannot mirror itself: name another port`);
    this.config = { from, direction, to };
    this.to = to;
    this.from = from === 'all' ? NO_PORT : from;
    this.takesIngress = direction !== 'egress';
    this.takesEgress = direction !== 'ingress';
  }

  clear(): void {
    this.config = undefined;
    this.to = NO_PORT;
  }

  /** Adds `to` to a decision of `count` ports if the mirror shows this frame; the new count. */
  add(egress: Int32Array, egressTag: Int32Array, count: number, ingress: number): number {
    if (ingress === this.to || !this.shows(egress, count, ingress)) return count;
    const found = indexOf(egress, this.to, count);
    const at = found < 0 ? count : found;
    egress[at] = this.to;
    egressTag[at] = TAG_KEEP;
    return found < 0 ? count + 1 : count;
  }

  private shows(egress: Int32Array, count: number, ingress: number): boolean {
    if (this.takesIngress && (this.from === NO_PORT || this.from === ingress)) return true;
    if (!this.takesEgress || count === 0) return false;
    return this.from === NO_PORT || indexOf(egress, this.from, count) >= 0;
  }
}

function indexOf(egress: Int32Array, port: number, count: number): number {
  for (let i = 0; i < count; i++) if (egress[i] === port) return i;
  return -1;
}
