// Room for datagram flows: a mapping is counted for the station that opens it, and where there is none left, exchanges that are
// done make room.

import { US_PER_S } from '../core/time.ts';
import type { Address } from '../stack/stack.ts';
import { type FlowTable, NO_ROW } from './flow-table.ts';
import { type FlowKind, type FlowParts, NO_STATION } from './parts.ts';

const DONE_AFTER_US = US_PER_S; // an answered exchange that may go

/** One table's. `remove` ends a mapping, its socket and what it was counted for. */
export class FlowRoom {
  private readonly parts: FlowParts;
  private readonly table: FlowTable;
  private readonly kind: FlowKind;
  private readonly remove: (m: number) => void;

  constructor(parts: FlowParts, table: FlowTable, kind: FlowKind, remove: (m: number) => void) {
    this.parts = parts;
    this.table = table;
    this.kind = kind;
    this.remove = remove;
    parts.caps.setGiver(kind, (station) => this.evict(station));
  }

  /** Counts a mapping in: its station, or `NO_STATION`. */
  take(guest: Address, mac: number): number {
    const { caps, counters } = this.parts;
    if (this.table.isFull && !this.make(NO_STATION)) {
      counters.guestFull++;
      return NO_STATION;
    }
    let station = caps.take(this.kind, guest, mac);
    // Who has as many as it may ends one of its own; if all together have, anybody's will do.
    if (station === NO_STATION && this.make(caps.find(guest, mac))) station = caps.take(this.kind, guest, mac);
    if (station === NO_STATION) counters.guestFull++;
    return station;
  }

  /** Ends an exchange that is done, of a station or of anybody (`NO_STATION`); false if there is none. */
  make(station: number): boolean {
    const m = this.table.findDone(station, this.parts.stack.shared.nowUs - DONE_AFTER_US);
    if (m !== NO_ROW) this.remove(m);
    return m !== NO_ROW;
  }

  /** One of a station's, done or not, goes for somebody who has fewer. */
  private evict(station: number): boolean {
    const m = this.table.findIdle(station);
    if (m === NO_ROW) return false;
    this.parts.counters.evicted++;
    this.remove(m);
    return true;
  }
}
