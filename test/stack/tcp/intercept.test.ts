// What a gateway needs: connections to addresses that are nobody's, withheld until it admits or refuses them.

import { expect, test } from 'vitest';
import { formatAddress, parseAddress, Ready, type Stack, TcpState } from '../../../stack/stack.ts';
import { RESET, SILENT } from '../../../stack/tcp/tcp.ts';
import { addGateway, HostPair, newHost } from '../../kit/stack-kit.ts';
import { Bench, MSS_1460 } from '../kit-tcp.ts';

const S = 1_000_000;
const SYN = { options: MSS_1460 };

interface Gateway {
  readonly pair: HostPair;
  readonly inner: Stack;
  readonly gate: Stack;
  readonly i: number;
  readonly step: (us?: number) => void;
  readonly connect: (to: string, port: number) => number;
}

/** `inner`, whose default route leads to `gate`, which accepts packets for any address. */
function gateway(backlog = 16): Gateway {
  const pair = new HostPair({ link: { delayUs: 100 } });
  const { a: inner, b: gate } = pair;
  addGateway(inner, 2, '10.0.0.2');
  addGateway(inner, 2, 'fd00::2');
  gate.interfaces.get(2)!.acceptsAny = true;
  const i = gate.tcp.open(true);
  expect(gate.tcp.intercept(i, 2, backlog)).toBe(0);
  const step = (us = 50_000): void => {
    pair.pair.world.touch(pair.pair.a);
    pair.pair.world.touch(pair.pair.b);
    pair.pair.run(us);
  };
  const connect = (to: string, port: number): number => {
    const c = inner.tcp.open(to.includes(':'));
    inner.tcp.connect(c, parseAddress(to)!, port, 0);
    step();
    return c;
  };
  return { pair, inner, gate, i, step, connect };
}

test.each(['192.0.2.7', '2001:db8::7'])('a SYN for %s is withheld, admitted, and carries data', (to) => {
  const { inner, gate, i, step, connect } = gateway();
  const c = connect(to, 8080);
  expect(inner.tcp.stateOf(c)).toBe(TcpState.SynSent);
  expect(gate.tcp.readiness(i)).toBe(Ready.In);
  const d = gate.tcp.nextIntercepted(i);
  expect(gate.tcp.nextIntercepted(i)).toBe(-1);
  expect(formatAddress(gate.tcp.localOf(d))).toBe(to);
  expect(gate.tcp.localPort(d)).toBe(8080);
  expect(gate.tcp.remotePort(d)).toBe(inner.tcp.localPort(c));
  step(3 * S); // SYNs come again and are absorbed
  expect(inner.tcp.stateOf(c)).toBe(TcpState.SynSent);
  expect(gate.tcp.admit(d)).toBe(0);
  expect(gate.tcp.admit(d)).toBeLessThan(0);
  step();
  expect(inner.tcp.stateOf(c)).toBe(TcpState.Established);
  expect(gate.tcp.stateOf(d)).toBe(TcpState.Established);
  const bytes = Uint8Array.of(1, 2, 3);
  inner.tcp.send(c, bytes, 0, 3, 0);
  step();
  const into = new Uint8Array(8);
  expect(gate.tcp.receive(d, into, 0, 8, 0)).toBe(3);
  gate.tcp.send(d, into, 0, 3, 0);
  step();
  expect(inner.tcp.receive(c, into, 0, 8, 0)).toBe(3);
});

test.each(['192.0.2.7', '2001:db8::7'])(
  'one to %s that is refused silently asks again, and is withheld again',
  (to) => {
    const { inner, gate, i, step, connect } = gateway();
    const c = connect(to, 80);
    expect(gate.tcp.refuse(gate.tcp.nextIntercepted(i), SILENT)).toBe(0);
    expect(gate.tcp.connections).toBe(1);
    step(2 * S);
    expect(inner.tcp.stateOf(c)).toBe(TcpState.SynSent);
    expect(gate.tcp.admit(gate.tcp.nextIntercepted(i))).toBe(0);
    step();
    expect(inner.tcp.stateOf(c)).toBe(TcpState.Established);
  },
);

