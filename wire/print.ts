// One line about one frame, in the words of tcpdump: for people, traces and tests; never on the frame path.

import { DROP_NAMES, type Drop } from '../core/drop.ts';
import * as arp from './arp.ts';
import { u16, u32 } from './bytes.ts';
import * as ethernet from './ethernet.ts';
import { EtherType } from './ethernet.ts';
import * as icmp from './icmp.ts';
import * as icmp6 from './icmp6.ts';
import * as ipv4 from './ipv4.ts';
import * as ipv6 from './ipv6.ts';
import * as tcp from './tcp.ts';
import * as udp from './udp.ts';
import * as vlan from './vlan.ts';

const DHCP_PORTS: ReadonlySet<number> = new Set([67, 68]);
const DHCP6_PORTS: ReadonlySet<number> = new Set([546, 547]);
const DHCP_OPTIONS = 240; // bytes before the options, the magic cookie among them, RFC 2131 §2
const DHCP_COOKIE = 0x63825363;
const DHCP_MESSAGE_TYPE = 53;
const DHCP_TYPES = ['?', 'discover', 'offer', 'request', 'decline', 'ack', 'nak', 'release', 'inform'];
const DHCP6_TYPES = ['?', 'solicit', 'advertise', 'request', 'confirm', 'renew', 'rebind', 'reply', 'release'];

const ICMP_NAMES: ReadonlyMap<number, string> = new Map([
  [icmp.Type.EchoReply, 'echo reply'],
  [icmp.Type.Unreachable, 'unreachable'],
  [icmp.Type.Redirect, 'redirect'],
  [icmp.Type.EchoRequest, 'echo request'],
  [icmp.Type.TimeExceeded, 'time exceeded'],
  [icmp.Type.ParameterProblem, 'parameter problem'],
]);
const UNREACHABLE_NAMES: ReadonlyMap<number, string> = new Map([
  [icmp.Unreachable.Net, 'net'],
  [icmp.Unreachable.Host, 'host'],
  [icmp.Unreachable.Protocol, 'protocol'],
  [icmp.Unreachable.Port, 'port'],
  [icmp.Unreachable.FragmentationNeeded, 'fragmentation needed'],
  [icmp.Unreachable.Prohibited, 'prohibited'],
]);

/**
 * What the frame of `length` bytes at `at` says, without a newline. A malformed one ends in `[reason]`, in the spelling of
 * the drop counters. Checksums of headers are looked at, those of payloads are not.
 *
 * @example `02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff vlan 5 p 3 arp who-has 10.0.0.2 tell 10.0.0.1`
 */
export function printFrame(view: DataView, at: number, length: number): string {
  const reason = ethernet.check(view, at, length);
  if (reason !== 0) return `[${name(reason)}] length ${length}`;
  const source = ethernet.macText(view, ethernet.srcAt(at));
  let line = `${source} > ${ethernet.macText(view, ethernet.dstAt(at))}`;
  const end = at + length;
  let p = at + vlan.TAG_AT;
  for (let tags = 0; tags < vlan.TAGS_MAX && vlan.isTpid(u16(view, p)); tags++) {
    const cut = vlan.check(view, p, end - p);
    if (cut !== 0) return `${line} [${name(cut)}]`;
    line += ` vlan ${vlan.vid(view, p)} p ${vlan.pcp(view, p)}`;
    if (vlan.dei(view, p) !== 0) line += ' dei';
    p += vlan.TAG_BYTES;
  }
  return `${line} ${printPayload(view, u16(view, p), p + 2, end)}`;
}

function printPayload(view: DataView, type: number, at: number, end: number): string {
  switch (type) {
    case EtherType.Arp:
      return printArp(view, at, end - at);
    case EtherType.Ip4:
      return printIp4(view, at, end - at);
    case EtherType.Ip6:
      return printIp6(view, at, end - at);
    default:
      return type < 0x600 ? `llc length ${type}` : `type 0x${type.toString(16).padStart(4, '0')} length ${end - at}`;
  }
}

const name = (reason: Drop): string => DROP_NAMES[reason]!;
const broken = (what: string, reason: Drop): string => `${what} [${name(reason)}]`;

function printArp(view: DataView, at: number, avail: number): string {
  const reason = arp.check(view, at, avail);
  if (reason !== 0) return broken('arp', reason);
  const sender = ipv4.formatAddress(arp.senderIp(view, at));
  const target = ipv4.formatAddress(arp.targetIp(view, at));
  const operation = arp.operation(view, at);
  if (operation === arp.Operation.Request) return `arp who-has ${target} tell ${sender}`;
  if (operation === arp.Operation.Reply) return `arp ${sender} is-at ${ethernet.macText(view, arp.senderMacAt(at))}`;
  return `arp operation ${operation}`;
}

