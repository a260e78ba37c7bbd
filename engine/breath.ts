// The breath: inhale a batch from one port, decide for each frame, exhale one batch per port.

import { assert } from '../core/assert.ts';
import { Burst, PLAIN } from '../core/burst.ts';
import { Drop } from '../core/drop.ts';
import { HEADROOM_BYTES } from '../core/port.ts';
import { NONE, type Slab } from '../core/slab.ts';
import { NEVER, US_PER_MS } from '../core/time.ts';
import { checkOffload, OFFLOAD_HEADER_BYTES, Offloader, shiftOffload } from '../wire/offload.ts';
import type { Attachment } from './network.ts';

const BURST_FRAMES_MAX = 1024;
const SCRATCH_BYTES = 1 << 20; // retagged copies and the segments of super-frames, until the flush
const HOLD_US = 2 * US_PER_MS; // how long an ingress waits for a full egress before frames are dropped
const TAG_BYTES = 4;
const TAG_AT = 12; // after the two MAC addresses
const TPID_CTAG = 0x8100;
const TAG_KEEP = -1;
const TAG_POP = -2;
const TAG_REPLACE = 0x10000;

/**
 * Everything that happens to a frame between two system calls. No object, closure or Promise per frame.
 *
 * A full egress does not cost frames at once: the ingress that fed it is paused, for at most 2 ms, and the kernel
 * then holds the sender back. Nobody else is delayed. A port that does not drain in that time is congested: from then
 * on its frames are dropped when its queue is full, until it drains. Floods never make anybody wait.
 */
export class Breath {
  private readonly slab: Slab;
  private readonly burst = new Burst(BURST_FRAMES_MAX);
  private readonly segments = new Burst(BURST_FRAMES_MAX);
  private readonly dirty: Attachment[] = [];
  private readonly held: Attachment[] = []; // those with somebody waiting
  private readonly offloader: Offloader;
  private readonly scratch: number;
  private scratchUsed = 0;
  private editedOffload = PLAIN;
  private ingress: Attachment | undefined;
  private nowUs = 0;
  /** Frames that came in since the start. */
  frames = 0;

  constructor(slab: Slab) {
    this.slab = slab;
    this.offloader = new Offloader(slab);
    this.scratch = slab.alloc(SCRATCH_BYTES);
    assert(this.scratch !== NONE, 'the slab has no room for the scratch memory');
  }

  /** One port's turn: what it has is queued where it goes. `exhale` sends it, after the turns of others too. */
  breathe(from: Attachment, nowUs: number): void {
    this.nowUs = nowUs;
    const { burst } = this;
    let more = true;
    while (more && !from.isGone) {
      burst.count = 0;
      more = from.port.receive(burst, nowUs);
      this.ingress = from;
      for (let i = 0; i < burst.count; i++) this.route(from, burst.at[i]!, burst.length[i]!, burst.offload[i]!);
    }
  }

  /** A frame enters a network at `from`. The bytes stay valid until the next `exhale`. */
  route(from: Attachment, at: number, length: number, offload: number): void {
    const { forwarder, ends } = from.network;
    const { counters } = from.port;
    counters.rxFrames++;
    counters.rxBytes += length;
    this.frames++;
    const n = forwarder.forward(this.slab.view, at, length, from.number, this.nowUs);
    if (n === 0) {
      if (forwarder.lastDrop !== Drop.None) counters.drops.add(forwarder.lastDrop);
      return;
    }
    const isFlood = forwarder.isFlood;
    for (let i = 0; i < n; i++) {
      const to = ends[forwarder.egress[i]!];
      if (to === undefined) continue;
      const tag = forwarder.egressTag[i]!;
      for (let k = 0; k < to.length; k++) this.deliver(to[k]!, at, length, offload, tag, isFlood);
    }
  }

  /** Sends what was queued; those who fed a full port are paused. */
  exhale(): void {
    const { dirty } = this;
    for (let i = 0; i < dirty.length; i++) {
      const to = dirty[i]!;
      to.isDirty = false;
      const isDone = to.isGone || to.port.flush(this.nowUs);
      if (!isDone && !to.isCongested) for (const feeder of to.feeders) this.hold(to, feeder);
      to.feeders.length = 0;
    }
    dirty.length = 0;
    this.scratchUsed = 0;
  }

  /** `attachment` sent everything it held. */
  drained(attachment: Attachment): void {
    attachment.isCongested = false;
    this.release(attachment);
  }

  /** When `expire` is due. */
  deadlineUs(): number {
    let earliest = NEVER;
    for (const attachment of this.held) earliest = Math.min(earliest, attachment.holdUntilUs);
    return earliest;
  }

  /** Ends the holds that lasted too long. */
  expire(nowUs: number): void {
    for (let i = this.held.length - 1; i >= 0; i--) {
      const attachment = this.held[i]!;
      if (attachment.holdUntilUs > nowUs) continue;
      attachment.isCongested = true;
      this.release(attachment);
    }
  }

  /** Forgets an attachment that leaves: nobody may wait for it. */
  forget(attachment: Attachment): void {
    attachment.isGone = true;
    this.release(attachment);
    for (const other of this.held) {
      const i = other.waiting.indexOf(attachment);
      if (i >= 0) other.waiting.splice(i, 1);
    }
  }

