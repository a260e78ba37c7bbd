import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Burst, PLAIN } from '../../core/burst.ts';
import { NONE, Slab } from '../../core/slab.ts';
import { FRONT_BYTES, Output } from '../../stack/output.ts';

const make = (bytesMax = 1024, framesMax = 8): { slab: Slab; output: Output } => {
  const slab = new Slab({ bytesMax: 1 << 20 });
  return { slab, output: new Output(slab, { bytesMax, framesMax }) };
};

describe('an output', () => {
  test('gives frames in order, with an IP header behind 14 bytes aligned to 4', () => {
    const { slab, output } = make();
    for (const length of [61, 60, 63]) {
      const at = output.reserve(length);
      expect((at + 14) % 4).toBe(0);
      slab.bytes.fill(length, at, at + length);
      output.commit(length, PLAIN);
    }
    const burst = new Burst(8);
    expect(output.drain(burst)).toBe(false);
    expect([...burst.length.subarray(0, 3)]).toEqual([61, 60, 63]);
    expect([...burst.at.subarray(0, 3)].map((at) => slab.bytes[at])).toEqual([61, 60, 63]);
  });

  test('a second look in a turn adds frames and frees none of the first', () => {
    const slab = new Slab({ bytesMax: 65536 });
    const output = new Output(slab, { bytesMax: 1024, framesMax: 2 });
    const send = (mark: number): boolean => {
      const at = output.reserve(60);
      if (at === NONE) return false;
      slab.bytes.fill(mark, at, at + 60);
      output.commit(60, PLAIN);
      return true;
    };
    const burst = new Burst(8);
    send(1);
    output.drain(burst);
    send(2);
    expect(output.drainMore(burst)).toBe(false);
    expect(send(3)).toBe(false);
    expect([0, 1].map((i) => slab.bytes[burst.at[i]!])).toEqual([1, 2]);
    output.drain(new Burst(8));
    expect(send(3)).toBe(true);
  });

  test('is full at its last frame or byte, and free again after the drain that follows', () => {
    const { output } = make(4096, 4);
    for (let i = 0; i < 4; i++) {
      expect(output.reserve(20)).not.toBe(NONE);
      output.commit(20, PLAIN);
    }
    expect(output.reserve(20)).toBe(NONE);
    output.drain(new Burst(8));
    expect(output.reserve(20)).toBe(NONE); // what was reported is still in use
    output.drain(new Burst(8));
    expect(output.reserve(20)).not.toBe(NONE);
    expect(make(128, 4).output.reserve(120)).toBe(NONE);
    expect(make(128, 4).output.reserve(100)).not.toBe(NONE);
  });

  test('forgets what was reserved and not committed', () => {
    const { output } = make();
    const at = output.reserve(900);
    expect(output.reserve(900)).toBe(at);
    expect(output.pending).toBe(0);
  });

  test('keeps every frame whole until the drain after the one that reported it, whatever the sizes', () => {
    const step = fc.record({
      bytes: fc.integer({ min: 14, max: 400 }),
      drain: fc.boolean(),
      room: fc.integer({ min: 1, max: 5 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const { slab, output } = make(1024, 8);
        const queued: { length: number; mark: number }[] = [];
        let reported: { at: number; length: number; mark: number }[] = [];
        steps.forEach(({ bytes, drain, room }, mark) => {
          const at = output.reserve(bytes);
          if (at !== NONE) {
            slab.bytes.fill(mark & 255, at - FRONT_BYTES, at + bytes);
            output.commit(bytes, PLAIN);
            queued.push({ length: bytes, mark: mark & 255 });
          }
          for (const f of reported) {
            expect(slab.bytes.subarray(f.at, f.at + f.length).every((b) => b === f.mark)).toBe(true);
          }
          if (!drain) return;
          const burst = new Burst(room);
          output.drain(burst);
          reported = [];
          for (let i = 0; i < burst.count; i++) {
            const { length, mark: m } = queued.shift()!;
            expect(burst.length[i]).toBe(length);
            reported.push({ at: burst.at[i]!, length, mark: m });
          }
        });
        expect(output.pending).toBe(queued.length);
      }),
    );
  });
});
