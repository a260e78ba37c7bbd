// A router's advertisements on the interfaces that it was told to advertise on: RFC 4861 §6.2.

import { NONE } from '../../core/slab.ts';
import type { StateReader, StateWriter } from '../../core/state.ts';
import { NEVER, US_PER_MS, US_PER_S } from '../../core/time.ts';
import { NdpOption } from '../../wire/icmp6.ts';
import { isAny } from '../address.ts';
import type { ControlFrames } from '../link/control-frames.ts';
import type { Interfaces, NetworkInterface } from '../link/interfaces.ts';
import type { NdpOptions } from '../link/ndp-options.ts';
import { ALL_NODES, ALL_ROUTERS, HOP_LIMIT, type NdpOutput } from '../link/ndp-output.ts';
import { NO_NEIGHBOR } from '../link/neighbor-table.ts';
import type { Neighbors } from '../link/neighbors.ts';
import { linkLocalOf, NO_ADDRESS } from '../link/own-addresses.ts';
import type { Multicast } from '../multicast/multicast.ts';
import type { Packet } from '../packet.ts';
import type { Random } from '../random.ts';
import type { Shared } from '../shared.ts';
import type { Addresses } from './addresses.ts';
import {
  type Advertisement,
  advertisementBytes,
  loadAdvertisement,
  saveAdvertisement,
  writeAdvertisement,
} from './advertisement.ts';
import { loadTime } from './load-time.ts';

// RFC 4861 §10.
const INITIAL_COUNT = 3; // MAX_INITIAL_RTR_ADVERTISEMENTS
const INITIAL_INTERVAL_US = 16 * US_PER_S; // MAX_INITIAL_RTR_ADVERT_INTERVAL
const FINAL_COUNT = 3; // MAX_FINAL_RTR_ADVERTISEMENTS
const MIN_DELAY_US = 3 * US_PER_S; // MIN_DELAY_BETWEEN_RAS
const ANSWER_DELAY_US = 500 * US_PER_MS; // MAX_RA_DELAY_TIME
/** While there is no link-local address to speak from, §4.2. */
const RETRY_US = US_PER_S;

interface Advertising {
  readonly iface: number;
  readonly ad: Advertisement;
  initialLeft: number;
  finalLeft: number; // above 0 once it ceases
  isCeasing: boolean;
  dueUs: number;
  lastUs: number; // of the last advertisement to all nodes
}

/** Sends to all nodes only: §6.2.6 allows it, and every host hears the same. */
export class RouterAdvertiser {
  private readonly shared: Shared;
  private readonly interfaces: Interfaces;
  private readonly addresses: Addresses;
  private readonly neighbors: Neighbors;
  private readonly multicast: Multicast;
  private readonly frames: ControlFrames;
  private readonly output: NdpOutput;
  private readonly random: Random;
  private list: Advertising[] = [];

  constructor(
    shared: Shared,
    interfaces: Interfaces,
    addresses: Addresses,
    neighbors: Neighbors,
    multicast: Multicast,
    frames: ControlFrames,
    output: NdpOutput,
    random: Random,
  ) {
    this.shared = shared;
    this.interfaces = interfaces;
    this.addresses = addresses;
    this.neighbors = neighbors;
    this.multicast = multicast;
    this.frames = frames;
    this.output = output;
    this.random = random;
  }

  /** Advertises from now on; the interface forwards IPv6. A change of what is advertised is told as anew. */
  start(iface: NetworkInterface, ad: Advertisement): void {
    const known = this.find(iface.number);
    if (known) this.list.splice(this.list.indexOf(known), 1);
    else this.multicast.join(iface.number, ALL_ROUTERS); // §6.2.2
    iface.forwards6 = true;
    this.list.push({
      iface: iface.number,
      ad,
      initialLeft: INITIAL_COUNT,
      finalLeft: 0,
      isCeasing: false,
      dueUs: this.shared.nowUs + this.random.below(ANSWER_DELAY_US),
      lastUs: known?.lastUs ?? -NEVER,
    });
  }

