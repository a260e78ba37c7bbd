// The table of everything that sends and receives whole messages: UDP, raw, echo and packet sockets have the same columns.

import type { StateReader, StateWriter } from '../../core/state.ts';
import type { Address } from '../address.ts';
import { isIp4 } from '../address.ts';
import { Errno } from '../errno.ts';
import type { Limits } from '../limits.ts';
import type { Shared } from '../shared.ts';
import { DatagramQueues } from './datagram-queue.ts';

/** What an endpoint is. `Free` is a row that nobody has. */
export const Kind = { Free: 0, Udp: 1, Raw: 2, Echo: 3, Packet: 4 } as const;

/** Columns of an endpoint: offsets of words in its row. */
export const Field = {
  Kind: 0,
  Flags: 1,
  Protocol: 2, // of raw and packet sockets: IP protocol, EtherType
  LocalPort: 3, // an echo socket's identifier; 0: none yet
  RemotePort: 4,
  Device: 5, // SO_BINDTODEVICE; ANY_IFACE: none
  Scope: 6, // the interface that a link-local bind or connect named
  Hops4: 7, // -1: the default
  Hops6: 8,
  Class4: 9,
  Class6: 10,
  GroupHops4: 11,
  GroupHops6: 12,
  GroupIface4: 13,
  GroupIface6: 14,
  Error: 15, // the pending error, positive; 0: none
  ReceiveMax: 16, // bytes
  SendMax: 17,
  Discover4: 18, // a value of `Discover`
  Discover6: 19,
  ChecksumOffset: 20, // raw IPv6: where its checksum is; -1: none
  Next: 21, // in the chain of its port or protocol; -1: the last
  Handle: 22, // the socket it belongs to; -1: none
  Order: 23, // when it came into its chain, since the newest is asked first
  Local: 24, // four words
  Remote: 28,
  Filter: 32, // eight words: a bit for each ICMP type that is kept out
} as const;
const ROW_WORDS = 40;
const FILTER_WORDS = 8;

/** Bits of `Field.Flags`. */
export const EndpointFlag = {
  Ip6: 1 << 0,
  V6Only: 1 << 1,
  ReuseAddress: 1 << 2,
  ReusePort: 1 << 3,
  Broadcast: 1 << 4,
  Bound: 1 << 5, // it is in the chain of a port
  Connected: 1 << 6,
  AddressChosen: 1 << 7, // by connect, to be forgotten with the connection
  PortChosen: 1 << 8,
  Loop4: 1 << 9,
  Loop6: 1 << 10,
  All4: 1 << 11, // takes groups that others of this host joined
  All6: 1 << 12,
  Errors4: 1 << 13, // IP_RECVERR
  Errors6: 1 << 14,
  NoChecksum: 1 << 15,
  NoChecksum6Tx: 1 << 16,
  NoChecksum6Rx: 1 << 17,
  HeaderIncluded: 1 << 18,
  ReadShut: 1 << 19,
  WriteShut: 1 << 20,
  FreeBind: 1 << 21,
  Blocked: 1 << 22, // a send found no room
  WithHeader: 1 << 23, // a packet socket that sees Ethernet headers
  PacketInfo4: 1 << 24,
  Hops4: 1 << 25,
  Class4: 1 << 26,
  PacketInfo6: 1 << 27,
  Hops6: 1 << 28,
  Class6: 1 << 29,
  KeepAlive: 1 << 30,
} as const;

/** How a datagram that is longer than the path takes is sent: Linux's IP_PMTUDISC_*. */
export const Discover = { Dont: 0, Want: 1, Do: 2, Probe: 3, Interface: 4, Omit: 5 } as const;

// Ours, as Linux's defaults.
const BUFFER_BYTES = 212_992;
const ERROR_BYTES_MAX = 16_384; // quoted packets that wait in one error queue
const ROWS_FIRST = 16;

/** Told when a socket may have become readable, writable or failed. */
export interface ReadinessListener {
  changed(handle: number): void;
}

/** Endpoints by number, with their receive and error queues. The lowest free number is given; the table doubles up to `socketsMax`. */
export class Endpoints {
  readonly shared: Shared;
  readonly limits: Limits;
  /** What arrived. */
  readonly queues: DatagramQueues;
  /** IP_RECVERR's: what was reported about what was sent. */
  readonly errors: DatagramQueues;
  /** Rows in use are below it. */
  end = 0;
  private words = new Int32Array(ROWS_FIRST * ROW_WORDS);
  private readonly listener: ReadinessListener;
  private blocked = 0;
  private lowest = 0; // no free row is below

