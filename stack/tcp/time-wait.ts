// TIME-WAIT: what is left of a connection for two segment lifetimes, in a table of its own, so that it costs 90 bytes.

import type { StateReader, StateWriter } from '../../core/state.ts';
import { StateError } from '../../core/state.ts';
import { NEVER } from '../../core/time.ts';
import { ADDRESS_WORDS, type Address } from '../address.ts';
import { ANY_IFACE } from '../ip.ts';
import { TIME_WAIT_US } from './constants.ts';
import type { Demux } from './demux.ts';
import { addressIs, type Columns, END, Is } from './table.ts';

const ENTRIES_MIN = 16;

function newEntries(n: number) {
  return {
    local: new Int32Array(n * ADDRESS_WORDS),
    remote: new Int32Array(n * ADDRESS_WORDS),
    localPort: new Uint16Array(n),
    remotePort: new Uint16Array(n),
    window: new Uint16Array(n), // as it stands in a header
    hopLimit: new Uint8Array(n),
    trafficClass: new Uint8Array(n),
    hasTimestamps: new Uint8Array(n),
    windowBytes: new Int32Array(n),
    iface: new Int32Array(n),
    sndNxt: new Int32Array(n),
    rcvNxt: new Int32Array(n),
    tsRecent: new Int32Array(n),
    tsOffset: new Int32Array(n),
    next: new Int32Array(n),
    previous: new Int32Array(n),
    hashNext: new Int32Array(n),
    expiresUs: new Float64Array(n),
  };
}

export type TimeWaitColumns = ReturnType<typeof newEntries>;

/** All entries wait equally long, so their list is in the order of their ends. A full table gives up the oldest. */
export class TimeWait {
  col: TimeWaitColumns = newEntries(ENTRIES_MIN);
  /** 2MSL. */
  waitUs = TIME_WAIT_US;
  count = 0;
  private readonly max: number;
  private readonly demux: Demux;
  private size = ENTRIES_MIN;
  private fresh = 0;
  private free = END;
  private first = END;
  private last = END;
  private buckets = new Int32Array(ENTRIES_MIN).fill(END);

  constructor({ entriesMax }: { entriesMax: number }, demux: Demux) {
    this.max = entriesMax;
    this.demux = demux;
  }

  /** What connection `c` leaves behind; `window` is what its last segment announced, of `windowBytes`. */
  add(from: Columns, c: number, window: number, windowBytes: number, nowUs: number): void {
    const w = this.take();
    const { col } = this;
    for (let i = 0; i < ADDRESS_WORDS; i++) {
      col.local[ADDRESS_WORDS * w + i] = from.local[ADDRESS_WORDS * c + i]!;
      col.remote[ADDRESS_WORDS * w + i] = from.remote[ADDRESS_WORDS * c + i]!;
    }
    col.localPort[w] = from.localPort[c]!;
    col.remotePort[w] = from.remotePort[c]!;
    col.window[w] = window;
    col.windowBytes[w] = windowBytes;
    col.hopLimit[w] = from.hopLimit[c]!;
    col.trafficClass[w] = from.trafficClass[c]!;
    col.hasTimestamps[w] = (from.flags[c]! & Is.Timestamps) !== 0 ? 1 : 0;
    col.iface[w] = from.iface[c]!;
    col.sndNxt[w] = from.sndNxt[c]!;
    col.rcvNxt[w] = from.rcvNxt[c]!;
    col.tsRecent[w] = from.tsRecent[c]!;
    col.tsOffset[w] = from.tsOffset[c]!;
    const bucket = this.bucketOf(w);
    col.hashNext[w] = this.buckets[bucket]!;
    this.buckets[bucket] = w;
    this.append(w, nowUs);
  }

  /** The entry of these four, or END. */
  find(local: Address, localPort: number, remote: Address, remotePort: number, iface: number): number {
    if (this.count === 0) return END;
    const { col } = this;
    const bucket = this.demux.hashOf(remote, remotePort, localPort, local) & (this.buckets.length - 1);
    for (let w = this.buckets[bucket]!; w !== END; w = col.hashNext[w]!) {
      if (col.localPort[w] !== localPort || col.remotePort[w] !== remotePort) continue;
      if (!addressIs(col.remote, w, remote) || !addressIs(col.local, w, local)) continue;
      if (col.iface[w] === ANY_IFACE || iface === ANY_IFACE || col.iface[w] === iface) return w;
    }
    return END;
  }

