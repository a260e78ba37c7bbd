// What the network layer asks of those who know the link: neighbours and group memberships.

import { Drop } from '../../core/drop.ts';
import type { Address } from '../address.ts';

/** The neighbour cache, as those who send packets see it. */
export interface NextHops {
  /** The neighbour's number, made if need be; -1 if there is no room. */
  find(iface: number, address: Address): number;
  /** True if its link-layer address is known. */
  isUsable(n: number): boolean;
  /** Writes its link-layer address, 6 bytes, and notes that a packet is being sent to it. RFC 4861 §7.3.3 */
  writeMac(n: number, at: number): void;
  use(n: number): void;
  /** Copies a complete frame to wait until the neighbour answers. `offload` is where its offload header is, or PLAIN. */
  hold(n: number, at: number, bytes: number, offload: number): Drop;
  /** The layer above heard from it. RFC 4861 §7.3.1 */
  confirm(n: number): void;
  /** The layer above hears nothing from it any more: is it there? RFC 1122 §3.3.1.4 */
  doubt?(n: number): void;
}

/** Group memberships, as those who receive packets see them. */
export interface Membership {
  /** True if somebody on this host wants what `source` sends to `group` on this interface. */
  isMember(iface: number, group: Address, source: Address): boolean;
}

/** No neighbour is known and none is looked for: of a stack that has only loopback. */
export const NO_NEXT_HOPS: NextHops = {
  find: () => -1,
  isUsable: () => false,
  writeMac: () => {},
  use: () => {},
  hold: () => Drop.NoNeighbor,
  confirm: () => {},
};

/** Nobody joined anything. */
export const NO_MEMBERSHIP: Membership = { isMember: () => false };
