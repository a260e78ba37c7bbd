// Doubles of ports: they send what they are told and remember what they get.

import { assert } from '../../core/assert.ts';
import { type Burst, PLAIN } from '../../core/burst.ts';
import { Drop } from '../../core/drop.ts';
import { PortCounters } from '../../core/port.ts';
import type { Slab } from '../../core/slab.ts';
import { NEVER } from '../../core/time.ts';
import type { NodeFactory, SimPort } from '../../sim/sim.ts';
import { viewOf } from '../../wire/bytes.ts';

export interface Got {
  readonly timeUs: number;
  readonly bytes: Uint8Array;
  readonly hasOffload: boolean;
}

/** A port without a brain. */
export class Station implements SimPort {
  readonly counters = new PortCounters();
  readonly frameBytesMax: number = 70_000;
  readonly takesOffload: boolean;
  readonly got: Got[] = [];
  /** Called at each deadline; the next one is what it sets. */
  onTimer: (nowUs: number) => void = () => {};
  timerUs: number = NEVER;
  protected readonly slab: Slab;
  private readonly waiting: { bytes: Uint8Array; offload: Uint8Array | undefined }[] = [];
  private readonly area: number;
  private held: Got | undefined;

  constructor(slab: Slab, { takesOffload = false } = {}) {
    this.slab = slab;
    this.takesOffload = takesOffload;
    this.area = slab.alloc(1 << 17);
  }

  /** Sends a frame when the world next asks. */
  send(bytes: Uint8Array, offload?: Uint8Array): void {
    this.waiting.push({ bytes, offload });
  }

  receive(burst: Burst, _nowUs: number): boolean {
    const next = this.waiting.shift();
    if (next === undefined) return false;
    const at = this.area + 18;
    this.slab.bytes.set(next.bytes, at);
    if (next.offload) this.slab.bytes.set(next.offload, at - 10);
    burst.push(at, next.bytes.length, next.offload ? at - 10 : PLAIN);
    return this.waiting.length > 0;
  }

  queue(at: number, length: number, offload: number): Drop {
    assert(this.held === undefined, 'a frame is flushed before the next one');
    this.held = { timeUs: 0, bytes: this.slab.bytes.slice(at, at + length), hasOffload: offload !== PLAIN };
    return Drop.None;
  }

  flush(nowUs: number): boolean {
    if (this.held) this.take({ ...this.held, timeUs: nowUs });
    this.held = undefined;
    return true;
  }

  protected take(got: Got): void {
    this.got.push(got);
  }

  deadlineUs(): number {
    return this.timerUs;
  }

  expire(nowUs: number): void {
    if (this.timerUs > nowUs) return;
    this.timerUs = NEVER;
    this.onTimer(nowUs);
  }

  pause(): void {}
  close(): void {}
}

/** Sends everything back. */
export class Echo extends Station {
  protected override take(got: Got): void {
    super.take(got);
    this.send(got.bytes);
  }
}

/** A frame of `length` bytes from station `from` to station `to`, with `mark` behind the header. */
export function frame(length: number, { from = 1, to = 2, mark = 0 } = {}): Uint8Array {
  const bytes = new Uint8Array(length);
  bytes.set([2, 0, 0, 0, 0, to, 2, 0, 0, 0, 0, from, 0x88, 0xb5]);
  if (length >= 18) viewOf(bytes).setUint32(14, mark);
  return bytes;
}

export const markOf = ({ bytes }: Got): number => viewOf(bytes).getUint32(14);

/** Stations by name, made as a topology asks for them. */
export function stations(): { readonly make: NodeFactory; readonly by: Map<string, Station[]> } {
  const by = new Map<string, Station[]>();
  return {
    by,
    make: (world, name, ports) => {
      const made = Array.from({ length: ports }, () => new Station(world.slab));
      by.set(name, made);
      return made;
    },
  };
}
