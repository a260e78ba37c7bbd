// What all parts of TCP work on: the tables, the clock, the segment in hand, and the few changes of state that all share.

import type { Slab } from '../../core/slab.ts';
import { TimerWheel } from '../../core/timer-wheel.ts';
import { ADDRESS_WORDS, type Address } from '../address.ts';
import type { Paths, Sender } from '../ip.ts';
import type { Limits } from '../limits.ts';
import { Random } from '../random.ts';
import { Purpose, type Shared } from '../shared.ts';
import { unqueue } from './accept-queue.ts';
import { Ready, State } from './constants.ts';
import { Demux } from './demux.ts';
import { FastOpenKeys } from './fast-open.ts';
import type { RefusalSink } from './intercept.ts';
import { Isn } from './isn.ts';
import { Options } from './options.ts';
import { Recovery } from './recovery.ts';
import { freeGaps, freeReceiveRing, freeSendRing } from './ring.ts';
import { addressAt, type Columns, END, Is, NO_CONNECTION, Opt, Table } from './table.ts';
import { TimeWait } from './time-wait.ts';

/** Path MTU discovery's doors to the network layer. */
export interface MtuSink {
  /** The path from `source` to `target` takes no more than `mtu` bytes: a black hole was found (RFC 4821). */
  lowerMtu(source: Address, target: Address, iface: number, mtu: number): void;
  /** The MTU of the interface itself, by which the MSS is announced (RFC 9293 §3.7.1); without it the path's is taken. */
  linkMtuOf?(iface: number): number;
  /** A packet of `mtu` bytes passed: the path takes so much at least (RFC 4821 §7.6.1). */
  raiseMtu?(source: Address, target: Address, iface: number, mtu: number): void;
  /** The longest packet that `path` may be probed with, whatever is known of its MTU: by link and route; 0: none. */
  probeLimitOf?(path: number): number;
}

/** A connection's timers. */
export const Timer = { Send: 0, Ack: 1, Slow: 2, User: 3 } as const;
const TIMERS = 4;

/** Interfaces below this number may have an interceptor. */
export const INTERCEPTORS = 64;

const STATES = Object.values(State);

/** What waits to be sent for the first time while memory is tight. */
const UNSENT_TIGHT_BYTES = 16384;
/** Descriptors of segments in flight, all connections together. */
const SEGMENTS_MAX = 1 << 18;

/** The segment in hand, as RFC 9293 §3.3.1 calls its parts. One per stack, overwritten by the next. */
export class Segment {
  at = 0; // where the header is
  seq = 0;
  ack = 0;
  flags = 0;
  window = 0; // as it stands, not scaled
  dataAt = 0;
  dataBytes = 0;
  sourcePort = 0;
  targetPort = 0;
}

/** One per stack. */
export class Core {
  readonly shared: Shared;
  readonly slab: Slab;
  readonly paths: Paths;
  readonly sender: Sender;
  readonly limits: Limits;
  readonly mtuSink: MtuSink | undefined;
  readonly refusals: RefusalSink | undefined;
  readonly table: Table;
  /** The table's columns, which growth replaces. */
  col: Columns;
  readonly demux: Demux;
  readonly recovery: Recovery;
  readonly timeWait: TimeWait;
  readonly isn: Isn;
  readonly ports: Random;
  readonly fastOpen: FastOpenKeys;
  readonly cookies: Random;
  readonly segment = new Segment();
  readonly options = new Options();
  wheel: TimerWheel;
  // Lists through the columns: those that may have to send, and those whose user is to be told.
  dirtyFirst = END;
  dirtyLast = END;
  eventFirst = END;
  eventLast = END;
  /** The interceptor of each interface, or END. */
  readonly interceptors = new Int32Array(INTERCEPTORS).fill(END);
  /** Of connections that were intercepted: who sent the SYN, see intercept.ts. Not in a snapshot. */
  senders = new Float64Array(0);
  /** Bytes of all rings. */
  ringBytes = 0;
  /** Whose rings are empty and kept all the same, see ring.ts. */
  readonly resting = { send: NO_CONNECTION, receive: NO_CONNECTION };
  halfOpen = 0;
  orphans = 0;
  /** When a SYN cookie was sent last, 0: never; and what the one that came back hid in its timestamp. */
  cookieUs = 0;
  cookieOptions = 0;
  /** Addresses of the connection in hand, for those who need them as words together. */
  readonly local: Address = new Int32Array(ADDRESS_WORDS);
  readonly remote: Address = new Int32Array(ADDRESS_WORDS);

  constructor(shared: Shared, paths: Paths, sender: Sender, limits: Limits, mtuSink?: MtuSink, refusals?: RefusalSink) {
    this.shared = shared;
    this.slab = shared.slab;
    this.paths = paths;
    this.sender = sender;
    this.limits = limits;
    this.mtuSink = mtuSink;
    this.refusals = refusals;
    this.table = new Table({ connectionsMax: limits.connectionsMax });
    this.col = this.table.col;
    this.recovery = new Recovery(shared, { segmentsMax: SEGMENTS_MAX });
    this.recovery.grow(this.table.size);
    this.wheel = new TimerWheel({ timersMax: TIMERS * this.table.size });
    this.demux = new Demux(this.table, new Random(shared.secret, Purpose.Hash).key);
    this.timeWait = new TimeWait({ entriesMax: limits.timeWaitMax }, this.demux);
    this.isn = new Isn(shared);
    this.ports = new Random(shared.secret, Purpose.Port);
    this.fastOpen = new FastOpenKeys(new Random(shared.secret, Purpose.FastOpen));
    this.cookies = new Random(shared.secret, Purpose.Cookie);
  }

