import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Column, StateError, StateReader, StateWriter, sealSnapshot } from '../../core/state.ts';
import { NEVER } from '../../core/time.ts';
import { hexOf } from '../kit/hex.ts';

function sample(): Uint8Array<ArrayBuffer> {
  return new StateWriter()
    .section('stack/tcp', 3)
    .number(NEVER)
    .number(-0.5)
    .boolean(true)
    .text('héllo')
    .column(Uint8Array.of(1, 2, 255))
    .section('empty', 0)
    .section('tables', 1)
    .column(Uint16Array.of(1, 65535))
    .column(Int16Array.of(-1, 32767))
    .column(Uint32Array.of(1, 0xffffffff))
    .column(Int32Array.of(-1, 2 ** 31 - 1))
    .column(Float64Array.of(2 ** 53, NEVER))
    .finish();
}

describe('a snapshot', () => {
  test('reads what was written', () => {
    const state = new StateReader(sample());
    expect(state.names()).toEqual(['stack/tcp', 'empty', 'tables']);
    expect(state.section('stack/tcp', 3)).toBe(3);
    expect([state.number(), state.number(), state.boolean(), state.text(6)]).toEqual([NEVER, -0.5, true, 'héllo']);
    expect(state.hasMore).toBe(true);
    expect(state.bytes(3)).toEqual(Uint8Array.of(1, 2, 255));
    expect(state.hasMore).toBe(false);
    state.section('tables', 9);
    for (const expected of [
      Uint16Array.of(1, 65535),
      Int16Array.of(-1, 32767),
      Uint32Array.of(1, 0xffffffff),
      Int32Array.of(-1, 2 ** 31 - 1),
      Float64Array.of(2 ** 53, NEVER),
    ] as Column[]) {
      const table = expected.slice().fill(7);
      state.into(table);
      expect(table).toEqual(expected);
    }
  });

  test('has these bytes', () => {
    const bytes = new StateWriter().section('a', 2).text('b').column(Uint16Array.of(0x0102)).finish();
    expect(hexOf(bytes)).toBe(
      '776566740200' + '45914a11' + '0161' + '0200' + '0d000000' + '0201000000' + '62' + '0401000000' + '0201',
    );
  });

  test('reads sections in any order and knows which are there', () => {
    const state = new StateReader(sample());
    state.section('tables', 1);
    state.section('stack/tcp', 3);
    expect([state.has('empty'), state.has('nothing')]).toEqual([true, false]);
    expect(state.number()).toBe(NEVER);
  });

  test('reads from the middle of a buffer', () => {
    const padded = new Uint8Array(sample().length + 3);
    padded.set(sample(), 3);
    const state = new StateReader(padded.subarray(3));
    state.section('stack/tcp', 3);
    expect([state.number(), state.number(), state.boolean(), state.text(99)]).toEqual([NEVER, -0.5, true, 'héllo']);
    expect(state.bytes(3)[2]).toBe(255);
  });

  test('grows with its columns', () => {
    const big = Uint32Array.from({ length: 5000 }, (_, i) => i * i);
    const state = new StateReader(new StateWriter().section('big', 0).column(big).finish());
    state.section('big', 0);
    expect(state.u32s(5000)).toEqual(big);
  });
});

const read = (use: (state: StateReader) => void, bytes = sample(), section = 'stack/tcp') => {
  const state = new StateReader(bytes);
  state.section(section, 3);
  use(state);
};

test.each<[string, () => void, string]>([
  ['bytes that are none', () => new StateReader(new Uint8Array(100)), 'not a snapshot'],
  ['another format', () => new StateReader(sample().fill(9, 4, 5)), 'snapshot format 9, this program reads 2'],
  ['a section that is missing', () => read((s) => s.section('udp', 1)), 'snapshot has no section udp'],
  [
    'a newer section',
    () => read((s) => s.section('tables', 0)),
    'section tables has version 1, this program reads up to 0',
  ],
  ['another kind', () => read((s) => s.text(10)), 'section stack/tcp, byte 26: a text expected, a number found'],
  ['a number out of range', () => read((s) => s.integer(0, 10)), 'byte 35: Infinity is not in 0 … 10'],
  ['a value past the section', () => read((s) => s.number(), sample(), 'empty'), 'a number expected, the section ends'],
  [
    'a table of another size',
    () => read((s) => s.into(new Uint16Array(3)), sample(), 'tables'),
    '2 of u16[], expected 3',
  ],
  [
    'more than there is room for',
    () => read((s) => s.into(new Uint16Array(1)), sample(), 'tables'),
    '2 of u16[], at most 1',
  ],
  [
    'two sections of one name',
    () => new StateReader(new StateWriter().section('a', 0).section('a', 0).finish()),
    'snapshot has two sections a',
  ],
])('refuses %s', (_name, use, message) => {
  expect(use).toThrow(StateError);
  expect(use).toThrow(message);
});

test('compares a count with what is there before it allocates', () => {
  const bytes = new StateWriter().section('stack/tcp', 0).column(new Float64Array(2)).finish();
  // 32 GiB: an attempt to allocate them would be a RangeError.
  new DataView(bytes.buffer).setUint32(bytes.length - 20, 0xffffffff, true);
  sealSnapshot(bytes);
  expect(() => read((s) => s.f64s(2 ** 32), bytes)).toThrow('34359738360 bytes expected, 16 left');
});

/** Reads all of a snapshot's sections as whatever they claim to hold. */
function readEverything(bytes: Uint8Array): void {
  const state = new StateReader(bytes);
  for (const name of state.names()) {
    for (const step of [
      () => state.number(),
      () => state.text(1000),
      () => state.bytes(1000),
      () => state.u32s(1000),
      () => state.f64s(1000),
    ]) {
      state.section(name, 65535);
      step();
    }
  }
}

test('cut at any byte it is refused, or lacks what was cut', () => {
  const bytes = sample();
  for (let cut = 0; cut < bytes.length; cut++) {
    const names = (() => {
      try {
        return new StateReader(bytes.subarray(0, cut)).names();
      } catch (error) {
        expect(error).toBeInstanceOf(StateError);
        return [];
      }
    })();
    expect(names.length).toBeLessThan(3);
  }
});

test('spoilt and random bytes end in a StateError, never in another', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), fc.nat(120), fc.boolean(), (noise, at, isSpoilt) => {
      const bytes = isSpoilt ? sample() : new Uint8Array([...sample().subarray(0, 10), ...noise]);
      if (isSpoilt) bytes.set(noise.subarray(0, Math.max(0, bytes.length - at)), Math.min(at, bytes.length));
      if (at % 4 > 0) sealSnapshot(bytes); // what a hash does not stop
      try {
        readEverything(bytes);
      } catch (error) {
        expect(error).toBeInstanceOf(StateError);
      }
    }),
    { numRuns: 2000 },
  );
});

test('any byte that was changed is noticed', () => {
  const good = sample();
  for (let at = 0; at < good.length; at++) {
    const bytes = good.slice();
    bytes[at] = bytes[at]! ^ (1 << (at % 8));
    expect(() => new StateReader(bytes), `byte ${at}`).toThrow(StateError);
  }
});
