// Windows, timers, options and what else RFC 9293 and its companions ask for, one behaviour each.

import { expect, test } from 'vitest';
import { Drop } from '../../../core/drop.ts';
import { Errno } from '../../../stack/errno.ts';
import { How, Ready, TcpOption } from '../../../stack/tcp/tcp.ts';
import { A, B, Bench, bytes, flagsOf, Host, MSS_1460, newSlab, Pair, stamps, transfer } from '../kit-tcp.ts';

const S = 1_000_000;
const SYN_ALL = [2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 100, 0, 0, 0, 0, 1, 3, 3, 7];
const SYN_SACK = [2, 4, 5, 0xb4, 1, 1, 4, 2];
const SYN_SCALE = [2, 4, 5, 0xb4, 1, 3, 3, 7];

/** The blocks of a SACK option behind NOP NOP, relative to the peer's ISS. */
function sacksOf(options: number[], peerIss: number): number[] {
  const at = options.indexOf(5, options.length % 12 === 0 && options[2] === 8 ? 12 : 0);
  if (at < 0) return [];
  const out: number[] = [];
  for (let p = at + 2; p < at + options[at + 1]!; p += 4) {
    out.push(((options[p]! << 24) | (options[p + 1]! << 16) | (options[p + 2]! << 8) | options[p + 3]!) - peerIss);
  }
  return out;
}

// RFC 1122 §4.2.2.6, RFC 9293 §3.7.1: MSS

test.each([
  [[], 536],
  [MSS_1460, 1460],
  [[2, 4, 2, 0], 512],
])('the options %j make segments of %i bytes (§3.7.1)', (options, expected) => {
  const t = new Bench().established(options);
  t.write(5000);
  expect(t.host.sent()[0]!.data.length).toBe(expected);
});

test('timestamps are taken off the segment (RFC 6691 §2)', () => {
  const t = new Bench().established(SYN_ALL);
  t.write(5000);
  expect(t.host.sent()[0]!.data.length).toBe(1448);
});

test('the MSS is announced by the interface, not by the path (§3.7.1)', () => {
  const t = new Bench().listen();
  t.host.mtu = 1000;
  t.give('S', 0, 0, { options: MSS_1460 });
  expect(t.host.sent()[0]!.options.slice(0, 4)).toEqual([2, 4, 5, 0xb4]);
});

// RFC 7323

test('what the peer did not offer is not in the SYN-ACK (RFC 7323 §1.3, RFC 2018 §2)', () => {
  const t = new Bench().listen();
  t.give('S', 0, 0, { options: SYN_SACK });
  expect(t.host.sent()[0]!.options).toEqual([2, 4, 5, 0xb4, 1, 1, 4, 2]);
});

test('a SYN offers MSS, SACK, timestamps and a scale (RFC 7323 §2.2, §3.2)', () => {
  const t = new Bench();
  t.tcp.connect(t.tcp.open(false), B, 80, 0);
  const [syn] = t.host.sent();
  expect(syn!.options.slice(0, 8)).toEqual([2, 4, 5, 0xb4, 4, 2, 8, 10]);
  expect(syn!.options.slice(16, 20)).toEqual([1, 3, 3, 9]);
  expect(syn!.window).toBe(65535);
});

test('the window of a SYN is not scaled, that of what follows is (RFC 7323 §2.2)', () => {
  const t = new Bench().listen().synReceived(SYN_SCALE);
  t.give('A', 1, 1, { window: 10 });
  t.c = t.tcp.accept(t.l);
  expect(t.tcp.info(t.c).sendWindowBytes).toBe(1280);
});

test('a scale above 14 counts as 14 (RFC 7323 §2.3)', () => {
  const t = new Bench().listen().synReceived([2, 4, 5, 0xb4, 1, 3, 3, 200]);
  t.give('A', 1, 1, { window: 1 });
  t.c = t.tcp.accept(t.l);
  expect(t.tcp.info(t.c).sendWindowBytes).toBe(1 << 14);
});

