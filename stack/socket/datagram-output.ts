// Sends whole messages of endpoints: finds the path, writes in place what fits it, and the rest by way of a scratch piece.

import { assert } from '../../core/assert.ts';
import { Drop } from '../../core/drop.ts';
import { NONE } from '../../core/slab.ts';
import { finish, fold } from '../../wire/checksum.ts';
import * as ipv4 from '../../wire/ipv4.ts';
import * as ipv6 from '../../wire/ipv6.ts';
import type { Address } from '../address.ts';
import { ANY, ANY4, assign, isAny, isBroadcast, isIp4, isLinkLocal, isMulticast } from '../address.ts';
import { Errno } from '../errno.ts';
import type { Paths, Sender } from '../ip.ts';
import { HOP_LIMIT_OF_LINK } from '../ip.ts';
import { copyBytes } from './datagram-queue.ts';
import type { Endpoints } from './endpoints.ts';
import { Discover, EndpointFlag, Field } from './endpoints.ts';
import type { Hosts } from './port-table.ts';
import { checkFamily } from './port-table.ts';

const IP_BYTES_MAX = 65_535;
const LOOPBACK4: Address = Int32Array.of(0, 0, 0xffff, 0x7f000001);
const LOOPBACK6: Address = Int32Array.of(0, 0, 0, 1);

/** The longest message with its own header that IPv4 or IPv6 carries: 65,515 or 65,535 bytes. */
export const messageBytesMax = (target: Address): number => IP_BYTES_MAX - (isIp4(target) ? ipv4.HEADER_BYTES : 0);

/** `route`, then `begin`, write a header at `at`, `fill`, and `finish`; nothing else of the network in between. */
export class DatagramOutput {
  private readonly endpoints: Endpoints;
  private readonly paths: Paths;
  private readonly sender: Sender;
  private readonly hosts: Hosts;
  private scratch: number = NONE;
  private readonly from: Address = new Int32Array(4);
  /** Where the route leads: the target, or loopback for `::` and `0.0.0.0`, as Linux has it. */
  readonly target: Address = new Int32Array(4);
  // The message in hand.
  private e = 0;
  private path = 0;
  private protocol = 0;
  private bytes = 0;
  private isDirect = false;
  private isGroup = false;
  /** The routed target is a group or a broadcast address. */
  isToMany = false;
  /** Where it goes in the slab. */
  at = 0;

  constructor(endpoints: Endpoints, paths: Paths, sender: Sender, hosts: Hosts) {
    this.endpoints = endpoints;
    this.paths = paths;
    this.sender = sender;
    this.hosts = hosts;
  }

  /**
   * The path to `target` for `e`, or -errno: -EAFNOSUPPORT, -EINVAL (scope missing or contradicted), -EACCES (broadcast
   * without SO_BROADCAST), -ENETUNREACH and what `Paths.find` says. `source`: instead of the endpoint's address.
   */
  route(e: number, target: Address, iface: number, source?: Address): number {
    const { endpoints, from } = this;
    const refused = checkFamily(endpoints, e, target);
    if (refused < 0) return refused === -Errno.EINVAL ? -Errno.ENETUNREACH : refused;
    assign(this.target, this.wellDefined(e, target));
    const to = this.target;
    this.isGroup = isMulticast(to);
    const scope = this.scopeOf(e, to, iface);
    if (scope < 0) return scope;
    const isToAll = isBroadcast(to) || (isIp4(to) && this.hosts.isBroadcast(to, scope));
    if (isToAll && !endpoints.has(e, EndpointFlag.Broadcast)) return -Errno.EACCES;
    this.isToMany = isToAll || this.isGroup;
    if (source) assign(from, source);
    else endpoints.addressInto(e, Field.Local, from);
    const isOpen = isAny(from) || isMulticast(from) || isBroadcast(from);
    if (isOpen) assign(from, isIp4(to) ? ANY4 : ANY);
    else if (isIp4(from) !== isIp4(to)) return -Errno.ENETUNREACH;
    return this.paths.find(from, to, scope);
  }

