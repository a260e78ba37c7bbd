// The stack's network interfaces: what a link is, how fast neighbours are asked on it, and the frames that leave by it.

import { assert, UsageError } from '../../core/assert.ts';
import type { Slab } from '../../core/slab.ts';
import { StateError, type StateReader, type StateWriter } from '../../core/state.ts';
import { US_PER_S } from '../../core/time.ts';
import { viewOf } from '../../wire/bytes.ts';
import { MAC_BYTES } from '../../wire/ethernet.ts';
import { HOP_LIMIT_DEFAULT, LOOPBACK_IFACE } from '../ip.ts';
import type { Limits } from '../limits.ts';
import { Output } from '../output.ts';

/** RFC 8200 §5: no IPv6 on a link whose MTU is below. */
export const IP6_MTU_MIN = 1280;
/** RFC 791: what every link carries uncut. */
export const IP4_MTU_MIN = 68;
/** The longest packet without a jumbo payload. */
export const PACKET_BYTES_MAX = 65535;

// RFC 4861 §10.
const REACHABLE_US = 30 * US_PER_S;
const RETRANS_US = US_PER_S;

// Ours.
const NAME_BYTES_MAX = 64;

/** What an interface is told at its creation. */
export interface InterfaceOptions {
  readonly name: string;
  /** 6 bytes, copied. */
  readonly mac: Uint8Array;
  /** The longest IP packet that the link carries, 68 … 65,535. */
  readonly mtuBytes: number;
  /** Its frames may carry a virtio_net_hdr: super-frames, and checksums to be completed. */
  readonly takesOffload?: boolean;
  readonly forwards4?: boolean;
  readonly forwards6?: boolean;
  /** Delivers packets for any unicast target here: a gateway. */
  readonly acceptsAny?: boolean;
  /**
   * RFC 4862 §5.1, DupAddrDetectTransmits, 0 … 3: how often it is asked whether an IPv6 address is taken; default 1. With 0
   * addresses of both families are used at once; IPv4's are announced and watched all the same (RFC 5227 §2.3, §2.4).
   */
  readonly dadTransmits?: number;
}

/** Tells all who keep something derived from interfaces that one has changed. */
interface Generation {
  generation: number;
}

/** One interface. It lives as long as the stack. */
export class NetworkInterface {
  readonly number: number;
  readonly name: string;
  readonly mac: Uint8Array<ArrayBuffer>;
  /** The MAC's first 2 bytes and its last 4 as numbers: what frames are written with. */
  readonly macHigh: number;
  readonly macLow: number;
  /** What the hardware takes. */
  readonly mtuBytes: number;
  readonly output: Output;
  readonly takesOffload: boolean;
  readonly isLoopback: boolean;
  /** A gateway's: every unicast target is delivered here. */
  acceptsAny: boolean;
  /** RFC 4862 §5.1; see `InterfaceOptions`. */
  readonly dadTransmits: number;
  /** RFC 4861 §6.3.2, the variables that router advertisements set. Times in µs. */
  curHopLimit = HOP_LIMIT_DEFAULT;
  baseReachableUs = REACHABLE_US;
  reachableUs = REACHABLE_US;
  retransUs = RETRANS_US;
  /** IP packets and their bytes, headers included. */
  rxPackets = 0;
  rxBytes = 0;
  txPackets = 0;
  txBytes = 0;
  private readonly table: Generation;
  private isUpNow = true;
  private linkMtuNow: number;
  private forwards4Now: boolean;
  private forwards6Now: boolean;

  /** Made by `Interfaces.add`. */
  constructor(number: number, options: InterfaceOptions, output: Output, table: Generation) {
    this.number = number;
    this.name = options.name;
    this.mac = Uint8Array.from(options.mac);
    this.macHigh = viewOf(this.mac).getUint16(0);
    this.macLow = viewOf(this.mac).getUint32(2);
    this.mtuBytes = options.mtuBytes;
    this.linkMtuNow = options.mtuBytes;
    this.output = output;
    this.takesOffload = options.takesOffload ?? false;
    this.isLoopback = number === LOOPBACK_IFACE;
    this.forwards4Now = options.forwards4 ?? false;
    this.forwards6Now = options.forwards6 ?? false;
    this.acceptsAny = options.acceptsAny ?? false;
    this.dadTransmits = options.dadTransmits ?? 1;
    this.table = table;
  }

  /** False stops all input and output of packets. */
  get isUp(): boolean {
    return this.isUpNow;
  }

  set isUp(value: boolean) {
    this.isUpNow = value;
    this.table.generation++;
  }