test('PAWS: an old timestamp is answered and dropped, a reset is not (RFC 7323 §5.3)', () => {
  const t = new Bench().established(SYN_ALL);
  expect(t.give('PA', 1, 1, { data: bytes(5), options: stamps(99, 0) })).toBe(Drop.TcpPaws);
  expect(t.sent()).toEqual(['A 1:1(0) ack 1']);
  expect(t.give('PA', 1, 1, { data: bytes(5) })).toBe(Drop.TcpPaws);
  expect(t.sent()).toEqual([]);
  t.give('R', 1, 0, { options: stamps(50, 0) });
  expect(t.state).toBe('CLOSED');
});

test('PAWS: after 24 days any timestamp is good (RFC 7323 §5.5)', () => {
  const t = new Bench().established(SYN_ALL);
  t.host.shared.nowUs += 25 * 86400 * S;
  expect(t.give('PA', 1, 1, { data: bytes(5), options: stamps(9, 0) })).toBe(Drop.None);
});

test('TS.Recent is of the segment that spans Last.ACK.sent (RFC 7323 §4.3)', () => {
  const t = new Bench().established(SYN_ALL);
  t.give('PA', 100, 1, { data: bytes(5), options: stamps(500, 0) });
  expect(t.host.sent()[0]!.options.slice(8, 12)).toEqual([0, 0, 0, 101]);
  t.give('PA', 1, 1, { data: bytes(99), options: stamps(501, 0) });
  expect(t.host.sent()[0]!.options.slice(8, 12)).toEqual([0, 0, 1, 245]);
});

// RFC 2018, RFC 2883

test('SACK: the most recent block first, at most four (RFC 2018 §4)', () => {
  const t = new Bench().established(SYN_SACK);
  for (const seq of [101, 301, 501, 701, 901]) t.give('A', seq, 1, { data: bytes(100) });
  const sent = t.host.sent();
  expect(sent.length).toBe(5);
  expect(sacksOf(sent[0]!.options, 1000)).toEqual([101, 201]);
  expect(sacksOf(sent[2]!.options, 1000)).toEqual([501, 601, 301, 401, 101, 201]);
  expect(sacksOf(sent[4]!.options, 1000)).toEqual([901, 1001, 701, 801, 501, 601, 301, 401]);
});

test('SACK: three blocks beside timestamps (RFC 2018 §3)', () => {
  const t = new Bench().established(SYN_ALL);
  for (const seq of [101, 301, 501, 701]) t.give('A', seq, 1, { data: bytes(100), options: stamps(200, 0) });
  expect(sacksOf(t.host.sent()[3]!.options, 1000)).toEqual([701, 801, 501, 601, 301, 401]);
});

test('a hole that is filled is acknowledged at once, in full (§3.8.6.3)', () => {
  const t = new Bench().established(SYN_SACK);
  t.give('A', 101, 1, { data: bytes(100, 2) });
  t.give('A', 1, 1, { data: bytes(100, 1) });
  expect(t.sent()).toEqual(['A 1:1(0) ack 1', 'A 1:1(0) ack 201']);
  const got = new Uint8Array(200);
  expect(t.tcp.receive(t.c, got, 0, 200, 0)).toBe(200);
  expect([...got.subarray(98, 102)]).toEqual([1, 1, 2, 2]);
});

test('D-SACK: a duplicate below the ACK is the first block (RFC 2883 §4.1)', () => {
  const t = new Bench().established(SYN_SACK);
  t.give('A', 1, 1, { data: bytes(100) });
  t.sent();
  t.give('A', 1, 1, { data: bytes(100) });
  expect(sacksOf(t.host.sent()[0]!.options, 1000)).toEqual([1, 101]);
  t.give('A', 101, 1, { data: bytes(100) });
  expect(t.host.sent()[0]!.options).toEqual([]);
});

test('D-SACK: a duplicate above the ACK, then the block that holds it (RFC 2883 §4.1)', () => {
  const t = new Bench().established(SYN_SACK);
  t.give('A', 101, 1, { data: bytes(200) });
  t.sent();
  t.give('A', 201, 1, { data: bytes(100) });
  expect(sacksOf(t.host.sent()[0]!.options, 1000)).toEqual([201, 301, 101, 301]);
});

test('64 pieces behind a gap are kept, one more is not', () => {
  const t = new Bench().established(SYN_SACK);
  for (let i = 0; i < 64; i++) expect(t.give('A', 11 + 20 * i, 1, { data: bytes(10) })).toBe(Drop.None);
  expect(t.give('A', 11 + 20 * 64, 1, { data: bytes(10) })).toBe(Drop.TcpMemory);
});

