// No peer makes TCP throw, whatever it sends and in whatever order.

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { StateError, StateReader } from '../../../core/state.ts';
import { How } from '../../../stack/tcp/tcp.ts';
import { Bench, bytes, Host, MSS_1460, newSlab, stamps } from '../kit-tcp.ts';

const SYN_ALL = [2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 100, 0, 0, 0, 0, 1, 3, 3, 7];
const near = fc.oneof(fc.integer({ min: -5, max: 3000 }), fc.integer({ min: -(2 ** 31), max: 2 ** 31 }));
const segment = fc.record({
  flags: fc.subarray(['S', 'F', 'R', 'P', 'A', 'A', 'A', 'U', 'E', 'C']).map((l) => l.join('')),
  seq: near,
  ack: near,
  count: fc.integer({ min: 0, max: 3000 }),
  window: fc.integer({ min: 0, max: 65535 }),
  options: fc.oneof(
    fc.constant<number[]>([]),
    fc.constant(SYN_ALL),
    fc.integer({ min: 0, max: 1000 }).map((v) => stamps(v, 0)),
    fc.array(fc.integer({ min: 0, max: 255 }), { minLength: 40, maxLength: 40 }),
  ),
  call: fc.integer({ min: 0, max: 12 }),
});

function call(t: Bench, which: number): void {
  if (which === 0) t.write(2000);
  if (which === 1) t.read(500);
  if (which === 2) t.host.pass(300_000);
  if (which === 3) t.tcp.shutdown(t.c, How.Write);
  if (which === 4) t.host.pass(100_000_000);
  if (which === 5) t.tcp.accept(t.l);
}

test.each([
  ['LISTEN', () => new Bench().listen()],
  ['SYN-SENT', () => new Bench().synSent()],
  ['SYN-RECEIVED', () => new Bench().synReceived(SYN_ALL)],
  ['ESTABLISHED', () => new Bench().established(MSS_1460)],
  ['ESTABLISHED with all options', () => new Bench().established(SYN_ALL)],
  ['cookies', () => new Bench({ halfOpenMax: 0 }).listen()],
])('in %s nothing throws, and resets are never answered', (_, make) => {
  fc.assert(
    fc.property(fc.array(segment, { maxLength: 40 }), (segments) => {
      const t = make();
      for (const s of segments) {
        t.give(s.flags, s.seq, s.ack, { data: bytes(s.count), window: s.window, options: s.options });
        const sent = t.host.sent();
        if (s.flags.includes('R')) expect(sent.filter((x) => x.flags.startsWith('R'))).toEqual([]);
        call(t, s.call);
        t.host.sent();
      }
      t.host.pass(1_000_000_000);
    }),
    { numRuns: 150, seed: 1 },
  );
});

test('a damaged snapshot is refused or loads, and nothing else happens', () => {
  const t = new Bench().established(SYN_ALL);
  t.write(3000);
  t.give('A', 101, 1, { data: bytes(100), options: stamps(200, 0) });
  const good = t.host.snapshot();
  const slab = newSlab();
  for (let i = 0; i < 400; i++) {
    const bad = good.slice();
    const at = (i * 7919) % bad.length;
    bad[at] = bad[at]! ^ (1 << (i % 8));
    const host = new Host(slab, t.host.address, 5);
    try {
      host.tcp.load(new StateReader(bad));
    } catch (error) {
      expect(error).toBeInstanceOf(StateError);
    }
  }
});

test('segments that are cut at any byte are dropped or taken, never thrown at', () => {
  const t = new Bench().established(SYN_ALL);
  const { shared } = t.host;
  t.give('PA', 1, 1, { data: bytes(20), options: stamps(150, 0) });
  const { packet } = shared;
  const whole = packet.bytes;
  for (let n = 0; n < whole; n++) {
    packet.bytes = n;
    packet.isChecksumKnown = true;
    t.tcp.receive(packet);
  }
  expect(t.state).toBe('ESTABLISHED');
});
