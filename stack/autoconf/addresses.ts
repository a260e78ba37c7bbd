// The stack's own addresses, of all interfaces and both families.

import type { StateReader, StateWriter } from '../../core/state.ts';
import { NEVER } from '../../core/time.ts';
import {
  ADDRESS_WORDS,
  type Address,
  ANY,
  hash,
  isAny,
  isBroadcast,
  isIp4,
  isLinkLocal,
  isLoopback,
  isMulticast,
  of4,
  samePrefix,
} from '../address.ts';
import { Errno } from '../errno.ts';
import { ANY_IFACE, LOOPBACK_IFACE } from '../ip.ts';
import type { Limits } from '../limits.ts';
import { RouteOrigin, type Routes } from '../net/routes.ts';

/** RFC 4862 §2 and §5.4.5. Packets come in and go out for the middle two only. */
export const AddressState = { Tentative: 1, Preferred: 2, Deprecated: 3, Duplicate: 4 } as const;
export type AddressState = (typeof AddressState)[keyof typeof AddressState];

/** Where an address came from. */
export const AddressOrigin = { Static: 1, LinkLocal: 2, Slaac: 3, Temporary: 4, Dhcp4: 5, Dhcp6: 6 } as const;
export type AddressOrigin = (typeof AddressOrigin)[keyof typeof AddressOrigin];

const HASH_SIZE = 128; // a power of two
const NO_ONE = -1;
const IP4_BITS = 96;

/** Addresses by small numbers, which are good until the address is removed and may then be given again. */
export class Addresses {
  /** Counts up with every change. */
  generation = 0;
  private readonly addressesMax: number;
  private readonly routes: Routes | undefined;
  private readonly words: Int32Array;
  private readonly iface: Uint16Array;
  private readonly bits: Uint8Array; // of the own family
  private readonly state: Uint8Array; // 0 is a free slot
  private readonly origin: Uint8Array;
  private readonly preferredUntil: Float64Array;
  private readonly validUntil: Float64Array;
  private readonly heads = new Int16Array(HASH_SIZE).fill(NO_ONE);
  private readonly next: Int16Array;
  private top = 0; // slots from here on are free

  /**
   * 127.0.0.1/8 and ::1/128 are there from the start. `routes` gets and loses the prefix of an address that is static, from
   * DHCPv4 or link-local, unless it has all bits; what a router advertisement says of its prefixes is the host's to add.
   */
  constructor(limits: Limits, routes?: Routes) {
    const n = limits.addressesMax + 2;
    this.addressesMax = n;
    this.routes = routes;
    this.words = new Int32Array(n * ADDRESS_WORDS);
    this.iface = new Uint16Array(n);
    this.bits = new Uint8Array(n);
    this.state = new Uint8Array(n);
    this.origin = new Uint8Array(n);
    this.preferredUntil = new Float64Array(n);
    this.validUntil = new Float64Array(n);
    this.next = new Int16Array(n).fill(NO_ONE);
    const { Preferred } = AddressState;
    this.add(LOOPBACK_IFACE, of4(0x7f000001), 8, Preferred, AddressOrigin.Static, NEVER, NEVER);
    this.add(LOOPBACK_IFACE, Int32Array.of(0, 0, 0, 1), 128, Preferred, AddressOrigin.Static, NEVER, NEVER);
  }

