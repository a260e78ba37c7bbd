// What a gateway is to be, read and checked from the options of gateway-options.ts.

import { UsageError } from '../core/assert.ts';
import { parseVnl } from '../plug/plug.ts';
import { DOMAIN } from '../service/service.ts';
import {
  type ForwardSpec,
  type GatewayNetwork,
  type GatewayPrefix,
  gatewayNetworkOf,
  isInNetwork,
  type Nat64Prefix,
  parseForward,
  parsePrefix,
  parseRule,
  type Rule,
  type UdpFiltering,
} from '../slirp/slirp.ts';
import { type Address, addressOf4, formatAddress, ip4Of, isIp4, parseAddress } from '../stack/stack.ts';
import { formatMac, parseMac } from '../wire/ethernet.ts';
import { checkGatewayOptions, type GatewayOptions } from './gateway-options.ts';

/** Addresses for guests: `count` from `first` on. */
export interface GuestPool {
  readonly first: Address;
  readonly count: number;
  /** Of the network's prefix, 0 … 32 of IPv4. */
  readonly bits: number;
  /** Of the range, but somebody's already. */
  readonly excluded: readonly Address[];
}

/** A name for an address. */
export interface NamedAddress {
  readonly name: string;
  readonly address: Address;
}

/** A guest that always gets the same address. */
export interface ReservedAddress {
  readonly mac: string;
  readonly address: Address;
  readonly name?: string;
}

/** A name server of the host's side. */
export interface ServerAddress {
  readonly address: Address;
  readonly port: number;
}

/** Checked. */
export interface GatewaySettings {
  readonly network: GatewayNetwork;
  /** In the order in which they are asked. */
  readonly rules: readonly Rule[];
  readonly isRestricted: boolean;
  readonly forwards: readonly ForwardSpec[];
  /** Where flows leave by, of each family. */
  readonly outbound4: Address | undefined;
  readonly outbound6: Address | undefined;
  readonly filtering: UdpFiltering | undefined;
  readonly nat64: Nat64Prefix | undefined;
  /** To ask in place of the host's own. */
  readonly servers: readonly ServerAddress[];
  readonly names: readonly NamedAddress[];
  readonly pool4: GuestPool | undefined;
  readonly pool6: GuestPool | undefined;
  readonly reservations: readonly ReservedAddress[];
  /** A path; '' nowhere, undefined: in the network's directory. */
  readonly leasesPath: string | undefined;
  readonly leaseSeconds: number;
  /** What a guest boots: a file or URL, and the server that has it. */
  readonly bootFile: string;
  readonly bootServer: Address | undefined;
  /** Flows of one guest. */
  readonly tcpFlowsMax: number | undefined;
  readonly udpFlowsMax: number | undefined;
}

const FILTERING = ['endpoint', 'address', 'address-port'] satisfies UdpFiltering[];
const NETWORK_KEYS = ['net', 'gateway', 'dns', 'net6', 'gateway6', 'dns6', 'mac', 'domain', 'search'];
const NAT64: Nat64Prefix = { address: Int32Array.of(0x64ff9b, 0, 0, 0), bits: 96 }; // RFC 6052 §2.1
const NAT64_BITS: readonly number[] = [32, 40, 48, 56, 64, 96]; // RFC 6052 §2.2

const MTU = '1500';
const FIRST_HOST = 15; // as libslirp: scripts know the first guest by 10.0.2.15
const FIRST_HOST_SMALL = 4;
const HOSTS6 = 0x1000; // fd00::1000 …, apart from what people write by hand
const GUESTS_MAX = 4096;
const LEASE_SECONDS = 86_400;
const LIST_MAX = 1024;
const KEEP_SOURCE = 'keep-source';

/** Reads and checks everything. `what` begins every complaint: `slirp`, `gateway`. Throws `UsageError`. */
export function gatewaySettings(given: GatewayOptions | string, what = 'slirp'): GatewaySettings {
  const options = typeof given === 'string' ? parseVnl(`slirp:///${given}`).options : given;
  checkGatewayOptions(options, what);
  try {
    return readAll(new OptionReader(options));
  } catch (error) {
    throw error instanceof UsageError ? new UsageError(`${what}: ${error.message}`) : error;
  }
}

