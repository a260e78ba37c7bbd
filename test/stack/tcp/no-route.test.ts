import { expect, test } from 'vitest';
import { Errno, Family, parseAddress, Ready, SocketOption, SocketType } from '../../../stack/stack.ts';
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

test.each([
  ['10.0.0.9', Family.Inet],
  ['fd00::9', Family.Inet6],
])('a connection to %s, where nobody is, fails when the neighbour is not found, and so does the next', (to, family) => {
  const hosts = new HostPair();
  const { a, pair } = hosts;
  for (let i = 0; i < 2; i++) {
    const client = a.sockets.socket(family, SocketType.Stream);
    expect(a.sockets.connect(client, parseAddress(to)!, 80)).toBe(-Errno.EINPROGRESS);
    const beganUs = pair.nowUs;
    hosts.touch();
    expect(pair.runUntil(() => (a.sockets.poll(client) & Ready.Error) !== 0, MINUTE_US)).toBe(true);
    expect(a.sockets.getOption(client, SocketOption.Error)).toBe(Errno.EHOSTUNREACH);
    expect(pair.nowUs - beganUs).toBe(3_000_000);
    a.sockets.close(client);
    expect(a.tcp.connections).toBe(0);
  }
});

test('what is open outlives a neighbour that is away for a while', () => {
  const { a, b, pair } = cutOff();
  a.interfaces.get(2)!.isUp = true;
  b.interfaces.get(2)!.isUp = false; // nobody answers ARP
  pair.run(2 * MINUTE_US);
  expect(a.tcp.info(0).state).toBe('ESTABLISHED');
  const { neighbors } = a.autoconf;
  const n = neighbors.lookup(2, parseAddress('10.0.0.2')!);
  expect(n >= 0 && neighbors.isUsable(n)).toBe(false);
  b.interfaces.get(2)!.isUp = true;
  pair.run(2 * MINUTE_US);
  expect(a.tcp.info(0).sendQueueBytes).toBe(0);
});