  /**
   * Adds an address. Its number; -EADDRINUSE if the interface has it, -EINVAL if it is none that a host may have, -ENOMEM if
   * there are too many. Times are the stack's own in µs, NEVER for endless.
   */
  add(
    iface: number,
    address: Address,
    bits: number,
    state: AddressState,
    origin: AddressOrigin,
    preferredUntilUs: number,
    validUntilUs: number,
  ): number {
    if (isAny(address) || isMulticast(address) || isBroadcast(address) || iface <= ANY_IFACE) return -Errno.EINVAL;
    if (!(bits >= 0 && bits <= (isIp4(address) ? 32 : 128))) return -Errno.EINVAL;
    if (this.find(address, iface) >= 0) return -Errno.EADDRINUSE;
    const a = this.state.indexOf(0);
    if (a < 0) return -Errno.ENOMEM;
    this.words.set(address, a * ADDRESS_WORDS);
    this.top = Math.max(this.top, a + 1);
    this.iface[a] = iface;
    this.bits[a] = bits;
    this.state[a] = state;
    this.origin[a] = origin;
    this.preferredUntil[a] = preferredUntilUs;
    this.validUntil[a] = validUntilUs;
    this.link(a);
    this.generation++;
    if (this.isConnected(a)) {
      this.routes?.add({ prefix: address, bits, iface, origin: RouteOrigin.Connected });
    }
    return a;
  }

  /** Removes an address, and its prefix's route unless another address of the interface has the same prefix. */
  remove(a: number): void {
    if (!this.isAddress(a)) return;
    const isConnected = this.isConnected(a);
    this.unlink(a);
    this.state[a] = 0;
    this.generation++;
    if (!isConnected || !this.routes) return;
    const address = this.addressOf(a);
    const bits = this.bits[a]!;
    for (let b = 0; b < this.addressesMax; b++) {
      if (this.state[b] === 0 || this.iface[b] !== this.iface[a] || this.bits[b] !== bits || !this.isConnected(b))
        continue;
      if (samePrefix(this.addressOf(b), address, isIp4(address) ? bits + IP4_BITS : bits)) return;
    }
    this.routes.remove(this.routes.find(address, bits, ANY, this.iface[a]!, RouteOrigin.Connected));
  }

  /** The number of an address in any state, or -1. */
  find(address: Address, iface: number): number {
    let a = this.heads[hash(address) & (HASH_SIZE - 1)]!;
    while (a !== NO_ONE && !(this.holds(a, address) && (iface === ANY_IFACE || this.iface[a] === iface)))
      a = this.next[a]!;
    return a;
  }

  /** True if packets to it are for this host: preferred or deprecated, or any of 127.0.0.0/8. */
  isOurs(address: Address, iface: number): boolean {
    for (let a = this.heads[hash(address) & (HASH_SIZE - 1)]!; a !== NO_ONE; a = this.next[a]!) {
      if (this.holds(a, address) && (iface === ANY_IFACE || this.iface[a] === iface) && this.isUsable(a)) return true;
    }
    return isLoopback(address) && (iface === ANY_IFACE || iface === LOOPBACK_IFACE);
  }

  /**
   * True if a packet from `iface` to it is for this host. RFC 1122 §3.3.4.2: the weak model, any interface takes packets for
   * any of the host's addresses; but a link-local address is one of its own link's only (RFC 4007 §5).
   */
  isTarget(address: Address, iface: number): boolean {
    return this.isOurs(address, isLinkLocal(address) ? iface : ANY_IFACE);
  }

  /** 255.255.255.255, or the directed broadcast of a subnet that `iface` has an address in. RFC 1122 §3.3.6, RFC 3021. */
  isBroadcast(address: Address, iface: number): boolean {
    if (!isIp4(address)) return false;
    if (address[3] === -1) return true;
    for (let a = 0; a < this.top; a++) {
      if (this.state[a] === 0 || this.bits[a]! > 30 || (iface !== ANY_IFACE && this.iface[a] !== iface)) continue;
      const w = a * ADDRESS_WORDS;
      const hosts = this.bits[a] === 0 ? -1 : (1 << (32 - this.bits[a]!)) - 1;
      const isSubnet = this.words[w + 2] === 0xffff && ((this.words[w + 3]! | hosts) ^ address[3]!) === 0;
      if (isSubnet && this.words[w] === 0 && this.words[w + 1] === 0 && this.iface[a] !== LOOPBACK_IFACE) return true;
    }
    return false;
  }

  isAddress(a: number): boolean {
    return a >= 0 && a < this.addressesMax && this.state[a] !== 0;
  }

