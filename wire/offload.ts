// The virtio-net header in front of a frame, and the work that it postpones: a checksum to complete, a super-frame to split.
// Virtual I/O Device (VIRTIO) 1.2 §5.1.6.
//
//   0     1        2       4        6          8            10
//   +-----+--------+-------+--------+----------+------------+
//   |flags|gso_type|hdr_len|gso_size|csum_start|csum_offset |   numbers little-endian, offsets from the frame
//   +-----+--------+-------+--------+----------+------------+

import type { Burst } from '../core/burst.ts';
import { PLAIN } from '../core/burst.ts';
import { Drop } from '../core/drop.ts';
import { HEADROOM_BYTES } from '../core/port.ts';
import type { Slab } from '../core/slab.ts';
import { setU8, setU16, setU16le, setU32, u8, u16, u16le, u32 } from './bytes.ts';
import { Checksum, finish, fold, pseudoHeader4, pseudoHeader6 } from './checksum.ts';
import * as ethernet from './ethernet.ts';
import * as ipv4 from './ipv4.ts';
import * as ipv6 from './ipv6.ts';
import * as tcp from './tcp.ts';
import * as udp from './udp.ts';
import { payloadAt } from './vlan.ts';

const FLAGS = 0;
const GSO_TYPE = 1;
const HDR_LEN = 2;
const GSO_SIZE = 4;
const CSUM_START = 6;
const CSUM_OFFSET = 8;

/** Bytes of the header, without `num_buffers`. */
export const OFFLOAD_HEADER_BYTES = 10;

/** The checksum field holds the pseudo-header's sum only; or: the checksum was verified already. */
export const OffloadFlag = { NeedsChecksum: 1, DataValid: 2 } as const;

/** What a super-frame is split into. `Ecn` is a bit beside the TCP types. */
export const Gso = { None: 0, Tcp4: 1, Tcp6: 4, UdpL4: 5, Ecn: 0x80 } as const;

const TCP_WORD = 12; // data offset, reserved bits and flags as one number of 2 bytes
const TCP_LAST_ONLY = tcp.Flag.Fin | tcp.Flag.Psh;

/** Bits of `OffloadFlag`. */
export const offloadFlags = (view: DataView, hdr: number): number => u8(view, hdr + FLAGS);
/** The type without the ECN bit. */
export const gsoType = (view: DataView, hdr: number): number => u8(view, hdr + GSO_TYPE) & ~Gso.Ecn;
/** Payload bytes of every segment but the last. */
export const gsoBytes = (view: DataView, hdr: number): number => u16le(view, hdr + GSO_SIZE);
/** Where the checksummed part begins, in bytes from the frame's start. */
export const checksumStart = (view: DataView, hdr: number): number => u16le(view, hdr + CSUM_START);
/** Where the checksum is, in bytes from `checksumStart`. */
export const checksumOffset = (view: DataView, hdr: number): number => u16le(view, hdr + CSUM_OFFSET);

/** Writes a header that postpones nothing. */
export function writePlain(view: DataView, hdr: number): void {
  for (let i = 0; i < OFFLOAD_HEADER_BYTES; i += 2) setU16(view, hdr + i, 0);
}

/** Writes a header that leaves the checksum at `start + offset` to be completed, from `start` to the end of the frame. */
export function writeNeedsChecksum(view: DataView, hdr: number, start: number, offset: number): void {
  writePlain(view, hdr);
  setU8(view, hdr + FLAGS, OffloadFlag.NeedsChecksum);
  setU16le(view, hdr + CSUM_START, start);
  setU16le(view, hdr + CSUM_OFFSET, offset);
}

/** Adds to a header from `writeNeedsChecksum` that the frame is to be split: `headerBytes` before every `segmentBytes`. */
export function writeGso(view: DataView, hdr: number, type: number, headerBytes: number, segmentBytes: number): void {
  setU8(view, hdr + GSO_TYPE, type);
  setU16le(view, hdr + HDR_LEN, headerBytes);
  setU16le(view, hdr + GSO_SIZE, segmentBytes);
}

