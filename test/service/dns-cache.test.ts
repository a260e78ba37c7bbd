import '../kit/seed.ts';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { DnsCache } from '../../service/dns-cache.ts';

const S = 1_000_000;
const keyOf = (n: number): Uint8Array => Uint8Array.from(`key ${n}`, (c) => c.charCodeAt(0));
const out = new Uint8Array(2000);

function put(cache: DnsCache, n: number, bytes: number, { ttl = 60, nowUs = 0, hash = n, fill = n } = {}): void {
  const message = new Uint8Array(bytes).fill(fill);
  const ttlAt = new Uint16Array(1);
  if (bytes >= 8) new DataView(message.buffer).setUint32(4, ttl);
  ttlAt[0] = 4;
  const key = keyOf(n);
  cache.put(key, 0, key.length, hash, message, 0, bytes, ttlAt, bytes >= 8 ? 1 : 0, ttl, false, nowUs);
}

const has = (cache: DnsCache, n: number, nowUs = 0, hash = n): boolean =>
  cache.find(keyOf(n), keyOf(n).length, hash, nowUs) >= 0;

test('the oldest goes first, by entries', () => {
  const cache = new DnsCache({ entriesMax: 3, bytesMax: 10_000 });
  for (let n = 0; n < 5; n++) put(cache, n, 20);
  expect([0, 1, 2, 3, 4].map((n) => has(cache, n))).toEqual([false, false, true, true, true]);
  expect(cache.size).toBe(3);
});

test('the oldest goes first, by bytes; what is longer than all is not kept', () => {
  const cache = new DnsCache({ entriesMax: 100, bytesMax: 300 });
  for (let n = 0; n < 9; n++) put(cache, n, 90);
  expect([5, 6, 7, 8].map((n) => has(cache, n))).toEqual([false, true, true, true]);
  put(cache, 9, 300);
  expect(has(cache, 9)).toBe(false);
  expect(has(cache, 8)).toBe(true);
});

test('it is good to the last microsecond, and its TTL counts down', () => {
  const cache = new DnsCache({ entriesMax: 4, bytesMax: 1000 });
  put(cache, 1, 20, { ttl: 10, nowUs: 5 });
  expect([has(cache, 1, 5), has(cache, 1, 4 + 10 * S), has(cache, 1, 5 + 10 * S)]).toEqual([true, true, false]);
  const e = cache.find(keyOf(1), keyOf(1).length, 1, 5 + 3.5 * S);
  expect(cache.copy(e, out, 100, 5 + 3.5 * S)).toBe(20);
  expect(new DataView(out.buffer).getUint32(104)).toBe(7);
});

test('equal hashes are told apart, a newer answer takes the place of the older', () => {
  const cache = new DnsCache({ entriesMax: 8, bytesMax: 1000 });
  put(cache, 1, 20, { hash: 7 });
  put(cache, 2, 30, { hash: 7 });
  expect([has(cache, 1, 0, 7), has(cache, 2, 0, 7), has(cache, 3, 0, 7)]).toEqual([true, true, false]);
  put(cache, 1, 40, { hash: 7, fill: 9 });
  const e = cache.find(keyOf(1), keyOf(1).length, 7, 0);
  expect(cache.copy(e, out, 0, 0)).toBe(40);
  cache.clear();
  expect([has(cache, 1, 0, 7), cache.size]).toEqual([false, 0]);
});

test('whatever is put, what is found is what was put last', () => {
  const step = fc.record({ n: fc.nat(12), bytes: fc.integer({ min: 1, max: 120 }), hash: fc.nat(3) });
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 200 }),
      fc.integer({ min: 1, max: 8 }),
      fc.integer({ min: 1, max: 500 }),
      (steps, entriesMax, bytesMax) => {
        const cache = new DnsCache({ entriesMax, bytesMax });
        const last = new Map<number, number>();
        for (const [i, { n, bytes }] of steps.entries()) {
          const hash = n & 3;
          put(cache, n, bytes, { hash, fill: i });
          last.set(n, i);
          for (const [key, fill] of last) {
            const e = cache.find(keyOf(key), keyOf(key).length, key & 3, 0);
            if (e < 0) continue;
            cache.copy(e, out, 0, 0);
            expect(out[0]).toBe(fill & 255);
          }
          expect(cache.size).toBeLessThanOrEqual(entriesMax);
        }
      },
    ),
    { numRuns: 300 },
  );
});
