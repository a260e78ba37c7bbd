// What a link carried, as a capture file with an interface for each end, in the world's time.

import { Direction, writePcapngInterface, writePcapngPacket, writePcapngSection } from '../wire/pcapng.ts';
import type { Link } from './link.ts';
import { type End, type Hop, type Observer, opposite } from './sim-port.ts';
import type { World } from './world.ts';

/** Collects a link's frames: at the end that offers them, and at the end that gets them. Time 0 is 1970. */
export class Capture implements Observer {
  /** Frames that came when the capture was full. */
  missedFrames = 0;
  private readonly chunks: Uint8Array[] = [];
  private readonly bytesMax: number;
  private bytesHeld = 0;

  constructor(world: World, link: Link, { bytesMax = 1 << 28 }: { bytesMax?: number } = {}) {
    this.bytesMax = bytesMax;
    this.add(writePcapngSection());
    for (const end of [0, 1] as const) this.add(writePcapngInterface(`${link.ends[end]}:${link.name}`));
    world.observe(this, link);
  }

  sent(hop: Hop, nowUs: number): void {
    this.write(hop, hop.from, Direction.Outbound, nowUs);
  }

  delivered(hop: Hop, nowUs: number): void {
    this.write(hop, opposite(hop.from), Direction.Inbound, nowUs);
  }

  /** Takes what was collected since the last call: the parts of one file, in order. */
  take(): Uint8Array[] {
    this.bytesHeld = 0;
    return this.chunks.splice(0);
  }

  private write({ view, at, length }: Hop, id: End, direction: number, nowUs: number): void {
    if (this.bytesHeld >= this.bytesMax) {
      this.missedFrames++;
      return;
    }
    this.add(writePcapngPacket(view, at, length, nowUs, { id, direction }));
  }

  private add(chunk: Uint8Array): void {
    this.chunks.push(chunk);
    this.bytesHeld += chunk.length;
  }
}
