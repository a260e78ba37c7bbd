import { expect, test } from 'vitest';
import { StateError, StateReader } from '../../../core/state.ts';
import { Bench, Host, newSlab, Pair, type Progress, transfer } from '../kit-tcp.ts';

const BYTES = 120_000;

/** A lossy transfer; at event `at` both hosts are saved and loaded into new ones. The trace of all segments. */
function run(at: number): string[] {
  const pair = new Pair();
  let x = 12345;
  pair.loses = () => {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    return x / 2 ** 32 < 0.06;
  };
  const both = pair.connect();
  const progress: Progress = { sent: 0, got: 0, events: 0 };
  transfer(
    pair,
    both,
    BYTES,
    (events) => {
      if (events === at) move(pair);
    },
    progress,
  );
  pair.hosts[0].tcp.close(both[0]);
  pair.hosts[1].tcp.close(both[1]);
  while (pair.step(pair.nowUs + 100_000_000));
  return pair.trace;
}

function move(pair: Pair): void {
  for (const i of [0, 1] as const) {
    const old = pair.hosts[i];
    const host = new Host(newSlab(), old.address, 4711 + i);
    const snapshot = old.snapshot();
    host.restore(snapshot, pair.nowUs);
    expect(host.snapshot()).toEqual(snapshot);
    pair.hosts[i] = host;
  }
}

test('a transfer goes on byte for byte the same when both sides are saved and loaded at any event', {
  timeout: 60_000,
}, () => {
  const whole = run(-1);
  expect(whole.filter((line) => line.endsWith('lost')).length).toBeGreaterThan(5);
  for (const at of [1, 2, 5, 9, 17, 23, 40, 66, 85, 101]) expect(run(at), `event ${at}`).toEqual(whole);
});

test('a snapshot that is cut or damaged is refused, or loads without harm', () => {
  const t = new Bench().established();
  t.write(5000);
  const good = t.host.snapshot();
  for (let cut = 0; cut < good.length; cut += 997) {
    const host = new Host(newSlab(), t.host.address, 5);
    expect(() => host.tcp.load(new StateReader(good.slice(0, cut)))).toThrow(StateError);
  }
});

test('a restored listener, its half-open and its waiting connections go on', () => {
  const t = new Bench().synReceived();
  const host = new Host(newSlab(), t.host.address, 5);
  host.restore(t.host.snapshot(), t.host.shared.nowUs);
  Object.assign(t, { host });
  t.give('A', 1, 1);
  t.c = t.tcp.accept(t.l);
  expect(t.state).toBe('ESTABLISHED');
});
