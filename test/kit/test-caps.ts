// Caps by a guest's address, with bounds that a test moves; it throws if more is given back than was taken.

import { type Caps, FlowKind, NO_STATION } from '../../slirp/slirp.ts';
import { type Address, formatAddress } from '../../stack/stack.ts';

export class TestCaps implements Caps {
  perGuest = Infinity;
  max = Infinity;
  total = 0;
  private readonly guests: string[] = [];
  private readonly counts: number[] = [];

  take(_kind: FlowKind, guest: Address): number {
    let station = this.find(guest);
    if (station === NO_STATION) station = this.guests.push(formatAddress(guest)) - 1;
    const has = this.counts[station] ?? 0;
    if (has >= this.perGuest || this.total >= this.max) return NO_STATION;
    this.counts[station] = has + 1;
    this.total++;
    return station;
  }

  takeFor(): boolean {
    return true;
  }

  give(kind: FlowKind, station: number): void {
    if (kind === FlowKind.Connecting || station === NO_STATION) return;
    const has = this.counts[station] ?? 0;
    if (has <= 0) throw new Error(`more was given back than taken for ${this.guests[station]}`);
    this.counts[station] = has - 1;
    this.total--;
  }

  find(guest: Address): number {
    return this.guests.indexOf(formatAddress(guest));
  }

  relieve(): boolean {
    return false;
  }

  setGiver(): void {}
}
