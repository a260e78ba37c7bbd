// Packet sockets: the frames of an interface, both ways, for captures and for protocols that are no IP.

import { PLAIN } from '../../core/burst.ts';
import { Drop } from '../../core/drop.ts';
import { NONE } from '../../core/slab.ts';
import type { StateReader, StateWriter } from '../../core/state.ts';
import * as ethernet from '../../wire/ethernet.ts';
import type { Address } from '../address.ts';
import { Errno } from '../errno.ts';
import type { Output } from '../output.ts';
import { DatagramInput } from './datagram-input.ts';
import { copyBytes, Datagram, DatagramFlag } from './datagram-queue.ts';
import { EndpointChains } from './endpoint-chains.ts';
import type { Endpoints } from './endpoints.ts';
import { EndpointFlag, Field, Kind } from './endpoints.ts';

/** EtherType "all" of a packet socket. */
export const ALL_PROTOCOLS = 3;

/** What a packet socket needs of an interface. */
export interface Link {
  readonly mac: Uint8Array;
  readonly mtuBytes: number;
  readonly output: Output;
}

/** The interfaces by number. */
export interface Links {
  get(iface: number): Link | undefined;
}

/**
 * The packet endpoints of one stack. With `WithHeader` (SOCK_RAW) messages are whole frames; else (SOCK_DGRAM) they begin behind
 * the Ethernet header, and addresses are MAC addresses: the high 16 bits in word 0, the low 32 in word 1.
 */
export class PacketSockets {
  private readonly endpoints: Endpoints;
  private readonly links: Links;
  private readonly input: DatagramInput;
  private readonly chains: EndpointChains;
  private readonly about = new Datagram();

  constructor(endpoints: Endpoints, links: Links) {
    this.endpoints = endpoints;
    this.links = links;
    this.input = new DatagramInput(endpoints);
    this.chains = new EndpointChains(endpoints, Kind.Packet, Field.Protocol);
  }

  /** True if nobody listens, so that no frame need be shown. */
  get isIdle(): boolean {
    return this.chains.count === 0;
  }

  /** A new endpoint for an EtherType, ALL_PROTOCOLS, or 0: none yet. -ENOBUFS. */
  open(protocol: number, withHeader: boolean): number {
    const e = this.endpoints.open(Kind.Packet, false, protocol);
    if (e < 0) return e;
    this.endpoints.mark(e, EndpointFlag.WithHeader, withHeader);
    this.chains.add(e);
    return e;
  }

  close(e: number): void {
    this.chains.remove(e);
    this.endpoints.close(e);
  }

  /** Fixes the interface, 0 for all, and the EtherType unless 0. 0 or -EADDRNOTAVAIL. */
  bind(e: number, protocol: number, iface: number): number {
    if (iface !== 0 && !this.links.get(iface)) return -Errno.EADDRNOTAVAIL;
    this.endpoints.set(e, Field.Scope, iface);
    if (protocol === 0) return 0;
    this.chains.remove(e);
    this.endpoints.set(e, Field.Protocol, protocol);
    this.chains.add(e);
    return 0;
  }

  /** A frame that came in by the interface, or with `isOutgoing` leaves by it. */
  hearFrame(iface: number, at: number, length: number, isOutgoing: boolean): void {
    if (this.chains.count === 0 || length < ethernet.HEADER_BYTES) return;
    const { about } = this;
    const { view } = this.endpoints.shared;
    const type = ethernet.etherType(view, at);
    about.iface = iface;
    about.source.fill(0);
    about.target.fill(0);
    readMac(view, ethernet.srcAt(at), about.source);
    readMac(view, ethernet.dstAt(at), about.target);
    about.port = type;
    about.flags = (isOutgoing ? DatagramFlag.Outgoing : 0) | (ethernet.isGroup(view, at) ? DatagramFlag.Group : 0);
    // As in Linux, frames that this host sends are shown to those who want all protocols only.
    if (!isOutgoing) this.deliver(type, iface, at, length);
    if (type !== ALL_PROTOCOLS) this.deliver(ALL_PROTOCOLS, iface, at, length);
  }

  /** Sends a frame by `iface`, or the interface that was bound. `target` and `type` are used without WithHeader. */
  send(
    e: number,
    bytes: Uint8Array,
    from: number,
    count: number,
    target: Address,
    type: number,
    iface: number,
  ): number {
    const { endpoints } = this;
    const link = this.links.get(iface || endpoints.get(e, Field.Scope));
    if (!link) return -Errno.ENETDOWN;
    const isWhole = endpoints.has(e, EndpointFlag.WithHeader);
    const total = isWhole ? count : count + ethernet.HEADER_BYTES;
    if (total < ethernet.HEADER_BYTES) return -Errno.EINVAL;
    if (total > link.mtuBytes + ethernet.HEADER_BYTES) return -Errno.EMSGSIZE;
    const at = link.output.reserve(total);
    if (at === NONE) {
      endpoints.block(e);
      return -Errno.EAGAIN;
    }
    copyBytes(endpoints.shared.bytes, at + total - count, bytes, from, count);
    if (!isWhole) this.writeHeader(at, target, link.mac, type || endpoints.get(e, Field.Protocol));
    link.output.commit(total, PLAIN);
    return count;
  }

  save(state: StateWriter): void {
    state.section('stack/packet-sockets', 1);
    this.chains.save(state);
  }

  /** After the endpoints were loaded. */
  load(state: StateReader): void {
    state.section('stack/packet-sockets', 1);
    this.chains.load(state, () => true);
  }

  private deliver(protocol: number, iface: number, at: number, length: number): void {
    const { endpoints, about } = this;
    for (let e = this.chains.first(protocol); e >= 0; e = this.chains.next(e, protocol)) {
      if (!endpoints.takesIface(e, iface)) continue;
      const skip = endpoints.has(e, EndpointFlag.WithHeader) ? 0 : ethernet.HEADER_BYTES;
      const dropped = this.input.push(e, about, 0, 0, at + skip, length - skip);
      if (dropped !== Drop.None) endpoints.shared.drops.add(dropped);
    }
  }

  private writeHeader(at: number, target: Address, mac: Uint8Array, type: number): void {
    const { view } = this.endpoints.shared;
    view.setUint16(at, target[0]!);
    view.setInt32(at + 2, target[1]!);
    ethernet.setMac(view, ethernet.srcAt(at), mac);
    ethernet.setEtherType(view, at, type);
  }
}

function readMac(view: DataView, at: number, to: Address): void {
  to[0] = ethernet.macHigh(view, at);
  to[1] = ethernet.macLow(view, at);
}