  /** The longest IP packet on this link, in bytes; at most `mtuBytes`. A router advertisement may lower it, RFC 4861 §6.3.4. */
  get linkMtuBytes(): number {
    return this.linkMtuNow;
  }

  set linkMtuBytes(value: number) {
    this.linkMtuNow = Math.max(IP4_MTU_MIN, Math.min(this.mtuBytes, value));
    this.table.generation++;
  }

  /** True if it passes on IPv4 packets that are for others. */
  get forwards4(): boolean {
    return this.forwards4Now;
  }

  set forwards4(value: boolean) {
    this.forwards4Now = value;
    this.table.generation++;
  }

  /** True if it passes on IPv6 packets that are for others. */
  get forwards6(): boolean {
    return this.forwards6Now;
  }

  set forwards6(value: boolean) {
    this.forwards6Now = value;
    this.table.generation++;
  }

  /** True if IPv6 may run here. RFC 8200 §5. */
  get carriesIp6(): boolean {
    return this.linkMtuNow >= IP6_MTU_MIN;
  }
}

/** All interfaces; number 1 is loopback and always there. */
export class Interfaces {
  /** Counts up whenever an interface is added, goes up or down, or changes its MTU or its role. */
  generation = 0;
  private readonly slab: Slab;
  private readonly limits: Limits;
  private readonly list: NetworkInterface[] = [];

  constructor(slab: Slab, limits: Limits) {
    this.slab = slab;
    this.limits = limits;
    // Packets on loopback are whole and trusted: no checksum is computed for them, and none is verified.
    const mac = new Uint8Array(MAC_BYTES);
    this.add({ name: 'lo', mac, mtuBytes: PACKET_BYTES_MAX, takesOffload: true });
  }

  /** Adds an interface with the next number. Throws `UsageError` if there are `interfacesMax`, or the MTU is out of range. */
  add(options: InterfaceOptions): NetworkInterface {
    const { interfacesMax, outputBytesMax, outputFramesMax } = this.limits;
    const { mtuBytes } = options;
    if (this.list.length >= interfacesMax) throw new UsageError(`a stack has at most ${interfacesMax} interfaces`);
    if (!(mtuBytes >= IP4_MTU_MIN && mtuBytes <= PACKET_BYTES_MAX)) {
      throw new UsageError(`MTU ${mtuBytes} of ${options.name}: expected ${IP4_MTU_MIN} … ${PACKET_BYTES_MAX}`);
    }
    assert(options.mac.length === MAC_BYTES, 'a MAC of 6 bytes');
    const output = new Output(this.slab, { bytesMax: outputBytesMax, framesMax: outputFramesMax });
    const made = new NetworkInterface(this.list.length + 1, options, output, this);
    this.list.push(made);
    this.generation++;
    return made;
  }

  get(number: number): NetworkInterface | undefined {
    return this.list[number - 1];
  }

  /** By number; the first is loopback. Not to be changed. */
  all(): readonly NetworkInterface[] {
    return this.list;
  }

  /** Gives the memory of all outputs back. */
  close(): void {
    for (const one of this.list) one.output.close();
  }

  /** What changes at run time; the interfaces themselves are made again by who made them. Frames in outputs are the port's. */
  save(state: StateWriter): void {
    state.section('stack/interfaces', 1).number(this.list.length);
    for (const one of this.list) {
      state.text(one.name).boolean(one.isUp).number(one.linkMtuBytes);
      state.boolean(one.forwards4).boolean(one.forwards6).boolean(one.acceptsAny);
      state.number(one.curHopLimit).number(one.baseReachableUs).number(one.reachableUs).number(one.retransUs);
      state.number(one.rxPackets).number(one.rxBytes).number(one.txPackets).number(one.txBytes);
    }
  }

  /** Throws `StateError` unless the same interfaces are here, in the same order. */
  load(state: StateReader): void {
    state.section('stack/interfaces', 1);
    state.integer(this.list.length, this.list.length);
    for (const one of this.list) {
      const name = state.text(NAME_BYTES_MAX);
      if (name !== one.name) throw new StateError(`the snapshot's interface ${one.number} is ${name}, not ${one.name}`);
      one.isUp = state.boolean();
      one.linkMtuBytes = state.integer(IP4_MTU_MIN, one.mtuBytes);
      one.forwards4 = state.boolean();
      one.forwards6 = state.boolean();
      one.acceptsAny = state.boolean();
      one.curHopLimit = state.integer(0, 255);
      one.baseReachableUs = state.number();
      one.reachableUs = state.number();
      one.retransUs = state.number();
      one.rxPackets = state.number();
      one.rxBytes = state.number();
      one.txPackets = state.number();
      one.txBytes = state.number();
    }
  }
}
