// Carries out a configuration on the one interface of a host.

import { UsageError } from '../core/assert.ts';
import type { NetworkInterface, Stack } from '../stack/stack.ts';

/** What failed, in words; undefined if nothing did. */
export function configure(stack: Stack, iface: NetworkInterface, line: string): string | undefined {
  try {
    stack.configuration.apply(line, iface.number);
    return undefined;
  } catch (error) {
    if (error instanceof UsageError) return error.message;
    throw error;
  }
}
