// Sockets that take what is for addresses of nobody: two stacks, one of them a gateway.

import { expect, test } from 'vitest';
import { Family, formatAddress, parseAddress, SocketType } from '../../../stack/stack.ts';
import { addGateway, HostPair } from '../../kit/stack-kit.ts';

const BYTES = Uint8Array.of(1, 2, 3, 4);

function gateway() {
  const { pair, a: inner, b: gate } = new HostPair({ link: { delayUs: 100 } });
  addGateway(inner, 2, '10.0.0.2');
  addGateway(inner, 2, 'fd00::2');
  gate.interfaces.get(2)!.acceptsAny = true;
  const run = (us = 50_000): void => {
    pair.world.touch(pair.a);
    pair.world.touch(pair.b);
    pair.run(us);
  };
  return { pair, inner, gate, run };
}

test.each([
  ['192.0.2.7', Family.Inet],
  ['2001:db8::7', Family.Inet6],
])('a datagram for %s is taken, and answered from there', (to, family) => {
  const { inner, gate, run } = gateway();
  const g = gate.sockets.socket(Family.Inet6, SocketType.Datagram);
  expect(gate.sockets.gateway.intercept(g, 2)).toBe(0);
  const u = inner.sockets.socket(family, SocketType.Datagram);
  const far = parseAddress(to)!;
  inner.sockets.connect(u, far, 5353);
  expect(inner.sockets.send(u, BYTES, 0, 4)).toBe(4);
  run();
  const into = new Uint8Array(16);
  expect(gate.sockets.receiveFrom(g, into, 0, 16)).toBe(4);
  const { message } = gate.sockets;
  expect(formatAddress(message.target)).toBe(to);
  expect(message.info).toBe(5353);
  const { source, port } = message;
  expect(gate.sockets.gateway.sendFrom(g, into, 0, 3, far, 5353, source.slice(), port)).toBe(3);
  run();
  expect(inner.sockets.receiveFrom(u, into, 0, 16)).toBe(3);
});

test('who is bound is asked before the interceptor, and only its interface counts', () => {
  const { inner, gate, run } = gateway();
  const g = gate.sockets.socket(Family.Inet6, SocketType.Datagram);
  gate.sockets.gateway.intercept(g, 2);
  const bound = gate.sockets.socket(Family.Inet, SocketType.Datagram);
  gate.sockets.bind(bound, parseAddress('0.0.0.0')!, 53);
  const u = inner.sockets.socket(Family.Inet, SocketType.Datagram);
  inner.sockets.sendTo(u, BYTES, 0, 4, parseAddress('192.0.2.7')!, 53);
  run();
  const into = new Uint8Array(16);
  expect(gate.sockets.receive(bound, into, 0, 16)).toBe(4);
  expect(gate.sockets.receive(g, into, 0, 16)).toBe(-11);
});

test('an interface has one interceptor, which closing frees; others send from nowhere else', () => {
  const { gate } = gateway();
  const { sockets } = gate;
  const g = sockets.socket(Family.Inet6, SocketType.Datagram);
  const other = sockets.socket(Family.Inet6, SocketType.Datagram);
  expect(sockets.gateway.intercept(g, 2)).toBe(0);
  expect(sockets.gateway.intercept(other, 2)).toBe(-98);
  expect(sockets.gateway.intercept(other, 9)).toBe(-22);
  const far = parseAddress('192.0.2.7')!;
  expect(sockets.gateway.sendFrom(other, BYTES, 0, 4, far, 1, parseAddress('10.0.0.1')!, 2)).toBe(-1);
  sockets.close(g);
  expect(sockets.gateway.intercept(other, 2)).toBe(0);
});

test('without an interceptor the sender is told that the port is unreachable', () => {
  const { inner, run } = gateway();
  const u = inner.sockets.socket(Family.Inet, SocketType.Datagram);
  inner.sockets.connect(u, parseAddress('192.0.2.7')!, 9);
  inner.sockets.send(u, BYTES, 0, 4);
  run();
  expect(inner.sockets.receive(u, new Uint8Array(4), 0, 4)).toBe(-111);
});

test('streams are accepted withheld, admitted and refused by handle; all of it is in a snapshot', () => {
  const { pair, inner, gate, run } = gateway();
  const l = gate.sockets.socket(Family.Inet6, SocketType.Stream);
  expect(gate.sockets.gateway.intercept(l, 2, 8)).toBe(0);
  const far = parseAddress('192.0.2.7')!;
  const [c, d] = [0, 1].map((n) => {
    const s = inner.sockets.socket(Family.Inet, SocketType.Stream);
    inner.sockets.connect(s, far, 80 + n);
    return s;
  }) as [number, number];
  run();
  gate.load(gate.save(), pair.nowUs);
  const first = gate.sockets.accept(l);
  const second = gate.sockets.accept(l);
  expect(gate.sockets.gateway.admit(first)).toBe(0);
  expect(gate.sockets.gateway.refuse(second, -1)).toBe(0);
  expect(gate.sockets.gateway.refuse(second, -1)).toBe(-9);
  run();
  expect(inner.sockets.send(c, BYTES, 0, 4)).toBe(4);
  expect(inner.sockets.send(d, BYTES, 0, 4)).toBe(-111);
});
