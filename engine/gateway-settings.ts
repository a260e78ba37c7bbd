// What a gateway is to be, as people write it: options of `slirp://`, keys of a lab file's `gateway`, options of `weft slirp`.
// One table names them (plug/schemes.ts), one function reads them.

import { UsageError } from '../core/assert.ts';
import { checkOption, SCHEMES } from '../plug/plug.ts';
import { type Address, addressOf4, formatAddress, ip4Of, isIp4, parseAddress, samePrefix } from '../stack/stack.ts';
import { parseMac } from '../wire/ethernet.ts';

/** As they were written: a flag is '', a list has commas. */
export type GatewayOptions = ReadonlyMap<string, string>;

/** A network of the gateway's, with the places that matter in it. */
export interface Subnet {
  /** The gateway's own address. */
  readonly gateway: Address;
  /** Where names are asked for; another one of the gateway's own. */
  readonly dns: Address;
  /** 0 … 32 of IPv4, 64 of IPv6. */
  readonly bits: number;
  /** First and last address for guests. */
  readonly first: Address;
  readonly last: Address;
}

/** A name for an address. */
export interface NamedAddress {
  readonly name: string;
  readonly address: Address;
}

/** A guest that always gets the same address. */
export interface Reservation {
  readonly mac: Uint8Array;
  readonly address: Address;
  readonly name: string;
}

/** Checked. */
export interface GatewaySettings {
  readonly net4: Subnet | undefined;
  readonly net6: Subnet | undefined;
  readonly mac: Uint8Array;
  /** What guests are told, in bytes. */
  readonly mtu: number;
  readonly isRestricted: boolean;
  readonly allow: readonly string[];
  readonly deny: readonly string[];
  readonly forwards: readonly string[];
  readonly reverses: readonly string[];
  readonly keepsSource: boolean;
  /** Where flows leave by, of each family. */
  readonly bind4: Address | undefined;
  readonly bind6: Address | undefined;
  readonly filtering: Filtering;
  readonly hasNat64: boolean;
  /** Servers to ask in place of the host's. */
  readonly dns: readonly { readonly address: Address; readonly port: number }[];
  readonly domain: string | undefined;
  readonly search: readonly string[];
  readonly names: readonly NamedAddress[];
  readonly hasDns: boolean;
  readonly hasDhcp: boolean;
  readonly hasAdvertisements: boolean;
  readonly reservations: readonly Reservation[];
  /** Where leases are kept; '' nowhere, undefined: in the network's directory. */
  readonly leasesPath: string | undefined;
  readonly leaseSeconds: number;
  readonly boot: string;
  /** Flows of one guest. */
  readonly tcpFlowsMax: number | undefined;
  readonly udpFlowsMax: number | undefined;
}

/** RFC 4787 §5: who may answer a guest's datagrams. */
export const FILTERING = ['endpoint', 'address', 'port'] as const;
export type Filtering = (typeof FILTERING)[number];

const NET = '10.0.2.0/24';
const NET6 = 'fd00::/64';
const GATEWAY_HOST = 2;
const DNS_HOST = 3;
const FIRST_HOST = 15;
const BITS_MIN = 8;
const BITS_MAX = 29; // room for the network, the gateway, the name server, three guests and the broadcast address
const BITS6 = 64; // RFC 4862: what a guest makes its own address in
const MTU = 1500;
const LEASE_SECONDS = 86_400;
const LIST_MAX = 1024;

/** Reads and checks everything. `what` begins every complaint: `slirp`, `gateway`. Throws `UsageError`. */
export function gatewaySettings(options: GatewayOptions, what = 'slirp'): GatewaySettings {
  const read = new OptionReader(options, what);
  const net4 = read.net4();
  const net6 = read.net6();
  if (!net4 && !net6) throw new UsageError(`${what}: net=none and net6=none leave nothing; keep one of them`);
  return {
    net4,
    net6,
    mac: read.mac(net4),
    mtu: read.number('mtu', MTU),
    isRestricted: read.flag('restrict'),
    allow: read.list('allow'),
    deny: read.list('deny'),
    forwards: read.list('forward'),
    reverses: read.list('reverse'),
    keepsSource: read.flag('keepsource'),
    ...read.bind(),
    filtering: read.filtering(),
    hasNat64: read.flag('nat64'),
    dns: read.servers(),
    domain: options.get('domain'),
    search: read.list('search'),
    names: read.names(),
    hasDns: !read.flag('nodns'),
    hasDhcp: !read.flag('nodhcp'),
    hasAdvertisements: net6 !== undefined && !read.flag('nora'),
    reservations: read.reservations(net4, net6),
    leasesPath: options.get('leases') === 'none' ? '' : options.get('leases'),
    leaseSeconds: read.number('leasetime', LEASE_SECONDS),
    boot: options.get('boot') ?? '',
    tcpFlowsMax: options.has('tcpflows') ? read.number('tcpflows', 0) : undefined,
    udpFlowsMax: options.has('udpflows') ? read.number('udpflows', 0) : undefined,
  };
}

