// The routing table: prefixes of both families, and the next hop that each names.

import type { StateReader, StateWriter } from '../../core/state.ts';
import { NEVER, US_PER_S } from '../../core/time.ts';
import { ADDRESS_WORDS, type Address, ANY, equal, format, isAny, isIp4, samePrefix } from '../address.ts';
import { Errno } from '../errno.ts';
import { ANY_IFACE } from '../ip.ts';
import type { Limits } from '../limits.ts';
import type { Part, Shared } from '../shared.ts';

/** Who made a route. */
export const RouteOrigin = { Static: 1, Connected: 2, Router: 3, Dhcp4: 4, Dhcp6: 5 } as const;
export type RouteOrigin = (typeof RouteOrigin)[keyof typeof RouteOrigin];

/** RFC 4191 §2.1, of routes with equal prefixes. */
export const RoutePreference = { Low: -1, Medium: 0, High: 1 } as const;

/** One route as it is added. */
export interface RouteOptions {
  readonly prefix: Address;
  /** Of the prefix's own family: 0 … 32 or 0 … 128. Bits of `prefix` behind them are ignored. */
  readonly bits: number;
  /** Next hop; without one the prefix is on the link. */
  readonly gateway?: Address;
  readonly iface: number;
  /** The lower wins among equal prefixes. 0 … 2^31 - 1; 0 if not given. */
  readonly metric?: number;
  readonly origin?: RouteOrigin;
  /** Of `RoutePreference`. */
  readonly preference?: number;
  /** The stack's own time in µs; NEVER if not given. */
  readonly expiresUs?: number;
  /** Limits the packets by this route, in bytes; 0 if not. */
  readonly mtuBytes?: number;
}

/** One route for people. */
export interface RouteRecord {
  readonly prefix: string;
  readonly bits: number;
  readonly gateway: string;
  readonly iface: number;
  readonly metric: number;
  readonly origin: number;
  readonly preference: number;
  readonly expiresUs: number;
  readonly mtuBytes: number;
}

/** Says whether a next hop is known not to answer; given by who keeps the neighbours. */
export type UnreachableTest = (iface: number, gateway: Address) => boolean;

const ROUTES_START = 16;
const ROTATION_US = US_PER_S;
const IP4_BITS = 96;
const METRIC_MAX = 2 ** 31 - 1;

/** Routes by small numbers, which are good until one is removed. */
export class Routes implements Part {
  /** Counts up with every change. */
  generation = 0;
  private readonly shared: Shared;
  private readonly routesMax: number;
  private isUnreachable: UnreachableTest = () => false;
  private used = 0; // slots below this may be taken
  private count = 0;
  private capacity = ROUTES_START;
  private iface = new Uint16Array(ROUTES_START); // 0 is a free slot
  private prefix = new Int32Array(ROUTES_START * ADDRESS_WORDS);
  private gateway = new Int32Array(ROUTES_START * ADDRESS_WORDS);
  private bits = new Uint8Array(ROUTES_START); // from the start of the 16 bytes
  private family = new Uint8Array(ROUTES_START); // 4 or 6
  private metric = new Int32Array(ROUTES_START);
  private origin = new Uint8Array(ROUTES_START);
  private preference = new Int16Array(ROUTES_START);
  private mtu = new Int32Array(ROUTES_START);
  private expires = new Float64Array(ROUTES_START);
  private nextUs = NEVER; // the earliest expiry

  constructor(shared: Shared, limits: Limits) {
    this.shared = shared;
    this.routesMax = limits.routesMax;
  }

  /** Without it every gateway counts as reachable. */
  setUnreachableTest(test: UnreachableTest): void {
    this.isUnreachable = test;
  }

