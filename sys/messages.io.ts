// Datagrams with their addresses and control messages, many a call: recvmmsg(2), sendmmsg(2), and the queue of errors, ip(7).

import { assert } from '../core/assert.ts';
import { NONE, type Slab } from '../core/slab.ts';
import { resultOf, writePointer } from './inet.io.ts';
import { sys } from './libc.io.ts';
import { MSG_DONTWAIT, MSG_NOSIGNAL } from './socket.io.ts';
import { readSocketAddress, SOCKET_ADDRESS_BYTES, writeSocketAddress } from './socket-address.ts';

const MSG_ERRQUEUE = 0x2000;

// struct mmsghdr on LP64.
const MSG_NAMELEN = 8;
const MSG_IOV = 16;
const MSG_IOVLEN = 24;
const MSG_CONTROL = 32;
const MSG_CONTROLLEN = 40;
const MSG_LEN = 56;
const HEADER_BYTES = 64;

const IOVEC_BYTES = 16;
const NAME_BYTES = 32;
const CMSG_HEADER_BYTES = 16; // struct cmsghdr: u64 length, i32 level, i32 type
const ROW_BYTES = HEADER_BYTES + IOVEC_BYTES + NAME_BYTES;

const SOL_IP = 0;
const SOL_IPV6 = 41;
const IP_TOS = 1;
const IP_TTL = 2;
const IP_RECVERR = 11;
const IPV6_RECVERR = 25;
const IPV6_HOPLIMIT = 52;
const IPV6_TCLASS = 67;

// struct sock_extended_err: u32 errno, u8 origin, type, code, pad, u32 info, data; behind it the offender's sockaddr.
const ERROR_BYTES = 16;
const ORIGIN_LOCAL = 1;

/** Message headers 0 … count - 1, each with one range of the slab, an address and room for control messages. */
export class MessageVector {
  /** Of the message that `readControl` read last: TTL or hop limit, TOS or traffic class; -1 where they were not told. */
  hops = -1;
  trafficClass = -1;
  private readonly slab: Slab;
  private readonly view: DataView;
  private readonly address: number;
  private readonly at: number; // mmsghdr[count], iovec[count], names[count], control[count]
  private readonly vectors: number;
  private readonly names: number;
  private readonly controls: number;
  private readonly controlBytes: number;
  private readonly bytes: number;

  /** @param controlBytes of each message; a multiple of 8, 0 for messages that are only sent. */
  constructor(slab: Slab, address: number, { count, controlBytes }: { count: number; controlBytes: number }) {
    this.slab = slab;
    this.view = slab.view;
    this.address = address;
    this.controlBytes = controlBytes;
    this.bytes = count * (ROW_BYTES + controlBytes);
    this.at = slab.alloc(this.bytes);
    assert(this.at !== NONE, 'the slab has no room for message headers');
    this.vectors = this.at + count * HEADER_BYTES;
    this.names = this.vectors + count * IOVEC_BYTES;
    this.controls = this.names + count * NAME_BYTES;
    for (let i = 0; i < count; i++) this.prepare(i);
  }

  private prepare(i: number): void {
    const { view, address, controlBytes } = this;
    const header = this.at + i * HEADER_BYTES;
    writePointer(view, header, address + this.names + i * NAME_BYTES);
    writePointer(view, header + MSG_IOV, address + this.vectors + i * IOVEC_BYTES);
    view.setUint32(header + MSG_IOVLEN, 1, true);
    if (controlBytes > 0) writePointer(view, header + MSG_CONTROL, address + this.controls + i * controlBytes);
    this.rearm(i);
  }

  /** Puts back what the kernel changed in header `i`. Every header that was received into needs it before the next time. */
  rearm(i: number): void {
    const header = this.at + i * HEADER_BYTES;
    this.view.setUint32(header + MSG_NAMELEN, SOCKET_ADDRESS_BYTES, true);
    this.view.setUint32(header + MSG_CONTROLLEN, this.controlBytes, true);
  }

  /** Points message `i` at a range of the slab. */
  point(i: number, at: number, bytes: number): void {
    const vector = this.vectors + i * IOVEC_BYTES;
    writePointer(this.view, vector, this.address + at);
    this.view.setUint32(vector + 8, bytes, true);
  }

