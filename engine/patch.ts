// A patch cable between two networks of one thread: no copy, no system call.

import { PLAIN } from '../core/burst.ts';
import { Drop } from '../core/drop.ts';
import { type Port, PortCounters, SUPER_FRAME_BYTES } from '../core/port.ts';
import { type Breath, HOPS_MAX } from './breath.ts';
import type { Attachment } from './network.ts';

const FRAMES_MAX = 1024; // a hop of a breath: what one burst can bring

/** One end: what is queued here enters the other network when the breath flushes. */
export class PatchPort implements Port {
  readonly counters = new PortCounters();
  readonly takesOffload = true;
  readonly frameBytesMax = SUPER_FRAME_BYTES;
  /** Where frames come out: the other end's attachment. */
  peer: Attachment | undefined;
  private readonly breath: Breath;
  private readonly at = new Int32Array(FRAMES_MAX);
  private readonly length = new Int32Array(FRAMES_MAX);
  private readonly offload = new Int32Array(FRAMES_MAX);
  private count = 0;

  constructor(breath: Breath) {
    this.breath = breath;
  }

  receive(): boolean {
    return false;
  }

  queue(at: number, length: number, offload: number): Drop {
    if (this.count === FRAMES_MAX || !this.peer) return Drop.TxFull;
    const i = this.count++;
    this.at[i] = at;
    this.length[i] = length;
    this.offload[i] = offload;
    return Drop.None;
  }

  flush(): boolean {
    const { peer, count } = this;
    this.count = 0;
    if (!peer || peer.isGone) return true;
    if (this.breath.hops >= HOPS_MAX) {
      this.counters.drops.add(Drop.TooManyHops, count);
      return true;
    }
    for (let i = 0; i < count; i++) {
      this.counters.txFrames++;
      this.counters.txBytes += this.length[i]!;
      this.breath.route(peer, this.at[i]!, this.length[i]!, this.offload[i] ?? PLAIN);
    }
    return true;
  }

  pause(): void {
    // Nothing to read: frames come by `queue`.
  }

  close(): void {
    this.peer = undefined;
  }
}

/** Both ends; set each one's `peer` to the attachment of the other. */
export const patch = (breath: Breath): [PatchPort, PatchPort] => [new PatchPort(breath), new PatchPort(breath)];