// §3.8.6: windows

test('the right edge never moves back (§3.8.6, MUST-14)', () => {
  const t = new Bench().listen();
  t.tcp.setOption(t.l, TcpOption.ReceiveBuffer, 8000);
  t.established();
  let edge = 0;
  for (let i = 0; i < 6; i++) {
    t.give('A', 1 + 1460 * i, 1, { data: bytes(1460) });
    t.host.pass(S);
    for (const s of t.host.sent()) {
      const e = s.ack - 1000 + s.window;
      expect(e).toBeGreaterThanOrEqual(edge);
      edge = e;
    }
  }
  expect(edge).toBe(8001);
  expect(t.tcp.available(t.c)).toBe(8000);
});

test('a closed window takes no text, but the ACK that comes with it (§3.10.7.4, table 6)', () => {
  const t = new Bench().listen();
  t.tcp.setOption(t.l, TcpOption.ReceiveBuffer, 2048);
  t.established();
  t.give('A', 1, 1, { data: bytes(2048) });
  t.write(10);
  t.sent();
  t.give('PA', 2049, 11, { data: bytes(1) });
  expect(t.sent()).toEqual(['A 11:11(0) ack 2049']);
  expect(t.tcp.info(t.c).sendQueueBytes).toBe(0);
});

test('reading opens a closed window by an ACK, not for a few bytes (§3.8.6.2.2)', () => {
  const t = new Bench().listen();
  t.tcp.setOption(t.l, TcpOption.ReceiveBuffer, 4096);
  t.established();
  t.give('A', 1, 1, { data: bytes(2048) });
  t.give('A', 2049, 1, { data: bytes(2048) });
  expect(t.host.sent().at(-1)!.window).toBe(0);
  t.read(100);
  expect(t.sent()).toEqual([]);
  t.read(1900);
  expect(t.host.sent().map((s) => s.window)).toEqual([2000]);
});

test('a closed window is probed with a byte, ever less often, for hours (§3.8.6.1)', () => {
  const t = new Bench().established(MSS_1460, 0);
  t.write(100);
  expect(t.sent()).toEqual([]);
  const at: number[] = [];
  for (let i = 0; i < 200; i++) {
    t.host.pass(Math.max(0, t.tcp.deadlineUs() - t.host.shared.nowUs));
    for (const s of t.host.sent()) {
      expect(t.text(s)).toBe('A 1:2(1) ack 1');
      at.push(s.atUs);
      t.give('A', 1, 1, { window: 0 });
    }
  }
  expect(at.length).toBeGreaterThan(100);
  expect(at[2]! - at[1]!).toBe(2 * (at[1]! - at[0]!));
  expect(t.state).toBe('ESTABLISHED');
  t.give('A', 1, 1, { window: 1000 });
  expect(t.sent()).toEqual(['PA 1:101(100) ack 1']);
});

test('the byte of a probe that was taken counts (§3.8.6.1)', () => {
  const t = new Bench().established(MSS_1460, 0);
  t.write(3);
  t.sent();
  t.host.pass(3 * S);
  t.sent();
  t.give('A', 1, 2, { window: 1000 });
  expect(t.sent()).toEqual(['PA 2:4(2) ack 1']);
});

test('probes that nobody answers end (RFC 1122 §4.2.3.5)', () => {
  const t = new Bench().established(MSS_1460, 0);
  t.write(3);
  t.sent();
  t.host.pass(3600 * S);
  expect(t.tcp.takeError(t.c)).toBe(Errno.ETIMEDOUT);
});

// §3.7.4, §3.8.6.2.1: Nagle and silly windows

test('Nagle: one small segment at a time (§3.7.4)', () => {
  const t = new Bench().established();
  t.write(10);
  expect(t.sent()).toEqual(['PA 1:11(10) ack 1']);
  t.write(10);
  t.write(10);
  expect(t.sent()).toEqual([]);
  t.give('A', 1, 11);
  expect(t.sent()).toEqual(['PA 11:31(20) ack 1']);
});

test('without Nagle all go (§3.7.4)', () => {
  const t = new Bench().established();
  t.tcp.setOption(t.c, TcpOption.NoDelay, 1);
  for (let i = 0; i < 3; i++) {
    t.write(10);
    expect(t.sent().length).toBe(1);
  }
});

