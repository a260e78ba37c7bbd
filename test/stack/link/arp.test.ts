import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Drop } from '../../../core/drop.ts';
import { arpPacket, Bench, ip, OTHER_MAC, OWN_MAC, PEER_MAC, S, ZERO_MAC } from '../kit-nd.ts';

const OWN = '10.0.0.1';
const PEER = '10.0.0.2';
const PEER_TO = '02:00:00:00:00:02';
const ALL = 'ff:ff:ff:ff:ff:ff';

function host(): Bench {
  const bench = new Bench();
  bench.own(OWN, 24);
  return bench;
}

const request = (sender: string, target: string, mac = PEER_MAC): string => arpPacket(1, mac, sender, ZERO_MAC, target);
const reply = (sender: string, mac = PEER_MAC): string => arpPacket(2, mac, sender, OWN_MAC, OWN);

describe('packet reception, RFC 826', () => {
  test('answers a request for its address, with the fields swapped, to the sender alone', () => {
    const bench = host();
    expect(bench.arp(request(PEER, OWN))).toBe(Drop.None);
    const [sent] = bench.sent();
    expect(sent!.text).toBe(`arp is-at ${PEER} tell ${OWN} to ${PEER_TO}`);
    expect(Buffer.from(sent!.bytes.subarray(14, 42)).toString('hex')).toBe(arpPacket(2, OWN_MAC, OWN, PEER_MAC, PEER));
    expect(sent!.bytes.length).toBe(60);
    expect(bench.state(PEER)).toBe('STALE');
  });

  test.each([
    ['hardware type', 0, '0002'],
    ['protocol type', 2, '86dd'],
    ['hardware length', 4, '08'],
    ['protocol length', 5, '10'],
    ['operation', 6, '0003'],
  ])('drops another %s', (_what, at, bytes) => {
    const bench = host();
    const good = request(PEER, OWN);
    expect(bench.arp(good.slice(0, 2 * at) + bytes + good.slice(2 * at + bytes.length))).toBe(Drop.ArpFormat);
    expect(bench.sent()).toEqual([]);
  });

  test('drops every truncation', () => {
    const bench = host();
    const good = request(PEER, OWN);
    for (let bytes = 0; bytes < 28; bytes++) expect(bench.arp(good.slice(0, 2 * bytes))).toBe(Drop.ArpTruncated);
  });

  test('merges into an entry that is there, whoever is the target', () => {
    const bench = host();
    bench.arp(request(PEER, OWN));
    bench.arp(request(PEER, '10.0.0.9', OTHER_MAC));
    expect(bench.autoconf.neighbors.list()[0]!.mac).toBe('02:00:00:00:00:03');
  });

  test('adds an entry only if it is the target', () => {
    const bench = host();
    bench.arp(request(PEER, '10.0.0.9'));
    expect(bench.autoconf.neighbors.count).toBe(0);
  });

  test('a gratuitous request updates an entry and makes none, RFC 5944 §4.6, RFC 5227 §3', () => {
    const bench = host();
    bench.arp(request(PEER, PEER));
    expect(bench.autoconf.neighbors.count).toBe(0);
    bench.arp(request(PEER, OWN));
    bench.sent();
    bench.arp(request(PEER, PEER, OTHER_MAC));
    expect(bench.autoconf.neighbors.list()[0]!.mac).toBe('02:00:00:00:00:03');
    expect(bench.sent()).toEqual([]);
  });

  test.each([
    ['a group hardware address', request(PEER, OWN, '01005e000001')],
    ['a multicast sender', request('224.0.0.1', OWN)],
    ['a broadcast sender', request('255.255.255.255', OWN)],
    ['a loopback sender', request('127.0.0.1', OWN)],
    ['its own hardware address', request(PEER, OWN, OWN_MAC)],
  ])('ignores %s', (_what, packet) => {
    const bench = host();
    expect(bench.arp(packet)).toBe(Drop.BadSource);
    expect(bench.autoconf.neighbors.count).toBe(0);
  });

  test('answers a probe, and learns nothing from it, RFC 5227 §2.1.1', () => {
    const bench = host();
    bench.arp(request('0.0.0.0', OWN));
    expect(bench.texts()).toEqual([`arp is-at 0.0.0.0 tell ${OWN} to ${PEER_TO}`]);
    expect(bench.autoconf.neighbors.count).toBe(0);
  });

  test('does not answer for an address that is still probed, RFC 5227 §2.1.1', () => {
    const bench = new Bench();
    bench.autoconf.addAddress(2, ip(OWN), 24, 1, Infinity, Infinity);
    bench.arp(request(PEER, OWN));
    expect(bench.sent()).toEqual([]);
  });
});

describe('resolution', () => {
  test('asks by broadcast with the source of the packet, RFC 826', () => {
    const bench = host();
    bench.own('10.0.0.7', 24);
    bench.send('10.0.0.7', PEER);
    expect(bench.texts()).toEqual([`arp who-has ${PEER} tell 10.0.0.7 to ${ALL}`]);
  });

  test('never asks with the sender 0, which would be a probe, RFC 5227 §2.1.1', () => {
    const bench = new Bench();
    bench.send('0.0.0.0', PEER);
    expect(bench.sent()).toEqual([]);
  });

  test('asks at most once a second, three times, RFC 1122 §2.3.2.1', () => {
    const bench = host();
    bench.iface.retransUs = S / 10;
    bench.send(OWN, PEER);
    expect(bench.run(9 * S).map((one) => one.us)).toEqual([0, S, 2 * S]);
    expect(bench.state(PEER)).toBe('FAILED');
  });

  test('a reply sends the latest packets that waited, RFC 1122 §2.3.2.2', () => {
    const bench = host();
    bench.send(OWN, PEER, 9);
    bench.sent();
    bench.arp(reply(PEER));
    expect(bench.sent().map((one) => [one.bytes[63], one.text])).toEqual([[9, `ip4 ${OWN} > ${PEER} to ${PEER_TO}`]]);
    expect(bench.state(PEER)).toBe('REACHABLE');
  });

  test('entries are timed out and polled in unicast, RFC 1122 §2.3.2.1 (1), (2)', () => {
    const bench = host();
    bench.send(OWN, PEER);
    bench.arp(reply(PEER));
    bench.run(60 * S);
    expect(bench.state(PEER)).toBe('STALE');
    bench.send(OWN, PEER);
    bench.sent();
    const sent = bench.run(5 * S);
    expect(sent.map((one) => one.text)).toEqual([`arp who-has ${PEER} tell ${OWN} to ${PEER_TO}`]);
    bench.arp(reply(PEER));
    expect(bench.state(PEER)).toBe('REACHABLE');
  });

  test('a reply that nobody asked for makes nobody REACHABLE', () => {
    const bench = host();
    bench.arp(request(PEER, OWN));
    bench.arp(reply(PEER, OTHER_MAC));
    expect(bench.state(PEER)).toBe('STALE');
  });
});

test('random and mutated packets never throw', () => {
  const bench = host();
  const good = Buffer.from(request(PEER, OWN), 'hex');
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), fc.nat(27), fc.nat(255), (junk, at, value) => {
      bench.arp('', Uint8Array.from(junk));
      const mutant = Uint8Array.from(good);
      mutant[at] = value;
      bench.arp('', mutant);
      bench.sent();
      expect(bench.autoconf.neighbors.count).toBeLessThanOrEqual(1024);
    }),
  );
});