  /**
   * Adds a route, or renews the one with the same prefix, gateway, interface and origin. Its number; -EINVAL for nonsense,
   * -ENOMEM if there are `routesMax`.
   */
  add(route: RouteOptions): number {
    const { prefix, bits, gateway = ANY, iface, metric = 0 } = route;
    const is4 = isIp4(prefix);
    const sameFamily = isAny(gateway) || isIp4(gateway) === is4;
    if (!(bits >= 0 && bits <= (is4 ? 32 : 128)) || iface <= ANY_IFACE || !sameFamily) return -Errno.EINVAL;
    if (!(metric >= 0 && metric <= METRIC_MAX)) return -Errno.EINVAL;
    const origin = route.origin ?? RouteOrigin.Static;
    const allBits = is4 ? bits + IP4_BITS : bits;
    let r = this.same(prefix, allBits, gateway, iface, origin);
    if (r < 0) r = this.take();
    if (r < 0) return -Errno.ENOMEM;
    this.iface[r] = iface;
    this.family[r] = is4 ? 4 : 6;
    for (let w = 0; w < ADDRESS_WORDS; w++) {
      this.prefix[r * ADDRESS_WORDS + w] = masked(prefix[w]!, allBits - 32 * w);
      this.gateway[r * ADDRESS_WORDS + w] = isAny(gateway) ? 0 : gateway[w]!;
    }
    this.bits[r] = allBits;
    this.metric[r] = metric;
    this.origin[r] = origin;
    this.preference[r] = route.preference ?? RoutePreference.Medium;
    this.mtu[r] = route.mtuBytes ?? 0;
    this.expires[r] = route.expiresUs ?? NEVER;
    this.changed();
    return r;
  }

  /** Removes route `r`. */
  remove(r: number): void {
    if (!this.isRoute(r)) return;
    this.iface[r] = 0;
    this.count--;
    while (this.used > 0 && this.iface[this.used - 1] === 0) this.used--;
    this.changed();
  }

  /** The route with exactly these, or -1. `gateway` ANY for a prefix on the link; `bits` of the own family. */
  find(prefix: Address, bits: number, gateway: Address, iface: number, origin: RouteOrigin): number {
    return this.same(prefix, isIp4(prefix) ? bits + IP4_BITS : bits, gateway, iface, origin);
  }

  /** Removes every route by this gateway; how many. */
  removeGateway(iface: number, gateway: Address): number {
    const before = this.count;
    for (let r = this.used - 1; r >= 0; r--) {
      if (this.iface[r] === iface && this.hasGateway(r) && equal(this.gatewayOf(r), gateway)) this.remove(r);
    }
    return before - this.count;
  }

  /**
   * The best route to `target`, out of `iface` only unless ANY_IFACE; -1 if there is none. The longest prefix, then a
   * gateway that answers, RFC 4191's preference, the metric, the older slot. RFC 4191 §3.2: of what routers advertised, one
   * that does not answer comes after all that do. RFC 4861 §6.3.6: where none answers they take turns, by the second.
   */
  lookup(target: Address, iface: number): number {
    const family = isIp4(target) ? 4 : 6;
    let best = -1;
    let ties = 0;
    for (let r = 0; r < this.used; r++) {
      if (this.iface[r] === 0 || this.family[r] !== family) continue;
      if (iface !== ANY_IFACE && this.iface[r] !== iface) continue;
      if (!this.covers(r, target) || this.expires[r]! <= this.shared.nowUs) continue;
      const order = best < 0 ? 1 : this.compare(r, best);
      if (order > 0) {
        best = r;
        ties = 1;
      } else if (order === 0) ties++;
    }
    return ties > 1 && !this.answers(best) ? this.rotated(best, target, iface, ties) : best;
  }

  /** True if `target` is on the link of `iface` by some prefix. RFC 4861 §5.2 */
  isOnLink(target: Address, iface: number): boolean {
    const r = this.lookup(target, iface);
    return r >= 0 && !this.hasGateway(r);
  }

  /** True if `lookup`'s choice is only for want of a better one: its gateway does not answer. */
  isDoubtful(r: number): boolean {
    return !this.answers(r);
  }

