import { describe, expect, test } from 'vitest';
import { StateError, sealSnapshot } from '../../../core/state.ts';
import { AddressOrigin, AddressState } from '../../../stack/autoconf/addresses.ts';
import { AutoconfEvent } from '../../../stack/autoconf/autoconf-events.ts';
import { Bench, ip, prefixOption, ra, rdnssOption, S, sourceMac } from '../kit-nd.ts';

const ROUTER = 'fe80::2';
const OPTIONS = prefixOption('2001:db8::') + rdnssOption(600, '2001:db8::53') + sourceMac('020000000002');

/** From nothing to a global address: link-local, solicitation, advertisement, address. */
function configured(): Bench {
  const bench = new Bench();
  bench.autoconf.start(2);
  bench.run(4 * S);
  bench.icmp(ROUTER, 'ff02::1', ra({ options: OPTIONS }));
  bench.run(4 * S);
  return bench;
}

describe('an interface that configures itself, RFC 4862 §5', () => {
  test('gets a link-local address, asks for routers from it, and forms a global one', () => {
    const bench = new Bench();
    bench.autoconf.start(2);
    const sent = bench.run(4 * S).map((one) => one.text);
    const [linkLocal] = bench.listAddresses();
    expect(linkLocal!.text.startsWith('fe80::')).toBe(true);
    expect(linkLocal!.state).toBe(AddressState.Preferred);
    expect(sent).toContain(`rs ${linkLocal!.text} > ff02::2 hop 255 to 33:33:00:00:00:02`);
    bench.icmp(ROUTER, 'ff02::1', ra({ options: OPTIONS }));
    bench.run(4 * S);
    expect(bench.listAddresses().map((one) => [one.origin, one.state])).toEqual([
      [AddressOrigin.LinkLocal, AddressState.Preferred],
      [AddressOrigin.Slaac, AddressState.Preferred],
    ]);
  });

  test('tells all of it as events, in order', () => {
    const { AddressUp, RaFlags, RouterChange, DnsServers } = AutoconfEvent;
    expect(
      configured()
        .events()
        .map((e) => e.kind),
    ).toEqual([AddressUp, RaFlags, RouterChange, DnsServers, AddressUp]);
  });

  test('stops: what was configured goes, what was added stays', () => {
    const bench = configured();
    bench.own('2001:db8:9::9');
    bench.own('10.0.0.1', 24);
    bench.autoconf.stop(2);
    expect(bench.listAddresses().map((one) => one.text)).toEqual(['2001:db8:9::9', '10.0.0.1']);
    expect(bench.autoconf.routers.all()).toEqual([]);
    expect(bench.autoconf.dns.listServers()).toEqual([]);
    bench.icmp(ROUTER, 'ff02::1', ra({ options: OPTIONS }));
    expect(bench.autoconf.routers.all()).toEqual([]);
  });

  test('started again asks for routers anew, and keeps its address, RFC 4861 §6.3.7', () => {
    const bench = configured();
    const before = bench.listAddresses();
    expect(bench.autoconf.start(2)).toBe(0);
    expect(bench.run(S).map((one) => one.text.slice(0, 3))).toEqual(['rs ']);
    expect(bench.listAddresses()).toEqual(before);
  });

  test('an interface that was not started does not listen to routers', () => {
    const bench = new Bench();
    bench.own('fe80::1');
    bench.icmp(ROUTER, 'ff02::1', ra({ options: OPTIONS }));
    expect([bench.routes.lookup(ip('2001:db8:7::7'), 0), bench.listAddresses().length]).toEqual([-1, 1]);
  });
});

