// What all parts of one stack share: memory, time, chance, counters.

import { DropCounters } from '../core/drop.ts';
import type { Slab } from '../core/slab.ts';
import { Checksum } from '../wire/checksum.ts';
import { IcmpError, Packet } from './packet.ts';

/** Seeds of the parts' random numbers: a purpose each, so that one more draw in a part does not shift another's. */
export const Purpose = {
  Isn: 1,
  Port: 2,
  FragmentId: 3,
  Neighbor: 4,
  Address: 5,
  Temporary: 6,
  Multicast: 7,
  Dhcp4: 8,
  Dhcp6: 9,
  Dns: 10,
  Mdns: 11,
  Cookie: 12,
  FastOpen: 13,
  Router: 14,
  Hash: 15,
  Tcp: 16,
  Flow: 17,
  Timestamp: 18,
} as const;

/** Given to every part at construction. Who writes what stands at the field. */
export class Shared {
  readonly slab: Slab;
  readonly view: DataView;
  readonly bytes: Uint8Array;
  readonly checksum: Checksum;
  /** 4 words that nobody may know; parts derive their `Random` from it. */
  readonly secret: Int32Array;
  readonly drops = new DropCounters();
  readonly packet = new Packet();
  readonly icmpError = new IcmpError();
  /** The stack's own time in µs, which goes on over save and restore. Set by `Stack` at every entry, never goes back. */
  nowUs = 0;

  constructor(slab: Slab, secret: Int32Array) {
    this.slab = slab;
    this.view = slab.view;
    this.bytes = slab.bytes;
    this.checksum = new Checksum(slab.memory);
    this.secret = secret;
  }
}

/** Who lives in a stack without being a part of it: a gateway, a server. Times are those of the stack's clock, `shared.nowUs`. */
export interface StackUser {
  /** The stack is polled: what it leads to is sent in the same turn. */
  turn(): void;
  /** When `expire` has something to do, `NEVER` if nothing. */
  deadlineUs(): number;
  /** Does what is due. Called early it does nothing. */
  expire(): void;
}

/** A part that has time and state of its own. The stack asks all of its parts, in a fixed order. */
export interface Part {
  /** When `expire` has something to do, `NEVER` if nothing. In the stack's own time. */
  deadlineUs(): number;
  /** Does all that is due at `shared.nowUs`. Called early it does nothing. */
  expire(): void;
}