  isRoute(r: number): boolean {
    return r >= 0 && r < this.used && this.iface[r] !== 0;
  }

  hasGateway(r: number): boolean {
    const { gateway } = this;
    const w = r * ADDRESS_WORDS;
    return gateway[w] !== 0 || gateway[w + 1] !== 0 || gateway[w + 2] !== 0 || gateway[w + 3] !== 0;
  }

  /** The next hop, ANY if the prefix is on the link. A view of the table: not to be kept or written. */
  gatewayOf(r: number): Address {
    return this.gateway.subarray(r * ADDRESS_WORDS, r * ADDRESS_WORDS + ADDRESS_WORDS);
  }

  /** A view of the table: not to be kept or written. */
  prefixOf(r: number): Address {
    return this.prefix.subarray(r * ADDRESS_WORDS, r * ADDRESS_WORDS + ADDRESS_WORDS);
  }

  /** Of the prefix's own family. */
  bitsOf(r: number): number {
    return this.family[r] === 4 ? this.bits[r]! - IP4_BITS : this.bits[r]!;
  }

  ifaceOf(r: number): number {
    return this.iface[r]!;
  }

  metricOf(r: number): number {
    return this.metric[r]!;
  }

  originOf(r: number): number {
    return this.origin[r]!;
  }

  preferenceOf(r: number): number {
    return this.preference[r]!;
  }

  /** 0 if the route sets none. */
  mtuOf(r: number): number {
    return this.mtu[r]!;
  }

  expiresUs(r: number): number {
    return this.expires[r]!;
  }

  setExpiresUs(r: number, value: number): void {
    this.expires[r] = value;
    this.changed();
  }

  /** The numbers of all routes, for those who are not in a hurry. */
  ids(): number[] {
    const out: number[] = [];
    for (let r = 0; r < this.used; r++) if (this.iface[r] !== 0) out.push(r);
    return out;
  }

  /** For people. */
  list(): RouteRecord[] {
    return this.ids().map((r) => ({
      prefix: format(this.prefixOf(r)),
      bits: this.bitsOf(r),
      gateway: this.hasGateway(r) ? format(this.gatewayOf(r)) : '',
      iface: this.ifaceOf(r),
      metric: this.metricOf(r),
      origin: this.originOf(r),
      preference: this.preferenceOf(r),
      expiresUs: this.expiresUs(r),
      mtuBytes: this.mtuOf(r),
    }));
  }

  deadlineUs(): number {
    return this.nextUs;
  }

  expire(): void {
    if (this.shared.nowUs < this.nextUs) return;
    for (let r = this.used - 1; r >= 0; r--) {
      if (this.iface[r] !== 0 && this.expires[r]! <= this.shared.nowUs) this.remove(r);
    }
    this.findNext();
  }

  save(state: StateWriter): void {
    state.section('stack/routes', 1).number(this.capacity).number(this.used).number(this.count);
    for (const column of this.columns()) state.column(column);
  }

  load(state: StateReader): void {
    state.section('stack/routes', 1);
    this.resize(state.integer(1, Math.max(ROUTES_START, 2 * this.routesMax)));
    this.used = state.integer(0, this.capacity);
    this.count = state.integer(0, this.used);
    for (const column of this.columns()) state.into(column);
    this.changed();
  }

  private columns() {
    const { iface, prefix, gateway, bits, family, metric, origin, preference, mtu, expires } = this;
    return [iface, prefix, gateway, bits, family, metric, origin, preference, mtu, expires];
  }