/** Adds one option as `key=value` would in a VNL; `value` undefined is a flag. Throws `UsageError`. */
export function addOption(to: Map<string, string>, what: string, key: string, value: string | undefined): void {
  const rules = SCHEMES.slirp!;
  checkOption(what, rules, key, value);
  const before = to.get(key);
  if (before === undefined) to.set(key, value ?? '');
  else if (rules.options[key]!.kind === 'list') to.set(key, `${before},${value}`);
  else throw new UsageError(`${what}: '${key}' is given twice; give it once`);
}

/** The names of all options, and whether one is a flag or a list. */
export const gatewayOptionKinds = (): Readonly<Record<string, { readonly kind: string }>> => SCHEMES.slirp!.options;

class OptionReader {
  private readonly options: GatewayOptions;
  private readonly what: string;

  constructor(options: GatewayOptions, what: string) {
    this.options = options;
    this.what = what;
  }

  flag(key: string): boolean {
    return this.options.has(key);
  }

  number(key: string, fallback: number): number {
    return Number(this.options.get(key) ?? fallback);
  }

  list(key: string): string[] {
    const items = (this.options.get(key) ?? '').split(',').filter((item) => item !== '');
    if (items.length > LIST_MAX) throw this.error(key, `${items.length} of them`, `at most ${LIST_MAX}`);
    return items;
  }

  error(key: string, value: string, expected: string): UsageError {
    return new UsageError(`${this.what}: ${key} '${value.slice(0, 80)}': expected ${expected}`);
  }

  net4(): Subnet | undefined {
    const text = this.options.get('net') ?? NET;
    if (text === 'none') return undefined;
    const { address, bits } = prefixOf(text);
    const isGood = address && isIp4(address) && bits >= BITS_MIN && bits <= BITS_MAX;
    if (!isGood) throw this.error('net', text, `ADDRESS/BITS of IPv4, BITS ${BITS_MIN} … ${BITS_MAX}, or none`);
    const size = 2 ** (32 - bits);
    const given = ip4Of(address) % size;
    const base = ip4Of(address) - given;
    if (given === size - 1) throw this.error('net', text, 'another address than the broadcast address');
    const gateway = given || GATEWAY_HOST;
    const dns = [DNS_HOST, GATEWAY_HOST].find((host) => host !== gateway)!;
    const at = (host: number): Address => addressOf4((base + host) | 0);
    const first = size > FIRST_HOST + 1 ? FIRST_HOST : [1, 2, 3, 4].find((host) => host > DNS_HOST)!;
    return { gateway: at(gateway), dns: at(dns), bits, ...this.pool(at(first), at(size - 2), bits) };
  }

  net6(): Subnet | undefined {
    const text = this.options.get('net6') ?? NET6;
    if (text === 'none') return undefined;
    const { address, bits } = prefixOf(text);
    const isGood = address && !isIp4(address) && bits === BITS6;
    if (!isGood) throw this.error('net6', text, `ADDRESS/${BITS6} of IPv6, or none`);
    const at = (low: number): Address => Int32Array.of(address[0]!, address[1]!, 0, low);
    const gateway = address[2] === 0 && address[3] === 0 ? at(GATEWAY_HOST) : address;
    const dns = [DNS_HOST, GATEWAY_HOST].map(at).find((host) => host.join() !== gateway.join())!;
    return { gateway, dns, bits, first: at(0x1_0000), last: at(0x1_ffff) };
  }

