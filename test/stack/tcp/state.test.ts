// RFC 9293 §3.10: each state and each kind of segment.

import { expect, test } from 'vitest';
import { Drop } from '../../../core/drop.ts';
import { of4 } from '../../../stack/address.ts';
import { Errno } from '../../../stack/errno.ts';
import { How, Ready } from '../../../stack/tcp/tcp.ts';
import { B, Bench, bytes, MSS_1460, Pair } from '../kit-tcp.ts';

// §3.10.7.1 CLOSED

test.each([
  ['S', 'RA 0:0(0) ack 1'],
  ['F', 'RA 0:0(0) ack 1'],
  ['A', 'R 77:77(0)'],
  ['SA', 'R 77:77(0)'],
  ['FPA', 'R 77:77(0)'],
  ['', 'RA 0:0(0) ack 0'],
])('CLOSED answers %s with %s (§3.10.7.1)', (flags, expected) => {
  const t = new Bench();
  t.give(flags, 0, 77);
  expect(t.sent()).toEqual([expected]);
});

test('CLOSED counts data in the ACK of its reset (§3.10.7.1)', () => {
  const t = new Bench();
  t.give('SF', 0, 0, { data: bytes(10) });
  expect(t.sent()).toEqual(['RA 0:0(0) ack 12']);
});

test.each(['R', 'RA'])('CLOSED never answers %s (§3.10.7.1)', (flags) => {
  const t = new Bench();
  t.give(flags, 0, 77);
  expect(t.sent()).toEqual([]);
});

// §3.10.7.2 LISTEN

test.each([
  ['R', []],
  ['RA', []],
  ['A', ['R 9:9(0)']],
  ['SA', ['R 9:9(0)']],
  ['F', []],
  ['', []],
  ['P', []],
])('LISTEN answers %s with %j (§3.10.7.2)', (flags, expected) => {
  const t = new Bench().listen();
  t.give(flags, 0, 9);
  expect(t.sent()).toEqual(expected);
});

test('LISTEN answers a SYN with a SYN-ACK of its own number (§3.10.7.2)', () => {
  const t = new Bench().listen();
  t.give('S', 0, 0, { options: MSS_1460 });
  const [s] = t.host.sent();
  expect(s).toMatchObject({ flags: 'SA', ack: 1001, options: [2, 4, 5, 0xb4] });
});

test.each([
  ['a group frame', { isGroupFrame: true }],
  ['a wrong checksum', { damage: true }],
])('LISTEN is silent on a SYN in %s (§3.9.2.3, §3.1)', (_, extra) => {
  const t = new Bench().listen();
  expect(t.give('S', 0, 0, {}, extra)).not.toBe(Drop.None);
  expect(t.sent()).toEqual([]);
});

// §3.10.7.3 SYN-SENT

test('SYN-SENT: a SYN-ACK establishes, and is acknowledged (§3.10.7.3)', () => {
  const t = new Bench().connected();
  expect(t.state).toBe('ESTABLISHED');
  expect(t.tcp.readiness(t.c)).toBe(Ready.Out);
});

test.each([
  ['SA', 0, ['R 0:0(0)']],
  ['SA', 2, ['R 2:2(0)']],
  ['A', 0, ['R 0:0(0)']],
  ['A', 5, ['R 5:5(0)']],
  ['RA', 0, []],
  ['RA', 2, []],
  ['R', 0, []],
  ['A', 1, []],
  ['F', 0, []],
  ['', 0, []],
])('SYN-SENT: %s with ACK %i is answered with %j and changes nothing (§3.10.7.3)', (flags, ack, expected) => {
  const t = new Bench().synSent();
  t.give(flags, 0, ack);
  expect(t.sent()).toEqual(expected);
  expect(t.state).toBe('SYN-SENT');
});

test('SYN-SENT: a reset with an acceptable ACK refuses (§3.10.7.3)', () => {
  const t = new Bench().synSent();
  t.give('RA', 0, 1);
  expect(t.sent()).toEqual([]);
  expect(t.state).toBe('CLOSED');
  expect(t.tcp.readiness(t.c) & Ready.Error).not.toBe(0);
  expect(t.tcp.takeError(t.c)).toBe(Errno.ECONNREFUSED);
});

