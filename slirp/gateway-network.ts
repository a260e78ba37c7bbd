// The network that a gateway serves: its prefixes and who has which address in it.
//
//   net=10.0.2.0/24|none  gateway=10.0.2.2  dns=10.0.2.3     IPv4; the two are addresses in it, by default its 2nd and 3rd
//   net6=fd00::/64|none   gateway6=fd00::2  dns6=fd00::3     IPv6; likewise
//   mac=52:55:0a:00:02:02                                    the gateway's; by default its IPv4 address is in it
//   mtu=65520  advertise=1500                                the longest packet it takes, and the MTU that guests are told
//   domain=D  search=D,D                                     names
//   ra=yes|no  dhcp=yes|no                                   whether it advertises itself, and a DHCP server

import { UsageError } from '../core/assert.ts';
import {
  type Address,
  addressOf4,
  formatAddress,
  ip4Of,
  isIp4,
  isMulticast,
  parseAddress,
  samePrefix,
} from '../stack/stack.ts';
import { parseMac } from '../wire/ethernet.ts';
import { parsePrefix } from './rule.ts';

/** One family's part of a network. */
export interface GatewayPrefix {
  /** The bits behind the prefix are 0. */
  readonly address: Address;
  /** Of the address's own family: 8 … 30, or 64 … 124 for IPv6. */
  readonly bits: number;
  readonly gateway: Address;
  /** What guests are told to ask for names; undefined: nobody. */
  readonly dns: Address | undefined;
}

/** What a gateway and the servers beside it agree on. */
export interface GatewayNetwork {
  /** At least one of both. */
  readonly net4: GatewayPrefix | undefined;
  readonly net6: GatewayPrefix | undefined;
  /** 6 bytes; stable, so that guests do not notice when the gateway is started anew. */
  readonly mac: Uint8Array;
  /** Of the gateway's interface, 1280 … 65,535. */
  readonly mtuBytes: number;
  /** What DHCP and router advertisements say, at most `mtuBytes`; 0: nothing. */
  readonly advertisedMtuBytes: number;
  /** The guests' own names end in it; '' for none. */
  readonly domain: string;
  readonly search: readonly string[];
  readonly advertises: boolean;
  /** A DHCP server is beside it: advertisements say so. */
  readonly hasDhcp: boolean;
}

/** fe80::2, the source of router advertisements. */
export const LINK_LOCAL: Address = Int32Array.of(0xfe800000, 0, 0, 2);

const MTU_MAX = 65535;
const MTU_DEFAULT = 65520; // as others of the kind have: a multiple of 16 that leaves room for headers around a frame
const MTU_MIN = 1280; // RFC 8200 §5
const NAMES_MAX = 16;
const GATEWAY_HOST = 2;
const DNS_HOST = 3;
const DEFAULT4 = '10.0.2.0/24';
const DEFAULT6 = 'fd00::/64';
/** Bits that a network may have, and bits of the four words before it. */
const FAMILY4 = { name: 'IPv4', min: 8, max: 30, before: 96, example: DEFAULT4 };
const FAMILY6 = { name: 'IPv6', min: 64, max: 124, before: 0, example: DEFAULT6 };

const KEYS = [
  'net',
  'gateway',
  'dns',
  'net6',
  'gateway6',
  'dns6',
  'mac',
  'mtu',
  'advertise',
  'domain',
  'search',
  'ra',
  'dhcp',
] as const;
type Key = (typeof KEYS)[number];

/** Reads `key=value` pairs with blanks between them. Throws `UsageError`. */
export function parseGatewayNetwork(text: string): GatewayNetwork {
  const pairs = new Map<string, string>();
  for (const pair of text.split(/\s+/)) {
    if (pair === '') continue;
    const at = pair.indexOf('=');
    if (at <= 0) throw new UsageError(`'${pair.slice(0, 80)}': expected KEY=VALUE`);
    const key = pair.slice(0, at);
    if (pairs.has(key)) throw new UsageError(`${key}= given twice; give it once`);
    pairs.set(key, pair.slice(at + 1));
  }
  return gatewayNetworkOf(pairs);
}

/** The network of these pairs; what is not given is as the file's head says. Throws `UsageError`. */
export function gatewayNetworkOf(pairs: ReadonlyMap<string, string>): GatewayNetwork {
  for (const key of pairs.keys())
    if (!(KEYS as readonly string[]).includes(key))
      throw new UsageError(`unknown key '${key.slice(0, 40)}'; known: ${KEYS.join(', ')}`);
  const given = (key: Key): string | undefined => pairs.get(key);
  const net4 = readPrefix('net', given('net') ?? DEFAULT4, given('gateway'), given('dns'));
  const net6 = readPrefix('net6', given('net6') ?? DEFAULT6, given('gateway6'), given('dns6'));
  if (!net4 && !net6) throw new UsageError('net=none and net6=none: a network has at least one of both');
  const mtuBytes = readNumber('mtu', given('mtu'), MTU_DEFAULT, MTU_MIN, MTU_MAX);
  return {
    net4,
    net6,
    mac: readMac(given('mac'), net4),
    mtuBytes,
    advertisedMtuBytes: readNumber('advertise', given('advertise'), 0, 0, mtuBytes),
    domain: readNames('domain', given('domain'), 1)[0] ?? '',
    search: readNames('search', given('search'), NAMES_MAX),
    advertises: readYes('ra', given('ra')),
    hasDhcp: readYes('dhcp', given('dhcp')),
  };
}

