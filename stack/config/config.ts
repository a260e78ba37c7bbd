// One line configures a stack, in the manner of libioth's configuration strings: `eth,ip=10.0.0.2/24,gw=10.0.0.1,dns=10.0.0.1`.
//
//   eth dhcp dhcp6 rd slaac temp eui64         what an interface does; auto = eth dhcp dhcp6 rd, auto4 = eth dhcp, auto6 = eth dhcp6 rd
//   ip=A[/N] gw=A dns=A domain=D               what it has; may stand more than once
//   iface=NAME ifindex=N mac=M mtu=N fqdn=D    which one, and its properties
//   stack=X vnl=X debug                        not the stack's to act on: kept for whoever makes it
//   -TOKEN                                     undoes; -static all addresses, gateways and servers, -all everything
//
// What is undone is undone first, whatever the order, so that `-dhcp,dhcp` asks anew.

import { UsageError } from '../../core/assert.ts';
import { formatMac, parseMac } from '../../wire/ethernet.ts';
import { type Address, format, isAny, isIp4, isMulticast, parse } from '../address.ts';
import { isHostName } from './domain-list.ts';

/** What an interface does by itself, as bits; the first five are libioth's numbers. */
export const Feature = {
  Static: 1,
  Eth: 2,
  Dhcp4: 4,
  Dhcp6: 8,
  RouterDiscovery: 16,
  Slaac: 32,
  Temporary: 64,
  Eui64: 128,
} as const;
export type Feature = (typeof Feature)[keyof typeof Feature];

/** An address with the length of its prefix, of the address's own family. */
export interface Prefix {
  readonly address: Address;
  readonly bits: number;
}

/** What is added, or what is taken away. `features`: bits of `Feature`. */
export interface Change {
  readonly features: number;
  readonly addresses: readonly Prefix[];
  readonly gateways: readonly Address[];
  readonly dnsServers: readonly Address[];
  readonly domains: readonly string[];
}

/** A whole line, valid. Texts are empty and numbers 0 where nothing was said. */
export interface Config {
  readonly stack: string;
  readonly vnl: string;
  readonly iface: string;
  readonly ifindex: number;
  readonly fqdn: string;
  readonly mac: Uint8Array | undefined;
  readonly mtuBytes: number;
  readonly isDebug: boolean;
  readonly set: Change;
  readonly undo: Change;
}

const { Static, Eth, Dhcp4, Dhcp6, RouterDiscovery, Slaac, Temporary, Eui64 } = Feature;
const ALL = Static | Eth | Dhcp4 | Dhcp6 | RouterDiscovery | Slaac | Temporary | Eui64;

const FLAGS: ReadonlyMap<string, number> = new Map([
  ['eth', Eth],
  ['dhcp', Dhcp4],
  ['dhcp4', Dhcp4],
  ['dhcpv4', Dhcp4],
  ['dhcp6', Dhcp6],
  ['dhcpv6', Dhcp6],
  ['rd', RouterDiscovery],
  ['rd6', RouterDiscovery],
  ['slaac', Slaac],
  ['temp', Temporary],
  ['eui64', Eui64],
  ['auto', Eth | Dhcp4 | Dhcp6 | RouterDiscovery],
  ['auto4', Eth | Dhcp4],
  ['autov4', Eth | Dhcp4],
  ['auto6', Eth | Dhcp6 | RouterDiscovery],
  ['autov6', Eth | Dhcp6 | RouterDiscovery],
]);
const UNDO_FLAGS: ReadonlyMap<string, number> = new Map([...FLAGS, ['static', Static], ['all', ALL]]);

const TOKENS_MAX = 256;
const LINE_CHARS_MAX = 16384;
const MTU_BYTES_MIN = 68; // RFC 791; IPv6 wants 1280, which is the stack's to say
const MTU_BYTES_MAX = 65535;

interface Draft {
  features: number;
  addresses: Prefix[];
  gateways: Address[];
  dnsServers: Address[];
  domains: string[];
}

const emptyDraft = (): Draft => ({ features: 0, addresses: [], gateways: [], dnsServers: [], domains: [] });

/** Reads a line. Throws `UsageError` that names the token and what was expected. An empty line changes nothing. */
export function parseConfig(line: string): Config {
  if (line.length > LINE_CHARS_MAX)
    throw new UsageError(`configuration of ${line.length} characters: at most ${LINE_CHARS_MAX}`);
  const tokens = line
    .split(',')
    .map((token) => token.trim())
    .filter((token) => token !== '');
  if (tokens.length > TOKENS_MAX)
    throw new UsageError(`configuration of ${tokens.length} tokens: at most ${TOKENS_MAX}`);
  const set = emptyDraft();
  const undo = emptyDraft();
  const one = { stack: '', vnl: '', iface: '', ifindex: 0, fqdn: '', mtuBytes: 0, isDebug: false };
  let mac: Uint8Array | undefined;
  for (const token of tokens) {
    const isUndo = token.startsWith('-');
    const body = isUndo ? token.slice(1) : token;
    if (readChange(token, body, isUndo ? undo : set, isUndo)) continue;
    if (isUndo) throw unknown(token);
    const [key, value] = keyValue(body);
    if (key === 'mac' || key === 'macaddr') mac = readMac(token, value);
    else readOne(token, key, value, one);
  }
  return { ...one, mac, set, undo };
}