test('SYN-SENT: a SYN opens both ways (§3.5 figure 8, §3.10.7.3)', () => {
  const t = new Bench().synSent();
  t.give('S', 0, 0, { options: MSS_1460 });
  expect(t.sent()).toEqual(['SA 0:0(0) ack 1']);
  expect(t.state).toBe('SYN-RECEIVED');
  t.give('SA', 0, 1, { options: MSS_1460 });
  expect(t.sent()).toEqual(['A 1:1(0) ack 1']);
  expect(t.state).toBe('ESTABLISHED');
});

test('two hosts that connect to each other at once are one connection (§3.5)', () => {
  const pair = new Pair();
  const [a, b] = pair.hosts;
  const c = a.tcp.open(false);
  const d = b.tcp.open(false);
  a.tcp.bind(c, a.address, 1111, 0);
  b.tcp.bind(d, b.address, 2222, 0);
  a.tcp.connect(c, b.address, 2222, 0);
  b.tcp.connect(d, a.address, 1111, 0);
  while (pair.step(pair.nowUs + 100_000) && pair.trace.length < 50);
  expect(a.tcp.info(c).state).toBe('ESTABLISHED');
  expect(b.tcp.info(d).state).toBe('ESTABLISHED');
  expect(pair.trace.length).toBeLessThan(10);
});

test('SYN-SENT: data behind the SYN-ACK is taken (§3.10.7.3)', () => {
  const t = new Bench().synSent();
  t.give('SA', 0, 1, { data: bytes(10) });
  expect(t.read(100)).toBe(10);
  expect(t.sent()).toEqual(['A 1:1(0) ack 11']);
});

// §3.10.7.4, SYN-RECEIVED

test('SYN-RECEIVED: the ACK establishes (§3.10.7.4)', () => {
  const t = new Bench().established();
  expect(t.state).toBe('ESTABLISHED');
});

test.each([0, 2, 100, -1])('SYN-RECEIVED: an ACK of %i is answered with a reset (§3.10.7.4, fifth)', (ack) => {
  const t = new Bench().synReceived();
  t.give('A', 1, ack);
  expect(t.sent()).toEqual([`R ${ack}:${ack}(0)`]);
  expect(t.tcp.accept(t.l)).toBe(-Errno.EAGAIN);
});

test.each(['R', 'S'])('SYN-RECEIVED, passive: %s in the window goes back to LISTEN (§3.10.7.4)', (flags) => {
  const t = new Bench().synReceived();
  t.give(flags, 1);
  expect(t.sent()).toEqual([]);
  expect(t.tcp.connections).toBe(1);
});

test('SYN-RECEIVED: a reset beside the window does nothing (§3.10.7.4)', () => {
  const t = new Bench().synReceived();
  t.give('R', 70000);
  expect(t.sent()).toEqual([]);
  expect(t.tcp.connections).toBe(2);
});

test('SYN-RECEIVED: the SYN again is answered with the SYN-ACK again (§3.10.7.4)', () => {
  const t = new Bench().synReceived();
  t.give('S', 0, 0, { options: MSS_1460 });
  expect(t.sent()).toEqual(['SA 0:0(0) ack 1']);
});

test('SYN-RECEIVED: a FIN with the ACK goes to CLOSE-WAIT (§3.10.7.4, eighth)', () => {
  const t = new Bench().synReceived();
  t.give('FA', 1, 1);
  t.c = t.tcp.accept(t.l);
  expect(t.state).toBe('CLOSE-WAIT');
  expect(t.sent()).toEqual(['A 1:1(0) ack 2']);
});

// §3.10.7.4, first: the sequence number, table 6

