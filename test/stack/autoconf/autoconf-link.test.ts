import { describe, expect, test } from 'vitest';
import { format } from '../../../stack/address.ts';
import { AddressOrigin, AddressState } from '../../../stack/autoconf/addresses.ts';
import { ADVERTISEMENT } from '../../../stack/autoconf/advertisement.ts';
import { Bench, ip, OTHER_MAC, OWN_MAC, S } from '../kit-nd.ts';

/** Two hosts on one cable without delay: all timers of both, in order, up to `us` from now. */
function together(hosts: Bench[], us: number): string[] {
  const until = hosts[0]!.nowUs + us;
  const log: string[] = [];
  for (let steps = 0; steps < 10_000; steps++) {
    exchange(hosts, log);
    const due = Math.min(...hosts.map((one) => one.autoconf.deadlineUs()));
    if (due > until) break;
    for (const one of hosts) {
      one.shared.nowUs = Math.max(one.nowUs, due);
      one.autoconf.expire();
    }
  }
  for (const one of hosts) one.shared.nowUs = until;
  return log;
}

function exchange(hosts: Bench[], log: string[]): void {
  for (let more = true; more; ) {
    more = false;
    const sent = hosts.map((one) => one.sent());
    for (const [from, frames] of sent.entries()) {
      for (const frame of frames) {
        more = true;
        log.push(frame.text);
        for (const [to, host] of hosts.entries()) if (to !== from) host.take(frame.bytes);
      }
    }
  }
}

const pair = (): [Bench, Bench] => [new Bench({ seed: 1, mac: OWN_MAC }), new Bench({ seed: 2, mac: OTHER_MAC })];

describe('two hosts on a link', () => {
  test('that test the same address at the same time both give it up, RFC 4862 §5.4.3', () => {
    const hosts = pair();
    for (const one of hosts) one.autoconf.addAddress(2, ip('fe80::5'), 64, AddressOrigin.Static, Infinity, Infinity);
    together(hosts, 5 * S);
    expect(hosts.map((one) => one.addressState('fe80::5'))).toEqual([AddressState.Duplicate, AddressState.Duplicate]);
  });

  test('of which one has the address already: the other gives it up, RFC 4862 §5.4.4', () => {
    const [a, b] = pair();
    a.autoconf.addAddress(2, ip('fe80::5'), 64, AddressOrigin.Static, Infinity, Infinity);
    together([a, b], 5 * S);
    b.autoconf.addAddress(2, ip('fe80::5'), 64, AddressOrigin.Static, Infinity, Infinity);
    together([a, b], 5 * S);
    expect([a, b].map((one) => one.addressState('fe80::5'))).toEqual([AddressState.Preferred, AddressState.Duplicate]);
  });

  test('that probe the same IPv4 address: at most one keeps it, RFC 5227 §2.1.1', () => {
    const hosts = pair();
    for (const one of hosts) one.autoconf.addAddress(2, ip('10.0.0.5'), 24, AddressOrigin.Static, Infinity, Infinity);
    together(hosts, 20 * S);
    const kept = hosts.filter((one) => one.addressState('10.0.0.5') === AddressState.Preferred);
    expect(kept.length).toBeLessThanOrEqual(1);
    expect(hosts.some((one) => one.addressState('10.0.0.5') === AddressState.Duplicate)).toBe(true);
  });

  test('one a router: the other configures itself from it, RFC 4861 §6, RFC 4862 §5', () => {
    const [router, host] = pair();
    const prefix = {
      address: ip('2001:db8:5::'),
      bits: 64,
      isOnLink: true,
      isAutonomous: true,
      validSeconds: 7200,
      preferredSeconds: 3600,
    };
    router.autoconf.start(2);
    expect(router.autoconf.advertise(2, { ...ADVERTISEMENT, prefixes: [prefix] })).toBeUndefined();
    host.autoconf.start(2);
    const log = together([router, host], 30 * S);
    expect(log.some((one) => one.startsWith('ra 1800s'))).toBe(true);
    const formed = host.listAddresses().filter((one) => one.origin === AddressOrigin.Slaac);
    expect(formed.map((one) => one.state)).toEqual([AddressState.Preferred]);
    const gateway = format(host.routes.gatewayOf(host.routes.lookup(ip('2001:db8:9::9'), 0)));
    expect(gateway).toBe(router.listAddresses()[0]!.text);
    router.autoconf.ceaseAdvertising(2);
    together([router, host], 10 * S);
    expect(host.autoconf.routers.all()).toEqual([]);
  });

  test.each([
    ['fe80::1', 'fe80::2', 64],
    ['10.0.0.1', '10.0.0.2', 24],
  ])('find each other and stay REACHABLE while they talk, %s and %s, RFC 4861 §7.3', (own, peer, bits) => {
    const [a, b] = pair();
    a.own(own, bits);
    b.own(peer, bits);
    const joined = b.autoconf.multicast.join(2, ip(peer.includes(':') ? 'ff02::1:ff00:2' : '239.0.0.1'));
    expect(joined).toBe(0);
    let delivered = 0;
    for (let i = 0; i < 200; i++) {
      a.send(own, peer);
      delivered += together([a, b], S).filter((one) => one.startsWith('ip')).length;
    }
    expect(delivered).toBe(200);
    expect(['REACHABLE', 'STALE', 'DELAY', 'PROBE']).toContain(a.state(peer));
    expect(a.shared.drops.total()).toBe(0);
  });
});
