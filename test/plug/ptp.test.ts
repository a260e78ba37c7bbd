import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { Port } from '../../core/port.ts';
import { Cable, Network } from '../../engine/network.ts';
import { parseVnl } from '../../plug/plug.ts';
import { openPtp } from '../../plug/ptp.io.ts';
import { whyNoNative } from '../../sys/libc.io.ts';
import { AF_UNIX, SOCK_SEQPACKET } from '../../sys/socket.io.ts';
import { closePlug, connect, isClosed, needsNative, raw, receive, send, TestFabric } from '../kit/raw.ts';
import { frame } from '../kit/test-host.ts';

let net: TestFabric;
let nowMs = 0;
const closers: (() => void)[] = [];

beforeEach((ctx) => {
  needsNative(ctx, whyNoNative());
  net = new TestFabric();
  nowMs = performance.now();
  vi.spyOn(performance, 'now').mockImplementation(() => nowMs);
});

afterEach(() => {
  for (const close of closers.splice(0)) close();
  net?.close();
  vi.restoreAllMocks();
});

/** One end of `ptp://PATH`, in a network of its own or in the served one. */
function end(path: string, network = new Network('ptp', new Cable(), { portsMax: 2 }), number = 0) {
  const states: string[] = [];
  const ports = new Set<Port>();
  const close = openPtp(net.fabric, net.fabric.sockets, parseVnl(`ptp://${path}`), {
    attach: (port, info) => {
      ports.add(port);
      net.fabric.attach(port, network, number, info);
    },
    detach: (port) => {
      ports.delete(port);
      net.fabric.detach(port);
    },
    state: (text) => states.push(text),
  });
  closers.push(close);
  return { states, ports, close };
}

function pass(ms: number): void {
  for (let n = 0; n < ms; n += 50) {
    nowMs += 50;
    net.turn(2);
  }
}

test('two ends find each other, whoever comes first, and carry frames', () => {
  const path = net.file('wire');
  const first = end(path, net.service.network, 5);
  const plug = net.join();
  net.turn();
  expect(first.states).toEqual(['waiting for the other end']);
  const fd = connect(SOCK_SEQPACKET, path);
  net.turn();
  expect(receive(fd)).toEqual(Uint8Array.of(0));
  send(fd, frame(1));
  net.turn();
  expect(receive(plug.data)).toEqual(new Uint8Array(frame(1)));
  send(plug.data, frame(2));
  net.turn();
  expect(receive(fd)).toEqual(new Uint8Array(frame(2)));
  raw.close(fd);
  closePlug(plug);
});

test('a third end is refused, and takes the place of the second when that leaves', () => {
  const path = net.file('wire');
  const [, two, three] = [end(path), end(path), end(path)];
  pass(300);
  expect([two.ports.size, three.ports.size]).toEqual([1, 0]);
  expect(three.states).toContain('both ends are taken; trying again');
  two.close();
  pass(400);
  expect(three.ports.size).toBe(1);
});

test('the second end listens when the first one leaves', () => {
  const path = net.file('wire');
  const [one, two] = [end(path), end(path)];
  pass(100);
  expect([one.ports.size, two.ports.size]).toEqual([1, 1]);
  one.close();
  pass(300);
  expect([two.ports.size, two.states.at(-1), existsSync(path)]).toEqual([0, 'waiting for the other end', true]);
});

test('a listener that says nothing is left after a second', () => {
  const path = net.file('mute');
  const mute = raw.open(AF_UNIX, SOCK_SEQPACKET);
  raw.bindUnix(mute, path);
  raw.listen(mute, 8);
  const { states, ports } = end(path);
  pass(950);
  expect(states).toEqual([]);
  pass(200);
  expect([states[0], ports.size]).toEqual(['the other end says nothing; trying again', 0]);
  raw.close(mute);
});

test('an end that is closed while it waits for the word leaves no descriptor', () => {
  const path = net.file('mute');
  const mute = raw.open(AF_UNIX, SOCK_SEQPACKET);
  raw.bindUnix(mute, path);
  raw.listen(mute, 8);
  const before = readdirSync('/proc/self/fd').length;
  const { close, ports } = end(path);
  expect(readdirSync('/proc/self/fd').length).toBe(before + 1);
  close();
  pass(1500);
  expect([readdirSync('/proc/self/fd').length, ports.size]).toEqual([before, 0]);
  raw.close(mute);
});

test('an end whose directory goes away tries again until it is back', () => {
  mkdirSync(net.file('dir'));
  const path = net.file('dir/wire');
  const peer = raw.open(AF_UNIX, SOCK_SEQPACKET);
  raw.bindUnix(peer, path);
  raw.listen(peer, 1);
  const { states } = end(path);
  const connection = raw.accept(peer);
  send(connection, Uint8Array.of(0));
  net.turn();
  expect(states).toEqual(['connected']);
  rmSync(net.file('dir'), { recursive: true });
  raw.close(connection);
  raw.close(peer);
  pass(500);
  expect(states.at(-1)).toMatch(/cannot be served \(ENOENT\).*trying again/);
  mkdirSync(net.file('dir'));
  pass(200);
  expect(states.at(-1)).toBe('waiting for the other end');
});

test.each([
  ['a file is in the way', () => writeFileSync(net.file('wire'), ''), /not a socket; remove it/],
  ['there is no directory', () => {}, /ENOENT/],
])('opening fails with one line where %s', (_name, make, why) => {
  make();
  const path = _name.startsWith('a file') ? net.file('wire') : net.file('none/wire');
  const before = readdirSync('/proc/self/fd').length;
  expect(() => end(path)).toThrow(why);
  expect(readdirSync('/proc/self/fd').length).toBe(before);
});

test('who connects to a stranger’s word is told so', () => {
  const path = net.file('odd');
  const odd = raw.open(AF_UNIX, SOCK_SEQPACKET);
  raw.bindUnix(odd, path);
  raw.listen(odd, 8);
  const { states } = end(path);
  const connection = raw.accept(odd);
  send(connection, Uint8Array.of(99));
  net.turn();
  expect([states, isClosed(connection)]).toEqual([['the other end refused; trying again'], true]);
  raw.close(connection);
  raw.close(odd);
});
