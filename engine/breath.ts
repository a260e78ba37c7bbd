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
const SCRATCH_BYTES = 4 << 20; // retagged copies and the segments of super-frames, until the flush
const SCRATCH_BYTES_LOW = SCRATCH_BYTES / 2; // beyond it we flush between two frames: one frame may need almost 1 MiB
const HOLD_US = 2 * US_PER_MS; // how long an ingress waits for a full egress before frames are dropped
const TAG_BYTES = 4;
const TAG_AT = 12; // after the two MAC addresses
const TPID_CTAG = 0x8100;
const TAG_KEEP = -1;
const TAG_POP = -2;
const TAG_REPLACE = 0x10000;
// A frame has at most one tag of each kind to push, pop or replace, so each edited copy is made once, however many get it.
const PUSHED = 0;
const POPPED = 1;
const REPLACED = 2;
const EDITS = 3;

/** Patch cables that a frame passes in one breath; more is a loop of networks, and ends there. */
export const HOPS_MAX = 16;

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
  // Filled up to `dirtyCount` and never shortened: an array that is emptied and filled again is allocated again.
  private readonly dirty: (Attachment | undefined)[] = [];
  private dirtyCount = 0;
  private readonly held: Attachment[] = []; // those with somebody waiting
  private readonly offloader: Offloader;
  private readonly scratch: number;
  private scratchUsed = 0;
  private readonly editedAt = new Int32Array(EDITS); // of the frame in hand; NONE if not made yet
  private readonly editedOffload = new Int32Array(EDITS);
  private hasEdits = false;
  private segmentedAt = NONE; // `segments` are those of the frame there
  private ingress: Attachment | undefined;
  private nowUs = 0;
  /** Frames that came in since the start. */
  frames = 0;
  /** Patch cables that the frames now being flushed have passed. */
  hops = 0;

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
    for (let i = 0; more && !from.isGone; i++) {
      if (i > 0) this.exhale(); // a port's next receive may move what its last one reported
      burst.count = 0;
      more = from.port.receive(burst, nowUs);
      this.ingress = from;
      for (let i = 0; i < burst.count; i++) {
        if (this.scratchUsed > SCRATCH_BYTES_LOW) this.exhale();
        this.route(from, burst.at[i]!, burst.length[i]!, burst.offload[i]!);
      }
    }
  }

  /** A frame enters a network at `from`. The bytes stay valid until the next `exhale`. */
  route(from: Attachment, at: number, length: number, offload: number): void {
    const { forwarder, ends } = from.network;
    const { counters } = from.port;
    counters.rxFrames++;
    counters.rxBytes += length;
    this.frames++;
    if (this.hasEdits) this.editedAt.fill(NONE);
    this.hasEdits = false;
    this.segmentedAt = NONE;
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

  /**
   * Sends what was queued; those who fed a full port are paused. A patch cable's flush brings frames into another network
   * and makes more ports dirty, behind those of its own hop. Never called from within `route`.
   */
  exhale(): void {
    const { dirty, ingress } = this;
    let hopEnd = this.dirtyCount;
    for (let i = 0; i < this.dirtyCount; i++) {
      if (i === hopEnd) {
        this.hops++;
        hopEnd = this.dirtyCount;
      }
      const to = dirty[i]!;
      to.isDirty = false;
      this.ingress = to.feeder; // whose frames they are in the network behind a patch cable too
      const isDone = to.isGone || to.port.flush(this.nowUs);
      if (!isDone && !to.isCongested && to.feeder) this.holdAll(to, to.feeder);
      to.feeder = undefined;
      if (to.moreFeeders.length > 0) to.moreFeeders.length = 0;
    }
    this.ingress = ingress;
    this.dirtyCount = 0;
    this.hops = 0;
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
    if (tag === TAG_KEEP) {
      this.send(to, at, length, offload, isFlood);
      return;
    }
    const kind = tag === TAG_POP ? POPPED : tag < TAG_REPLACE ? PUSHED : REPLACED;
    if (this.editedAt[kind] === NONE) this.retag(at, length, offload, tag, kind);
    const edited = this.editedAt[kind]!;
    if (edited === NONE) {
      to.port.counters.drops.add(Drop.NoMemory);
      return;
    }
    const growth = kind === POPPED ? -TAG_BYTES : kind === PUSHED ? TAG_BYTES : 0;
    this.send(to, edited, length + growth, this.editedOffload[kind]!, isFlood);
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
    if (why !== Drop.None) port.counters.drops.add(why === Drop.TxFull && to.isCongested ? Drop.TxCongested : why);
    // Full: its feeder waits, even though nothing of this burst is left to flush.
    if (!to.isDirty) {
      to.isDirty = true;
      this.dirty[this.dirtyCount++] = to;
    }
    if (!isFlood && to.feeder !== this.ingress) this.addFeeder(to);
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
    if (this.segmentedAt !== at) {
      const failed = this.segment(offload, at, length);
      if (failed !== Drop.None) {
        to.port.counters.drops.add(failed);
        return;
      }
    }
    for (let i = 0; i < segments.count; i++) this.send(to, segments.at[i]!, segments.length[i]!, PLAIN, isFlood);
  }

  /** Fills `segments`, once for all ports that get the frame. */
  private segment(offload: number, at: number, length: number): Drop {
    const { segments, scratchUsed } = this;
    segments.count = 0;
    const into = this.scratch + scratchUsed;
    const why = this.offloader.segment(offload, at, length, into, SCRATCH_BYTES - scratchUsed, segments);
    this.segmentedAt = why === Drop.None ? at : NONE;
    const last = segments.count - 1;
    if (last >= 0) this.scratchUsed = segments.at[last]! + segments.length[last]! - this.scratch;
    return why;
  }

  /** Makes a copy with another tag; `editedAt` stays NONE if there is no room. */
  private retag(at: number, length: number, offload: number, tag: number, kind: number): void {
    const { view, bytes } = this.slab;
    const need = HEADROOM_BYTES + OFFLOAD_HEADER_BYTES + length + TAG_BYTES;
    if (this.scratchUsed + need > SCRATCH_BYTES) return;
    const header = this.scratch + this.scratchUsed + HEADROOM_BYTES;
    const to = header + OFFLOAD_HEADER_BYTES;
    this.scratchUsed += need;
    this.hasEdits = true;
    this.editedAt[kind] = to;
    this.editedOffload[kind] = PLAIN;
    if (offload !== PLAIN) {
      bytes.copyWithin(header, offload, offload + OFFLOAD_HEADER_BYTES);
      this.editedOffload[kind] = header;
      if (kind === POPPED) shiftOffload(view, header, -TAG_BYTES);
      else if (kind === PUSHED) shiftOffload(view, header, TAG_BYTES);
    }
    bytes.copyWithin(to, at, at + TAG_AT);
    if (kind === POPPED) bytes.copyWithin(to + TAG_AT, at + TAG_AT + TAG_BYTES, at + length);
    else if (kind === REPLACED) {
      bytes.copyWithin(to + TAG_AT, at + TAG_AT, at + length);
      view.setUint16(to + TAG_AT + 2, tag & 0xffff);
    } else {
      view.setUint16(to + TAG_AT, TPID_CTAG);
      view.setUint16(to + TAG_AT + 2, tag);
      bytes.copyWithin(to + TAG_AT + TAG_BYTES, at + TAG_AT, at + length);
    }
  }

  private addFeeder(to: Attachment): void {
    const { ingress } = this;
    if (to.feeder === undefined) to.feeder = ingress;
    else if (ingress && !to.moreFeeders.includes(ingress)) to.moreFeeders.push(ingress);
  }

  private holdAll(full: Attachment, feeder: Attachment): void {
    this.hold(full, feeder);
    for (const other of full.moreFeeders) this.hold(full, other);
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
