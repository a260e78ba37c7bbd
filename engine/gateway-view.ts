// A gateway as commands and reports see it.

import type { DhcpService } from '../service/service.ts';
import type { Gateway } from '../slirp/slirp.ts';
import type { Address } from '../stack/stack.ts';
import type { GatewaySettings } from './gateway-settings.ts';

/** One gateway of a network. */
export interface GatewayView {
  /** Its port number. */
  readonly number: number;
  readonly settings: GatewaySettings;
  readonly gateway: Gateway;
  /** Undefined where nobody leases addresses. */
  readonly dhcp: DhcpService | undefined;
  /** Undefined where nobody answers for names. */
  readonly dns: NameService | undefined;
  /** The wall clock in whole seconds. */
  nowS(): number;
}

/** Its name server. */
export interface NameService {
  /** Whole numbers by what they count. */
  readonly counters: object;
  /** The servers that it asks now, `address:port`. */
  servers(): string[];
  set(name: string, address: Address): void;
  remove(address: Address): void;
}