/** Moves the header's offsets by `delta` bytes: 4 when a VLAN tag was pushed, -4 when one was popped. */
export function shiftOffload(view: DataView, hdr: number, delta: number): void {
  if (u8(view, hdr + FLAGS) & OffloadFlag.NeedsChecksum)
    setU16le(view, hdr + CSUM_START, checksumStart(view, hdr) + delta);
  const headerBytes = u16le(view, hdr + HDR_LEN);
  if (headerBytes !== 0) setU16le(view, hdr + HDR_LEN, headerBytes + delta);
}

/** None iff the header at `hdr` describes the frame of `length` bytes at `at` without contradiction; `Offloader` relies on it. */
export function checkOffload(view: DataView, hdr: number, at: number, length: number): Drop {
  const needsChecksum = (u8(view, hdr + FLAGS) & OffloadFlag.NeedsChecksum) !== 0;
  const start = checksumStart(view, hdr);
  const offset = checksumOffset(view, hdr);
  if (length < ethernet.HEADER_BYTES) return Drop.RxOffload;
  if (needsChecksum && (start < ethernet.HEADER_BYTES || start + offset + 2 > length)) return Drop.RxOffload;

  const type = gsoType(view, hdr);
  if (type === Gso.None) return u8(view, hdr + GSO_TYPE) === 0 ? Drop.None : Drop.RxOffload;
  if (type !== Gso.Tcp4 && type !== Gso.Tcp6 && type !== Gso.UdpL4) return Drop.RxOffload;
  if (type === Gso.UdpL4 && u8(view, hdr + GSO_TYPE) !== type) return Drop.RxOffload;
  // The header's length is a hint: one that is past the frame is refused, others are not relied upon.
  if (gsoBytes(view, hdr) === 0 || u16le(view, hdr + HDR_LEN) > length) return Drop.RxOffload;
  const transport = transportAt(view, at, length, type);
  if (transport < 0) return Drop.RxOffload;
  const checksumAt = type === Gso.UdpL4 ? udp.CHECKSUM_AT : tcp.CHECKSUM_AT;
  // VIRTIO 1.2 §5.1.6.2 asks for NeedsChecksum with every type; without it the full checksum is computed all the same.
  return needsChecksum && (at + start !== transport || offset !== checksumAt) ? Drop.RxOffload : Drop.None;
}

/** Where the TCP or UDP header of a super-frame is, whole and of the type that `type` says; else -1. */
function transportAt(view: DataView, at: number, length: number, type: number): number {
  const ip = payloadAt(view, at, length);
  if (ip < 0) return -1;
  const protocol = type === Gso.UdpL4 ? ipv4.Protocol.Udp : ipv4.Protocol.Tcp;
  const transport = isIp6(view, ip)
    ? transportIn6(view, ip, at + length - ip, type, protocol)
    : transportIn4(view, ip, at + length - ip, type, protocol);
  if (transport < 0) return -1;
  const avail = ipEnd(view, ip) - transport;
  if (type === Gso.UdpL4) return avail < udp.HEADER_BYTES ? -1 : transport;
  return tcp.check(view, transport, avail) === Drop.None ? transport : -1;
}

function transportIn4(view: DataView, ip: number, avail: number, type: number, protocol: number): number {
  if (u16(view, ip - 2) !== ethernet.EtherType.Ip4 || type === Gso.Tcp6) return -1;
  if (ipv4.check(view, ip, avail) !== Drop.None || ipv4.isFragment(view, ip)) return -1;
  return ipv4.protocol(view, ip) === protocol ? ip + ipv4.headerBytes(view, ip) : -1;
}

