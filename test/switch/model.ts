// A switch as one would explain it: maps, sets and strings. It decides the same and cares for nothing else.

import { BROADCAST_MAC, type FrameSpec } from './kit.ts';

export interface ModelPort {
  isUp: boolean;
  isBlocked: boolean;
  pvid: number | undefined;
  tagged: 'all' | ReadonlySet<number>;
}

export class Model {
  readonly ports: ModelPort[];
  isHub = false;
  private readonly ageUs: number;
  private stations = new Map<string, { port: number; seenUs: number }>();

  constructor(portsMax: number, ageUs: number) {
    this.ageUs = ageUs;
    this.ports = Array.from({ length: portsMax }, () => ({ isUp: true, isBlocked: false, pvid: 0, tagged: 'all' }));
  }

  flush(port?: number): void {
    for (const [key, entry] of this.stations) if (port === undefined || entry.port === port) this.stations.delete(key);
  }

  /** The same text as `send` of the kit. */
  forward(ingress: number, { dst, src, tci }: FrameSpec, nowUs: number): string {
    const vid = this.vlanOf(this.ports[ingress]!, tci);
    if (vid === undefined || isGroup(src)) return '';
    if (!this.isHub) this.stations.set(`${src}/${vid}`, { port: ingress, seenUs: nowUs });
    const known = this.stations.get(`${dst}/${vid}`);
    if (!this.isHub && !isGroup(dst) && known !== undefined && nowUs - known.seenUs < this.ageUs) {
      return known.port === ingress ? '' : `${known.port}${this.tagOn(this.ports[known.port]!, vid, tci)}`;
    }
    const members: string[] = [];
    for (const [number, port] of this.ports.entries()) {
      const tag = this.tagOn(port, vid, tci);
      if (number !== ingress && tag !== undefined) members.push(`${number}${tag}`);
    }
    return members.join(' ');
  }

  private vlanOf(port: ModelPort, tci: number | undefined): number | undefined {
    if (!port.isUp || port.isBlocked) return undefined;
    const vid = (tci ?? 0) % 4096;
    if (vid === 0) return port.pvid;
    return port.tagged === 'all' || port.tagged.has(vid) ? vid : undefined;
  }

  private tagOn(port: ModelPort, vid: number, tci: number | undefined): string | undefined {
    if (!port.isUp || port.isBlocked) return undefined;
    const isPriorityTag = tci !== undefined && tci % 4096 === 0;
    if (port.pvid === vid) {
      if (tci === undefined || (isPriorityTag && port.tagged === 'all')) return '';
      return ':pop';
    }
    if (vid === 0 || (port.tagged !== 'all' && !port.tagged.has(vid))) return undefined;
    if (tci === undefined) return `:push ${vid}`;
    return isPriorityTag ? `:tci ${(tci + vid).toString(16)}` : '';
  }
}

const isGroup = (mac: number): boolean => mac === BROADCAST_MAC || Math.floor(mac / 2 ** 40) % 2 === 1;