  private resize(capacity: number): void {
    this.iface = grown(this.iface, new Uint16Array(capacity));
    this.prefix = grown(this.prefix, new Int32Array(capacity * ADDRESS_WORDS));
    this.gateway = grown(this.gateway, new Int32Array(capacity * ADDRESS_WORDS));
    this.bits = grown(this.bits, new Uint8Array(capacity));
    this.family = grown(this.family, new Uint8Array(capacity));
    this.metric = grown(this.metric, new Int32Array(capacity));
    this.origin = grown(this.origin, new Uint8Array(capacity));
    this.preference = grown(this.preference, new Int16Array(capacity));
    this.mtu = grown(this.mtu, new Int32Array(capacity));
    this.expires = grown(this.expires, new Float64Array(capacity));
    this.capacity = capacity;
  }

  private changed(): void {
    this.generation++;
    this.findNext();
  }

  private findNext(): void {
    this.nextUs = NEVER;
    for (let r = 0; r < this.used; r++) {
      if (this.iface[r] !== 0 && this.expires[r]! < this.nextUs) this.nextUs = this.expires[r]!;
    }
  }

  private covers(r: number, target: Address): boolean {
    let left = this.bits[r]!;
    for (let i = 0; left > 0; i++, left -= 32) {
      const differs = target[i]! ^ this.prefix[r * ADDRESS_WORDS + i]!;
      if (differs !== 0 && (left >= 32 || differs >>> (32 - left) !== 0)) return false;
    }
    return true;
  }

  private answers(r: number): boolean {
    return !this.hasGateway(r) || !this.isUnreachable(this.iface[r]!, this.gatewayOf(r));
  }

  /** Above 0 if `a` is the better one, 0 if only their order in the table tells. */
  private compare(a: number, b: number): number {
    const okA = this.answers(a);
    const okB = this.answers(b);
    const lastA = !okA && this.origin[a] === RouteOrigin.Router;
    const lastB = !okB && this.origin[b] === RouteOrigin.Router;
    if (lastA !== lastB) return lastA ? -1 : 1;
    if (this.bits[a] !== this.bits[b]) return this.bits[a]! - this.bits[b]!;
    if (okA !== okB) return okA ? 1 : -1;
    if (this.preference[a] !== this.preference[b]) return this.preference[a]! - this.preference[b]!;
    return this.metric[b]! - this.metric[a]!;
  }

  private rotated(best: number, target: Address, iface: number, ties: number): number {
    let turn = Math.floor(this.shared.nowUs / ROTATION_US) % ties;
    for (let r = best; r < this.used; r++) {
      if (this.iface[r] === 0 || this.family[r] !== this.family[best] || !this.covers(r, target)) continue;
      if (iface !== ANY_IFACE && this.iface[r] !== iface) continue;
      if (this.expires[r]! > this.shared.nowUs && this.compare(r, best) === 0 && turn-- === 0) return r;
    }
    return best;
  }

  private same(prefix: Address, allBits: number, gateway: Address, iface: number, origin: number): number {
    for (let r = 0; r < this.used; r++) {
      if (this.iface[r] !== iface || this.bits[r] !== allBits || this.origin[r] !== origin) continue;
      if (this.family[r] !== (isIp4(prefix) ? 4 : 6) || !samePrefix(this.prefixOf(r), prefix, allBits)) continue;
      const own = this.gatewayOf(r);
      if (isAny(own) ? isAny(gateway) : equal(own, gateway)) return r;
    }
    return -1;
  }

  private take(): number {
    if (this.count >= this.routesMax) return -1;
    let r = 0;
    while (r < this.used && this.iface[r] !== 0) r++;
    if (r === this.capacity) this.resize(2 * this.capacity);
    if (r === this.used) this.used++;
    this.count++;
    return r;
  }
}

/** The upper `bits` bits of a word. */
const masked = (word: number, bits: number): number => (bits >= 32 ? word : bits <= 0 ? 0 : word & (-1 << (32 - bits)));

/** Copies what fits of a column into a new one. */
function grown<T extends Uint8Array | Uint16Array | Int16Array | Int32Array | Float64Array>(old: T, to: T): T {
  for (let i = 0; i < Math.min(old.length, to.length); i++) to[i] = old[i]!;
  return to;
}
