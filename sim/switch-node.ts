// A switch or hub of the simulated world: the real one decides, this moves the frames.

import { assert } from '../core/assert.ts';
import type { Burst } from '../core/burst.ts';
import { PLAIN } from '../core/burst.ts';
import { Drop } from '../core/drop.ts';
import { FrameRing } from '../core/frame-ring.ts';
import { JUMBO_FRAME_BYTES, PortCounters } from '../core/port.ts';
import { NONE, type Slab } from '../core/slab.ts';
import { Switch, type SwitchOptions, TAG_KEEP, TAG_POP, TAG_REPLACE } from '../switch/switch.ts';
import { EtherType } from '../wire/ethernet.ts';
import { TAG_AT, TAG_BYTES, writeTag } from '../wire/vlan.ts';
import type { SimPort } from './sim-port.ts';

const RING_BYTES = 1 << 18; // what waits to be fetched: the world fetches after every frame

/** Ports of one switch, to be given to `World.node`, and the switch, to be configured. */
export interface SwitchNode {
  readonly switch: Switch;
  readonly ports: readonly SimPort[];
}

/** A switch with `portsMax` ports, all up. With `hub` it repeats and learns nothing. */
export function newSwitchNode(slab: Slab, options: SwitchOptions): SwitchNode {
  const it = new Switch({ hashSeed: 0, ...options });
  const ports: SwitchPort[] = [];
  for (let number = 0; number < options.portsMax; number++) {
    it.portUp(number, 0);
    ports.push(new SwitchPort(slab, it, number, ports));
  }
  return { switch: it, ports };
}

class SwitchPort implements SimPort {
  readonly counters = new PortCounters();
  readonly frameBytesMax = JUMBO_FRAME_BYTES;
  readonly takesOffload = false;
  private readonly slab: Slab;
  private readonly switch: Switch;
  private readonly number: number;
  private readonly siblings: readonly SwitchPort[];
  private readonly out: FrameRing;
  private readonly tagged: number; // a place for a frame whose tag changed
  private reported = 0;
  private at = 0;
  private length = 0;

  constructor(slab: Slab, it: Switch, number: number, siblings: readonly SwitchPort[]) {
    this.slab = slab;
    this.switch = it;
    this.number = number;
    this.siblings = siblings;
    this.out = new FrameRing(slab, { bytesMax: RING_BYTES });
    this.tagged = slab.alloc(JUMBO_FRAME_BYTES + TAG_BYTES);
    assert(this.tagged !== NONE, 'the slab has room for a frame of each port');
  }

  receive(burst: Burst, _nowUs: number): boolean {
    for (; this.reported > 0; this.reported--) this.out.shift();
    this.reported = this.out.peek(burst.at, burst.length, burst.max);
    burst.offload.fill(PLAIN, 0, this.reported);
    burst.count = this.reported;
    return this.out.count > this.reported;
  }

  queue(at: number, length: number, offload: number): Drop {
    if (this.length !== 0) return Drop.TxFull;
    if (offload !== PLAIN) return Drop.RxOffload;
    this.at = at;
    this.length = length;
    return Drop.None;
  }

  flush(nowUs: number): boolean {
    const { at, length, switch: it } = this;
    if (length === 0) return true;
    this.length = 0;
    this.counters.txFrames++;
    this.counters.txBytes += length;
    const count = it.forward(this.slab.view, at, length, this.number, nowUs);
    for (let i = 0; i < count; i++) this.siblings[it.egress[i]!]!.emit(at, length, it.egressTag[i]!);
    return true;
  }

  deadlineUs(): number {
    return this.number === 0 ? this.switch.deadlineUs() : Number.POSITIVE_INFINITY;
  }

  expire(nowUs: number): void {
    this.switch.expire(nowUs);
  }

  pause(): void {}

  close(): void {
    this.out.close();
    this.slab.release(this.tagged, JUMBO_FRAME_BYTES + TAG_BYTES);
  }

  private emit(at: number, length: number, tag: number): void {
    const isPushed = tag >= 0 && tag < TAG_REPLACE;
    const bytes = length + (tag === TAG_POP ? -TAG_BYTES : isPushed ? TAG_BYTES : 0);
    if (tag !== TAG_KEEP) this.retag(at, length, tag, isPushed);
    if (!this.out.push(tag === TAG_KEEP ? at : this.tagged, bytes)) {
      this.counters.drops.add(Drop.TxFull);
      return;
    }
    this.counters.rxFrames++;
    this.counters.rxBytes += bytes;
  }

  /** Writes the frame with its new tag to `tagged`. */
  private retag(at: number, length: number, tag: number, isPushed: boolean): void {
    const { bytes, view } = this.slab;
    const to = this.tagged;
    const from = at + TAG_AT + (isPushed ? 0 : TAG_BYTES);
    const rest = to + TAG_AT + (tag === TAG_POP ? 0 : TAG_BYTES);
    bytes.copyWithin(to, at, at + TAG_AT);
    bytes.copyWithin(rest, from, at + length);
    if (tag !== TAG_POP) writeTag(view, to + TAG_AT, EtherType.Vlan, tag & 0xffff);
  }
}
