// The attacks of floods.ts, bundled as in mutations.test.ts; with more frames by hand: `node main.mjs NAME COUNT`.

import { expect, test } from 'vitest';
import { bundled } from '../kit/bundle.ts';

const MIB = 1 << 20;
const PATIENT = { timeout: 120_000 };
const start = bundled('test/robust/main.ts');

const run = (name: string, count = 0): Record<string, number> => start(name, count) as Record<string, number>;

test('a SYN flood leaves connections alone, and cookies let others in (RFC 4987 §3.6)', PATIENT, () => {
  const { works, wasTransferred, connections, usedBytes, connectionsLater } = run('synFlood', 40_000);
  expect({ works, wasTransferred, connectionsLater }).toEqual({
    works: true,
    wasTransferred: true,
    connectionsLater: 4,
  });
  expect(connections).toBeLessThanOrEqual(4100);
  expect(usedBytes).toBeLessThan(MIB);
});

test('packets that never become whole take bounded memory and keep no others out', PATIENT, () => {
  const { most, answered, usedLater } = run('fragments', 20_000);
  expect(most).toBeLessThan(2 * MIB);
  expect(answered).toBe(20);
  expect(usedLater).toBeLessThan(MIB);
});

test('a scan of a /64 and spoofed neighbours fill no memory and stop no transfer (RFC 6583)', PATIENT, () => {
  const { isGood, most, mostHeld, heldLater } = run('neighbors', 40_000);
  expect({ isGood, heldLater }).toEqual({ isGood: true, heldLater: 0 });
  expect(most).toBeLessThanOrEqual(1024);
  expect(mostHeld).toBeLessThanOrEqual(MIB);
});

test('advertisements without end leave addresses, routes and servers bounded (RFC 6104)', PATIENT, () => {
  const { isGood, addresses, routes, servers, usedBytes } = run('advertisements', 20_000);
  expect(isGood).toBe(true);
  expect(addresses).toBeLessThanOrEqual(66); // two of loopback
  expect(routes).toBeLessThanOrEqual(1024);
  expect(servers).toBeLessThanOrEqual(8);
  expect(usedBytes).toBeLessThan(MIB);
});

test('a storm of group queries is answered by fewer reports than queries', PATIENT, () => {
  const { reports, usedBytes } = run('queries', 20_000);
  expect(reports).toBeGreaterThan(0);
  expect(reports).toBeLessThan(20_000 / 2);
  expect(usedBytes).toBeLessThan(MIB);
});

test('datagrams for a full socket and for nobody: bounded memory, limited errors (RFC 1812 §4.3.2.8)', PATIENT, () => {
  const { errors, usedBytes, waiting, isOpenAgain } = run('datagrams', 40_000);
  expect(isOpenAgain).toBe(true);
  expect(waiting).toBeLessThan(1000);
  expect(errors).toBeLessThan(1000); // 0.4 s
  expect(usedBytes).toBeLessThan(MIB);
});

test('guessed ICMP errors end no connection (RFC 5927)', PATIENT, () => {
  expect(run('icmpErrors', 40_000)).toMatchObject({ isGood: true, isThere: true });
});

test('a full accept queue lets connections in as they are accepted', PATIENT, () => {
  expect(run('backlog').accepted).toBeGreaterThanOrEqual(35);
});

test('when ports are exhausted calls say so, and a port that is given back is used (RFC 6056)', PATIENT, () => {
  expect(run('ports')).toEqual({ connects: 16384, refused: -99, again: -115, binds: 32768, full: -98, bindAgain: 0 });
});

test('every other byte, in any order, takes bounded memory; then all arrive right', PATIENT, () => {
  const { usedBytes, isGood } = run('gaps');
  expect(isGood).toBe(true);
  expect(usedBytes).toBeLessThan(MIB);
});

test('SACK blocks that mean nothing do no harm (RFC 2018 §8)', PATIENT, () => {
  expect(run('sacks')).toMatchObject({ isGood: true, connections: 2, resetBy: 0 });
});

test('a peer with a window of a byte or none costs a segment an ACK, and a probe a minute', PATIENT, () => {
  const { segmentsOfTiny, probes, isGood } = run('windows');
  expect(isGood).toBe(true);
  expect(segmentsOfTiny).toBeLessThanOrEqual(1000);
  expect(probes).toBeLessThan(30);
});

test('a full table of connections refuses more and keeps what it has', PATIENT, () => {
  expect(run('tableFull')).toEqual({ opened: 8, refused: -105, tooMany: false, isGood: true, again: true });
});

test('without memory everything fails cleanly, and goes on when there is some again', PATIENT, () => {
  expect(run('noMemory')).toMatchObject({ begun: true, errnosAreKnown: true, again: true });
});