test('a cork holds until it is pulled, or 200 ms', () => {
  const t = new Bench().established();
  t.tcp.setOption(t.c, TcpOption.Cork, 1);
  t.write(10);
  expect(t.sent()).toEqual([]);
  t.tcp.setOption(t.c, TcpOption.Cork, 0);
  expect(t.sent()).toEqual(['PA 1:11(10) ack 1']);
  t.give('A', 1, 11);
  t.tcp.setOption(t.c, TcpOption.Cork, 1);
  t.write(10);
  t.sent();
  t.host.pass(200_000);
  expect(t.sent()).toEqual(['PA 11:21(10) ack 1']);
});

test('a window smaller than half is not filled at once (§3.8.6.2.1)', () => {
  const t = new Bench().established(MSS_1460, 4000);
  t.write(4000);
  t.sent();
  t.give('A', 1, 4001, { window: 500 });
  t.write(4000);
  expect(t.sent()).toEqual([]);
  t.host.pass(200_000);
  expect(t.sent()).toEqual(['A 4001:4501(500) ack 1']);
});

// §3.8.6.3: delayed ACKs

test('after the start a lone segment is acknowledged within 500 ms, two at once (§3.8.6.3)', () => {
  const t = new Bench().established();
  let seq = 1;
  for (let i = 0; i < 16; i++, seq += 100) t.give('A', seq, 1, { data: bytes(100) });
  t.sent();
  t.give('A', seq, 1, { data: bytes(100) });
  expect(t.sent()).toEqual([]);
  t.host.pass(499_000);
  expect(t.sent()).toEqual([`A 1:1(0) ack ${seq + 100}`]);
  seq += 100;
  t.give('A', seq, 1, { data: bytes(1460) });
  expect(t.sent()).toEqual([]);
  t.give('A', seq + 1460, 1, { data: bytes(1460) });
  expect(t.sent()).toEqual([`A 1:1(0) ack ${seq + 2920}`]);
});

// §3.8.1, §3.8.3: retransmission

test('the SYN is repeated after 1, 2, 4 … s for three minutes (RFC 6298 §5, MUST-23)', () => {
  const t = new Bench();
  t.c = t.tcp.open(false);
  t.tcp.connect(t.c, B, 80, 0);
  const [first] = t.host.sent();
  t.host.pass(400 * S);
  const times = t.host.sent().map((s) => (s.atUs - first!.atUs) / S);
  expect(times).toEqual([1, 3, 7, 15, 31, 63, 123]);
  expect(t.tcp.takeError(t.c)).toBe(Errno.ETIMEDOUT);
});

test('the SYN-ACK is repeated, and given up (§3.8.3)', () => {
  const t = new Bench().synReceived();
  t.host.pass(400 * S);
  expect(t.sent()).toEqual(new Array(7).fill('SA 0:0(0) ack 1'));
  expect(t.tcp.connections).toBe(1);
});

test('data is repeated for more than 100 s, then ETIMEDOUT and a reset (§3.8.3)', () => {
  const t = new Bench().established();
  t.write(10);
  const [first] = t.host.sent();
  t.host.pass(3600 * S);
  const sent = t.host.sent();
  expect(sent.at(-1)!.flags).toBe('RA');
  expect(sent.length).toBeGreaterThan(10);
  expect(sent.at(-1)!.atUs - first!.atUs).toBeGreaterThan(100 * S);
  expect(t.tcp.takeError(t.c)).toBe(Errno.ETIMEDOUT);
});

test('the user timeout ends it earlier (RFC 5482)', () => {
  const t = new Bench().established();
  t.tcp.setOption(t.c, TcpOption.UserTimeoutUs, 5 * S);
  t.write(10);
  t.sent();
  t.host.pass(5 * S - 1);
  expect(t.state).toBe('ESTABLISHED');
  t.host.pass(1);
  expect(t.tcp.takeError(t.c)).toBe(Errno.ETIMEDOUT);
});

// §3.8.4: keep-alive