  constructor(shared: Shared, limits: Limits, listener: ReadinessListener) {
    this.shared = shared;
    this.limits = limits;
    this.listener = listener;
    this.queues = new DatagramQueues(shared.slab);
    this.errors = new DatagramQueues(shared.slab);
  }

  /** A new endpoint with Linux's defaults, or -ENOBUFS. */
  open(kind: number, isIp6: boolean, protocol: number): number {
    const e = this.free();
    if (e < 0) return e;
    const row = e * ROW_WORDS;
    this.words.fill(0, row, row + ROW_WORDS);
    this.set(e, Field.Kind, kind);
    const { Loop4, Loop6, All4, All6, Ip6 } = EndpointFlag;
    this.set(e, Field.Flags, Loop4 | Loop6 | All4 | All6 | (isIp6 ? Ip6 : 0));
    this.set(e, Field.Protocol, protocol);
    for (const field of [Field.Hops4, Field.Hops6, Field.ChecksumOffset, Field.Next, Field.Handle])
      this.set(e, field, -1);
    this.set(e, Field.GroupHops4, 1);
    this.set(e, Field.GroupHops6, 1);
    this.set(e, Field.ReceiveMax, Math.min(BUFFER_BYTES, this.limits.receiveBufferBytesMax));
    this.set(e, Field.SendMax, Math.min(BUFFER_BYTES, this.limits.sendBufferBytesMax));
    this.set(e, Field.Discover4, Discover.Want);
    this.set(e, Field.Discover6, Discover.Want);
    if (!isIp6) this.words[row + Field.Local + 2] = 0xffff;
    return e;
  }

  /** Frees the row and what waits in it. */
  close(e: number): void {
    this.unblock(e);
    this.queues.clear(e);
    this.errors.clear(e);
    this.set(e, Field.Kind, Kind.Free);
    if (e < this.lowest) this.lowest = e;
    while (this.end > 0 && this.get(this.end - 1, Field.Kind) === Kind.Free) this.end--;
  }

  /** Gives the memory of all queues back. */
  clear(): void {
    for (let e = 0; e < this.end; e++) {
      this.queues.clear(e);
      this.errors.clear(e);
    }
  }

  get(e: number, field: number): number {
    return this.words[e * ROW_WORDS + field]!;
  }

  set(e: number, field: number, value: number): void {
    this.words[e * ROW_WORDS + field] = value;
  }

  /** True if any of the bits of `EndpointFlag` is set. */
  has(e: number, flags: number): boolean {
    return (this.words[e * ROW_WORDS + Field.Flags]! & flags) !== 0;
  }

  mark(e: number, flags: number, on: boolean): void {
    const at = e * ROW_WORDS + Field.Flags;
    this.words[at] = on ? this.words[at]! | flags : this.words[at]! & ~flags;
  }

  isIp6(e: number): boolean {
    return this.has(e, EndpointFlag.Ip6);
  }

  /** True if the address at `field` (Local or Remote) equals `address`. */
  equals(e: number, field: number, address: Address): boolean {
    const at = e * ROW_WORDS + field;
    const { words } = this;
    return (
      words[at + 3] === address[3] &&
      words[at + 2] === address[2] &&
      words[at + 1] === address[1] &&
      words[at] === address[0]
    );
  }

  /** True if the address at `field` is `::` or `0.0.0.0`. */
  isAny(e: number, field: number): boolean {
    const at = e * ROW_WORDS + field;
    const { words } = this;
    return (
      words[at + 3] === 0 && words[at] === 0 && words[at + 1] === 0 && (words[at + 2] === 0 || words[at + 2] === 0xffff)
    );
  }

  /** Copies the address at `field` into `to`. */
  addressInto(e: number, field: number, to: Int32Array): void {
    const at = e * ROW_WORDS + field;
    for (let i = 0; i < 4; i++) to[i] = this.words[at + i]!;
  }

  /** Copies `address` into `field`. */
  setAddress(e: number, field: number, address: Address): void {
    const at = e * ROW_WORDS + field;
    for (let i = 0; i < 4; i++) this.words[at + i] = address[i]!;
  }

  /** True if the endpoint, by family and V6Only, takes packets of the family. */
  takesFamily(e: number, isIp6: boolean): boolean {
    const at = e * ROW_WORDS + Field.Local;
    const { words } = this;
    const isLocal4 = words[at + 2] === 0xffff && words[at] === 0 && words[at + 1] === 0;
    if (isIp6) return this.isIp6(e) && !isLocal4;
    // Bound to an address of IPv6 itself: nothing of IPv4 comes there.
    return isLocal4 || (this.isAny(e, Field.Local) && !this.has(e, EndpointFlag.V6Only));
  }

