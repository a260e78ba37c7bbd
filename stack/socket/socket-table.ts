// Handles: what a small number stands for, and which have news, each once and in order.

import type { StateReader, StateWriter } from '../../core/state.ts';
import { Errno } from '../errno.ts';
import { type Endpoints, Field, type ReadinessListener } from './endpoints.ts';

/** What a handle is: of messages the `Kind` of its endpoint and one more. */
export const SocketKind = { Free: 0, Stream: 1, Udp: 2, Raw: 3, Echo: 4, Packet: 5 } as const;
const KIND_MAX = SocketKind.Packet;

// Columns of a handle.
const KIND = 0;
const INDEX = 1; // of its connection or endpoint
const QUEUED = 2; // 1: it is in the queue of events
const NEXT = 3; // the event after it, -1: the last
const COLUMNS = 4;
const ROWS_FIRST = 16;
const INDEX_MAX = 2 ** 24;

/** Who claims a handle: `SocketUser`. */
export interface HandleUser {
  changed(h: number): void;
}

/** The handles of one stack: the lowest free number is given, the table doubles up to `socketsMax`. */
export class SocketTable implements ReadinessListener {
  private readonly max: number;
  private words = new Int32Array(ROWS_FIRST * COLUMNS);
  private handles = new Int32Array(ROWS_FIRST).fill(-1); // of connections
  private readonly users: (HandleUser | undefined)[] = []; // by handle, as far as any were claimed
  private end = 0; // rows in use are below
  private lowest = 0; // no free row is below
  private first = -1;
  private last = -1;

  constructor(socketsMax: number) {
    this.max = socketsMax;
  }

  get isFull(): boolean {
    return this.lowestFree() >= this.max;
  }

  /** A handle for what has the index, or -EMFILE. */
  add(kind: number, index: number): number {
    const h = this.lowestFree();
    if (h >= this.max) return -Errno.EMFILE;
    if ((h + 1) * COLUMNS > this.words.length) {
      const next = new Int32Array(2 * this.words.length);
      next.set(this.words);
      this.words = next;
    }
    if (h === this.end) this.clear(this.end++);
    this.words[h * COLUMNS + KIND] = kind;
    this.words[h * COLUMNS + INDEX] = index;
    this.lowest = h + 1;
    if (kind === SocketKind.Stream) this.own(index, h);
    return h;
  }

  /** Frees the handle; an event of its stays in the queue, and is skipped. */
  remove(h: number): void {
    if (this.kindOf(h) === SocketKind.Stream) this.own(this.indexOf(h), -1);
    if (h < this.users.length) this.users[h] = undefined;
    this.words[h * COLUMNS + KIND] = SocketKind.Free;
    if (h < this.lowest) this.lowest = h;
  }

  /** A value of `SocketKind`; Free for a number that is no handle. */
  kindOf(h: number): number {
    return h >= 0 && h < this.end ? this.words[h * COLUMNS + KIND]! : SocketKind.Free;
  }

  indexOf(h: number): number {
    return this.words[h * COLUMNS + INDEX]!;
  }

  /** The handle of a connection, -1 if it has none (any more). */
  ofConnection(c: number): number {
    return c < this.handles.length ? this.handles[c]! : -1;
  }

  /** `user` has the handle until it is removed, and an event to begin with. 0 or -EBADF. */
  claim(h: number, user: HandleUser): number {
    if (this.kindOf(h) === SocketKind.Free) return -Errno.EBADF;
    while (this.users.length <= h) this.users.push(undefined);
    this.users[h] = user;
    this.enqueue(h);
    return 0;
  }

  userOf(h: number): HandleUser | undefined {
    return h < this.users.length ? this.users[h] : undefined;
  }

  changed(h: number): void {
    if (this.kindOf(h) !== SocketKind.Free) this.enqueue(h);
  }

  private enqueue(h: number): void {
    const row = h * COLUMNS;
    if (this.words[row + QUEUED] === 1) return;
    this.words[row + QUEUED] = 1;
    this.words[row + NEXT] = -1;
    if (this.last >= 0) this.words[this.last * COLUMNS + NEXT] = h;
    else this.first = h;
    this.last = h;
  }

  /** The next handle with news, or -1. */
  nextEvent(): number {
    while (this.first >= 0) {
      const h = this.first;
      this.first = this.words[h * COLUMNS + NEXT]!;
      if (this.first < 0) this.last = -1;
      this.words[h * COLUMNS + QUEUED] = 0;
      if (this.words[h * COLUMNS + KIND] !== SocketKind.Free) return h;
    }
    return -1;
  }

  save(state: StateWriter): void {
    const events = new Int32Array(this.end);
    let count = 0;
    for (let h = this.first; h >= 0; h = this.words[h * COLUMNS + NEXT]!) events[count++] = h;
    const rows = new Int32Array(2 * this.end);
    for (let h = 0; h < this.end; h++) {
      rows[2 * h] = this.kindOf(h);
      rows[2 * h + 1] = rows[2 * h] === SocketKind.Free ? 0 : this.indexOf(h);
    }
    state.number(this.end).column(rows);
    state.number(count).column(events.slice(0, count));
  }

  load(state: StateReader): void {
    this.end = state.integer(0, this.max);
    const saved = new Int32Array(2 * this.end);
    state.into(saved);
    let rows = ROWS_FIRST;
    while (rows < this.end) rows *= 2;
    this.words = new Int32Array(rows * COLUMNS);
    this.handles.fill(-1);
    this.users.length = 0;
    for (let h = 0; h < this.end; h++) {
      this.clear(h);
      const kind = Math.min(KIND_MAX, Math.max(0, saved[2 * h]!));
      const index = Math.min(INDEX_MAX, Math.max(0, saved[2 * h + 1]!));
      this.words[h * COLUMNS + KIND] = kind;
      this.words[h * COLUMNS + INDEX] = index;
      if (kind === SocketKind.Stream) this.own(index, h);
    }
    this.lowest = 0;
    this.first = this.last = -1;
    const events = new Int32Array(state.integer(0, this.end));
    state.into(events);
    for (const h of events) if (h >= 0 && h < this.end) this.enqueue(h);
  }

  /** After loading: true if every handle of messages has its endpoint, and the endpoint its handle. */
  fits(endpoints: Endpoints): boolean {
    for (let h = 0; h < this.end; h++) {
      const kind = this.kindOf(h);
      if (kind === SocketKind.Free || kind === SocketKind.Stream) continue;
      const e = this.indexOf(h);
      if (e >= endpoints.end || endpoints.get(e, Field.Kind) !== kind - 1 || endpoints.get(e, Field.Handle) !== h)
        return false;
    }
    return true;
  }

  private clear(h: number): void {
    this.words.fill(0, h * COLUMNS, (h + 1) * COLUMNS);
    this.words[h * COLUMNS + NEXT] = -1;
  }

  private lowestFree(): number {
    while (this.lowest < this.end && this.words[this.lowest * COLUMNS + KIND] !== SocketKind.Free) this.lowest++;
    return this.lowest;
  }

  private own(c: number, h: number): void {
    if (c >= this.handles.length) {
      const next = new Int32Array(Math.max(c + 1, 2 * this.handles.length)).fill(-1);
      next.set(this.handles);
      this.handles = next;
    }
    this.handles[c] = h;
  }
}
