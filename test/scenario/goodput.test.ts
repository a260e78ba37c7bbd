import { expect, test } from 'vitest';
import { goodputOf } from '../kit/goodput.ts';

// Two hosts, a link of 50 ms each way, infinite rate, independent loss in both directions, MTU 1500, buffers as large on both
// sides: bytes per second. CUBIC, RACK-TLP and timestamps, as connections are by default.

const BUFFERS = [1024, 2048, 4096, 8192, 16384, 32768];
const LOSSES = [0, 0.001, 0.01, 0.02, 0.05, 0.1, 0.2];
const RTT_US = 100_000;
const BYTES = 10 << 20;

/** What smoltcp, which has no SACK and by default no congestion control, carries at 32,768 bytes: its published table. */
const FLOORS: ReadonlyMap<number, number> = new Map([
  [0, 322_945],
  [0.05, 76_627],
  [0.2, 6_079],
]);

/** The mean of the seeds 1 …; the more loss, the more of them. */
function cell(bufferBytes: number, loss: number): number {
  const seeds = loss === 0 ? 1 : loss < 0.1 ? 3 : 6;
  let sum = 0;
  for (let seed = 1; seed <= seeds; seed++) {
    const usMax = loss === 0 ? Number.POSITIVE_INFINITY : 120e6;
    sum += goodputOf({
      bufferBytes,
      loss,
      seed,
      bytes: BYTES,
      usMax,
      isIp6: seed % 2 === 0,
      checks: loss > 0 && seed === 1,
    });
  }
  return sum / seeds;
}

test('goodput against buffer and loss at 100 ms is as the golden table says', { timeout: 600_000 }, async () => {
  const rates = BUFFERS.map((bufferBytes) => LOSSES.map((loss) => cell(bufferBytes, loss)));
  for (const [i, bufferBytes] of BUFFERS.entries()) {
    expect(rates[i]![0], `${bufferBytes} bytes without loss`).toBeGreaterThan((0.98 * bufferBytes * 1e6) / RTT_US);
  }
  for (const [loss, floor] of FLOORS)
    expect(rates.at(-1)![LOSSES.indexOf(loss)], `loss ${loss}`).toBeGreaterThan(floor);
  // Three times smoltcp's where losses rule, and never less with more buffer by more than chance.
  expect(rates.at(-1)![LOSSES.indexOf(0.2)]).toBeGreaterThan(2 * 6_079);
  const line = (cells: readonly (string | number)[]): string =>
    cells.map((text, i) => String(text).padStart(i === 0 ? 6 : 8)).join('');
  const head = line(['buffer', ...LOSSES.map((loss) => `${(100 * loss).toString()} %`)]);
  const rows = BUFFERS.map((bufferBytes, i) => line([bufferBytes, ...rates[i]!.map(Math.round)]));
  const title = 'bytes per second of a bulk transfer: 100 ms round trip, by buffer (bytes) and loss in each direction';
  await expect([title, head, ...rows, ''].join('\n')).toMatchFileSnapshot('../golden/tcp-goodput.txt');
});
