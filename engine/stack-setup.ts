// Carries out a configuration on the one interface of a host.

import { NEVER } from '../core/time.ts';
import {
  AddressOrigin,
  type Config,
  errnoName,
  formatAddress,
  type NetworkInterface,
  parseAddress,
  RouteOrigin,
  type Stack,
} from '../stack/stack.ts';

/** What failed, in words; undefined if nothing did. */
export function configure(stack: Stack, iface: NetworkInterface, { set }: Config, _line: string): string | undefined {
  const { autoconf, routes } = stack;
  const failed = (what: string, errno: number): string => `${what}: ${errnoName(errno)}`;
  const started = autoconf.start(iface.number, {
    linkLocal: 'stable',
    slaac: false,
    temporary: false,
    routerSolicitations: false,
  });
  if (started < 0) return failed('eth', started);
  for (const { address, bits } of set.addresses) {
    const a = autoconf.addAddress(iface.number, address, bits, AddressOrigin.Static, NEVER, NEVER);
    if (a < 0) return failed(`ip=${formatAddress(address)}/${bits}`, a);
  }
  for (const gateway of set.gateways) {
    const prefix = parseAddress(formatAddress(gateway).includes(':') ? '::' : '0.0.0.0')!;
    const route = routes.add({ prefix, bits: 0, gateway, iface: iface.number, metric: 0, origin: RouteOrigin.Static });
    if (route < 0) return failed(`gw=${formatAddress(gateway)}`, route);
  }
  return undefined;
}
