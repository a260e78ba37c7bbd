import { describe, expect, test } from 'vitest';
import { StateError, StateReader, StateWriter } from '../../../../core/state.ts';
import { Algorithm, Recovery } from '../../../../stack/tcp/recovery.ts';
import { DROP, type Fate, MS, newShared, Sender, Transfer } from './kit.ts';

const snapshot = (recovery: Recovery): Uint8Array<ArrayBuffer> => {
  const writer = new StateWriter();
  recovery.save(writer);
  return writer.finish();
};

describe('saved and restored', () => {
  test.each([
    [{ sack: true, algorithm: Algorithm.Cubic }],
    [{ sack: true, rack: false }],
    [{ sack: false }],
    [{ sack: true, timestamps: true, algorithm: Algorithm.Cubic }],
  ])('at any time, a transfer with loss goes on byte-identically: %o', (options) => {
    const fate: Fate = (n) => (n % 17 === 3 || (n > 90 && n < 110) ? DROP : n % 23 === 0 ? 30 * MS : 0);
    const make = (): Transfer =>
      new Transfer(new Sender(options), { delayUs: 20 * MS, gapUs: 100, segments: 300, fate, timestamps: true });
    const whole = make();
    whole.run(1e11);
    const broken = make();
    for (let until = 10 * MS; until < 5000 * MS; until += 37 * MS) {
      broken.run(until);
      const before = snapshot(broken.sender.recovery);
      const next = new Recovery(broken.sender.shared, { segmentsMax: 4096 });
      next.load(new StateReader(before));
      expect(snapshot(next)).toEqual(before);
      Object.assign(broken.sender, { recovery: next });
    }
    broken.run(1e11);
    expect(broken.log).toEqual(whole.log);
    expect(snapshot(broken.sender.recovery)).toEqual(snapshot(whole.sender.recovery));
    expect(whole.copies).toBeGreaterThan(20);
  });

  test('a damaged snapshot is refused or is a whole one', () => {
    const s = new Sender().send(8).at(100 * MS);
    s.ack(0, [[2, 4]]);
    const bytes = snapshot(s.recovery);
    let refused = 0;
    for (let at = 20; at < bytes.length; at += 3) {
      const bad = bytes.slice();
      bad[at] = bad[at]! ^ 0x55;
      const next = new Recovery(newShared(), { segmentsMax: 64 });
      try {
        next.load(new StateReader(bad));
      } catch (error) {
        expect(error).toBeInstanceOf(StateError);
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(100);
  });
});