function transportIn6(view: DataView, ip: number, avail: number, type: number, protocol: number): number {
  if (type === Gso.Tcp4 || ipv6.check(view, ip, avail) !== Drop.None) return -1;
  const walked = ipv6.walk(view, ip);
  return walked >= 0 && ipv6.walkProtocol(walked) === protocol ? ip + ipv6.walkOffset(walked) : -1;
}

const isIp6 = (view: DataView, ip: number): boolean => u16(view, ip - 2) === ethernet.EtherType.Ip6;

/** Where the packet ends by its own account: a short frame is padded. */
const ipEnd = (view: DataView, ip: number): number =>
  isIp6(view, ip) ? ip + ipv6.HEADER_BYTES + ipv6.payloadLength(view, ip) : ip + ipv4.totalLength(view, ip);

/** Does what offload headers postpone, within one slab. Every frame has passed `checkOffload`. */
export class Offloader {
  private readonly view: DataView;
  private readonly checksum: Checksum;
  // The super-frame in hand: numbers that stay the same for all of its segments.
  private at = 0;
  private ip = 0; // offsets from the start of the frame
  private transport = 0;
  private headerBytes = 0;
  private ipBase = 0; // sums of the headers without the fields that differ
  private transportBase = 0;

  constructor(slab: Slab) {
    this.view = slab.view;
    this.checksum = new Checksum(slab.memory);
  }

  /**
   * Completes the checksum of a frame that is no super-frame, in place. The header then says that it is valid, so doing it
   * again, for another port of a flood, does nothing.
   */
  complete(hdr: number, at: number, length: number): Drop {
    const flags = u8(this.view, hdr + FLAGS);
    if ((flags & OffloadFlag.NeedsChecksum) === 0) return Drop.None;
    const start = checksumStart(this.view, hdr);
    const field = start + checksumOffset(this.view, hdr);
    if (field + 2 > length) return Drop.RxOffload;
    // The field holds the pseudo-header's sum, so it takes part. Zero would mean "none" in UDP.
    const sum = finish(this.checksum.sum(at + start, length - start));
    setU16(this.view, at + field, sum === 0 ? udp.CHECKSUM_ZERO : sum);
    setU8(this.view, hdr + FLAGS, (flags & ~OffloadFlag.NeedsChecksum) | OffloadFlag.DataValid);
    return Drop.None;
  }

  /** True if the frame must be split for a port that takes no super-frames. */
  isSuper(hdr: number): boolean {
    return gsoType(this.view, hdr) !== Gso.None;
  }

  /**
   * Splits a super-frame into complete frames and adds them to `out`, all or none. They are written to `into` as
   * [headroom][frame][headroom][frame]…, so that a stream port fills in prefixes and sends one run. `into` does not
   * overlap the frame. `NoMemory` if they need more than `intoBytes` or `out` has no room. The frame itself stays as it is.
   */
  segment(hdr: number, at: number, length: number, into: number, intoBytes: number, out: Burst): Drop {
    const view = this.view;
    const type = gsoType(view, hdr);
    const ip = payloadAt(view, at, length);
    const transport = transportAt(view, at, length, type);
    const stepBytes = gsoBytes(view, hdr);
    if (transport < 0 || stepBytes === 0) return Drop.RxOffload;

    const isUdp = type === Gso.UdpL4;
    const headerBytes = transport - at + (isUdp ? udp.HEADER_BYTES : tcp.headerBytes(view, transport));
    const payloadBytes = ipEnd(view, ip) - at - headerBytes;
    const count = Math.max(1, Math.ceil(payloadBytes / stepBytes));
    if (count * (HEADROOM_BYTES + headerBytes) + payloadBytes > intoBytes) return Drop.NoMemory;
    if (count > out.max - out.count) return Drop.NoMemory;

    this.at = at;
    this.ip = ip - at;
    this.transport = transport - at;
    this.headerBytes = headerBytes;
    this.sumHeaders(isUdp);
    let to = into;
    for (let k = 0, done = 0; k < count; k++, done += stepBytes) {
      to += HEADROOM_BYTES;
      const bytes = Math.min(stepBytes, payloadBytes - done);
      this.checksum.copy(at, to, headerBytes);
      const sum = this.checksum.copy(at + headerBytes + done, to + headerBytes, bytes);
      this.finishIp(to, k, bytes);
      if (isUdp) this.finishUdp(to, bytes, sum);
      else this.finishTcp(to, done, k === 0, k === count - 1, bytes, sum);
      out.push(to, headerBytes + bytes, PLAIN);
      to += headerBytes + bytes;
    }
    return Drop.None;
  }

