// Whether a guest sends by an address that is another's.
//
// Who has an address is known by its lease, where there is one, else by the neighbour table: there it is whoever answered for
// it last. An address of which nothing is known may be anybody's. Asked when a flow is opened, and of datagrams that come from
// another hardware address than those before; the segments of a TCP connection prove by their numbers whose they are.

import type { Address, Stack } from '../stack/stack.ts';

/** The hardware address (48 bits) that an address was leased to, or 0. */
export type WhoHas = (address: Address) => number;

export class Senders {
  private readonly stack: Stack;
  private readonly iface: number;
  private readonly whoHas: WhoHas | undefined;

  constructor(stack: Stack, iface: number, whoHas?: WhoHas) {
    this.stack = stack;
    this.iface = iface;
    this.whoHas = whoHas;
  }

  /** From now on the neighbour table believes nobody who claims an address that is leased to somebody else. */
  open(): void {
    const { whoHas } = this;
    if (!whoHas) return;
    this.stack.autoconf.neighbors.mayHave = (address, mac) => {
      const leased = whoHas(address);
      return leased === 0 || leased === mac;
    };
  }

  close(): void {
    if (this.whoHas) this.stack.autoconf.neighbors.mayHave = undefined;
  }

  /** True if `address` is another's than `mac`'s; of frames without a sender (0) never. */
  isForged(address: Address, mac: number): boolean {
    if (mac === 0) return false;
    const leased = this.whoHas ? this.whoHas(address) : 0;
    if (leased !== 0) return leased !== mac;
    const { neighbors } = this.stack.autoconf;
    const n = neighbors.lookup(this.iface, address);
    const known = n < 0 ? 0 : neighbors.macOf(n);
    return known !== 0 && known !== mac;
  }
}
