// The one contract between the breath and everything that frames come from or go to.

import type { Burst } from './burst.ts';
import { type Drop, DropCounters } from './drop.ts';

/** Frame and byte counts of one port, and why frames were dropped. Whole numbers, exact to 2^53. */
export class PortCounters {
  rxFrames = 0;
  rxBytes = 0;
  txFrames = 0; // counted when the host took them, not when they were queued
  txBytes = 0;
  readonly drops = new DropCounters();
}

/**
 * One end of an Ethernet cable. A plug, a stack, a gateway and a simulated link all are one; the switch cannot tell which.
 *
 * Frames live in the slab of the thread that breathes. What `receive` reports stays valid until every port was flushed,
 * which happens before the same port's next `receive`;
 * who keeps a frame longer copies it. In front of each frame, or of its offload header where that stands directly before
 * it, `HEADROOM_BYTES` bytes belong to whoever sends it on: they hold a length prefix.
 */
export interface Port {
  readonly counters: PortCounters;
  /** The longest frame this port can take, in bytes without FCS; the engine drops longer ones with a reason. */
  readonly frameBytesMax: number;
  /** True if it takes frames with a virtio_net_hdr: super-frames up to 64 KiB and checksums to be completed. */
  readonly takesOffload: boolean;
  /** Adds frames that arrived to `burst`. True if more may be waiting. Never blocks, never throws. */
  receive(burst: Burst, nowUs: number): boolean;
  /** Takes one frame for the next `flush`; the bytes stay valid until then. Says why if the frame was not taken. */
  queue(at: number, length: number, offload: number): Drop;
  /** Sends what was queued. False if some is still held: the port wants its ingress to pause until it drains. */
  flush(nowUs: number): boolean;
  /** Stops or restarts reading from the host: the breath pauses an ingress while its egress holds frames. */
  pause(isPaused: boolean): void;
  close(): void;
}

/** Bytes before every frame that an egress port may overwrite. */
export const HEADROOM_BYTES = 4;

/** The longest frame of a port that negotiated no super-frames: 9216 + Ethernet header + one tag, as VDE's switch:// takes. */
export const JUMBO_FRAME_BYTES = 9216 + 18;

/** The longest super-frame: an IP packet of 65,535 bytes with Ethernet header and tags. */
export const SUPER_FRAME_BYTES = 65535 + 14 + 8;
