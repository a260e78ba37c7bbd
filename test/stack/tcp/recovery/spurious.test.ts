import { describe, expect, test } from 'vitest';
import { AckFlag, AckResult, Action, Algorithm } from '../../../../stack/tcp/recovery.ts';
import { type Fate, MS, Sender, Transfer } from './kit.ts';

describe('spurious timeouts', () => {
  /** Ten segments, a timeout, and the first one sent again. */
  const timedOut = (options = {}): Sender => {
    const s = new Sender({ sack: false, ...options });
    s.recovery.sample(0, 100 * MS);
    s.send(10);
    while (s.recovery.backoff(0) === 0) {
      if (s.fire() === Action.SendProbe) s.send(1);
    }
    s.recovery.unsentBytes = 10_000;
    expect(s.repair()).toEqual([[0, 1]]);
    return s;
  };

  test('F-RTO: an ACK, two new segments, and an ACK of what was sent once (RFC 5682 §2.1)', () => {
    const s = timedOut();
    s.after(10 * MS).ack(1);
    expect(s.repair()).toEqual([]);
    expect(s.fill()).toBe(2);
    expect(s.ack(2) & AckResult.Undone).toBeTruthy();
    expect(s.recovery.ssthresh(0)).toBe(Number.POSITIVE_INFINITY);
    expect(s.recovery.cwnd(0)).toBeGreaterThanOrEqual(10_000);
    expect(s.repair()).toEqual([]);
  });

  test('F-RTO: a duplicate ACK means that the timeout was right (step 3a)', () => {
    const s = timedOut();
    s.after(10 * MS).ack(1);
    expect(s.fill()).toBe(2);
    s.ack(1);
    expect(s.recovery.inRecovery(0)).toBe(true);
    expect(s.repair()[0]![0]).toBe(1);
  });

  test('F-RTO: without new data it is not used', () => {
    const s = timedOut();
    s.recovery.unsentBytes = 0;
    s.after(10 * MS).ack(1);
    expect(s.repair()[0]![0]).toBe(1);
  });

  test('a second timeout ends F-RTO (step 1)', () => {
    const s = timedOut();
    s.fire();
    s.repair();
    s.after(10 * MS).ack(1);
    expect(s.repair()[0]![0]).toBe(1);
  });

  test.each([
    ['before', -1, true],
    ['with', 0, false],
  ] as const)('Eifel: an echo of a tick %s the retransmission (RFC 3522 §3.2)', (_name, ticks, isUndone) => {
    const s = timedOut({ timestamps: true });
    const tsecr = s.shared.nowUs + ticks * MS;
    const result = s.after(10 * MS).ack(1, [], AckFlag.HasTimestamp, tsecr);
    expect((result & AckResult.Undone) !== 0).toBe(isUndone);
    expect(s.recovery.cwnd(0) >= 10_000).toBe(isUndone);
  });

  test('Eifel: after a second timeout the echo of the first retransmission is none of the original', () => {
    const s = timedOut({ timestamps: true });
    const firstUs = s.shared.nowUs;
    s.fire();
    s.repair();
    const result = s.after(10 * MS).ack(1, [], AckFlag.HasTimestamp, firstUs);
    expect(result & AckResult.Undone).toBe(0);
  });

  test('CUBIC is as before (RFC 9438 §4.9.1)', () => {
    const s = timedOut({ algorithm: Algorithm.Cubic });
    s.after(10 * MS).ack(1);
    s.fill();
    s.ack(3);
    expect(s.recovery.ssthresh(0)).toBe(Number.POSITIVE_INFINITY);
    expect(s.recovery.totals().undos).toBe(1);
  });

  test('a pause of the link is noticed and costs nothing but the copies', () => {
    const fate: Fate = (n) => (n >= 60 && n < 100 ? 400 * MS : 0);
    const run = (timestamps: boolean): Transfer => {
      const t = new Transfer(new Sender({ timestamps }), {
        delayUs: 25 * MS,
        gapUs: 100,
        segments: 400,
        fate,
        timestamps,
      });
      t.run();
      return t;
    };
    expect(run(true).sender.recovery.totals().undos).toBeGreaterThan(0);
  });
});

describe('a lower path MTU (RFC 1191 §6.5)', () => {
  test('what is longer is sent again in new pieces, which is no congestion', () => {
    const s = new Sender();
    s.recovery.sample(0, 100 * MS);
    s.send(5).at(10 * MS);
    s.recovery.mssChanged(0, 500);
    s.recovery.retransmitLonger(0);
    expect(s.recovery.flight(0)).toBe(0);
    s.ack(0, [], AckFlag.WindowChanged);
    expect(s.repair().length).toBe(5);
    s.after(100 * MS).ack(5);
    expect(s.recovery.cwnd(0)).toBeGreaterThanOrEqual(10_000);
    expect(s.recovery.totals()).toEqual({ recoveries: 0, timeouts: 0, undos: 0, reductions: 0 });
  });
});

describe('ECN (RFC 3168 §6.1.2)', () => {
  const start = (algorithm: number): Sender => {
    const s = new Sender({ ecn: true, algorithm });
    s.recovery.sample(0, 100 * MS);
    return s.send(10).at(100 * MS);
  };

  test.each([
    ['NewReno halves', Algorithm.NewReno, 5000],
    ['CUBIC multiplies by 0.7 (RFC 9438 §4.6)', Algorithm.Cubic, 7000],
  ])('%s the window once for a window of data', (_name, algorithm, window) => {
    const s = start(algorithm);
    s.ack(1, [], AckFlag.Ece);
    expect(s.recovery.cwnd(0)).toBe(window);
    expect(s.recovery.cwrPending(0)).toBe(true);
    s.recovery.cwrSent(0);
    for (let i = 2; i <= 10; i++) {
      s.ack(i, [], AckFlag.Ece);
      s.fill();
    }
    expect(s.recovery.cwnd(0)).toBe(window);
    expect(s.recovery.totals().reductions).toBe(1);
    s.ack(11, [], AckFlag.Ece);
    expect(s.recovery.totals().reductions).toBe(2);
    expect(s.recovery.cwrPending(0)).toBe(true);
  });

  test('without ECN the flag means nothing', () => {
    const s = new Sender().send(10).at(MS);
    s.ack(1, [], AckFlag.Ece);
    expect(s.recovery.totals().reductions).toBe(0);
  });

  test('a loss in the same window does not reduce again', () => {
    const s = start(Algorithm.NewReno);
    s.ack(1, [], AckFlag.Ece);
    s.ack(1, [[2, 6]]);
    expect(s.repair()).toEqual([[1, 2]]);
    expect(s.recovery.ssthresh(0)).toBe(5000);
  });
});
