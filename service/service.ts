// Theory of operation.
//
// What lives in a network: servers for its guests, on the sockets of a stack of ours. Everything here is pure; the wall clock,
// which leases need as they outlive a process, is a function given at construction.
//
// DHCP. `DhcpService` serves one interface of a stack: `Dhcp4Server` and `Dhcp6Server` read messages and write answers,
// `Leases` decides who has which address, for both families and for programs that the engine starts itself. Names of guests go
// to `GuestNames`, which the network's DNS server is.
//
// DNS. `DnsServer` answers for the guests' names and forwards the rest to the servers of a `DnsUpstream`.

export { type Allotment, DhcpCounters, DhcpService, type DhcpServiceOptions } from './dhcp-service.ts';
export type { BootFile, DhcpSettings, Settings4, Settings6 } from './dhcp-settings.ts';
export { DnsCounters, type DnsName, type DnsNetwork, type DnsOptions, DOMAIN } from './dns-parts.ts';
export { DnsServer } from './dns-server.ts';
export { type DnsUpstream, type DnsUpstreamUser, SERVERS_MAX } from './dns-upstream.ts';
export {
  type Client,
  type Lease,
  LeaseCounters,
  type LeaseOptions,
  type LeaseState,
  Leases,
  type Reservation,
} from './leases.ts';
export { type GuestNames, labelOf } from './names.ts';
export { POOL_ADDRESSES_MAX, type PoolOptions } from './pool.ts';
