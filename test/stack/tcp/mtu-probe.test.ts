// RFC 4821, RFC 8899: a path that swallows long packets silently is found out, downward and upward.

import { expect, test } from 'vitest';
import { DROP, PASS } from '../../../sim/sim.ts';
import { Errno } from '../../../stack/errno.ts';
import { parseAddress, Ready } from '../../../stack/stack.ts';
import { nextSize } from '../../../stack/tcp/mtu-probe.ts';
import { HostPair } from '../../kit/stack-kit.ts';
import { type Host, newSlab, Pair, transfer } from '../kit-tcp.ts';

const HEADERS = 40;
const sizeOf = (data: Uint8Array, options: number[]): number => data.length + options.length + HEADERS;

/** A pair whose link loses everything longer than `most()` bytes; `longest` is what passed. */
function narrow(most: () => number): { pair: Pair; longest: () => number; lost: () => number } {
  const pair = new Pair();
  let longest = 0;
  let lost = 0;
  pair.loses = (seg) => {
    const size = sizeOf(seg.data, seg.options);
    if (size > most()) {
      lost++;
      return true;
    }
    longest = Math.max(longest, size);
    return false;
  };
  return { pair, longest: () => longest, lost: () => lost };
}

test.each([
  [750, 0, 1500, 1280],
  [1280, 0, 1500, 1400],
  [1492, 0, 1500, 1500],
  [1500, 0, 1500, 0],
  [1400, 1492, 1500, 1446],
  [1446, 1469, 1500, 0],
  [1500, 0, 2000, 2000],
  [1500, 2000, 2000, 1750],
  [750, 0, 1000, 1000],
])('above %i and below %i (limit %i) %i is tried (RFC 4821 §7.3)', (low, high, limit, expected) => {
  expect(nextSize(low, high, limit)).toBe(expected);
});

test.each([700, 1300, 1440, 1492, 1500])(
  'over a black hole for more than %i bytes the size is found (§7.3)',
  (most) => {
    const { pair, longest } = narrow(() => most);
    const [c, d] = pair.connect();
    transfer(pair, [c, d], 1_500_000);
    const host = pair.hosts[0];
    expect(longest()).toBeGreaterThan(most - 24);
    expect(host.mtu).toBe(longest());
    expect(host.lowered.length).toBe(most === 1500 ? 0 : most < 750 ? 2 : 1);
  },
);

test('a size that is refused is tried three times, then not for ten minutes (RFC 8899 §5.1)', () => {
  const { pair, lost } = narrow(() => 1492);
  const ends = pair.connect();
  transfer(pair, ends, 1_500_000);
  const before = lost();
  transfer(pair, ends, 3_000_000, () => {}, { sent: 0, got: 0, events: 0 });
  expect(lost()).toBe(before);
});

test('after ten minutes a path that became wider is found to be (RFC 8899 §5.1.1)', () => {
  let most = 1300;
  const { pair } = narrow(() => most);
  const ends = pair.connect();
  transfer(pair, ends, 1_500_000);
  expect(pair.hosts[0].mtu).toBeLessThanOrEqual(1300);
  most = 1500;
  const far = pair.nowUs + 601_000_000;
  while (pair.step(far));
  pair.nowUs = far;
  for (const h of pair.hosts) h.shared.nowUs = far;
  transfer(pair, ends, 500_000);
  expect(pair.hosts[0].mtu).toBe(1500);
});

test('a lowered MTU that ran out is not believed but searched (RFC 4821 §7.7)', () => {
  const { pair, lost } = narrow(() => 1300);
  const ends = pair.connect();
  transfer(pair, ends, 1_500_000);
  const { mtu } = pair.hosts[0];
  const before = lost();
  pair.hosts[0].mtu = 1500;
  transfer(pair, ends, 500_000);
  expect(lost()).toBe(before);
  expect(pair.hosts[0].tcp.info(ends[0]).mss + HEADERS + 12).toBe(mtu);
});

