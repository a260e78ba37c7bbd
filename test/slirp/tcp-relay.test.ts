// What a relay does with many bytes and many flows: backpressure, fairness, memory, and every order of events.

import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Span } from '../../core/span.ts';
import { lossy } from '../../sim/sim.ts';
import { Errno, TcpState } from '../../stack/stack.ts';
import type { SimPeer } from '../kit/sim-host.ts';
import { bytesOf, isPattern, Lab, pattern, Reader, type Socket } from './kit-flows.ts';

const S = 1_000_000;
const MIB = 1 << 20;

test.each([
  ['frames of 1500 bytes', {}],
  ['super-frames', { takesOffload: true }],
  ['a long MTU', { mtuBytes: 65520, takesOffload: true }],
])('megabytes both ways at once, by %s', (_what, options) => {
  const lab = new Lab(options);
  const { socket, peer } = lab.open();
  const reader = new Reader(lab, socket);
  const sent = pattern(4 * MIB);
  let out = 0;
  let back = 0;
  let got = 0;
  for (let i = 0; i < 20_000 && (got < sent.length || reader.bytes < sent.length); i++) {
    out += Math.max(0, socket.write(sent.subarray(out)));
    back += peer.write(sent.subarray(back));
    const bytes = peer.read();
    expect(isPattern(bytes, got)).toBe(true);
    got += bytes.length;
    lab.run(500);
  }
  expect(got).toBe(sent.length);
  expect(isPattern(reader.all)).toBe(true);
  expect(reader.bytes).toBe(sent.length);
  expect([lab.counters.tcpBytesOut, lab.counters.tcpBytesIn]).toEqual([4 * MIB, 4 * MIB]);
});

test('a small message is on its way at once, in both directions', () => {
  const lab = new Lab({ link: { delayUs: 1000 } });
  const { socket, peer } = lab.open();
  for (let round = 0; round < 5; round++) {
    socket.write(bytesOf('?'));
    lab.run(1000);
    expect(peer.arriving.bytes).toBe(1);
    peer.read();
    peer.write(bytesOf('!'));
    peer.write(bytesOf('!'));
    lab.run(1000);
    expect(socket.read()).toHaveLength(2);
  }
});

test('a guest that does not read stops the host, without work or memory; then it gets everything', () => {
  const lab = new Lab();
  const { socket, peer } = lab.open();
  let written = 0;
  const feed = (): void => {
    written += peer.write(pattern(65536, written));
  };
  for (let i = 0; i < 200; i++) {
    feed();
    lab.run(10_000);
  }
  const used = lab.slab.usedBytes;
  const { calls } = lab.host;
  expect(written).toBeLessThan(2 * MIB);
  for (let i = 0; i < 100; i++) {
    feed();
    lab.run(S);
  }
  expect(lab.slab.usedBytes).toBe(used);
  expect(lab.host.calls).toBe(calls);
  const reader = new Reader(lab, socket);
  while (written < 4 * MIB) {
    feed();
    lab.run(10_000);
  }
  lab.run(S);
  expect(reader.bytes).toBe(written);
  expect(isPattern(reader.all)).toBe(true);
});

test('a host that does not read stops the guest, without work or memory', () => {
  const lab = new Lab();
  const { socket, peer } = lab.open();
  let written = 0;
  const feed = (): void => {
    written += Math.max(0, socket.write(pattern(65536, written)));
  };
  for (let i = 0; i < 200; i++) {
    feed();
    lab.run(10_000);
  }
  const used = lab.slab.usedBytes;
  const { calls } = lab.host;
  expect(written).toBeLessThan(2 * MIB);
  for (let i = 0; i < 100; i++) {
    feed();
    lab.run(S);
  }
  expect(lab.slab.usedBytes).toBe(used);
  expect(lab.host.calls).toBe(calls);
  const got: Uint8Array[] = [];
  for (let i = 0; i < 2000; i++) {
    got.push(peer.read());
    lab.run(10_000);
  }
  const all = Buffer.concat(got);
  expect(all.length).toBe(written);
  expect(isPattern(all)).toBe(true);
});

test('a server that said all and hung up costs no work while the guest reads slowly', () => {
  const lab = new Lab({ host: { bufferBytes: 4 * MIB } });
  const { socket, peer } = lab.open();
  socket.end();
  peer.write(pattern(3 * MIB));
  peer.end();
  lab.run(5 * S);
  const { calls, dispatches } = lab.host;
  lab.run(60 * S);
  expect(lab.host.calls).toBe(calls);
  expect(lab.host.dispatches - dispatches).toBeLessThan(200);
  const reader = new Reader(lab, socket);
  lab.run(60 * S);
  expect(reader.bytes).toBe(3 * MIB);
  expect(isPattern(reader.all)).toBe(true);
  expect(reader.end).toBe(0);
  lab.run();
  expect(lab.relay.flows.count).toBe(0);
});