  private deliver(to: Attachment, at: number, length: number, offload: number, tag: number, isFlood: boolean): void {
    if (tag !== TAG_KEEP) {
      const edited = this.retag(at, length, offload, tag);
      if (edited === NONE) {
        to.port.counters.drops.add(Drop.NoMemory);
        return;
      }
      this.send(
        to,
        edited,
        length + (tag === TAG_POP ? -TAG_BYTES : tag < TAG_REPLACE ? TAG_BYTES : 0),
        this.editedOffload,
        isFlood,
      );
      return;
    }
    this.send(to, at, length, offload, isFlood);
  }

  private send(to: Attachment, at: number, length: number, offload: number, isFlood: boolean): void {
    const { port } = to;
    if (offload !== PLAIN && !port.takesOffload) {
      this.sendComplete(to, at, length, offload, isFlood);
      return;
    }
    if (length > port.frameBytesMax) {
      port.counters.drops.add(Drop.TxTooLong);
      return;
    }
    const why = port.queue(at, length, offload);
    if (why !== Drop.None) {
      port.counters.drops.add(why === Drop.TxFull && to.isCongested ? Drop.TxCongested : why);
    }
    if (!to.isDirty) {
      to.isDirty = true;
      this.dirty.push(to);
    }
    if (!isFlood && to.feeders[to.feeders.length - 1] !== this.ingress) to.feeders.push(this.ingress!);
  }

  /** For a port without offloads: checksums are completed and super-frames split, here and nowhere else. */
  private sendComplete(to: Attachment, at: number, length: number, offload: number, isFlood: boolean): void {
    const { view } = this.slab;
    const why = checkOffload(view, offload, at, length);
    if (why !== Drop.None) {
      to.port.counters.drops.add(why);
      return;
    }
    if (!this.offloader.isSuper(offload)) {
      this.offloader.complete(offload, at, length);
      this.send(to, at, length, PLAIN, isFlood);
      return;
    }
    const { segments } = this;
    const used = this.segment(offload, at, length);
    if (used !== Drop.None) {
      to.port.counters.drops.add(used);
      return;
    }
    for (let i = 0; i < segments.count; i++) this.send(to, segments.at[i]!, segments.length[i]!, PLAIN, isFlood);
  }

  /** Fills `segments`; makes room by flushing once if the scratch memory is full. */
  private segment(offload: number, at: number, length: number): Drop {
    for (let tries = 0; ; tries++) {
      this.segments.count = 0;
      const into = this.scratch + this.scratchUsed;
      const why = this.offloader.segment(offload, at, length, into, SCRATCH_BYTES - this.scratchUsed, this.segments);
      if (why === Drop.None) {
        const last = this.segments.count - 1;
        if (last >= 0) this.scratchUsed = this.segments.at[last]! + this.segments.length[last]! - this.scratch;
        return why;
      }
      if (why !== Drop.NoMemory || tries > 0 || this.scratchUsed === 0) return why;
      this.exhale();
    }
  }

  /** A copy with another tag: where it is, or NONE. `editedOffload` says where its offload header is. */
  private retag(at: number, length: number, offload: number, tag: number): number {
    const { view, bytes } = this.slab;
    const need = HEADROOM_BYTES + OFFLOAD_HEADER_BYTES + length + TAG_BYTES;
    if (this.scratchUsed + need > SCRATCH_BYTES) this.exhale();
    if (need > SCRATCH_BYTES) return NONE;
    const header = this.scratch + this.scratchUsed + HEADROOM_BYTES;
    const to = header + OFFLOAD_HEADER_BYTES;
    this.scratchUsed += need;
    this.editedOffload = PLAIN;
    if (offload !== PLAIN) {
      bytes.copyWithin(header, offload, offload + OFFLOAD_HEADER_BYTES);
      this.editedOffload = header;
      if (tag === TAG_POP) shiftOffload(view, header, -TAG_BYTES);
      else if (tag < TAG_REPLACE) shiftOffload(view, header, TAG_BYTES);
    }
    bytes.copyWithin(to, at, at + TAG_AT);
    if (tag === TAG_POP) bytes.copyWithin(to + TAG_AT, at + TAG_AT + TAG_BYTES, at + length);
    else if (tag >= TAG_REPLACE) {
      bytes.copyWithin(to + TAG_AT, at + TAG_AT, at + length);
      view.setUint16(to + TAG_AT + 2, tag & 0xffff);
    } else {
      view.setUint16(to + TAG_AT, TPID_CTAG);
      view.setUint16(to + TAG_AT + 2, tag);
      bytes.copyWithin(to + TAG_AT + TAG_BYTES, at + TAG_AT, at + length);
    }
    return to;
  }

  private hold(full: Attachment, ingress: Attachment): void {
    if (full.waiting.includes(ingress) || ingress === full) return;
    if (full.waiting.length === 0) {
      full.holdUntilUs = this.nowUs + HOLD_US;
      this.held.push(full);
    }
    full.waiting.push(ingress);
    if (ingress.pauses++ === 0) ingress.port.pause(true);
  }

  private release(attachment: Attachment): void {
    const i = this.held.indexOf(attachment);
    if (i < 0) return;
    this.held.splice(i, 1);
    attachment.holdUntilUs = NEVER;
    for (const ingress of attachment.waiting) {
      if (--ingress.pauses === 0 && !ingress.isGone) ingress.port.pause(false);
    }
    attachment.waiting.length = 0;
  }
}
