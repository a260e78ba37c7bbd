import { beforeEach, expect, test } from 'vitest';
import { ReadyTable } from '../../slirp/ready-table.ts';
import { HostReady, type HostUser } from '../../slirp/slirp.ts';
import { Errno } from '../../stack/stack.ts';

const { In, Out, Error: Failed, Hup, End } = HostReady;

let table: ReadyTable;
let wakes: number;
let told: [number, number][];
let act: (h: number, events: number) => void;
const user: HostUser = {
  ready: (h, events) => {
    told.push([h, events]);
    act(h, events);
  },
};

beforeEach(() => {
  wakes = 0;
  told = [];
  act = () => {};
  table = new ReadyTable({ handlesMax: 4, wake: () => wakes++ });
});

function open(wanted: number, once = Failed | Hup): number {
  const h = table.open(once);
  table.claim(h, user);
  table.want(h, wanted);
  return h;
}

test('tells what is ready and wanted, until it is cleared', () => {
  const h = open(In);
  table.mark(h, In | Out);
  table.dispatch();
  table.dispatch();
  table.clear(h, In);
  table.dispatch();
  expect(told).toEqual([
    [h, In],
    [h, In],
  ]);
});

test('wakes once for all that is to be told, and again while something stands', () => {
  const handles = [open(In), open(In)];
  for (const h of handles) table.mark(h, In);
  table.mark(handles[0]!, In);
  expect(wakes).toBe(1);
  table.dispatch();
  expect(wakes).toBe(2);
  for (const h of handles) table.want(h, 0);
  table.dispatch();
  expect([wakes, told.length]).toEqual([2, 2]);
});

test('keeps for later what nobody wants now', () => {
  const h = open(0);
  table.mark(h, In);
  expect(wakes).toBe(0);
  table.want(h, In);
  expect(wakes).toBe(1);
  table.dispatch();
  expect(told).toEqual([[h, In]]);
});

test('an end is told with bytes only', () => {
  const h = open(Out);
  table.mark(h, Out | In | End);
  table.dispatch();
  table.want(h, In);
  table.dispatch();
  expect(told).toEqual([
    [h, Out],
    [h, In | End],
  ]);
});

test('what comes before somebody claims the handle is told afterwards', () => {
  const h = table.open(Failed | Hup);
  table.mark(h, Failed);
  table.dispatch();
  table.claim(h, user);
  table.dispatch();
  expect(told).toEqual([[h, Failed]]);
});

test('an error is told though nothing is wanted: once, or until it is fetched', () => {
  const stream = open(0);
  const datagrams = open(0, Hup);
  for (const h of [stream, datagrams]) table.mark(h, Failed);
  table.dispatch();
  table.dispatch();
  expect(told).toEqual([
    [stream, Failed],
    [datagrams, Failed],
    [datagrams, Failed],
  ]);
  table.clear(datagrams, Failed);
  table.mark(stream, Failed);
  table.dispatch();
  expect(told.slice(3)).toEqual([[stream, Failed]]);
});

test('a handle that is freed while it waits to be told is silent, and so is who gets its number', () => {
  const handles = [open(In), open(In), open(In)];
  for (const h of handles) table.mark(h, In);
  act = () => {
    act = () => {};
    table.free(handles[1]!);
    table.free(handles[2]!);
    expect(open(In)).toBe(handles[2]);
  };
  table.dispatch();
  expect(told).toEqual([[handles[0], In]]);
});

test('who gets a number and is ready at once is told', () => {
  const handles = [open(In), open(In)];
  for (const h of handles) table.mark(h, In);
  act = () => {
    act = () => {};
    table.free(handles[1]!);
    table.mark(open(Out), Out);
  };
  table.dispatch();
  expect(told).toEqual([
    [handles[0], In],
    [handles[1], Out],
  ]);
});

test('has room for as many as it says', () => {
  const handles = [0, 1, 2, 3].map(() => open(0));
  expect(new Set(handles).size).toBe(4);
  expect([table.isFull, table.open(0)]).toEqual([true, -Errno.EMFILE]);
  table.free(handles[2]!);
  expect([table.isFull, table.open(0), table.count]).toEqual([false, handles[2], 4]);
});

test('a listener that starves is told when a handle is free', () => {
  const listener = open(In);
  const other = open(0);
  table.mark(listener, In);
  table.starve(listener);
  table.starve(listener);
  table.dispatch();
  expect(told).toEqual([]);
  table.free(other);
  table.dispatch();
  expect(told).toEqual([[listener, In]]);
});

test('a listener that starves is told when its user wants to hear anew', () => {
  const listener = open(In);
  table.starve(listener);
  table.want(listener, 0);
  table.dispatch();
  table.want(listener, In);
  table.dispatch();
  expect(told).toEqual([[listener, In]]);
});

test.each([-1, 3, 4, 1000])('handle %i, which is nobody’s, is ready for nothing', (h) => {
  table.claim(h, user);
  table.want(h, In | Out);
  table.mark(h, In | Failed);
  table.dispatch();
  expect([told, wakes, table.isOpen(h)]).toEqual([[], 0, false]);
});