describe('addresses', () => {
  test('on loopback are preferred at once', () => {
    const bench = new Bench();
    const a = bench.autoconf.addAddress(1, ip('10.9.9.9'), 32, AddressOrigin.Static, Infinity, Infinity);
    expect(bench.addresses.stateOf(a)).toBe(AddressState.Preferred);
    bench.autoconf.removeAddress(a);
    expect(bench.addresses.isAddress(a)).toBe(false);
  });

  test('twice, of no interface, or in too great a number are refused', () => {
    const bench = new Bench();
    const add = (text: string, iface = 2): number =>
      bench.autoconf.addAddress(iface, ip(text), 64, AddressOrigin.Static, Infinity, Infinity);
    expect(add('2001:db8::1')).toBeGreaterThan(0);
    expect(add('2001:db8::1')).toBeLessThan(0);
    expect(add('2001:db8::2', 9)).toBeLessThan(0);
    let last = 0;
    for (let i = 2; i < 100 && last >= 0; i++) last = add(`2001:db8::${i}`);
    expect(last).toBeLessThan(0);
  });

  test('added with a lifetime live as long, DHCP ones too', () => {
    const bench = new Bench();
    bench.autoconf.addAddress(2, ip('10.0.0.5'), 24, AddressOrigin.Dhcp4, 60 * S, 90 * S);
    bench.run(60 * S);
    expect(bench.addressState('10.0.0.5')).toBe(AddressState.Deprecated);
    bench.run(30 * S);
    expect(bench.addressState('10.0.0.5')).toBe(0);
    expect(bench.events().map((e) => e.kind)).toEqual([AutoconfEvent.AddressUp, AutoconfEvent.AddressGone]);
  });

  test('removed while tentative are forgotten: nothing more is sent for them', () => {
    const bench = new Bench();
    const a4 = bench.autoconf.addAddress(2, ip('10.0.0.5'), 24, AddressOrigin.Static, Infinity, Infinity);
    const a6 = bench.autoconf.addAddress(2, ip('fe80::5'), 64, AddressOrigin.Static, Infinity, Infinity);
    bench.autoconf.removeAddress(a4);
    bench.autoconf.removeAddress(a6);
    const sent = bench.run(60 * S).map((one) => one.text);
    expect(sent.filter((one) => one.startsWith('arp'))).toEqual([]);
    expect(sent.filter((one) => one.startsWith('ns')).length).toBe(1); // the probe that was sent at once
    expect(bench.autoconf.multicast.isMember(2, ip('ff02::1:ff00:5'), ip('::'))).toBe(false);
  });

  test('events that nobody takes are bounded', () => {
    const bench = new Bench();
    for (let i = 0; i < 3000; i++) {
      bench.autoconf.removeAddress(
        bench.autoconf.addAddress(1, ip('10.9.9.9'), 32, AddressOrigin.Static, Infinity, Infinity),
      );
    }
    expect(bench.events().length).toBe(1024);
  });
});

describe('snapshots', () => {
  test('a configured host goes on alike for a day, to the byte and the µs', () => {
    const bench = configured();
    bench.send('fe80::1', ROUTER);
    bench.sent();
    const twin = bench.twin();
    expect(twin.run(86400 * S)).toEqual(bench.run(86400 * S));
    expect(twin.save()).toEqual(bench.save());
    expect(twin.events()).toEqual(bench.events());
  });

  test('damaged ones are refused, or read and lived with', { timeout: 30_000 }, () => {
    const bench = configured();
    bench.autoconf.addAddress(2, ip('10.0.0.5'), 24, AddressOrigin.Static, Infinity, Infinity);
    bench.autoconf.addAddress(2, ip('fe80::5'), 64, AddressOrigin.Static, Infinity, Infinity);
    bench.send('fe80::1', 'fe80::77');
    const good = bench.save();
    const start = Buffer.from(good).indexOf('stack/neighbors');
    let refused = 0;
    for (let i = 0; i < 800; i++) {
      const bad = Uint8Array.from(good);
      bad[start + ((i * 7919 + 13) % (bad.length - start))]! ^= 1 << (i % 8);
      sealSnapshot(bad); // as if somebody had written it so
      const twin = new Bench();
      try {
        twin.load(bad, bench.nowUs);
      } catch (error) {
        expect(error).toBeInstanceOf(StateError);
        refused++;
        continue;
      }
      twin.run(5 * S);
      expect(twin.nowUs).toBe(bench.nowUs + 5 * S);
    }
    expect(refused).toBeGreaterThan(50);
    expect(refused).toBeLessThan(800);
  });
});