  has(c: number, bits: number): boolean {
    return (this.col.flags[c]! & bits) !== 0;
  }

  set(c: number, bits: number): void {
    this.col.flags[c] = this.col.flags[c]! | bits;
  }

  unset(c: number, bits: number): void {
    this.col.flags[c] = this.col.flags[c]! & ~bits;
  }

  opted(c: number, bits: number): boolean {
    return (this.col.options[c]! & bits) !== 0;
  }

  /** A new connection in CLOSED, or NO_CONNECTION. Whatever was read from `col` before is old. */
  take(): number {
    const c = this.table.take();
    if (this.col !== this.table.col) {
      this.col = this.table.col;
      this.recovery.grow(this.table.size);
      this.growWheel();
    }
    return c;
  }

  private growWheel(): void {
    const old = this.wheel;
    this.wheel = new TimerWheel({ timersMax: TIMERS * this.table.size });
    for (const id of old.ids()) this.wheel.set(id, old.deadlineOf(id));
  }

  setTimer(c: number, timer: number, deadlineUs: number): void {
    this.wheel.set(c * TIMERS + timer, deadlineUs);
  }

  cancelTimer(c: number, timer: number): void {
    this.wheel.cancel(c * TIMERS + timer);
  }

  isTimerSet(c: number, timer: number): boolean {
    return this.wheel.deadlineOf(c * TIMERS + timer) !== Infinity;
  }

  /** The connection may have to send: `poll` looks. */
  touch(c: number): void {
    const { col } = this;
    if (this.has(c, Is.Dirty)) return;
    this.set(c, Is.Dirty);
    col.dirtyNext[c] = END;
    if (this.dirtyLast === END) this.dirtyFirst = c;
    else col.dirtyNext[this.dirtyLast] = c;
    this.dirtyLast = c;
  }

  /** An ACK goes out at the next poll. */
  ackSoon(c: number): void {
    this.set(c, Is.AckDue);
    this.touch(c);
  }

  /** The user of `c` is told that its readiness changed. */
  tell(c: number): void {
    const { col } = this;
    if ((col.flags[c]! & (Is.Owned | Is.Told)) !== Is.Owned) return;
    this.set(c, Is.Told);
    col.eventNext[c] = END;
    if (this.eventLast === END) this.eventFirst = c;
    else col.eventNext[this.eventLast] = c;
    this.eventLast = c;
  }

  /** The next of those to be told, or NO_CONNECTION. */
  nextEvent(): number {
    const c = this.eventFirst;
    if (c === END) return NO_CONNECTION;
    this.eventFirst = this.col.eventNext[c]!;
    if (this.eventFirst === END) this.eventLast = END;
    this.unset(c, Is.Told);
    return c;
  }

  /** Bytes that wait in the send ring. */
  queued(c: number): number {
    return (this.col.sndEnd[c]! - this.sendStart(c)) | 0;
  }

  /** Sequence number of the first byte in the send ring: the SYN is none, and a FIN that is acknowledged is past the end. */
  sendStart(c: number): number {
    const { col } = this;
    const una = col.sndUna[c]!;
    if (una === col.iss[c]!) return (una + 1) | 0;
    return ((una - col.sndEnd[c]!) | 0) > 0 ? col.sndEnd[c]! : una;
  }

  /** In-order bytes that the user has not read. */
  available(c: number): number {
    const { col } = this;
    const eof = this.has(c, Is.Eof) ? 1 : 0;
    return (col.rcvNxt[c]! - eof - col.rcvRead[c]!) | 0;
  }

  /** Changes the state; half-open connections are counted. */
  enter(c: number, state: State): void {
    const { col } = this;
    if (col.state[c] === state) return;
    this.countHalfOpen(c, -1);
    col.state[c] = state;
    this.countHalfOpen(c, 1);
  }

  private countHalfOpen(c: number, by: number): void {
    if (this.col.state[c] === State.SynReceived && this.has(c, Is.Passive)) this.halfOpen += by;
  }

  /** Copies both addresses of `c` to `local` and `remote`. */
  loadAddresses(c: number): void {
    addressAt(this.col.local, c, this.local);
    addressAt(this.col.remote, c, this.remote);
  }

  /** The path of `c`, or a negative errno. `local` and `remote` are those of `c` afterwards. */
  pathOf(c: number): number {
    this.loadAddresses(c);
    return this.paths.find(this.local, this.remote, this.col.iface[c]!);
  }

