import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { LeaseFile } from '../../engine/lease-file.io.ts';
import { LeaseNews } from '../../engine/lease-news.ts';
import type { Lease } from '../../service/service.ts';
import { parseAddress } from '../../stack/stack.ts';
import { tempDir } from '../kit/test-host.ts';

let home: ReturnType<typeof tempDir>;
let told: string[];
let file: LeaseFile;

beforeEach(() => {
  home = tempDir();
  told = [];
  file = new LeaseFile(home.file('leases.json'), (line) => told.push(line));
});
afterEach(() => home.remove());

test('keeps what was written, for its owner alone', () => {
  expect(file.read()).toBeUndefined();
  file.write('one\n');
  file.write('two\n');
  expect(file.read()).toBe('two\n');
  expect(statSync(home.file('leases.json')).mode & 0o777).toBe(0o600);
  expect(readdirSync(home.path)).toEqual(['leases.json']);
  file.remove();
  expect(existsSync(home.file('leases.json'))).toBe(false);
  expect(told).toEqual([]);
});

test('a file that cannot be read is told in one line', () => {
  mkdirSync(home.file('leases.json'));
  expect(file.read()).toBeUndefined();
  expect(told).toEqual([expect.stringMatching(/leases\.json: cannot be read \(EISDIR\): starting without leases$/)]);
});

test('what cannot be written is told once, until it can be written again', () => {
  mkdirSync(home.file('leases.json.new'));
  file.write('one\n');
  file.write('two\n');
  expect(told).toEqual([expect.stringMatching(/leases cannot be saved \(EISDIR\); they are kept in memory$/)]);
});

test('a lost draft does not harm the file', () => {
  file.write('one\n');
  writeFileSync(home.file('leases.json.new'), 'hal');
  chmodSync(home.file('leases.json.new'), 0o600);
  file.write('two\n');
  expect(readFileSync(home.file('leases.json'), 'utf8')).toBe('two\n');
});

test('news are what changed', () => {
  const lease = (address: string, mac: string, name = '', state: Lease['state'] = 'bound'): Lease =>
    ({
      address: parseAddress(address)!,
      client: '',
      where: mac,
      mac,
      name,
      state,
      sinceS: 0,
      untilS: 9,
      isHeld: false,
    }) as Lease;
  const news = new LeaseNews();
  const A = '02:00:00:00:00:0a';
  expect(news.since([lease('10.0.2.15', A, 'web'), lease('10.0.2.16', A, '', 'offered')])).toEqual([
    `10.0.2.15 to ${A} web`,
  ]);
  expect(news.since([lease('10.0.2.15', A, 'web')])).toEqual([]);
  expect(news.since([lease('10.0.2.16', A)])).toEqual([`10.0.2.16 to ${A}`, `10.0.2.15 no longer to ${A} web`]);
});
