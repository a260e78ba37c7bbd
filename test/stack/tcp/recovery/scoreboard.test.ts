import { describe, expect, test } from 'vitest';
import { AckResult } from '../../../../stack/tcp/recovery.ts';
import { MS, Sender } from './kit.ts';

const ISN = [0, 0x7fffe000, -3000] as const; // the sequence numbers wrap in the second and third

describe.each(ISN)('SACK, with sequence numbers from %d', (isn) => {
  const start = (n: number, options = {}): Sender => {
    const s = new Sender({ isn, ...options });
    s.recovery.sample(0, 100 * MS);
    return s.send(n).at(100 * MS);
  };

  test('the first of eight lost: blocks grow, one segment is missing (RFC 2018 §7 case 2)', () => {
    const s = start(8);
    for (let i = 2; i <= 8; i++) s.ack(0, [[1, i]]);
    expect(s.repair()).toEqual([[0, 1]]);
    expect(s.recovery.flight(0)).toBe(1000);
  });

  test('every second of eight lost: four blocks, four holes (RFC 2018 §7 case 3)', () => {
    const s = start(8);
    s.ack(1);
    s.ack(1, [[2, 3]]);
    s.ack(1, [
      [4, 5],
      [2, 3],
    ]);
    s.ack(1, [
      [6, 7],
      [4, 5],
      [2, 3],
    ]);
    s.send(3);
    s.after(100 * MS).ack(1, [
      [8, 11],
      [6, 7],
      [4, 5],
    ]);
    const holes: [number, number][] = [];
    for (let i = 0; i < 8; i++) {
      holes.push(...s.repair());
      s.after(MS);
      const last = holes[holes.length - 1]!;
      s.ack(last[1] + 1, [[8, 11]]);
    }
    expect(holes).toEqual([
      [1, 2],
      [3, 4],
      [5, 6],
      [7, 8],
    ]);
  });

  test('by RFC 6675 a segment is lost with three SACKed ranges, or more than two segments of them, above (§4 IsLost)', () => {
    const s = start(10, { rack: false });
    s.ack(0, [[2, 3]]);
    s.ack(0, [
      [4, 5],
      [2, 3],
    ]);
    expect(s.recovery.inRecovery(0)).toBe(false);
    s.ack(0, [
      [6, 7],
      [4, 5],
      [2, 3],
    ]);
    expect(s.recovery.flight(0)).toBe(5000); // 0 and 1 are lost, the holes above not yet
    expect(s.repair()[0]).toEqual([0, 1]);
  });

  test('by RFC 6675 two segments are not enough', () => {
    const s = start(10, { rack: false });
    s.ack(0, [[1, 3]]);
    expect(s.recovery.inRecovery(0)).toBe(false);
    s.ack(0, [[1, 4]]);
    expect(s.recovery.inRecovery(0)).toBe(true);
  });

  test('what the peer SACKed and then dropped is sent again after the timeout (RFC 2018 §8)', () => {
    const s = start(6);
    s.ack(0, [[1, 6]]);
    s.repair();
    s.after(50 * MS).ack(1, []); // the hole is filled, and the rest is gone
    s.fire();
    expect(s.recovery.backoff(0)).toBe(1);
    expect(s.repair()).toEqual([[1, 2]]);
    s.after(50 * MS).ack(2);
    expect(s.repair()).toEqual([[2, 4]]);
  });

  test.each([
    ['beyond what was sent', [[5, 9]]],
    ['empty', [[3, 3]]],
    ['backwards', [[5, 2]]],
    ['below the window', [[-5, -2]]],
    ['half the sequence space', [[1, 2_000_000]]],
  ] as [string, [number, number][]][])('a block that is %s is ignored', (_name, blocks) => {
    const s = start(6);
    s.ack(0, blocks);
    expect(s.recovery.flight(0)).toBe(6000);
    s.ack(6);
    expect(s.recovery.segmentsUsed()).toBe(0);
  });

  test('a super-frame is split where SACKs and the window end', () => {
    const s = start(0);
    const { recovery } = s;
    s.nxt = (isn + 10_000) | 0;
    recovery.sent(0, s.nxt);
    expect(recovery.segmentsUsed()).toBe(1);
    s.after(100 * MS).ack(0, [[1, 4]]);
    expect(recovery.segmentsUsed()).toBe(3);
    expect(recovery.flight(0)).toBe(6000); // three segments above: the first is lost
    s.ack(0, [[1, 10]]);
    expect(recovery.segmentsUsed()).toBe(2);
    s.send(4)
      .after(50 * MS)
      .ack(0, [[1, 14]]);
    expect(s.repair()).toEqual([[0, 1]]);
    s.after(50 * MS).ack(14);
    expect(recovery.segmentsUsed()).toBe(0);
  });

  test('without free descriptors new data lengthens the last one, and nothing is lost but precision', () => {
    const s = start(4, { segmentsMax: 4 });
    s.send(6);
    expect(s.recovery.segmentsUsed()).toBe(4);
    s.ack(0, [[5, 10]]); // a part of the last: cannot be noted
    expect(s.recovery.flight(0)).toBe(10_000);
    s.ack(0, [[3, 10]]);
    expect(s.recovery.flight(0)).toBe(0); // seven are SACKed, three lost
    s.send(1);
    expect(s.recovery.flight(0)).toBe(8000); // the SACKs are forgotten
    s.after(100 * MS).ack(11);
    expect(s.recovery.segmentsUsed()).toBe(0);
    expect(s.recovery.flight(0)).toBe(0);
  });
});

