// The sink: takes every frame, gives none.

import type { Burst } from '../core/burst.ts';
import { Drop } from '../core/drop.ts';
import { type Port, PortCounters, SUPER_FRAME_BYTES } from '../core/port.ts';

/** `null://`: counts what it swallows. */
export class NullPort implements Port {
  readonly counters = new PortCounters();
  readonly frameBytesMax = SUPER_FRAME_BYTES;
  readonly takesOffload = true;

  receive(_burst: Burst, _nowUs: number): boolean {
    return false;
  }

  queue(_at: number, length: number, _offload: number): Drop {
    this.counters.txFrames++;
    this.counters.txBytes += length;
    return Drop.None;
  }

  flush(_nowUs: number): boolean {
    return true;
  }

  pause(): void {
    // It never brings frames.
  }

  close(): void {}
}
