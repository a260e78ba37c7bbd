// The name server of a gateway, as the engine assembles it: the guests' names, and the host's servers for the rest.

import { DnsServer, type GuestNames } from '../service/service.ts';
import { DatagramBatch } from '../slirp/slirp.ts';
import { type Address, formatAddress, type Stack } from '../stack/stack.ts';
import { fixedServers, HostDnsUpstream } from './dns-upstream.ts';
import type { Fabric } from './fabric.io.ts';
import type { NameService } from './gateway-report.ts';
import type { GatewaySettings } from './gateway-settings.ts';
import type { OwnedSockets } from './gateway-sockets.io.ts';
import { HostResolver } from './host-resolver.io.ts';
import { endText } from './stack-listen.io.ts';

const PORT = 53;

/** It has its turns in the stack's. */
export class NameServer implements NameService, GuestNames {
  private readonly server: DnsServer;
  private readonly upstream: HostDnsUpstream;
  private readonly batch: DatagramBatch;

  /** `say` takes lines for the operator. Throws `UsageError`. */
  constructor(
    fabric: Fabric,
    stack: Stack,
    host: OwnedSockets,
    settings: GatewaySettings,
    say: (line: string) => void,
  ) {
    const { slab } = fabric;
    this.batch = new DatagramBatch(slab);
    const servers =
      settings.servers.length > 0
        ? fixedServers(settings.servers)
        : new HostResolver({ nowUs: () => fabric.nowUs(), say });
    this.upstream = new HostDnsUpstream({ stack, host, slab, batch: this.batch, servers });
    const { network, names, nat64, isRestricted } = settings;
    const nets = [network.net4, network.net6].filter((net) => net !== undefined);
    this.server = new DnsServer(stack, this.upstream, {
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
    return this.upstream
      .current()
      .map(({ address, port }) => (port === PORT ? formatAddress(address) : endText(formatAddress(address), port)));
  }

  set(name: string, address: Address): void {
    this.server.set(name, address);
  }

  remove(address: Address): void {
    this.server.remove(address);
  }

  close(): void {
    this.server.close();
    this.upstream.close();
    this.batch.close();
  }
}
