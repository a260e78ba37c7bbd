// Values of VNL options: one checker and one reader per kind.

import { UsageError } from '../core/assert.ts';
import { US_PER_MS, US_PER_S } from '../core/time.ts';
import type { Kind, Scheme } from './schemes.ts';

const SIZE_UNITS: Readonly<Record<string, number>> = { '': 1, k: 1 << 10, M: 1 << 20, G: 1 << 30 };
const TIME_UNITS: Readonly<Record<string, number>> = { us: 1, ms: US_PER_MS, s: US_PER_S, m: 60 * US_PER_S };

/** A size like `65536`, `64k`, `1M` (powers of 1024) in bytes; NaN if it is none. */
export function bytesOf(text: string): number {
  const match = /^([0-9]{1,12})([kMG]?)$/.exec(text);
  return match ? Number(match[1]) * SIZE_UNITS[match[2]!]! : Number.NaN;
}

/** A duration like `250ms`, `30s`, `2m` in µs; NaN if it is none. */
export function durationUsOf(text: string): number {
  const match = /^([0-9]{1,12})(us|ms|s|m)$/.exec(text);
  return match ? Number(match[1]) * TIME_UNITS[match[2]!]! : Number.NaN;
}

/** Throws `UsageError` unless the scheme knows `key` and `value` is of its kind. `value` is undefined if there was no `=`. */
export function checkOption(scheme: string, rules: Scheme, key: string, value: string | undefined): void {
  const known = Object.keys(rules.options);
  if (!Object.hasOwn(rules.options, key)) {
    const list = known.length === 0 ? 'it takes none' : `known: ${known.join(', ')}`;
    throw new UsageError(`${scheme}: unknown option '${key}'; ${list}`);
  }
  const kind = rules.options[key]!;
  if (kind.kind === 'flag') {
    if (value !== undefined) throw new UsageError(`${scheme}: '${key}' takes no value, got '${value}'; write ${key}`);
    return;
  }
  if (value === undefined) throw new UsageError(`${scheme}: '${key}' needs a value; write ${key}=${example(kind)}`);
  checkValue(`${scheme}: ${key}`, kind, value);
}

function checkValue(what: string, kind: Kind, value: string): void {
  if (kind.kind === 'mode') {
    if (!/^[0-7]{3,4}$/.test(value))
      throw new UsageError(`${what}: '${value}' is not an octal mode; take 0000 ... 7777`);
  } else if (kind.kind === 'int' || kind.kind === 'bytes' || kind.kind === 'duration') {
    const number = readNumber(kind.kind, value);
    if (number >= kind.min && number <= kind.max) return;
    const unit = kind.kind === 'int' ? '' : kind.kind === 'bytes' ? ' bytes (k, M, G)' : ' µs (us, ms, s, m)';
    throw new UsageError(`${what}: '${value}' is out of range; take ${kind.min} ... ${kind.max}${unit}`);
  }
}

function readNumber(kind: 'int' | 'bytes' | 'duration', value: string): number {
  if (kind === 'bytes') return bytesOf(value);
  if (kind === 'duration') return durationUsOf(value);
  return /^[0-9]{1,15}$/.test(value) ? Number(value) : Number.NaN;
}

function example(kind: Kind): string {
  if (kind.kind === 'mode') return '0600';
  if (kind.kind === 'list') return 'text,text';
  if (kind.kind === 'bytes') return '1M';
  if (kind.kind === 'duration') return '30s';
  return kind.kind === 'int' ? String(kind.min) : 'text';
}
