// Frames by hand, for tests of a whole stack: Ethernet, ARP, IPv4, IPv6 with any chain of headers, ICMP, neighbour
// discovery, UDP. Lengths and checksums are right unless the test says otherwise.

import { type Address, parse } from '../../stack/address.ts';
import { parseMac } from '../../wire/ethernet.ts';

/** The station under test, its neighbour and two routers, as MACs and what they call themselves. */
export const HOST_MAC = '02:00:00:00:00:01';
export const PEER_MAC = '02:00:00:00:00:aa';
export const ROUTER_MAC = '02:00:00:00:00:f1';
export const ROUTER2_MAC = '02:00:00:00:00:f2';
export const HOST = 'fe80::1';
export const HOST_GLOBAL = '2001:db8::1';
export const PEER = 'fe80::aa';
export const PEER_GLOBAL = '2001:db8::aa';
export const ROUTER = 'fe80::f1';
export const ROUTER2 = 'fe80::f2';
/** A node behind the routers. */
export const FAR = '2001:db8:ffff::9';
export const HOST4 = '10.0.0.1';
export const PEER4 = '10.0.0.170';
export const ROUTER4 = '10.0.0.241';
export const FAR4 = '192.0.2.9';

/** Protocol numbers as they stand in next header fields. */
export const Next = { HopByHop: 0, Icmp: 1, Tcp: 6, Udp: 17, Routing: 43, Fragment: 44, Icmp6: 58, None: 59, Dest: 60 };

export type Bytes = readonly number[] | Uint8Array;

/** One buffer of all parts. */
export const join = (...parts: Bytes[]): Uint8Array<ArrayBuffer> => {
  const bytes = new Uint8Array(parts.reduce((n, part) => n + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
};

export const u16 = (value: number): number[] => [(value >>> 8) & 255, value & 255];
export const u32 = (value: number): number[] => [...u16(value >>> 16), ...u16(value & 0xffff)];

/** The words of an address that the test spelled right. */
export function address(text: string): Address {
  const words = parse(text);
  if (!words) throw new Error(`no address: ${text}`);
  return words;
}

/** 16 bytes, or 4 of IPv4. */
export function addressBytes(text: string): number[] {
  const words = address(text);
  return text.includes(':') ? Array.from(words).flatMap(u32) : u32(words[3]!);
}

export const mac = (text: string): Uint8Array => parseMac(text)!;

/** The Internet checksum. */
export function checksum(bytes: Bytes): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i++) sum += (i & 1) === 0 ? bytes[i]! << 8 : bytes[i]!;
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  return 0xffff - sum;
}

/** An Ethernet frame; from the neighbour to the host unless said. */
export const ethernet = (type: number, payload: Bytes, to = HOST_MAC, from = PEER_MAC): Uint8Array<ArrayBuffer> =>
  join(mac(to), mac(from), u16(type), payload);

/** The group's or the host's MAC. */
function macOf(target: string): string {
  const b = addressBytes(target);
  const hex = (n: number): string => n.toString(16).padStart(2, '0');
  if (b.length === 16) return b[0] === 255 ? `33:33:${b.slice(12).map(hex).join(':')}` : HOST_MAC;
  if (b.every((one) => one === 255) || target === '10.0.0.255') return 'ff:ff:ff:ff:ff:ff';
  return b[0]! >>> 4 === 14 ? `01:00:5e:${[b[1]! & 127, b[2]!, b[3]!].map(hex).join(':')}` : HOST_MAC;
}

/** A header: its protocol number and its bytes, of which extension headers leave the first one to the next header. */
export type Header = readonly [protocol: number, bytes: Bytes];

export interface Packet6 {
  readonly from?: string;
  readonly to?: string;
  readonly hop?: number;
  readonly version?: number;
  readonly trafficClass?: number;
  readonly flow?: number;
  /** Instead of the right one. */
  readonly length?: number;
  readonly mac?: string;
  readonly fromMac?: string;
  /** The last one is the upper layer's; its checksum is written unless `isRaw`. */
  readonly chain: readonly Header[];
  readonly isRaw?: boolean;
}

