// A run of bytes in a ring: at most two ranges of the slab.

/** Bytes that a ring has, or has room for, in their order: `bytes` at `at`, then `moreBytes` at `moreAt`. One is reused for all calls. */
export class Span {
  at = 0;
  bytes = 0;
  moreAt = 0;
  moreBytes = 0;

  /** Of both ranges. */
  get total(): number {
    return this.bytes + this.moreBytes;
  }

  set(at: number, bytes: number, moreAt = 0, moreBytes = 0): void {
    this.at = at;
    this.bytes = bytes;
    this.moreAt = moreAt;
    this.moreBytes = moreBytes;
  }
}
