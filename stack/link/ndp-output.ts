// Solicitations and advertisements as this host sends them: RFC 4861 §4.1, §4.3, §4.4, §7.2.

import { NONE } from '../../core/slab.ts';
import { MAC_BYTES } from '../../wire/ethernet.ts';
import * as icmp6 from '../../wire/icmp6.ts';
import { NdpOption, NeighborFlag } from '../../wire/icmp6.ts';
import { type Address, ANY, isAny, isIp4, isMulticast, parse, write6 } from '../address.ts';
import type { Addresses } from '../autoconf/addresses.ts';
import type { Shared } from '../shared.ts';
import type { ControlFrames } from './control-frames.ts';
import type { NetworkInterface } from './interfaces.ts';
import { MAC_OPTION_BYTES, NONCE, NONCE_OPTION_BYTES } from './ndp-options.ts';
import { NO_NEIGHBOR } from './neighbor-table.ts';
import type { Neighbors, Solicitor } from './neighbors.ts';
import { linkLocalOf, NO_ADDRESS, sourceFor } from './own-addresses.ts';

/** ff02::1 and ff02::2. Never written to. */
export const ALL_NODES: Address = parse('ff02::1')!;
export const ALL_ROUTERS: Address = parse('ff02::2')!;

/** RFC 4861: what proves that a message was not forwarded. */
export const HOP_LIMIT = 255;

/** Writes ff02::1:ffXX:XXXX of `target` to `to`: RFC 4291 §2.7.1. */
export function solicitedNode(target: Address, to: Address): void {
  to[0] = 0xff020000 | 0;
  to[1] = 0;
  to[2] = 1;
  to[3] = 0xff000000 | (target[3]! & 0xffffff);
}

/** Asks for IPv6 neighbours, and answers. */
export class NdpOutput implements Solicitor {
  private readonly shared: Shared;
  private readonly addresses: Addresses;
  private readonly neighbors: Neighbors;
  private readonly frames: ControlFrames;
  private readonly group: Address = new Int32Array(4);

  constructor(shared: Shared, addresses: Addresses, neighbors: Neighbors, frames: ControlFrames) {
    this.shared = shared;
    this.addresses = addresses;
    this.neighbors = neighbors;
    this.frames = frames;
  }

  /**
   * RFC 4861 §7.2.2: from the source of the packet that prompted it if that is ours, else from an address of ours that
   * fits; to everybody in the solicited-node group with our hardware address, or to `mac` alone.
   */
  solicit(iface: NetworkInterface, target: Address, source: Address, mac: Uint8Array | undefined): void {
    let own = source;
    if (isIp4(source) || isAny(source) || !this.addresses.isOurs(source, iface.number)) {
      const a = sourceFor(this.addresses, iface.number, target);
      if (a === NO_ADDRESS) return; // from :: it would be duplicate address detection
      own = this.addresses.addressOf(a);
    }
    solicitedNode(target, this.group);
    const to = mac ? target : this.group;
    const at = this.frames.begin6(iface, own, to, icmp6.NEIGHBOR_BYTES + MAC_OPTION_BYTES, HOP_LIMIT, false);
    if (at === NONE) return;
    if (mac) this.frames.setTargetMacBytes(mac);
    this.writeNeighbor(at, icmp6.Type.NeighborSolicitation, 0, target);
    this.writeMac(at + icmp6.NEIGHBOR_BYTES, NdpOption.SourceMac, iface);
    this.finish();
  }

  /** Asks from :: whether anybody has `target`, with a nonce of 6 bytes: RFC 4862 §5.4.2, RFC 7527 §4.1. */
  probe(iface: NetworkInterface, target: Address, nonce: Uint8Array): void {
    const { view } = this.shared;
    solicitedNode(target, this.group);
    const bytes = icmp6.NEIGHBOR_BYTES + NONCE_OPTION_BYTES;
    const at = this.frames.begin6(iface, ANY, this.group, bytes, HOP_LIMIT, false);
    if (at === NONE) return;
    this.writeNeighbor(at, icmp6.Type.NeighborSolicitation, 0, target);
    view.setUint16(at + icmp6.NEIGHBOR_BYTES, (NONCE << 8) | 1);
    for (let i = 0; i < MAC_BYTES; i++) view.setUint8(at + icmp6.NEIGHBOR_BYTES + 2 + i, nonce[i]!);
    this.finish();
  }

  /** Tells `to` that `target` is here: RFC 4861 §7.2.4; §7.2.6 if `to` is all-nodes. */
  advertise(iface: NetworkInterface, target: Address, to: Address, isSolicited: boolean): void {
    const at = this.frames.begin6(iface, target, to, icmp6.NEIGHBOR_BYTES + MAC_OPTION_BYTES, HOP_LIMIT, false);
    if (at === NONE) return;
    const flags =
      (iface.forwards6 ? NeighborFlag.Router : 0) + (isSolicited ? NeighborFlag.Solicited : 0) + NeighborFlag.Override;
    this.writeNeighbor(at, icmp6.Type.NeighborAdvertisement, flags, target);
    this.writeMac(at + icmp6.NEIGHBOR_BYTES, NdpOption.TargetMac, iface);
    this.sendTo(iface, to);
  }

  /** Asks for routers: RFC 4861 §6.3.7. From :: without our hardware address if there is no address yet. */
  solicitRouters(iface: NetworkInterface): void {
    const a = linkLocalOf(this.addresses, iface.number);
    const source = a === NO_ADDRESS ? ANY : this.addresses.addressOf(a);
    const bytes = icmp6.HEADER_BYTES + (a === NO_ADDRESS ? 0 : MAC_OPTION_BYTES);
    const at = this.frames.begin6(iface, source, ALL_ROUTERS, bytes, HOP_LIMIT, false);
    if (at === NONE) return;
    this.shared.view.setUint32(at, (icmp6.Type.RouterSolicitation << 24) >>> 0);
    this.shared.view.setUint32(at + 4, 0);
    if (a !== NO_ADDRESS) this.writeMac(at + icmp6.HEADER_BYTES, NdpOption.SourceMac, iface);
    this.finish();
  }

  /** Completes the message in hand and sends it to `to`, which may have to be asked for first. */
  sendTo(iface: NetworkInterface, to: Address): void {
    const { frames, neighbors } = this;
    frames.seal6();
    if (isMulticast(to)) {
      frames.commit();
      return;
    }
    // Looked up first: an answer to a peer's question must not make the peer one of those that are used.
    let n = neighbors.lookup(iface.number, to);
    if (n === NO_NEIGHBOR) n = neighbors.find(iface.number, to);
    if (n === NO_NEIGHBOR) return;
    if (!neighbors.isUsable(n)) {
      this.neighbors.hold(n, frames.frameAt, frames.frameBytes);
      return;
    }
    neighbors.use(n);
    neighbors.writeMac(n, frames.frameAt);
    frames.commit();
  }

  /** Writes an option with the interface's hardware address, MAC_OPTION_BYTES. */
  writeMac(at: number, kind: number, iface: NetworkInterface): void {
    const { view } = this.shared;
    view.setUint16(at, (kind << 8) | 1);
    for (let i = 0; i < MAC_BYTES; i++) view.setUint8(at + 2 + i, iface.mac[i]!);
  }

  private finish(): void {
    this.frames.seal6();
    this.frames.commit();
  }

  private writeNeighbor(at: number, type: number, flags: number, target: Address): void {
    const { view } = this.shared;
    view.setUint32(at, (type << 24) >>> 0);
    view.setUint32(at + 4, flags);
    write6(view, icmp6.targetAt(at), target);
  }
}
