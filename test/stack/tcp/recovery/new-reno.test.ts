import { describe, expect, test } from 'vitest';
import { AckFlag, AckResult } from '../../../../stack/tcp/recovery.ts';
import { MS, Sender } from './kit.ts';

const reno = (n = 10): Sender => new Sender({ sack: false }).send(n).at(100 * MS);

describe('the window of RFC 5681', () => {
  test.each([
    [536, 5360],
    [1460, 14600],
    [1220, 12200],
    [8960, 17920],
    [2000, 14600],
  ])('initially, with an mss of %d, is %d bytes (RFC 6928 §2)', (mss, bytes) => {
    expect(new Sender({ mss }).recovery.cwnd(0)).toBe(bytes);
  });

  test('may be told', () => {
    expect(new Sender({ initialWindow: 3 }).recovery.cwnd(0)).toBe(3000);
  });

  test('grows in slow start by what is acknowledged, at most 2 segments an ACK (RFC 3465 §2.2)', () => {
    const s = reno();
    s.ack(1);
    expect(s.recovery.cwnd(0)).toBe(11_000);
    s.fill();
    s.ack(6);
    expect(s.recovery.cwnd(0)).toBe(13_000);
  });

  test('grows by a segment in a round trip in congestion avoidance (RFC 3465 §2.1)', () => {
    const s = reno();
    s.ack(0);
    s.ack(0);
    s.ack(0);
    s.repair();
    s.ack(10);
    expect(s.recovery.cwnd(0)).toBe(5000);
    let to = 10;
    for (const window of [5000, 6000, 7000, 8000]) {
      expect(s.recovery.cwnd(0)).toBe(window);
      const n = s.fill();
      for (let i = 0; i < n; i++) s.ack(++to);
    }
  });

  test('after an idle time longer than the RTO is the initial window again (§4.1)', () => {
    const s = reno();
    let to = 0;
    for (let i = 0; i < 5; i++) {
      s.after(100 * MS);
      while (((s.nxt - s.isn) | 0) / 1000 > to) s.ack(++to);
      s.fill();
    }
    s.after(100 * MS).ack(((s.nxt - s.isn) | 0) / 1000);
    expect(s.recovery.cwnd(0)).toBeGreaterThan(100_000);
    s.after(s.recovery.rtoUs(0) - 101 * MS);
    s.recovery.restartIfIdle(0);
    expect(s.recovery.cwnd(0)).toBeGreaterThan(100_000);
    s.after(200 * MS);
    s.recovery.restartIfIdle(0);
    expect(s.recovery.cwnd(0)).toBe(10_000);
  });

  test('after a timeout is one segment, and ssthresh half the flight (eq. 4)', () => {
    const s = reno();
    s.fire();
    expect(s.recovery.cwnd(0)).toBe(1000);
    expect(s.recovery.ssthresh(0)).toBe(5000);
  });
});

describe('fast retransmit without SACK', () => {
  test('two duplicate ACKs send new data (RFC 3042), the third retransmits (RFC 5681 §3.2)', () => {
    const s = reno();
    expect(s.ack(0)).toBe(AckResult.Duplicate);
    expect(s.fill()).toBe(1);
    s.ack(0);
    expect(s.fill()).toBe(1);
    expect(s.repair()).toEqual([]);
    expect(s.ack(0) & AckResult.EnteredRecovery).toBeTruthy();
    expect(s.repair()).toEqual([[0, 1]]);
    expect(s.recovery.ssthresh(0)).toBe(5000); // half of 10 segments: limited transmit is not counted
  });

  test.each([
    ['data', AckFlag.IsData],
    ['a window update', AckFlag.WindowChanged],
  ])('an ACK with %s is no duplicate (RFC 5681 §2)', (_name, flag) => {
    const s = reno();
    for (let i = 0; i < 5; i++) expect(s.ack(0, [], flag)).toBe(0);
    expect(s.recovery.inRecovery(0)).toBe(false);
  });

  test('a partial ACK retransmits the next hole at once, a full one ends the recovery (RFC 6582 §3.2)', () => {
    const s = reno(); // 0, 3 and 7 are lost
    for (let i = 0; i < 3; i++) s.ack(0);
    expect(s.repair()).toEqual([[0, 1]]);
    for (let i = 0; i < 4; i++) s.ack(0);
    expect(s.repair()).toEqual([]);
    expect(s.ack(3)).toBe(AckResult.Advanced | AckResult.LossFound);
    expect(s.repair()).toEqual([[3, 4]]);
    const deadline = s.recovery.deadlineUs(0);
    s.after(10 * MS).ack(7);
    expect(s.repair()).toEqual([[7, 8]]);
    expect(s.recovery.inRecovery(0)).toBe(true);
    expect(s.recovery.deadlineUs(0)).toBe(deadline);
    expect(s.ack(10) & AckResult.LeftRecovery).toBeTruthy();
    expect(s.recovery.cwnd(0)).toBe(5000);
  });

  test('duplicates of what was retransmitted before do not retransmit again (RFC 6582 §3.2 step 2)', () => {
    const s = reno();
    s.fire();
    s.repair();
    s.ack(10);
    s.recovery.grow(1);
    s.send(5);
    for (let i = 0; i < 5; i++) s.ack(10);
    expect(s.recovery.inRecovery(0)).toBe(false);
  });
});
