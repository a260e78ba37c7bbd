import { createHash } from 'node:crypto';
import { Worker } from 'node:worker_threads';
import { expect, test } from 'vitest';
import { tenNodes } from '../kit/routed.ts';

/** The trace hash, and a hash of the capture files of all links. */
function fingerprint(seed: number): { trace: string; files: string } {
  const net = tenNodes(seed, true);
  const sha = createHash('sha256');
  for (const capture of net.captures) {
    for (const part of capture.take()) sha.update(part);
    expect(capture.missedFrames).toBe(0);
  }
  return { trace: net.trace.hash, files: sha.digest('hex') };
}

test('ten nodes with eight flows do the same 20 times, also on a busy machine, and something else with another seed', {
  timeout: 600_000,
}, async () => {
  const first = fingerprint(1);
  for (let run = 1; run < 14; run++) expect(fingerprint(1), `run ${run}`).toEqual(first);
  const burners = [0, 1].map(() => new Worker('for (;;) Math.sqrt(performance.now());', { eval: true }));
  try {
    for (let run = 14; run < 20; run++) expect(fingerprint(1), `run ${run} beside burners`).toEqual(first);
  } finally {
    await Promise.all(burners.map((burner) => burner.terminate()));
  }
  const other = fingerprint(2);
  expect(other.trace).not.toBe(first.trace);
  expect(other.files).not.toBe(first.files);
});
