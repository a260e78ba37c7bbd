// Neighbour discovery messages as they come in: validity, and who is told. RFC 4861 §6.1, §7.1, §7.2, §8.

import { Drop } from '../../core/drop.ts';
import * as icmp6 from '../../wire/icmp6.ts';
import { NeighborFlag, Type } from '../../wire/icmp6.ts';
import { ADDRESS_WORDS, type Address, equal, isAny, isLinkLocal, isLoopback, isMulticast, read6 } from '../address.ts';
import { type Addresses, AddressState } from '../autoconf/addresses.ts';
import type { DuplicateDetection } from '../autoconf/dad.ts';
import type { Packet } from '../packet.ts';
import type { Shared } from '../shared.ts';
import type { Interfaces, NetworkInterface } from './interfaces.ts';
import { NdpOptions } from './ndp-options.ts';
import { ALL_NODES, HOP_LIMIT, type NdpOutput, solicitedNode } from './ndp-output.ts';
import { NO_NEIGHBOR } from './neighbor-table.ts';
import type { Neighbors } from './neighbors.ts';

/** Takes what concerns routers; options are scanned, the message is valid. */
export interface RouterMessages {
  advertised(iface: NetworkInterface, packet: Packet, options: NdpOptions): void;
  solicited(iface: NetworkInterface, packet: Packet, options: NdpOptions): void;
  /**
   * RFC 4861 §8.3: from now on `next` is the first hop to `target`; equal if the target is on the link. False if `router` is
   * not the first hop now, §8.1.
   */
  redirected(iface: NetworkInterface, router: Address, target: Address, next: Address, options: NdpOptions): boolean;
}

const MESSAGE_BYTES: ReadonlyMap<number, number> = new Map([
  [Type.RouterSolicitation, icmp6.HEADER_BYTES],
  [Type.RouterAdvertisement, icmp6.ROUTER_ADVERTISEMENT_BYTES],
  [Type.NeighborSolicitation, icmp6.NEIGHBOR_BYTES],
  [Type.NeighborAdvertisement, icmp6.NEIGHBOR_BYTES],
  [Type.Redirect, icmp6.REDIRECT_BYTES],
]);

/** The demultiplexer. A message that fails a check is silently discarded: counted as Drop.NdpInvalid. */
export class Ndp {
  private readonly shared: Shared;
  private readonly interfaces: Interfaces;
  private readonly addresses: Addresses;
  private readonly neighbors: Neighbors;
  private readonly output: NdpOutput;
  private readonly duplicates: DuplicateDetection;
  private readonly routers: RouterMessages;
  private readonly options: NdpOptions;
  private readonly target: Address = new Int32Array(ADDRESS_WORDS);
  private readonly next: Address = new Int32Array(ADDRESS_WORDS);
  private readonly group: Address = new Int32Array(ADDRESS_WORDS);

  constructor(
    shared: Shared,
    interfaces: Interfaces,
    addresses: Addresses,
    neighbors: Neighbors,
    output: NdpOutput,
    duplicates: DuplicateDetection,
    routers: RouterMessages,
  ) {
    this.shared = shared;
    this.interfaces = interfaces;
    this.addresses = addresses;
    this.neighbors = neighbors;
    this.output = output;
    this.duplicates = duplicates;
    this.routers = routers;
    this.options = new NdpOptions(shared.view);
  }

  /** Takes a message of type 133 … 137 whose checksum was verified. */
  receive(packet: Packet): Drop {
    const iface = this.interfaces.get(packet.iface);
    const { view } = this.shared;
    // The checks that all five share: hop limit 255, code 0, length, options of length above 0; RFC 6980 §5: no fragments.
    if (!iface || packet.hopLimit !== HOP_LIMIT || packet.wasReassembled || packet.bytes < icmp6.HEADER_BYTES) {
      return Drop.NdpInvalid;
    }
    const type = icmp6.type(view, packet.at);
    const bytes = MESSAGE_BYTES.get(type);
    if (bytes === undefined || packet.bytes < bytes || icmp6.code(view, packet.at) !== 0) return Drop.NdpInvalid;
    if (!this.options.scan(packet.at + bytes, packet.at + packet.bytes)) return Drop.NdpInvalid;
    switch (type) {
      case Type.NeighborSolicitation:
        return this.solicitation(iface, packet);
      case Type.NeighborAdvertisement:
        return this.advertisement(iface, packet);
      case Type.RouterAdvertisement:
        return this.routerAdvertisement(iface, packet);
      case Type.RouterSolicitation:
        return this.routerSolicitation(iface, packet);
      default:
        return this.redirect(iface, packet);
    }
  }

