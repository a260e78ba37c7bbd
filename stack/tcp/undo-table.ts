// What was before a reduction, for connections that may have to undo one: few do, so that only they have a row.

import { StateError, type StateReader, type StateWriter } from '../../core/state.ts';

/** A connection without a row. */
export const NO_UNDO = -1;

/** The columns of a row. */
export const Before = {
  Cwnd: 0,
  Ssthresh: 1,
  Bytes: 2, // retransmitted in the episode and not yet reported as duplicates
  CubicMax: 3,
  CubicPrior: 4,
  CubicKUs: 5,
  CubicEpochUs: 6,
  CubicOrigin: 7,
  CubicReno: 8,
} as const;
export type Before = (typeof Before)[keyof typeof Before];

const COLUMNS = 9;
const ROWS_MIN = 4;

/** Rows that are taken and given back, grown by doubling. A free row's first column is the next free one. */
export class UndoTable {
  private cells = new Float64Array(0);
  private free = NO_UNDO;
  private fresh = 0; // rows from here on were never used

  take(): number {
    const row = this.free;
    if (row !== NO_UNDO) {
      this.free = this.cells[row * COLUMNS]!;
      return row;
    }
    if ((this.fresh + 1) * COLUMNS > this.cells.length) {
      const cells = new Float64Array(Math.max(ROWS_MIN * COLUMNS, 2 * this.cells.length));
      cells.set(this.cells);
      this.cells = cells;
    }
    return this.fresh++;
  }

  give(row: number): void {
    this.cells[row * COLUMNS] = this.free;
    this.free = row;
  }

  get(row: number, column: Before): number {
    return this.cells[row * COLUMNS + column]!;
  }

  set(row: number, column: Before, value: number): void {
    this.cells[row * COLUMNS + column] = value;
  }

  save(state: StateWriter): void {
    state
      .number(this.fresh)
      .number(this.free)
      .column(this.cells.slice(0, this.fresh * COLUMNS));
  }

  /** @param rowsMax refuses more rows. */
  load(state: StateReader, rowsMax: number): void {
    this.fresh = state.integer(0, rowsMax);
    this.free = state.integer(NO_UNDO, this.fresh - 1);
    this.cells = new Float64Array(this.fresh * COLUMNS);
    state.into(this.cells);
    let steps = 0;
    for (let row = this.free; row !== NO_UNDO; row = this.cells[row * COLUMNS]!) {
      const isRow = Number.isInteger(row) && row >= 0 && row < this.fresh;
      if (!isRow || ++steps > this.fresh) throw new StateError(`a list of undo rows of ${this.fresh}`);
    }
  }

  /** Throws `StateError` unless every number is a row or NO_UNDO. */
  check(rows: Int32Array): void {
    for (const row of rows) if (row < NO_UNDO || row >= this.fresh) throw new StateError(`undo row ${row}`);
  }
}
