// The servers and search domains that are in force: the operator's, then DHCPv4's, DHCPv6's, the routers'.

import { type Address, equal } from '../address.ts';
import type { DnsOptions } from '../autoconf/dns-options.ts';
import type { InterfaceSetup } from './interface-setup.ts';

// As the resolver bounds servers, and resolv.conf(5) search domains.
const SERVERS_MAX = 4;
const SEARCH_MAX = 6;

/** A server and the interface that it was learned on. */
export interface Server {
  readonly address: Address;
  readonly iface: number;
}

/** Servers of all sources, each once, copied; as many as the resolver keeps. */
export function serversTold(interfaces: Iterable<InterfaceSetup>, routers: DnsOptions): Server[] {
  const setups = [...interfaces];
  const told = [
    ...setups.map(({ iface, servers }) => ({ iface: iface.number, servers })),
    ...setups.map(({ iface, clients }) => ({ iface: iface.number, servers: clients.names4.servers })),
    ...setups.map(({ iface, clients }) => ({ iface: iface.number, servers: clients.names6.servers })),
    ...routers.listServers().map(({ iface, address }) => ({ iface, servers: [address] })),
  ].flatMap(({ iface, servers }) => servers.map((server) => ({ iface, address: server.slice() })));
  const isFirst = (one: Server, at: number): boolean =>
    told.findIndex((other) => equal(other.address, one.address)) === at;
  return told.filter(isFirst).slice(0, SERVERS_MAX);
}

/** Search domains of all sources, each once. */
export function searchTold(interfaces: Iterable<InterfaceSetup>, routers: DnsOptions): string[] {
  const setups = [...interfaces];
  const told = [
    ...setups.flatMap((one) => one.domains),
    ...setups.flatMap((one) => one.clients.names4.search),
    ...setups.flatMap((one) => one.clients.names6.search),
    ...routers.listDomains().map((one) => one.name),
  ];
  return [...new Set(told.map((name) => name.toLowerCase()))].slice(0, SEARCH_MAX);
}
