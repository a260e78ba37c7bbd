// Fakes for the configuration clients: a clock, datagrams and streams in memory, and a snapshot of one part.

import { Burst } from '../../core/burst.ts';
import { Slab } from '../../core/slab.ts';
import { StateReader, StateWriter } from '../../core/state.ts';
import { type Address, assign, format } from '../../stack/address.ts';
import type { DatagramIo, DatagramOptions, StreamIo } from '../../stack/config/datagram-io.ts';
import { Errno } from '../../stack/errno.ts';
import { Output } from '../../stack/output.ts';
import { type Part, Shared } from '../../stack/shared.ts';

export const S = 1_000_000;
export const MAC = Uint8Array.of(2, 0, 0, 0, 0, 0x0a);

/** What was sent: when, to whom, what. */
export interface Sent {
  readonly atUs: number;
  readonly handle: number;
  readonly target: string;
  readonly port: number;
  readonly bytes: Uint8Array;
}

/** Datagram sockets whose sent datagrams are kept and whose received ones are given by the test. */
export class FakeDatagrams implements DatagramIo {
  readonly source = { address: new Int32Array(4) as Address, port: 0, iface: 0, hopLimit: 255 };
  readonly sent: Sent[] = [];
  readonly opened: (DatagramOptions | undefined)[] = [];
  private readonly queues: { bytes: Uint8Array; from: Address; port: number; hopLimit: number }[][] = [];
  private readonly shared: Shared;
  sendError = 0;

  constructor(shared: Shared) {
    this.shared = shared;
  }

  open(options: DatagramOptions): number {
    this.opened.push(options);
    this.queues.push([]);
    return this.opened.length - 1;
  }

  sendTo(handle: number, bytes: Uint8Array, target: Address, port: number): number {
    if (this.sendError < 0) return this.sendError;
    this.sent.push({ atUs: this.shared.nowUs, handle, target: format(target), port, bytes: bytes.slice() });
    return bytes.length;
  }

  receiveFrom(handle: number, into: Uint8Array): number {
    const datagram = this.queues[handle]!.shift();
    if (!datagram) return -Errno.EAGAIN;
    assign(this.source.address, datagram.from);
    this.source.port = datagram.port;
    this.source.hopLimit = datagram.hopLimit;
    this.source.iface = this.opened[handle]?.iface ?? 0;
    const count = Math.min(into.length, datagram.bytes.length);
    into.set(datagram.bytes.subarray(0, count));
    return count;
  }

  close(handle: number): void {
    this.opened[handle] = undefined;
    this.queues[handle] = [];
  }

  give(handle: number, bytes: Uint8Array, from: Address, port: number, hopLimit = 255): void {
    if (this.opened[handle]) this.queues[handle]!.push({ bytes, from: from.slice(), port, hopLimit });
  }

  get openCount(): number {
    return this.opened.filter((o) => o !== undefined).length;
  }
}

/** Streams that connect at once; the test answers what was sent. */
export class FakeStreams implements StreamIo {
  readonly connects: string[] = [];
  readonly sent: Uint8Array[] = [];
  readonly replies: Uint8Array[] = [];
  readonly closed: boolean[] = [];
  pieceBytes = 3;

  connect(target: Address, port: number): number {
    this.connects.push(`${format(target)} ${port}`);
    this.sent.push(new Uint8Array(0));
    this.replies.push(new Uint8Array(0));
    this.closed.push(false);
    return this.connects.length - 1;
  }

  send(handle: number, bytes: Uint8Array, from: number): number {
    const count = Math.min(this.pieceBytes, bytes.length - from);
    this.sent[handle] = Uint8Array.from([...this.sent[handle]!, ...bytes.subarray(from, from + count)]);
    return count;
  }

  receive(handle: number, into: Uint8Array, from: number): number {
    const reply = this.replies[handle]!;
    if (reply.length === 0) return -Errno.EAGAIN;
    const count = Math.min(this.pieceBytes, reply.length, into.length - from);
    into.set(reply.subarray(0, count), from);
    this.replies[handle] = reply.subarray(count);
    return count;
  }

  close(handle: number): void {
    this.closed[handle] = true;
  }
}

/** A stack's memory and clock, with an output and sockets. */
export function world(seed = 1) {
  const slab = new Slab({ bytesMax: 1 << 21 });
  const shared = new Shared(slab, Int32Array.of(seed, 2, 3, 4));
  const output = new Output(slab, { bytesMax: 1 << 17, framesMax: 64 });
  const io = new FakeDatagrams(shared);
  return { slab, shared, output, io, streams: new FakeStreams() };
}

/** All frames that wait in the output, copied. */
export function frames(shared: Shared, output: Output): Uint8Array[] {
  const out: Uint8Array[] = [];
  const burst = new Burst(64);
  output.drain(burst);
  for (let i = 0; i < burst.count; i++) out.push(shared.bytes.slice(burst.at[i]!, burst.at[i]! + burst.length[i]!));
  output.drain(new Burst(64));
  return out;
}

/** Goes from deadline to deadline until `untilUs`; `between` is called after each. */
export function run(shared: Shared, part: Part, untilUs: number, between: () => void = () => {}): void {
  for (let steps = 0; steps < 10_000; steps++) {
    const at = part.deadlineUs();
    if (at > untilUs) break;
    shared.nowUs = Math.max(shared.nowUs, at);
    part.expire();
    between();
  }
  shared.nowUs = Math.max(shared.nowUs, untilUs);
}

interface Saved {
  save(state: StateWriter): void;
  load(state: StateReader): void;
}

/** What `from` writes, read by `to`. */
export function transfer(from: Saved, to: Saved): void {
  to.load(new StateReader(saved(from)));
}

export function saved(part: Saved): Uint8Array<ArrayBuffer> {
  const writer = new StateWriter();
  part.save(writer);
  return writer.finish();
}
