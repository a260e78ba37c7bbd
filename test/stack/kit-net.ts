// The parts of the network layer put together for tests, with small fakes of what belongs to others.

import { Slab } from '../../core/slab.ts';
import { type Address, parse } from '../../stack/address.ts';
import { Addresses, AddressOrigin, AddressState } from '../../stack/addresses.ts';
import { Interfaces, type NetworkInterface } from '../../stack/interfaces.ts';
import { LIMITS, type Limits } from '../../stack/limits.ts';
import { Routes } from '../../stack/routes.ts';
import { Shared } from '../../stack/shared.ts';

/** An address, which the test spelled right. */
export function ip(text: string): Address {
  const address = parse(text);
  if (!address) throw new Error(`no address: ${text}`);
  return address;
}

export const SECRET = Int32Array.of(1, 2, 3, 4);
export const MAC = Uint8Array.of(2, 0, 0, 0, 0, 1);

/** What every part needs: memory, interfaces, addresses, routes. */
export class BaseKit {
  readonly slab: Slab;
  readonly shared: Shared;
  readonly interfaces: Interfaces;
  readonly routes: Routes;
  readonly addresses: Addresses;
  readonly limits: Limits;

  constructor(limits: Partial<Limits> = {}) {
    this.limits = { ...LIMITS, ...limits };
    this.slab = new Slab({ bytesMax: 16 << 20 });
    this.shared = new Shared(this.slab, SECRET);
    this.interfaces = new Interfaces(this.slab, this.limits);
    this.routes = new Routes(this.shared, this.limits);
    this.addresses = new Addresses(this.limits, this.routes);
  }

  link(name: string, options: { mtuBytes?: number; takesOffload?: boolean } = {}): NetworkInterface {
    return this.interfaces.add({
      name,
      mac: MAC,
      mtuBytes: options.mtuBytes ?? 1500,
      takesOffload: options.takesOffload ?? false,
    });
  }

  /** Adds a preferred static address: `10.0.0.1/24`. */
  address(iface: number, text: string, state: AddressState = AddressState.Preferred): number {
    const [address, bits] = text.split('/');
    return this.addresses.add(iface, ip(address!), Number(bits), state, AddressOrigin.Static, Infinity, Infinity);
  }

  route(text: string, gateway: string | undefined, iface: number, metric = 0): number {
    const [prefix, bits] = text.split('/');
    const via = gateway === undefined ? {} : { gateway: ip(gateway) };
    return this.routes.add({ prefix: ip(prefix!), bits: Number(bits), iface, metric, ...via });
  }
}