test.each([
  ['A', -1, 0, true],
  ['A', 0 + 65536, 0, true],
  ['A', 70000, 0, true],
  ['PA', -10, 10, true],
  ['PA', 65536, 10, true],
  ['PA', -5, 10, false], // overlaps: its tail is new
])('ESTABLISHED: %s at %i with %i bytes, answered: %s (§3.10.7.4, first)', (flags, offset, count, isRefused) => {
  const t = new Bench().established();
  t.give(flags, 1 + offset, 1, { data: bytes(count) });
  const sent = t.sent();
  expect(sent).toEqual([`A 1:1(0) ack ${isRefused ? 1 : 6}`]);
  expect(t.tcp.available(t.c)).toBe(isRefused ? 0 : 5);
});

// Established and beyond: RST, SYN, ACK

/** Brings a bench to the state by its name. */
function inState(state: string): Bench {
  const t = new Bench().established();
  if (state === 'CLOSE-WAIT' || state === 'LAST-ACK') {
    t.give('FA', 1, 1);
    t.sent();
  }
  if (state !== 'ESTABLISHED' && state !== 'CLOSE-WAIT') {
    t.tcp.shutdown(t.c, How.Write);
    t.sent();
  }
  if (state === 'FIN-WAIT-2') t.give('A', 1, 2);
  if (state === 'CLOSING') {
    t.give('FA', 1, 1);
    t.sent();
  }
  expect(t.state).toBe(state);
  return t;
}

const STATES = ['ESTABLISHED', 'FIN-WAIT-1', 'FIN-WAIT-2', 'CLOSE-WAIT', 'CLOSING', 'LAST-ACK'];
const rcvNxt = (state: string): number => (['CLOSE-WAIT', 'CLOSING', 'LAST-ACK'].includes(state) ? 2 : 1);
const sndNxt = (state: string): number => (['ESTABLISHED', 'CLOSE-WAIT'].includes(state) ? 1 : 2);

test.each(STATES)('%s: the exact reset ends it (RFC 5961 §3.2)', (state) => {
  const t = inState(state);
  t.give('R', rcvNxt(state));
  expect(t.sent()).toEqual([]);
  expect(t.state).toBe('CLOSED');
  const isSilent = state === 'CLOSING' || state === 'LAST-ACK';
  expect(t.tcp.takeError(t.c)).toBe(isSilent ? 0 : Errno.ECONNRESET);
});

test.each(STATES)('%s: a reset in the window is challenged (RFC 5961 §3.2)', (state) => {
  const t = inState(state);
  t.give('R', rcvNxt(state) + 1);
  expect(t.sent()).toEqual([`A ${sndNxt(state)}:${sndNxt(state)}(0) ack ${rcvNxt(state)}`]);
  expect(t.state).toBe(state);
});

test.each(STATES)('%s: a reset beside the window does nothing (RFC 5961 §3.2)', (state) => {
  const t = inState(state);
  for (const offset of [-1, 70000]) t.give('R', rcvNxt(state) + offset);
  expect(t.sent()).toEqual([]);
  expect(t.state).toBe(state);
});

test.each(STATES)('%s: a SYN anywhere is challenged (RFC 5961 §4.2)', (state) => {
  const t = inState(state);
  for (const offset of [-1, 0, 100, 100_000]) {
    t.give('S', rcvNxt(state) + offset);
    expect(t.sent()).toEqual([`A ${sndNxt(state)}:${sndNxt(state)}(0) ack ${rcvNxt(state)}`]);
  }
  expect(t.state).toBe(state);
});

test.each(STATES)('%s: an ACK of what was never sent is answered (§3.10.7.4, RFC 5961 §5)', (state) => {
  const t = inState(state);
  for (const ack of [sndNxt(state) + 1, -70_000]) {
    t.give('A', rcvNxt(state), ack);
    expect(t.sent()).toEqual([`A ${sndNxt(state)}:${sndNxt(state)}(0) ack ${rcvNxt(state)}`]);
  }
  expect(t.state).toBe(state);
});

test.each(STATES)('%s: without ACK nothing is taken (§3.10.7.4, fifth)', (state) => {
  const t = inState(state);
  t.give('P', rcvNxt(state), 0, { data: bytes(5) });
  expect(t.sent()).toEqual([]);
  expect(t.tcp.available(t.c)).toBe(0);
});