  /** True if a connection of this local port waits: its port is not free for everybody. */
  holdsPort(port: number): boolean {
    for (let w = this.first; w !== END; w = this.col.next[w]!) if (this.col.localPort[w] === port) return true;
    return false;
  }

  /** RFC 9293 §3.10.7.4: the peer's FIN came again, so the wait begins anew. */
  restart(w: number, nowUs: number): void {
    this.unlink(w);
    this.append(w, nowUs);
  }

  remove(w: number): void {
    const { col } = this;
    this.unlink(w);
    const bucket = this.bucketOf(w);
    if (this.buckets[bucket] === w) this.buckets[bucket] = col.hashNext[w]!;
    else {
      let previous = this.buckets[bucket]!;
      while (col.hashNext[previous] !== w) previous = col.hashNext[previous]!;
      col.hashNext[previous] = col.hashNext[w]!;
    }
    col.next[w] = this.free;
    this.free = w;
    this.count--;
  }

  deadlineUs(): number {
    return this.first === END ? NEVER : this.col.expiresUs[this.first]!;
  }

  expire(nowUs: number): void {
    while (this.first !== END && this.col.expiresUs[this.first]! <= nowUs) this.remove(this.first);
  }

  private append(w: number, nowUs: number): void {
    const { col } = this;
    col.expiresUs[w] = nowUs + this.waitUs;
    col.next[w] = END;
    col.previous[w] = this.last;
    if (this.last === END) this.first = w;
    else col.next[this.last] = w;
    this.last = w;
  }

  private unlink(w: number): void {
    const { col } = this;
    const before = col.previous[w]!;
    const after = col.next[w]!;
    if (before === END) this.first = after;
    else col.next[before] = after;
    if (after === END) this.last = before;
    else col.previous[after] = before;
  }

  private take(): number {
    if (this.count >= this.max) this.remove(this.first);
    this.count++;
    if (this.free !== END) {
      const w = this.free;
      this.free = this.col.next[w]!;
      return w;
    }
    if (this.fresh === this.size) this.grow();
    return this.fresh++;
  }

  private grow(): void {
    const next = newEntries(2 * this.size);
    const from = Object.values(this.col);
    Object.values(next).forEach((column, i) => {
      column.set(from[i]!);
    });
    this.col = next;
    this.size *= 2;
    this.buckets = new Int32Array(this.size).fill(END);
    for (let w = this.first; w !== END; w = next.next[w]!) {
      const bucket = this.bucketOf(w);
      next.hashNext[w] = this.buckets[bucket]!;
      this.buckets[bucket] = w;
    }
  }

  private bucketOf(w: number): number {
    const { col } = this;
    const remote = col.remote.subarray(ADDRESS_WORDS * w, ADDRESS_WORDS * (w + 1));
    const local = col.local.subarray(ADDRESS_WORDS * w, ADDRESS_WORDS * (w + 1));
    return this.demux.hashOf(remote, col.remotePort[w]!, col.localPort[w]!, local) & (this.buckets.length - 1);
  }

  save(state: StateWriter): void {
    state.number(this.waitUs).number(this.size).number(this.count).number(this.fresh);
    state.number(this.free).number(this.first).number(this.last).column(this.buckets);
    for (const column of Object.values(this.col)) state.column(column);
  }

  load(state: StateReader): void {
    this.waitUs = state.number();
    const size = state.integer(ENTRIES_MIN, Math.max(ENTRIES_MIN, 2 * this.max));
    if ((size & (size - 1)) !== 0) throw new StateError(`${size} entries in TIME-WAIT`);
    this.size = size;
    this.count = state.integer(0, size);
    this.fresh = state.integer(0, size);
    this.free = state.integer(END, size - 1);
    this.first = state.integer(END, size - 1);
    this.last = state.integer(END, size - 1);
    this.buckets = new Int32Array(size);
    state.into(this.buckets);
    this.col = newEntries(size);
    for (const column of Object.values(this.col)) state.into(column);
    for (const list of [this.buckets, this.col.next, this.col.previous, this.col.hashNext]) {
      for (const w of list) if (w < END || w >= size) throw new StateError(`entry ${w} in TIME-WAIT`);
    }
  }
}
