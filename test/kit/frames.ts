// Frames for tests: whole, with right checksums unless they are super-frames.

import { setU16, setU32, viewOf } from '../../wire/bytes.ts';
import { checksumOf, finish, fold, pseudoHeader4, pseudoHeader6 } from '../../wire/checksum.ts';
import * as ipv4 from '../../wire/ipv4.ts';
import * as ipv6 from '../../wire/ipv6.ts';
import * as tcp from '../../wire/tcp.ts';
import * as udp from '../../wire/udp.ts';
import { payloadAt } from '../../wire/vlan.ts';
import { bytesOf } from './hex.ts';

export interface Shape {
  readonly v6?: boolean;
  readonly udp?: boolean;
  readonly tags?: number; // 0 … 2
  readonly options?: number; // bytes of TCP options, a multiple of 4
  readonly ipOptions?: number; // bytes of IPv4 options, a multiple of 4
  readonly payload: number; // bytes
  readonly flags?: number;
  readonly seq?: number;
  readonly id?: number;
}

/** Where the parts of a frame are, from its start. */
export interface Frame {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly ip: number;
  readonly transport: number;
  readonly headerBytes: number;
}

/** A TCP or UDP frame whose checksum field holds the pseudo-header's sum, as in a super-frame. */
export function partialFrame(shape: Shape): Frame {
  const tags = shape.tags ?? 0;
  const ip = 14 + 4 * tags;
  const ipOptions = shape.v6 ? 0 : (shape.ipOptions ?? 0);
  const transport = ip + (shape.v6 ? ipv6.HEADER_BYTES : ipv4.HEADER_BYTES + ipOptions);
  const headerBytes = transport + (shape.udp ? udp.HEADER_BYTES : tcp.HEADER_BYTES + (shape.options ?? 0));
  const bytes = new Uint8Array(headerBytes + shape.payload);
  const view = viewOf(bytes);
  bytes.set(bytesOf('020000000002 020000000001'));
  for (let t = 0; t < tags; t++) setU32(view, 12 + 4 * t, tags === 2 && t === 0 ? 0x88a8_6064 : 0x8100_0005);
  setU16(view, ip - 2, shape.v6 ? 0x86dd : 0x0800);
  const length = bytes.length - transport;
  const protocol = shape.udp ? ipv4.Protocol.Udp : ipv4.Protocol.Tcp;
  writeIp(bytes, shape, ip, transport);
  const pseudo = fold((shape.v6 ? pseudoHeader6 : pseudoHeader4)(view, ip, protocol, length));
  setU16(view, transport, 40000);
  setU16(view, transport + 2, 5201);
  if (shape.udp) {
    udp.setLength(view, transport, length);
    udp.setChecksum(view, transport, pseudo);
  } else {
    tcp.setSeq(view, transport, shape.seq ?? 1);
    tcp.setAck(view, transport, 2);
    tcp.setHeaderBytes(view, transport, headerBytes - transport);
    tcp.setFlags(view, transport, shape.flags ?? tcp.Flag.Ack);
    tcp.setWindow(view, transport, 502);
    bytes.fill(1, transport + 20, headerBytes); // no operation
    tcp.setChecksum(view, transport, pseudo);
  }
  for (let i = headerBytes; i < bytes.length; i++) bytes[i] = (i * 2654435761) >>> 13;
  return { bytes, ip, transport, headerBytes };
}

function writeIp(bytes: Uint8Array<ArrayBuffer>, shape: Shape, ip: number, transport: number): void {
  const view = viewOf(bytes);
  const length = bytes.length - transport;
  const protocol = shape.udp ? ipv4.Protocol.Udp : ipv4.Protocol.Tcp;
  if (shape.v6) {
    ipv6.setClassFlow(view, ip, 0, 0x12345);
    ipv6.setPayloadLength(view, ip, length);
    ipv6.setNextHeader(view, ip, protocol);
    ipv6.setHopLimit(view, ip, 64);
    ipv6.setAddress(view, ipv6.srcAt(ip), ipv6.parseAddress('fc00::1')!);
    ipv6.setAddress(view, ipv6.dstAt(ip), ipv6.parseAddress('fc00::ffff:2')!);
  } else {
    ipv4.setHeaderBytes(view, ip, transport - ip);
    bytes.fill(1, ip + 20, transport); // no operation
    ipv4.setTotalLength(view, ip, bytes.length - ip);
    ipv4.setId(view, ip, shape.id ?? 0xfffe);
    ipv4.setFragment(view, ip, ipv4.DONT_FRAGMENT);
    ipv4.setTtl(view, ip, 64);
    ipv4.setProtocol(view, ip, protocol);
    ipv4.setSrc(view, ip, 0x0a000001);
    ipv4.setDst(view, ip, 0x0a000002);
    ipv4.seal(view, ip);
  }
}

/** A TCP or UDP frame, complete. */
export function frame(shape: Shape): Frame {
  const made = partialFrame(shape);
  const view = viewOf(made.bytes);
  const sum = finish(checksumOf(view, made.transport, made.bytes.length - made.transport));
  setU16(view, made.transport + (shape.udp ? udp.CHECKSUM_AT : tcp.CHECKSUM_AT), sum === 0 ? 0xffff : sum);
  return made;
}

/** What is wrong with a frame's lengths and checksums, computed from nothing but its bytes; '' if nothing is. */
export function faultOf(view: DataView, at: number, length: number): string {
  const ip = payloadAt(view, at, length);
  const isV6 = view.getUint8(ip) >>> 4 === 6;
  const avail = at + length - ip;
  if ((isV6 ? ipv6.check : ipv4.check)(view, ip, avail) !== 0) return 'ip header';
  if (!isV6 && ipv4.checkSum(view, ip) !== 0) return 'ip checksum';
  const bytes = isV6 ? 40 + ipv6.payloadLength(view, ip) : ipv4.totalLength(view, ip);
  if (bytes !== avail) return 'ip length';
  const walked = isV6 ? ipv6.walk(view, ip) : (ipv4.headerBytes(view, ip) << 8) | ipv4.protocol(view, ip);
  const transport = ip + (walked >>> 8);
  const protocol = walked & 255;
  const left = at + length - transport;
  if (protocol === 17 && udp.length(view, transport) !== left) return 'udp length';
  if (protocol === 17 && udp.checksum(view, transport) === 0) return 'no udp checksum';
  const pseudo = (isV6 ? pseudoHeader6 : pseudoHeader4)(view, ip, protocol, left);
  return checksumOf(view, transport, left, pseudo) === 0xffff ? '' : 'transport checksum';
}