test('challenges are so many in a second (RFC 5961 §7)', () => {
  const t = new Bench().established();
  for (let i = 0; i < 50; i++) t.give('S', 1);
  expect(t.sent().length).toBe(10);
  t.host.pass(1_000_000);
  t.give('S', 1);
  expect(t.sent().length).toBe(1);
});

// FIN and the ways to the end, §3.6

test('active close: FIN-WAIT-1, FIN-WAIT-2, TIME-WAIT (§3.6 case 1)', () => {
  const t = new Bench().established();
  t.tcp.shutdown(t.c, How.Write);
  expect(t.sent()).toEqual(['FA 1:1(0) ack 1']);
  expect(t.state).toBe('FIN-WAIT-1');
  t.give('A', 1, 2);
  expect(t.state).toBe('FIN-WAIT-2');
  t.give('PA', 1, 2, { data: bytes(3) });
  expect(t.read(10)).toBe(3);
  t.give('FA', 4, 2);
  expect(t.sent().at(-1)).toBe('A 2:2(0) ack 5');
  expect(t.state).toBe('TIME-WAIT');
  expect(t.read(10)).toBe(0);
});

test('FIN-WAIT-1: FIN and ACK of ours together go to TIME-WAIT (§3.10.7.4, eighth)', () => {
  const t = inState('FIN-WAIT-1');
  t.give('FA', 1, 2);
  expect(t.sent()).toEqual(['A 2:2(0) ack 2']);
  expect(t.state).toBe('TIME-WAIT');
});

test('simultaneous close: CLOSING, then TIME-WAIT (§3.6 figure 13)', () => {
  const t = inState('CLOSING');
  t.give('A', 2, 2);
  expect(t.state).toBe('TIME-WAIT');
});

test('passive close: CLOSE-WAIT, LAST-ACK, CLOSED (§3.6 case 2)', () => {
  const t = inState('CLOSE-WAIT');
  expect(t.tcp.readiness(t.c) & Ready.ReadHup).not.toBe(0);
  expect(t.read(10)).toBe(0);
  expect(t.write(4)).toBe(4);
  expect(t.sent()).toEqual(['PA 1:5(4) ack 2']);
  t.tcp.close(t.c);
  expect(t.sent()).toEqual(['FA 5:5(0) ack 2']);
  t.give('A', 2, 6);
  expect(t.tcp.connections).toBe(1);
  expect(t.tcp.timeWaits).toBe(0);
});

test('the FIN goes behind all data (§3.10.4)', () => {
  const t = new Bench().established();
  t.write(3000);
  t.tcp.shutdown(t.c, How.Write);
  expect(t.sent()).toEqual(['A 1:1461(1460) ack 1', 'A 1461:2921(1460) ack 1', 'FPA 2921:3001(80) ack 1']);
  expect(t.write(1)).toBe(-Errno.EPIPE);
});

test('closing with unread data resets (§3.6.1)', () => {
  const t = new Bench().established();
  t.give('PA', 1, 1, { data: bytes(5) });
  t.sent();
  t.tcp.close(t.c);
  expect(t.sent()).toEqual(['RA 1:1(0) ack 6']);
  expect(t.tcp.connections).toBe(1);
});

test('data after close resets (§3.6.1, RFC 1122 §4.2.2.13)', () => {
  const t = new Bench().established();
  t.tcp.close(t.c);
  t.sent();
  t.give('A', 1, 2);
  t.give('PA', 1, 2, { data: bytes(5) });
  expect(t.sent()).toEqual(['R 2:2(0)']);
  expect(t.tcp.connections).toBe(1);
});

test('abort resets (§3.10.5)', () => {
  const t = new Bench().established();
  t.tcp.abort(t.c);
  expect(t.sent()).toEqual(['RA 1:1(0) ack 1']);
  expect(t.tcp.connections).toBe(1);
});

