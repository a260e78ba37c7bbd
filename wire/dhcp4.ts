// DHCPv4 messages: RFC 2131 §2, options RFC 2132, option overload §4.1 and long options RFC 3396.

import { setU8, setU16, setU32, u8, u16, u32 } from './bytes.ts';

// Offsets from the start of the message.
const OP = 0;
const XID = 4;
const SECS = 8;
const FLAGS = 10;
const CIADDR = 12;
const YIADDR = 16;
const SIADDR = 20;
const GIADDR = 24;
const CHADDR = 28;
const SNAME = 44;
const FILE = 108;
const COOKIE = 236;
const OPTIONS = 240;

const COOKIE_VALUE = 0x63825363;
const FILE_BYTES = 128;
const SNAME_BYTES = 64;

/** Port of clients. */
export const CLIENT_PORT = 68;
/** Port of servers. */
export const SERVER_PORT = 67;
/** Bytes before the options, the cookie among them. */
export const HEADER_BYTES = OPTIONS;
/** The shortest message that BOOTP relays pass on, RFC 1542 §2.1. */
export const MESSAGE_BYTES_MIN = 300;
/** Flag: answer by broadcast, RFC 2131 §4.1. */
export const BROADCAST = 0x8000;

/** Who sent it. */
export const Op = { Request: 1, Reply: 2 } as const;

/** What a message is, option 53. */
export const MessageType = {
  Discover: 1,
  Offer: 2,
  Request: 3,
  Decline: 4,
  Ack: 5,
  Nak: 6,
  Release: 7,
  Inform: 8,
} as const;

/** Codes of options. */
export const Option = {
  Pad: 0,
  SubnetMask: 1,
  Router: 3,
  DnsServers: 6,
  HostName: 12,
  DomainName: 15,
  Mtu: 26,
  Broadcast: 28,
  NtpServers: 42,
  RequestedAddress: 50,
  LeaseTime: 51,
  Overload: 52,
  MessageType: 53,
  ServerId: 54,
  ParameterList: 55,
  Message: 56,
  MessageBytesMax: 57,
  T1: 58,
  T2: 59,
  VendorClass: 60,
  ClientId: 61,
  ServerName: 66,
  BootFile: 67,
  RapidCommit: 80, // RFC 4039
  Fqdn: 81, // RFC 4702
  RelayAgent: 82, // RFC 3046
  Ip6Only: 108, // RFC 8925
  DomainSearch: 119, // RFC 3397
  ClasslessRoutes: 121, // RFC 3442
  End: 255,
} as const;

/** True if the readers below are safe on `avail` bytes at `at`: a message with the cookie, for Ethernet. */
export const isMessage = (view: DataView, at: number, avail: number): boolean =>
  isBootp(view, at, avail) && u32(view, at + COOKIE) === COOKIE_VALUE;

/** True if all but `readOptions` are safe on `avail` bytes at `at`: a BOOTP message for Ethernet, with the cookie or without. RFC 951. */
export const isBootp = (view: DataView, at: number, avail: number): boolean =>
  avail >= HEADER_BYTES && u8(view, at + 1) === 1 && u8(view, at + 2) === 6;

/** A value of `Op`. */
export const op = (view: DataView, at: number): number => u8(view, at + OP);
/** Number of the transaction. */
export const xid = (view: DataView, at: number): number => u32(view, at + XID);
/** Seconds since the client began. */
export const secs = (view: DataView, at: number): number => u16(view, at + SECS);
/** `BROADCAST` or 0. */
export const flags = (view: DataView, at: number): number => u16(view, at + FLAGS);
/** The client's address, if it may answer ARP for it. */
export const ciaddr = (view: DataView, at: number): number => u32(view, at + CIADDR);
/** The address that the client is given. */
export const yiaddr = (view: DataView, at: number): number => u32(view, at + YIADDR);
/** The next server's address. */
export const siaddr = (view: DataView, at: number): number => u32(view, at + SIADDR);
/** The relay's address. */
export const giaddr = (view: DataView, at: number): number => u32(view, at + GIADDR);
/** Where the client's hardware address is. */
export const chaddrAt = (at: number): number => at + CHADDR;

/** The options of a message by code; pieces of one code are put together in their order (RFC 3396 §7). */
export type Options = ReadonlyMap<number, Uint8Array>;

/**
 * Reads the options of the message of `bytes` bytes at `at`, then those in `file` and `sname` if option 52 says so. The values
 * are copies. Undefined if an option does not fit; a missing end does no harm.
 */
export function readOptions(view: DataView, at: number, bytes: number): Options | undefined {
  const options = new Map<number, Uint8Array>();
  if (!readField(view, at + OPTIONS, at + bytes, options)) return undefined;
  const overload = options.get(Option.Overload)?.[0] ?? 0;
  // RFC 3396 §5: options field, then file, then sname.
  if (overload & 1 && !readField(view, at + FILE, at + FILE + FILE_BYTES, options)) return undefined;
  if (overload & 2 && !readField(view, at + SNAME, at + SNAME + SNAME_BYTES, options)) return undefined;
  return options;
}

