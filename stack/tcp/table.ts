// Connections as columns: numbers in typed arrays, so that ten thousand cost no object and a snapshot is a copy.

import type { StateReader, StateWriter } from '../../core/state.ts';
import { StateError } from '../../core/state.ts';
import { ADDRESS_WORDS, type Address } from '../address.ts';
import {
  KEEP_COUNT,
  KEEP_IDLE_US,
  KEEP_INTERVAL_US,
  RECEIVE_BUFFER_BYTES,
  SEND_BUFFER_BYTES,
  State,
  SYN_RETRIES,
} from './constants.ts';

/** No connection. */
export const NO_CONNECTION = -1;
/** What a free slot's `link` points to at the end of the list; also of the other lists. */
export const END = -1;

const CONNECTIONS_MIN = 16;
const DOUBLES_MAX = 8192; // above it the table grows by an eighth: half of a large one would be idle memory

/** Bits of `flags`: what a connection is in the middle of. */
export const Is = {
  Used: 1,
  Owned: 1 << 1, // a user has it by its number
  Passive: 1 << 2, // opened by a SYN that came to a listener
  Hashed: 1 << 3, // found by its addresses and ports
  Ported: 1 << 4, // in the list of its port
  Sack: 1 << 5,
  Timestamps: 1 << 6,
  Scaling: 1 << 7,
  Ecn: 1 << 8,
  EcnEcho: 1 << 9, // RFC 3168 §6.1.3: every ACK carries ECE until CWR comes
  AckDue: 1 << 10, // an ACK is to be sent at the next poll
  SynDue: 1 << 11, // a SYN or SYN-ACK is
  FinDue: 1 << 12, // the user wrote all: a FIN follows the data
  FinSent: 1 << 13,
  PeerFin: 1 << 14, // the peer's FIN is known, at `rcvFin`, and not yet reached
  Eof: 1 << 15, // the peer's FIN was taken
  ReadShut: 1 << 16, // the user reads no more
  WantsSpace: 1 << 17, // tell the user when there is room again
  Dsack: 1 << 18,
  Dirty: 1 << 19, // in the list of those that may have to send
  Told: 1 << 20, // in the list of those whose readiness changed
  Queued: 1 << 21, // in a listener's accept queue
  More: 1 << 22, // the last `send` said that more comes
  Probed: 1 << 23, // a byte beyond the window was sent at `sndNxt`
  Override: 1 << 24, // the sender's SWS override fired: send what fits
  Small: 1 << 25, // a segment that was not full is out, up to `sndSmall`
  CookieAsk: 1 << 26, // RFC 7413: the SYN asks for a cookie, or carries one
  SynData: 1 << 27, // the SYN carried data
  Progress: 1 << 28, // tell the network layer that the path works, at the next poll
  Persist: 1 << 29, // the send timer is the persist timer
  Orphan: 1 << 30, // its user closed it and it goes on
  Withheld: 1 << 31, // intercepted: its SYN-ACK waits for the user's word
} as const;

/** Bits of `options`: what the user switched on. A listener's go to its connections. */
export const Opt = {
  Ip6: 1,
  NoDelay: 1 << 1,
  Cork: 1 << 2,
  KeepAlive: 1 << 3,
  ReuseAddress: 1 << 4,
  ReusePort: 1 << 5,
  V6Only: 1 << 7,
  DeferAccept: 1 << 8,
  Ecn: 1 << 9,
  Timestamps: 1 << 10,
  Sack: 1 << 11,
  Scaling: 1 << 12,
  SendFixed: 1 << 13, // the user set the size of the buffer
  ReceiveFixed: 1 << 14,
  Rack: 1 << 15,
  UserTimeout: 1 << 16, // RFC 5482 on the wire
} as const;

