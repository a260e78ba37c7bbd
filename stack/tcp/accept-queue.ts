// Connections that a listener has and that nobody accepted yet, in their order.

import type { Core } from './core.ts';
import { END, Is } from './table.ts';

/** True if no more connections are taken. As everywhere a backlog of n holds n + 1. */
export const isBacklogFull = (core: Core, listener: number): boolean =>
  core.col.acceptCount[listener]! > core.col.backlog[listener]!;

/** Appends connection `c` to its listener's queue and tells the user. */
export function enqueue(core: Core, c: number): void {
  const { col } = core;
  const listener = col.listener[c]!;
  if (listener === END || core.has(c, Is.Queued)) return;
  const last = col.acceptLast[listener]!;
  col.link[c] = END;
  if (last === END) col.acceptFirst[listener] = c;
  else col.link[last] = c;
  col.acceptLast[listener] = c;
  col.acceptCount[listener] = col.acceptCount[listener]! + 1;
  core.set(c, Is.Queued);
  core.tell(listener);
}

/** Takes the first, or END. It belongs to the user then. */
export function dequeue(core: Core, listener: number): number {
  const c = core.col.acceptFirst[listener]!;
  if (c === END) return END;
  unqueue(core, c);
  core.col.listener[c] = END;
  core.set(c, Is.Owned);
  return c;
}

/** Takes `c` out of the queue that it is in, if any. */
export function unqueue(core: Core, c: number): void {
  if (!core.has(c, Is.Queued)) return;
  const { col } = core;
  const listener = col.listener[c]!;
  let previous = END;
  for (let i = col.acceptFirst[listener]!; i !== c; i = col.link[i]!) previous = i;
  if (previous === END) col.acceptFirst[listener] = col.link[c]!;
  else col.link[previous] = col.link[c]!;
  if (col.acceptLast[listener] === c) col.acceptLast[listener] = previous;
  col.acceptCount[listener] = col.acceptCount[listener]! - 1;
  core.unset(c, Is.Queued);
}
