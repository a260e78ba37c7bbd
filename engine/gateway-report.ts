// What gateways say of themselves: listings as plain values, counters as Prometheus text.

import type { DhcpService } from '../service/service.ts';
import { type FlowView, formatRule, type Gateway, Protocol } from '../slirp/slirp.ts';
import { type Address, formatAddress } from '../stack/stack.ts';
import { formatMac } from '../wire/ethernet.ts';
import type { GatewaySettings } from './gateway-settings.ts';
import type { Metric } from './gateway-view.ts';

/** What there is to tell of. */
export interface GatewayParts {
  /** Its port number. */
  readonly number: number;
  readonly settings: GatewaySettings;
  readonly gateway: Gateway;
  /** Undefined where nobody leases addresses. */
  readonly dhcp: DhcpService | undefined;
  /** Undefined where nobody answers for names. */
  readonly dns: NameService | undefined;
  /** The wall clock in whole seconds. */
  nowS(): number;
}

/** Its name server. */
export interface NameService {
  /** Whole numbers by what they count. */
  readonly counters: object;
  /** The servers that it asks now, `address:port`. */
  servers(): string[];
  set(name: string, address: Address): void;
  remove(address: Address): void;
}

/** One gateway. */
export function gatewayStatusOf(view: GatewayParts): object {
  const { number, settings, gateway, dhcp, dns } = view;
  const { network, rules, isRestricted, nat64 } = settings;
  const nets = [network.net4, network.net6].filter((net) => net !== undefined);
  return {
    port: number,
    addresses: nets.map(({ gateway: address, bits }) => `${formatAddress(address)}/${bits}`),
    mac: formatMac(network.mac),
    mtu: network.mtuBytes,
    dns: nets.flatMap((net) => (net.dns ? [formatAddress(net.dns)] : [])),
    domain: network.domain,
    servers: dns?.servers() ?? [],
    restricted: isRestricted,
    rules: rules.map((rule) => `${rule.isAllow ? 'allow' : 'deny'} ${formatRule(rule)}`),
    ...(nat64 ? { nat64: `${formatAddress(nat64.address)}/${nat64.bits}` } : {}),
    guests: gateway.caps.guests,
    flows: flowCounts(view),
    leases: leasesOf(view).length,
    forwards: gateway.forwards().length,
    counters: { ...gateway.counters },
    ...(dhcp ? { dhcp: { ...dhcp.counters, ...dhcp.leases.counters } } : {}),
    ...(dns ? { names: { ...dns.counters } } : {}),
  };
}

const flowCounts = ({ gateway }: GatewayParts): { tcp: number; udp: number; icmp: number } => ({
  tcp: gateway.caps.total(Protocol.Tcp),
  udp: gateway.caps.total(Protocol.Udp),
  icmp: gateway.caps.total(Protocol.Icmp),
});

/** One line per forward. */
export const forwardsOf = ({ number, gateway }: GatewayParts): object[] =>
  gateway.forwards().map(({ id, text, direction }) => ({ id, direction, forward: text, gateway: number }));

/** One line per flow. */
export const flowsOf = ({ gateway }: GatewayParts, guest: Address | undefined): FlowView[] => [...gateway.flows(guest)];

/** One line per lease that somebody has. */
export function leasesOf(view: GatewayParts): object[] {
  const { number, dhcp } = view;
  const now = view.nowS();
  const had = dhcp?.leases.list().filter(({ state }) => state === 'bound' || state === 'offered') ?? [];
  return had.map(({ address, mac, where, name, state, untilS, isHeld }) => ({
    address: formatAddress(address),
    mac: mac || where,
    name,
    state: isHeld ? 'program' : state,
    seconds: isHeld ? null : Math.max(0, untilS - now),
    gateway: number,
  }));
}

/** Counters of one gateway. */
export function gatewayMetrics(view: GatewayParts): Metric[] {
  const metrics: Metric[] = [];
  const add = (
    name: string,
    type: Metric['type'],
    help: string,
    rows: (view: GatewayParts) => readonly (readonly [string, number])[],
  ): void => void metrics.push({ name, type, help, rows: rows(view) });
  add('weft_gateway_guests', 'gauge', 'Guests that have flows.', ({ gateway }) => [['', gateway.caps.guests]]);
  add('weft_gateway_flows', 'gauge', 'Open flows.', (view) =>
    Object.entries(flowCounts(view)).map(([protocol, count]) => [`protocol="${protocol}"`, count]),
  );
  add('weft_gateway_flows_total', 'counter', 'Flows that were opened.', ({ gateway: { counters: c } }) => [
    ['protocol="tcp"', c.tcpOpened],
    ['protocol="udp"', c.udpOpened],
    ['protocol="icmp"', c.echoRequests],
  ]);
  add('weft_gateway_bytes_total', 'counter', 'Payload that passed.', ({ gateway: { counters: c } }) => [
    ['protocol="tcp",direction="out"', c.tcpBytesOut],
    ['protocol="tcp",direction="in"', c.tcpBytesIn],
    ['protocol="udp",direction="out"', c.udpBytesOut],
    ['protocol="udp",direction="in"', c.udpBytesIn],
  ]);
  add('weft_gateway_refused_total', 'counter', 'What went no further, by reason.', ({ gateway: { counters: c } }) =>
    (['prohibited', 'tcpFailed', 'guestFull', 'hostFull', 'filtered', 'lost', 'unnamed'] as const).map((reason) => [
      `reason="${reason}"`,
      c[reason],
    ]),
  );
  add('weft_gateway_errors_total', 'counter', 'ICMP errors that guests were told.', ({ gateway }) => [
    ['', gateway.counters.errorsToGuests],
  ]);
  add('weft_gateway_leases', 'gauge', 'Addresses that somebody has.', (view) => [['', leasesOf(view).length]]);
  add('weft_gateway_dhcp_total', 'counter', 'What DHCP did, by event.', ({ dhcp }) =>
    dhcp ? byEvent({ ...dhcp.counters, ...dhcp.leases.counters }) : [],
  );
  add('weft_gateway_dns_total', 'counter', 'What the name server did, by event.', ({ dns }) =>
    dns ? byEvent(dns.counters) : [],
  );
  return metrics;
}

const byEvent = (counters: object): [string, number][] =>
  Object.entries(counters)
    .filter((entry): entry is [string, number] => typeof entry[1] === 'number')
    .map(([event, count]) => [`event="${event}"`, count]);