/** States, counts, ports. */
function smallColumns(n: number) {
  return {
    state: new Uint8Array(n),
    sndWs: new Uint8Array(n), // RFC 7323 §2: shift of what the peer announces
    rcvWs: new Uint8Array(n), // and of what we announce
    synCount: new Uint8Array(n), // SYNs sent again
    synMax: new Uint8Array(n),
    keepCount: new Uint8Array(n), // keep-alives that were not answered
    keepMax: new Uint8Array(n),
    quickAcks: new Uint8Array(n), // so many more segments are acknowledged at once
    mtuTries: new Uint8Array(n), // probes of the size in question that were lost
    persists: new Uint8Array(n), // zero-window probes in a row
    hopLimit: new Uint8Array(n),
    trafficClass: new Uint8Array(n),
    congestion: new Uint8Array(n),
    initialWindow: new Uint8Array(n),
    localPort: new Uint16Array(n),
    remotePort: new Uint16Array(n),
    peerMss: new Uint16Array(n), // SendMSS of RFC 9293 §3.7.1
    maxSegment: new Uint16Array(n), // the user's
    ourMss: new Uint16Array(n), // what we announced
    mss: new Uint16Array(n), // Eff.snd.MSS: payload of a full segment, timestamps taken off
    rcvSegment: new Uint16Array(n), // the longest payload that came: a full segment of the peer
  };
}

/** Sequence numbers and windows. */
function sequenceColumns(n: number) {
  return {
    flags: new Int32Array(n),
    options: new Int32Array(n),
    error: new Int32Array(n), // for the user, an errno
    softError: new Int32Array(n), // RFC 5461: told if the connection times out
    iface: new Int32Array(n), // that it is bound to, or that of a link-local peer
    local: new Int32Array(n * ADDRESS_WORDS),
    remote: new Int32Array(n * ADDRESS_WORDS),
    iss: new Int32Array(n),
    irs: new Int32Array(n),
    sndUna: new Int32Array(n),
    sndNxt: new Int32Array(n),
    sndEnd: new Int32Array(n), // after the last byte that the user wrote
    sndWnd: new Int32Array(n), // scaled
    sndMaxWnd: new Int32Array(n), // the largest ever, RFC 5961 §5
    sndWl1: new Int32Array(n),
    sndWl2: new Int32Array(n),
    sndSmall: new Int32Array(n), // end of the last segment that was not full: Minshall's variable
    rcvNxt: new Int32Array(n),
    rcvRead: new Int32Array(n), // the first byte that the user has not read
    tuneRead: new Int32Array(n), // `rcvRead` at that time
    rcvAdv: new Int32Array(n), // the right edge that we announced; it never moves back
    rcvFin: new Int32Array(n),
    lastAck: new Int32Array(n), // Last.ACK.sent of RFC 7323 §4.3
    tsRecent: new Int32Array(n),
    tsOffset: new Int32Array(n),
    dsackStart: new Int32Array(n),
    dsackEnd: new Int32Array(n),
    pathMtu: new Int32Array(n), // as the segments in flight were cut
    mtuHigh: new Int32Array(n), // RFC 4821 §7.3: a size that does not pass, 0: none is known
    mtuProbe: new Int32Array(n), // the size of the probe in flight, 0: none is
    provenMtu: new Int32Array(n), // the path MTU of which a full segment arrived
  };
}

/** Buffers and lists. */
function listColumns(n: number) {
  return {
    sndMax: new Int32Array(n), // the user's bounds of the buffers
    rcvMax: new Int32Array(n),
    sndAt: new Uint32Array(n), // rings in the slab; byte `seq` lies at `seq & (size - 1)`
    sndSize: new Int32Array(n),
    rcvAt: new Uint32Array(n),
    rcvSize: new Int32Array(n),
    gapsAt: new Uint32Array(n), // the pieces behind a gap
    gapsCount: new Int32Array(n),
    gapsStamp: new Int32Array(n),
    notSentLowat: new Int32Array(n),
    challenges: new Int32Array(n),
    cookie: new Int32Array(n), // RFC 7413: where the target's cookie is kept
    link: new Int32Array(n), // free list; accept queue
    dirtyNext: new Int32Array(n),
    eventNext: new Int32Array(n),
    hashNext: new Int32Array(n),
    portNext: new Int32Array(n),
    portPrevious: new Int32Array(n),
    listener: new Int32Array(n), // who the connection came to, until it is accepted
    acceptFirst: new Int32Array(n),
    acceptLast: new Int32Array(n),
    acceptCount: new Int32Array(n),
    backlog: new Int32Array(n),
    fastOpenMax: new Int32Array(n),
    fastOpenCount: new Int32Array(n),
  };
}

