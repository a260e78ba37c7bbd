// How fast a bulk transfer goes, through whatever sockets the caller has.

import type { World } from './world.ts';

/** Both ends of a transfer, as functions that never block. */
export interface Transfer {
  readonly bytesTotal: number;
  /** Offers up to `bytes` more; how many were taken, 0 or less for none. */
  write(bytes: number): number;
  /** Takes what has arrived; how many bytes, 0 or less for none. */
  read(): number;
}

/** Moves bytes after every step of the world and keeps the times. */
export class GoodputMeter {
  writtenBytes = 0;
  readBytes = 0;
  /** When the first byte was taken by the sender, and the last one by the reader; -1 before. */
  firstUs = -1;
  lastUs = -1;
  private readonly world: World;
  private readonly transfer: Transfer;

  constructor(world: World, transfer: Transfer) {
    this.world = world;
    this.transfer = transfer;
    world.afterStep(() => this.move());
  }

  get isDone(): boolean {
    return this.readBytes >= this.transfer.bytesTotal;
  }

  /** Bytes per second between the first byte written and the last one read; 0 if no time passed. */
  get bytesPerS(): number {
    const us = this.lastUs - this.firstUs;
    return us <= 0 ? 0 : (this.readBytes * 1e6) / us;
  }

  private move(): void {
    const { transfer, world } = this;
    while (this.writtenBytes < transfer.bytesTotal) {
      const taken = transfer.write(transfer.bytesTotal - this.writtenBytes);
      if (taken <= 0) break;
      if (this.firstUs < 0) this.firstUs = world.nowUs;
      this.writtenBytes += taken;
    }
    for (let bytes = transfer.read(); bytes > 0; bytes = transfer.read()) {
      this.readBytes += bytes;
      this.lastUs = world.nowUs;
    }
  }
}

/** Jain's fairness index: 1 if all are equal, 1/n if one has everything. */
export function fairness(rates: readonly number[]): number {
  const sum = rates.reduce((total, rate) => total + rate, 0);
  const squares = rates.reduce((total, rate) => total + rate * rate, 0);
  return squares === 0 ? 1 : (sum * sum) / (rates.length * squares);
}
