// Bugs of ours stop the program; nothing a peer or an operator does may reach here.

/** A broken invariant of our own code. It is never caught to go on. */
export class Bug extends Error {
  override readonly name = 'Bug';
}

/** An operator's mistake: one line that says what was wrong, the value, the range, and the next step. Exit status 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** What was asked for well and cannot be done now, as with a network that is not up: one line and the next step. Exit status 1. */
export class FailedError extends Error {
  override readonly name = 'FailedError';
}

/** Throws `Bug` unless `condition` holds. For invariants of ours only, never for a peer's bytes. */
export function assert(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Bug(what);
}