describe('DSACK at the sender (RFC 2883 §5)', () => {
  // What the examples of §4.1 and §4.2 show the sender, in whole segments; and the bytes in flight after it.
  test.each([
    ['§4.1.1, a segment twice', 8, 8, [[6, 7]], 0],
    [
      '§4.1.2, a segment twice and one lost',
      8,
      6,
      [
        [5, 6],
        [7, 8],
      ],
      1000,
    ],
    [
      '§4.1.3, a segment twice, out of order',
      8,
      2,
      [
        [4, 5],
        [4, 6],
      ],
      4000,
    ],
    ['§4.2.1, a part of one twice', 8, 5, [[3, 4]], 3000],
    [
      '§4.2.2, twice across two blocks',
      10,
      2,
      [
        [3, 4],
        [3, 5],
        [6, 7],
      ],
      3000,
    ],
    [
      '§4.2.3, twice within a later block',
      10,
      2,
      [
        [6, 7],
        [5, 8],
      ],
      2000,
    ],
  ] as [string, number, number, [number, number][], number][])(
    '%s: the first block is no news',
    (_name, n, ack, blocks, flight) => {
      const s = new Sender();
      s.recovery.sample(0, 100 * MS);
      s.send(n).at(100 * MS);
      s.ack(ack, blocks);
      expect(s.recovery.flight(0)).toBe(flight);
    },
  );

  test('a retransmission that was not needed is undone: replicated by the network it is not counted twice (§5)', () => {
    const s = new Sender();
    s.recovery.sample(0, 100 * MS);
    s.send(10).at(100 * MS);
    s.ack(0, [[1, 4]]);
    expect(s.repair()).toEqual([[0, 1]]);
    const reduced = s.recovery.ssthresh(0);
    expect(reduced).toBe(5000);
    s.after(5 * MS).ack(4); // the original was late
    expect(s.ack(4, [[0, 1]]) & AckResult.Undone).toBeTruthy();
    expect(s.recovery.ssthresh(0)).toBe(Number.POSITIVE_INFINITY);
    expect(s.recovery.cwnd(0)).toBeGreaterThanOrEqual(10_000);
    expect(s.recovery.inRecovery(0)).toBe(false);
  });
});
