// What a plug is given by the thread that it lives in.

import type { Port } from '../core/port.ts';
import type { Slab } from '../core/slab.ts';

/** The engine as a plug sees it. One per thread; all of its ports share the slab. */
export interface PlugHost {
  readonly slab: Slab;
  /** Whole µs since an arbitrary start. */
  nowUs(): number;
  /** Says that `port` has frames (or can send again): the engine calls `receive` and `flush` soon, never from within. */
  wake(port: Port): void;
  /** Says that `port`, whose `flush` had returned false, sent what it held: its ingress may go on. */
  drained?(port: Port): void;
  /** A fact for the operator, one line: connected, lost, refused. Never called per frame. */
  tell(port: Port, text: string): void;
}