test('a slab without room makes a flow wait, and no more', () => {
  const lab = new Lab();
  const { socket, peer } = lab.open();
  const held: number[] = [];
  for (let bytes = 1 << 24; bytes >= 64; bytes /= 2) {
    for (let at = lab.slab.alloc(bytes); at !== 0; at = lab.slab.alloc(bytes)) held.push(at, bytes);
  }
  const reader = new Reader(lab, socket);
  peer.write(pattern(20_000));
  lab.run(S);
  expect(reader.bytes).toBe(0);
  for (let i = 0; i < held.length; i += 2) lab.slab.release(held[i]!, held[i + 1]!);
  lab.run(S);
  expect(reader.bytes).toBe(20_000);
  expect(isPattern(reader.all)).toBe(true);
});

test.each(['out', 'in'] as const)('flows take turns: none moves more than its share at a time (%s)', (direction) => {
  const lab = new Lab({ relay: { turnBytesMax: 8192 } });
  const flows = [lab.open(), lab.open()];
  const order: number[] = [];
  const record = (h: number, count: number): number => {
    if (count > 0) order.push(h);
    expect(count).toBeLessThanOrEqual(8192);
    return count;
  };
  if (direction === 'out') {
    for (const { socket } of flows) socket.write(pattern(200_000));
    lab.run(S);
    const { host } = lab;
    const send = host.send.bind(host);
    host.send = (h: number, from: Span) => record(h, send(h, from));
    for (const { peer } of flows) peer.read();
  } else {
    const { host } = lab;
    const receive = host.receive.bind(host);
    host.receive = (h: number, into: Span) => record(h, receive(h, into));
    for (const { peer } of flows) peer.write(pattern(65536));
  }
  lab.run(S);
  let longest = 0;
  let bytesInRow = 0;
  for (let i = 0; i < order.length; i++) {
    bytesInRow = order[i] === order[i - 1] ? bytesInRow + 1 : 1;
    longest = Math.max(longest, bytesInRow);
  }
  expect(order.length).toBeGreaterThan(10);
  expect(new Set(order).size).toBe(2);
  expect(longest).toBeLessThanOrEqual(3);
});

test('10,000 connections at once; afterwards the memory is what it was', { timeout: 120_000 }, () => {
  const lab = new Lab({ link: { slabBytes: 1 << 28, delayUs: 10 } });
  lab.host.answer('192.0.2.7:80', 'accept');
  const round = (count: number): void => {
    const sockets: Socket[] = [];
    for (let i = 0; i < count; i++) {
      sockets.push(lab.connect('192.0.2.7', 80));
      if (i % 500 === 499) lab.run(20_000);
    }
    lab.run(3 * S);
    const peers = lab.host.peers.slice(-count);
    expect(sockets.every((socket) => socket.state === TcpState.Established)).toBe(true);
    expect(lab.relay.flows.count).toBe(count);
    const idle = lab.slab.usedBytes;
    for (let i = 0; i < count; i++) {
      sockets[i]!.write(bytesOf(`request ${i}`));
      if (i % 500 === 499) lab.run(5000);
    }
    lab.run(S);
    peers.forEach((peer, i) => {
      peer.write(peer.read());
      if (i % 500 === 499) lab.run(5000);
    });
    lab.run(S);
    for (const socket of sockets) expect(socket.read()).not.toBe(-Errno.EAGAIN);
    lab.run(S);
    expect(lab.slab.usedBytes - idle).toBeLessThan(64 << 10);
    sockets.forEach((socket, i) => {
      socket.close();
      peers[i]!.end();
      if (i % 500 === 499) lab.run(5000);
    });
    lab.run(200 * S);
    expect(lab.relay.flows.count).toBe(0);
    expect(lab.caps.total).toBe(0);
    expect(lab.host.openHandles).toBe(0);
    expect(lab.gate.tcp.connections).toBe(1);
    lab.host.peers.length = 0;
  };
  round(10);
  const before = lab.slab.usedBytes;
  round(10_000);
  expect(lab.slab.usedBytes - before).toBeLessThan(64 << 10);
});

// Every order of events.

type Step =
  | { readonly who: 'guest' | 'peer'; readonly does: 'write' | 'read'; readonly bytes: number }
  | { readonly who: 'guest' | 'peer'; readonly does: 'end' | 'reset' }
  | { readonly who: 'time'; readonly us: number };

const who = fc.constantFrom('guest' as const, 'peer' as const);
const stepOf = (hasResets: boolean): fc.Arbitrary<Step> =>
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        who,
        does: fc.constantFrom('write' as const),
        bytes: fc.integer({ min: 1, max: 60_000 }),
      }),
    },
    {
      weight: 6,
      arbitrary: fc.record({ who, does: fc.constantFrom('read' as const), bytes: fc.integer({ min: 1, max: 90_000 }) }),
    },
    { weight: 6, arbitrary: fc.record({ who: fc.constant('time' as const), us: fc.integer({ min: 1, max: 3000 }) }) },
    { weight: 1, arbitrary: fc.record({ who, does: fc.constantFrom('end' as const) }) },
    { weight: hasResets ? 1 : 0, arbitrary: fc.record({ who, does: fc.constantFrom('reset' as const) }) },
  );

