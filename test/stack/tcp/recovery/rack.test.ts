import { describe, expect, test } from 'vitest';
import { AckResult, Action } from '../../../../stack/tcp/recovery.ts';
import { DROP, MS, Sender, Transfer } from './kit.ts';

/** `n` segments sent 1 ms apart from 0 on, with a round trip of 100 ms known. */
function flight(n: number): Sender {
  const s = new Sender();
  s.recovery.sample(0, 100 * MS);
  for (let i = 0; i < n; i++) s.at(i * MS).send(1);
  return s;
}

describe('RACK (RFC 8985)', () => {
  test('waits a quarter of the round trip for a segment that may be reordered (§6.2 step 4)', () => {
    const s = flight(3);
    s.at(101 * MS).ack(0, [[1, 2]]);
    expect(s.recovery.inRecovery(0)).toBe(false);
    expect(s.recovery.deadlineUs(0)).toBe(125 * MS); // xmit 0 + rtt 100 + 100 / 4
    expect(s.fire()).toBe(Action.Retransmit);
    expect(s.repair()).toEqual([[0, 1]]);
    expect(s.recovery.inRecovery(0)).toBe(true);
  });

  test('three SACKed segments leave no time (§6.2 step 4)', () => {
    const s = flight(6);
    s.at(103 * MS).ack(0, [[1, 3]]);
    expect(s.repair()).toEqual([]);
    expect(s.ack(0, [[1, 4]]) & AckResult.EnteredRecovery).toBeTruthy();
    expect(s.repair()).toEqual([[0, 1]]);
  });

  test('a segment that comes late is no loss, and reordering is remembered (§6.2 step 3)', () => {
    const s = flight(8);
    s.at(101 * MS).ack(0, [[1, 2]]);
    s.at(110 * MS).ack(2);
    expect(s.recovery.totals().recoveries).toBe(0);
    s.at(106 * MS + 10 * MS).ack(2, [[3, 7]]); // four SACKs: without reordering that would do
    expect(s.recovery.inRecovery(0)).toBe(false);
  });

  test('finds a lost retransmission by what was sent after it (§3.2)', () => {
    const s = flight(6);
    s.at(103 * MS).ack(0, [[1, 4]]);
    expect(s.repair()).toEqual([[0, 1]]); // lost again
    s.at(104 * MS).ack(0, [[1, 5]]);
    s.send(1); // 6
    s.at(105 * MS).ack(0, [[1, 6]]);
    expect(s.repair()).toEqual([]);
    s.at(204 * MS).ack(0, [[1, 7]]); // 6 was sent after the copy of 0
    expect(s.repair()).toEqual([[0, 1]]);
  });

  test('the ACK of a retransmission that is faster than any round trip tells nothing (§6.2 step 2)', () => {
    const s = flight(6);
    s.at(103 * MS).ack(0, [[1, 4]]);
    s.repair();
    s.at(104 * MS).ack(4); // of the original
    expect(s.recovery.inRecovery(0)).toBe(true);
    expect(s.repair()).toEqual([]);
  });

  test('each round trip with a DSACK widens the window (§6.2 step 4)', () => {
    const s = flight(4);
    const wait = (): number => s.recovery.deadlineUs(0);
    s.at(110 * MS).ack(2, [[0, 1]]); // DSACK: multiplier 2
    s.ack(2, [[0, 1]]); // the same round trip
    s.ack(2, [[3, 4]]);
    expect(wait()).toBe(2 * MS + 107 * MS + (2 * 100 * MS) / 4); // the handshake took 100 ms
  });

  test('after a timeout only what is old enough is lost (§6.3)', () => {
    const s = flight(2);
    s.at(250 * MS).send(1);
    while (!s.recovery.inRecovery(0)) {
      if (s.fire() === Action.SendProbe) s.recovery.resent(0, s.recovery.probeSegment(0));
    }
    expect(s.repair()).toEqual([[0, 1]]);
  });
});

describe('tail loss probes (RFC 8985 §7)', () => {
  const link = { delayUs: 50 * MS, gapUs: 10, segments: 20 };

  test('PTO is two round trips, or 200 ms more with one segment in flight (§7.2)', () => {
    const s = new Sender();
    s.recovery.sample(0, 100 * MS);
    s.send(1);
    expect(s.recovery.deadlineUs(0)).toBe(300 * MS); // the RTO comes before 400
    const t = new Sender();
    t.recovery.sample(0, 100 * MS);
    t.send(2);
    expect(t.recovery.deadlineUs(0)).toBe(200 * MS);
  });

  test('PTO is 1 s before a sample', () => {
    expect(new Sender().send(2).recovery.deadlineUs(0)).toBe(1_000_000);
  });

  test.each([
    ['the last', [19]],
    ['the last two', [18, 19]],
    ['the last five', [15, 16, 17, 18, 19]],
    ['three before the last', [16, 17, 18]],
  ])('%s segments lost are repaired without a timeout (§7, table)', (_name, lost) => {
    const transfer = new Transfer(new Sender(), {
      ...link,
      fate: (_n, seq, isCopy) => (!isCopy && lost.includes(seq) ? DROP : 0),
    });
    transfer.run();
    expect(transfer.timeouts).toBe(0);
    expect(transfer.copies).toBe(lost.length);
  });

  test('a probe that repaired the only loss reduces the window (§7.4.2 case 3)', () => {
    const s = flight(3);
    expect(s.fire()).toBe(Action.SendProbe);
    const probe = s.recovery.probeSegment(0);
    expect(s.recovery.seqOf(probe)).toBe(2000);
    s.recovery.resent(0, probe);
    s.after(100 * MS).ack(3);
    expect(s.recovery.totals().reductions).toBe(0); // not known yet
    s.send(1)
      .after(100 * MS)
      .ack(4);
    expect(s.recovery.totals().reductions).toBe(1);
    expect(s.recovery.cwnd(0)).toBeLessThan(10_000);
  });

  test('a DSACK for the probe means that nothing was lost (§7.4.2 case 1)', () => {
    const s = flight(3);
    s.fire();
    s.recovery.resent(0, s.recovery.probeSegment(0));
    s.after(100 * MS).ack(3);
    s.ack(3, [[2, 3]]);
    s.send(1)
      .after(100 * MS)
      .ack(4);
    expect(s.recovery.totals().reductions).toBe(0);
  });

  test('a probe may be new data, whose ACK ends the episode', () => {
    const s = flight(3);
    expect(s.fire()).toBe(Action.SendProbe);
    s.send(1)
      .after(100 * MS)
      .ack(4);
    expect(s.recovery.totals()).toMatchObject({ reductions: 0, recoveries: 0 });
  });

  test('only one probe is out: then comes the timeout (§7.3)', () => {
    const s = flight(3);
    expect(s.fire()).toBe(Action.SendProbe);
    s.recovery.resent(0, s.recovery.probeSegment(0));
    expect(s.fire()).toBe(Action.Retransmit);
    expect(s.recovery.backoff(0)).toBe(1);
  });
});
