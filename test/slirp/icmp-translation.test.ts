// RFC 7915 §4.2 and §5.2, row by row.

import { expect, test } from 'vitest';
import { IcmpMeaning, meaningOf } from '../../slirp/icmp-translation.ts';

const DROPPED = undefined;
type Said = readonly [type: number, code: number, info: number];
type Meant = readonly [type: number, code: number, word: number] | undefined;

const BYTES = 1500;

function meaning([type, code, info]: Said, isFrom6: boolean, isTo6: boolean, bytes = BYTES): Meant {
  const into = new IcmpMeaning();
  return meaningOf(type, code, info, bytes, isFrom6, isTo6, into) ? [into.type, into.code, into.word] : DROPPED;
}

test.each<[Said, Meant, string]>([
  [[3, 0, 0], [1, 0, 0], 'net unreachable'],
  [[3, 1, 0], [1, 0, 0], 'host unreachable'],
  [[3, 2, 0], [4, 1, 6], 'protocol unreachable: the next header'],
  [[3, 3, 0], [1, 4, 0], 'port unreachable'],
  [[3, 4, 1480], [2, 0, 1500], 'fragmentation needed: 20 more'],
  [[3, 4, 576], [2, 0, 1280], 'no IPv6 path is below 1280'],
  [[3, 4, 0], [2, 0, 1512], 'an old router: the plateau below 1500'],
  [[3, 5, 0], [1, 0, 0], 'source route failed'],
  [[3, 6, 0], [1, 0, 0], 'net unknown'],
  [[3, 7, 0], [1, 0, 0], 'host unknown'],
  [[3, 8, 0], [1, 0, 0], 'source isolated'],
  [[3, 9, 0], [1, 1, 0], 'net prohibited'],
  [[3, 10, 0], [1, 1, 0], 'host prohibited'],
  [[3, 11, 0], [1, 0, 0], 'net unreachable for the service'],
  [[3, 12, 0], [1, 0, 0], 'host unreachable for the service'],
  [[3, 13, 0], [1, 1, 0], 'prohibited'],
  [[3, 14, 0], DROPPED, 'host precedence violation'],
  [[3, 15, 0], [1, 1, 0], 'precedence cutoff'],
  [[3, 16, 0], DROPPED, 'a code of nobody'],
  [[4, 0, 0], DROPPED, 'source quench'],
  [[5, 1, 0], DROPPED, 'redirect'],
  [[11, 0, 0], [3, 0, 0], 'TTL exceeded'],
  [[11, 1, 0], [3, 1, 0], 'reassembly time exceeded'],
  [[12, 1, 0], DROPPED, 'missing required option'],
  [[12, 0, 20], DROPPED, 'a pointer behind the header'],
])('IPv4 %j is %j to IPv6: %s', (said, meant) => {
  expect(meaning(said, false, true)).toEqual(meant);
});

test.each<[Said, Meant, string]>([
  [[1, 0, 0], [3, 1, 0], 'no route'],
  [[1, 1, 0], [3, 10, 0], 'prohibited'],
  [[1, 2, 0], [3, 1, 0], 'beyond scope'],
  [[1, 3, 0], [3, 1, 0], 'address unreachable'],
  [[1, 4, 0], [3, 3, 0], 'port unreachable'],
  [[1, 5, 0], DROPPED, 'source address failed policy'],
  [[1, 6, 0], DROPPED, 'reject route'],
  [[2, 0, 1500], [3, 4, 1480], 'packet too big: 20 less'],
  [[2, 0, 0], [3, 4, 1260], 'without an MTU'],
  [[2, 0, 90000], [3, 4, 65535], 'more than the field holds'],
  [[3, 0, 0], [11, 0, 0], 'hop limit exceeded'],
  [[3, 1, 0], [11, 1, 0], 'reassembly time exceeded'],
  [[4, 1, 6], [3, 2, 0], 'unrecognized next header'],
  [[4, 2, 40], DROPPED, 'unrecognized option'],
  [[4, 0, 40], DROPPED, 'a pointer behind the header'],
  [[137, 0, 0], DROPPED, 'redirect'],
])('IPv6 %j is %j to IPv4: %s', (said, meant) => {
  expect(meaning(said, true, false)).toEqual(meant);
});

test('pointers of parameter problems, RFC 7915 figures 3 and 6', () => {
  const to6 = Array.from({ length: 20 }, (_, pointer) => meaning([12, pointer & 1 ? 2 : 0, pointer], false, true)?.[2]);
  const n = undefined;
  expect(to6).toEqual([0, 1, 4, 4, n, n, n, n, 7, 6, n, n, 8, 8, 8, 8, 24, 24, 24, 24]);
  const to4 = Array.from({ length: 40 }, (_, pointer) => meaning([4, 0, pointer], true, false)?.[2]);
  const word = (pointer: number) => (pointer << 24) >>> 0;
  const head = [0, word(1), n, n, word(2), word(2), word(9), word(8)];
  expect(to4).toEqual([...head, ...Array(16).fill(word(12)), ...Array(16).fill(word(16))]);
});

test.each<[Said, Meant, boolean]>([
  [[3, 3, 0], [3, 3, 0], false],
  [[3, 14, 0], [3, 14, 0], false],
  [[11, 0, 0], [11, 0, 0], false],
  [[3, 4, 1400], [3, 4, 1400], false],
  [[12, 0, 9], [12, 0, 9 << 24], false],
  [[5, 0, 0], DROPPED, false],
  [[0, 0, 0], DROPPED, false],
  [[1, 6, 0], [1, 6, 0], true],
  [[2, 0, 1400], [2, 0, 1400], true],
  [[3, 0, 0], [3, 0, 0], true],
  [[4, 2, 40], [4, 2, 40], true],
  [[129, 0, 0], DROPPED, true],
])('within a family %j stays %j', (said, meant, isIp6) => {
  expect(meaning(said, isIp6, isIp6)).toEqual(meant);
});

test.each([
  [1500, 1492],
  [1492, 1006],
  [300, 296],
  [100, 68],
])('an old router that refuses %i bytes is taken to mean %i', (bytes, mtu) => {
  expect(meaning([3, 4, 0], false, false, bytes)).toEqual([3, 4, mtu]);
});
