import { describe, expect, test } from 'vitest';
import { AddressOrigin, AddressState } from '../../../stack/autoconf/addresses.ts';
import { AutoconfEvent } from '../../../stack/autoconf/autoconf-events.ts';
import { Bench, ip, na, nonceOption, ns, PEER_MAC, S, sourceMac, targetMac } from '../kit-nd.ts';

const OWN = 'fe80::aa:1';
const GROUP = 'ff02::1:ffaa:1';
const PROBE = `ns ${OWN} :: > ${GROUP} hop 255 to 33:33:ff:aa:00:01`;
const QUIET = { linkLocal: 'none', slaac: false, temporary: false, routerSolicitations: false } as const;

function starting(): Bench {
  const bench = new Bench();
  bench.autoconf.addAddress(2, ip(OWN), 64, AddressOrigin.Static, Infinity, Infinity);
  return bench;
}

describe('duplicate address detection, RFC 4862 §5.4', () => {
  test('joins the solicited-node and all-nodes groups before it asks from ::, §5.4.2', () => {
    const bench = starting();
    expect(bench.texts()).toEqual([`report2 to-ex(${GROUP}) :: > ff02::16 hop 1 alert to 33:33:00:00:00:16`, PROBE]);
    expect(bench.autoconf.multicast.isMember(2, ip('ff02::1'), ip('::'))).toBe(true);
    expect(bench.autoconf.multicast.isMember(2, ip(GROUP), ip('::'))).toBe(true);
  });

  test('is unique RetransTimer after the probe, not a µs before, §5.4', () => {
    const bench = starting();
    bench.iface.retransUs = 2 * S;
    const again = new Bench();
    again.iface.retransUs = 2 * S;
    again.autoconf.addAddress(2, ip(OWN), 64, AddressOrigin.Static, Infinity, Infinity);
    again.run(2 * S - 1);
    expect(again.addressState(OWN)).toBe(AddressState.Tentative);
    again.run(1);
    expect(again.addressState(OWN)).toBe(AddressState.Preferred);
    expect(again.events().map((e) => e.kind)).toEqual([AutoconfEvent.AddressUp]);
  });

  test('the first address of an interface waits up to a second, and differs by host, §5.4.2', () => {
    const delays = new Set<number>();
    for (let seed = 1; seed <= 10; seed++) {
      const bench = new Bench({ seed });
      bench.autoconf.start(2);
      const probe = bench.run(3 * S).find((one) => one.text.startsWith('ns'))!;
      expect(probe.us).toBeLessThanOrEqual(S);
      delays.add(probe.us);
    }
    expect(delays.size).toBeGreaterThan(5);
  });

  test('sends no hardware address from ::, RFC 4861 §7.2.2', () => {
    const bench = starting();
    const probe = bench.sent()[1]!;
    expect(probe.bytes.length).toBe(14 + 40 + 24 + 8);
    expect([probe.bytes[78], probe.bytes[79]]).toEqual([14, 1]); // the one option is the nonce
  });

  test("a rival's probe makes it a duplicate, §5.4.3", () => {
    const bench = starting();
    expect(bench.icmp('::', GROUP, ns(OWN))).toBe(0);
    expect(bench.addressState(OWN)).toBe(AddressState.Duplicate);
    expect(bench.events().map((e) => e.kind)).toEqual([AutoconfEvent.AddressDuplicate]);
    expect(bench.autoconf.multicast.isMember(2, ip(GROUP), ip('::'))).toBe(false);
  });

  test('an advertisement for it makes it a duplicate, §5.4.4', () => {
    const bench = starting();
    bench.icmp(OWN, 'ff02::1', na(OWN, 0x20, targetMac(PEER_MAC)));
    expect(bench.addressState(OWN)).toBe(AddressState.Duplicate);
  });

  test('a solicitation with a source is ignored while it is tentative, §5.4.3', () => {
    const bench = starting();
    bench.sent();
    bench.icmp('fe80::2', GROUP, ns(OWN, sourceMac(PEER_MAC)));
    expect(bench.sent()).toEqual([]);
    expect(bench.addressState(OWN)).toBe(AddressState.Tentative);
    expect(bench.autoconf.neighbors.count).toBe(0);
  });

  test('a preferred address is defended to all nodes, RFC 4861 §7.2.4', () => {
    const bench = starting();
    bench.run(5 * S);
    bench.icmp('::', GROUP, ns(OWN));
    expect(bench.texts()).toEqual([`na ${OWN} 001 ${OWN} > ff02::1 hop 255 to 33:33:00:00:00:01`]);
    expect(bench.addressState(OWN)).toBe(AddressState.Preferred);
  });

  test('a duplicate address is neither answered for nor used, §5.4.5', () => {
    const bench = starting();
    bench.icmp('::', GROUP, ns(OWN));
    bench.run(60 * S);
    bench.icmp('fe80::2', GROUP, ns(OWN, sourceMac(PEER_MAC)));
    expect(bench.sent()).toEqual([]);
    expect(bench.addresses.isOurs(ip(OWN), 2)).toBe(false);
  });

  test('a duplicate link-local address of the hardware address disables IPv6 there, §5.4.5', () => {
    const bench = new Bench();
    bench.autoconf.start(2, { ...QUIET, linkLocal: 'eui64', slaac: true, routerSolicitations: true });
    const own = 'fe80::ff:fe00:1';
    expect(bench.listAddresses().map((one) => one.text)).toEqual([own]);
    bench.run(S);
    bench.icmp('::', 'ff02::1:ff00:1', ns(own));
    expect(bench.autoconf.isDisabled(2)).toBe(true);
    expect(bench.events().map((e) => e.kind)).toContain(AutoconfEvent.Ip6Disabled);
    bench.sent();
    expect(bench.run(600 * S)).toEqual([]);
    expect(bench.autoconf.addAddress(2, ip('2001:db8::1'), 64, AddressOrigin.Static, Infinity, Infinity)).toBeLessThan(
      0,
    );
  });

  test('a duplicate stable link-local address is replaced, three times at most, RFC 7217 §6', () => {
    const bench = new Bench();
    bench.autoconf.start(2);
    for (let i = 0; i < 6; i++) {
      for (const one of bench.listAddresses()) {
        if (one.state !== AddressState.Tentative) continue;
        bench.run(S / 2);
        bench.icmp(one.text, 'ff02::1', na(one.text, 0x20, targetMac(PEER_MAC)));
      }
    }
    const all = bench.listAddresses();
    expect(all.map((one) => one.state)).toEqual([4, 4, 4, 4]);
    expect(new Set(all.map((one) => one.text)).size).toBe(4);
    expect(bench.autoconf.isDisabled(2)).toBe(true);
  });
});

