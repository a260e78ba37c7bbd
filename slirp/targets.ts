// Where guests may go and under which names.

import type { Address } from '../stack/stack.ts';

/** RFC 6052: `bits` 32, 40, 48, 56, 64 or 96. */
export interface Nat64Prefix {
  readonly address: Address;
  readonly bits: number;
}
