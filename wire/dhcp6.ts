// DHCPv6 messages and options: RFC 8415 §8, §21; DNS options RFC 3646, the client's name RFC 4704.

import { setU16, u8, u16, u32 } from './bytes.ts';
import { nameBytes, readName } from './dns-name.ts';

/** Bytes before the options: the type and the transaction. */
export const HEADER_BYTES = 4;
/** Options that are read at one level; a message with more is refused. */
export const OPTIONS_MAX = 128;
/** Port of clients. */
export const CLIENT_PORT = 546;
/** Port of servers and relays. */
export const SERVER_PORT = 547;

/** What a message is, RFC 8415 §7.3. */
export const MessageType = {
  Solicit: 1,
  Advertise: 2,
  Request: 3,
  Confirm: 4,
  Renew: 5,
  Rebind: 6,
  Reply: 7,
  Release: 8,
  Decline: 9,
  Reconfigure: 10,
  InformationRequest: 11,
} as const;

/** Codes of options. */
export const Option = {
  ClientId: 1,
  ServerId: 2,
  IaNa: 3,
  IaTa: 4,
  IaAddress: 5,
  Oro: 6,
  Preference: 7,
  ElapsedTime: 8,
  StatusCode: 13,
  RapidCommit: 14,
  UserClass: 15,
  VendorClass: 16,
  ReconfAccept: 20,
  DnsServers: 23,
  DomainList: 24,
  IaPd: 25,
  SntpServers: 31, // RFC 4075
  InformationRefreshTime: 32,
  Fqdn: 39, // RFC 4704
  NtpServer: 56, // RFC 5908
  BootUrl: 59, // RFC 5970
  BootParameters: 60,
  SolMaxRt: 82,
  InfMaxRt: 83,
} as const;

/** Codes of option 13, §21.13. */
export const Status = {
  Success: 0,
  UnspecFail: 1,
  NoAddrsAvail: 2,
  NoBinding: 3,
  NotOnLink: 4,
  UseMulticast: 5,
  NoPrefixAvail: 6,
} as const;

/** One option; `at` and `bytes` are those of its value. */
export interface Option6 {
  readonly code: number;
  readonly at: number;
  readonly bytes: number;
}

/** A value of `MessageType`. The caller has checked that `HEADER_BYTES` are there. */
export const messageType = (view: DataView, at: number): number => u8(view, at);
/** The transaction, 24 bits. */
export const xid = (view: DataView, at: number): number => u32(view, at) & 0xffffff;

/** The options of `bytes` bytes at `at`, in order; undefined unless they fill it exactly. */
export function readOptions(view: DataView, at: number, bytes: number): Option6[] | undefined {
  const options: Option6[] = [];
  const end = at + bytes;
  for (let p = at; p < end; ) {
    if (p + 4 > end || options.length === OPTIONS_MAX) return undefined;
    const count = u16(view, p + 2);
    if (p + 4 + count > end) return undefined;
    options.push({ code: u16(view, p), at: p + 4, bytes: count });
    p += 4 + count;
  }
  return options;
}

/** The first option of a code. */
export const find = (options: readonly Option6[], code: number): Option6 | undefined =>
  options.find((option) => option.code === code);

/** The bytes of an option's value, copied. */
export const optionBytes = (view: DataView, option: Option6): Uint8Array =>
  new Uint8Array(view.buffer, view.byteOffset + option.at, option.bytes).slice();

/** The status that a set of options carries; success if none, §21.13. Undefined if it is malformed. */
export function statusOf(view: DataView, options: readonly Option6[]): number | undefined {
  const option = find(options, Option.StatusCode);
  if (!option) return Status.Success;
  return option.bytes < 2 ? undefined : u16(view, option.at);
}

/** The number of an option of exactly 4 bytes. */
export function numberOf(view: DataView, options: readonly Option6[], code: number): number | undefined {
  const option = find(options, code);
  return option?.bytes === 4 ? u32(view, option.at) : undefined;
}

/** An address of an IA with its lifetimes in seconds, §21.6. */
export interface IaAddress {
  readonly address: Uint8Array;
  readonly preferredS: number;
  readonly validS: number;
  readonly status: number;
}

/** An identity association, §21.4. */
export interface Ia {
  readonly iaid: number;
  readonly t1S: number;
  readonly t2S: number;
  readonly status: number;
  readonly addresses: readonly IaAddress[];
}