describe('nonces, RFC 7527', () => {
  test('its own probe, come back, is no rival; three more probes follow, §4.1', () => {
    const bench = starting();
    const probe = bench.sent()[1]!;
    bench.run(S / 2);
    bench.message('::', GROUP, probe.bytes.slice(54), {});
    expect(bench.addressState(OWN)).toBe(AddressState.Tentative);
    const sent = bench.run(3.5 * S - 1).filter((one) => one.text === PROBE);
    expect(sent.map((one) => one.us)).toEqual([S, 2 * S, 3 * S]);
    expect(bench.addressState(OWN)).toBe(AddressState.Tentative);
    bench.run(1);
    expect(bench.addressState(OWN)).toBe(AddressState.Preferred);
  });

  test('another nonce is a rival', () => {
    const bench = starting();
    bench.icmp('::', GROUP, ns(OWN, nonceOption('aabbccddeeff')));
    expect(bench.addressState(OWN)).toBe(AddressState.Duplicate);
  });

  test('every probe has a nonce of its own', () => {
    const nonces = new Set<string>();
    for (let seed = 1; seed <= 10; seed++) {
      const bench = new Bench({ seed });
      bench.autoconf.addAddress(2, ip(OWN), 64, AddressOrigin.Static, Infinity, Infinity);
      nonces.add(Buffer.from(bench.sent()[1]!.bytes.subarray(80, 86)).toString('hex'));
    }
    expect(nonces.size).toBe(10);
  });
});

test.each([0, 0.3, 0.9, 1.2, 2.2])('a host restored %s s into it goes on alike, to the byte and the µs', (seconds) => {
  const bench = new Bench();
  bench.autoconf.start(2);
  bench.run(seconds * S);
  const twin = bench.twin();
  expect(twin.run(60 * S)).toEqual(bench.run(60 * S));
  expect(twin.save()).toEqual(bench.save());
});
