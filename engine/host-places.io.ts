// What the host is, for a gateway's rules: its own addresses and the networks that it is in.

import { networkInterfaces } from 'node:os';
import type { HostPlaces } from '../slirp/slirp.ts';
import { type Address, parseAddress } from '../stack/stack.ts';

/** As it is now. */
export function hostPlaces(): HostPlaces {
  const addresses: Address[] = [];
  const networks: { address: Address; bits: number }[] = [];
  for (const entries of Object.values(networkInterfaces())) {
    for (const { address: text, cidr } of entries ?? []) {
      const address = parseAddress(text.split('%')[0]!);
      if (!address) continue;
      addresses.push(address);
      const bits = Number(cidr?.split('/')[1] ?? Number.NaN);
      if (Number.isInteger(bits)) networks.push({ address, bits });
    }
  }
  return { addresses, networks };
}
