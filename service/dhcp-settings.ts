// What DHCP tells the guests of a network beside their addresses.

import type { Address } from '../stack/stack.ts';
import type { Route4 } from '../wire/dhcp4.ts';

/** What firmware boots from. */
export interface BootFile {
  /** A path on `server`, or a URL `http://…` for iPXE and UEFI HTTP boot. */
  readonly file: string;
  /** IPv4 address of the TFTP server, where `file` is a path. */
  readonly server?: Address;
  /** Its name, option 66. */
  readonly serverName?: string;
}

/** For DHCPv4. */
export interface Settings4 {
  /** The server's own address, an address of the interface. */
  readonly server: Address;
  /** Prefix bits of the subnet, 1 … 30. */
  readonly bits: number;
  /** The default router; none in a closed network. */
  readonly gateway?: Address;
  readonly dns?: readonly Address[];
  readonly ntp?: readonly Address[];
  /** Other routes, option 121; the default route is added to them. */
  readonly routes?: readonly Route4[];
  readonly boot?: BootFile;
}

/** For DHCPv6. Routers and prefixes are told by router advertisements. */
export interface Settings6 {
  readonly dns?: readonly Address[];
  readonly ntp?: readonly Address[];
  /** Option 59 and the parameters, option 60. */
  readonly bootUrl?: string;
  readonly bootParameters?: readonly string[];
  /** Option 7, 0 … 255; 255, the default, ends a client's wait for better offers. */
  readonly preference?: number;
}

/** For both. */
export interface DhcpSettings {
  /** The guests' domain, '' for none. */
  readonly domain: string;
  /** Search list. */
  readonly search: readonly string[];
  /** Told to clients that ask (option 26); 0 to tell nothing. */
  readonly mtuBytes: number;
  readonly ip4?: Settings4;
  readonly ip6?: Settings6;
}
