// Which stations may change port: everyone at once, but not all the time.

import { assert } from '../core/assert.ts';
import { US_PER_S } from '../core/time.ts';

/** The window in which moves of one station are counted. */
export const MOVE_US_DEFAULT = US_PER_S;
/** Moves of one station in a window before it is pinned. */
export const MOVES_MAX_DEFAULT = 5;
/** How long a flapping station stays pinned. */
export const PIN_US_DEFAULT = 5 * US_PER_S;

const PINNED = 255; // in `counts`

/** Times in whole µs. */
export interface MoveOptions {
  readonly moveUs?: number;
  /** 0 … 254. */
  readonly movesMax?: number;
  readonly pinUs?: number;
}

/**
 * A station that is heard on another port moves at once, because migration needs that (vde_switch waits 3 s). Flapping is
 * limited instead: after `movesMax` moves within `moveUs` the station is pinned where it is for `pinUs`. Its frames are
 * still forwarded; only learning is refused. Otherwise two ports with one MAC, or a loop, would rewrite the table with
 * every frame.
 *
 * One cell per entry of the table, beside it because only moves touch it.
 */
export class MoveGuard {
  private readonly counts: Uint8Array; // moves in the window, or PINNED
  private readonly sinceUs: Float64Array; // start of the window or of the pin; valid if the count is not 0
  private readonly moveUs: number;
  private readonly movesMax: number;
  private readonly pinUs: number;

  constructor(cells: number, options: MoveOptions) {
    this.counts = new Uint8Array(cells);
    this.sinceUs = new Float64Array(cells);
    this.moveUs = options.moveUs ?? MOVE_US_DEFAULT;
    this.movesMax = options.movesMax ?? MOVES_MAX_DEFAULT;
    this.pinUs = options.pinUs ?? PIN_US_DEFAULT;
    assert(this.movesMax >= 0 && this.movesMax < PINNED, `${this.movesMax} moves do not fit the counter`);
  }

  /** True if the station of `cell` may move now, and counts the move. */
  mayMove(cell: number, nowUs: number): boolean {
    let count = this.counts[cell]!;
    const elapsedUs = nowUs - this.sinceUs[cell]!;
    if (count === PINNED && elapsedUs < this.pinUs) return false;
    if (count === PINNED || elapsedUs >= this.moveUs) count = 0;
    const isPin = count >= this.movesMax;
    if (count === 0 || isPin) this.sinceUs[cell] = nowUs;
    this.counts[cell] = isPin ? PINNED : count + 1;
    return !isPin;
  }

  /** `cell` gets a station that has not moved yet. */
  reset(cell: number): void {
    this.counts[cell] = 0;
  }

  /** The entry of `from` moves to `to` in the table. */
  copy(from: number, to: number): void {
    this.counts[to] = this.counts[from]!;
    this.sinceUs[to] = this.sinceUs[from]!;
  }
}