  /** connect(2) of what has no handshake: remembers the target, and the path's source if none was bound. 0 or -errno. */
  connect(e: number, target: Address, port: number, iface: number): number {
    const { endpoints } = this;
    this.disconnect(e);
    const path = this.route(e, target, iface);
    if (path < 0) return path;
    if (endpoints.isAny(e, Field.Local)) {
      endpoints.setAddress(e, Field.Local, this.paths.sourceOf(path));
      endpoints.mark(e, EndpointFlag.AddressChosen, true);
    }
    endpoints.setAddress(e, Field.Remote, this.target);
    endpoints.set(e, Field.RemotePort, port);
    if (!isIp4(this.target) && isLinkLocal(this.target)) endpoints.set(e, Field.Scope, this.paths.ifaceOf(path));
    endpoints.mark(e, EndpointFlag.Connected, true);
    return 0;
  }

  /** Dissolves the connection, and what it had chosen. */
  disconnect(e: number): void {
    const { endpoints } = this;
    if (endpoints.has(e, EndpointFlag.AddressChosen)) {
      endpoints.setAddress(e, Field.Local, endpoints.isIp6(e) ? ANY : ANY4);
      endpoints.set(e, Field.Scope, 0);
    }
    endpoints.setAddress(e, Field.Remote, ANY);
    endpoints.set(e, Field.RemotePort, 0);
    endpoints.mark(e, EndpointFlag.AddressChosen | EndpointFlag.Connected, false);
  }

  /** Room for a message of `bytes` on the path: 0, its place is `at`; -EMSGSIZE; -EAGAIN if the output is full, -ENOBUFS without memory. */
  begin(e: number, path: number, protocol: number, bytes: number): number {
    const { paths } = this;
    const isTarget4 = isIp4(this.target);
    if (bytes > messageBytesMax(this.target)) return -Errno.EMSGSIZE;
    this.e = e;
    this.path = path;
    this.protocol = protocol;
    this.bytes = bytes;
    const header = isTarget4 ? ipv4.HEADER_BYTES : ipv6.HEADER_BYTES;
    this.isDirect = bytes + header <= paths.mtuOf(path);
    if (this.isDirect) {
      this.at = this.sender.open(path, protocol, bytes);
      return this.at === NONE ? this.full() : 0;
    }
    if (!this.mayFragment()) return -Errno.EMSGSIZE;
    const { slab } = this.endpoints.shared;
    if (this.scratch === NONE) this.scratch = slab.alloc(IP_BYTES_MAX);
    this.at = this.scratch;
    return this.at === NONE ? -Errno.ENOBUFS : 0;
  }

  /** Copies `count` bytes of the program's to `offset` in the message. */
  fill(offset: number, bytes: Uint8Array, from: number, count: number): void {
    copyBytes(this.endpoints.shared.bytes, this.at + offset, bytes, from, count);
  }

  /**
   * Writes the checksum at `offset` (-1: it has none, or has it already), and sends. The checksum field holds 0. 0 or -errno:
   * -EMSGSIZE, -ENETUNREACH, -EHOSTUNREACH, -EAGAIN. `hopsWanted` and `classWanted` 0 … 255, or -1: as the endpoint has it.
   */
  finish(offset: number, hopsWanted = -1, classWanted = -1): number {
    const { shared } = this.endpoints;
    const hops = hopsWanted < 0 ? this.hops() : hopsWanted;
    const ofEndpoint = this.endpoints.get(this.e, isIp4(this.target) ? Field.Class4 : Field.Class6);
    const trafficClass = classWanted < 0 ? ofEndpoint : classWanted;
    if (!this.isDirect) {
      if (offset >= 0) shared.view.setUint16(this.at + offset, this.wholeSum());
      const { path, protocol, at, bytes } = this;
      return this.errnoOf(this.sender.sendDatagram(path, protocol, at, bytes, hops, trafficClass, true));
    }
    if (offset >= 0) this.sealDirect(offset);
    return this.errnoOf(this.sender.send(hops, trafficClass, 0));
  }

