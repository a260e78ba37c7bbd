import { closeSync, openSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Fabric } from '../../engine/fabric.io.ts';
import { EPOLLIN } from '../../sys/epoll.io.ts';
import { whyNoNative } from '../../sys/libc.io.ts';
import { needsNative, raw, receive, send } from '../kit/raw.ts';
import { tempDir } from '../kit/test-host.ts';

let fabric: Fabric;

beforeEach((ctx) => {
  needsNative(ctx, whyNoNative());
  fabric = new Fabric();
});

afterEach(() => {
  fabric?.stop();
  vi.useRealTimers();
});

test('a descriptor that gets the number of a closed one hears nothing of what that one was ready for', () => {
  const pairs = [raw.pair(), raw.pair()];
  for (const [, far] of pairs) send(far, Uint8Array.of(1));
  const told: string[] = [];
  let fresh: [number, number] | undefined;
  const replace = (mine: number, other: number): void => {
    told.push('first');
    receive(mine);
    fabric.unwatch(other);
    raw.close(other);
    fresh = raw.pair();
    expect(fresh[0]).toBe(other); // the lowest free number
    fabric.watch(other, EPOLLIN, { ready: () => told.push('fresh') });
  };
  const [[one], [two]] = pairs as [[number, number], [number, number]];
  fabric.watch(one, EPOLLIN, { ready: () => replace(one, two) });
  fabric.watch(two, EPOLLIN, { ready: () => replace(two, one) });
  fabric.turn(0);
  expect(told).toEqual(['first']);
  send(fresh![1], Uint8Array.of(1));
  fabric.turn(0);
  expect(told).toContain('fresh');
});

test('a file that epoll refuses is not watched, and may be unwatched all the same', () => {
  const home = tempDir();
  writeFileSync(home.file('file'), 'x');
  const fd = openSync(home.file('file'), 'r');
  expect(() => fabric.watch(fd, EPOLLIN, { ready: () => {} })).toThrow('EPERM');
  fabric.rewatch(fd, EPOLLIN);
  fabric.unwatch(fd);
  closeSync(fd);
  home.remove();
});

test('a descriptor that somebody closed may still be unwatched', () => {
  const [one, other] = raw.pair();
  fabric.watch(one, EPOLLIN, { ready: () => {} });
  raw.close(one);
  fabric.unwatch(one);
  raw.close(other);
});

test('a timer seconds away comes due on libuv’s loop although nothing else happens', () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  const due: string[] = [];
  fabric.turn(0); // takes the new clock
  fabric.runOnLoop();
  fabric.at(fabric.nowUs() + 5_000_000, () => due.push('five'));
  fabric.at(fabric.nowUs() + 3_000, () => due.push('three thousandths'));
  vi.advanceTimersByTime(10);
  expect(due).toEqual(['three thousandths']);
  vi.advanceTimersByTime(5_500);
  expect(due).toEqual(['three thousandths', 'five']);
});