test('keep-alive: SND.NXT-1 without data; an answer ends it, silence ends the connection (§3.8.4)', () => {
  const t = new Bench().established();
  t.host.pass(8000 * S);
  expect(t.sent()).toEqual([]);
  t.tcp.setOption(t.c, TcpOption.KeepAlive, 1);
  t.tcp.setOption(t.c, TcpOption.KeepIdleUs, 10 * S);
  t.tcp.setOption(t.c, TcpOption.KeepIntervalUs, S);
  t.tcp.setOption(t.c, TcpOption.KeepCount, 3);
  t.give('A', 1, 1);
  t.host.pass(10 * S);
  expect(t.sent()).toEqual(['A 0:0(0) ack 1']);
  t.give('A', 1, 1);
  t.host.pass(10 * S);
  expect(t.sent()).toEqual(['A 0:0(0) ack 1']);
  t.host.pass(4 * S);
  expect(t.sent()).toEqual(['A 0:0(0) ack 1', 'A 0:0(0) ack 1', 'RA 1:1(0) ack 1']);
  expect(t.tcp.takeError(t.c)).toBe(Errno.ETIMEDOUT);
});

test('keep-alive goes on when our stream has ended and the peer’s has not (§3.8.4)', () => {
  const t = new Bench().established();
  t.tcp.setOption(t.c, TcpOption.KeepAlive, 1);
  t.tcp.setOption(t.c, TcpOption.KeepIdleUs, 10 * S);
  t.tcp.setOption(t.c, TcpOption.KeepIntervalUs, S);
  t.tcp.setOption(t.c, TcpOption.KeepCount, 2);
  t.tcp.shutdown(t.c, How.Write);
  t.tcp.poll();
  expect(t.sent()).toEqual(['FA 1:1(0) ack 1']);
  t.give('A', 1, 2);
  t.host.pass(10 * S);
  expect(t.sent()).toEqual(['A 1:1(0) ack 1']);
  t.give('A', 1, 2);
  t.host.pass(10 * S);
  expect(t.sent()).toEqual(['A 1:1(0) ack 1']);
  t.host.pass(3 * S);
  expect(t.sent().at(-1)).toBe('RA 2:2(0) ack 1');
  expect(t.tcp.takeError(t.c)).toBe(Errno.ETIMEDOUT);
});

test('the peer’s keep-alive is answered (§3.8.4)', () => {
  const t = new Bench().established();
  t.give('A', 0, 1);
  expect(t.sent()).toEqual(['A 1:1(0) ack 1']);
});

// RFC 6528

test('the initial number grows with the clock, 4 µs a tick, and differs by peer (RFC 6528 §3)', () => {
  const t = new Bench().synReceived();
  const first = t.iss;
  t.give('R', 1);
  t.host.shared.nowUs += 4000;
  t.synReceived();
  expect((t.iss - first) | 0).toBe(1000);
});

// RFC 4987

test('above the limit of half-open connections cookies answer, and bring everything back (RFC 4987 §3.6)', () => {
  const t = new Bench({ halfOpenMax: 0 }).listen();
  t.synReceived(SYN_ALL);
  expect(t.tcp.connections).toBe(1);
  const cookie = t.iss;
  t.give('A', 1, 1, { options: stamps(101, 0) });
  expect(t.tcp.accept(t.l)).toBeGreaterThan(0);
  const u = new Bench({ halfOpenMax: 0 }).listen();
  u.give('S', 0, 0, { options: SYN_ALL });
  const [s] = u.host.sent();
  const echo = s!.options.slice(8, 12);
  u.iss = s!.seq;
  expect(cookie).toBe(u.iss);
  u.give('PA', 1, 1, { data: bytes(5), options: [1, 1, 8, 10, 0, 0, 0, 101, ...echo] });
  u.c = u.tcp.accept(u.l);
  expect(u.tcp.info(u.c)).toMatchObject({ state: 'ESTABLISHED', mss: 1448, sendWindowBytes: 65535 << 7 });
  expect(u.tcp.info(u.c).options).toEqual(['timestamps', 'sack', 'window-scale']);
  expect(u.read(10)).toBe(5);
});

test('a wrong cookie is reset (RFC 4987 §3.6)', () => {
  const t = new Bench({ halfOpenMax: 0 }).synReceived();
  t.give('A', 1, 1 + 0x100);
  expect(t.sent()).toEqual(['R 257:257(0)']);
});

// Backlog

