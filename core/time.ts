// Time is a number of whole microseconds since an arbitrary start; it is always an argument.

export const US_PER_MS = 1_000;
export const US_PER_S = 1_000_000;

/** The deadline of somebody who waits for nothing. */
export const NEVER = Infinity;

/** Milliseconds to wait for `deadlineUs`, rounded up and at most `msMax`; 0 if it is due. */
export function waitMs(deadlineUs: number, nowUs: number, msMax: number): number {
  if (deadlineUs <= nowUs) return 0;
  return Math.min(msMax, Math.ceil((deadlineUs - nowUs) / US_PER_MS));
}