/** Reads an IA_NA option; undefined if it is malformed, or invalid by §21.4 (T1 after T2). Addresses whose lifetimes contradict are left out (§21.6). */
export function readIa(view: DataView, option: Option6, addressesMax: number): Ia | undefined {
  if (option.bytes < 12) return undefined;
  const options = readOptions(view, option.at + 12, option.bytes - 12);
  const status = options && statusOf(view, options);
  if (!options || status === undefined) return undefined;
  const t1S = u32(view, option.at + 4);
  const t2S = u32(view, option.at + 8);
  if (t1S > t2S && t2S > 0) return undefined;
  const addresses: IaAddress[] = [];
  for (const inner of options) {
    if (inner.code !== Option.IaAddress) continue;
    if (inner.bytes < 24) return undefined;
    const nested = readOptions(view, inner.at + 24, inner.bytes - 24);
    const innerStatus = nested && statusOf(view, nested);
    if (innerStatus === undefined) return undefined;
    const preferredS = u32(view, inner.at + 16);
    const validS = u32(view, inner.at + 20);
    if (preferredS > validS || addresses.length === addressesMax) continue;
    const address = optionBytes(view, { code: 0, at: inner.at, bytes: 16 });
    addresses.push({ address, preferredS, validS, status: innerStatus });
  }
  return { iaid: u32(view, option.at), t1S, t2S, status, addresses };
}

/** The names of option 24, RFC 8415 §10: uncompressed. Undefined if it is malformed. */
export function namesOf(value: Uint8Array, countMax: number): string[] | undefined {
  const names: string[] = [];
  for (let at = 0; at < value.length; ) {
    for (let p = at; p < value.length && value[p] !== 0; p += 1 + value[p]!) if (value[p]! > 63) return undefined;
    const read = readName(value, at);
    if (!read) return undefined;
    if (read.name !== '' && names.length < countMax) names.push(read.name);
    at = read.next;
  }
  return names;
}

/** Builds a message; options may hold options. Grows as needed. */
export class Dhcp6Writer {
  private readonly out: number[];
  private readonly open: number[] = [];

  constructor(type: number, xid: number) {
    this.out = [type, (xid >>> 16) & 255, (xid >>> 8) & 255, xid & 255];
  }

  /** A whole option. */
  option(code: number, value: ArrayLike<number> = []): this {
    return this.begin(code).bytes(value).end();
  }

  /** Opens an option; what follows is in it until `end`. */
  begin(code: number): this {
    this.u16(code).u16(0);
    this.open.push(this.out.length);
    return this;
  }

  end(): this {
    const from = this.open.pop()!;
    const bytes = this.out.length - from;
    this.out[from - 2] = bytes >>> 8;
    this.out[from - 1] = bytes & 255;
    return this;
  }

  bytes(value: ArrayLike<number>): this {
    for (let i = 0; i < value.length; i++) this.out.push(value[i]!);
    return this;
  }

  u16(value: number): this {
    this.out.push((value >>> 8) & 255, value & 255);
    return this;
  }

  u32(value: number): this {
    return this.u16(value >>> 16).u16(value & 0xffff);
  }

  finish(): Uint8Array<ArrayBuffer> {
    return Uint8Array.from(this.out);
  }
}

/** A name for option 39, RFC 4704 §4.2: a name without a dot is partial and has no final zero. */
export function fqdnBytes(name: string): Uint8Array {
  const bytes = nameBytes(name) ?? new Uint8Array(1);
  return name.includes('.') ? bytes : bytes.subarray(0, bytes.length - 1);
}

/** Reads option 39: flags, and a name that may be partial or empty; undefined if it is malformed. */
export function readFqdn(value: Uint8Array): { readonly flags: number; readonly name: string } | undefined {
  if (value.length === 0) return undefined;
  const bytes = value.subarray(1);
  if (bytes.length === 0) return { flags: value[0]!, name: '' };
  const read = readName(bytes.at(-1) === 0 ? bytes : Uint8Array.from([...bytes, 0]), 0);
  return read && { flags: value[0]!, name: read.name };
}

/** A DUID from a link-layer address of Ethernet, §11.4. */
export function duidOf(mac: Uint8Array): Uint8Array {
  const duid = new Uint8Array(10);
  setU16(new DataView(duid.buffer), 0, 3);
  setU16(new DataView(duid.buffer), 2, 1);
  duid.set(mac, 4);
  return duid;
}
