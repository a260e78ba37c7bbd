// What became of leases since the last look, in words.

import type { Lease } from '../service/service.ts';
import { formatAddress } from '../stack/stack.ts';

/** Compares the table with what it was. */
export class LeaseNews {
  private before = new Map<string, string>();

  /** One line for every address that was leased to somebody, or to somebody else, or is free again. */
  since(leases: readonly Lease[]): string[] {
    const now = new Map<string, string>();
    for (const { state, address, where, mac, name } of leases) {
      if (state !== 'bound') continue;
      now.set(formatAddress(address), [mac || where, name].filter((part) => part !== '').join(' '));
    }
    const lines: string[] = [];
    for (const [address, who] of now) if (this.before.get(address) !== who) lines.push(`${address} to ${who}`);
    for (const [address, who] of this.before) if (!now.has(address)) lines.push(`${address} no longer to ${who}`);
    this.before = now;
    return lines;
  }
}