/** True if `address` is in the network, whoever has it. */
export function isInNetwork(network: GatewayNetwork, address: Address): boolean {
  const { net4, net6 } = network;
  if (isIp4(address)) return net4 !== undefined && samePrefix(address, net4.address, net4.bits + 96);
  return net6 !== undefined && samePrefix(address, net6.address, net6.bits);
}

/** The address of a prefix with `host` in its last word. */
export function hostOf(prefix: { readonly address: Address }, host: number): Address {
  const address = Int32Array.from(prefix.address);
  address[3] = address[3]! + host;
  return address;
}

function readPrefix(key: 'net' | 'net6', text: string, gateway?: string, dns?: string): GatewayPrefix | undefined {
  const suffix = key === 'net' ? '' : '6';
  if (text === 'none') {
    const idle = gateway !== undefined ? 'gateway' : dns !== undefined ? 'dns' : '';
    if (idle !== '') throw new UsageError(`${idle}${suffix}= without a network: ${key}=none`);
    return undefined;
  }
  const base = readNet(key, text);
  const own = (name: string, given: string | undefined, host: number): Address => {
    const address = given === undefined ? hostOf(base, host) : parseAddress(given);
    if (!address || !isHostIn(base, address))
      throw new UsageError(`${name}${suffix}=${given ?? ''}: expected an address in ${text}`);
    return address;
  };
  const dnsHost = base.bits === 30 ? GATEWAY_HOST : DNS_HOST; // a /30 has two hosts: the gateway answers for names, too
  return {
    ...base,
    gateway: own('gateway', gateway, GATEWAY_HOST),
    dns: dns === 'none' ? undefined : own('dns', dns, dnsHost),
  };
}

function readNet(key: 'net' | 'net6', text: string): { readonly address: Address; readonly bits: number } {
  const family = key === 'net' ? FAMILY4 : FAMILY6;
  const prefix = parsePrefix(text);
  const bits = prefix ? prefix.bits - family.before : -1;
  const isGood = prefix && isIp4(prefix.address) === (family === FAMILY4) && bits >= family.min && bits <= family.max;
  if (isGood && !isMulticast(prefix.address)) return { address: masked(prefix.address, prefix.bits), bits };
  throw new UsageError(
    `${key}=${text.slice(0, 80)}: expected an ${family.name} prefix of ${family.min} … ${family.max} bits, ` +
      `such as ${family.example}, or none`,
  );
}

/** Not the network itself, and in IPv4 not its broadcast address. */
function isHostIn(prefix: { readonly address: Address; readonly bits: number }, address: Address): boolean {
  const is4 = isIp4(prefix.address);
  if (isIp4(address) !== is4) return false;
  const bits = prefix.bits + (is4 ? 96 : 0);
  if (!samePrefix(address, prefix.address, bits)) return false;
  const host = (address[3]! & ~maskOf(bits, 3)) >>> 0;
  const isNetwork = host === 0 && address[2] === prefix.address[2];
  return !isNetwork && !(is4 && host === ~maskOf(bits, 3) >>> 0);
}

/** The bits of word `w` that the first `bits` bits have in it. */
function maskOf(bits: number, w: number): number {
  const kept = Math.max(0, Math.min(32, bits - 32 * w));
  return kept === 0 ? 0 : -1 << (32 - kept);
}

const masked = (address: Address, bits: number): Address => address.map((word, w) => word & maskOf(bits, w));

function readMac(text: string | undefined, net4: GatewayPrefix | undefined): Uint8Array {
  if (text === undefined) {
    // libslirp's: 52:55 and the address, which for the default network is 52:55:0a:00:02:02.
    const address = ip4Of(net4?.gateway ?? addressOf4(0x0a000202));
    return Uint8Array.of(0x52, 0x55, address >>> 24, (address >>> 16) & 255, (address >>> 8) & 255, address & 255);
  }
  const mac = parseMac(text);
  if (!mac || mac[0]! & 1 || mac.every((byte) => byte === 0))
    throw new UsageError(`mac=${text.slice(0, 40)}: expected one station's address, such as 52:55:0a:00:02:02`);
  return mac;
}

function readNumber(key: Key, text: string | undefined, fallback: number, min: number, max: number): number {
  if (text === undefined) return fallback;
  const value = /^\d{1,6}$/.test(text) ? Number(text) : -1;
  const isUnsaid = key === 'advertise' && value === 0;
  const least = key === 'advertise' ? MTU_MIN : min;
  if (!isUnsaid && !(value >= least && value <= max))
    throw new UsageError(`${key}=${text.slice(0, 40)}: expected ${least} … ${max} bytes`);
  return value;
}

function readNames(key: Key, text: string | undefined, countMax: number): string[] {
  if (text === undefined || text === '') return [];
  const names = text.split(',').map((name) => name.replace(/\.$/, '').toLowerCase());
  const bad = names.find((name) => name.length > 253 || !/^[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*$/.test(name));
  if (bad !== undefined) throw new UsageError(`${key}=${text.slice(0, 80)}: '${bad.slice(0, 80)}' is no domain`);
  if (names.length > countMax) throw new UsageError(`${key}=: ${names.length} domains, at most ${countMax}`);
  return names;
}

function readYes(key: Key, text: string | undefined): boolean {
  if (text === undefined || text === 'yes') return true;
  if (text === 'no') return false;
  throw new UsageError(`${key}=${text.slice(0, 40)}: expected yes or no`);
}

/** For people: `10.0.2.0/24`. */
export const prefixText = (prefix: { readonly address: Address; readonly bits: number }): string =>
  `${formatAddress(prefix.address)}/${prefix.bits}`;
