// A rule in words: what it names, and how that is written.

import { UsageError } from '../core/assert.ts';
import { type Address, formatAddress, isIp4, parseAddress } from '../stack/stack.ts';
import { Protocol } from './parts.ts';

/** Names that stand for ranges. `host` is the machine's own addresses, `private` RFC 1918, 6598 and 4193, `any` all that is refused by no default. */
export const GROUPS = ['any', 'loopback', 'private', 'link-local', 'metadata', 'host'] as const;
export type Group = (typeof GROUPS)[number];

/** One `--allow` or `--deny`. */
export interface Rule {
  readonly isAllow: boolean;
  /** Instead of an address. */
  readonly group: Group | undefined;
  readonly address: Address;
  /** Of the four words: 96 more for IPv4. */
  readonly bits: number;
  /** 0: all; `Protocol.Icmp` stands for ICMPv6, too. */
  readonly protocol: Protocol | 0;
  /** 0 … 65535 if the rule names no ports. */
  readonly portFirst: number;
  readonly portLast: number;
}

const EXPECTED =
  'ADDRESS[/BITS][:PORT[-PORT]][/tcp|/udp|/icmp], such as 127.0.0.1:5432, 10.0.0.0/8 or [fd00::1]:443/tcp';
const PORT_MAX = 65535;
const PROTOCOLS: ReadonlyMap<string, Protocol> = new Map<string, Protocol>([
  ['tcp', Protocol.Tcp],
  ['udp', Protocol.Udp],
  ['icmp', Protocol.Icmp],
]);
const NONE: Address = new Int32Array(4);

/**
 * Reads `ADDRESS[/BITS][:PORT[-PORT]][/tcp|udp|icmp]`; an IPv6 address that has ports stands in brackets, the name of a group
 * may stand for address and bits. Throws `UsageError`.
 */
export function parseRule(kind: 'allow' | 'deny', text: string): Rule {
  const wrong = (why: string): UsageError => new UsageError(`--${kind} '${text.slice(0, 80)}': ${why}`);
  const match = /^(.*?)(?:\/([a-z]+))?$/.exec(text);
  const protocol: Rule['protocol'] | undefined = match?.[2] === undefined ? 0 : PROTOCOLS.get(match[2]);
  if (protocol === undefined) throw wrong(`protocol '${match?.[2]}': expected tcp, udp or icmp`);
  const [place, ports] = splitPorts(match?.[1] ?? '');
  const range = ports === undefined ? { first: 0, last: PORT_MAX } : parsePorts(ports);
  if (!range) throw wrong(`ports '${ports}': expected PORT or PORT-PORT, 1 … ${PORT_MAX}`);
  if (ports !== undefined && protocol === Protocol.Icmp) throw wrong('icmp has no ports');
  const rest = { isAllow: kind === 'allow', protocol, portFirst: range.first, portLast: range.last };
  const group = GROUPS.find((name) => name === place);
  if (group) return { ...rest, group, address: NONE, bits: 0 };
  const prefix = parsePrefix(place);
  if (!prefix) throw wrong(`expected ${EXPECTED}, or for the address one of ${GROUPS.join(', ')}`);
  return { ...rest, group: undefined, ...prefix };
}

/** As `parseRule` reads it. */
export function formatRule(rule: Rule): string {
  const { group, address, bits, protocol, portFirst, portLast } = rule;
  const isAll = portFirst === 0 && portLast === PORT_MAX;
  const ports = isAll ? '' : portFirst === portLast ? `:${portFirst}` : `:${portFirst}-${portLast}`;
  const name = [...PROTOCOLS].find(([, number]) => number === protocol)?.[0];
  const end = name === undefined ? '' : `/${name}`;
  if (group !== undefined) return `${group}${ports}${end}`;
  const length = bits === 128 ? '' : `/${isIp4(address) ? bits - 96 : bits}`;
  const host = `${formatAddress(address)}${length}`;
  return `${isIp4(address) || ports === '' ? host : `[${host}]`}${ports}${end}`;
}

/** `ADDRESS[/BITS]`: bits of the four words; undefined if it is none. Brackets may stand around either. */
export function parsePrefix(text: string): { readonly address: Address; readonly bits: number } | undefined {
  const match = /^(\[?)([^\]/[]+)(\]?)(?:\/(\d{1,3}))?(\]?)$/.exec(text);
  const [, open, host = '', inner, length, outer] = match ?? [];
  if (!match || (open === '[') !== (inner === ']' || outer === ']') || (inner === ']' && outer === ']'))
    return undefined;
  const address = parseAddress(host);
  if (!address || (open === '[' && !host.includes(':'))) return undefined;
  const is4 = isIp4(address);
  const bits = length === undefined ? 128 : Number(length) + (host.includes(':') ? 0 : 96);
  return bits <= 128 && (!is4 || bits >= 96) ? { address, bits } : undefined;
}

/** The ports behind the last colon that is not an IPv6 address's own. */
function splitPorts(text: string): [string, string | undefined] {
  const at = text.lastIndexOf(':');
  const isPorts = at >= 0 && (text[at - 1] === ']' || text.indexOf(':') === at || /\]\/\d+$/.test(text.slice(0, at)));
  return isPorts ? [text.slice(0, at), text.slice(at + 1)] : [text, undefined];
}

function parsePorts(text: string): { readonly first: number; readonly last: number } | undefined {
  const [, a = '', b = a] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text) ?? [];
  const first = Number(a);
  const last = Number(b);
  return a !== '' && first >= 1 && first <= last && last <= PORT_MAX ? { first, last } : undefined;
}