/** Times. */
function timeColumns(n: number) {
  return {
    tsRecentUs: new Float64Array(n),
    heardUs: new Float64Array(n),
    openedUs: new Float64Array(n),
    synSentUs: new Float64Array(n),
    progressUs: new Float64Array(n), // when the oldest byte in flight was sent, or something was acknowledged
    keepIdleUs: new Float64Array(n),
    keepIntervalUs: new Float64Array(n),
    userTimeoutUs: new Float64Array(n),
    lingerUs: new Float64Array(n),
    challengeUs: new Float64Array(n),
    tuneUs: new Float64Array(n), // when the round began in which the reader's rate is measured
    mtuProbeUs: new Float64Array(n), // from when on longer segments are tried, 0: no need (RFC 4821 §7.7)
  };
}

/** The column dictionary: what a connection has. Sequence numbers are signed words; sizes in bytes; times in µs. */
function newColumns(n: number) {
  return { ...smallColumns(n), ...sequenceColumns(n), ...listColumns(n), ...timeColumns(n) };
}

export type Columns = ReturnType<typeof newColumns>;

/** Columns that mean something in one slab only. */
const OFFSETS: ReadonlySet<string> = new Set(['sndAt', 'rcvAt', 'gapsAt']);

/** Everything of `columns`, in a fixed order. */
function arraysOf(columns: Columns) {
  return Object.values(columns);
}

/** The columns by the kind of their elements, so that each loop of `clear` meets one kind only and makes nothing. */
class Kinds {
  readonly of: Columns;
  private readonly bytes: Uint8Array[] = [];
  private readonly words: Int32Array[] = [];
  private readonly doubles: Float64Array[] = [];
  private readonly others: readonly { fill(value: number, start: number, end: number): unknown }[];
  private readonly strides: readonly number[];

  constructor(columns: Columns, size: number) {
    this.of = columns;
    const others = [];
    for (const column of arraysOf(columns)) {
      const isOne = column.length === size;
      if (isOne && column instanceof Uint8Array) this.bytes.push(column);
      else if (isOne && column instanceof Int32Array) this.words.push(column);
      else if (isOne && column instanceof Float64Array) this.doubles.push(column);
      else others.push(column);
    }
    this.others = others;
    this.strides = others.map((column) => column.length / size);
  }

  /** Sets row `c` of all to zero. */
  clear(c: number): void {
    const { bytes, words, doubles, others, strides } = this;
    for (let i = 0; i < bytes.length; i++) bytes[i]![c] = 0;
    for (let i = 0; i < words.length; i++) words[i]![c] = 0;
    for (let i = 0; i < doubles.length; i++) doubles[i]![c] = 0;
    for (let i = 0; i < others.length; i++) others[i]!.fill(0, c * strides[i]!, (c + 1) * strides[i]!);
  }
}

/** Slots of connections: taken, given back, and grown by doubling, later by an eighth. */
export class Table {
  col: Columns = newColumns(CONNECTIONS_MIN);
  private kinds = new Kinds(this.col, CONNECTIONS_MIN);
  /** Slots that there are. */
  size = CONNECTIONS_MIN;
  /** Slots in use. */
  count = 0;
  private free = END;
  private fresh = 0; // slots from here on were never used
  private readonly max: number;

  constructor({ connectionsMax }: { connectionsMax: number }) {
    this.max = connectionsMax;
  }

  /** True if the next `take` doubles the table. */
  get isFull(): boolean {
    return this.free === END && this.fresh === this.size;
  }

  /** A slot with everything zero but the defaults, or NO_CONNECTION. */
  take(): number {
    if (this.count >= this.max) return NO_CONNECTION;
    if (this.isFull) this.grow();
    let c = this.free;
    if (c !== END) this.free = this.col.link[c]!;
    else c = this.fresh++;
    this.count++;
    this.reset(c);
    return c;
  }

