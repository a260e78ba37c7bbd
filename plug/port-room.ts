// What listening plugs ask of the network that they let others into.

import type { Port } from '../core/port.ts';
import { ANY_PORT } from './vde-request.ts';

export { ANY_PORT };

/** Who came in, for listings. Everything a peer says of itself is untrusted. */
export interface PortInfo {
  /** `vde`, `stream`, `tap`, … */
  readonly kind: string;
  readonly description: string;
  readonly uid?: number | undefined;
  readonly pid?: number | undefined;
}

/** What a network with a gateway gives to somebody who joins. Addresses are text, as `10.0.2.15/24` and `fd00::15/64`. */
export interface JoinLease {
  readonly addresses: readonly string[];
  readonly gateways: readonly string[];
  /** In bytes. */
  readonly mtu: number;
  readonly dns: readonly string[];
  readonly search: readonly string[];
  /** Whoever had it left. */
  release(): void;
}

/** A network as those see it who bring ports. */
export interface PortRoom {
  /** The number that a port asking for `wanted` (or `ANY_PORT`) would get, or one line why it gets none. */
  reserve(wanted: number, uid: number): number | string;
  /** Counts somebody who came for a port and left without one. */
  refuse(): void;
  /** Puts a port at a number that `reserve` gave. */
  attach(port: Port, number: number, info: PortInfo): void;
  /** Takes it out and closes it, when the present breath is over. */
  detach(port: Port): void;
  /**
   * Addresses for a station that is to be called `name`; undefined where the network gives none, one line where it should
   * and cannot. `mac` has 6 bytes. `had`: the addresses of a lease that it has from whoever served the network before.
   */
  lease?(mac: Uint8Array, name: string, had: readonly string[]): JoinLease | string | undefined;
}
