// The connections that a gateway relays, as columns: found by the handle of either side, in the order of their slots.

import { ADDRESS_WORDS, type Address } from '../stack/stack.ts';

/** A flow's life. */
export const FlowState = {
  Free: 0,
  /** A guest's connection is withheld while the host connects. */
  HostConnecting: 1,
  /** A client was accepted, and the guest is being connected to. */
  GuestConnecting: 2,
  Open: 3,
  /** Both streams have ended; the guest has not acknowledged everything yet. The host's side is closed. */
  Draining: 4,
  /** The host's side was reset; the guest is as soon as it was sent what came before. */
  Ending: 5,
} as const;
export type FlowState = (typeof FlowState)[keyof typeof FlowState];

/** Facts about a flow, bits. */
export const FlowFlag = {
  /** It was opened from outside. */
  Inbound: 1,
  /** The guest's stream has ended, and the host's socket was told. */
  GuestEnded: 2,
  HostEnded: 4,
  /** The host's socket takes no more for now. */
  Blocked: 8,
  /** The guest's ring takes no more for now. */
  Full: 16,
  /** As `Full`, but it is the slab that has no room. */
  Starved: 32,
  /** The host's socket failed when it was written to; what it still has to read is taken. */
  Broken: 64,
  /** It is in the list of those that go on in the next turn. */
  Queued: 128,
  /** The host's end is a Unix socket. */
  Unix: 256,
} as const;

/** No flow, or no handle. */
export const NO_FLOW = -1;
const SLOTS_FIRST = 64;
/** Flows that are compared before one is ended. */
const SAMPLE = 16;
/** Reads of the host's sockets are this long at first, as a power of two. */
const READ_LOG2_FIRST = 12;

const columnsOf = (n: number) => ({
  state: new Uint8Array(n),
  flags: new Uint16Array(n),
  stackHandle: new Int32Array(n).fill(NO_FLOW),
  hostHandle: new Int32Array(n).fill(NO_FLOW),
  next: new Int32Array(n).fill(NO_FLOW), // of the free ones, or of those that are queued
  guest: new Int32Array(n * ADDRESS_WORDS),
  other: new Int32Array(n * ADDRESS_WORDS), // where the guest thinks it goes, or who came from outside
  guestPort: new Uint16Array(n),
  otherPort: new Uint16Array(n),
  readLog2: new Uint8Array(n),
  station: new Int32Array(n), // whom it is counted for
  wanted: new Uint8Array(n), // what the host's socket is waited for
  bytesOut: new Float64Array(n),
  bytesIn: new Float64Array(n),
  openedUs: new Float64Array(n),
  usedUs: new Float64Array(n),
});
/** What is known of each flow. Growth replaces them all. */
export type FlowColumns = ReturnType<typeof columnsOf>;

export class ConnectionTable {
  readonly flowsMax: number;
  /** Flows that are not free. */
  count = 0;
  /** Slots in use are below. */
  end = 0;
  col: FlowColumns = columnsOf(SLOTS_FIRST);
  private cursor = 0;
  private freeFirst = NO_FLOW;
  private byStack = new Int32Array(SLOTS_FIRST).fill(NO_FLOW);
  private byHost = new Int32Array(SLOTS_FIRST).fill(NO_FLOW);

  constructor(flowsMax: number) {
    this.flowsMax = flowsMax;
  }

  get isFull(): boolean {
    return this.count >= this.flowsMax;
  }

  /** A new flow; `isFull` was asked. What was read from `col` before is old. */
  take(state: FlowState, guest: Address, guestPort: number, other: Address, otherPort: number, nowUs: number): number {
    const f = this.slot();
    const { col } = this;
    this.count++;
    col.state[f] = state;
    col.flags[f] = 0;
    col.next[f] = NO_FLOW;
    col.guest.set(guest, f * ADDRESS_WORDS);
    col.other.set(other, f * ADDRESS_WORDS);
    col.guestPort[f] = guestPort;
    col.otherPort[f] = otherPort;
    col.readLog2[f] = READ_LOG2_FIRST;
    col.wanted[f] = 0;
    col.bytesOut[f] = 0;
    col.bytesIn[f] = 0;
    col.openedUs[f] = nowUs;
    col.usedUs[f] = nowUs;
    return f;
  }

