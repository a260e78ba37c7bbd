// One row per connection: everything that loss recovery and congestion control remember, in columns.

import { type Column, StateError, type StateReader, type StateWriter } from '../../core/state.ts';
import { NO_UNDO, UndoTable } from './undo-table.ts';

/** No descriptor. */
export const NO_SEGMENT = -1;

/** What a connection does about loss. */
export const Phase = {
  Open: 0, // nothing is known to be lost
  Reduced: 1, // after ECN or a loss that a probe repaired: no growth until `recover` is acknowledged (RFC 3168 §6.1.2)
  Recovery: 2, // fast recovery, paced by PRR
  Loss: 3, // slow start after a timeout
} as const;
export type Phase = (typeof Phase)[keyof typeof Phase];

/** What the one send timer of a connection waits for. */
export const Timer = { None: 0, Rto: 1, Probe: 2, Reorder: 3 } as const;
export type Timer = (typeof Timer)[keyof typeof Timer];

/** Properties of a connection, in `options`. */
export const Option = { Sack: 1, Timestamps: 2, Ecn: 4, Rack: 8, Cubic: 16 } as const;

/** Passing conditions of a connection, in `state`. */
export const Mark = {
  CwndLimited: 1, // the window was full after the last transmission: it may grow
  CwrPending: 2, // RFC 3168 §6.1.2: the next new data carries CWR
  Reordered: 4, // RFC 8985 §6.2 step 3: RACK.reordering_seen
  DsackRound: 8, // `rackRound` holds the end of a round
  HeadDue: 16, // the head is to be retransmitted whatever the window is
  ProbeDue: 32, // a loss probe was asked for and is the next to be sent
  Probed: 64, // `tlpEnd` holds TLP.end_seq
  ProbeIsCopy: 128, // RFC 8985 §7.1: TLP.is_retrans
  Undoable: 256, // `before` holds what was before the reduction
  Timestamped: 512, // `firstResentUs` holds when the episode's first retransmission was sent
  PartialSeen: 1024, // RFC 6582 §4: the episode's first partial ACK came, so the timer is not restarted any more
  SynLost: 2048, // RFC 6298 §5.7
  Rescued: 4096, // RFC 6675 §4 NextSeg rule (4) was used in this episode
  HasFack: 8192, // `rackFack` holds the highest sequence number acknowledged in any way
  HasUnsent: 32768, // at the last ACK there was data that could have been sent
  RoundIdle: 65536, // the round of HyStart++ began with nothing in flight: it ends with what the next ACK finds sent
  MtuProbe: 131072, // `probeSeq` is where the probe of a longer path begins, which is in flight
  MtuLost: 262144, // it was lost, and nothing else with it
  HasRack: 16384, // `rackXmitUs`, `rackEnd` and `rackRttUs` hold a segment
} as const;

const F64 = [
  'cwnd',
  'ssthresh',
  'srttUs',
  'rttvarUs',
  'rtoUs',
  'minRttUs',
  'minRttAtUs',
  'lastRttUs',
  'deadlineUs',
  'rtoAtUs',
  'sentAtUs',
  'ackedAtUs',
  'rackXmitUs',
  'rackRttUs',
  'firstResentUs',
  'prrDelivered',
  'prrOut',
  'prrFlight',
  'grown',
  'cubicMax',
  'cubicPrior',
  'cubicKUs',
  'cubicEpochUs',
  'cubicOrigin',
  'cubicReno',
  'roundMinUs',
  'lastRoundMinUs',
  'cssBaseUs',
] as const;
const I32 = [
  'una',
  'nxt',
  'mss',
  'initialWindow',
  'sackedBytes',
  'lostBytes',
  'dupBytes',
  'recover',
  'lossRecover',
  'rackEnd',
  'rackFack',
  'rackRound',
  'tlpEnd',
  'probeSeq',
  'probeEnd',
  'frtoNxt',
  'roundEnd',
  'sackedParts',
  'first',
  'last',
  'oldest',
  'newest',
  'hint',
  'lostHint',
  'segmentCount',
  'state',
  'dupAcks',
  'undoRow',
] as const;
const U8 = [
  'phase',
  'timer',
  'options',
  'backoff',
  'frto',
  'rackMult',
  'rackPersist',
  'rttSamples',
  'cssRounds',
] as const;