  private sealDirect(offset: number): void {
    const { shared } = this.endpoints;
    const { needsSum } = this.sender;
    this.sender.seal(offset, needsSum ? shared.checksum.sum(this.at, this.bytes) : 0);
    // RFC 768: a sum of zero is sent as all ones, since zero means none.
    if (needsSum && shared.view.getUint16(this.at + offset) === 0) shared.view.setUint16(this.at + offset, 0xffff);
  }

  /** The checksum of the message in the scratch piece, with its pseudo-header. */
  private wholeSum(): number {
    const { shared } = this.endpoints;
    const source = this.paths.sourceOf(this.path);
    const pseudo = sumOf(source) + sumOf(this.target) + this.protocol + this.bytes;
    return finish(pseudo + shared.checksum.sum(this.at, this.bytes)) || 0xffff;
  }

  /** Gives the scratch piece back. */
  close(): void {
    this.endpoints.shared.slab.release(this.scratch, IP_BYTES_MAX);
    this.scratch = NONE;
  }

  /** The hop limit of the message in hand. */
  hops(): number {
    const hops = this.endpoints.hopsFor(this.e, this.target, this.isGroup);
    return hops < 0 ? HOP_LIMIT_OF_LINK : hops;
  }

  /** What the target of a connect or send means: "any" is this host. */
  private wellDefined(e: number, target: Address): Address {
    if (!isAny(target)) return target;
    return isIp4(target) || !this.endpoints.isIp6(e) ? LOOPBACK4 : LOOPBACK6;
  }

  /** The interface that a packet to `target` has to leave by, 0 for the route's; -EINVAL if two contradict or one is missing. */
  private scopeOf(e: number, target: Address, iface: number): number {
    const { endpoints } = this;
    const device = endpoints.get(e, Field.Device);
    if (device !== 0 && iface !== 0 && device !== iface) return -Errno.EINVAL;
    const isLocal = isLinkLocal(target) || this.isGroup;
    const named = device || iface || (isLocal ? endpoints.get(e, Field.Scope) : 0);
    if (named !== 0) return named;
    if (this.isGroup) return endpoints.get(e, isIp4(target) ? Field.GroupIface4 : Field.GroupIface6);
    return isLinkLocal(target) && !isIp4(target) ? -Errno.EINVAL : 0;
  }

  /** IP_MTU_DISCOVER: only with "do not" and "want" is a message cut that does not fit the path. */
  private mayFragment(): boolean {
    const mode = this.endpoints.get(this.e, isIp4(this.target) ? Field.Discover4 : Field.Discover6);
    return mode !== Discover.Do && mode !== Discover.Probe;
  }

  private full(): number {
    this.endpoints.block(this.e);
    return -Errno.EAGAIN;
  }

  private errnoOf(drop: Drop): number {
    if (drop === Drop.None) return 0;
    this.endpoints.shared.drops.add(drop);
    if (drop === Drop.TooBig) return -Errno.EMSGSIZE;
    if (drop === Drop.NoRoute) return -Errno.ENETUNREACH;
    if (drop === Drop.NoNeighbor) return -Errno.EHOSTUNREACH;
    return drop === Drop.TxFull ? this.full() : -Errno.ENOBUFS;
  }
}

/** The sum of an address's words for a pseudo-header; the ffff of a mapped address adds nothing in ones' complement. */
export function sumOf(a: Address): number {
  let sum = 0;
  for (let i = 0; i < 4; i++) sum += (a[i]! >>> 16) + (a[i]! & 0xffff);
  return fold(sum);
}

assert(messageBytesMax(LOOPBACK4) === 65_515 && messageBytesMax(LOOPBACK6) === 65_535, 'the longest messages');
