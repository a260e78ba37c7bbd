// The addresses of a gateway.

import { type Address, equalAddresses } from '../stack/stack.ts';
import { type GatewayNetwork, type GatewayPrefix, LINK_LOCAL } from './gateway-network.ts';

/** All that the gateway answers to, with its prefix of the address's own family. */
export function ownAddresses(network: GatewayNetwork): { readonly address: Address; readonly bits: number }[] {
  const own = [network.net4, network.net6].flatMap((net) => (net ? addressesIn(net) : []));
  return network.net6 ? [...own, { address: LINK_LOCAL, bits: 64 }] : own;
}

function addressesIn({ gateway, dns, bits }: GatewayPrefix): { readonly address: Address; readonly bits: number }[] {
  const own = [{ address: gateway, bits }];
  return dns && !equalAddresses(gateway, dns) ? [...own, { address: dns, bits }] : own;
}