type Name = (typeof F64)[number] | (typeof I32)[number] | (typeof U8)[number];

/** `column`, longer. */
function grown<T extends Float64Array | Int32Array | Uint8Array>(column: T, made: T): T {
  made.set(column);
  return made;
}

/** The columns. Sequence numbers are int32, times µs of the stack's clock, windows bytes. */
export class RecoveryTable {
  /** Rows there are. */
  rows = 0;
  readonly before = new UndoTable();

  // Window, RFC 5681. `grown`: bytes acknowledged that did not add up to a segment of growth.
  cwnd = new Float64Array(0);
  ssthresh = new Float64Array(0);
  grown = new Float64Array(0);
  initialWindow = new Int32Array(0);
  // Sequence space. `recover`: the episode ends when it is acknowledged.
  una = new Int32Array(0);
  nxt = new Int32Array(0);
  mss = new Int32Array(0);
  recover = new Int32Array(0);
  lossRecover = new Int32Array(0); // RFC 6582's `recover`, which outlives the episode
  // Flight: pipe = nxt - una - sackedBytes - lostBytes - dupBytes.
  sackedBytes = new Int32Array(0);
  lostBytes = new Int32Array(0);
  dupBytes = new Int32Array(0);
  sackedParts = new Int32Array(0); // segments that were SACKed
  // Round-trip time, RFC 6298; `lastRttUs` of the newest segment that the last ACK covered, 0 if none.
  srttUs = new Float64Array(0);
  rttvarUs = new Float64Array(0);
  rtoUs = new Float64Array(0);
  minRttUs = new Float64Array(0);
  minRttAtUs = new Float64Array(0);
  lastRttUs = new Float64Array(0);
  backoff = new Uint8Array(0);
  // The timer.
  deadlineUs = new Float64Array(0);
  rtoAtUs = new Float64Array(0);
  timer = new Uint8Array(0);
  sentAtUs = new Float64Array(0);
  ackedAtUs = new Float64Array(0);
  // RACK and TLP, RFC 8985.
  rackXmitUs = new Float64Array(0);
  rackRttUs = new Float64Array(0);
  rackEnd = new Int32Array(0);
  rackFack = new Int32Array(0);
  rackRound = new Int32Array(0);
  rackMult = new Uint8Array(0);
  rackPersist = new Uint8Array(0);
  tlpEnd = new Int32Array(0);
  probeSeq = new Int32Array(0);
  probeEnd = new Int32Array(0);
  // Undo and F-RTO. `undoRow`: of `before`, or NO_UNDO.
  undoRow = new Int32Array(0);
  firstResentUs = new Float64Array(0);
  frto = new Uint8Array(0);
  frtoNxt = new Int32Array(0);
  // PRR, RFC 9937.
  prrDelivered = new Float64Array(0);
  prrOut = new Float64Array(0);
  prrFlight = new Float64Array(0);
  // CUBIC, RFC 9438; windows in segments. `cubicEpochUs` is -1 outside of an epoch.
  cubicMax = new Float64Array(0);
  cubicPrior = new Float64Array(0);
  cubicKUs = new Float64Array(0);
  cubicEpochUs = new Float64Array(0);
  cubicOrigin = new Float64Array(0);
  cubicReno = new Float64Array(0);
  // HyStart++, RFC 9406. `cssBaseUs` is 0 outside of conservative slow start.
  roundEnd = new Int32Array(0);
  roundMinUs = new Float64Array(0);
  lastRoundMinUs = new Float64Array(0);
  cssBaseUs = new Float64Array(0);
  rttSamples = new Uint8Array(0);
  cssRounds = new Uint8Array(0);
  // Descriptors: the list in sequence order, the list in order of transmission, and where the last search ended.
  first = new Int32Array(0);
  last = new Int32Array(0);
  oldest = new Int32Array(0);
  newest = new Int32Array(0);
  hint = new Int32Array(0);
  lostHint = new Int32Array(0);
  segmentCount = new Int32Array(0);
  // The rest.
  state = new Int32Array(0);
  dupAcks = new Int32Array(0);
  phase = new Uint8Array(0);
  options = new Uint8Array(0);

