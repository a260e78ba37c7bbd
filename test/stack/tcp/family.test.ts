// Both families, and which listener a SYN is for.

import { expect, test } from 'vitest';
import { type Address, ANY, ANY4, of4, parse } from '../../../stack/address.ts';
import { Errno } from '../../../stack/errno.ts';
import { Ready, TcpOption } from '../../../stack/tcp/tcp.ts';
import { A, Bench, bytes, Host, newSlab, Pair } from '../kit-tcp.ts';

const A6 = parse('2001:db8::1')!;
const B6 = parse('2001:db8::2')!;

function listener(host: Host, isIp6: boolean, local: Address, v6Only = 0): number {
  const l = host.tcp.open(isIp6);
  host.tcp.setOption(l, TcpOption.V6Only, v6Only);
  host.tcp.setOption(l, TcpOption.ReusePort, 1);
  expect(host.tcp.bind(l, local, 80, 0)).toBe(0);
  expect(host.tcp.listen(l, 5)).toBe(0);
  return l;
}

/** Which of the listeners took a SYN to `target`; undefined: none. */
function taker(host: Host, listeners: number[], target: Address, source: Address): number | undefined {
  const pair = new Pair();
  const client = pair.hosts[0];
  Object.assign(client, { address: source });
  pair.hosts[1] = host;
  client.shared.nowUs = host.shared.nowUs;
  pair.nowUs = host.shared.nowUs;
  client.tcp.connect(client.tcp.open(true), target, 80, 0);
  for (let i = 0; i < 4; i++) pair.step();
  return listeners.find((l) => (host.tcp.readiness(l) & Ready.In) !== 0);
}

test.each([
  ['IPv6 any takes IPv6', true, ANY, 0, B6, A6, true],
  ['IPv6 any takes IPv4 (RFC 3493 §3.7)', true, ANY, 0, of4(0x0a000002), A, true],
  ['V6ONLY takes no IPv4 (RFC 3493 §5.3)', true, ANY, 1, of4(0x0a000002), A, false],
  ['IPv4 any takes IPv4', false, ANY4, 0, of4(0x0a000002), A, true],
  ['IPv4 any takes no IPv6', false, ANY4, 0, B6, A6, false],
  ['a bound address takes its own', true, B6, 0, B6, A6, true],
  ['a bound address takes no other', true, A6, 0, B6, A6, false],
])('%s', (_, isIp6, local, v6Only, target, source, isTaken) => {
  const host = new Host(newSlab(), target, 9);
  const l = listener(host, isIp6, local, v6Only);
  expect(taker(host, [l], target, source)).toBe(isTaken ? l : undefined);
});

test('the most specific listener takes it', () => {
  const host = new Host(newSlab(), B6, 9);
  const any = listener(host, true, ANY);
  const own = listener(host, true, B6);
  expect(taker(host, [any, own], B6, A6)).toBe(own);
});

test('IPv6: 1220 bytes a segment if the peer says nothing, 1440 by the link (§3.7.1)', () => {
  const pair = new Pair();
  const [a, b] = pair.hosts;
  const l = listener(b, true, ANY);
  Object.assign(a, { address: A6 });
  const c = a.tcp.open(true);
  a.tcp.connect(c, B6, 80, 0);
  for (let i = 0; i < 3; i++) pair.step();
  const d = b.tcp.accept(l);
  expect(a.tcp.info(c).mss).toBe(1428);
  a.tcp.send(c, bytes(5000), 0, 5000, 0);
  for (let i = 0; i < 4; i++) pair.step();
  expect(b.tcp.available(d)).toBe(5000);
});

test('an address in use is refused, shared ones are not', () => {
  const t = new Bench().listen();
  const c = t.tcp.open(true);
  expect(t.tcp.bind(c, ANY, 80, 0)).toBe(-Errno.EADDRINUSE);
  t.tcp.setOption(c, TcpOption.V6Only, 1);
  expect(t.tcp.bind(c, ANY, 80, 0)).toBe(0);
});