  /**
   * The connection is over: no timers, no buffers for sending, not found by segments any more. The slot stays while a user
   * has it, with `error` (an errno, 0 for an orderly end) for him and what he has not read; else it is free.
   */
  finish(c: number, error: number): void {
    const { col } = this;
    this.leaveTables(c);
    this.enter(c, State.Closed);
    if (error !== 0 && col.error[c] === 0) col.error[c] = error;
    this.unset(c, Is.SynDue | Is.AckDue | Is.FinDue);
    freeSendRing(this, c);
    freeGaps(this, c);
    // RFC 9293 §3.10.7.4: after a reset all queues are flushed.
    if (error !== 0) {
      col.rcvRead[c] = (col.rcvNxt[c]! - (this.has(c, Is.Eof) ? 1 : 0)) | 0;
      freeReceiveRing(this, c);
    }
    if (this.has(c, Is.Owned)) this.tell(c);
    else this.release(c);
  }

  /** `c` hears nothing from the network any more; its timers are off. */
  leaveTables(c: number): void {
    this.recovery.stop(c);
    for (let timer = 0; timer < TIMERS; timer++) this.cancelTimer(c, timer);
    this.demux.remove(c);
  }

  /** Frees the slot of a connection that is finished and that nobody has. */
  release(c: number): void {
    if (this.has(c, Is.Orphan)) this.orphans--;
    unqueue(this, c);
    this.freeBuffers(c);
    this.demux.remove(c);
    this.demux.removePort(c);
    this.unlinkDirty(c);
    this.unlinkEvent(c);
    this.table.give(c);
  }

  freeBuffers(c: number): void {
    freeSendRing(this, c);
    freeReceiveRing(this, c);
    freeGaps(this, c);
  }

  private unlinkDirty(c: number): void {
    if (!this.has(c, Is.Dirty)) return;
    const { dirtyNext } = this.col;
    const previous = this.previousIn(dirtyNext, this.dirtyFirst, c);
    if (previous === END) this.dirtyFirst = dirtyNext[c]!;
    else dirtyNext[previous] = dirtyNext[c]!;
    if (this.dirtyLast === c) this.dirtyLast = previous;
  }

  private unlinkEvent(c: number): void {
    if (!this.has(c, Is.Told)) return;
    const { eventNext } = this.col;
    const previous = this.previousIn(eventNext, this.eventFirst, c);
    if (previous === END) this.eventFirst = eventNext[c]!;
    else eventNext[previous] = eventNext[c]!;
    if (this.eventLast === c) this.eventLast = previous;
  }

  private previousIn(next: Int32Array, first: number, c: number): number {
    let previous = END;
    for (let i = first; i !== c; i = next[i]!) previous = i;
    return previous;
  }

  /** Bits of `Ready`. */
  readiness(c: number): number {
    const { col } = this;
    const state = col.state[c]!;
    if (state === State.Listen) return col.acceptFirst[c] !== END ? Ready.In : 0;
    let bits = 0;
    const isOver = state === State.Closed || state === State.TimeWait;
    const readEnd = this.has(c, Is.Eof | Is.ReadShut) || isOver;
    if (this.available(c) > 0 || readEnd) bits |= Ready.In;
    if (col.error[c] !== 0) bits |= Ready.Error | Ready.In | Ready.Out;
    if (readEnd) bits |= Ready.ReadHup;
    if (isOver || (readEnd && this.has(c, Is.FinDue | Is.FinSent))) bits |= Ready.Hup;
    if (isOver || this.has(c, Is.FinDue | Is.FinSent) || this.canWrite(c)) bits |= Ready.Out;
    else this.set(c, Is.WantsSpace);
    return bits;
  }

  /** True if `send` may take bytes: the connection is open for writing. */
  canSend(c: number): boolean {
    const state = this.col.state[c]!;
    return (state === State.Established || state === State.CloseWait) && !this.has(c, Is.FinDue);
  }

  stateOf(c: number): State {
    return STATES[this.col.state[c]!]!;
  }

  /** A third of the send buffer is free, so that a writer is not woken for every segment. */
  canWrite(c: number): boolean {
    const { col } = this;
    const state = col.state[c]!;
    if (state !== State.Established && state !== State.CloseWait) return false;
    const unsentMax = this.unsentMax(c);
    if (unsentMax > 0 && ((col.sndEnd[c]! - col.sndNxt[c]!) | 0) >= unsentMax) return false;
    return 3 * this.queued(c) < 2 * col.sndMax[c]!;
  }

  /** Buffers take much of what they may: they grow no further than they have to, and empty ones are given back. */
  get isTight(): boolean {
    return this.slab.isTight || this.ringBytes > this.limits.ringBytesMax / 2;
  }

  /** Bytes that wait to be sent for the first time are fewer: the user's bound; ours where memory is tight; 0: any number. */
  unsentMax(c: number): number {
    const lowat = this.col.notSentLowat[c]!;
    return lowat > 0 || this.ringBytes <= this.limits.ringBytesMax / 2 ? lowat : UNSENT_TIGHT_BYTES;
  }

  /** Is the socket of an IPv6 kind, which may or may not take IPv4 too. */
  isIp6Socket(c: number): boolean {
    return this.opted(c, Opt.Ip6);
  }
}