  // The columns above by kind: a loop over their names is a look-up each.
  private doubles: readonly Float64Array[] = [];
  private words: readonly Int32Array[] = [];
  private bytes: readonly Uint8Array[] = [];

  /** Makes room for `rows` rows; fewer than there are change nothing. */
  grow(rows: number): void {
    if (rows <= this.rows) return;
    for (const name of F64) this[name] = grown(this[name], new Float64Array(rows));
    for (const name of I32) this[name] = grown(this[name], new Int32Array(rows));
    for (const name of U8) this[name] = grown(this[name], new Uint8Array(rows));
    for (const name of ['first', 'last', 'oldest', 'newest', 'hint', 'lostHint'] as const) {
      this[name].fill(NO_SEGMENT, this.rows);
    }
    this.undoRow.fill(NO_UNDO, this.rows);
    this.deadlineUs.fill(Infinity, this.rows);
    this.doubles = F64.map((name) => this[name]);
    this.words = I32.map((name) => this[name]);
    this.bytes = U8.map((name) => this[name]);
    this.rows = rows;
  }

  /** Sets row `c` to zeros and empty lists. */
  clear(c: number): void {
    if (this.undoRow[c] !== NO_UNDO) this.before.give(this.undoRow[c]!);
    const { doubles, words, bytes } = this;
    for (let i = 0; i < doubles.length; i++) doubles[i]![c] = 0;
    for (let i = 0; i < words.length; i++) words[i]![c] = 0;
    for (let i = 0; i < bytes.length; i++) bytes[i]![c] = 0;
    this.first[c] = NO_SEGMENT;
    this.last[c] = NO_SEGMENT;
    this.oldest[c] = NO_SEGMENT;
    this.newest[c] = NO_SEGMENT;
    this.hint[c] = NO_SEGMENT;
    this.lostHint[c] = NO_SEGMENT;
    this.undoRow[c] = NO_UNDO;
    this.deadlineUs[c] = Infinity;
  }

  /** True if the mark is set. */
  has(c: number, mark: number): boolean {
    return (this.state[c]! & mark) !== 0;
  }

  set(c: number, mark: number): void {
    this.state[c] = this.state[c]! | mark;
  }

  unset(c: number, mark: number): void {
    this.state[c] = this.state[c]! & ~mark;
  }

  /** True if the option is set. */
  can(c: number, option: number): boolean {
    return (this.options[c]! & option) !== 0;
  }

  save(state: StateWriter): void {
    state.number(this.rows);
    for (const column of this.columns()) state.column(column);
    this.before.save(state);
  }

  /** @param rowsMax refuses more rows. */
  load(state: StateReader, rowsMax: number): void {
    this.grow(state.integer(0, rowsMax));
    for (const column of this.columns()) state.into(column);
    this.before.load(state, rowsMax);
    this.before.check(this.undoRow);
    for (let c = 0; c < this.rows; c++) {
      if (this.has(c, Mark.Undoable) && this.undoRow[c] === NO_UNDO) throw new StateError('nothing to undo with');
    }
  }

  private columns(): Column[] {
    return [...F64, ...I32, ...U8].map((name: Name) => this[name]);
  }
}
