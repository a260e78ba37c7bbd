// Property tests draw the same cases in every run, so that a red run is red again; `WEFT_SEED=N` draws others.

import fc from 'fast-check';

const seed = Number(process.env.WEFT_SEED ?? 1);
if (!Number.isSafeInteger(seed)) throw new Error(`WEFT_SEED=${process.env.WEFT_SEED}: expected a whole number`);
fc.configureGlobal({ seed });