/** An upper-layer message with its checksum. */
export function sealed(protocol: number, bytes: Bytes, from: string, to: string): Uint8Array<ArrayBuffer> {
  const made = join(bytes);
  const isIp6 = from.includes(':');
  const at = protocol === Next.Udp ? 6 : protocol === Next.Tcp ? 16 : 2;
  made.set([0, 0], at);
  const pseudo = isIp6 ? [...u32(made.length), ...u32(protocol)] : [0, protocol, ...u16(made.length)];
  const front = protocol === Next.Icmp || protocol === 2 ? [] : [...addressBytes(from), ...addressBytes(to), ...pseudo];
  made.set(u16(checksum(join(front, made))), at);
  return made;
}

/** An IPv6 packet without its frame. */
export function packet6(o: Packet6): Uint8Array<ArrayBuffer> {
  const { from = PEER, to = HOST, hop = 64, chain } = o;
  const parts: Uint8Array[] = [];
  chain.forEach(([protocol, bytes], i) => {
    const hasSum = protocol === Next.Icmp6 || protocol === Next.Udp || protocol === Next.Tcp;
    const isSealed = i === chain.length - 1 && hasSum && o.isRaw !== true;
    const part = isSealed ? sealed(protocol, bytes, from, to) : join(bytes);
    if (i < chain.length - 1) part[0] = chain[i + 1]![0];
    parts.push(part);
  });
  const data = join(...parts);
  const first = ((o.version ?? 6) << 28) | ((o.trafficClass ?? 0) << 20) | (o.flow ?? 0);
  const next = chain[0]?.[0] ?? Next.None;
  return join(u32(first >>> 0), u16(o.length ?? data.length), [next, hop], addressBytes(from), addressBytes(to), data);
}

/** An IPv6 packet in a frame. */
export const frame6 = (o: Packet6): Uint8Array<ArrayBuffer> =>
  ethernet(0x86dd, packet6(o), o.mac ?? macOf(o.to ?? HOST), o.fromMac);

/** Hop-by-hop or destination options, padded to 8 bytes with PadN; the first byte is the next header. */
export function options(...parts: Bytes[]): number[] {
  const body = [0, 0, ...join(...parts)];
  const pad = -body.length & 7;
  if (pad === 1) body.push(0);
  else if (pad > 1) body.push(1, pad - 2, ...new Array<number>(pad - 2).fill(0));
  body[1] = (body.length >>> 3) - 1;
  return body;
}

/** A fragment header; `offset` in bytes. */
export const fragment = (id: number, offset: number, isMore: boolean): number[] => [
  0,
  0,
  ...u16((offset & 0xfff8) | (isMore ? 1 : 0)),
  ...u32(id),
];

/** Text of `n` bytes that tells its place. */
export const text = (n: number): Uint8Array => Uint8Array.from({ length: n }, (_, i) => (i * 7 + (i >>> 8)) & 255);

/** ICMP or ICMPv6 echo, without checksum. */
export const echo = (data: Bytes = text(8), type = 128, id = 1, seq = 1): Uint8Array =>
  join([type, 0, 0, 0, ...u16(id), ...u16(seq)], data);

/** An ICMP or ICMPv6 message, without checksum. */
export const icmp = (type: number, code: number, word: number, body: Bytes = []): Uint8Array =>
  join([type, code, 0, 0, ...u32(word)], body);

/** A UDP datagram, without checksum. */
export const udp = (from: number, to: number, data: Bytes = text(8), length = 8 + data.length): Uint8Array =>
  join([...u16(from), ...u16(to), ...u16(length), 0, 0], data);

// Options of neighbour discovery.
export const slla = (of = PEER_MAC): number[] => [1, 1, ...mac(of)];
export const tlla = (of = PEER_MAC): number[] => [2, 1, ...mac(of)];
export const mtuOption = (mtuBytes: number): number[] => [5, 1, 0, 0, ...u32(mtuBytes)];
export const prefixOption = (
  prefix: string,
  { bits = 64, flags = 0xc0, valid = 2592000, preferred = 604800 } = {},
): number[] => [3, 4, bits, flags, ...u32(valid), ...u32(preferred), 0, 0, 0, 0, ...addressBytes(prefix)];

