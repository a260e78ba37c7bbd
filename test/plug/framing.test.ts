import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Burst, PLAIN } from '../../core/burst.ts';
import { Drop } from '../../core/drop.ts';
import { Rng } from '../../core/rng.ts';
import { Slab } from '../../core/slab.ts';
import { CableHello, UNPROVEN } from '../../plug/cable-hello.ts';
import { RECORD_BYTES_MAX, Reader16, Reader32, type RecordReader } from '../../plug/framing.ts';

const slab = new Slab({ bytesMax: 4 << 20 });
const BLOCK = slab.alloc(1 << 18);
const reader32 = () => new Reader32({ slab, recordBytesMax: RECORD_BYTES_MAX, framesMax: 8 });
const reader16 = () => new Reader16({ slab, frameBytesMax: 9234, blockBytes: 16384 });

const record = (prefix: number, payload: Uint8Array | number[]): number[] => {
  const length = payload.length;
  const bytes = [length >>> 24, (length >>> 16) & 255, (length >>> 8) & 255, length & 255].slice(4 - prefix);
  return [...bytes, ...payload];
};

/** Feeds the stream in the given pieces as a port would, and returns copies of the frames. */
function feed(reader: RecordReader, stream: number[], pieces: number[], burstMax = 4): number[][] {
  const burst = new Burst(burstMax);
  const frames: number[][] = [];
  let held: number[] = [];
  let at = 0;
  for (let i = 0; at < stream.length; i++) {
    const piece = pieces[i % pieces.length]!;
    held.push(...stream.slice(at, at + piece));
    at += piece;
    for (let more = true; more; ) {
      burst.count = 0;
      slab.bytes.set(held, BLOCK);
      const done = reader.parse(BLOCK, held.length, burst);
      for (let n = 0; n < burst.count; n++)
        frames.push([...slab.bytes.slice(burst.at[n]!, burst.at[n]! + burst.length[n]!)]);
      held = held.slice(done);
      more = done > 0 && !reader.error;
    }
  }
  return frames;
}

describe.each([
  ['u32be', 4, reader32],
  ['u16be', 2, reader16],
] as const)('%s framing', (_name, prefix, make) => {
  test('gives back the frames whatever the pieces', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ minLength: 0, maxLength: 90 }), { maxLength: 12 }),
        fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 5 }),
        (payloads, pieces) => {
          const reader = make();
          const stream = payloads.flatMap((payload) => record(prefix, payload));
          const expected = payloads.filter((payload) => payload.length > 0).map((payload) => [...payload]);
          expect(feed(reader, stream, pieces)).toEqual(expected);
          reader.close();
        },
      ),
      { numRuns: 200 },
    );
  });

  test('is read byte by byte, with empty records and runts', () => {
    const reader = make();
    const stream = [...record(prefix, []), ...record(prefix, [1]), ...record(prefix, []), ...record(prefix, [2, 3])];
    expect(feed(reader, stream, [1])).toEqual([[1], [2, 3]]);
    reader.close();
  });

  test('leaves the beginning of a record, down to one byte of its length', () => {
    const reader = make();
    const burst = new Burst(4);
    slab.bytes.set([...record(prefix, [9]), 0], BLOCK);
    expect(reader.parse(BLOCK, prefix + 2, burst)).toBe(prefix + 1);
    expect(burst.count).toBe(1);
    reader.close();
  });

  test('stops at a length out of range, for good', () => {
    const reader = make();
    const burst = new Burst(4);
    slab.bytes.set([...record(prefix, [9]), 0xff, 0xff, 0xff, 0xff], BLOCK);
    expect(reader.parse(BLOCK, prefix + 5, burst)).toBe(prefix + 1);
    expect([burst.count, reader.error]).toEqual([1, Drop.RxLength]);
    reader.reset(undefined);
    expect(reader.error).toBe(Drop.None);
    reader.close();
  });

  test('owns four bytes in front of each frame and overwrites no other frame through them', () => {
    const reader = make();
    const burst = new Burst(4);
    slab.bytes.set([...record(prefix, [1, 2]), ...record(prefix, [3, 4])], BLOCK);
    reader.parse(BLOCK, 2 * (prefix + 2), burst);
    for (let n = 0; n < 2; n++) slab.view.setUint32(burst.at[n]! - 4, 0xffffffff);
    expect([...slab.bytes.slice(burst.at[0]!, burst.at[0]! + 2)]).toEqual([1, 2]);
    expect([...slab.bytes.slice(burst.at[1]!, burst.at[1]! + 2)]).toEqual([3, 4]);
    reader.close();
  });

  test('survives random bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const reader = make();
        const burst = new Burst(8);
        slab.bytes.set(bytes, BLOCK);
        const done = reader.parse(BLOCK, bytes.length, burst);
        expect(done).toBeLessThanOrEqual(bytes.length);
        reader.close();
      }),
      { numRuns: 300 },
    );
  });
});