function keyValue(body: string): [key: string, value: string | undefined] {
  const at = body.indexOf('=');
  return at < 0 ? [body, undefined] : [body.slice(0, at), body.slice(at + 1)];
}

const unknown = (token: string): UsageError =>
  new UsageError(
    `configuration token '${token}': unknown; expected ${[...FLAGS.keys()].join(', ')}, ip=, gw=, dns=, domain=, iface=, ` +
      'ifindex=, mac=, mtu=, fqdn=, stack=, vnl=, debug, or - and one of these, -static, -all',
  );

const wrong = (token: string, expected: string): UsageError =>
  new UsageError(`configuration token '${token}': expected ${expected}`);

/** True if the token is one of those that can be undone. */
function readChange(token: string, body: string, draft: Draft, isUndo: boolean): boolean {
  const flag = (isUndo ? UNDO_FLAGS : FLAGS).get(body);
  if (flag !== undefined) {
    draft.features |= flag;
    return true;
  }
  const [key, value] = keyValue(body);
  switch (key) {
    case 'ip':
      draft.addresses.push(readPrefix(token, value));
      return true;
    case 'gw':
      draft.gateways.push(readAddress(token, value));
      return true;
    case 'dns':
      draft.dnsServers.push(readAddress(token, value));
      return true;
    case 'domain':
      draft.domains.push(readDomain(token, value));
      return true;
    default:
      return false;
  }
}

type One = { -readonly [K in 'stack' | 'vnl' | 'iface' | 'fqdn']: string } & {
  ifindex: number;
  mtuBytes: number;
  isDebug: boolean;
};

function readOne(token: string, key: string, value: string | undefined, one: One): void {
  switch (key) {
    case 'debug':
      if (value !== undefined) throw wrong(token, 'debug without a value');
      one.isDebug = true;
      return;
    case 'stack':
    case 'vnl':
    case 'iface':
      if (!value) throw wrong(token, `${key}=TEXT`);
      one[key] = value;
      return;
    case 'fqdn':
      one.fqdn = readDomain(token, value);
      return;
    case 'ifindex':
      one.ifindex = readNumber(token, value, 1, 2 ** 31 - 1);
      return;
    case 'mtu':
      one.mtuBytes = readNumber(token, value, MTU_BYTES_MIN, MTU_BYTES_MAX);
      return;
    default:
      throw unknown(token);
  }
}

function readNumber(token: string, value: string | undefined, min: number, max: number): number {
  const number = /^[0-9]{1,10}$/.test(value ?? '') ? Number(value) : -1;
  if (number < min || number > max) throw wrong(token, `a whole number in ${min} … ${max}`);
  return number;
}

function readMac(token: string, value: string | undefined): Uint8Array {
  const mac = parseMac(value ?? '');
  if (!mac || (mac[0]! & 1) !== 0 || mac.every((b) => b === 0)) {
    throw wrong(token, 'the hardware address of one station, as 02:00:00:00:00:01');
  }
  return mac;
}

function readDomain(token: string, value = ''): string {
  const name = value.replace(/\.$/, '');
  if (!isHostName(name) || name.length > 253) throw wrong(token, 'a domain name, as host.example.org');
  return name;
}

function readAddress(token: string, value: string | undefined): Address {
  const address = parse(value ?? '');
  if (!address || isAny(address) || isMulticast(address)) throw wrong(token, 'an address, as 10.0.0.1 or fd00::1');
  return address;
}

/** Without a length: 24 for IPv4, 64 for IPv6, as libioth. */
function readPrefix(token: string, value = ''): Prefix {
  const at = value.indexOf('/');
  const address = readAddress(token, at < 0 ? value : value.slice(0, at));
  const max = isIp4(address) ? 32 : 128;
  const bits = at < 0 ? (isIp4(address) ? 24 : 64) : readNumber(token, value.slice(at + 1), 0, max);
  return { address, bits };
}

const NAMES: readonly (readonly [number, string])[] = [
  [Static, 'static'],
  [Eth, 'eth'],
  [Dhcp4, 'dhcp'],
  [Dhcp6, 'dhcp6'],
  [RouterDiscovery, 'rd'],
  [Slaac, 'slaac'],
  [Temporary, 'temp'],
  [Eui64, 'eui64'],
];

/** A line that `parseConfig` reads as `config`; undoing comes first. */
export function formatConfig(config: Config): string {
  const { stack, vnl, iface, ifindex, fqdn, mac, mtuBytes, isDebug } = config;
  const tokens = changeTokens(config.undo).map((token) => `-${token}`);
  for (const [key, value] of Object.entries({ stack, vnl, iface, fqdn }))
    if (value !== '') tokens.push(`${key}=${value}`);
  if (ifindex !== 0) tokens.push(`ifindex=${ifindex}`);
  if (mac) tokens.push(`mac=${formatMac(mac)}`);
  if (mtuBytes !== 0) tokens.push(`mtu=${mtuBytes}`);
  if (isDebug) tokens.push('debug');
  return [...tokens, ...changeTokens(config.set)].join(',');
}

function changeTokens(change: Change): string[] {
  return [
    ...NAMES.filter(([bit]) => (change.features & bit) !== 0).map(([, name]) => name),
    ...change.addresses.map(({ address, bits }) => `ip=${format(address)}/${bits}`),
    ...change.gateways.map((address) => `gw=${format(address)}`),
    ...change.dnsServers.map((address) => `dns=${format(address)}`),
    ...change.domains.map((domain) => `domain=${domain}`),
  ];
}
