import { mkdtempSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { HostResolver } from '../../engine/host-resolver.io.ts';
import { parseResolvConf } from '../../engine/resolv-conf.ts';
import { formatAddress } from '../../stack/stack.ts';

let dir = '';
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'weft-resolv-'));
});
afterEach(() => rmSync(dir, { recursive: true }));

const S = 1_000_000;
const texts = (list: readonly { address: Int32Array }[]): string[] => list.map((one) => formatAddress(one.address));
const read = (text: string): string[] => texts(parseResolvConf(text, (name) => (name === 'wlan0' ? 7 : 0)).servers);

test.each([
  ['nameserver 192.0.2.1\nnameserver 2001:db8::1\n', ['192.0.2.1', '2001:db8::1']],
  ['# nameserver 192.0.2.1\n; nameserver 192.0.2.2\n  nameserver\t192.0.2.3 ignored\r\n', ['192.0.2.3']],
  ['nameserver 192.0.2.1\nnameserver 192.0.2.1\nnameserver 300.1.1.1\nnameserver\nnameserver host\n', ['192.0.2.1']],
  ['nameserver 0.0.0.0\nnameserver ::\n', ['127.0.0.1', '::1']],
  ['nameserver fe80::1%wlan0\nnameserver fe80::2%9\n', ['fe80:7::1', 'fe80:9::2']],
  ['nameserver fe80::1\nnameserver fe80::2%none\nnameserver fe80::3%99999\n', []],
  ['options timeout:1 attempts:9 rotate\nsortlist 10.0.0.0\n', []],
  [
    Array.from({ length: 20 }, (_, i) => `nameserver 192.0.2.${i}`).join('\n'),
    Array.from({ length: 8 }, (_, i) => `192.0.2.${i}`),
  ],
])('%j names %j', (text, expected) => {
  expect(read(text)).toEqual(expected);
});

test.each([
  ['search a.example b.example.\n', ['a.example', 'b.example']],
  ['search a.example\ndomain c.example\n', ['c.example']],
  ['search .\n', []],
])('of %j the search list is %j', (text, expected) => {
  expect(parseResolvConf(text, () => 0).search).toEqual(expected);
});

test('follows changes of the file, looked at once a second', () => {
  const path = join(dir, 'resolv.conf');
  let nowUs = 0;
  const resolver = new HostResolver({ path, nowUs: () => nowUs });
  writeFileSync(path, 'nameserver 192.0.2.1\nsearch one.example\n');
  expect(texts(resolver.current())).toEqual(['192.0.2.1']);
  expect(resolver.search()).toEqual(['one.example']);
  const first = resolver.generation;
  writeFileSync(path, 'nameserver 192.0.2.22\n');
  nowUs += S - 1;
  expect([texts(resolver.current()), resolver.generation]).toEqual([['192.0.2.1'], first]);
  nowUs += 1;
  expect(texts(resolver.current())).toEqual(['192.0.2.22']);
  expect(resolver.generation).toBe(first + 1);
});

test('the same servers in another file are no change', () => {
  const path = join(dir, 'resolv.conf');
  let nowUs = 0;
  const resolver = new HostResolver({ path, nowUs: () => nowUs });
  writeFileSync(path, 'nameserver 192.0.2.1\n');
  resolver.current();
  const { generation } = resolver;
  writeFileSync(join(dir, 'other'), '# written anew\nnameserver 192.0.2.1\n');
  renameSync(join(dir, 'other'), path);
  nowUs += S;
  resolver.current();
  expect(resolver.generation).toBe(generation);
});

test('follows a link that leads elsewhere, as network managers make it', () => {
  const path = join(dir, 'resolv.conf');
  let nowUs = 0;
  writeFileSync(join(dir, 'a'), 'nameserver 192.0.2.1\n');
  writeFileSync(join(dir, 'b'), 'nameserver 192.0.2.2\n');
  symlinkSync('a', path);
  const resolver = new HostResolver({ path, nowUs: () => nowUs });
  expect(texts(resolver.current())).toEqual(['192.0.2.1']);
  unlinkSync(path);
  symlinkSync('b', path);
  nowUs += S;
  expect(texts(resolver.current())).toEqual(['192.0.2.2']);
});

test('a file that is not there, too long, or no file names nobody, says so once, and is found later', () => {
  const path = join(dir, 'resolv.conf');
  const said: string[] = [];
  let nowUs = 0;
  const resolver = new HostResolver({ path, nowUs: () => nowUs, say: (line) => said.push(line) });
  for (let i = 0; i < 3; i++, nowUs += S) expect(resolver.current()).toEqual([]);
  expect(said).toHaveLength(1);
  expect(said[0]).toContain(path);
  writeFileSync(path, 'nameserver 192.0.2.1\n');
  expect(texts(resolver.current())).toEqual(['192.0.2.1']);
  writeFileSync(path, `nameserver 192.0.2.1\n${'#'.repeat(70_000)}\n`);
  nowUs += S;
  expect(resolver.current()).toEqual([]);
  const whole = new HostResolver({ path: dir, nowUs: () => nowUs, say: (line) => said.push(line) });
  expect(whole.current()).toEqual([]);
  expect(said).toHaveLength(3);
});
