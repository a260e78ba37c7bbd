// Buffers grow with the path, for users who keep up and did not say how large they shall be.

import { expect, test } from 'vitest';
import { parseAddress, Ready, TcpOption } from '../../../stack/stack.ts';
import { HostPair } from '../../kit/stack-kit.ts';
import { Pair, transfer } from '../kit-tcp.ts';

interface Run {
  readonly bytesPerS: number;
  readonly sendMax: number;
  readonly receiveMax: number;
  readonly shrunk: number;
}

/** A flow over a path of 50 ms each way for `seconds`, its rate in the last second. */
function flow(
  seconds: number,
  bitsPerS: number,
  prepare: (pair: HostPair, c: number, l: number) => void = () => {},
): Run {
  const hosts = new HostPair({
    takesOffload: true,
    link: { delayUs: 50_000, rateBps: bitsPerS, queueBytesMax: 1 << 25, queueFramesMax: 1 << 16, slabBytes: 1 << 28 },
  });
  const { pair, a, b } = hosts;
  const l = b.tcp.open(false);
  b.tcp.bind(l, parseAddress('0.0.0.0')!, 80, 0);
  b.tcp.listen(l, 5);
  const c = a.tcp.open(false);
  prepare(hosts, c, l);
  a.tcp.connect(c, parseAddress('10.0.0.2')!, 80, 0);
  pair.world.touch(pair.a);
  pair.runUntil(() => (b.tcp.readiness(l) & Ready.In) !== 0, 3_000_000);
  const d = b.tcp.accept(l);
  const chunk = new Uint8Array(1 << 16);
  const endUs = pair.nowUs + seconds * 1_000_000;
  let late = 0;
  let edge = 0;
  let read = 0;
  let shrunk = 0;
  while (pair.nowUs < endUs) {
    while (a.tcp.send(c, chunk, 0, chunk.length, 0) > 0) pair.world.touch(pair.a);
    if (!pair.step()) break;
    for (let n = 1; n > 0; ) {
      n = b.tcp.receive(d, chunk, 0, chunk.length, 0);
      if (n <= 0) break;
      read += n;
      if (pair.nowUs > endUs - 1_000_000) late += n;
      pair.world.touch(pair.b);
    }
    const next = read + b.tcp.info(d).receiveQueueBytes + b.tcp.info(d).receiveWindowBytes;
    if (next < edge) shrunk++;
    edge = Math.max(edge, next);
  }
  return {
    bytesPerS: late,
    sendMax: a.tcp.getOption(c, TcpOption.SendBuffer),
    receiveMax: b.tcp.getOption(d, TcpOption.ReceiveBuffer),
    shrunk,
  };
}

test('a path of 1 Gb/s and 100 ms fills up', { timeout: 30_000 }, () => {
  const run = flow(3, 1e9);
  expect(run.bytesPerS).toBeGreaterThan(0.9 * 1.18e8);
  expect(run.shrunk).toBe(0);
});

test('buffers stay as they are where they are large enough', () => {
  const run = flow(3, 1e7);
  expect(run.bytesPerS).toBeGreaterThan(1.1e6);
  expect(run.receiveMax).toBe(512 << 10);
});

test('a size that the user set does not change', () => {
  const run = flow(3, 1e8, ({ a, b }, c, l) => {
    a.tcp.setOption(c, TcpOption.SendBuffer, 100_000);
    b.tcp.setOption(l, TcpOption.ReceiveBuffer, 200_000);
  });
  expect(run.sendMax).toBe(100_000);
  expect(run.receiveMax).toBe(200_000);
  expect(run.bytesPerS).toBeLessThan(1.1e6);
});

test('for a user who does not read the buffer does not grow', () => {
  const pair = new Pair();
  const [c, d] = pair.connect();
  const [a, b] = pair.hosts;
  const chunk = new Uint8Array(65536);
  for (let i = 0; i < 2000; i++) {
    a.tcp.send(c, chunk, 0, chunk.length, 0);
    if (!pair.step(pair.nowUs + 60_000_000)) break;
    if (i % 10 === 0) b.tcp.receive(d, chunk, 0, 100, 0);
  }
  expect(b.tcp.getOption(d, TcpOption.ReceiveBuffer)).toBe(512 << 10);
});

test('the buffers grow no further than the limits', () => {
  const limits = { receiveBufferBytesMax: 600_000, sendBufferBytesMax: 700_000 };
  const pair = new Pair(limits);
  pair.delayUs = 50_000;
  for (const h of pair.hosts) h.superBytes = 65535;
  const ends = pair.connect();
  transfer(pair, ends, 12_000_000);
  expect(pair.hosts[1].tcp.getOption(ends[1], TcpOption.ReceiveBuffer)).toBe(600_000);
  expect(pair.hosts[0].tcp.getOption(ends[0], TcpOption.SendBuffer)).toBeLessThanOrEqual(700_000);
});