/** Both ends of a flow, and what each has written and read. */
class Ends {
  readonly wrote = { guest: 0, peer: 0 };
  readonly got = { guest: 0, peer: 0 };
  readonly ended = { guest: false, peer: false };
  readonly reset = { guest: false, peer: false };
  /** What the guest's reading said last when there were no bytes. */
  last = -Errno.EAGAIN as number;
  private readonly socket: Socket;
  private readonly peer: SimPeer;

  constructor(socket: Socket, peer: SimPeer) {
    this.socket = socket;
    this.peer = peer;
  }

  do(step: Exclude<Step, { who: 'time' }>): void {
    const { who } = step;
    if (this.reset[who]) return;
    if (step.does === 'write') this.write(who, step.bytes);
    else if (step.does === 'read') this.read(who, step.bytes);
    else if (step.does === 'end') this.end(who);
    else {
      this.reset[who] = true;
      if (who === 'guest') this.socket.abort();
      else this.peer.reset();
    }
  }

  end(who: 'guest' | 'peer'): void {
    if (this.ended[who]) return;
    this.ended[who] = true;
    if (who === 'guest') this.socket.end();
    else this.peer.end();
  }

  write(who: 'guest' | 'peer', count: number): void {
    if (this.ended[who]) return;
    const bytes = pattern(count, this.wrote[who]);
    const n = who === 'guest' ? this.socket.write(bytes) : this.peer.write(bytes);
    this.wrote[who] += Math.max(0, n);
  }

  read(who: 'guest' | 'peer', bytesMax: number): number {
    const bytes = who === 'guest' ? this.socket.read(bytesMax) : this.peer.read(bytesMax);
    if (typeof bytes === 'number') {
      if (bytes !== -Errno.EAGAIN) this.last = bytes;
      return 0;
    }
    const wanted = pattern(bytes.length, this.got[who]);
    if (Buffer.compare(bytes, wanted) !== 0) throw new Error(`${who} read other bytes than were written`);
    this.got[who] += bytes.length;
    return bytes.length;
  }
}

test.each([
  ['', 0],
  [', on a link that loses frames', 0.03],
])('whatever the order, the bytes arrive whole and in order, then the end%s', (_where, loss) => {
  fc.assert(
    fc.property(
      fc.array(stepOf(false), { maxLength: 60 }),
      fc.integer({ min: 1000, max: 100_000 }),
      (steps, bufferBytes) => {
        const lab = new Lab({ host: { bufferBytes } });
        const { socket, peer } = lab.open();
        if (loss > 0) lab.pair.world.rule(lossy(loss));
        const ends = new Ends(socket, peer);
        for (const step of steps) {
          if (step.who === 'time') lab.run(step.us);
          else ends.do(step);
        }
        ends.end('guest');
        ends.end('peer');
        for (let i = 0; i < 2000 && (lab.relay.flows.count > 0 || !peer.isAtEnd || ends.last !== 0); i++) {
          lab.run(20_000);
          ends.read('guest', 1 << 20);
          ends.read('peer', 1 << 20);
        }
        expect(ends.got).toEqual({ guest: ends.wrote.peer, peer: ends.wrote.guest });
        expect(ends.last).toBe(0);
        expect(peer.isAtEnd).toBe(true);
        expect(peer.isReset).toBe(false);
        expect(lab.relay.flows.count).toBe(0);
        expect(lab.host.openHandles).toBe(0);
      },
    ),
    { numRuns: 40, seed: 7 },
  );
});

test('whatever the order, a reset ends both sides, and what arrived before is a beginning of what was sent', () => {
  fc.assert(
    fc.property(
      fc.array(stepOf(true), { maxLength: 60 }),
      fc.integer({ min: 1000, max: 100_000 }),
      who,
      (steps, bufferBytes, last) => {
        const lab = new Lab({ host: { bufferBytes } });
        const { socket, peer } = lab.open();
        const ends = new Ends(socket, peer);
        for (const step of [...steps, { who: last, does: 'reset' as const }]) {
          if (step.who === 'time') lab.run(step.us);
          else ends.do(step);
        }
        const reader = ends.reset.guest ? undefined : ends;
        for (let i = 0; i < 3000 && lab.relay.flows.count > 0; i++) {
          lab.run(20_000);
          reader?.read('guest', 1 << 20);
        }
        lab.run();
        reader?.read('guest', 1 << 20);
        expect(lab.relay.flows.count).toBe(0);
        expect(lab.host.openHandles).toBe(0);
        expect(lab.caps.total).toBe(0);
        expect(lab.gate.tcp.connections).toBe(1);
        expect(ends.got.guest).toBeLessThanOrEqual(ends.wrote.peer);
        expect(ends.got.peer).toBeLessThanOrEqual(ends.wrote.guest);
        expect(peer.isClosed).toBe(true);
      },
    ),
    { numRuns: 80, seed: 11 },
  );
});
