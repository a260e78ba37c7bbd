// The options of a DHCPv4 answer: RFC 2132 and what came later, in the order that the client wants them.

import * as dhcp4 from '../wire/dhcp4.ts';
import { FqdnFlag, fqdnBytes, routesBytes, searchBytes } from '../wire/dhcp4-values.ts';
import { number4 } from './bytes-text.ts';
import type { BootFile, DhcpSettings, Settings4 } from './dhcp-settings.ts';
import { type Request4, wantedOf } from './dhcp4-request.ts';

type Value = readonly [number, Uint8Array];

const { Option } = dhcp4;
const FILE_CHARS_MAX = 127;
const SNAME_CHARS_MAX = 63;
/** For who asks for nothing in particular. */
const USUAL: readonly number[] = [
  Option.SubnetMask,
  Option.Router,
  Option.DnsServers,
  Option.DomainName,
  Option.Broadcast,
  Option.HostName,
];

const ascii = (text: string): Uint8Array => Uint8Array.from(text, (letter) => letter.charCodeAt(0) & 127);
const u16 = (value: number): Uint8Array => Uint8Array.of(value >>> 8, value & 255);
const list = (addresses: readonly Int32Array[] = []): Uint8Array =>
  Uint8Array.from(addresses.flatMap((address) => [...dhcp4.bytes4(number4(address))]));

/** What every client of a network is told, by code; empty values are left out. */
export function commonOptions(settings: DhcpSettings, ip4: Settings4): ReadonlyMap<number, Uint8Array> {
  const mask = (-1 << (32 - ip4.bits)) >>> 0;
  const gateway = ip4.gateway && number4(ip4.gateway);
  const routes = [...(ip4.routes ?? [])];
  // RFC 3442: who understands option 121 ignores option 3, so the default route is among the others.
  if (routes.length > 0 && gateway !== undefined) routes.push({ prefix: 0, bits: 0, gateway });
  const all: Value[] = [
    [Option.SubnetMask, dhcp4.bytes4(mask)],
    [Option.Router, ip4.gateway ? list([ip4.gateway]) : list()],
    [Option.DnsServers, list(ip4.dns)],
    [Option.DomainName, ascii(settings.domain)],
    [Option.Mtu, settings.mtuBytes > 0 ? u16(settings.mtuBytes) : list()],
    [Option.Broadcast, dhcp4.bytes4((number4(ip4.server) | ~mask) >>> 0)],
    [Option.NtpServers, list(ip4.ntp)],
    [Option.DomainSearch, searchBytes(settings.search)],
    [Option.ClasslessRoutes, routesBytes(routes)],
  ];
  return new Map(all.filter(([, value]) => value.length > 0));
}

/** What an answer says. */
export interface Answer4 {
  /** A value of `MessageType`, 0 for BOOTP. */
  readonly type: number;
  /** 0 for an answer without a lease. */
  readonly leaseS: number;
  /** The name that the guest was given, '' for none or not yet. */
  readonly name: string;
  readonly isRapid: boolean;
  /** Option 56, '' for none. */
  readonly message: string;
}

/** The options of an answer that fit into `bytesMax` bytes of a message, what matters most first. */
export function answerOptions(
  request: Request4,
  answer: Answer4,
  common: ReadonlyMap<number, Uint8Array>,
  about: { readonly server: number; readonly domain: string; readonly boot: BootFile | undefined },
  bytesMax: number,
): Value[] {
  const all: Value[] = [];
  const { type, leaseS } = answer;
  if (type !== 0) all.push([Option.MessageType, Uint8Array.of(type)], [Option.ServerId, dhcp4.bytes4(about.server)]);
  if (leaseS > 0 && type !== 0) {
    all.push([Option.LeaseTime, dhcp4.bytes4(leaseS)]);
    all.push([Option.T1, dhcp4.bytes4(Math.floor(leaseS / 2))]); // RFC 2131 §4.4.5
    all.push([Option.T2, dhcp4.bytes4(Math.floor((leaseS * 7) / 8))]);
  }
  const echoed = request.options.get(Option.ClientId);
  if (echoed) all.push([Option.ClientId, echoed]); // RFC 6842
  if (answer.isRapid) all.push([Option.RapidCommit, new Uint8Array(0)]);
  if (answer.message !== '') all.push([Option.Message, ascii(answer.message)]);
  const relay = request.giaddr !== 0 ? request.options.get(Option.RelayAgent) : undefined;
  if (type !== dhcp4.MessageType.Nak) addWanted(all, request, answer, common, about);
  return fitting(all, relay && [Option.RelayAgent, relay], bytesMax);
}

/** Options and fields that a client boots from; none that it could not use. */
export function bootFor(request: Request4, boot: BootFile | undefined): BootFile | undefined {
  if (!boot) return undefined;
  const isUrl = /^https?:/i.test(boot.file);
  if (request.boot === 'http-client') return isUrl ? boot : undefined;
  return isUrl && request.boot === 'tftp' ? undefined : boot;
}

/** The fields `sname` and `file` of a message. */
export const bootFields = (boot: BootFile | undefined): { sname: string; file: string } => ({
  sname: boot?.serverName && boot.serverName.length <= SNAME_CHARS_MAX ? boot.serverName : '',
  file: boot && boot.file.length <= FILE_CHARS_MAX ? boot.file : '',
});

function addWanted(
  all: Value[],
  request: Request4,
  answer: Answer4,
  common: ReadonlyMap<number, Uint8Array>,
  about: { readonly domain: string; readonly boot: BootFile | undefined },
): void {
  const boot = bootFor(request, about.boot);
  // UEFI 2.10 §24.7.2: only an offer that says HTTPClient counts.
  if (boot && request.boot === 'http-client') all.push([Option.VendorClass, ascii('HTTPClient')]);
  const name = answer.name !== '' && about.domain !== '' ? `${answer.name}.${about.domain}` : answer.name;
  if (request.fqdn && name !== '') {
    const { flags } = request.fqdn;
    // RFC 4702 §4: the server updates the address record, also if the client wanted to do that itself.
    const override = (flags & FqdnFlag.Server) === 0 ? FqdnFlag.Override : 0;
    all.push([Option.Fqdn, fqdnBytes({ flags: FqdnFlag.Server | override | (flags & FqdnFlag.Encoded), name })]);
  }
  const special = new Map<number, Uint8Array>([
    [Option.HostName, ascii(answer.name)],
    [Option.ServerName, ascii(boot?.serverName ?? '')],
    [Option.BootFile, ascii(boot?.file ?? '')],
  ]);
  const wanted = wantedOf(request) ?? USUAL;
  const known = new Set(all.map(([code]) => code));
  for (const code of [...wanted, Option.SubnetMask, Option.BootFile]) {
    const value = special.get(code) ?? common.get(code);
    if (value && value.length > 0 && !known.has(code)) all.push([code, value]);
    known.add(code);
  }
}

/** Those that fit, in order; `last` is the relay's and comes at the end (RFC 3046 §2.2). */
function fitting(all: readonly Value[], last: Value | undefined, bytesMax: number): Value[] {
  let left = bytesMax - dhcp4.HEADER_BYTES - 1 - (last ? dhcp4.optionBytes(last[1]) : 0);
  const fit = all.filter(([, value]) => {
    const bytes = dhcp4.optionBytes(value);
    if (bytes > left) return false;
    left -= bytes;
    return true;
  });
  return last ? [...fit, last] : fit;
}