/** The two ends of a packet, and its payload by protocol. */
interface Packet {
  readonly source: string;
  readonly target: string;
  readonly at: number; // of the payload
  readonly bytes: number;
}

function printIp4(view: DataView, at: number, avail: number): string {
  const reason = ipv4.check(view, at, avail) || ipv4.checkSum(view, at);
  if (reason !== 0) return broken('ip', reason);
  const header = ipv4.headerBytes(view, at);
  const source = ipv4.formatAddress(ipv4.src(view, at));
  const target = ipv4.formatAddress(ipv4.dst(view, at));
  const packet = { source, target, at: at + header, bytes: ipv4.totalLength(view, at) - header };
  const offset = ipv4.fragmentBytes(view, at);
  const protocol = ipv4.protocol(view, at);
  const more = (ipv4.fragment(view, at) & ipv4.MORE_FRAGMENTS) !== 0 ? '+' : '';
  const piece = ipv4.isFragment(view, at) ? ` frag ${ipv4.id(view, at)}@${offset}${more}` : '';
  if (offset !== 0) return `ip ${source} > ${target} protocol ${protocol} length ${packet.bytes}${piece}`;
  if (protocol === ipv4.Protocol.Icmp) return printIcmp(view, packet) + piece;
  return printTransport(view, 'ip', protocol, packet) + piece;
}

function printIp6(view: DataView, at: number, avail: number): string {
  const reason = ipv6.check(view, at, avail);
  if (reason !== 0) return broken('ip6', reason);
  const source = ipv6.addressText(view, ipv6.srcAt(at));
  const target = ipv6.addressText(view, ipv6.dstAt(at));
  const walked = ipv6.walk(view, at);
  if (walked === ipv6.MALFORMED) return `ip6 ${source} > ${target} [ip6-extension]`;
  const offset = ipv6.walkOffset(walked);
  const protocol = ipv6.walkProtocol(walked);
  const packet = { source, target, at: at + offset, bytes: ipv6.HEADER_BYTES + ipv6.payloadLength(view, at) - offset };
  if (protocol === ipv6.Extension.Fragment) {
    const more = ipv6.fragmentMore(view, packet.at) ? '+' : '';
    const piece = `frag ${ipv6.fragmentId(view, packet.at)}@${ipv6.fragmentBytes(view, packet.at)}${more}`;
    return `ip6 ${source} > ${target} protocol ${ipv6.fragmentNext(view, packet.at)} length ${packet.bytes} ${piece}`;
  }
  if (protocol === ipv4.Protocol.Icmp6) return printIcmp6(view, packet);
  return printTransport(view, 'ip6', protocol, packet);
}

function printTransport(view: DataView, family: string, protocol: number, packet: Packet): string {
  if (protocol === ipv4.Protocol.Udp) return printUdp(view, family, packet);
  if (protocol === ipv4.Protocol.Tcp) return printTcp(view, family, packet);
  return `${family} ${packet.source} > ${packet.target} protocol ${protocol} length ${packet.bytes}`;
}

function printIcmp(view: DataView, { source, target, at, bytes }: Packet): string {
  const line = `ip ${source} > ${target} icmp`;
  const reason = icmp.check(view, at, bytes);
  if (reason !== 0) return broken(line, reason);
  const type = icmp.type(view, at);
  const code = icmp.code(view, at);
  const what = ICMP_NAMES.get(type) ?? `type ${type} code ${code}`;
  if (type === icmp.Type.EchoRequest || type === icmp.Type.EchoReply) {
    return `${line} ${what} id ${icmp.id(view, at)} seq ${icmp.seq(view, at)} length ${bytes}`;
  }
  if (type !== icmp.Type.Unreachable) return `${line} ${what} length ${bytes}`;
  const mtu = code === icmp.Unreachable.FragmentationNeeded ? ` mtu ${icmp.mtu(view, at)}` : '';
  return `${line} ${what} ${UNREACHABLE_NAMES.get(code) ?? `code ${code}`}${mtu} length ${bytes}`;
}

function printIcmp6(view: DataView, { source, target, at, bytes }: Packet): string {
  const line = `ip6 ${source} > ${target} icmp6`;
  const reason = icmp6.check(view, at, bytes);
  if (reason !== 0) return broken(line, reason);
  return `${line} ${icmp6.typeName(icmp6.type(view, at))}${icmp6Detail(view, at)} length ${bytes}`;
}

function icmp6Detail(view: DataView, at: number): string {
  const { Type } = icmp6;
  switch (icmp6.type(view, at)) {
    case Type.EchoRequest:
    case Type.EchoReply:
      return ` id ${icmp6.id(view, at)} seq ${icmp6.seq(view, at)}`;
    case Type.NeighborSolicitation:
      return ` who-has ${ipv6.addressText(view, icmp6.targetAt(at))}`;
    case Type.NeighborAdvertisement:
      return ` ${ipv6.addressText(view, icmp6.targetAt(at))}`;
    case Type.PacketTooBig:
      return ` mtu ${icmp6.mtu(view, at)}`;
    case Type.Unreachable:
      return ` code ${icmp6.code(view, at)}`;
    default:
      return '';
  }
}