test('a lost probe does not reduce the congestion window (RFC 4821 §7.5)', () => {
  const { pair } = narrow(() => 1300);
  const ends = pair.connect();
  const host = pair.hosts[0];
  let most = 0;
  let falls = 0;
  let probed = 0;
  const seen = pair.loses;
  pair.loses = (seg, from, count) => {
    const isLost = seen(seg, from, count);
    if (isLost && host.raised.length > 0) probed++;
    return isLost;
  };
  transfer(pair, ends, 3_000_000, () => {
    if (probed === 0) return;
    const cwnd = host.tcp.info(ends[0]).cwndBytes;
    if (cwnd < most) falls++;
    most = Math.max(most, cwnd);
  });
  expect(probed).toBeGreaterThan(8);
  expect(falls).toBe(0);
});

test('a search goes on in a snapshot byte for byte', () => {
  const run = (cut: number): string[] => {
    const { pair } = narrow(() => 1440);
    const ends = pair.connect();
    transfer(pair, ends, 600_000, (events) => {
      if (events !== cut) return;
      const host = pair.hosts[0] as Host;
      host.restore(host.snapshot(), host.shared.nowUs);
    });
    return pair.trace;
  };
  const whole = run(-1);
  for (const cut of [40, 200, 400]) expect(run(cut)).toEqual(whole);
});

test('a router that says too big is believed about what is in flight only (RFC 5927 §7.2)', () => {
  const pair = new Pair({}, newSlab());
  const [c] = pair.connect();
  const [host] = pair.hosts;
  host.tcp.send(c, new Uint8Array(5000), 0, 5000, 0);
  const [first] = host.sent();
  const quote = (seq: number): void => {
    const at = host.shared.slab.alloc(64);
    const { view } = host.shared;
    view.setUint16(at, first!.sourcePort);
    view.setUint16(at + 2, first!.targetPort);
    view.setUint32(at + 4, seq >>> 0);
    const e = host.shared.icmpError;
    Object.assign(e, { iface: 2, protocol: 6, at, bytes: 8, isHard: false, errno: Errno.EMSGSIZE, mtuBytes: 1200 });
    e.source.set(first!.source);
    e.target.set(first!.target);
    host.tcp.fail(e);
  };
  quote(first!.seq - 100_000);
  expect(host.lowered).toEqual([]);
  quote(first!.seq);
  expect(host.lowered).toEqual([1200]);
  expect(host.sent().every((s) => sizeOf(s.data, s.options) <= 1200)).toBe(true);
});

test.each(['10.0.0.2', 'fd00::2'])('between two stacks, to %s, the size is found and kept by the path', (to) => {
  const MOST = 1446;
  const { pair, a, b } = new HostPair({ link: { delayUs: 2000 } });
  let longest = 0;
  pair.world.rule((hop) => {
    const packet = hop.length - 14;
    if (packet > MOST) return DROP;
    longest = Math.max(longest, packet);
    return PASS;
  });
  const any = parseAddress(to.includes(':') ? '::' : '0.0.0.0')!;
  const l = b.tcp.open(to.includes(':'));
  expect(b.tcp.bind(l, any, 80, 0)).toBe(0);
  expect(b.tcp.listen(l, 5)).toBe(0);
  const c = a.tcp.open(to.includes(':'));
  a.tcp.connect(c, parseAddress(to)!, 80, 0);
  pair.world.touch(pair.a);
  pair.runUntil(() => (b.tcp.readiness(l) & Ready.In) !== 0, 3_000_000);
  const d = b.tcp.accept(l);
  const chunk = new Uint8Array(65536);
  let got = 0;
  for (let guard = 0; got < 2_000_000 && guard < 20_000; guard++) {
    if (a.tcp.send(c, chunk, 0, chunk.length, 0) > 0) pair.world.touch(pair.a);
    if (!pair.step()) break;
    for (let n = 1; n > 0; got += Math.max(0, n)) n = b.tcp.receive(d, chunk, 0, chunk.length, 0);
    pair.world.touch(pair.b);
  }
  expect(longest).toBeGreaterThan(MOST - 24);
  expect(a.paths.mtuOf(a.paths.find(any, parseAddress(to)!, 0))).toBe(longest);
});