test.each([
  ['192.0.2.7', RESET],
  ['2001:db8::7', RESET],
  ['192.0.2.7', 3],
  ['2001:db8::7', 4],
])('a connection to %s that is refused with %i fails at once', (to, code) => {
  const { inner, gate, i, step, connect } = gateway();
  const c = connect(to, 80);
  const d = gate.tcp.nextIntercepted(i);
  expect(gate.tcp.refuse(d, code)).toBe(0);
  expect(gate.tcp.refuse(d, code)).toBeLessThan(0);
  step();
  expect(inner.tcp.takeError(c)).toBe(111);
  expect(gate.tcp.connections).toBe(1);
});

test('who listens is asked before the interceptor', () => {
  const { inner, gate, i, connect } = gateway();
  const l = gate.tcp.open(false);
  gate.tcp.bind(l, parseAddress('10.0.0.2')!, 80, 0);
  gate.tcp.listen(l, 1);
  const c = connect('10.0.0.2', 80);
  expect(inner.tcp.stateOf(c)).toBe(TcpState.Established);
  expect(gate.tcp.nextIntercepted(i)).toBe(-1);
});

test('withheld connections are bounded by backlog, and gone after a minute', () => {
  const { gate, i, connect, step } = gateway(3);
  for (let n = 0; n < 8; n++) connect('192.0.2.7', 1000 + n);
  expect(gate.tcp.connections).toBe(5);
  const d = gate.tcp.nextIntercepted(i);
  step(70 * S);
  expect(gate.tcp.stateOf(d)).toBe(TcpState.Closed);
  expect(gate.tcp.takeError(d)).toBe(110);
});

test('withheld connections are bounded by halfOpenMax too', () => {
  const t = new Bench({ halfOpenMax: 2 });
  const i = t.tcp.open(false);
  expect(t.tcp.intercept(i, 2, 100)).toBe(0);
  for (let n = 0; n < 5; n++) {
    t.port = 100 + n;
    t.give('S', 0, 0, SYN);
  }
  expect(t.tcp.connections).toBe(3);
  expect(t.sent()).toEqual([]);
});

test('a peer that gives up is told of; other segments are not answered', () => {
  const t = new Bench();
  const i = t.tcp.open(false);
  t.tcp.intercept(i, 2, 4);
  t.give('S', 0, 0, SYN);
  const d = t.tcp.nextIntercepted(i);
  t.give('A', 1, 1);
  t.give('R', 5, 0);
  expect(t.sent()).toEqual([]);
  expect(t.tcp.info(d).state).toBe('SYN-RECEIVED');
  t.give('R', 1, 0);
  expect(t.tcp.info(d).state).toBe('CLOSED');
  expect(t.tcp.takeError(d)).toBe(104);
  expect(t.tcp.admit(d)).toBe(-22);
  expect(t.tcp.refuse(d, RESET)).toBe(0);
  expect(t.sent()).toEqual([]);
  expect(t.tcp.connections).toBe(1);
});

test('what is no SYN is answered with a reset, as from CLOSED', () => {
  const t = new Bench();
  t.tcp.intercept(t.tcp.open(false), 2, 4);
  t.give('A', 1, 1);
  expect(t.host.sent().map((s) => s.flags)).toEqual(['R']);
});

test('closing the interceptor resets what it withholds, and the interface is free', () => {
  const t = new Bench();
  const i = t.tcp.open(false);
  t.tcp.intercept(i, 2, 4);
  expect(t.tcp.intercept(t.tcp.open(false), 2, 4)).toBe(-98);
  t.give('S', 0, 0, SYN);
  t.tcp.close(i);
  expect(t.host.sent().map((s) => s.flags)).toEqual(['RA']);
  expect(t.tcp.intercept(t.tcp.open(false), 2, 4)).toBe(0);
});

test('withheld connections are in a snapshot', () => {
  const { pair, inner, gate, i, step, connect } = gateway();
  const c = connect('192.0.2.7', 80);
  const { stack: next } = newHost(pair.pair.world.slab, 2);
  next.load(gate.save(), pair.pair.nowUs);
  gate.load(next.save(), pair.pair.nowUs);
  const d = gate.tcp.nextIntercepted(i);
  expect(gate.tcp.admit(d)).toBe(0);
  step();
  expect(inner.tcp.stateOf(c)).toBe(TcpState.Established);
});