  /** Sums the headers once, then takes out what every segment writes anew (RFC 1624: adding the complement subtracts). */
  private sumHeaders(isUdp: boolean): void {
    const view = this.view;
    const ip = this.at + this.ip;
    const t = this.at + this.transport;
    const transportSum = this.checksum.sum(t, this.at + this.headerBytes - t);
    const protocol = isUdp ? ipv4.Protocol.Udp : ipv4.Protocol.Tcp;
    const pseudo = isIp6(view, ip) ? pseudoHeader6(view, ip, protocol, 0) : pseudoHeader4(view, ip, protocol, 0);
    if (!isIp6(view, ip)) {
      const without = less(ipv4.totalLength(view, ip)) + less(ipv4.id(view, ip)) + less(ipv4.checksum(view, ip));
      this.ipBase = fold(this.checksum.sum(ip, ipv4.headerBytes(view, ip)) + without);
    }
    const without = isUdp
      ? less(udp.length(view, t)) + less(udp.checksum(view, t))
      : less(u16(view, t + 4)) + less(u16(view, t + 6)) + less(u16(view, t + TCP_WORD)) + less(tcp.checksum(view, t));
    this.transportBase = fold(transportSum + without + pseudo);
  }

  private finishIp(to: number, k: number, payloadBytes: number): void {
    const view = this.view;
    const ip = to + this.ip;
    const bytes = this.headerBytes - this.ip + payloadBytes;
    if (isIp6(view, ip)) {
      ipv6.setPayloadLength(view, ip, bytes - ipv6.HEADER_BYTES);
      return;
    }
    const id = (ipv4.id(view, ip) + k) & 0xffff;
    ipv4.setTotalLength(view, ip, bytes);
    ipv4.setId(view, ip, id);
    ipv4.setChecksum(view, ip, finish16(this.ipBase + bytes + id));
  }

  private finishTcp(to: number, done: number, isFirst: boolean, isLast: boolean, bytes: number, payload: number): void {
    const view = this.view;
    const t = to + this.transport;
    const seq = (u32(view, t + 4) + done) >>> 0;
    let word = u16(view, t + TCP_WORD);
    if (!isLast) word &= ~TCP_LAST_ONLY;
    if (!isFirst) word &= ~tcp.Flag.Cwr; // RFC 3168 §6.1.2: once per window
    const length = this.headerBytes - this.transport + bytes;
    setU32(view, t + 4, seq);
    setU16(view, t + TCP_WORD, word);
    const sum = this.transportBase + length + (seq >>> 16) + (seq & 0xffff) + word + payload;
    tcp.setChecksum(view, t, finish16(sum));
  }

  private finishUdp(to: number, bytes: number, payload: number): void {
    const t = to + this.transport;
    const length = udp.HEADER_BYTES + bytes;
    udp.setLength(this.view, t, length);
    const sum = finish16(this.transportBase + length + length + payload); // in the pseudo-header and in the header
    udp.setChecksum(this.view, t, sum === 0 ? udp.CHECKSUM_ZERO : sum);
  }
}

/** What to add to a sum to take `word` out of it. */
const less = (word: number): number => ~word & 0xffff;

/** `finish` for a sum of a few words, below 2^31. */
function finish16(sum: number): number {
  const once = (sum & 0xffff) + (sum >>> 16);
  return ~(once + (once >>> 16)) & 0xffff;
}
