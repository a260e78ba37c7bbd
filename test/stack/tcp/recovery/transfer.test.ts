import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Algorithm } from '../../../../stack/tcp/recovery.ts';
import { DROP, type Fate, MS, Sender, Transfer } from './kit.ts';

const link = { delayUs: 25 * MS, gapUs: 100 };

describe('transfers over a virtual link', () => {
  test.each([
    ['with SACK and RACK', { sack: true }],
    ['with SACK and RFC 6675', { sack: true, rack: false }],
    ['without SACK', { sack: false }],
  ] as const)('%s, one lost segment is one retransmission and no timeout', (_name, options) => {
    const fate: Fate = (n) => (n === 40 ? DROP : 0);
    const transfer = new Transfer(new Sender(options), { ...link, segments: 200, fate });
    transfer.run();
    expect(transfer.copies).toBe(1);
    expect(transfer.timeouts).toBe(0);
    expect(transfer.sender.recovery.totals()).toMatchObject({ recoveries: 1, undos: 0 });
    expect(transfer.sender.recovery.segmentsUsed()).toBe(0);
  });

  test('without loss nothing is retransmitted and the window grows', () => {
    const transfer = new Transfer(new Sender(), { ...link, segments: 2000 });
    transfer.run();
    expect(transfer.copies).toBe(0);
    expect(transfer.probes).toBe(0);
    expect(transfer.sender.recovery.cwnd(0)).toBeGreaterThan(500_000);
  });

  test('any pattern of loss and delay ends, with any recovery', () => {
    const fates = fc.array(fc.integer({ min: -3, max: 12 }), { minLength: 1, maxLength: 40 });
    fc.assert(
      fc.property(
        fates,
        fc.boolean(),
        fc.boolean(),
        fc.boolean(),
        fc.boolean(),
        (pattern, sack, rack, timestamps, isCubic) => {
          const fate: Fate = (n) => {
            if (n >= 300) return 0;
            const p = pattern[n % pattern.length]!;
            return p < 0 && n % 7 < 3 ? DROP : Math.max(0, p) * MS;
          };
          const algorithm = isCubic ? Algorithm.Cubic : Algorithm.NewReno;
          const sender = new Sender({ sack, rack, timestamps, algorithm, isn: 0x7fff0000 });
          const transfer = new Transfer(sender, { ...link, segments: 150, fate, timestamps });
          transfer.run(1e11);
          expect((sender.una - sender.isn) | 0).toBe(150 * sender.mss);
          expect(sender.recovery.segmentsUsed()).toBe(0);
          expect(sender.recovery.flight(0)).toBe(0);
        },
      ),
      { numRuns: 300 },
    );
  });

  test.each([1, 3, 8])('with %d descriptors a transfer with loss ends all the same', (segmentsMax) => {
    const fate: Fate = (n) => (n % 11 === 5 ? DROP : 0);
    const transfer = new Transfer(new Sender({ segmentsMax }), { ...link, segments: 200, fate });
    transfer.run(1e11);
    expect((transfer.sender.una - transfer.sender.isn) | 0).toBe(200_000);
    expect(transfer.sender.recovery.segmentsUsed()).toBe(0);
  });
});
