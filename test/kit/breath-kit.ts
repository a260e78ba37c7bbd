// Networks of fake ports in virtual time, for tests of the breath.

import type { Burst } from '../../core/burst.ts';
import { PLAIN } from '../../core/burst.ts';
import { Drop } from '../../core/drop.ts';
import { JUMBO_FRAME_BYTES, type Port, PortCounters, SUPER_FRAME_BYTES } from '../../core/port.ts';
import { Slab } from '../../core/slab.ts';
import { Breath } from '../../engine/breath.ts';
import { Attachment, type Forwarder, Network } from '../../engine/network.ts';
import { patch } from '../../engine/patch.ts';
import { Switch, type SwitchOptions } from '../../switch/switch.ts';

const INPUT_BYTES = 8 << 20;

/** What a port sent: a copy of the frame, and of its offload header if it had one. */
export interface Sent {
  readonly bytes: Uint8Array;
  readonly offload: Uint8Array | undefined;
}

/** A port that brings what it is told to and keeps what it is given, until it is `stuck`. */
export class FakePort implements Port {
  readonly counters = new PortCounters();
  readonly frameBytesMax: number;
  readonly takesOffload: boolean;
  readonly sent: Sent[] = [];
  readonly pauses: boolean[] = [];
  isStuck = false;
  isFull = false;
  isClosed = false;
  private readonly slab: Slab;
  private readonly waiting: [number, number, number][] = [];
  private reported: [number, number, number][] = [];
  private readonly queued: [number, number, number][] = [];

  constructor(slab: Slab, takesOffload: boolean) {
    this.slab = slab;
    this.takesOffload = takesOffload;
    this.frameBytesMax = takesOffload ? SUPER_FRAME_BYTES : JUMBO_FRAME_BYTES;
  }

  bring(at: number, length: number, offload: number): void {
    this.reported = this.reported.filter(([place]) => place !== at); // its memory is in use again
    this.waiting.push([at, length, offload]);
  }

  /** What the last call reported is gone with this one: a breath that has not flushed it sends rubbish. */
  receive(burst: Burst): boolean {
    for (const [at, length] of this.reported.splice(0)) this.slab.bytes.fill(0xee, at, at + length);
    while (this.waiting.length > 0 && !burst.full) {
      const frame = this.waiting.shift()!;
      this.reported.push(frame);
      burst.push(...frame);
    }
    return this.waiting.length > 0;
  }

  queue(at: number, length: number, offload: number): Drop {
    if (this.isFull) return Drop.TxFull;
    this.queued.push([at, length, offload]);
    return Drop.None;
  }

  flush(): boolean {
    for (const [at, length, offload] of this.queued.splice(0)) {
      const header = offload === PLAIN ? undefined : this.slab.bytes.slice(offload, offload + 10);
      this.sent.push({ bytes: this.slab.bytes.slice(at, at + length), offload: header });
    }
    return !this.isStuck;
  }

  pause(isPaused: boolean): void {
    this.pauses.push(isPaused);
  }

  close(): void {
    this.isClosed = true;
  }
}

/** One thread's worth of networks. */
export class World {
  readonly slab = new Slab({ bytesMax: 64 << 20 });
  readonly breath = new Breath(this.slab);
  private readonly input = this.slab.alloc(INPUT_BYTES);
  private inputUsed = 64;
  private nextId = 1;
  nowUs = 1_000_000;

  network(name: string, options: Partial<SwitchOptions> = {}): Network {
    const portsMax = options.portsMax ?? 16;
    return new Network(name, new Switch({ ...options, portsMax }), { portsMax });
  }

  networkOf(forwarder: Forwarder): Network {
    return new Network('cable', forwarder, { portsMax: 2 });
  }

  attach(network: Network, number: number, { offload = false } = {}): Attachment & { fake: FakePort } {
    const fake = new FakePort(this.slab, offload);
    const attachment = this.place(fake, network, number);
    return Object.assign(attachment, { fake });
  }

  patch(one: Network, oneNumber: number, other: Network, otherNumber: number): [Attachment, Attachment] {
    const [here, there] = patch(this.breath);
    const a = this.place(here, one, oneNumber);
    const b = this.place(there, other, otherNumber);
    here.peer = b;
    there.peer = a;
    return [a, b];
  }

  /** Lets a port bring a frame at its next breath. */
  bring(from: Attachment & { fake: FakePort }, frame: Uint8Array, header?: Uint8Array): void {
    if (this.inputUsed + frame.length + 64 > INPUT_BYTES) this.inputUsed = 64;
    const at = this.input + this.inputUsed + 16;
    this.inputUsed = (this.inputUsed + 16 + frame.length + 31) & ~15;
    this.slab.bytes.set(frame, at);
    if (header) this.slab.bytes.set(header, at - 10);
    from.fake.bring(at, frame.length, header ? at - 10 : PLAIN);
  }

  breathe(from: Attachment): void {
    this.breath.breathe(from, this.nowUs);
    this.breath.exhale();
  }

  /** A frame enters and the breath is over. */
  send(from: Attachment & { fake: FakePort }, frame: Uint8Array, header?: Uint8Array): void {
    this.bring(from, frame, header);
    this.breathe(from);
  }

  private place(port: Port, network: Network, number: number): Attachment {
    const attachment = new Attachment(port, network, number, { kind: 'fake', description: '' }, this.nextId++);
    network.add(attachment, this.nowUs);
    return attachment;
  }
}

/** Untagged, or with the TCI given; 60 bytes unless told. `dst` 0 is broadcast. */
export function ether(
  dst: number,
  src: number,
  { tci, length = 60 }: { tci?: number; length?: number } = {},
): Uint8Array {
  const bytes = new Uint8Array(length).map((_, i) => i & 0xff);
  const view = new DataView(bytes.buffer);
  if (dst === 0) bytes.fill(0xff, 0, 6);
  else bytes.set([2, 0, 0, 0, dst >> 8, dst & 0xff], 0);
  bytes.set([2, 0, 0, 0, src >> 8, src & 0xff], 6);
  if (tci === undefined) view.setUint16(12, 0x88b6);
  else {
    view.setUint16(12, 0x8100);
    view.setUint16(14, tci);
    view.setUint16(16, 0x88b6);
  }
  return bytes;
}
