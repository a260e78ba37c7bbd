import { describe, expect, test } from 'vitest';
import { AckFlag, Action } from '../../../../stack/tcp/recovery.ts';
import { MS, Sender } from './kit.ts';

describe('the retransmission timeout', () => {
  test('is 1 s before a sample (RFC 6298 §2.1)', () => {
    expect(new Sender().recovery.rtoUs(0)).toBe(1_000_000);
  });

  test('is R + 4 R/2 after the first sample (§2.2)', () => {
    const s = new Sender();
    s.recovery.sample(0, 500 * MS);
    expect(s.recovery.srttUs(0)).toBe(500 * MS);
    expect(s.recovery.rttvarUs(0)).toBe(250 * MS);
    expect(s.recovery.rtoUs(0)).toBe(1500 * MS);
  });

  test('follows the samples with 1/8 and 1/4 (§2.3)', () => {
    const s = new Sender();
    s.recovery.sample(0, 500 * MS);
    s.send(1)
      .after(300 * MS)
      .ack(1);
    expect(s.recovery.rttvarUs(0)).toBe(0.75 * 250 * MS + 0.25 * 200 * MS);
    expect(s.recovery.srttUs(0)).toBe(475 * MS);
    expect(s.recovery.rtoUs(0)).toBe((475 + 4 * 237.5) * MS);
  });

  test.each([
    [10, 200 * MS],
    [100 * MS, 300 * MS],
    [90_000 * MS, 120_000 * MS],
  ])('of a sample of %d µs is %d µs: between 200 ms and 120 s (§2.4, §2.5)', (sample, rto) => {
    const s = new Sender();
    s.recovery.sample(0, sample);
    expect(s.recovery.rtoUs(0)).toBe(rto);
  });

  test('doubles with every expiry up to its maximum, and the first segment is sent again (§5.4 to §5.6)', () => {
    const s = new Sender({ sack: false }).send(3);
    const times: number[] = [];
    for (let i = 0; i < 9; i++) {
      expect(s.fire()).toBe(Action.Retransmit);
      times.push(s.shared.nowUs / 1_000_000);
      expect(s.repair()).toEqual([[0, 1]]);
    }
    expect(times).toEqual([1, 3, 7, 15, 31, 63, 127, 247, 367]);
    expect(s.recovery.backoff(0)).toBe(9);
  });

  test('stays backed off until a segment that was sent once is acknowledged (Karn, §3)', () => {
    const s = new Sender({ sack: false }).send(1);
    s.fire();
    s.repair();
    s.after(10 * MS).ack(1);
    expect(s.recovery.rtoUs(0)).toBe(2_000_000);
    expect(s.recovery.srttUs(0)).toBe(0);
    s.send(1)
      .after(10 * MS)
      .ack(2);
    expect(s.recovery.srttUs(0)).toBe(10 * MS);
    expect(s.recovery.backoff(0)).toBe(0);
  });

  test('takes a sample of a retransmitted segment from its timestamp (RFC 7323 §4)', () => {
    const s = new Sender({ sack: false, timestamps: true }).send(1);
    s.fire();
    s.repair();
    const sentUs = s.shared.nowUs;
    s.after(10 * MS).ack(1, [], AckFlag.HasTimestamp, sentUs);
    expect(s.recovery.srttUs(0)).toBe(10 * MS);
  });

  test('takes no waiting for a retransmission as a round trip: not its own copy, not what was sent after it (§3)', () => {
    const s = new Sender({ timestamps: true, rack: false }).send(1);
    s.after(10 * MS).ack(1, [], AckFlag.HasTimestamp, 0);
    s.send(3); // the first is lost, then the ACKs of the others
    s.fire();
    s.repair();
    s.after(10 * MS).ack(4, [], AckFlag.HasTimestamp, s.shared.nowUs - 10 * MS);
    expect(s.recovery.srttUs(0)).toBe(10 * MS);
    s.send(1);
    const nextUs = s.shared.nowUs;
    s.fire(); // it arrived, and its ACK was lost
    s.repair();
    s.after(10 * MS).ack(5, [[4, 5]], AckFlag.HasTimestamp, nextUs);
    expect(s.recovery.srttUs(0)).toBe(10 * MS);
  });

  test('counts from the last acknowledgment of new data, and stops when all is acknowledged (§5.2, §5.3)', () => {
    const s = new Sender({ sack: false }).send(2);
    s.at(100 * MS).ack(1);
    expect(s.recovery.deadlineUs(0)).toBe(100 * MS + s.recovery.rtoUs(0));
    s.at(200 * MS).ack(2);
    expect(s.recovery.deadlineUs(0)).toBe(Number.POSITIVE_INFINITY);
  });

  test('is 3 s after a lost SYN, with a window of one segment (§5.7, RFC 5681 §3.1)', () => {
    const s = new Sender();
    s.recovery.synTimedOut(0);
    expect(s.recovery.rtoUs(0)).toBe(3_000_000);
    expect(s.recovery.cwnd(0)).toBe(1000);
  });

  test('asked early, the timer does nothing', () => {
    const s = new Sender().send(1);
    s.at(s.recovery.deadlineUs(0) - 1);
    expect(s.recovery.fire(0)).toBe(Action.None);
  });
});
