// How a test is skipped: with a reason, and never where nothing may be skipped.

/** Skips the test if there is a reason to; fails it instead where `WEFT_NO_SKIP` is set. */
export function skipIf(ctx: { skip(reason: string): void }, reason: string | undefined): void {
  if (reason === undefined) return;
  if (process.env.WEFT_NO_SKIP) throw new Error(`may not be skipped: ${reason}`);
  ctx.skip(reason);
}