test('takes a record of the longest length, and not one byte more', () => {
  const reader = reader32();
  const burst = new Burst(4);
  slab.view.setUint32(BLOCK, RECORD_BYTES_MAX);
  expect(reader.parse(BLOCK, 4, burst)).toBe(0);
  expect(reader.error).toBe(Drop.None);
  slab.view.setUint32(BLOCK, RECORD_BYTES_MAX + 1);
  reader.parse(BLOCK, 4, burst);
  expect(reader.error).toBe(Drop.RxLength);
  reader.close();
});

describe('rich records', () => {
  const hello = () => {
    const it = new CableHello({
      identity: 1,
      peerIdentity: UNPROVEN,
      recordBytesMax: RECORD_BYTES_MAX,
      rng: new Rng(1),
    });
    it.rxRich = true;
    return it;
  };
  const gso = [1, 1, 0, 54, 5, 0x98, 0, 34, 0, 16];

  test('carry an offload header that outlives the headroom of its frame', () => {
    const reader = reader32();
    reader.reset(hello());
    const burst = new Burst(8);
    const stream = [...record(4, [...gso, 7, 8]), ...record(4, [...new Array(10).fill(0), 9])];
    slab.bytes.set(stream, BLOCK);
    expect(reader.parse(BLOCK, stream.length, burst)).toBe(stream.length);
    expect([burst.count, burst.length[0], burst.length[1], burst.offload[1]]).toEqual([2, 2, 1, PLAIN]);
    slab.view.setUint32(burst.at[0]! - 4, 0xffffffff);
    expect([...slab.bytes.slice(burst.offload[0]!, burst.offload[0]! + 10)]).toEqual(gso);
    reader.close();
  });

  test('shorter than the header are dropped and counted, empty ones are not', () => {
    const reader = reader32();
    reader.reset(hello());
    const burst = new Burst(8);
    const stream = [
      ...record(4, []),
      ...record(4, [1]),
      ...record(4, new Array(9).fill(1)),
      ...record(4, gso),
      ...record(4, [...gso, 1]),
    ];
    slab.bytes.set(stream, BLOCK);
    expect(reader.parse(BLOCK, stream.length, burst)).toBe(stream.length);
    expect([burst.count, reader.dropped]).toEqual([1, 2]);
    reader.close();
  });

  test('begin right behind START, in the same block', () => {
    const peer = new CableHello({
      identity: 2,
      peerIdentity: UNPROVEN,
      recordBytesMax: RECORD_BYTES_MAX,
      rng: new Rng(2),
    });
    const own = new CableHello({ identity: 1, peerIdentity: 2, recordBytesMax: RECORD_BYTES_MAX, rng: new Rng(1) });
    const reader = reader32();
    reader.reset(own);
    const hello = own.hello();
    peer.receive(new DataView(hello.buffer), 0, hello.length);
    const stream = [
      ...record(4, peer.hello()),
      ...record(4, [1]),
      ...record(4, peer.start()),
      ...record(4, [...gso, 5]),
    ];
    expect(feed(reader, stream, [stream.length])).toEqual([[1], [5]]);
    expect([own.startDue, own.rxRich]).toEqual([true, true]);
    reader.close();
  });
});
