// A receiver that does not read for a while, and then reads everything: the sender hears of it at once.

import { expect, test } from 'vitest';
import { parseAddress, Ready, TcpOption } from '../../../stack/stack.ts';
import { HostPair } from '../../kit/stack-kit.ts';

const MS = 1000;
const S = 1000 * MS;

test.each([
  [0, false],
  [0, true],
  [65_536, false],
  [200_000, true],
])('a reader that paused goes on at once (buffer %i, super-frames %s)', (buffer, takesOffload) => {
  const { pair, a, b } = new HostPair({ takesOffload, link: { delayUs: 5 * MS } });
  const l = b.tcp.open(false);
  if (buffer > 0) b.tcp.setOption(l, TcpOption.ReceiveBuffer, buffer);
  b.tcp.bind(l, parseAddress('10.0.0.2')!, 80, 0);
  b.tcp.listen(l, 1);
  const c = a.tcp.open(false);
  a.tcp.connect(c, parseAddress('10.0.0.2')!, 80, 0);
  pair.world.touch(pair.a);
  expect(pair.runUntil(() => (b.tcp.readiness(l) & Ready.In) !== 0, S)).toBe(true);
  const d = b.tcp.accept(l);
  const chunk = new Uint8Array(65_536);
  const fill = (): void => {
    while (a.tcp.send(c, chunk, 0, chunk.length, 0) > 0) pair.world.touch(pair.a);
  };
  let ahead = 0; // announced beyond what the buffer has room for
  const endUs = pair.world.nowUs + S;
  while (pair.world.nowUs < endUs) {
    fill();
    if (!pair.step()) break;
    const { receiveWindowBytes, receiveQueueBytes } = b.tcp.info(d);
    const most = b.tcp.getOption(d, TcpOption.ReceiveBuffer);
    ahead = Math.max(ahead, receiveWindowBytes + receiveQueueBytes - most);
  }
  expect(b.tcp.info(d).receiveQueueBytes).toBeGreaterThan(60_000);
  expect(ahead).toBeLessThan(1024);
  for (let n = 1; n > 0; ) n = b.tcp.receive(d, chunk, 0, chunk.length, 0);
  pair.world.touch(pair.b);
  const sinceUs = pair.world.nowUs;
  expect(
    pair.runUntil(() => {
      fill();
      return b.tcp.available(d) > 3000;
    }, S),
  ).toBe(true);
  expect(pair.world.nowUs - sinceUs).toBeLessThan(50 * MS);
});
