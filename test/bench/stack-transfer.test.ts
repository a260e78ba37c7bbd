import { expect, test } from 'vitest';
import { Transfer } from '../../bench/load/stack-transfer.ts';

const BYTES = 3_000_000;

for (const isIp6 of [true, false])
  for (const [name, mtuBytes, takesOffload] of [
    ['frames of 1500', 1500, false],
    ['super-frames', 1500, true],
    ['frames of 9000', 9000, false],
  ] as const)
    test(`the transfer that is measured moves every byte unharmed: ${name}, IPv${isIp6 ? 6 : 4}`, () => {
      let nowUs = 0;
      const clock = () => ++nowUs; // a turn takes a microsecond
      const transfer = new Transfer({ mtuBytes, takesOffload, isIp6, checks: true, clock });
      expect(transfer.lan.until(() => transfer.received > BYTES, 10)).toBe(true);
      expect(transfer.drain(10)).toBe(true);
    });
