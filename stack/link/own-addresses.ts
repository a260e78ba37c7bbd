// Which of an interface's own addresses speaks for it in ARP, neighbour discovery and multicast listening.

import { type Address, isIp4, isLinkLocal, samePrefix } from '../address.ts';
import { type Addresses, AddressState } from '../autoconf/addresses.ts';

/** No address. */
export const NO_ADDRESS = -1;

/** True for an address that may be a source: RFC 4862 §5.4 keeps tentative ones from it. */
export const isAssigned = (addresses: Addresses, a: number): boolean => {
  const state = addresses.stateOf(a);
  return state === AddressState.Preferred || state === AddressState.Deprecated;
};

/** The interface's first assigned link-local IPv6 address, or NO_ADDRESS. */
export function linkLocalOf(addresses: Addresses, iface: number): number {
  for (const a of addresses.ids()) {
    if (addresses.ifaceOf(a) !== iface || !isAssigned(addresses, a)) continue;
    const address = addresses.addressOf(a);
    if (!isIp4(address) && isLinkLocal(address)) return a;
  }
  return NO_ADDRESS;
}

/** The interface's best assigned address to ask for a neighbour: of its family, in its subnet if there is one. */
export function sourceFor(addresses: Addresses, iface: number, target: Address): number {
  let found = NO_ADDRESS;
  for (const a of addresses.ids()) {
    if (addresses.ifaceOf(a) !== iface || !isAssigned(addresses, a)) continue;
    const address = addresses.addressOf(a);
    if (isIp4(address) !== isIp4(target)) continue;
    const bits = addresses.bitsOf(a) + (isIp4(address) ? 96 : 0);
    if (samePrefix(address, target, bits)) return a;
    if (found === NO_ADDRESS || isLinkLocal(address)) found = a;
  }
  return found;
}
