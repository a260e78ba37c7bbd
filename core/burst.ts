// The frames that one port brought in one breath: three columns of numbers, no object a frame.

/** No offload header: the frame is complete, its checksums are in it. */
export const PLAIN = 0;

/** Up to `max` frames in the slab. They stay where they are until the port's next `receive`. */
export class Burst {
  readonly at: Int32Array; // offset in the slab of the destination MAC
  readonly length: Int32Array; // bytes, without FCS
  readonly offload: Int32Array; // offset of a 10-byte virtio_net_hdr, or PLAIN
  readonly max: number;
  count = 0;

  constructor(max: number) {
    this.max = max;
    this.at = new Int32Array(max);
    this.length = new Int32Array(max);
    this.offload = new Int32Array(max);
  }

  /** Appends a frame. The caller looks at `full` first. */
  push(at: number, length: number, offload: number): void {
    const n = this.count++;
    this.at[n] = at;
    this.length[n] = length;
    this.offload[n] = offload;
  }

  get full(): boolean {
    return this.count === this.max;
  }
}
