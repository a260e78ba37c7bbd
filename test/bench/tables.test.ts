import { expect, test } from 'vitest';
import { pairedRatio, quantile, spread } from '../../bench/kit/statistics.ts';
import { ratioText, short, table } from '../../bench/kit/table.ts';

test.each([
  [[3, 1, 2], 2, 1, 3],
  [[4, 1, 2, 3], 2.5, 1, 4],
  [[7], 7, 7, 7],
])('the middle of %j is %d, from %d to %d', (values, median, min, max) => {
  expect(spread(values)).toEqual({ median, min, max });
});

test('divides only numbers of the same round', () => {
  expect(pairedRatio({ ours: [2, 40, 6], theirs: [1, 10, 2] })).toEqual({ median: 3, min: 2, max: 4 });
});

test.each([
  [0.5, 51],
  [0.99, 100],
  [1, 100],
])('quantile %d of 1 to 100 is %d', (share, value) => {
  expect(
    quantile(
      Float64Array.from({ length: 100 }, (_, i) => i + 1),
      share,
    ),
  ).toBe(value);
});

test('a quantile of nothing is 0', () => {
  expect(quantile(new Float64Array(0), 0.5)).toBe(0);
});

test.each([
  [0, '0'],
  [0.0302, '0.030'],
  [2.345, '2.35'],
  [38.15, '38.1'],
  [9994, '9994'],
  [292_700, '293 k'],
  [11_540_000, '11.5 M'],
  [Number.NaN, '-'],
])('prints %d as %s', (value, text) => {
  expect(short(value)).toBe(text);
});

test('prints a ratio with its extremes', () => {
  expect(ratioText({ median: 1.3, min: 1.156, max: 1.4 })).toBe('1.30x [1.16-1.40]');
});

test('aligns a table, and a short row too', () => {
  expect(table(['case', 'ours'], [['64 B', '1'], ['failed']])).toBe(
    ['| case   | ours |', '|--------|-----:|', '| 64 B   |    1 |', '| failed |      |'].join('\n'),
  );
});