  mac(net4: Subnet | undefined): Uint8Array {
    const text = this.options.get('mac');
    if (text === undefined) {
      // libslirp's, with the gateway's address in it: the same after a restart, which guests then do not notice.
      const low = net4 ? ip4Of(net4.gateway) : (10 << 24) | (2 << 8) | GATEWAY_HOST;
      return Uint8Array.of(0x52, 0x55, low >>> 24, (low >>> 16) & 0xff, (low >>> 8) & 0xff, low & 0xff);
    }
    const mac = parseMac(text);
    if (!mac || mac[0]! & 1) throw this.error('mac', text, 'the MAC address of one station, such as 52:55:0a:00:02:02');
    return mac;
  }

  bind(): { bind4: Address | undefined; bind6: Address | undefined } {
    const found: { bind4: Address | undefined; bind6: Address | undefined } = { bind4: undefined, bind6: undefined };
    for (const text of this.list('bind')) {
      const address = parseAddress(text);
      const key = address && isIp4(address) ? 'bind4' : 'bind6';
      if (!address || found[key]) throw this.error('bind', text, 'an address of this host, one of each family');
      found[key] = address;
    }
    return found;
  }

  filtering(): Filtering {
    const text = this.options.get('filtering') ?? 'endpoint';
    const found = FILTERING.find((kind) => kind === text);
    if (!found) throw this.error('filtering', text, FILTERING.join(', '));
    return found;
  }

  servers(): { address: Address; port: number }[] {
    return this.list('dns').map((text) => {
      const [, host, end = ''] = /^\[?([^\]]+?)\]?(?:(?<=\]|^[0-9.]+):(\d{1,5}))?$/.exec(text) ?? [];
      const address = parseAddress(host ?? '');
      const port = end === '' ? 53 : Number(end);
      if (!address || port < 1 || port > 65535)
        throw this.error('dns', text, 'ADDRESS or ADDRESS:PORT of a name server');
      return { address, port };
    });
  }

  names(): NamedAddress[] {
    return this.list('hosts').map((text) => {
      const [name = '', host = ''] = splitAt(text, '=');
      const address = parseAddress(host);
      if (!isHostName(name) || !address) throw this.error('hosts', text, 'NAME=ADDRESS');
      return { name, address };
    });
  }

  reservations(net4: Subnet | undefined, net6: Subnet | undefined): Reservation[] {
    return this.list('reserve').map((text) => {
      const [macText = '', host = '', name = ''] = text.split('=');
      const mac = parseMac(macText);
      const address = parseAddress(host);
      if (!mac || mac[0]! & 1 || !address || (name !== '' && !isHostName(name))) {
        throw this.error('reserve', text, 'MAC=ADDRESS or MAC=ADDRESS=NAME');
      }
      if (!isIn(address, net4) && !isIn(address, net6))
        throw this.error('reserve', text, "an address in the gateway's network");
      return { mac, address, name };
    });
  }

  /** Which addresses are leased; a range of the network. */
  private pool(first: Address, last: Address, bits: number): { first: Address; last: Address } {
    const text = this.options.get('pool');
    if (text === undefined) return { first, last };
    const [from, to] = text.split('-').map(parseAddress);
    const isGood = from && to && isIp4(from) && isIp4(to) && ip4Of(from) <= ip4Of(to);
    const isInside = isGood && samePrefix(from, first, 96 + bits) && samePrefix(to, first, 96 + bits);
    if (!isInside || ip4Of(to) > ip4Of(last)) {
      throw this.error(
        'pool',
        text,
        `FIRST-LAST in the network, such as ${formatAddress(first)}-${formatAddress(last)}`,
      );
    }
    return { first: from, last: to };
  }
}

const isIn = (address: Address, net: Subnet | undefined): boolean =>
  net !== undefined &&
  isIp4(address) === isIp4(net.gateway) &&
  samePrefix(address, net.gateway, isIp4(address) ? 96 + net.bits : net.bits);

const isHostName = (text: string): boolean =>
  text.length <= 253 && /^[A-Za-z0-9_]([A-Za-z0-9_-]{0,62})(\.[A-Za-z0-9_][A-Za-z0-9_-]{0,62})*$/.test(text);

function splitAt(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
}

/** An address and how many bits of it are the network's; no address if it is none. */
function prefixOf(text: string): { address: Address | undefined; bits: number } {
  const [, host = '', bits = ''] = /^([^/]+)\/(\d{1,3})$/.exec(text) ?? [];
  return { address: parseAddress(host), bits: bits === '' ? -1 : Number(bits) };
}
