// What goes beyond a plain connection: advice to the network layer, forged DSACKs, options that switch themselves off.

import { expect, test } from 'vitest';
import { DROP, PASS } from '../../../sim/sim.ts';
import { parseAddress, Ready, TcpOption } from '../../../stack/stack.ts';
import { HostPair } from '../../kit/stack-kit.ts';
import { B, Bench, bytes } from '../kit-tcp.ts';

const S = 1_000_000;
const SYN_SACK = [2, 4, 5, 0xb4, 1, 1, 4, 2];

test('after three retransmissions the network layer is told (RFC 9293 §3.8.3, MUST-20, SHLD-9)', () => {
  const t = new Bench().established();
  t.write(100);
  t.sent();
  const counts: number[] = [];
  for (let i = 0; i < 5; i++) {
    t.host.pass(t.tcp.deadlineUs() - t.host.shared.nowUs);
    counts.push(t.host.doubts);
  }
  expect(counts[1]).toBe(0);
  expect(counts.at(-1)).toBeGreaterThan(0);
});

test('after three SYNs too', () => {
  const t = new Bench().synSent();
  t.host.pass(3.5 * S);
  expect(t.host.doubts).toBe(0);
  t.host.pass(4 * S);
  expect(t.host.doubts).toBe(1);
});

test('a neighbour that is doubted is probed, and gone if it does not answer (RFC 4861 §7.3.3)', () => {
  const { pair, a, b } = new HostPair({ link: { delayUs: 100 } });
  const l = b.tcp.open(false);
  b.tcp.bind(l, parseAddress('10.0.0.2')!, 80, 0);
  b.tcp.listen(l, 1);
  const c = a.tcp.open(false);
  a.tcp.connect(c, parseAddress('10.0.0.2')!, 80, 0);
  pair.world.touch(pair.a);
  pair.runUntil(() => (a.tcp.readiness(c) & Ready.Out) !== 0, S);
  const stateOf = (): string => a.autoconf.neighbors.list()[0]!.state;
  expect(stateOf()).toBe('REACHABLE');
  const mend = pair.world.rule((hop) => (hop.from === 0 ? DROP : PASS));
  a.tcp.send(c, bytes(10), 0, 10, 0);
  pair.world.touch(pair.a);
  pair.runUntil(() => stateOf() === 'PROBE', 30 * S);
  expect(stateOf()).toBe('PROBE');
  pair.runUntil(() => stateOf() === 'FAILED', 10 * S);
  mend();
  expect(pair.runUntil(() => a.tcp.info(c).sendQueueBytes === 0, 60 * S)).toBe(true);
});

/** A DSACK, then the ACK of a retransmission. */
const dsack = (t: Bench, from: number, to: number): number[] => {
  const word = (n: number): number[] => [24, 16, 8, 0].map((s) => ((t.iss + n) >>> s) & 255);
  return [1, 1, 5, 10, ...word(from), ...word(to)];
};

test.each([
  ['of what was retransmitted ends the episode', 1, 1461, true],
  ['of what lies before the first byte does not', -2919, -1459, false],
])('a DSACK %s (RFC 3708 §3)', (_, from, to, isUndone) => {
  const t = new Bench().established(SYN_SACK);
  t.write(1460);
  t.sent();
  while (t.tcp.info(t.c).cwndBytes > 1460) t.host.pass(t.tcp.deadlineUs() - t.host.shared.nowUs);
  t.host.sent();
  t.give('A', 1, 1461, { options: dsack(t, from, to) });
  expect(t.tcp.info(t.c).ssthreshBytes === Infinity).toBe(isUndone);
});

test('quick ACKs are for sixteen segments, then they are off', () => {
  const t = new Bench().established();
  let seq = 1;
  const take = (): string[] => {
    t.give('PA', seq, 1, { data: bytes(10) });
    seq += 10;
    return t.sent();
  };
  while (take().length > 0);
  expect(t.tcp.getOption(t.c, TcpOption.QuickAck)).toBe(0);
  expect(t.tcp.setOption(t.c, TcpOption.QuickAck, 1)).toBe(0);
  expect(t.tcp.getOption(t.c, TcpOption.QuickAck)).toBe(1);
  expect(t.sent().length).toBe(1); // what was owed
  for (let i = 0; i < 16; i++) expect(take().length).toBe(1);
  expect(t.tcp.getOption(t.c, TcpOption.QuickAck)).toBe(0);
  expect(take()).toEqual([]);
});

test('a deferred connection is accepted when data comes, or after 30 s', () => {
  const t = new Bench().listen();
  t.tcp.setOption(t.l, TcpOption.DeferAccept, 1);
  t.synReceived();
  t.give('A', 1, 1);
  expect(t.tcp.accept(t.l)).toBeLessThan(0);
  t.host.pass(29 * S);
  expect(t.tcp.accept(t.l)).toBeLessThan(0);
  t.host.pass(2 * S);
  const c = t.tcp.accept(t.l);
  expect(t.tcp.info(c).state).toBe('ESTABLISHED');
});

test.each([
  [30, [28, 4, 0, 30]],
  [32_767, [28, 4, 0x7f, 0xff]],
  [40_000, [28, 4, 0x82, 0x9b]],
])('a SYN says a user timeout of %i s, if that is switched on (RFC 5482 §3)', (seconds, expected) => {
  const t = new Bench();
  const syn = (isOn: number): number[] => {
    const c = t.tcp.open(false);
    t.tcp.setOption(c, TcpOption.UserTimeoutUs, seconds * S);
    t.tcp.setOption(c, TcpOption.UserTimeoutOption, isOn);
    t.tcp.connect(c, B, 80, 0);
    return t.host.sent()[0]!.options;
  };
  expect(syn(0).length).toBe(20);
  expect(syn(1).slice(20)).toEqual(expected);
});

test.each([
  [1, 0, 200, 200],
  [1, 0, 5, 100],
  [1, 0, 0x8000 | 600, 3600],
  [1, 50, 200, 50],
  [0, 0, 200, 0],
])("with the option %i and %i s of our own a peer's %i makes %i s (RFC 5482 §3.1)", (isOn, own, said, expected) => {
  const t = new Bench().listen();
  t.tcp.setOption(t.l, TcpOption.UserTimeoutUs, own * S);
  const early = t.tcp.setOption(t.l, TcpOption.UserTimeoutOption, isOn);
  expect(early).toBe(0);
  t.established([2, 4, 5, 0xb4, 28, 4, said >> 8, said & 255]);
  expect(t.tcp.getOption(t.c, TcpOption.UserTimeoutUs)).toBe(expected * S);
});