  /** Addresses message `i`. */
  writeName(i: number, isIp6: boolean, words: Int32Array, word: number, port: number): void {
    const length = writeSocketAddress(this.view, this.names + i * NAME_BYTES, isIp6, words, word, port);
    this.view.setUint32(this.at + i * HEADER_BYTES + MSG_NAMELEN, length, true);
  }

  /** Who message `i` is from: the port. */
  readName(i: number, words: Int32Array, word: number): number {
    return readSocketAddress(this.view, this.names + i * NAME_BYTES, words, word);
  }

  /** Bytes of message `i`. */
  bytesOf(i: number): number {
    return this.view.getUint32(this.at + i * HEADER_BYTES + MSG_LEN, true);
  }

  /** Receives into messages 0 … `count` - 1: how many, or -errno. Fewer than `count`: there are no more, or an error is pending. */
  receive(fd: number, count: number): number {
    return resultOf(sys().recvmmsg(fd, this.address + this.at, count, MSG_DONTWAIT, 0));
  }

  /** Sends `count` messages from `first` on: how many, or -errno of the first. */
  send(fd: number, first: number, count: number): number {
    const header = this.address + this.at + first * HEADER_BYTES;
    if (count > 1) return resultOf(sys().sendmmsg(fd, header, count, MSG_DONTWAIT | MSG_NOSIGNAL));
    const code = resultOf(sys().sendmsg(fd, header, MSG_DONTWAIT | MSG_NOSIGNAL));
    return code < 0 ? code : 1;
  }

  /** The next error of the socket's queue into message 0, its name being the target: bytes of the datagram, or -errno. */
  receiveError(fd: number): number {
    this.rearm(0);
    return resultOf(sys().recvmsg(fd, this.address + this.at, MSG_ERRQUEUE | MSG_DONTWAIT));
  }

  /** Reads hops and traffic class of message `i`. */
  readControl(i: number): void {
    const { view } = this;
    this.hops = -1;
    this.trafficClass = -1;
    const end = this.controlEnd(i);
    for (let at = this.controls + i * this.controlBytes; at + CMSG_HEADER_BYTES < end; at = next(view, at)) {
      const data = at + CMSG_HEADER_BYTES;
      const isIp6 = view.getInt32(at + 8, true) === SOL_IPV6;
      const type = view.getInt32(at + 12, true);
      if (type === (isIp6 ? IPV6_HOPLIMIT : IP_TTL)) this.hops = view.getInt32(data, true);
      else if (type === (isIp6 ? IPV6_TCLASS : IP_TOS)) this.trafficClass = view.getUint8(data);
    }
  }

  /** Where the struct sock_extended_err of message 0 is, for `ErrorView`; 0 if there is none. */
  errorAt(): number {
    const { view } = this;
    const end = this.controlEnd(0);
    for (let at = this.controls; at + CMSG_HEADER_BYTES + ERROR_BYTES <= end; at = next(view, at)) {
      const level = view.getInt32(at + 8, true);
      const type = view.getInt32(at + 12, true);
      const isError = (level === SOL_IP && type === IP_RECVERR) || (level === SOL_IPV6 && type === IPV6_RECVERR);
      if (isError) return at + CMSG_HEADER_BYTES;
    }
    return 0;
  }

  /** Gives the memory back. */
  end(): void {
    this.slab.release(this.at, this.bytes);
  }

  private controlEnd(i: number): number {
    const length = this.view.getUint32(this.at + i * HEADER_BYTES + MSG_CONTROLLEN, true);
    return this.controls + i * this.controlBytes + Math.min(length, this.controlBytes);
  }
}

/** The control message behind the one at `at`; never one of no bytes. */
function next(view: DataView, at: number): number {
  return at + Math.max(CMSG_HEADER_BYTES, (view.getUint32(at, true) + 7) & ~7);
}

/** Readers of a struct sock_extended_err. */
export const ErrorView = {
  errno: (view: DataView, at: number): number => view.getUint32(at, true),
  /** False if the host itself refused: there is no ICMP message then. */
  isRemote: (view: DataView, at: number): boolean => view.getUint8(at + 4) > ORIGIN_LOCAL,
  type: (view: DataView, at: number): number => view.getUint8(at + 5),
  code: (view: DataView, at: number): number => view.getUint8(at + 6),
  info: (view: DataView, at: number): number => view.getUint32(at + 8, true),
  /** Who reported it; all zero if that is not known. */
  reporter: (view: DataView, at: number, words: Int32Array): number =>
    readSocketAddress(view, at + ERROR_BYTES, words, 0),
};