  /** §6.2.5: ceases with up to three advertisements of lifetime 0; the interface is a host's again. */
  stop(iface: NetworkInterface): void {
    const one = this.find(iface.number);
    if (!one || one.isCeasing) return;
    one.isCeasing = true;
    one.finalLeft = FINAL_COUNT;
    one.dueUs = Math.max(this.shared.nowUs, one.lastUs + MIN_DELAY_US);
    iface.forwards6 = false;
    this.multicast.leave(iface.number, ALL_ROUTERS);
  }

  /** A valid solicitation: §6.2.6. */
  solicited(iface: NetworkInterface, packet: Packet, options: NdpOptions): void {
    if (!isAny(packet.source)) {
      const n =
        options.sourceMac !== 0
          ? this.neighbors.learn(iface.number, packet.source, options.sourceMac)
          : this.neighbors.lookup(iface.number, packet.source);
      if (n !== NO_NEIGHBOR) this.neighbors.setRouter(n, false);
    }
    const one = this.find(iface.number);
    if (!one || one.isCeasing) return;
    const { nowUs } = this.shared;
    const delayUs = this.random.below(ANSWER_DELAY_US);
    const earliestUs = Math.max(nowUs, one.lastUs + MIN_DELAY_US);
    one.dueUs = Math.min(one.dueUs, earliestUs + delayUs);
  }

  deadlineUs(): number {
    let earliestUs = NEVER;
    for (const one of this.list) earliestUs = Math.min(earliestUs, one.dueUs);
    return earliestUs;
  }

  expire(): void {
    for (const one of [...this.list]) if (one.dueUs <= this.shared.nowUs) this.due(one);
  }

  save(state: StateWriter): void {
    state.number(this.list.length);
    for (const one of this.list) {
      state.number(one.iface);
      saveAdvertisement(state, one.ad);
      state.number(one.initialLeft).number(one.finalLeft).boolean(one.isCeasing).number(one.dueUs).number(one.lastUs);
    }
  }

  load(state: StateReader): void {
    this.list = [];
    const interfacesMax = this.interfaces.all().length;
    const count = state.integer(0, interfacesMax);
    for (let i = 0; i < count; i++) {
      this.list.push({
        iface: state.integer(1, interfacesMax),
        ad: loadAdvertisement(state),
        initialLeft: state.integer(0, INITIAL_COUNT),
        finalLeft: state.integer(0, FINAL_COUNT),
        isCeasing: state.boolean(),
        dueUs: loadTime(state),
        lastUs: loadTime(state),
      });
    }
  }

  private find(iface: number): Advertising | undefined {
    return this.list.find((one) => one.iface === iface);
  }

  private due(one: Advertising): void {
    const { nowUs } = this.shared;
    const iface = this.interfaces.get(one.iface);
    if (!iface || !this.send(iface, one)) {
      one.dueUs = nowUs + RETRY_US;
      return;
    }
    one.lastUs = nowUs;
    if (one.isCeasing) {
      one.finalLeft--;
      one.dueUs = nowUs + MIN_DELAY_US;
      if (one.finalLeft === 0) this.list.splice(this.list.indexOf(one), 1);
      return;
    }
    // §6.2.4: uniformly between the least and the greatest interval; the first few come sooner.
    const { intervalSecondsMin: min, intervalSecondsMax: max } = one.ad;
    let waitUs = this.random.between(min * US_PER_S, max * US_PER_S);
    if (one.initialLeft > 0) one.initialLeft--;
    if (one.initialLeft > 0) waitUs = Math.min(waitUs, INITIAL_INTERVAL_US);
    one.dueUs = nowUs + waitUs;
  }

  private send(iface: NetworkInterface, one: Advertising): boolean {
    const a = linkLocalOf(this.addresses, iface.number);
    if (a === NO_ADDRESS) return false;
    const source = this.addresses.addressOf(a);
    const at = this.frames.begin6(iface, source, ALL_NODES, advertisementBytes(one.ad), HOP_LIMIT, false);
    if (at === NONE) return false;
    const options = writeAdvertisement(this.shared.view, at, one.ad, one.isCeasing ? 0 : one.ad.lifetimeSeconds);
    this.output.writeMac(options, NdpOption.SourceMac, iface);
    this.output.sendTo(iface, ALL_NODES);
    return true;
  }
}
