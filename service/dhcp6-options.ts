// The options of a DHCPv6 answer beside addresses: RFC 3646, 4075, 4704, 5908, 5970.

import * as dhcp6 from '../wire/dhcp6.ts';
import { nameBytes } from '../wire/dns-name.ts';
import { bytes16 } from './bytes-text.ts';
import type { DhcpSettings, Settings6 } from './dhcp-settings.ts';
import type { Request6 } from './dhcp6-request.ts';

const { Option } = dhcp6;
const NTP_SERVER_ADDRESS = 1; // suboption, RFC 5908 §4.1
const USUAL: readonly number[] = [Option.DnsServers, Option.DomainList];
const HTTP_CLIENT = 'HTTPClient';

// Flags of option 39, RFC 4704 §4.1.
const S = 1;
const O = 2;
const N = 4;

const ascii = (text: string): number[] => Array.from(text, (letter) => letter.charCodeAt(0) & 127);
const u16 = (value: number): number[] => [value >>> 8, value & 255];

/** What every client of a network may ask for, by code; what is empty is left out. */
export function commonOptions(settings: DhcpSettings, ip6: Settings6): ReadonlyMap<number, readonly number[]> {
  const { dns = [], ntp = [], bootUrl = '', bootParameters = [] } = ip6;
  const all: [number, number[]][] = [
    [Option.DnsServers, dns.flatMap((address) => [...bytes16(address)])],
    [Option.DomainList, settings.search.flatMap((name) => [...(nameBytes(name) ?? [])])],
    [Option.SntpServers, ntp.flatMap((address) => [...bytes16(address)])],
    [Option.NtpServer, ntp.flatMap((address) => [0, NTP_SERVER_ADDRESS, 0, 16, ...bytes16(address)])],
    [Option.BootUrl, ascii(bootUrl)],
    [Option.BootParameters, bootUrl === '' ? [] : bootParameters.flatMap((p) => [...u16(p.length), ...ascii(p)])],
  ];
  return new Map(all.filter(([, value]) => value.length > 0));
}

/** Adds to an answer what the client asks for. */
export function addWanted(
  out: dhcp6.Dhcp6Writer,
  request: Request6,
  common: ReadonlyMap<number, readonly number[]>,
): void {
  for (const code of request.wanted ?? USUAL) {
    const value = common.get(code);
    if (value) out.option(code, value);
  }
  // UEFI 2.10 §24.7.3: only an answer that says HTTPClient counts.
  if (request.httpEnterprise >= 0 && common.has(Option.BootUrl)) {
    out.begin(Option.VendorClass).u32(request.httpEnterprise).u16(HTTP_CLIENT.length).bytes(ascii(HTTP_CLIENT)).end();
  }
}

/** Adds the name that the guest was given, if it had said one. */
export function addName(out: dhcp6.Dhcp6Writer, request: Request6, name: string, domain: string): void {
  if (!request.fqdn || name === '') return;
  const { flags } = request.fqdn;
  if ((flags & N) !== 0) return;
  const full = domain === '' ? name : `${name}.${domain}`;
  out.option(Option.Fqdn, [S | ((flags & S) === 0 ? O : 0), ...dhcp6.fqdnBytes(full)]);
}

/** What a client calls itself, '' if it did not say or does not want its name known. */
export const nameOf = ({ fqdn }: Request6): string => (!fqdn || (fqdn.flags & N) !== 0 ? '' : fqdn.name);