function readAll(read: OptionReader): GatewaySettings {
  const network = read.network();
  return {
    network,
    // A deny wins wherever it stands.
    rules: [...read.list('deny').map(ruleOf('deny')), ...read.list('allow').map(ruleOf('allow'))],
    isRestricted: read.has('restrict'),
    forwards: [...read.forwards('in', 'forward'), ...read.forwards('out', 'reverse')],
    ...read.outbound(),
    filtering: read.filtering(),
    nat64: read.nat64(),
    servers: read.servers(),
    names: read.names(),
    pool4: network.hasDhcp && network.net4 ? read.pool4(network.net4) : undefined,
    pool6: network.hasDhcp && network.net6 ? pool6Of(network.net6) : undefined,
    reservations: read.reservations(network),
    leasesPath: read.text('leases') === 'none' ? '' : read.text('leases'),
    leaseSeconds: read.number('leasetime') ?? LEASE_SECONDS,
    bootFile: read.text('boot') ?? '',
    bootServer: read.bootServer(),
    tcpFlowsMax: read.number('tcpflows'),
    udpFlowsMax: read.number('udpflows'),
  };
}

const ruleOf =
  (kind: 'allow' | 'deny') =>
  (text: string): Rule =>
    parseRule(kind, text);

class OptionReader {
  private readonly options: GatewayOptions;

  constructor(options: GatewayOptions) {
    this.options = options;
  }

  has(key: string): boolean {
    return this.options.has(key);
  }

  text(key: string): string | undefined {
    return this.options.get(key);
  }

  number(key: string): number | undefined {
    const text = this.options.get(key);
    return text === undefined ? undefined : Number(text);
  }

  list(key: string): string[] {
    const items = (this.options.get(key) ?? '').split(',').filter((item) => item !== '');
    if (items.length > LIST_MAX) throw new UsageError(`${key}: ${items.length} of them; at most ${LIST_MAX}`);
    return items;
  }

  network(): GatewayNetwork {
    const pairs = new Map<string, string>();
    for (const key of NETWORK_KEYS) {
      const text = this.options.get(key);
      if (text !== undefined) pairs.set(key, text);
    }
    // What leaves must fit what guests have: what they are told, else what Ethernet is.
    const mtu = this.options.get('mtu');
    pairs.set('mtu', mtu ?? MTU);
    if (mtu !== undefined) pairs.set('advertise', mtu);
    if (this.has('nodhcp')) pairs.set('dhcp', 'no');
    if (this.has('nora')) pairs.set('ra', 'no');
    if (!this.has('domain') && !this.has('nodns')) pairs.set('domain', DOMAIN);
    if (this.has('nodns')) for (const key of this.dnsKeys()) pairs.set(key, 'none');
    return gatewayNetworkOf(pairs);
  }

  /** `keep-source` belongs to the forward before it. */
  forwards(direction: 'in' | 'out', key: string): ForwardSpec[] {
    const texts: string[] = [];
    for (const item of this.list(key)) {
      if (item === KEEP_SOURCE && texts.length > 0) texts.push(`${texts.pop()},${item}`);
      else texts.push(item);
    }
    return texts.map((text) => parseForward(direction, text));
  }

  outbound(): { outbound4: Address | undefined; outbound6: Address | undefined } {
    const found = new Map<boolean, Address>();
    for (const text of this.list('bind')) {
      const address = parseAddress(text);
      if (!address || found.has(isIp4(address)))
        throw wrong('bind', text, 'an address of this host, one of each family');
      found.set(isIp4(address), address);
    }
    return { outbound4: found.get(true), outbound6: found.get(false) };
  }

  filtering(): UdpFiltering | undefined {
    const text = this.options.get('filtering');
    if (text === undefined) return undefined;
    const found = FILTERING.find((kind) => kind === text);
    if (!found) throw wrong('filtering', text, FILTERING.join(', '));
    return found;
  }

  nat64(): Nat64Prefix | undefined {
    const text = this.options.get('prefix64');
    if (text === undefined) return this.has('nat64') ? NAT64 : undefined;
    const prefix = parsePrefix(text);
    if (prefix && !isIp4(prefix.address) && NAT64_BITS.includes(prefix.bits)) return prefix;
    throw wrong('prefix64', text, `a prefix of ${NAT64_BITS.join(', ')} bits, such as 64:ff9b::/96`);
  }

