// Who a segment is for: connections by addresses and ports, listeners by port, and who holds which local port.

import { sipHash } from '../../core/siphash.ts';
import type { StateReader, StateWriter } from '../../core/state.ts';
import { StateError } from '../../core/state.ts';
import { type Address, hash, isAny, isIp4, isLinkLocal } from '../address.ts';
import { ANY_IFACE } from '../ip.ts';
import { State } from './constants.ts';
import { addressIs, END, Is, NO_CONNECTION, Opt, type Table } from './table.ts';

const PORT_BUCKETS = 1024;
const BUCKETS_MIN = 64;

/** Chains through the columns. Buckets of connections double as they fill. */
export class Demux {
  private readonly table: Table;
  private readonly key: Int32Array;
  private seed: number;
  private buckets = new Int32Array(BUCKETS_MIN).fill(END);
  private count = 0;
  private readonly portFirst = new Int32Array(PORT_BUCKETS).fill(END);

  constructor(table: Table, key: Int32Array) {
    this.table = table;
    this.key = key;
    this.seed = sipHash(key, Int32Array.of(0), 0, 1);
  }

  /** A number for the two addresses and ports, that outsiders cannot make collide at will. */
  hashOf(remote: Address, remotePort: number, localPort: number, local: Address): number {
    const ports = Math.imul(((localPort << 16) | remotePort) ^ this.seed, 0x9e3779b1);
    let h = hash(remote) ^ ports ^ this.key[0]!;
    h = Math.imul(h ^ (h >>> 16), 0x85ebca6b) ^ Math.imul(local[3]! ^ this.key[1]!, 0xc2b2ae35);
    h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
    return h ^ (h >>> 16);
  }

  /** Adds a connection whose addresses, ports and interface are set. */
  add(c: number, local: Address, remote: Address): void {
    const { col } = this.table;
    if (this.count >= this.buckets.length) this.rehash(2 * this.buckets.length);
    const bucket = this.hashOf(remote, col.remotePort[c]!, col.localPort[c]!, local) & (this.buckets.length - 1);
    col.hashNext[c] = this.buckets[bucket]!;
    this.buckets[bucket] = c;
    col.flags[c] = col.flags[c]! | Is.Hashed;
    this.count++;
  }

  /** Takes it out; one that is not in stays so. */
  remove(c: number): void {
    const { col } = this.table;
    if ((col.flags[c]! & Is.Hashed) === 0) return;
    const bucket = this.bucketOf(c);
    const next = col.hashNext[c]!;
    if (this.buckets[bucket] === c) this.buckets[bucket] = next;
    else {
      let previous = this.buckets[bucket]!;
      while (col.hashNext[previous] !== c) previous = col.hashNext[previous]!;
      col.hashNext[previous] = next;
    }
    col.flags[c] = col.flags[c]! & ~Is.Hashed;
    this.count--;
  }

  /** The connection of these four, or NO_CONNECTION. `iface` tells link-local peers of several links apart. */
  find(local: Address, localPort: number, remote: Address, remotePort: number, iface: number): number {
    const { col } = this.table;
    const bucket = this.hashOf(remote, remotePort, localPort, local) & (this.buckets.length - 1);
    for (let c = this.buckets[bucket]!; c !== END; c = col.hashNext[c]!) {
      if (col.localPort[c] !== localPort || col.remotePort[c] !== remotePort) continue;
      if (!addressIs(col.remote, c, remote) || !addressIs(col.local, c, local)) continue;
      if (col.iface[c] === ANY_IFACE || col.iface[c] === iface || iface === ANY_IFACE) return c;
    }
    return NO_CONNECTION;
  }

  /** The listener that fits best, or NO_CONNECTION: a bound address over any, a bound interface over any, own family over dual-stack. */
  findListener(local: Address, localPort: number, iface: number, spread: number): number {
    const { col } = this.table;
    let best = NO_CONNECTION;
    let bestScore = -1;
    let equals = 0;
    for (let c = this.portFirst[localPort & (PORT_BUCKETS - 1)]!; c !== END; c = col.portNext[c]!) {
      if (col.localPort[c] !== localPort || col.state[c] !== State.Listen) continue;
      const score = this.score(c, local, iface);
      if (score < 0 || score < bestScore) continue;
      // Listeners that share a port take turns by the peer's hash.
      equals = score === bestScore ? equals + 1 : 1;
      if (score > bestScore || (spread >>> 0) % equals === 0) best = c;
      bestScore = score;
    }
    return best;
  }

  private score(c: number, local: Address, iface: number): number {
    const { col } = this.table;
    const bound = col.iface[c]!;
    if (bound !== ANY_IFACE && bound !== iface) return -1;
    const ifaceScore = bound !== ANY_IFACE ? 2 : 0;
    if (addressIs(col.local, c, local)) return 4 + ifaceScore;
    if (!this.isAnyLocal(c)) return -1;
    const isIp6Socket = (col.options[c]! & Opt.Ip6) !== 0;
    if (isIp6Socket && isIp4(local)) {
      // An IPv6 socket bound to :: takes IPv4 unless told not to; one bound to ::ffff:0.0.0.0 is for IPv4 alone.
      return (col.options[c]! & Opt.V6Only) === 0 ? ifaceScore : -1;
    }
    if (isIp6Socket !== !isIp4(local)) return -1;
    return col.local[4 * c + 2] === 0 || !isIp6Socket ? 1 + ifaceScore : -1;
  }

