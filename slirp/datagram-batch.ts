// Datagrams on their way between the stack and the host's sockets: so many a system call. Columns of numbers; payloads in the slab.

import { assert } from '../core/assert.ts';
import { NONE, type Slab } from '../core/slab.ts';

/** Datagrams that one call takes or brings. */
export const BATCH_DATAGRAMS = 32;
/** The longest payload: a UDP datagram of 65,535 bytes, or an echo with its header. */
export const PAYLOAD_BYTES_MAX = 65535;

const CELL_BYTES = 65536;

/** `BATCH_DATAGRAMS` cells of 64 KiB of address space; what is not touched costs nothing. */
export class DatagramBatch {
  readonly slab: Slab;
  /** How many are in it. */
  count = 0;
  /** Where each payload is: `cellAt` of its row, unless its user says otherwise. */
  readonly at = new Int32Array(BATCH_DATAGRAMS);
  readonly bytes = new Int32Array(BATCH_DATAGRAMS);
  /** The other end: four words each, as `Address`. */
  readonly address = new Int32Array(4 * BATCH_DATAGRAMS);
  readonly port = new Int32Array(BATCH_DATAGRAMS);
  /** Of what was received: TTL or hop limit, and TOS or traffic class; -1 where the host does not say. */
  readonly hops = new Int32Array(BATCH_DATAGRAMS);
  readonly trafficClass = new Int32Array(BATCH_DATAGRAMS);
  private readonly base: number;

  constructor(slab: Slab) {
    this.slab = slab;
    this.base = slab.alloc(BATCH_DATAGRAMS * CELL_BYTES);
    assert(this.base !== NONE, 'the slab has no room for a batch of datagrams');
    for (let i = 0; i < BATCH_DATAGRAMS; i++) this.at[i] = this.cellAt(i);
  }

  /** The cell of row `i`: 64 KiB in the slab. */
  cellAt(i: number): number {
    return this.base + i * CELL_BYTES;
  }

  close(): void {
    this.slab.release(this.base, BATCH_DATAGRAMS * CELL_BYTES);
  }
}
