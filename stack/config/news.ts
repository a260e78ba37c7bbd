// What happened to the configuration, in words: a bounded list that is polled by whoever shows it to people.

import type { StateReader, StateWriter } from '../../core/state.ts';
import { NEVER, US_PER_S } from '../../core/time.ts';

const LINES_MAX = 64;
const LINE_BYTES_MAX = 1024;

/** First in, first out; the oldest are lost if nobody takes them. */
export class News {
  private lines: string[] = [];

  add(line: string): void {
    if (this.lines.length >= LINES_MAX) this.lines.shift();
    this.lines.push(line);
  }

  get isEmpty(): boolean {
    return this.lines.length === 0;
  }

  /** All lines that were not taken yet, oldest first. */
  take(): string[] {
    const { lines } = this;
    this.lines = [];
    return lines;
  }

  /** Within the section of whoever has the news. */
  save(state: StateWriter): void {
    state.number(this.lines.length);
    for (const line of this.lines) state.text(line);
  }

  load(state: StateReader): void {
    this.lines = Array.from({ length: state.integer(0, LINES_MAX) }, () => state.text(LINE_BYTES_MAX));
  }
}

const UNITS = [
  [86400, 'd'],
  [3600, 'h'],
  [60, 'min'],
] as const;

/** `1 h`, `90 s`, `for ever`: the largest unit that says it within two in a hundred. */
export function durationText(us: number): string {
  if (us === NEVER) return 'for ever';
  const seconds = Math.max(0, Math.round(us / US_PER_S));
  for (const [size, name] of UNITS) {
    const count = Math.round(seconds / size);
    if (count > 0 && Math.abs(count * size - seconds) * 50 <= seconds) return `${count} ${name}`;
  }
  return `${seconds} s`;
}