test('a full accept queue drops the ACK, never resets (stack.md §6.8, 27)', () => {
  const t = new Bench().listen(0).established();
  const one = t.peerPort;
  Object.assign(t, { peerPort: one + 1 });
  t.synReceived();
  t.give('A', 1, 1);
  Object.assign(t, { peerPort: one + 2 });
  t.give('S', 0);
  expect(t.sent()).toEqual([]);
  expect(t.tcp.accept(t.l)).toBeGreaterThan(0);
  expect(t.tcp.accept(t.l)).toBe(-Errno.EAGAIN);
});

// RFC 7413

test('fast open: a cookie is asked for, then data goes with the SYN and is read before the handshake ends (RFC 7413 §4)', () => {
  const pair = new Pair();
  const [a, b] = pair.hosts;
  const l = b.tcp.open(false);
  b.tcp.setOption(l, TcpOption.FastOpen, 8);
  b.tcp.bind(l, B, 80, 0);
  b.tcp.listen(l, 8);
  const connect = (): number => {
    const c = a.tcp.open(false);
    a.tcp.setOption(c, TcpOption.FastOpen, 1);
    a.tcp.connect(c, B, 80, 0);
    return c;
  };
  connect();
  for (let i = 0; i < 6; i++) pair.step();
  b.tcp.accept(l);
  const c = connect();
  expect(a.tcp.send(c, bytes(20), 0, 20, 0)).toBe(20);
  pair.step();
  const d = b.tcp.accept(l);
  expect(b.tcp.info(d).state).toBe('SYN-RECEIVED');
  expect(b.tcp.available(d)).toBe(20);
  for (let i = 0; i < 4; i++) pair.step();
  expect(a.tcp.info(c)).toMatchObject({ state: 'ESTABLISHED', sendQueueBytes: 0 });
  expect(b.tcp.info(d).state).toBe('ESTABLISHED');
});

// ICMP

function icmp(t: Bench, seq: number, isHard: boolean, errno: number, mtuBytes = 0): void {
  const { shared } = t.host;
  const { icmpError: e, view } = shared;
  const at = shared.slab.alloc(64);
  view.setUint16(at, t.port);
  view.setUint16(at + 2, t.peerPort);
  view.setUint32(at + 4, (t.iss + seq) >>> 0);
  Object.assign(e, { iface: 2, protocol: 6, at, bytes: 8, isHard, errno, mtuBytes });
  e.source.set(A);
  e.target.set(B);
  t.tcp.fail(e);
}

test('a hard error ends a connection that is being opened, if it is about its SYN (RFC 5461 §4, RFC 5927 §4.1)', () => {
  const t = new Bench().synSent();
  icmp(t, 5000, true, Errno.ECONNREFUSED);
  icmp(t, 0, false, Errno.EHOSTUNREACH);
  expect(t.state).toBe('SYN-SENT');
  icmp(t, 0, true, Errno.ECONNREFUSED);
  expect(t.tcp.takeError(t.c)).toBe(Errno.ECONNREFUSED);
});

test('a hard error does not end one that is open; it is told when the connection fails (RFC 5461 §3)', () => {
  const t = new Bench().established();
  t.write(5);
  t.sent();
  icmp(t, 1, true, Errno.EHOSTUNREACH);
  expect(t.state).toBe('ESTABLISHED');
  t.host.pass(3600 * S);
  expect(t.tcp.takeError(t.c)).toBe(Errno.EHOSTUNREACH);
});

test('a smaller path is used at once, and what was too long goes again (RFC 1191 §6.5)', () => {
  const t = new Bench().established();
  t.write(2000);
  t.sent();
  t.host.mtu = 1000;
  icmp(t, 1, false, Errno.EMSGSIZE, 1000);
  expect(t.sent()[0]).toBe('A 1:961(960) ack 1');
});

test('a black hole for long segments is found (RFC 4821 §7.6)', () => {
  const pair = new Pair();
  pair.loses = (s) => s.data.length > 1000;
  transfer(pair, pair.connect(), 20_000);
  expect(pair.hosts[0].lowered).toEqual([750]);
});

// RFC 3168

