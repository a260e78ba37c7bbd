// What a gateway is to be, as people write it: options of `slirp://`, keys of a lab file's `gateway`, options of `weft slirp`.
// Which there are stands in plug/schemes.ts, what they mean here and in docs/vnl.md; gateway-settings.ts reads their values.

import { UsageError } from '../core/assert.ts';
import { checkOption, SCHEMES } from '../plug/plug.ts';

/** As they were written: a flag is '', a list has commas. */
export type GatewayOptions = ReadonlyMap<string, string>;

/** What each option is for, one line; in the order of the help. */
export const GATEWAY_OPTIONS: Readonly<Record<string, string>> = {
  net: "the guests' IPv4 network, ADDRESS/BITS or none (default 10.0.2.0/24)",
  gateway: "the gateway's address in it (default the 2nd)",
  dns: "the name server's address in it, or none (default the 3rd)",
  net6: "the guests' IPv6 network, or none (default fd00::/64)",
  gateway6: "the gateway's address in it (default the 2nd)",
  dns6: "the name server's address in it, or none (default the 3rd)",
  mac: "the gateway's MAC address (default 52:55 and its IPv4 address)",
  mtu: 'what guests are told and sent at most, in bytes (default 1500, and nothing is told)',
  domain: "the guests' domain (default weft.internal)",
  search: 'further domains that guests search',
  allow: 'a place of the host that guests may reach: ADDRESS[/BITS][:PORT[-PORT]][/tcp|/udp|/icmp]',
  deny: 'a place that guests may not reach; wins over allow',
  restrict: 'guests reach nothing but what is allowed, and forwards',
  forward: 'lead a port of this host to a guest: [udp:][BIND:]PORT[-PORT]:GUEST:PORT or unix:/PATH:GUEST:PORT',
  reverse: 'lead a port of the gateway to a place of the host: [udp:]PORT:HOST:PORT or PORT:unix:/PATH',
  bind: "the host's address that flows leave by, one of each family",
  filtering: 'whose datagrams reach a guest that sent one: endpoint (all), address (default), address-port',
  nat64: 'IPv6 guests reach IPv4 hosts by 64:ff9b::/96, and names say so',
  prefix64: 'the same by another prefix',
  servers: "name servers, ADDRESS or ADDRESS:PORT (default: the host's)",
  hosts: 'names for guests, NAME=ADDRESS',
  pool: 'IPv4 addresses that are leased, FIRST-LAST (default from the 15th on)',
  reserve: 'an address for a station, MAC=ADDRESS or MAC=ADDRESS=NAME',
  leases: "the file that leases are kept in, or none (default leases.json in the network's directory)",
  leasetime: 'how long a lease lasts, in seconds (default 86400)',
  boot: 'what guests boot: a file, or a URL for iPXE',
  bootserver: 'the TFTP server that has the file',
  nodns: 'no name server',
  nodhcp: 'no DHCP server: addresses by hand, or by IPv6 advertisements',
  nora: 'no IPv6 router advertisements',
  tcpflows: 'TCP connections of one guest at most',
  udpflows: 'UDP flows of one guest at most',
};

/** How an option is given: flag, list, or another kind, which has one value. */
export const kindOfGatewayOption = (key: string): string => SCHEMES.slirp!.options[key]!.kind;

/** Adds one option as `key=value` in a VNL would; `value` undefined is a flag. Throws `UsageError`. */
export function addOption(to: Map<string, string>, what: string, key: string, value: string | undefined): void {
  const rules = SCHEMES.slirp!;
  checkOption(what, rules, key, value);
  const before = to.get(key);
  if (before === undefined) to.set(key, value ?? '');
  else if (rules.options[key]!.kind === 'list') to.set(key, `${before},${value}`);
  else throw new UsageError(`${what}: '${key}' is given twice; give it once`);
}
