// What both DHCP servers are made of.

import type { Stack } from '../stack/stack.ts';
import type { DhcpCounters } from './dhcp-counters.ts';
import type { DhcpSettings } from './dhcp-settings.ts';
import type { Leases } from './leases.ts';

/** Given to a server at construction. */
export interface DhcpParts {
  readonly stack: Stack;
  readonly iface: number;
  readonly leases: Leases;
  readonly settings: DhcpSettings;
  readonly counters: DhcpCounters;
  /** The wall clock in whole seconds. */
  readonly nowS: () => number;
}