export const ns = (target: string, ...parts: Bytes[]): Uint8Array =>
  icmp(135, 0, 0, join(addressBytes(target), ...parts));

/** `flags`: letters of R, S and O. */
export function na(target: string, flags: string, ...parts: Bytes[]): Uint8Array {
  const bits = (flags.includes('R') ? 8 : 0) | (flags.includes('S') ? 4 : 0) | (flags.includes('O') ? 2 : 0);
  return icmp(136, 0, (bits << 28) >>> 0, join(addressBytes(target), ...parts));
}

export const rs = (...parts: Bytes[]): Uint8Array => icmp(133, 0, 0, join(...parts));

export const ra = (
  { hop = 0, flags = 0, life = 1800, reachableMs = 0, retransMs = 0 } = {},
  ...parts: Bytes[]
): Uint8Array => join([134, 0, 0, 0, hop, flags, ...u16(life), ...u32(reachableMs), ...u32(retransMs)], ...parts);

export const redirect = (target: string, destination: string, ...parts: Bytes[]): Uint8Array =>
  icmp(137, 0, 0, join(addressBytes(target), addressBytes(destination), ...parts));

/** A neighbour discovery message in its frame: hop limit 255, from the peer to the host. */
export const nd = (message: Bytes, o: Omit<Packet6, 'chain'> = {}): Uint8Array<ArrayBuffer> =>
  frame6({ hop: 255, ...o, chain: [[Next.Icmp6, message]] });

export interface Packet4 {
  readonly from?: string;
  readonly to?: string;
  readonly ttl?: number;
  readonly tos?: number;
  readonly id?: number;
  /** Flags and offset in units of 8 bytes, as in the header. */
  readonly fragment?: number;
  readonly options?: Bytes;
  readonly version?: number;
  readonly headerWords?: number;
  readonly length?: number;
  readonly isBadSum?: boolean;
  readonly protocol: number;
  readonly data: Bytes;
  /** `data` has its checksum already, or a wrong one. */
  readonly isRaw?: boolean;
  readonly mac?: string;
  readonly fromMac?: string;
}

/** An IPv4 packet without its frame. */
export function packet4(o: Packet4): Uint8Array<ArrayBuffer> {
  const { from = PEER4, to = HOST4, options: own = [], protocol } = o;
  const hasSum = protocol === Next.Icmp || protocol === Next.Udp || protocol === Next.Tcp || protocol === 2;
  const data = hasSum && o.isRaw !== true ? sealed(protocol, o.data, from, to) : join(o.data);
  const words = o.headerWords ?? 5 + own.length / 4;
  const header = join(
    [((o.version ?? 4) << 4) | words, o.tos ?? 0, ...u16(o.length ?? 20 + own.length + data.length)],
    [...u16(o.id ?? 1), ...u16(o.fragment ?? 0), o.ttl ?? 64, protocol, 0, 0],
    addressBytes(from),
    addressBytes(to),
    own,
  );
  header.set(u16(checksum(header) ^ (o.isBadSum === true ? 1 : 0)), 10);
  return join(header, data);
}

export const frame4 = (o: Packet4): Uint8Array<ArrayBuffer> =>
  ethernet(0x0800, packet4(o), o.mac ?? macOf(o.to ?? HOST4), o.fromMac);

/** An ARP packet in its frame. */
export function arp(o: {
  operation?: number;
  senderMac?: string;
  sender?: string;
  targetMac?: string;
  target?: string;
  hardware?: number;
  protocol?: number;
  lengths?: number;
  mac?: string;
}): Uint8Array<ArrayBuffer> {
  const { operation = 1, senderMac = PEER_MAC, sender = PEER4, target = HOST4 } = o;
  const head = [...u16(o.hardware ?? 1), ...u16(o.protocol ?? 0x800), ...u16(o.lengths ?? 0x604), ...u16(operation)];
  const body = join(
    head,
    mac(senderMac),
    addressBytes(sender),
    mac(o.targetMac ?? '00:00:00:00:00:00'),
    addressBytes(target),
  );
  return ethernet(0x0806, body, o.mac ?? (operation === 1 ? 'ff:ff:ff:ff:ff:ff' : HOST_MAC), senderMac);
}