test('ECN: asked for, agreed on, CE echoed until CWR, data is ECT(0) and ACKs are not (RFC 3168 §6.1)', () => {
  const t = new Bench().listen();
  t.give('SEC', 0, 0, { options: MSS_1460 });
  const [s] = t.host.sent();
  expect(s!.flags).toBe('SAE');
  t.iss = s!.seq;
  t.give('A', 1, 1);
  t.c = t.tcp.accept(t.l);
  t.write(5);
  expect(t.host.sent()[0]!.tclass & 3).toBe(2);
  t.give('PA', 1, 6, { data: bytes(5), tclass: 3 });
  t.give('PA', 6, 6, { data: bytes(5), tclass: 2 });
  const acks = t.host.sent();
  expect(acks.map((x) => x.flags)).toEqual(['AE', 'AE']);
  expect(acks[0]!.tclass & 3).toBe(0);
  t.give('PAC', 11, 6, { data: bytes(5), tclass: 2 });
  expect(t.host.sent().map((x) => x.flags)).toEqual(['A']);
  t.write(20_000);
  t.sent();
  t.give('AE', 16, 6 + 14_600);
  expect(flagsOf(t.host.sent()[0]!.flags) & flagsOf('C')).not.toBe(0);
});

// Half-close

test('half-close: the other direction goes on (§3.6)', () => {
  const pair = new Pair();
  const [c, d] = pair.connect();
  const [a, b] = pair.hosts;
  a.tcp.shutdown(c, How.Write);
  for (let i = 0; i < 4; i++) pair.step();
  expect(b.tcp.readiness(d) & Ready.ReadHup).not.toBe(0);
  b.tcp.send(d, bytes(100), 0, 100, 0);
  b.tcp.close(d);
  for (let i = 0; i < 6; i++) pair.step(pair.nowUs + S);
  expect(a.tcp.receive(c, new Uint8Array(200), 0, 200, 0)).toBe(100);
  expect(a.tcp.info(c).state).toBe('TIME-WAIT');
});

test('an orphan does not wait for a FIN for ever (§3.6)', () => {
  const t = new Bench().established();
  t.tcp.close(t.c);
  t.sent();
  t.give('A', 1, 2);
  expect(t.tcp.connections).toBe(2);
  t.host.pass(60 * S);
  expect(t.tcp.connections).toBe(1);
});

test('events come once each, in order', () => {
  const t = new Bench().established();
  while (t.tcp.nextEvent() >= 0);
  t.give('PA', 1, 1, { data: bytes(5) });
  t.give('PA', 6, 1, { data: bytes(5) });
  expect(t.tcp.nextEvent()).toBe(t.c);
  expect(t.tcp.nextEvent()).toBe(-1);
});

test('a full output keeps ACKs and data for later', () => {
  const t = new Bench().established();
  t.write(3000);
  t.host.room = 1;
  expect(t.tcp.poll()).toBe(true);
  t.give('PA', 2, 1, { data: bytes(5) });
  t.host.room = 100;
  expect(t.sent()).toEqual(['A 1:1461(1460) ack 1', 'A 1461:2921(1460) ack 1', 'PA 2921:3001(80) ack 1']);
});

test('ten thousand idle connections stay below 10 MB of buffers and columns', () => {
  const slab = newSlab();
  const host = new Host(slab, A, 1);
  const before = slab.usedBytes;
  for (let i = 0; i < 10_000; i++) expect(host.tcp.connect(host.tcp.open(false), B, 80, 0)).toBe(-Errno.EINPROGRESS);
  expect(host.tcp.connections).toBe(10_000);
  expect(slab.usedBytes - before).toBe(0);
  expect(host.snapshot().length).toBeLessThan(10_000_000);
});

// What small buffers need.

test('a small buffer is acknowledged by quarters and announced whole when it is empty (§3.8.6.2.2, §3.8.6.3)', () => {
  const t = new Bench();
  t.listen();
  t.tcp.setOption(t.l, TcpOption.ReceiveBuffer, 2048);
  t.give('S', 0, 0, { options: MSS_1460 });
  t.iss = t.host.sent()[0]!.seq;
  t.give('A', 1, 1);
  t.c = t.tcp.accept(t.l);
  for (let i = 0, seq = 1; i < 20; i++, seq += 600) {
    t.give('A', seq, 1, { data: bytes(600) });
    t.read(600);
    expect(t.host.sent().map((x) => x.window)).toEqual([2048]);
  }
});
