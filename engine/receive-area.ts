// The memory that ports receive into: groups of cells for datagrams and one block for streams, handed out per breath.

import { assert } from '../core/assert.ts';
import { HEADROOM_BYTES } from '../core/port.ts';
import { NONE, type Slab } from '../core/slab.ts';
import type { ReceiveArea } from '../plug/plug.ts';

const GROUPS = 16; // ports whose datagrams wait for one common flush
const CELLS = 64; // datagrams a port a breath
const CELL_BYTES = 9232 + 64; // a jumbo frame and a little
const CELL_HEADROOM = 16;
const CELL_STRIDE = CELL_HEADROOM + CELL_BYTES + 96; // an odd number of cache lines, so that cells spread over the cache
const BLOCK_BYTES = 512 << 10;
const BLOCK_HEADROOM = 64;
const MESSAGE_BYTES = 64; // struct mmsghdr
const IOVEC_BYTES = 16;
const GROUP_HEADERS_BYTES = CELLS * (MESSAGE_BYTES + IOVEC_BYTES);

assert(CELL_HEADROOM >= HEADROOM_BYTES && BLOCK_HEADROOM >= HEADROOM_BYTES, 'frames need their headroom');
assert((CELL_STRIDE / 64) % 2 === 1, 'cells that start in the same cache sets evict each other');

/** See `ReceiveArea`. `exhale` flushes every port that has frames queued. */
export class Area implements ReceiveArea {
  readonly block: number;
  readonly blockBytes = BLOCK_BYTES;
  readonly cells = CELLS;
  readonly cellStride = CELL_STRIDE;
  readonly cellBytes = CELL_BYTES;
  messages = NONE;
  cell = NONE;
  private readonly exhale: () => void;
  private readonly headers: number;
  private readonly firstCell: number;
  private groups = 0; // in use
  private isBlockTaken = false;

  /** @param fill points the message headers of one group at the iovecs behind them. */
  constructor(slab: Slab, address: number, fill: (messages: number, count: number) => void, exhale: () => void) {
    this.exhale = exhale;
    this.headers = slab.alloc(GROUPS * GROUP_HEADERS_BYTES);
    const cells = slab.alloc(GROUPS * CELLS * CELL_STRIDE);
    const block = slab.alloc(BLOCK_BYTES + BLOCK_HEADROOM);
    assert(this.headers !== NONE && cells !== NONE && block !== NONE, 'the slab has no room to receive');
    this.block = block + BLOCK_HEADROOM;
    this.firstCell = cells + CELL_HEADROOM;
    for (let group = 0; group < GROUPS; group++) {
      const messages = this.headers + group * GROUP_HEADERS_BYTES;
      fill(messages, CELLS);
      for (let i = 0; i < CELLS; i++) {
        const iovec = messages + CELLS * MESSAGE_BYTES + i * IOVEC_BYTES;
        slab.view.setUint32(iovec, (address + this.firstCell + (group * CELLS + i) * CELL_STRIDE) >>> 0, true);
        slab.view.setUint32(iovec + 8, CELL_BYTES, true);
      }
    }
  }

  claimCells(): void {
    if (this.groups === GROUPS) this.exhale();
    const group = this.groups++;
    this.messages = this.headers + group * GROUP_HEADERS_BYTES;
    this.cell = this.firstCell + group * CELLS * CELL_STRIDE;
  }

  claimBlock(): void {
    if (this.isBlockTaken) this.exhale();
    this.isBlockTaken = true;
  }

  /** Every port was flushed: nobody needs what was received. */
  release(): void {
    this.groups = 0;
    this.isBlockTaken = false;
  }
}