  /** True if a packet of the interface may reach the endpoint: SO_BINDTODEVICE and the scope of its address. */
  takesIface(e: number, iface: number): boolean {
    const device = this.get(e, Field.Device);
    const scope = this.get(e, Field.Scope);
    return (device === 0 || device === iface) && (scope === 0 || scope === iface);
  }

  /** True if the ICMP type is filtered out. */
  isFiltered(e: number, type: number): boolean {
    return ((this.get(e, Field.Filter + (type >>> 5)) >>> (type & 31)) & 1) !== 0;
  }

  /** The hop limit of what is sent to `target`, -1 for the default. */
  hopsFor(e: number, target: Address, isGroup: boolean): number {
    if (isIp4(target)) return this.get(e, isGroup ? Field.GroupHops4 : Field.Hops4);
    return this.get(e, isGroup ? Field.GroupHops6 : Field.Hops6);
  }

  /** Something arrived or failed, or there is room again. */
  notify(e: number): void {
    const handle = this.get(e, Field.Handle);
    if (handle >= 0) this.listener.changed(handle);
  }

  /** Sets the pending error, which the next call gets. */
  fail(e: number, errno: number): void {
    this.set(e, Field.Error, errno);
    this.notify(e);
  }

  /** The pending error, positive, and forgets it; 0 if none. */
  takeError(e: number): number {
    const errno = this.get(e, Field.Error);
    if (errno !== 0) this.set(e, Field.Error, 0);
    return errno;
  }

  /** A send found the output full: `outputDrained` will tell. */
  block(e: number): void {
    if (this.has(e, EndpointFlag.Blocked)) return;
    this.mark(e, EndpointFlag.Blocked, true);
    this.blocked++;
  }

  /** True if a send found the output full, and nobody was told yet that there is room. */
  get hasBlocked(): boolean {
    return this.blocked > 0;
  }

  /** The port took frames: who found no room may try again. */
  outputDrained(): void {
    if (this.blocked === 0) return;
    for (let e = 0; e < this.end; e++) {
      if (this.get(e, Field.Kind) === Kind.Free || !this.unblock(e)) continue;
      this.notify(e);
    }
  }

  /** True if bytes may be appended to its error queue. */
  hasErrorRoom(e: number): boolean {
    return this.errors.usedBytes(e) < ERROR_BYTES_MAX;
  }

  save(state: StateWriter): void {
    const words = this.words.slice(0, this.end * ROW_WORDS);
    // Chains are built again from the order, whatever the number of buckets was.
    for (let e = 0; e < this.end; e++) words[e * ROW_WORDS + Field.Next] = -1;
    state.number(this.end).column(words);
    this.queues.save(state, this.end);
    this.errors.save(state, this.end);
  }

  load(state: StateReader): void {
    for (let e = 0; e < this.end; e++) {
      this.queues.clear(e);
      this.errors.clear(e);
    }
    this.end = state.integer(0, this.limits.socketsMax);
    let rows = ROWS_FIRST;
    while (rows < this.end) rows *= 2;
    const used = new Int32Array(this.end * ROW_WORDS);
    state.into(used);
    this.words = new Int32Array(rows * ROW_WORDS);
    this.words.set(used);
    this.queues.load(state, this.end);
    this.errors.load(state, this.end);
    this.blocked = 0;
    this.lowest = 0;
    for (let e = 0; e < this.end; e++) {
      this.set(e, Field.Next, -1);
      if (this.get(e, Field.Kind) !== Kind.Free && this.has(e, EndpointFlag.Blocked)) this.blocked++;
    }
  }

  private unblock(e: number): boolean {
    if (!this.has(e, EndpointFlag.Blocked)) return false;
    this.mark(e, EndpointFlag.Blocked, false);
    this.blocked--;
    return true;
  }

  /** The lowest free row. */
  private free(): number {
    let e = this.lowest;
    while (e < this.end && this.get(e, Field.Kind) !== Kind.Free) e++;
    this.lowest = e;
    if (e >= this.limits.socketsMax) return -Errno.ENOBUFS;
    if (e === this.end) this.end++;
    if (this.end * ROW_WORDS > this.words.length) {
      const next = new Int32Array(2 * this.words.length);
      next.set(this.words);
      this.words = next;
    }
    return e;
  }
}

/** Sets the ICMP filter of an endpoint: `words[type >> 5] >> (type & 31) & 1` keeps the type out. */
export function setFilter(endpoints: Endpoints, e: number, words: Int32Array): void {
  for (let i = 0; i < FILTER_WORDS; i++) endpoints.set(e, Field.Filter + i, words[i] ?? 0);
}
