import { expect, test } from 'vitest';
import { Errno, Family, parseAddress, SocketOption, SocketType } from '../../../stack/stack.ts';
import { HostPair } from '../../kit/stack-kit.ts';

const MINUTE_US = 60_000_000;

/** A connection from `a` to `b` with data to send, and no way to `b` any more. */
function cutOff() {
  const hosts = new HostPair();
  const { a, b, pair } = hosts;
  const listener = b.sockets.socket(Family.Inet, SocketType.Stream);
  b.sockets.bind(listener, parseAddress('0.0.0.0')!, 80);
  b.sockets.listen(listener, 1);
  const client = a.sockets.socket(Family.Inet, SocketType.Stream);
  a.sockets.connect(client, parseAddress('10.0.0.2')!, 80);
  pair.world.touch(pair.a);
  pair.runUntil(() => b.sockets.poll(listener) !== 0, MINUTE_US);
  pair.run(MINUTE_US);
  a.interfaces.get(2)!.isUp = false;
  expect(a.sockets.send(client, new Uint8Array(100), 0, 100)).toBe(100);
  pair.world.touch(pair.a);
  return { ...hosts, client, pair, a };
}

test('a closed connection with data but no route is given up (RFC 9293 §3.8.3)', () => {
  const { a, client, pair } = cutOff();
  a.sockets.close(client);
  pair.run(10 * MINUTE_US);
  expect(a.tcp.connections).toBe(0);
});

test('an open one is, too, with what the network said as its error (RFC 5461 §2)', () => {
  const { a, client, pair } = cutOff();
  pair.run(MINUTE_US);
  expect(a.sockets.getOption(client, SocketOption.Error)).toBe(0);
  pair.run(60 * MINUTE_US);
  expect([Errno.ENETUNREACH, Errno.ENETDOWN]).toContain(a.sockets.getOption(client, SocketOption.Error));
});

test('one whose route comes back within that time goes on', () => {
  const { a, pair } = cutOff();
  pair.run(2 * MINUTE_US);
  a.interfaces.get(2)!.isUp = true;
  pair.run(2 * MINUTE_US);
  expect(a.tcp.info(0).sendQueueBytes).toBe(0);
});
