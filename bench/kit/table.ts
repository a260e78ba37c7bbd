// A Markdown table with aligned columns, and numbers short enough to compare by eye.

import type { Spread } from './statistics.ts';

/** `head` and `rows` as Markdown; the first column is text, the others are aligned right. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, column) => Math.max(3, title.length, ...rows.map((row) => row[column]?.length ?? 0)));
  const line = (cells: readonly string[]): string =>
    `| ${widths.map((width, i) => (i === 0 ? (cells[i] ?? '').padEnd(width) : (cells[i] ?? '').padStart(width))).join(' | ')} |`;
  const rule = `|${widths.map((width, i) => (i === 0 ? '-'.repeat(width + 2) : `${'-'.repeat(width + 1)}:`)).join('|')}|`;
  return [line(head), rule, ...rows.map(line)].join('\n');
}

/** Three significant digits, with k and M. */
export function short(value: number): string {
  if (!Number.isFinite(value)) return '-';
  if (value >= 999_500) return `${precise(value / 1e6)} M`;
  return value >= 9_995 ? `${precise(value / 1e3)} k` : precise(value);
}

/** `1.30x [1.16-1.40]`. */
export function ratioText({ median, min, max }: Spread): string {
  return Number.isFinite(median) ? `${precise(median)}x [${precise(min)}-${precise(max)}]` : '-';
}

function precise(value: number): string {
  if (value === 0 || !Number.isFinite(value)) return Number.isFinite(value) ? '0' : '-';
  const digits = Math.max(0, Math.min(3, 2 - Math.floor(Math.log10(Math.abs(value)))));
  return value.toFixed(digits);
}
