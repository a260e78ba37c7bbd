import { describe, expect, test } from 'vitest';
import { prrAck, prrSent, startPrr } from '../../../../stack/tcp/prr.ts';
import { Algorithm } from '../../../../stack/tcp/recovery.ts';
import { RecoveryTable } from '../../../../stack/tcp/recovery-table.ts';
import { MS, Sender } from './kit.ts';

const MSS = 1000;

function row(ssthresh: number, flight: number): RecoveryTable {
  const table = new RecoveryTable();
  table.grow(1);
  table.mss[0] = MSS;
  table.ssthresh[0] = ssthresh * MSS;
  startPrr(table, 0, flight * MSS);
  return table;
}

/** Sends whole segments for each ACK, as `[delivered, isSafe, pipe]`; returns how many. */
function run(table: RecoveryTable, pipe: number, acks: number, lostFirst: number): number[] {
  const sent: number[] = [];
  let p = pipe;
  for (let i = 0; i < acks; i++) {
    p -= MSS;
    if (i === 0) p -= lostFirst * MSS;
    prrAck(table, 0, MSS, false, p);
    const n = Math.floor((table.cwnd[0]! - p) / MSS);
    prrSent(table, 0, n * MSS);
    p += n * MSS;
    sent.push(n);
  }
  return sent;
}

describe('Proportional Rate Reduction (RFC 9937)', () => {
  test('one lost of 20, Reno: sends one segment for every two delivered, and ends at ssthresh (§8)', () => {
    const sent = run(row(10, 20), 20 * MSS, 19, 1);
    expect(sent.reduce((a, b) => a + b)).toBe(10);
    expect(Math.max(...sent)).toBe(1);
    expect(sent[0]).toBe(1);
  });

  test('one lost of 20, CUBIC: 7 of 10', () => {
    const sent = run(row(14, 20), 20 * MSS, 19, 1);
    expect(sent.reduce((a, b) => a + b)).toBe(14);
  });

  test('15 of 20 lost: conserves packets while flight is below ssthresh (PRR-CRB)', () => {
    const sent = run(row(10, 20), 20 * MSS, 4, 15);
    expect(sent).toEqual([1, 1, 1, 1]);
  });

  test('an ACK that advances and shows no loss adds a segment (PRR-SSRB, SafeACK)', () => {
    const table = row(10, 20);
    prrAck(table, 0, MSS, false, 4 * MSS);
    expect(table.cwnd[0]).toBe(5 * MSS);
    prrSent(table, 0, MSS);
    prrAck(table, 0, MSS, true, 4 * MSS);
    expect(table.cwnd[0]).toBe(6 * MSS);
  });

  test('never goes over ssthresh', () => {
    const table = row(10, 20);
    prrAck(table, 0, 12 * MSS, true, 8 * MSS);
    expect(table.cwnd[0]).toBe(10 * MSS);
  });

  test('an ACK that delivers nothing changes nothing', () => {
    const table = row(10, 20);
    prrAck(table, 0, 0, true, 8 * MSS);
    expect(table.cwnd[0]).toBe(0);
  });

  test('a recovery ends with the window at ssthresh (§6.3)', () => {
    const s = new Sender({ algorithm: Algorithm.Cubic, initialWindow: 20 });
    s.recovery.sample(0, 100 * MS);
    s.send(20).at(100 * MS);
    let sent = 0;
    for (let i = 2; i <= 20; i++) {
      s.ack(0, [[1, i]]);
      sent += s.repair().length + s.fill();
    }
    expect(sent).toBe(2 + 13); // limited transmit, and 17 delivered · 15 / 20
    const ssthresh = s.recovery.ssthresh(0);
    expect(ssthresh).toBe(15_400); // 0.7 of 22: FlightSize as it is (RFC 9438 §4.6)
    expect(Math.abs(s.recovery.flight(0) - ssthresh)).toBeLessThanOrEqual(1000);
    s.after(100 * MS).ack(((s.nxt - s.isn) | 0) / 1000);
    expect(s.recovery.cwnd(0)).toBe(ssthresh);
  });
});