  /** True for preferred and deprecated. */
  isUsable(a: number): boolean {
    const state = this.state[a];
    return state === AddressState.Preferred || state === AddressState.Deprecated;
  }

  /** A view of the table: not to be kept or written. */
  addressOf(a: number): Address {
    return this.words.subarray(a * ADDRESS_WORDS, a * ADDRESS_WORDS + ADDRESS_WORDS);
  }

  ifaceOf(a: number): number {
    return this.iface[a]!;
  }

  /** Of the address's own family: 0 … 32, 0 … 128. */
  bitsOf(a: number): number {
    return this.bits[a]!;
  }

  /** A value of `AddressState`; 0 if there is no such address. */
  stateOf(a: number): number {
    return this.state[a]!;
  }

  originOf(a: number): number {
    return this.origin[a]!;
  }

  preferredUntilUs(a: number): number {
    return this.preferredUntil[a]!;
  }

  validUntilUs(a: number): number {
    return this.validUntil[a]!;
  }

  setState(a: number, state: AddressState): void {
    this.state[a] = state;
    this.generation++;
  }

  setOrigin(a: number, origin: AddressOrigin): void {
    this.origin[a] = origin;
    this.generation++;
  }

  /** In the stack's own time in µs. When they are over is for who set them to notice. */
  setLifetimes(a: number, preferredUntilUs: number, validUntilUs: number): void {
    this.preferredUntil[a] = preferredUntilUs;
    this.validUntil[a] = validUntilUs;
    this.generation++;
  }

  setPreferredUntilUs(a: number, value: number): void {
    this.setLifetimes(a, value, this.validUntil[a]!);
  }

  setValidUntilUs(a: number, value: number): void {
    this.setLifetimes(a, this.preferredUntil[a]!, value);
  }

  /** The numbers of all addresses, a copy: adding and removing is safe meanwhile. */
  ids(): number[] {
    const out: number[] = [];
    for (let a = 0; a < this.addressesMax; a++) if (this.state[a] !== 0) out.push(a);
    return out;
  }

  save(state: StateWriter): void {
    state.section('stack/addresses', 1).number(this.addressesMax);
    for (const column of this.columns()) state.column(column);
  }

  /** Routes are not touched: they are a part of their own. */
  load(state: StateReader): void {
    state.section('stack/addresses', 1);
    state.integer(this.addressesMax, this.addressesMax);
    for (const column of this.columns()) state.into(column);
    this.heads.fill(NO_ONE);
    this.top = this.addressesMax;
    // The chains are made again, so that a damaged snapshot cannot tie a knot in them.
    for (let a = 0; a < this.addressesMax; a++) if (this.state[a] !== 0) this.link(a);
    this.generation++;
  }

  private columns() {
    return [this.words, this.iface, this.bits, this.state, this.origin, this.preferredUntil, this.validUntil];
  }

  private isConnected(a: number): boolean {
    const origin = this.origin[a];
    const { Static, Dhcp4, LinkLocal } = AddressOrigin;
    if (origin !== Static && origin !== Dhcp4 && origin !== LinkLocal) return false;
    return this.iface[a] !== LOOPBACK_IFACE && this.bits[a]! < (isIp4(this.addressOf(a)) ? 32 : 128);
  }

  private holds(a: number, address: Address): boolean {
    const { words } = this;
    const w = a * ADDRESS_WORDS;
    return (
      words[w + 3] === address[3] &&
      words[w + 2] === address[2] &&
      words[w + 1] === address[1] &&
      words[w] === address[0]
    );
  }

  private link(a: number): void {
    const h = hash(this.addressOf(a)) & (HASH_SIZE - 1);
    this.next[a] = this.heads[h]!;
    this.heads[h] = a;
  }

  private unlink(a: number): void {
    const h = hash(this.addressOf(a)) & (HASH_SIZE - 1);
    if (this.heads[h] === a) {
      this.heads[h] = this.next[a]!;
      return;
    }
    let before = this.heads[h]!;
    while (this.next[before] !== a) before = this.next[before]!;
    this.next[before] = this.next[a]!;
  }
}
