// The frames that wait for a transmitter, first come, first served, and since when.

import type { QueueView } from './discipline.ts';

/** A ring of frame numbers that grows; its owner keeps the bounds, in bytes and frames. */
export class Waiting implements QueueView {
  bytes = 0;
  idleSinceUs = 0;
  count = 0;
  private ids = new Int32Array(16);
  private sinceUs = new Float64Array(16);
  private lengths = new Int32Array(16);
  private first = 0;

  push(id: number, length: number, nowUs: number): void {
    if (this.count === this.ids.length) this.grow();
    const slot = (this.first + this.count++) & (this.ids.length - 1);
    this.ids[slot] = id;
    this.sinceUs[slot] = nowUs;
    this.lengths[slot] = length;
    this.bytes += length;
  }

  /** When the oldest frame came. */
  get oldestUs(): number {
    return this.sinceUs[this.first]!;
  }

  /** Takes the oldest frame. */
  shift(): number {
    const id = this.ids[this.first]!;
    this.bytes -= this.lengths[this.first]!;
    this.first = (this.first + 1) & (this.ids.length - 1);
    this.count--;
    return id;
  }

  private grow(): void {
    const { ids, sinceUs, lengths, first, count } = this;
    this.ids = new Int32Array(2 * count);
    this.sinceUs = new Float64Array(2 * count);
    this.lengths = new Int32Array(2 * count);
    for (let i = 0; i < count; i++) {
      const slot = (first + i) & (count - 1);
      this.ids[i] = ids[slot]!;
      this.sinceUs[i] = sinceUs[slot]!;
      this.lengths[i] = lengths[slot]!;
    }
    this.first = 0;
  }
}