function readField(view: DataView, from: number, end: number, options: Map<number, Uint8Array>): boolean {
  for (let p = from; p < end; ) {
    const code = u8(view, p++);
    if (code === Option.Pad) continue;
    if (code === Option.End) return true;
    if (p === end) return false;
    const count = u8(view, p++);
    if (p + count > end) return false;
    const before = options.get(code);
    const value = new Uint8Array((before?.length ?? 0) + count);
    if (before) value.set(before);
    for (let i = 0; i < count; i++) value[value.length - count + i] = u8(view, p + i);
    options.set(code, value);
    p += count;
  }
  return true;
}

/** What a message says beside its options. Addresses are numbers, 0 for none. */
export interface Fields {
  readonly op: number;
  readonly xid: number;
  readonly secs: number;
  readonly flags: number;
  readonly ciaddr: number;
  readonly yiaddr: number;
  readonly siaddr: number;
  readonly giaddr: number;
  readonly mac: Uint8Array;
  /** The server's name and the boot file, ASCII of up to 63 and 127 characters; what is longer is left out. */
  readonly sname?: string;
  readonly file?: string;
  /** False to leave out cookie and options, for BOOTP clients that know none. */
  readonly hasOptions?: boolean;
}

/** The message, padded to `MESSAGE_BYTES_MIN`. A value above 255 bytes is cut into pieces; an empty one is written as such. */
export function buildMessage(
  fields: Fields,
  options: readonly (readonly [number, Uint8Array])[],
): Uint8Array<ArrayBuffer> {
  const bytes = options.reduce((sum, [, value]) => sum + optionBytes(value), OPTIONS + 1);
  const out = new Uint8Array(Math.max(MESSAGE_BYTES_MIN, bytes));
  const view = new DataView(out.buffer);
  setU8(view, OP, fields.op);
  setU8(view, 1, 1); // Ethernet
  setU8(view, 2, 6);
  setU32(view, XID, fields.xid);
  setU16(view, SECS, fields.secs);
  setU16(view, FLAGS, fields.flags);
  setU32(view, CIADDR, fields.ciaddr);
  setU32(view, YIADDR, fields.yiaddr);
  setU32(view, SIADDR, fields.siaddr);
  setU32(view, GIADDR, fields.giaddr);
  out.set(fields.mac, CHADDR);
  setText(out, SNAME, SNAME_BYTES, fields.sname ?? '');
  setText(out, FILE, FILE_BYTES, fields.file ?? '');
  if (fields.hasOptions === false) return out;
  setU32(view, COOKIE, COOKIE_VALUE);
  let at = OPTIONS;
  for (const [code, value] of options) {
    let from = 0;
    do {
      const piece = value.subarray(from, from + 255);
      out.set([code, piece.length], at);
      out.set(piece, at + 2);
      at += 2 + piece.length;
      from += piece.length;
    } while (from < value.length);
  }
  out[at] = Option.End;
  return out;
}

/** Bytes that an option of a value takes in a message. */
export const optionBytes = (value: Uint8Array): number => value.length + 2 * Math.max(1, Math.ceil(value.length / 255));

function setText(out: Uint8Array, at: number, bytesMax: number, text: string): void {
  if (text.length < bytesMax) for (let i = 0; i < text.length; i++) out[at + i] = text.charCodeAt(i) & 127;
}

/** A big-endian number of 1, 2 or 4 bytes, exactly; undefined if the value is missing or of another size. */
export function numberOf(value: Uint8Array | undefined, bytes: 1 | 2 | 4): number | undefined {
  if (value?.length !== bytes) return undefined;
  return value.reduce((sum, b) => sum * 256 + b, 0);
}

/** The addresses of a value, a multiple of 4 bytes, none of them 0; at most `countMax`. Nothing if it is malformed. */
export function addressesOf(value: Uint8Array | undefined, countMax: number): number[] {
  if (!value || value.length % 4 !== 0) return [];
  const addresses: number[] = [];
  for (let i = 0; i < value.length && addresses.length < countMax; i += 4) {
    const address = numberOf(value.subarray(i, i + 4), 4)!;
    if (address !== 0) addresses.push(address);
  }
  return addresses;
}

/** A number as 4 bytes. */
export const bytes4 = (value: number): Uint8Array =>
  Uint8Array.of(value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255);

/** A route of option 121; `gateway` 0 means that the target is on the link. */
export interface Route4 {
  readonly prefix: number;
  readonly bits: number;
  readonly gateway: number;
}

/** The routes of option 121, RFC 3442; undefined if it is malformed. At most `countMax`. */
export function routesOf(value: Uint8Array, countMax: number): Route4[] | undefined {
  const routes: Route4[] = [];
  for (let p = 0; p < value.length; ) {
    const bits = value[p++]!;
    const significant = (bits + 7) >>> 3;
    if (bits > 32 || p + significant + 4 > value.length) return undefined;
    let prefix = 0;
    for (let i = 0; i < 4; i++) prefix = prefix * 256 + (i < significant ? value[p + i]! : 0);
    // RFC 3442: bits of the host part are cleared.
    const mask = bits === 0 ? 0 : (-1 << (32 - bits)) >>> 0;
    const gateway = numberOf(value.subarray(p + significant, p + significant + 4), 4)!;
    if (routes.length < countMax) routes.push({ prefix: (prefix & mask) >>> 0, bits, gateway });
    p += significant + 4;
  }
  return routes;
}