function printUdp(view: DataView, family: string, { source, target, at, bytes }: Packet): string {
  const reason = udp.check(view, at, bytes);
  if (reason !== 0) return broken(`${family} ${source} > ${target} udp`, reason);
  const from = udp.srcPort(view, at);
  const to = udp.dstPort(view, at);
  const payload = udp.length(view, at) - udp.HEADER_BYTES;
  let what = 'udp';
  if (DHCP_PORTS.has(from) && DHCP_PORTS.has(to)) what = dhcpName(view, at + udp.HEADER_BYTES, payload);
  else if (DHCP6_PORTS.has(from) && DHCP6_PORTS.has(to) && payload > 0) {
    what = `dhcp6 ${DHCP6_TYPES[view.getUint8(at + udp.HEADER_BYTES)] ?? '?'}`;
  }
  return `${family} ${source}.${from} > ${target}.${to} ${what} length ${payload}`;
}

/** `dhcp discover` and so on: the message type among the options of `bytes` bytes of BOOTP at `at`. */
function dhcpName(view: DataView, at: number, bytes: number): string {
  if (bytes < DHCP_OPTIONS || u32(view, at + DHCP_OPTIONS - 4) !== DHCP_COOKIE) return 'bootp';
  const end = at + bytes;
  for (let p = at + DHCP_OPTIONS; p + 2 < end; ) {
    const option = view.getUint8(p);
    if (option === 255) break;
    if (option === DHCP_MESSAGE_TYPE) return `dhcp ${DHCP_TYPES[view.getUint8(p + 2)] ?? '?'}`;
    p += option === 0 ? 1 : 2 + view.getUint8(p + 1);
  }
  return 'bootp';
}

function printTcp(view: DataView, family: string, { source, target, at, bytes }: Packet): string {
  const reason = tcp.check(view, at, bytes);
  if (reason !== 0) return broken(`${family} ${source} > ${target} tcp`, reason);
  const seq = tcp.seq(view, at);
  const payload = bytes - tcp.headerBytes(view, at);
  const flags = tcp.flags(view, at);
  const range = payload > 0 ? `${seq}:${(seq + payload) >>> 0}` : `${seq}`;
  const ack = flags & tcp.Flag.Ack ? ` ack ${tcp.ack(view, at)}` : '';
  const ends = `${source}.${tcp.srcPort(view, at)} > ${target}.${tcp.dstPort(view, at)}`;
  const options = printTcpOptions(view, at);
  return `${family} ${ends} tcp [${flagText(flags)}] seq ${range}${ack} win ${tcp.window(view, at)}${options} length ${payload}`;
}

/** The flags in tcpdump's letters: `S`, `S.`, `P.`, `F.`, `R`, `.`, with `E` and `W` for ECN. */
function flagText(flags: number): string {
  const { Fin, Syn, Rst, Psh, Ack, Urg, Ece, Cwr } = tcp.Flag;
  const letters: [number, string][] = [
    [Fin, 'F'],
    [Syn, 'S'],
    [Rst, 'R'],
    [Psh, 'P'],
    [Urg, 'U'],
    [Ece, 'E'],
    [Cwr, 'W'],
    [Ack, '.'],
  ];
  const text = letters.map(([bit, letter]) => (flags & bit ? letter : '')).join('');
  return text === '' ? 'none' : text;
}

function printTcpOptions(view: DataView, at: number): string {
  const words: string[] = [];
  const next = (from: number): number => tcp.nextOption(view, at, from);
  for (let option = next(tcp.optionsAt(at)); option >= 0; option = next(tcp.afterOption(view, option))) {
    words.push(tcpOptionText(view, option));
  }
  return words.length === 0 ? '' : ` <${words.join(',')}>`;
}

function tcpOptionText(view: DataView, option: number): string {
  const kind = tcp.optionKind(view, option);
  const bytes = tcp.optionBytes(view, option);
  const { Option } = tcp;
  if (kind === Option.Mss && bytes === 4) return `mss ${u16(view, option + 2)}`;
  if (kind === Option.WindowScale && bytes === 3) return `wscale ${view.getUint8(option + 2)}`;
  if (kind === Option.SackPermitted) return 'sackOK';
  if (kind === Option.Timestamps && bytes === 10) return `ts ${u32(view, option + 2)} ${u32(view, option + 6)}`;
  if (kind === Option.Sack) {
    const edges: string[] = [];
    for (let p = option + 2; p + 8 <= option + bytes; p += 8) edges.push(`${u32(view, p)}:${u32(view, p + 4)}`);
    return `sack ${edges.join(' ')}`;
  }
  return `option ${kind}`;
}
