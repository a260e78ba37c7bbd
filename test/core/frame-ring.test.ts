import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FrameRing } from '../../core/frame-ring.ts';
import { Slab } from '../../core/slab.ts';

const RING_BYTES = 128;
const GUARD = 0xa5;

/** A ring between two guards, which nothing may ever write to. */
function guarded() {
  const slab = new Slab({ bytesMax: 65536 });
  const source = slab.alloc(256);
  const before = slab.alloc(64);
  const ring = new FrameRing(slab, { bytesMax: RING_BYTES });
  slab.bytes.set([1], source);
  ring.push(source, 1); // takes its memory
  ring.shift();
  const after = slab.alloc(64);
  slab.bytes.fill(GUARD, before, before + 64);
  slab.bytes.fill(GUARD, after, after + 64);
  const isIntact = (): boolean =>
    [before, after].every((at) => slab.bytes.subarray(at, at + 64).every((byte) => byte === GUARD));
  return { slab, source, ring, isIntact };
}

describe('FrameRing', () => {
  test('wraps when a record ends exactly where the ring ends', () => {
    const { ring, source, isIntact } = guarded();
    expect([ring.push(source, 60), ring.push(source, 60)]).toEqual([true, true]); // 2 × (4 + 60) bytes
    ring.shift();
    expect([ring.push(source, 60), isIntact(), ring.count]).toEqual([true, true, 2]);
    ring.shift();
    ring.shift();
    expect(ring.count).toBe(0);
  });

  test.each([
    ['a record as long as the ring', RING_BYTES - 4, true],
    ['one byte more', RING_BYTES - 3, false],
    ['no bytes', 0, true],
  ])('takes %s: %s', (_name, length, taken) => {
    const { ring, source } = guarded();
    expect(ring.push(source, length)).toBe(taken);
    expect(ring.count).toBe(taken ? 1 : 0);
  });

  test('says no where the slab has no room', () => {
    const slab = new Slab({ bytesMax: 65536 });
    const ring = new FrameRing(slab, { bytesMax: 1 << 17 });
    expect([ring.push(64, 10), ring.count]).toEqual([false, 0]);
    ring.close();
  });

  test('gives its memory back', () => {
    const { ring, slab, source } = guarded();
    ring.push(source, 10);
    const before = slab.usedBytes;
    ring.close();
    expect(before - slab.usedBytes).toBe(RING_BYTES);
  });

  test('keeps records as a list would, and nothing else', () => {
    const step = fc.oneof(
      { weight: 3, arbitrary: fc.integer({ min: 0, max: 70 }).map((length) => ({ push: length })) },
      { weight: 2, arbitrary: fc.constant({ push: -1 }) },
    );
    const at = new Int32Array(8);
    const lengths = new Int32Array(8);
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const { ring, slab, source, isIntact } = guarded();
        const model: number[][] = [];
        let next = 0;
        for (const { push } of steps) {
          if (push >= 0) {
            const bytes = Array.from({ length: push }, () => next++ & 0xff);
            slab.bytes.set(bytes, source);
            const isTaken = ring.push(source, push);
            if (isTaken) model.push(bytes);
            else
              expect(model.reduce((sum, each) => sum + each.length + 4, 0) + push + 4).toBeGreaterThan(RING_BYTES / 2);
          } else if (model.length > 0) {
            expect([...slab.bytes.subarray(ring.at, ring.at + ring.length)]).toEqual(model.shift());
            ring.shift();
          }
          expect(ring.count).toBe(model.length);
          const n = ring.peek(at, lengths, 8);
          expect(n).toBe(Math.min(8, model.length));
          for (let i = 0; i < n; i++) expect([...slab.bytes.subarray(at[i]!, at[i]! + lengths[i]!)]).toEqual(model[i]);
          expect(isIntact()).toBe(true);
        }
      }),
      { numRuns: 300 },
    );
  });
});
