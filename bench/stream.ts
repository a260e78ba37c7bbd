// weft's stream cable against vde_switch's datagrams: many frames in one system call, with and without native code.

import { type Case, compare, cpuPerFrame, framesPerSecond } from './kit/compare.ts';
import { type Benchmark, oursOf } from './kit/options.ts';

/** Stream cables of ours against datagrams of theirs. */
export const stream: Benchmark = {
  name: 'stream',
  about: 'stream cables (ours) against datagrams (theirs), with and without native code',
  run: (options) => {
    const seconds = Math.min(options.seconds, 0.5);
    const plain = oursOf(options, { WEFT_NO_NATIVE: '1' });
    const cases: Case[] = [];
    for (const frameBytes of [64, 1514]) {
      const sides: Omit<Case, 'name'> = { job: { load: 'saturate', frameBytes, seconds }, oursJob: { load: 'stream' } };
      cases.push({ name: `${frameBytes} B`, ...sides });
      cases.push({ name: `${frameBytes} B, ours without native code`, ...sides, ours: plain });
      cases.push({ name: `${frameBytes} B, ours one frame a call`, ...sides, oursJob: { load: 'stream', batch: 1 } });
    }
    return compare(cases, [framesPerSecond, cpuPerFrame], options);
  },
};