  /** §7.1.1 and §7.2.3; RFC 4862 §5.4.3 for tentative targets. */
  private solicitation(iface: NetworkInterface, packet: Packet): Drop {
    const { options, target } = this;
    read6(this.shared.view, icmp6.targetAt(packet.at), target);
    if (isMulticast(target)) return Drop.NdpInvalid;
    const isProbe = isAny(packet.source);
    solicitedNode(target, this.group);
    if (isProbe && (!equal(packet.target, this.group) || options.sourceMac !== 0)) return Drop.NdpInvalid;
    const a = this.addresses.find(target, iface.number);
    if (a < 0) return Drop.None;
    const state = this.addresses.stateOf(a);
    if (state === AddressState.Tentative) {
      // §5.4.3: a solicitation with a source is somebody's who resolves: silently ignored.
      if (isProbe) this.probed(a);
      return Drop.None;
    }
    if (state === AddressState.Duplicate) return Drop.None;
    if (isProbe) {
      this.output.advertise(iface, target, ALL_NODES, false);
      return Drop.None;
    }
    if (isMulticast(packet.source) || isLoopback(packet.source)) return Drop.NdpInvalid;
    if (options.sourceMac !== 0 && !this.isGroupMac(options.sourceMac)) {
      this.neighbors.learn(iface.number, packet.source, options.sourceMac);
    }
    this.output.advertise(iface, target, packet.source, true);
    return Drop.None;
  }

  private probed(a: number): void {
    const { nonce } = this.options;
    if (nonce === 0) this.duplicates.heardProbe(a, 0, 0);
    else this.duplicates.heardProbe(a, nonce + 2, icmp6.ndpOptionBytes(this.shared.view, nonce) - 2);
  }

  /** §7.1.2 and §7.2.5; RFC 4862 §5.4.4 for tentative targets. */
  private advertisement(iface: NetworkInterface, packet: Packet): Drop {
    const { options, target } = this;
    const { view } = this.shared;
    read6(view, icmp6.targetAt(packet.at), target);
    const flags = icmp6.neighborFlags(view, packet.at);
    const isSolicited = has(flags, NeighborFlag.Solicited);
    if (isMulticast(target) || (isMulticast(packet.target) && isSolicited)) return Drop.NdpInvalid;
    const a = this.addresses.find(target, iface.number);
    if (a >= 0) {
      if (this.addresses.stateOf(a) === AddressState.Tentative) this.duplicates.heardAdvertisement(a);
      return Drop.None;
    }
    const n = this.neighbors.lookup(iface.number, target);
    if (n === NO_NEIGHBOR) return Drop.None; // §7.2.5: nobody asked
    const macAt = options.targetMac !== 0 && !this.isGroupMac(options.targetMac) ? options.targetMac : 0;
    const { Override, Router } = NeighborFlag;
    this.neighbors.advertised(n, macAt, isSolicited, has(flags, Override), has(flags, Router));
    return Drop.None;
  }

  /** §6.1.2. */
  private routerAdvertisement(iface: NetworkInterface, packet: Packet): Drop {
    if (!isLinkLocal(packet.source)) return Drop.NdpInvalid;
    // §6.2.7: a router only compares another's; this one's own interfaces need none.
    if (!iface.forwards6) this.routers.advertised(iface, packet, this.options);
    return Drop.None;
  }

  /** §6.1.1; §6.2.6: a host discards it silently. */
  private routerSolicitation(iface: NetworkInterface, packet: Packet): Drop {
    if (isAny(packet.source) && this.options.sourceMac !== 0) return Drop.NdpInvalid;
    if (iface.forwards6) this.routers.solicited(iface, packet, this.options);
    return Drop.None;
  }

  /** §8.1. */
  private redirect(iface: NetworkInterface, packet: Packet): Drop {
    const { view } = this.shared;
    read6(view, icmp6.targetAt(packet.at), this.next);
    read6(view, packet.at + 24, this.target);
    if (!isLinkLocal(packet.source) || isMulticast(this.target)) return Drop.NdpInvalid;
    if (!isLinkLocal(this.next) && !equal(this.next, this.target)) return Drop.NdpInvalid;
    // §8.3: a router must not be led by redirects.
    if (iface.forwards6) return Drop.None;
    const isValid = this.routers.redirected(iface, packet.source, this.target, this.next, this.options);
    return isValid ? Drop.None : Drop.NdpInvalid;
  }

  private isGroupMac(macAt: number): boolean {
    return (this.shared.bytes[macAt]! & 1) !== 0;
  }
}

/** True if the word has a flag of the upper half. */
const has = (word: number, flag: number): boolean => ((word & flag) | 0) !== 0;
