// What a DHCPv4 or BOOTP client asks, read from its message: RFC 2131 §2, RFC 951, RFC 4361 and 6842 for who it is.

import { viewOf } from '../wire/bytes.ts';
import * as dhcp4 from '../wire/dhcp4.ts';
import { type Fqdn, FqdnFlag, readFqdn } from '../wire/dhcp4-values.ts';
import { hexOf, macText } from './bytes-text.ts';
import type { Client } from './leases.ts';

const { Option } = dhcp4;
const NONE: dhcp4.Options = new Map();
const USER_CLASS = 77; // RFC 3004

/** How a client means to boot. */
export type Boot = 'none' | 'tftp' | 'url' | 'http-client';

/** One request. Addresses are numbers, 0 for none. */
export interface Request4 {
  /** A value of `MessageType`, 0 for BOOTP. */
  readonly type: number;
  readonly xid: number;
  readonly flags: number;
  readonly ciaddr: number;
  readonly giaddr: number;
  readonly mac: Uint8Array;
  readonly client: Client;
  readonly options: dhcp4.Options;
  /** BOOTP without RFC 1497's cookie: no options may come back. */
  readonly hasCookie: boolean;
  readonly requested: number;
  readonly serverId: number | undefined;
  readonly fqdn: Fqdn | undefined;
  readonly boot: Boot;
}

/** Reads a request from a client; undefined if it is none or malformed. */
export function readRequest(bytes: Uint8Array): Request4 | undefined {
  const view = viewOf(bytes);
  if (!dhcp4.isBootp(view, 0, bytes.length) || dhcp4.op(view, 0) !== dhcp4.Op.Request) return undefined;
  const mac = bytes.slice(dhcp4.chaddrAt(0), dhcp4.chaddrAt(0) + 6);
  // A group address is nobody's, and an answer to it would go to everybody.
  if ((mac[0]! & 1) !== 0 || mac.every((byte) => byte === 0)) return undefined;
  const hasCookie = dhcp4.isMessage(view, 0, bytes.length);
  const options = hasCookie ? dhcp4.readOptions(view, 0, bytes.length) : NONE;
  if (!options) return undefined;
  const type = options.has(Option.MessageType) ? dhcp4.numberOf(options.get(Option.MessageType), 1) : 0;
  const fqdnValue = options.get(Option.Fqdn);
  const fqdn = fqdnValue && readFqdn(fqdnValue);
  if (type === undefined || (type === 0 && options.has(Option.MessageType))) return undefined;
  return {
    type,
    xid: dhcp4.xid(view, 0),
    flags: dhcp4.flags(view, 0),
    ciaddr: dhcp4.ciaddr(view, 0),
    giaddr: dhcp4.giaddr(view, 0),
    mac,
    client: clientOf(mac, options, fqdn),
    options,
    hasCookie,
    requested: dhcp4.numberOf(options.get(Option.RequestedAddress), 4) ?? 0,
    serverId: dhcp4.numberOf(options.get(Option.ServerId), 4),
    fqdn,
    boot: bootOf(options),
  };
}

/** The options that a client wants, in its order; undefined if it did not say. */
export const wantedOf = ({ options }: Request4): readonly number[] | undefined => {
  const list = options.get(Option.ParameterList);
  return list && [...new Set(list)];
};

/** Bytes of the longest message that the client takes, without IP and UDP headers: RFC 2131 §2, option 57. */
export function messageBytesMax({ options, type }: Request4): number {
  if (type === 0) return dhcp4.MESSAGE_BYTES_MIN;
  const said = dhcp4.numberOf(options.get(Option.MessageBytesMax), 2) ?? DATAGRAM_BYTES_MIN;
  return Math.min(Math.max(said, DATAGRAM_BYTES_MIN), DATAGRAM_BYTES_MAX) - HEADERS_BYTES;
}

const DATAGRAM_BYTES_MIN = 576;
const DATAGRAM_BYTES_MAX = 1500;
const HEADERS_BYTES = 28;

function clientOf(mac: Uint8Array, options: dhcp4.Options, fqdn: Fqdn | undefined): Client {
  const id = options.get(Option.ClientId);
  const text = macText(mac);
  // RFC 2132 §9.14: two bytes and more. Without one, the hardware type and address are the identifier (RFC 2131 §4.2).
  const hex = id && id.length >= 2 && id.length <= 255 ? hexOf(id) : `01${hexOf(mac)}`;
  const host = String.fromCharCode(...(options.get(Option.HostName) ?? []).slice(0, 255));
  const isUnwanted = fqdn !== undefined && (fqdn.flags & FqdnFlag.NoUpdate) !== 0;
  return { id: hex, where: text, mac: text, name: isUnwanted ? '' : fqdn?.name || host };
}

function bootOf(options: dhcp4.Options): Boot {
  const vendor = String.fromCharCode(...(options.get(Option.VendorClass) ?? []).slice(0, 255));
  if (vendor.startsWith('HTTPClient')) return 'http-client';
  const user = String.fromCharCode(...(options.get(USER_CLASS) ?? []).slice(0, 255));
  if (!vendor.startsWith('PXEClient') || user.includes('iPXE')) return 'url';
  return 'tftp';
}
