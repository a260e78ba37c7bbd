import { expect, test } from 'vitest';
import { Ready } from '../../../stack/tcp/tcp.ts';
import { B, newSlab, Pair, transfer } from '../kit-tcp.ts';

const BYTES = 200_000;

/** Another connection moves data, and stays open. */
function move(pair: Pair, port = 80): void {
  const [a, b] = pair.hosts;
  const listener = b.tcp.open(false);
  expect(b.tcp.bind(listener, B, port, 0)).toBe(0);
  expect(b.tcp.listen(listener, 1)).toBe(0);
  const c = a.tcp.open(false);
  a.tcp.connect(c, B, port, 0);
  while ((b.tcp.readiness(listener) & Ready.In) === 0 && pair.step());
  transfer(pair, [c, b.tcp.accept(listener)], BYTES);
  while (pair.step(pair.nowUs + 1_000_000));
}

test('of many connections that moved data only the one that was emptied last keeps its rings', () => {
  const slab = newSlab();
  const pair = new Pair({}, slab);
  const before = slab.usedBytes;
  move(pair);
  const one = slab.usedBytes - before;
  expect(one).toBeGreaterThan(0);
  for (let i = 1; i <= 5; i++) move(pair, 80 + i);
  expect(slab.usedBytes - before).toBeLessThan(2 * one);
});

test('a snapshot needs no ring that is empty, and gives it back', () => {
  const slab = newSlab();
  const pair = new Pair({}, slab);
  const before = slab.usedBytes;
  move(pair);
  for (const host of pair.hosts) host.snapshot();
  expect(slab.usedBytes).toBe(before);
});

test('the buffers of all connections together are bounded, and everything arrives', () => {
  const ringBytesMax = 64 << 10;
  const slab = newSlab();
  const pair = new Pair({ ringBytesMax }, slab);
  const [a, b] = pair.hosts;
  const listener = b.tcp.open(false);
  b.tcp.bind(listener, B, 80, 0);
  b.tcp.listen(listener, 20);
  const clients = Array.from({ length: 20 }, () => {
    const c = a.tcp.open(false);
    a.tcp.connect(c, B, 80, 0);
    return c;
  });
  while (pair.step(pair.nowUs + 1_000_000));
  const servers = clients.map(() => b.tcp.accept(listener));
  const bytes = new Uint8Array(40_000).fill(7);
  const sent = clients.map(() => 0);
  const got = servers.map(() => 0);
  const into = new Uint8Array(4096);
  let most = 0;
  const readUs = pair.nowUs + 3_000_000; // nobody reads before
  for (let round = 0; round < 40_000 && got.some((n) => n < bytes.length); round++) {
    clients.forEach((c, i) => {
      const n = a.tcp.send(c, bytes, 0, bytes.length - sent[i]!, 0);
      if (n > 0) sent[i]! += n;
    });
    pair.step();
    for (const { tcp } of pair.hosts) most = Math.max(most, tcp.ringBytes);
    if (pair.nowUs < readUs) continue;
    servers.forEach((s, i) => {
      got[i]! += Math.max(0, b.tcp.receive(s, into, 0, into.length, 0));
    });
  }
  expect(got).toEqual(servers.map(() => bytes.length));
  expect(most).toBeGreaterThan(ringBytesMax / 2);
  expect(most).toBeLessThanOrEqual(ringBytesMax + 20 * 4096);
});