  /** Gives the slot back. */
  give(c: number): void {
    const { col } = this;
    col.flags[c] = 0;
    col.state[c] = State.Closed;
    col.link[c] = this.free;
    this.free = c;
    this.count--;
  }

  isUsed(c: number): boolean {
    return c >= 0 && c < this.fresh && (this.col.flags[c]! & Is.Used) !== 0;
  }

  /** Slots below this number may be in use. */
  get end(): number {
    return this.fresh;
  }

  private grow(): void {
    const size = this.size < DOUBLES_MAX ? 2 * this.size : this.size + (this.size >> 3);
    const next = newColumns(size);
    const from = arraysOf(this.col);
    arraysOf(next).forEach((column, i) => {
      column.set(from[i]!);
    });
    this.col = next;
    this.size = size;
  }

  private reset(c: number): void {
    const { col } = this;
    if (this.kinds.of !== col) this.kinds = new Kinds(col, this.size);
    this.kinds.clear(c);
    col.flags[c] = Is.Used;
    col.options[c] = Opt.Timestamps | Opt.Sack | Opt.Scaling | Opt.Rack;
    col.hopLimit[c] = 0; // the link's
    col.congestion[c] = 1;
    col.synMax[c] = SYN_RETRIES;
    col.keepMax[c] = KEEP_COUNT;
    col.keepIdleUs[c] = KEEP_IDLE_US;
    col.keepIntervalUs[c] = KEEP_INTERVAL_US;
    col.lingerUs[c] = -1;
    col.sndMax[c] = SEND_BUFFER_BYTES;
    col.rcvMax[c] = RECEIVE_BUFFER_BYTES;
    col.cookie[c] = END;
    col.link[c] = col.dirtyNext[c] = col.eventNext[c] = col.hashNext[c] = END;
    col.portNext[c] = col.portPrevious[c] = col.listener[c] = END;
    col.acceptFirst[c] = col.acceptLast[c] = END;
  }

  save(state: StateWriter): void {
    state.number(this.size).number(this.count).number(this.free).number(this.fresh);
    for (const [name, column] of Object.entries(this.col)) if (!OFFSETS.has(name)) state.column(column);
  }

  /** Whoever loads the buffers sets their offsets. */
  load(state: StateReader): void {
    const size = state.integer(CONNECTIONS_MIN, Math.max(CONNECTIONS_MIN, 2 * this.max));
    this.size = size;
    this.count = state.integer(0, Math.min(size, this.max));
    this.free = state.integer(END, size - 1);
    this.fresh = state.integer(0, size);
    this.col = newColumns(size);
    for (const [name, column] of Object.entries(this.col)) if (!OFFSETS.has(name)) state.into(column);
    this.check();
  }

  /** Every number that is used as an index must be one. */
  private check(): void {
    const { col, size } = this;
    const lists = [col.link, col.dirtyNext, col.eventNext, col.hashNext, col.portNext, col.portPrevious];
    for (const list of [...lists, col.listener, col.acceptFirst, col.acceptLast]) {
      for (const c of list) if (c < END || c >= size) throw new StateError(`connection ${c} of ${size}`);
    }
    for (const state of col.state) if (state > State.TimeWait) throw new StateError(`TCP state ${state}`);
  }
}

/** Copies the address of connection `c` out of a column of addresses. */
export function addressAt(column: Int32Array, c: number, to: Address): Address {
  const at = c * ADDRESS_WORDS;
  to[0] = column[at]!;
  to[1] = column[at + 1]!;
  to[2] = column[at + 2]!;
  to[3] = column[at + 3]!;
  return to;
}

/** Copies an address into a column of addresses. */
export function setAddress(column: Int32Array, c: number, from: Address): void {
  const at = c * ADDRESS_WORDS;
  column[at] = from[0]!;
  column[at + 1] = from[1]!;
  column[at + 2] = from[2]!;
  column[at + 3] = from[3]!;
}

/** True if the address of `c` in a column is `a`. */
export function addressIs(column: Int32Array, c: number, a: Address): boolean {
  const at = c * ADDRESS_WORDS;
  return column[at + 3] === a[3] && column[at + 2] === a[2] && column[at + 1] === a[1] && column[at] === a[0];
}
