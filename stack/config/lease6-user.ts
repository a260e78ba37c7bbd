// Uses what a DHCPv6 server leased. RFC 8415 §18.2.10.1: an address says nothing about what is on the link, so all its bits are prefix.

import { type Address, format } from '../address.ts';
import { AddressOrigin, AddressState } from '../autoconf/addresses.ts';
import { errnoName } from '../errno.ts';
import type { Dhcp6Host } from './dhcp6-client.ts';
import type { Lease6, LeasedAddress } from './dhcp6-lease.ts';
import type { LeaseTables } from './lease4-user.ts';

const BITS = 128;

/** One interface's. */
export class Lease6User implements Dhcp6Host {
  private readonly tables: LeaseTables;

  constructor(tables: LeaseTables) {
    this.tables = tables;
  }

  use(lease: Lease6): void {
    for (const one of lease.addresses) this.useAddress(one);
    this.tables.namesChanged();
  }

  forget(address: Address): void {
    const { addresses, autoconf, iface, news } = this.tables;
    const a = addresses.find(address, iface.number);
    if (a >= 0 && addresses.originOf(a) === AddressOrigin.Dhcp6) autoconf.removeAddress(a);
    news.add(`${iface.name}: the lease of ${format(address)} is over`);
    this.tables.namesChanged();
  }

  private useAddress({ address, preferredUntilUs, validUntilUs }: LeasedAddress): void {
    const { addresses, autoconf, iface, news, shared } = this.tables;
    const { nowUs } = shared;
    const a = addresses.find(address, iface.number);
    if (a < 0) {
      const { Dhcp6 } = AddressOrigin;
      const made = autoconf.addAddress(
        iface.number,
        address,
        BITS,
        Dhcp6,
        preferredUntilUs - nowUs,
        validUntilUs - nowUs,
      );
      if (made < 0) news.add(`${iface.name}: ${format(address)} by DHCPv6 cannot be used: ${errnoName(made)}`);
    } else if (addresses.originOf(a) === AddressOrigin.Dhcp6) {
      addresses.setLifetimes(a, preferredUntilUs, validUntilUs);
      const isYoungAgain = addresses.stateOf(a) === AddressState.Deprecated && preferredUntilUs > nowUs;
      if (isYoungAgain) addresses.setState(a, AddressState.Preferred);
    }
  }
}