  private isAnyLocal(c: number): boolean {
    const { local } = this.table.col;
    const kind = local[4 * c + 2]!;
    return local[4 * c + 3] === 0 && local[4 * c] === 0 && local[4 * c + 1] === 0 && (kind === 0 || kind === 0xffff);
  }

  /** Notes that `c` holds its local port. */
  addPort(c: number): void {
    const { col } = this.table;
    const bucket = col.localPort[c]! & (PORT_BUCKETS - 1);
    const first = this.portFirst[bucket]!;
    col.portPrevious[c] = END;
    col.portNext[c] = first;
    if (first !== END) col.portPrevious[first] = c;
    this.portFirst[bucket] = c;
    col.flags[c] = col.flags[c]! | Is.Ported;
  }

  removePort(c: number): void {
    const { col } = this.table;
    if ((col.flags[c]! & Is.Ported) === 0) return;
    const previous = col.portPrevious[c]!;
    const next = col.portNext[c]!;
    if (previous === END) this.portFirst[col.localPort[c]! & (PORT_BUCKETS - 1)] = next;
    else col.portNext[previous] = next;
    if (next !== END) col.portPrevious[next] = previous;
    col.flags[c] = col.flags[c]! & ~Is.Ported;
  }

  /** True if `c` may not be bound to `local` and `port`, as another socket is and they do not share (SO_REUSEADDR, SO_REUSEPORT). */
  isTaken(c: number, local: Address, port: number, iface: number): boolean {
    const { col } = this.table;
    for (let other = this.portFirst[port & (PORT_BUCKETS - 1)]!; other !== END; other = col.portNext[other]!) {
      if (other === c || col.localPort[other] !== port) continue;
      if (col.iface[other] !== ANY_IFACE && iface !== ANY_IFACE && col.iface[other] !== iface) continue;
      if (!this.overlaps(c, local, other)) continue;
      if (!this.shares(c, other)) return true;
    }
    return false;
  }

  private overlaps(c: number, local: Address, other: number): boolean {
    const { col } = this.table;
    if (addressIs(col.local, other, local)) return true;
    const otherIsAny = this.isAnyLocal(other);
    if (!otherIsAny && !isAny(local)) return false;
    const both6 = (col.options[c]! & col.options[other]! & Opt.Ip6) !== 0;
    if (both6) return true;
    const mixed = ((col.options[c]! ^ col.options[other]!) & Opt.Ip6) !== 0;
    if (!mixed) return true;
    const six = (col.options[c]! & Opt.Ip6) !== 0 ? c : other;
    return (col.options[six]! & Opt.V6Only) === 0;
  }

  private shares(c: number, other: number): boolean {
    const { col } = this.table;
    const both = col.options[c]! & col.options[other]!;
    if ((both & Opt.ReusePort) !== 0) return true;
    return (both & Opt.ReuseAddress) !== 0 && col.state[other] !== State.Listen;
  }

  private bucketOf(c: number): number {
    const { col } = this.table;
    const remote = col.remote.subarray(4 * c, 4 * c + 4);
    const local = col.local.subarray(4 * c, 4 * c + 4);
    return this.hashOf(remote, col.remotePort[c]!, col.localPort[c]!, local) & (this.buckets.length - 1);
  }

  private rehash(size: number): void {
    const { col, end } = this.table;
    this.buckets = new Int32Array(size).fill(END);
    for (let c = 0; c < end; c++) {
      if ((col.flags[c]! & Is.Hashed) === 0) continue;
      const bucket = this.bucketOf(c);
      col.hashNext[c] = this.buckets[bucket]!;
      this.buckets[bucket] = c;
    }
  }

  save(state: StateWriter): void {
    state.column(this.key).number(this.count).number(this.buckets.length);
    state.column(this.buckets).column(this.portFirst);
  }

  load(state: StateReader): void {
    state.into(this.key);
    this.seed = sipHash(this.key, Int32Array.of(0), 0, 1);
    this.count = state.integer(0, this.table.size);
    const size = state.integer(BUCKETS_MIN, Math.max(BUCKETS_MIN, 4 * this.table.size));
    if ((size & (size - 1)) !== 0) throw new StateError(`${size} buckets`);
    this.buckets = new Int32Array(size);
    state.into(this.buckets);
    state.into(this.portFirst);
    for (const list of [this.buckets, this.portFirst]) {
      for (const c of list) if (c < END || c >= this.table.size) throw new StateError(`connection ${c}`);
    }
  }
}

/** The interface that a connection to `remote` belongs to: link-local addresses mean nothing without one. */
export const scopeOf = (remote: Address, iface: number, bound: number): number =>
  bound !== ANY_IFACE ? bound : isLinkLocal(remote) && !isIp4(remote) ? iface : ANY_IFACE;
