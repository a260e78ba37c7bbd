import { describe, expect, test } from 'vitest';
import { AddressOrigin, AddressState } from '../../../stack/autoconf/addresses.ts';
import { AutoconfEvent } from '../../../stack/autoconf/autoconf-events.ts';
import { arpPacket, Bench, ip, PEER_MAC, S, type Sent, ZERO_MAC } from '../kit-nd.ts';

const OWN = '169.254.3.4';
const ALL = 'ff:ff:ff:ff:ff:ff';
const PROBE = `arp who-has ${OWN} tell 0.0.0.0 to ${ALL}`;
const ANNOUNCEMENT = `arp who-has ${OWN} tell ${OWN} to ${ALL}`;

function starting(seed = 1): Bench {
  const bench = new Bench({ seed });
  bench.autoconf.addAddress(2, ip(OWN), 16, AddressOrigin.Dhcp4, Infinity, Infinity);
  return bench;
}

function settled(): Bench {
  const bench = starting();
  bench.run(30 * S);
  bench.events();
  return bench;
}

const claim = arpPacket(1, PEER_MAC, OWN, ZERO_MAC, '169.254.9.9');
const texts = (sent: Sent[]): string[] => sent.map((one) => one.text);

describe('probing, RFC 5227 §2.1.1', () => {
  test('three probes, 1 to 2 s apart, after up to 1 s; 2 s later it is used and announced twice, 2 s apart', () => {
    for (let seed = 1; seed <= 20; seed++) {
      const sent = starting(seed).run(60 * S);
      expect(texts(sent)).toEqual([PROBE, PROBE, PROBE, ANNOUNCEMENT, ANNOUNCEMENT]);
      const us = sent.map((one) => one.us);
      expect(us[0]).toBeLessThanOrEqual(S);
      for (const i of [1, 2]) {
        expect(us[i]! - us[i - 1]!).toBeGreaterThanOrEqual(S);
        expect(us[i]! - us[i - 1]!).toBeLessThanOrEqual(2 * S);
      }
      expect([us[3]! - us[2]!, us[4]! - us[3]!]).toEqual([2 * S, 2 * S]);
    }
  });

  test('it is not used before ANNOUNCE_WAIT is over', () => {
    const bench = starting();
    const last = new Bench();
    last.load(bench.save(), 0);
    const up = last.run(60 * S)[3]!.us;
    bench.run(up - 1);
    expect(bench.addressState(OWN)).toBe(AddressState.Tentative);
    bench.run(1);
    expect(bench.addressState(OWN)).toBe(AddressState.Preferred);
    expect(bench.events().map((e) => e.kind)).toEqual([AutoconfEvent.AddressUp]);
  });

  test.each([
    ['a packet from its address', claim],
    ['a reply from its address', arpPacket(2, PEER_MAC, OWN, ZERO_MAC, '169.254.9.9')],
    ["another's probe for it", arpPacket(1, PEER_MAC, '0.0.0.0', ZERO_MAC, OWN)],
  ])('%s in the meantime is a conflict', (_what, packet) => {
    const bench = starting();
    bench.run(2 * S);
    bench.arp(packet);
    expect(bench.addressState(OWN)).toBe(AddressState.Duplicate);
    expect(bench.events().map((e) => e.kind)).toEqual([AutoconfEvent.AddressDuplicate]);
    expect(bench.run(60 * S)).toEqual([]);
  });

  test('its own probe, come back, is none', () => {
    const bench = starting();
    bench.run(2 * S);
    bench.arp(arpPacket(1, '020000000001', '0.0.0.0', ZERO_MAC, OWN));
    expect(bench.addressState(OWN)).toBe(AddressState.Tentative);
  });

  test('after ten conflicts at most one address a minute is tried', () => {
    const bench = new Bench();
    const first: number[] = [];
    for (let i = 0; i < 12; i++) {
      const own = `10.0.1.${i + 1}`;
      const start = bench.nowUs;
      bench.autoconf.addAddress(2, ip(own), 24, AddressOrigin.Dhcp4, Infinity, Infinity);
      let sent: Sent[] = [];
      while (sent.length === 0) sent = bench.run(S);
      first.push(sent[0]!.us - start);
      bench.arp(arpPacket(1, PEER_MAC, own, ZERO_MAC, '10.0.1.99'));
    }
    expect(Math.max(...first.slice(0, 10))).toBeLessThanOrEqual(2 * S);
    expect(Math.min(...first.slice(10))).toBeGreaterThanOrEqual(60 * S);
  });
});

describe('defence, RFC 5227 §2.4', () => {
  test('(b): a conflict is answered by one announcement', () => {
    const bench = settled();
    bench.arp(claim);
    expect(bench.texts()).toEqual([ANNOUNCEMENT]);
    expect(bench.addressState(OWN)).toBe(AddressState.Preferred);
    expect(bench.autoconf.neighbors.count).toBe(0);
  });

  test('a second one within 10 s, and the address is given up at once', () => {
    const bench = settled();
    bench.arp(claim);
    bench.sent();
    bench.run(10 * S - 1);
    bench.arp(claim);
    expect(bench.sent()).toEqual([]);
    expect(bench.addressState(OWN)).toBe(AddressState.Duplicate);
    expect(bench.events()).toMatchObject([{ kind: AutoconfEvent.AddressDuplicate, value: 1 }]);
  });

  test('(c): a gateway keeps its address, and announces it no sooner than 10 s later', () => {
    const bench = settled();
    bench.iface.acceptsAny = true;
    for (let i = 0; i < 20; i++) bench.arp(claim);
    expect(bench.texts()).toEqual([ANNOUNCEMENT]);
    bench.run(10 * S);
    for (let i = 0; i < 20; i++) bench.arp(claim);
    expect(bench.texts()).toEqual([ANNOUNCEMENT]);
    expect(bench.addressState(OWN)).toBe(AddressState.Preferred);
  });

  test('one after 10 s is defended again', () => {
    const bench = settled();
    bench.arp(claim);
    bench.sent();
    bench.run(10 * S);
    bench.arp(claim);
    expect(bench.texts()).toEqual([ANNOUNCEMENT]);
    expect(bench.addressState(OWN)).toBe(AddressState.Preferred);
  });

  test('a hand-set address without a check of its own is defended alike', () => {
    const bench = new Bench();
    bench.own(OWN, 16);
    bench.arp(claim);
    expect(bench.texts()).toEqual([ANNOUNCEMENT]);
  });
});

test.each([0, 1, 2.5, 4, 6])('a host restored %s s into it goes on alike, to the byte and the µs', (seconds) => {
  const bench = starting();
  bench.run(seconds * S);
  const twin = bench.twin();
  expect(twin.run(60 * S)).toEqual(bench.run(60 * S));
  expect(twin.save()).toEqual(bench.save());
});
