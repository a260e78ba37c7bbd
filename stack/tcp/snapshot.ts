// All of TCP in a snapshot: columns, buffers with what lies behind gaps, timers, queues, keys. RFC 9293 knows nothing of it.

import { NONE } from '../../core/slab.ts';
import type { StateReader, StateWriter } from '../../core/state.ts';
import { StateError } from '../../core/state.ts';
import { TimerWheel } from '../../core/timer-wheel.ts';
import type { Core } from './core.ts';
import { GAPS_MAX } from './gaps.ts';
import { freeResting, takeGaps } from './ring.ts';
import { END, Is, NO_CONNECTION } from './table.ts';

const TIMERS = 4;
const GAP_BYTES = 12;
const RING_BYTES_MAX = 1 << 27;

export function save(core: Core, state: StateWriter): void {
  freeResting(core);
  state.section('stack/tcp', 1);
  core.table.save(state);
  core.demux.save(state);
  core.timeWait.save(state);
  core.isn.save(state);
  core.ports.save(state);
  core.fastOpen.save(state);
  core.cookies.save(state);
  state.number(core.dirtyFirst).number(core.dirtyLast).number(core.eventFirst).number(core.eventLast);
  state.number(core.halfOpen).number(core.orphans);
  state.number(core.cookieUs).column(core.interceptors);
  for (let c = 0; c < core.table.end; c++) if (core.has(c, Is.Used)) saveBuffers(core, c, state);
  const ids = core.wheel.ids();
  state.column(Uint32Array.from(ids)).column(Float64Array.from(ids, (id) => core.wheel.deadlineOf(id)));
  core.recovery.save(state);
}

function saveBuffers(core: Core, c: number, state: StateWriter): void {
  const { col } = core;
  const { bytes } = core.shared;
  if (col.sndAt[c] !== NONE) state.column(bytes.subarray(col.sndAt[c]!, col.sndAt[c]! + col.sndSize[c]!));
  if (col.rcvAt[c] !== NONE) state.column(bytes.subarray(col.rcvAt[c]!, col.rcvAt[c]! + col.rcvSize[c]!));
  const gaps = col.gapsAt[c]!;
  if (col.gapsCount[c]! > 0) state.column(bytes.subarray(gaps, gaps + GAP_BYTES * col.gapsCount[c]!));
}

/** Replaces everything; buffers that there were are given back. Throws `StateError`. */
export function load(core: Core, state: StateReader): void {
  freeAll(core);
  state.section('stack/tcp', 1);
  core.table.load(state);
  core.col = core.table.col;
  core.demux.load(state);
  core.timeWait.load(state);
  core.isn.load(state);
  core.ports.load(state);
  core.fastOpen.load(state);
  core.cookies.load(state);
  const most = core.table.size - 1;
  core.dirtyFirst = state.integer(END, most);
  core.dirtyLast = state.integer(END, most);
  core.eventFirst = state.integer(END, most);
  core.eventLast = state.integer(END, most);
  core.halfOpen = state.integer(0, core.table.size);
  core.orphans = state.integer(0, core.table.size);
  core.cookieUs = state.number();
  state.into(core.interceptors);
  for (const l of core.interceptors) if (l < END || l > most) throw new StateError(`interceptor ${l}`);
  for (let c = 0; c < core.table.end; c++) if (core.has(c, Is.Used)) loadBuffers(core, c, state);
  loadTimers(core, state);
  core.recovery.grow(core.table.size);
  core.recovery.load(state);
}

function freeAll(core: Core): void {
  const { col } = core;
  for (let c = 0; c < core.table.end; c++) if (core.has(c, Is.Used)) core.freeBuffers(c);
  core.resting.send = NO_CONNECTION;
  core.resting.receive = NO_CONNECTION;
  col.flags.fill(0);
}

function loadBuffers(core: Core, c: number, state: StateReader): void {
  const { col } = core;
  col.sndAt[c] = loadRing(core, col.sndSize[c]!, state);
  col.rcvAt[c] = loadRing(core, col.rcvSize[c]!, state);
  const count = col.gapsCount[c]!;
  if (count === 0) return;
  if (count < 0 || count > GAPS_MAX || !takeGaps(core, c)) throw new StateError(`${count} gaps`);
  const bytes = state.bytes(GAP_BYTES * count);
  if (bytes.length !== GAP_BYTES * count) throw new StateError(`${bytes.length} bytes of gaps`);
  core.shared.bytes.set(bytes, col.gapsAt[c]!);
}

function loadRing(core: Core, size: number, state: StateReader): number {
  if (size === 0) return NONE;
  if (size < 0 || size > RING_BYTES_MAX || (size & (size - 1)) !== 0) throw new StateError(`a buffer of ${size} bytes`);
  const bytes = state.bytes(size);
  if (bytes.length !== size) throw new StateError(`${bytes.length} bytes of a buffer of ${size}`);
  const at = core.slab.alloc(size);
  if (at === NONE) throw new StateError('no memory for the buffers');
  core.shared.bytes.set(bytes, at);
  core.ringBytes += size;
  return at;
}

function loadTimers(core: Core, state: StateReader): void {
  const timers = TIMERS * core.table.size;
  const ids = state.u32s(timers);
  core.wheel = new TimerWheel({ timersMax: timers });
  const deadlines = state.f64s(timers);
  if (deadlines.length !== ids.length) throw new StateError('timers without deadlines');
  ids.forEach((id, i) => {
    if (id < 0 || id >= timers || !(deadlines[i]! < 2 ** 53)) throw new StateError(`timer ${id}`);
    core.wheel.set(id, deadlines[i]!);
  });
}
