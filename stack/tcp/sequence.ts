// Sequence numbers live on a circle of 2^32 (RFC 9293 §3.4): signed words, compared by their difference.

/** a < b. */
export const before = (a: number, b: number): boolean => ((a - b) | 0) < 0;
/** a > b. */
export const after = (a: number, b: number): boolean => ((a - b) | 0) > 0;
/** The later one. */
export const later = (a: number, b: number): number => (after(a, b) ? a : b);
/** The earlier one. */
export const earlier = (a: number, b: number): number => (before(a, b) ? a : b);
