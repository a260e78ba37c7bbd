// Times in snapshots.

import { StateError, type StateReader } from '../../core/state.ts';

/** A time of the stack's own clock, or one of the infinities. */
export function loadTime(state: StateReader): number {
  const us = state.number();
  if (Number.isNaN(us)) throw new StateError('a time that is none');
  return us;
}
