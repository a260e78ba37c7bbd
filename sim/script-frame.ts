// Frames of packet scripts: from the notation to bytes, and from bytes to the notation.

import { setU8, u8, u16, u32, viewOf } from '../wire/bytes.ts';
import { checksumOf, finish, pseudoHeader4, pseudoHeader6 } from '../wire/checksum.ts';
import * as ethernet from '../wire/ethernet.ts';
import * as icmp from '../wire/icmp.ts';
import * as icmp6 from '../wire/icmp6.ts';
import * as ipv4 from '../wire/ipv4.ts';
import * as ipv6 from '../wire/ipv6.ts';
import * as tcp from '../wire/tcp.ts';
import { ecnOf } from './ecn.ts';
import { FLAG_LETTERS, type ScriptIcmp, type ScriptOption, type ScriptSegment } from './packet-script.ts';
import type { Segment } from './segment.ts';

const IP = ethernet.HEADER_BYTES;
const FAST_OPEN = 34; // RFC 7413 §4.1.1
const QUOTE_BYTES_MAX = 548; // RFC 1812 §4.3.2.3: an error of at most 576 bytes; enough for IPv6, too

/** The byte at `offset` of every stream in a script, whoever sends it: the host's `write` sends these. */
export const scriptByte = (offset: number): number => ((offset >>> 8) * 7 + offset) & 255;

/** The two ends: the host under test is local. Addresses are 4 or 16 bytes. */
export interface ScriptEnds {
  readonly localMac: Uint8Array;
  readonly remoteMac: Uint8Array;
  readonly local: Uint8Array;
  readonly remote: Uint8Array;
}

/** One connection's numbers: what the notation's 0 is. */
export interface ScriptFlow {
  localPort: number;
  remotePort: number;
  localIsn: number;
  remoteIsn: number;
  /** What is added to a TS value of the host in the script; unknown until one was matched. */
  stampOffset: number | undefined;
  lastStamp: number;
  /** The last segment that the host sent, from its IP header. */
  lastSent: Uint8Array | undefined;
}

/** An Ethernet and IP header from the remote end before `bytes` of payload. */
function packetFrame(
  ends: ScriptEnds,
  protocol: number,
  bytes: number,
  ecn: number,
): { frame: Uint8Array; at: number } {
  const isIp6 = ends.local.length === ipv6.ADDRESS_BYTES;
  const at = IP + (isIp6 ? ipv6.HEADER_BYTES : ipv4.HEADER_BYTES);
  const frame = new Uint8Array(at + bytes);
  const view = viewOf(frame);
  const type = isIp6 ? ethernet.EtherType.Ip6 : ethernet.EtherType.Ip4;
  ethernet.writeHeader(view, 0, ends.localMac, ends.remoteMac, type);
  if (isIp6) {
    ipv6.setClassFlow(view, IP, ecn, 0);
    ipv6.setPayloadLength(view, IP, bytes);
    ipv6.setNextHeader(view, IP, protocol);
    ipv6.setHopLimit(view, IP, 64);
    frame.set(ends.remote, ipv6.srcAt(IP));
    frame.set(ends.local, ipv6.dstAt(IP));
    return { frame, at };
  }
  ipv4.setHeaderBytes(view, IP, ipv4.HEADER_BYTES);
  ipv4.setTos(view, IP, ecn);
  ipv4.setTotalLength(view, IP, frame.length - IP);
  ipv4.setFragment(view, IP, ipv4.DONT_FRAGMENT);
  ipv4.setTtl(view, IP, 64);
  ipv4.setProtocol(view, IP, protocol);
  frame.set(ends.remote, IP + 12);
  frame.set(ends.local, IP + 16);
  ipv4.seal(view, IP);
  return { frame, at };
}

/** The frame of a segment that the remote end sends. */
export function writeSegment(segment: ScriptSegment, flow: ScriptFlow, ends: ScriptEnds): Uint8Array {
  const options = (segment.options ?? []).flatMap((option) => optionBytes(option, flow));
  while (options.length % 4 !== 0) options.push(tcp.Option.End);
  const header = tcp.HEADER_BYTES + options.length;
  const payload = segment.payloadBytes ?? 0;
  const seq = segment.seq ?? 0;
  const length = header + payload;
  const { frame, at } = packetFrame(ends, ipv4.Protocol.Tcp, length, segment.ecn ?? 0);
  const view = viewOf(frame);
  tcp.setSrcPort(view, at, flow.remotePort);
  tcp.setDstPort(view, at, flow.localPort);
  tcp.setSeq(view, at, (flow.remoteIsn + seq) >>> 0);
  tcp.setAck(view, at, segment.ack === undefined ? 0 : (flow.localIsn + segment.ack) >>> 0);
  tcp.setHeaderBytes(view, at, header);
  tcp.setFlags(view, at, segment.flags ?? 0);
  tcp.setWindow(view, at, segment.window ?? 0);
  tcp.setUrgent(view, at, segment.urgent ?? 0);
  frame.set(options, at + tcp.HEADER_BYTES);
  const first = seq - ((segment.flags ?? 0) & tcp.Flag.Syn ? 0 : 1);
  for (let i = 0; i < payload; i++) setU8(view, at + header + i, scriptByte(first + i));
  const pseudo = ends.local.length === 4 ? pseudoHeader4 : pseudoHeader6;
  const sum = checksumOf(view, at, length, pseudo(view, IP, ipv4.Protocol.Tcp, length));
  tcp.setChecksum(view, at, finish(sum));
  return frame;
}

