// The options of a gateway on the command line, by their names in a VNL: how each is given, and what it is for.

/** A value, several of them, or none. */
export type OptionKind = 'value' | 'list' | 'flag';

/** In the order of the help; the same ones that `slirp://` has. */
export const GATEWAY_OPTIONS: Readonly<Record<string, readonly [OptionKind, string]>> = {
  net: ['value', "the guests' IPv4 network, ADDRESS/BITS or none (default 10.0.2.0/24)"],
  gateway: ['value', "the gateway's address in it (default the 2nd)"],
  dns: ['value', "the name server's address in it, or none (default the 3rd)"],
  net6: ['value', "the guests' IPv6 network, or none (default fd00::/64)"],
  gateway6: ['value', "the gateway's address in it (default the 2nd)"],
  dns6: ['value', "the name server's address in it, or none (default the 3rd)"],
  mac: ['value', "the gateway's MAC address (default 52:55 and its IPv4 address)"],
  mtu: ['value', 'what guests are told and sent at most, in bytes (default 1500, and nothing is told)'],
  domain: ['value', "the guests' domain (default weft.internal)"],
  search: ['list', 'further domains that guests search'],
  allow: ['list', 'a place of the host that guests may reach: ADDRESS[/BITS][:PORT[-PORT]][/tcp|/udp|/icmp]'],
  deny: ['list', 'a place that guests may not reach; wins over allow'],
  restrict: ['flag', 'guests reach nothing but what is allowed, and forwards'],
  forward: [
    'list',
    'lead a port of this host to a guest: [udp:][BIND:]PORT[-PORT]:GUEST:PORT or unix:/PATH:GUEST:PORT',
  ],
  reverse: ['list', 'lead a port of the gateway to a place of the host: [udp:]PORT:HOST:PORT or PORT:unix:/PATH'],
  bind: ['list', "the host's address that flows leave by, one of each family"],
  filtering: ['value', 'whose datagrams reach a guest that sent one: endpoint (all), address (default), address-port'],
  nat64: ['flag', 'IPv6 guests reach IPv4 hosts by 64:ff9b::/96, and names say so'],
  prefix64: ['value', 'the same by another prefix'],
  servers: ['list', "name servers, ADDRESS or ADDRESS:PORT (default: the host's)"],
  hosts: ['list', 'names for guests, NAME=ADDRESS'],
  pool: ['value', 'IPv4 addresses that are leased, FIRST-LAST (default from the 15th on)'],
  reserve: ['list', 'an address for a station, MAC=ADDRESS or MAC=ADDRESS=NAME'],
  leases: ['value', "the file that leases are kept in, or none (default leases.json in the network's directory)"],
  leasetime: ['value', 'how long a lease lasts, in seconds (default 86400)'],
  boot: ['value', 'what guests boot: a file, or a URL for iPXE'],
  bootserver: ['value', 'the TFTP server that has the file'],
  nodns: ['flag', 'no name server'],
  nodhcp: ['flag', 'no DHCP server: addresses by hand, or by IPv6 advertisements'],
  nora: ['flag', 'no IPv6 router advertisements'],
  tcpflows: ['value', 'TCP connections of one guest at most'],
  udpflows: ['value', 'UDP flows of one guest at most'],
};

/** Those that have another name here: `net` is taken, and forwards are written as for `weft stack`. */
export const RENAMED: Readonly<Record<string, string>> = { net: 'net4', forward: 'L', reverse: 'R' };

/** What was given, as the options of `slirp://`: a flag is '', a list has commas. */
export function gatewayOptions(given: Readonly<Record<string, unknown>>): Map<string, string> {
  const found = new Map<string, string>();
  for (const [key, [kind]] of Object.entries(GATEWAY_OPTIONS)) {
    const value = given[RENAMED[key] ?? key];
    if (value === undefined) continue;
    found.set(key, kind === 'flag' ? '' : kind === 'list' ? (value as string[]).join(',') : String(value));
  }
  return found;
}
