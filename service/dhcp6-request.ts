// What a DHCPv6 client asks, read from its message and checked by RFC 8415 §16.

import { u16, u32, viewOf } from '../wire/bytes.ts';
import * as dhcp6 from '../wire/dhcp6.ts';
import { hexOf } from './bytes-text.ts';

const { MessageType, Option } = dhcp6;
const DUID_BYTES_MAX = 130; // RFC 8415 §11.1
/** Identity associations of one message, and addresses of each, that are looked at. */
const IAS_MAX = 8;
const IA_ADDRESSES_MAX = 4;
const HTTP_CLIENT = 'HTTPClient';

/** An identity association that no server of ours fills: temporary addresses and prefixes. */
export interface UnservedIa {
  readonly code: number;
  readonly iaid: number;
}

/** One request. */
export interface Request6 {
  /** A value of `MessageType`. */
  readonly type: number;
  readonly xid: number;
  /** The client's DUID, empty if it did not say. */
  readonly duid: Uint8Array;
  readonly ias: readonly dhcp6.Ia[];
  readonly unserved: readonly UnservedIa[];
  /** Codes that it asks for; undefined without option 6. */
  readonly wanted: readonly number[] | undefined;
  readonly isRapid: boolean;
  /** Option 39 as it came, if it is right. */
  readonly fqdn: { readonly flags: number; readonly name: string } | undefined;
  /** The enterprise number of a vendor class `HTTPClient…` (UEFI), -1 if it has none. */
  readonly httpEnterprise: number;
}

/** Reads a request: it, 'malformed', or 'elsewhere' if it is for another server. `isToUs` tells the own identifier. */
export function readRequest(
  bytes: Uint8Array,
  isToUs: (duid: Uint8Array) => boolean,
): Request6 | 'malformed' | 'elsewhere' {
  const view = viewOf(bytes);
  if (bytes.length < dhcp6.HEADER_BYTES) return 'malformed';
  const type = dhcp6.messageType(view, 0);
  const options = dhcp6.readOptions(view, dhcp6.HEADER_BYTES, bytes.length - dhcp6.HEADER_BYTES);
  if (!options) return 'malformed';
  const bytesOf = (code: number): Uint8Array | undefined => {
    const option = dhcp6.find(options, code);
    return option && dhcp6.optionBytes(view, option);
  };
  const duid = bytesOf(Option.ClientId);
  const server = bytesOf(Option.ServerId);
  const bad = checkIds(type, duid, server);
  if (bad) return bad;
  if (server && !isToUs(server)) return 'elsewhere';
  const ias = readIas(view, options);
  if (!ias || (type === MessageType.InformationRequest && ias.length > 0)) return 'malformed';
  const oro = bytesOf(Option.Oro);
  const fqdn = bytesOf(Option.Fqdn);
  return {
    type,
    xid: dhcp6.xid(view, 0),
    duid: duid ?? new Uint8Array(0),
    ias,
    unserved: readUnserved(view, options),
    wanted: oro && codesOf(oro),
    isRapid: dhcp6.find(options, Option.RapidCommit) !== undefined,
    fqdn: fqdn && dhcp6.readFqdn(fqdn),
    httpEnterprise: httpEnterpriseOf(bytesOf(Option.VendorClass)),
  };
}

/** The identifier of a client's lease: DUID and IAID, RFC 8415 §12. */
export const identifierOf = (duid: Uint8Array, iaid: number): string =>
  hexOf(duid) + iaid.toString(16).padStart(8, '0');

const TO_ONE: readonly number[] = [MessageType.Request, MessageType.Renew, MessageType.Release, MessageType.Decline];
const TO_ALL: readonly number[] = [MessageType.Solicit, MessageType.Confirm, MessageType.Rebind];

/** True for what names the server that it is for. */
export const isForOneServer = (type: number): boolean => TO_ONE.includes(type);

function checkIds(
  type: number,
  duid: Uint8Array | undefined,
  server: Uint8Array | undefined,
): 'malformed' | 'elsewhere' | undefined {
  if (duid && (duid.length < 1 || duid.length > DUID_BYTES_MAX)) return 'malformed';
  if (type === MessageType.InformationRequest) return undefined;
  if (isForOneServer(type)) return duid && server ? undefined : 'malformed';
  if (TO_ALL.includes(type)) return duid && !server ? undefined : 'malformed';
  return 'elsewhere';
}

function readIas(view: DataView, options: readonly dhcp6.Option6[]): dhcp6.Ia[] | undefined {
  const ias: dhcp6.Ia[] = [];
  for (const option of options) {
    if (option.code !== Option.IaNa || ias.length === IAS_MAX) continue;
    const ia = dhcp6.readIa(view, option, IA_ADDRESSES_MAX);
    if (!ia) return undefined;
    ias.push(ia);
  }
  return ias;
}

const readUnserved = (view: DataView, options: readonly dhcp6.Option6[]): UnservedIa[] =>
  options
    .filter(({ code, bytes }) => (code === Option.IaTa || code === Option.IaPd) && bytes >= 4)
    .slice(0, IAS_MAX)
    .map(({ code, at }) => ({ code, iaid: u32(view, at) }));

function codesOf(oro: Uint8Array): number[] {
  const view = viewOf(oro);
  const codes = new Set<number>();
  for (let at = 0; at + 2 <= oro.length; at += 2) codes.add(u16(view, at));
  return [...codes];
}

/** Option 16: enterprise number, then pieces of a length and bytes. */
function httpEnterpriseOf(value: Uint8Array | undefined): number {
  if (!value || value.length < 6 + HTTP_CLIENT.length) return -1;
  const text = String.fromCharCode(...value.subarray(6, 6 + HTTP_CLIENT.length));
  return text === HTTP_CLIENT ? u32(viewOf(value), 0) : -1;
}