test('a FIN out of order waits for what is before it, and counts once (§3.10.7.4, eighth)', () => {
  const t = new Bench().established();
  t.give('FPA', 6, 1, { data: bytes(5) });
  expect(t.state).toBe('ESTABLISHED');
  t.give('FA', 11, 1);
  t.give('PA', 1, 1, { data: bytes(5) });
  expect(t.state).toBe('CLOSE-WAIT');
  expect(t.sent().at(-1)).toBe('A 1:1(0) ack 12');
  expect(t.read(100)).toBe(10);
  expect(t.read(100)).toBe(0);
});

// TIME-WAIT

function inTimeWait(): Bench {
  const t = inState('FIN-WAIT-2');
  t.give('FA', 1, 2);
  t.sent();
  t.tcp.close(t.c);
  expect(t.tcp.timeWaits).toBe(1);
  expect(t.tcp.connections).toBe(1);
  return t;
}

test('TIME-WAIT: the FIN again is acknowledged, and 2MSL begins anew (§3.10.7.4)', () => {
  const t = inTimeWait();
  t.host.pass(59_000_000);
  t.give('FA', 1, 2);
  expect(t.sent()).toEqual(['A 2:2(0) ack 2']);
  t.host.pass(59_000_000);
  expect(t.tcp.timeWaits).toBe(1);
  t.host.pass(1_000_000);
  expect(t.tcp.timeWaits).toBe(0);
});

test('TIME-WAIT: a reset does not shorten it (RFC 1337)', () => {
  const t = inTimeWait();
  t.give('R', 2);
  expect(t.sent()).toEqual([]);
  expect(t.tcp.timeWaits).toBe(1);
});

test('TIME-WAIT: a SYN beyond the old numbers opens anew, beyond ours (§3.6.1, RFC 6191)', () => {
  const t = inTimeWait();
  t.give('S', 100, 0, { options: MSS_1460 });
  const [s] = t.host.sent();
  expect(s?.flags).toBe('SA');
  expect((s!.seq - (t.iss + 2)) | 0).toBeGreaterThan(0);
  expect(t.tcp.timeWaits).toBe(0);
});

test('TIME-WAIT: an old SYN is answered with an ACK (§3.10.7.4)', () => {
  const t = inTimeWait();
  t.give('S', -100);
  expect(t.sent()).toEqual(['A 2:2(0) ack 2']);
  expect(t.tcp.timeWaits).toBe(1);
});

// User calls

test('calls that come too early or too late say so (§3.10.1 … §3.10.5)', () => {
  const t = new Bench().listen();
  const c = t.tcp.open(false);
  const buffer = new Uint8Array(9);
  expect(t.tcp.send(c, buffer, 0, 9, 0)).toBe(-Errno.ENOTCONN);
  expect(t.tcp.receive(c, buffer, 0, 9, 0)).toBe(-Errno.ENOTCONN);
  expect(t.tcp.shutdown(c, How.Write)).toBe(-Errno.ENOTCONN);
  expect(t.tcp.accept(c)).toBe(-Errno.EINVAL);
  expect(t.tcp.bind(c, of4(0x0a000001), 80, 0)).toBe(-Errno.EADDRINUSE);
  expect(t.tcp.connect(c, of4(0xe0000001), 80, 0)).toBe(-Errno.ENETUNREACH);
  expect(t.tcp.connect(c, B, 80, 0)).toBe(-Errno.EINPROGRESS);
  expect(t.tcp.connect(c, B, 80, 0)).toBe(-Errno.EALREADY);
  expect(t.tcp.listen(c, 1)).toBe(-Errno.EINVAL);
  expect(t.tcp.send(99, buffer, 0, 9, 0)).toBe(-Errno.EBADF);
});

test('without a route connect says so (§3.10.1)', () => {
  const t = new Bench();
  t.host.hasRoute = false;
  expect(t.tcp.connect(t.tcp.open(false), B, 80, 0)).toBe(-Errno.ENETUNREACH);
});

test('closing a listener resets those that nobody accepted (§3.10.4)', () => {
  const t = new Bench().synReceived();
  t.give('A', 1, 1);
  t.tcp.close(t.l);
  expect(t.sent()).toEqual(['RA 1:1(0) ack 1']);
  expect(t.tcp.connections).toBe(0);
});