  servers(): ServerAddress[] {
    return this.list('servers').map((text) => {
      const [, inner, plain, end = '53'] = /^(?:\[([^\]]+)\]|([0-9.]+|[0-9a-f:.]+?))(?::(\d{1,5}))?$/i.exec(text) ?? [];
      // Without brackets a colon belongs to an IPv6 address.
      const whole = parseAddress(text);
      const address = whole ?? parseAddress(inner ?? plain ?? '');
      const port = whole ? 53 : Number(end);
      if (address && port >= 1 && port <= 65535) return { address, port };
      throw wrong('servers', text, 'ADDRESS or ADDRESS:PORT of a name server');
    });
  }

  names(): NamedAddress[] {
    return this.list('hosts').map((text) => {
      const [name = '', host = ''] = text.split('=');
      const address = parseAddress(host);
      if (!isHostName(name) || !address) throw wrong('hosts', text, 'NAME=ADDRESS');
      return { name, address };
    });
  }

  reservations(network: GatewayNetwork): ReservedAddress[] {
    return this.list('reserve').map((text) => {
      const [station = '', host = '', name = ''] = text.split('=');
      const mac = parseMac(station);
      const address = parseAddress(host);
      if (!mac || mac[0]! & 1 || !address || (name !== '' && !isHostName(name))) {
        throw wrong('reserve', text, 'MAC=ADDRESS or MAC=ADDRESS=NAME');
      }
      if (!isInNetwork(network, address)) throw wrong('reserve', text, "an address in the gateway's network");
      return { mac: formatMac(mac), address, ...(name === '' ? {} : { name }) };
    });
  }

  bootServer(): Address | undefined {
    const text = this.options.get('bootserver');
    const address = text === undefined ? undefined : parseAddress(text);
    if (text !== undefined && !(address && isIp4(address))) throw wrong('bootserver', text, 'an IPv4 address');
    return address;
  }

  /** Which addresses are leased: what `pool` says, else all from the fifteenth on. */
  pool4(net: GatewayPrefix): GuestPool {
    const excluded = net.dns ? [net.gateway, net.dns] : [net.gateway];
    const base = ip4Of(net.address);
    const size = 2 ** (32 - net.bits);
    const start = size > 2 * FIRST_HOST ? FIRST_HOST : Math.min(FIRST_HOST_SMALL, size - 2);
    const text = this.options.get('pool');
    if (text === undefined) {
      const count = Math.min(size - 1 - start, GUESTS_MAX);
      return { first: addressOf4((base + start) | 0), count, bits: net.bits, excluded };
    }
    const [from, to] = text.split('-').map(parseAddress);
    const first = from && isIp4(from) ? ip4Of(from) - base : -1;
    const last = to && isIp4(to) ? ip4Of(to) - base : -1;
    if (first < 1 || last < first || last > size - 2 || last - first >= GUESTS_MAX) {
      const [a, b] = [base + start, base + size - 2].map((address) => formatAddress(addressOf4(address | 0)));
      throw wrong('pool', text, `FIRST-LAST in the network, such as ${a}-${b}, at most ${GUESTS_MAX} addresses`);
    }
    return { first: from!, count: last - first + 1, bits: net.bits, excluded };
  }

  private dnsKeys(): string[] {
    return [this.options.get('net') === 'none' ? '' : 'dns', this.options.get('net6') === 'none' ? '' : 'dns6'].filter(
      (key) => key !== '',
    );
  }
}

function pool6Of(net: GatewayPrefix): GuestPool {
  const first = Int32Array.from(net.address);
  const size = 2 ** Math.min(32, 128 - net.bits);
  const start = Math.min(HOSTS6, size / 4);
  first[3] = (first[3]! + start) | 0;
  const excluded = net.dns ? [net.gateway, net.dns] : [net.gateway];
  return { first, count: Math.min(GUESTS_MAX, size - start), bits: net.bits, excluded };
}

const wrong = (key: string, value: string, expected: string): UsageError =>
  new UsageError(`${key} '${value.slice(0, 80)}': expected ${expected}`);

const isHostName = (text: string): boolean =>
  text.length <= 253 && /^[A-Za-z0-9_][A-Za-z0-9_-]{0,62}(\.[A-Za-z0-9_][A-Za-z0-9_-]{0,62})*$/.test(text);
