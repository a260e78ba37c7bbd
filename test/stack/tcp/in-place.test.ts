// Bytes that are read and written where they are in the rings: the same connection as with copies, without them.

import { expect, test } from 'vitest';
import { Span } from '../../../core/span.ts';
import { Ready } from '../../../stack/tcp/tcp.ts';
import { Bench, bytes, type Host, newSlab, Pair, transfer } from '../kit-tcp.ts';

const S = 1_000_000;
const CHUNK = 8192;
const patternAt = (i: number): number => (i * 7 + (i >> 8)) & 255;
const span = new Span();

/** Where byte `k` of the span is. */
const placeOf = (k: number): number => (k < span.bytes ? span.at + k : span.moreAt + k - span.bytes);

function write(host: Host, c: number, total: number, from: number): number {
  let sent = from;
  while (sent < total) {
    const n = host.tcp.room(c, span, Math.min(CHUNK, total - sent));
    if (n <= 0) break;
    expect(span.total).toBe(n);
    for (let k = 0; k < n; k++) host.shared.bytes[placeOf(k)] = patternAt(sent + k);
    expect(host.tcp.commit(c, n, 0)).toBe(n);
    sent += n;
  }
  return sent;
}

function read(host: Host, d: number, from: number): number {
  let got = from;
  while (host.tcp.received(d, span) > 0) {
    const n = Math.min(CHUNK, span.total);
    for (let k = 0; k < n; k++) {
      if (host.shared.bytes[placeOf(k)] !== patternAt(got + k)) throw new Error(`byte ${got + k} is wrong`);
    }
    host.tcp.consume(d, n);
    got += n;
  }
  return got;
}

/** As `transfer` of the kit, in place. */
function move(pair: Pair, [c, d]: [number, number], total: number): void {
  const endUs = pair.nowUs + 600 * S;
  let sent = 0;
  let got = 0;
  while (got < total) {
    sent = write(pair.hosts[0], c, total, sent);
    if (!pair.step(endUs)) break;
    got = read(pair.hosts[1], d, got);
  }
  expect(got).toBe(total);
}

test.each([
  ['a clean link', () => false],
  ['every 50th segment lost', (_seg: unknown, _from: number, count: number) => count % 50 === 49],
])('on %s the segments are those of the copying calls, one for one', (_name, loses) => {
  const traces = [transfer, move].map((way) => {
    const pair = new Pair();
    pair.loses = loses;
    way(pair, pair.connect(), 3_000_000);
    return pair.trace;
  });
  expect(traces[1]!.length).toBeGreaterThan(2000);
  expect(traces[1]).toEqual(traces[0]);
});

test('memory goes with the bytes, and room that was not used is given back', () => {
  const slab = newSlab();
  const pair = new Pair({}, slab);
  const before = slab.usedBytes;
  const ends = pair.connect();
  move(pair, ends, 500_000);
  while (pair.step(pair.nowUs + S));
  const idle = slab.usedBytes - before;
  const [host] = pair.hosts;
  for (let i = 0; i < 3; i++) {
    expect(host.tcp.room(ends[0], span, 300_000)).toBe(300_000);
    expect(slab.usedBytes - before).toBeGreaterThan(300_000);
    expect(host.tcp.commit(ends[0], 0, 0)).toBe(0);
  }
  for (const one of pair.hosts) one.snapshot(); // needs no empty ring
  expect(slab.usedBytes).toBe(before);
  expect(idle).toBeLessThan(2 << 20);
});

test('a ring that grows keeps what is queued, and the room is behind it', () => {
  const t = new Bench().connected();
  expect(t.tcp.room(t.c, span, 1000)).toBe(1000);
  for (let k = 0; k < 1000; k++) t.host.shared.bytes[placeOf(k)] = 1;
  expect(t.tcp.commit(t.c, 1000, 0)).toBe(1000);
  expect(t.tcp.room(t.c, span, 200_000)).toBe(200_000);
  for (let k = 0; k < 460; k++) t.host.shared.bytes[placeOf(k)] = 2;
  t.tcp.commit(t.c, 460, 0);
  const [sent] = t.host.sent();
  expect([...sent!.data]).toEqual([...bytes(1000, 1), ...bytes(460, 2)]);
});

test('who finds no room is told when there is some', () => {
  const t = new Bench().connected();
  let sent = 0;
  for (let n = t.tcp.room(t.c, span, 1 << 20); n > 0; n = t.tcp.room(t.c, span, 1 << 20))
    sent += t.tcp.commit(t.c, n, 0);
  expect(t.tcp.room(t.c, span, 1)).toBe(-11);
  expect(span.total).toBe(0);
  t.sent();
  while (t.tcp.nextEvent() >= 0);
  for (let acked = 0; acked < sent; ) {
    t.host.shared.nowUs += 100_000;
    acked += t.host.sent().reduce((sum, s) => sum + s.data.length, 0) || Math.min(14_600, sent - acked);
    t.give('A', 1, 1 + Math.min(acked, sent));
  }
  expect(t.tcp.nextEvent()).toBe(t.c);
  expect(t.tcp.readiness(t.c) & Ready.Out).toBe(Ready.Out);
  expect(t.tcp.room(t.c, span, 1)).toBe(1);
  t.tcp.commit(t.c, 0, 0);
});

test('the end of the stream, errors and calls that are too late say what receive and send say', () => {
  const t = new Bench().connected();
  expect(t.tcp.received(t.c, span)).toBe(-11);
  t.give('AF', 1, 1, { data: bytes(3) });
  expect(t.tcp.received(t.c, span)).toBe(3);
  t.tcp.consume(t.c, 3);
  expect(t.tcp.received(t.c, span)).toBe(0);
  t.tcp.shutdown(t.c, 1);
  expect(t.tcp.room(t.c, span, 10)).toBe(-32);
  const u = new Bench().connected();
  u.give('AR', 1, 1);
  expect(u.tcp.received(u.c, span)).toBe(-104);
  expect(u.tcp.room(u.c, span, 10)).toBe(-32);
  const fresh = u.tcp.open(false);
  expect([u.tcp.received(fresh, span), u.tcp.room(fresh, span, 1)]).toEqual([-107, -107]);
  expect([u.tcp.received(99, span), u.tcp.room(99, span, 1), u.tcp.commit(99, 0, 0)]).toEqual([-9, -9, -9]);
});

test('consuming opens a window that was closed', () => {
  const t = new Bench().connected();
  for (let at = 1, i = 0; i < 1000; i++, at += 1000) t.give('A', at, 1, { data: bytes(1000) });
  t.sent();
  const n = t.tcp.received(t.c, span);
  expect(n).toBeGreaterThan(60_000);
  t.tcp.consume(t.c, n);
  expect(t.sent()).toEqual([`A 1:1(0) ack ${1 + n}`]);
});

test('more than there is can neither be consumed nor committed', () => {
  const t = new Bench().connected();
  t.give('A', 1, 1, { data: bytes(10) });
  expect(() => t.tcp.consume(t.c, 11)).toThrow('what is consumed was received');
  expect(() => t.tcp.commit(t.c, 1, 0)).toThrow('what is committed has room');
});