  /** The flow is no more; its handles were closed. */
  give(f: number): void {
    this.setStackHandle(f, NO_FLOW);
    this.setHostHandle(f, NO_FLOW);
    this.col.state[f] = FlowState.Free;
    this.col.next[f] = this.freeFirst;
    this.freeFirst = f;
    this.count--;
  }

  setStackHandle(f: number, h: number): void {
    const old = this.col.stackHandle[f]!;
    if (old >= 0) this.byStack[old] = NO_FLOW;
    if (h >= this.byStack.length) this.byStack = longer(this.byStack, h);
    if (h >= 0) this.byStack[h] = f;
    this.col.stackHandle[f] = h;
  }

  setHostHandle(f: number, h: number): void {
    const old = this.col.hostHandle[f]!;
    if (old >= 0) this.byHost[old] = NO_FLOW;
    if (h >= this.byHost.length) this.byHost = longer(this.byHost, h);
    if (h >= 0) this.byHost[h] = f;
    this.col.hostHandle[f] = h;
  }

  /** The flow of a socket of the stack's, or NO_FLOW. */
  ofStack(h: number): number {
    return h < this.byStack.length ? this.byStack[h]! : NO_FLOW;
  }

  /** The flow of a socket of the host's, or NO_FLOW. */
  ofHost(h: number): number {
    return h < this.byHost.length ? this.byHost[h]! : NO_FLOW;
  }

  has(f: number, bits: number): boolean {
    return (this.col.flags[f]! & bits) !== 0;
  }

  set(f: number, bits: number): void {
    this.col.flags[f] = this.col.flags[f]! | bits;
  }

  unset(f: number, bits: number): void {
    this.col.flags[f] = this.col.flags[f]! & ~bits;
  }

  /** Copies the guest's address. */
  guestInto(f: number, into: Address): void {
    copyWords(this.col.guest, f, into);
  }

  otherInto(f: number, into: Address): void {
    copyWords(this.col.other, f, into);
  }

  /**
   * Of the next few flows for which `isMeant`, the one that nothing went by for longest; NO_FLOW if there is none. Who asks
   * often does not look at all of them each time.
   */
  findIdle(isMeant: (f: number) => boolean): number {
    const { col, end } = this;
    let best = NO_FLOW;
    let seen = 0;
    for (let n = 0; n < end && seen < SAMPLE; n++) {
      const f = this.step();
      if (col.state[f] === FlowState.Free || !isMeant(f)) continue;
      seen++;
      if (best === NO_FLOW || col.usedUs[f]! < col.usedUs[best]!) best = f;
    }
    return best;
  }

  /** The next slot of a walk around all that are in use, free or not. */
  step(): number {
    if (this.cursor >= this.end) this.cursor = 0;
    return this.cursor++;
  }

  private slot(): number {
    const f = this.freeFirst;
    if (f !== NO_FLOW) {
      this.freeFirst = this.col.next[f]!;
      return f;
    }
    if (this.end === this.col.state.length) this.grow();
    return this.end++;
  }

  private grow(): void {
    const from = this.col;
    const to = columnsOf(Math.min(this.flowsMax, 2 * this.end));
    for (const name of Object.keys(from) as (keyof FlowColumns)[]) to[name].set(from[name]);
    this.col = to;
  }
}

function copyWords(from: Int32Array, f: number, into: Address): void {
  for (let i = 0; i < ADDRESS_WORDS; i++) into[i] = from[f * ADDRESS_WORDS + i]!;
}

/** Long enough to have `index`. */
function longer(from: Int32Array<ArrayBuffer>, index: number): Int32Array<ArrayBuffer> {
  const to = new Int32Array(Math.max(2 * from.length, index + 1)).fill(NO_FLOW);
  to.set(from);
  return to;
}