const word32 = (value: number): number[] => [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255];

function optionBytes({ kind, values }: ScriptOption, flow: ScriptFlow): number[] {
  const { Option } = tcp;
  const [first = 0, second] = values;
  switch (kind) {
    case 'mss':
      return [Option.Mss, 4, first >>> 8, first & 255];
    case 'wscale':
      return [Option.WindowScale, 3, first];
    case 'sackOK':
      return [Option.SackPermitted, 2];
    case 'sack':
      return [Option.Sack, 2 + 4 * values.length, ...values.flatMap((edge) => word32((edge! + flow.localIsn) >>> 0))];
    case 'TS':
      return [Option.Timestamps, 10, ...word32(first), ...word32(echoOf(second, flow))];
    case 'FO':
      return [FAST_OPEN, 2 + values.length, ...values.map((byte) => byte!)];
    default:
      return [kind === 'nop' ? Option.Nop : Option.End];
  }
}

function echoOf(ecr: number | undefined, flow: ScriptFlow): number {
  return ecr === undefined ? flow.lastStamp : (ecr + (flow.stampOffset ?? 0)) >>> 0;
}

/** An ICMP error from the remote end about the segment at `quoted`, from its IP header. RFC 792, RFC 4443. */
export function writeIcmp(error: ScriptIcmp, mtu: number, quoted: Uint8Array, ends: ScriptEnds): Uint8Array {
  const quote = quoted.subarray(0, QUOTE_BYTES_MAX);
  const length = 8 + quote.length;
  if (ends.local.length === 4) {
    const { frame, at } = packetFrame(ends, ipv4.Protocol.Icmp, length, 0);
    const view = viewOf(frame);
    const { Unreachable, Type } = icmp;
    const codes = {
      net: Unreachable.Net,
      host: Unreachable.Host,
      protocol: Unreachable.Protocol,
      port: Unreachable.Port,
    };
    const more = { prohibited: Unreachable.Prohibited, 'too-big': Unreachable.FragmentationNeeded, time: 0 };
    icmp.setType(view, at, error === 'time' ? Type.TimeExceeded : Type.Unreachable);
    icmp.setCode(view, at, { ...codes, ...more }[error]);
    icmp.setMtu(view, at, mtu);
    frame.set(quote, at + 8);
    icmp.seal(view, at, length);
    return frame;
  }
  const { frame, at } = packetFrame(ends, ipv4.Protocol.Icmp6, length, 0);
  const view = viewOf(frame);
  const { Type } = icmp6;
  // RFC 4443 §3.1: no route, prohibited, address unreachable, port unreachable; a protocol is a parameter problem, code 1.
  const codes = { net: 0, prohibited: 1, host: 3, port: 4, protocol: 1, 'too-big': 0, time: 0 };
  const types = { 'too-big': Type.PacketTooBig, time: Type.TimeExceeded, protocol: Type.ParameterProblem };
  icmp6.setType(view, at, error in types ? types[error as keyof typeof types] : Type.Unreachable);
  icmp6.setCode(view, at, codes[error]);
  icmp6.setWord(view, at, mtu);
  frame.set(quote, at + 8);
  icmp6.seal(view, IP, at, length);
  return frame;
}

/** What the host sent, in the script's numbers. */
export function readSegment(frame: Uint8Array, segment: Segment, flow: ScriptFlow, number: number): ScriptSegment {
  const view = viewOf(frame);
  const hasAck = (segment.flags & tcp.Flag.Ack) !== 0;
  return {
    flow: number,
    ecn: ecnOf(view, 0, frame.length),
    flags: segment.flags,
    seq: (segment.seq - flow.localIsn) >>> 0,
    payloadBytes: segment.payloadBytes,
    ack: hasAck ? (segment.ack - flow.remoteIsn) >>> 0 : undefined,
    window: segment.window,
    urgent: (segment.flags & tcp.Flag.Urg) !== 0 ? tcp.urgent(view, segment.headerAt) : undefined,
    options: readOptions(view, segment, flow),
  };
}

