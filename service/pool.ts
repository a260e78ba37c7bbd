// The addresses of one family that may be leased: a range, and what is reserved beside it.

import { UsageError } from '../core/assert.ts';
import { type Address, formatAddress } from '../stack/stack.ts';

/** Addresses of one pool, at most. */
export const POOL_ADDRESSES_MAX = 16_384;

/** A range of addresses that leases come from. */
export interface PoolOptions {
  readonly first: Address;
  /** 1 … 16,384; the range does not leave the subnet. */
  readonly count: number;
  /** The subnet's prefix, of 32 or 128 bits. */
  readonly bits: number;
  /** Addresses of the range that are somebody's already: the gateway's, those of services. */
  readonly excluded?: readonly Address[];
  /** The lowest free address first, instead of one that follows from the client: what scripts for a single guest expect. */
  readonly isSequential?: boolean;
}

const MAPPED = 0xffff;
const isIp4 = (a: Address): boolean => a[0] === 0 && a[1] === 0 && a[2] === MAPPED;

/** The arithmetic of a range: numbers from 0 for its addresses. */
export class Pool {
  readonly count: number;
  readonly isIp6: boolean;
  readonly isSequential: boolean;
  private readonly first: Address;
  private readonly bits: number; // of 128
  private readonly excluded: ReadonlySet<number>;

  /** Throws `UsageError`. */
  constructor({ first, count, bits, excluded = [], isSequential = false }: PoolOptions) {
    this.first = first.slice();
    this.isIp6 = !isIp4(first);
    this.count = count;
    this.bits = this.isIp6 ? bits : bits + 96;
    this.isSequential = isSequential;
    this.check(bits);
    const numbers = excluded.map((address) => this.indexOf(address)).filter((i) => i >= 0);
    this.excluded = new Set(numbers);
    if (this.excluded.size >= count) throw new UsageError(`the pool at ${formatAddress(first)} has no address left`);
  }

  /** The number of an address, -1 outside of the range. */
  indexOf(address: Address): number {
    const { first } = this;
    if (address[0] !== first[0] || address[1] !== first[1] || address[2] !== first[2]) return -1;
    const i = (address[3]! >>> 0) - (first[3]! >>> 0);
    return i >= 0 && i < this.count ? i : -1;
  }

  /** A new address. */
  addressOf(i: number): Address {
    const address = this.first.slice();
    address[3] = (this.first[3]! >>> 0) + i;
    return address;
  }

  /** True if the number is nobody's by configuration. */
  mayLease(i: number): boolean {
    return !this.excluded.has(i);
  }

  /** True if it is an address of the subnet that a host may have. */
  isOnLink(address: Address): boolean {
    const { bits, first } = this;
    for (let i = 0, left = bits; left > 0; i++, left -= 32) {
      const differs = address[i]! ^ first[i]!;
      if (differs !== 0 && (left >= 32 || differs >>> (32 - left) !== 0)) return false;
    }
    if (this.isIp6 || bits >= 127) return true;
    const host = (address[3]! & (2 ** (128 - bits) - 1)) >>> 0;
    return host !== 0 && host !== 2 ** (128 - bits) - 1;
  }

  private check(bits: number): void {
    const { first, count, isIp6 } = this;
    const text = formatAddress(first);
    const bitsMax = isIp6 ? 128 : 32;
    if (!Number.isInteger(bits) || bits < 1 || bits > bitsMax) {
      throw new UsageError(`a pool of ${bits} prefix bits at ${text}: expected 1 to ${bitsMax}`);
    }
    if (!Number.isInteger(count) || count < 1 || count > POOL_ADDRESSES_MAX) {
      throw new UsageError(`a pool of ${count} addresses at ${text}: expected 1 to ${POOL_ADDRESSES_MAX}`);
    }
    if ((first[3]! >>> 0) + count > 2 ** 32 || !this.isOnLink(first) || !this.isOnLink(this.addressOf(count - 1))) {
      throw new UsageError(
        `a pool of ${count} addresses at ${text} leaves its subnet of ${bits} bits; make it smaller`,
      );
    }
  }
}
