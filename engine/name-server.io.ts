// The name server of a gateway, as the engine assembles it: the guests' names, and the host's servers for the rest.

import { DnsServer, type DnsUpstream, type GuestNames } from '../service/service.ts';
import type { Address, Stack } from '../stack/stack.ts';
import type { Fabric } from './fabric.io.ts';
import type { GatewaySettings } from './gateway-settings.ts';
import type { OwnedSockets } from './gateway-sockets.io.ts';
import type { NameService } from './gateway-view.ts';

const NO_SERVERS: DnsUpstream = {
  servers: () => 0,
  generation: 0,
  send: () => false,
  flush: () => {},
  setUser: () => {},
};

/** It has its turns in the stack's. */
export class NameServer implements NameService, GuestNames {
  private readonly server: DnsServer;

  /** Throws `UsageError`. */
  constructor(
    _fabric: Fabric,
    stack: Stack,
    _sockets: OwnedSockets,
    settings: GatewaySettings,
    say: (line: string) => void,
  ) {
    const { network, names, nat64, isRestricted } = settings;
    const nets = [network.net4, network.net6].filter((net) => net !== undefined);
    this.server = new DnsServer(stack, NO_SERVERS, {
      addresses: nets.flatMap(({ dns }) => (dns ? [dns] : [])),
      gateway: nets.map(({ gateway }) => gateway),
      networks: nets.map(({ address, bits }) => ({ address, bits })),
      names,
      isRestricted,
      say,
      ...(network.domain === '' ? {} : { domain: network.domain }),
      ...(nat64 && { dns64: nat64 }),
    });
  }

  get counters(): object {
    return this.server.counters;
  }

  servers(): string[] {
    return [];
  }

  set(name: string, address: Address): void {
    this.server.set(name, address);
  }

  remove(address: Address): void {
    this.server.remove(address);
  }

  close(): void {
    this.server.close();
  }
}