function readOptions(view: DataView, segment: Segment, flow: ScriptFlow): ScriptOption[] {
  const options: ScriptOption[] = [];
  for (let p = segment.headerAt + tcp.HEADER_BYTES; p < segment.payloadAt; ) {
    const kind = u8(view, p);
    if (kind <= tcp.Option.Nop) {
      options.push({ kind: kind === tcp.Option.Nop ? 'nop' : 'eol', values: [] });
      p++;
      continue;
    }
    const bytes = p + 1 < segment.payloadAt ? u8(view, p + 1) : 0;
    if (bytes < 2 || p + bytes > segment.payloadAt) break;
    options.push(readOption(view, p, bytes, flow));
    p += bytes;
  }
  return options;
}

function readOption(view: DataView, p: number, bytes: number, flow: ScriptFlow): ScriptOption {
  const kind = u8(view, p);
  const { Option } = tcp;
  if (kind === Option.Mss && bytes === 4) return { kind: 'mss', values: [u16(view, p + 2)] };
  if (kind === Option.WindowScale && bytes === 3) return { kind: 'wscale', values: [u8(view, p + 2)] };
  if (kind === Option.SackPermitted && bytes === 2) return { kind: 'sackOK', values: [] };
  if (kind === Option.Timestamps && bytes === 10) {
    const val = (u32(view, p + 2) - (flow.stampOffset ?? 0)) >>> 0;
    return { kind: 'TS', values: [val, u32(view, p + 6)] };
  }
  if (kind === Option.Sack) {
    const values: number[] = [];
    for (let edge = p + 2; edge + 4 <= p + bytes; edge += 4) values.push((u32(view, edge) - flow.remoteIsn) >>> 0);
    return { kind: 'sack', values };
  }
  if (kind === FAST_OPEN)
    return { kind: 'FO', values: Array.from({ length: bytes - 2 }, (_, i) => u8(view, p + 2 + i)) };
  return { kind: '*', values: [kind] };
}

const ECN_NAMES = ['noecn', 'ect1', 'ect0', 'ce'];

/** A segment in the notation. */
export function formatSegment(segment: ScriptSegment): string {
  const flow = segment.flow === 1 ? '' : `#${segment.flow} `;
  const ecn = segment.ecn === undefined || segment.ecn <= 0 ? '' : `[${ECN_NAMES[segment.ecn]}] `;
  const letters = FLAG_LETTERS.map(([letter, bit]) => ((segment.flags ?? 0) & bit ? letter : '')).join('');
  const { seq = 0, payloadBytes: bytes = 0, ack, window, urgent, options } = segment;
  const tail = [
    ack === undefined ? '' : ` ack ${ack}`,
    window === undefined ? '' : ` win ${window}`,
    urgent === undefined ? '' : ` urg ${urgent}`,
    options === undefined || options.length === 0 ? '' : ` <${options.map(formatOption).join(',')}>`,
  ];
  return `${flow}${ecn}${letters} ${seq}:${seq + bytes}(${bytes})${tail.join('')}`;
}

function formatOption({ kind, values }: ScriptOption): string {
  if (kind === 'TS') return `TS val ${values[0]} ecr ${values[1]}`;
  if (kind === 'sack') {
    return `sack ${Array.from({ length: values.length / 2 }, (_, i) => `${values[2 * i]}:${values[2 * i + 1]}`).join(' ')}`;
  }
  if (kind === 'FO') return `FO ${values.map((byte) => byte!.toString(16).padStart(2, '0')).join('')}`;
  if (kind === '*') return `option ${values[0]}`;
  return values.length === 0 ? kind : `${kind} ${values[0]}`;
}

/** The fields in which what was seen differs from what is written, by name. */
export function differences(written: ScriptSegment, seen: ScriptSegment): string[] {
  const names = ['flow', 'ecn', 'flags', 'seq', 'payloadBytes', 'ack', 'window', 'urgent'] as const;
  const differing: string[] = names.filter((name) => written[name] !== undefined && written[name] !== seen[name]);
  if (written.options !== undefined && !sameOptions(written.options, seen.options ?? [])) differing.push('options');
  return differing;
}

function sameOptions(written: readonly ScriptOption[], seen: readonly ScriptOption[]): boolean {
  if (written.length !== seen.length) return false;
  return written.every(({ kind, values }, i) => {
    const other = seen[i]!;
    if (kind === '*') return true;
    if (kind !== other.kind || values.length !== other.values.length) return false;
    return values.every((value, k) => value === undefined || value === other.values[k]);
  });
}
