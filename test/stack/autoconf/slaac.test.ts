import { describe, expect, test } from 'vitest';
import { samePrefix } from '../../../stack/address.ts';
import { AddressOrigin, AddressState } from '../../../stack/autoconf/addresses.ts';
import { isReserved, writeEui64, writeStable } from '../../../stack/autoconf/interface-id.ts';
import { bytesOf } from '../../kit/hex.ts';
import { Bench, ip, na, PEER_MAC, prefixOption, ra, S, targetMac } from '../kit-nd.ts';

const ROUTER = 'fe80::2';
const PREFIX = '2001:db8::';
const DAY = 86400;
const OPTIONS = { linkLocal: 'none', slaac: true, temporary: false, routerSolicitations: true } as const;

function host({ temporary = false, seed = 1 } = {}): Bench {
  const bench = new Bench({ seed });
  bench.autoconf.start(2, { ...OPTIONS, temporary });
  return bench;
}

const advertise = (bench: Bench, o: Parameters<typeof prefixOption>[1] = {}, prefix = PREFIX): number =>
  bench.icmp(ROUTER, 'ff02::1', ra({ options: prefixOption(prefix, { flags: 0x40, ...o }) }));

const formed = (bench: Bench, origin: AddressOrigin = AddressOrigin.Slaac) =>
  bench.listAddresses().filter((one) => one.origin === origin);

/** Seconds that are left of the only address: preferred, valid. */
function left(bench: Bench): [number, number] {
  const [one] = formed(bench);
  const of = (us: number): number => (us - bench.nowUs) / S;
  return [of(bench.addresses.preferredUntilUs(one!.a)), of(bench.addresses.validUntilUs(one!.a))];
}

describe('address formation, RFC 4862 §5.5.3', () => {
  test('an autonomous prefix of 64 bits makes a tentative address with its lifetimes, (d)', () => {
    const bench = host();
    advertise(bench, { valid: 1000, preferred: 600 });
    expect(formed(bench).map((one) => one.state)).toEqual([AddressState.Tentative]);
    expect(samePrefix(ip(formed(bench)[0]!.text), ip(PREFIX), 64)).toBe(true);
    expect(left(bench)).toEqual([600, 1000]);
    bench.run(2 * S);
    expect(formed(bench).map((one) => one.state)).toEqual([AddressState.Preferred]);
  });

  test.each([
    ['without the A flag, (a)', { flags: 0x80 }, PREFIX],
    ['link-local, (b)', {}, 'fe80::'],
    ['preferred for longer than valid, (c)', { valid: 100, preferred: 101 }, PREFIX],
    ['valid for 0 s, (d)', { valid: 0, preferred: 0 }, PREFIX],
    ['of 63 bits, (d)', { bits: 63 }, PREFIX],
    ['of 65 bits, (d)', { bits: 65 }, PREFIX],
    ['multicast', {}, 'ff02::'],
  ])('a prefix %s makes none', (_what, options, prefix) => {
    const bench = host();
    advertise(bench, options, prefix);
    expect(formed(bench)).toEqual([]);
  });

  test('the same prefix twice makes one address', () => {
    const bench = host();
    for (let i = 0; i < 5; i++) advertise(bench);
    expect(formed(bench).length).toBe(1);
  });

  test('a flood of prefixes makes no more addresses than there is room for', () => {
    const bench = host();
    for (let i = 1; i < 500; i++) advertise(bench, {}, `2001:db8:${i.toString(16)}::`);
    expect(bench.listAddresses().length).toBeLessThanOrEqual(66);
  });
});

// §5.5.3 (e): remaining, received, what is then left; in seconds.
test.each([
  [10_000, 8_000, 8_000], // above two hours
  [10_000, 7_201, 7_201],
  [10_000, 100, 7_200], // not below two hours
  [10_000, 7_200, 7_200],
  [3_000, 5_000, 5_000], // above what is left
  [3_000, 100, 3_000], // ignored
  [3_000, 0, 3_000],
  [7_200, 0, 7_200],
])('with %i s left, a valid lifetime of %i s leaves %i s, RFC 4862 §5.5.3 (e)', (remaining, received, then) => {
  const bench = host();
  advertise(bench, { valid: remaining, preferred: remaining });
  advertise(bench, { valid: received, preferred: 0 });
  expect(left(bench)).toEqual([0, then]);
});

describe('lifetimes, RFC 4862 §5.5.4', () => {
  test('preferred, then deprecated, then gone, each at its µs', () => {
    const bench = host();
    advertise(bench, { valid: 200, preferred: 100 });
    const address = formed(bench)[0]!.text;
    bench.run(100 * S - 1);
    expect(bench.addressState(address)).toBe(AddressState.Preferred);
    bench.run(1);
    expect(bench.addressState(address)).toBe(AddressState.Deprecated);
    bench.run(100 * S - 1);
    expect(bench.addressState(address)).toBe(AddressState.Deprecated);
    bench.run(1);
    expect(bench.addressState(address)).toBe(0);
  });

  test('a new preferred lifetime makes a deprecated address preferred again', () => {
    const bench = host();
    advertise(bench, { valid: 9000, preferred: 100 });
    bench.run(150 * S);
    advertise(bench, { valid: 9000, preferred: 100 });
    expect(formed(bench)[0]!.state).toBe(AddressState.Preferred);
  });

  test('all ones is for ever', () => {
    const bench = host();
    advertise(bench, { valid: 0xffffffff, preferred: 0xffffffff });
    bench.run(1e9 * S);
    expect(formed(bench)[0]!.state).toBe(AddressState.Preferred);
  });
});

describe('stable identifiers, RFC 7217', () => {
  const idOf = (bench: Bench, prefix = PREFIX): string => {
    advertise(bench, {}, prefix);
    return formed(bench).at(-1)!.text.split(':').slice(-4).join(':');
  };

  test('are the same for the same prefix and secret, §5', () => {
    expect(idOf(host())).toBe(idOf(host()));
  });

  test('differ by prefix and by secret, and are not the hardware address, §4', () => {
    expect(idOf(host(), '2001:db8:1::')).not.toBe(idOf(host(), '2001:db8:2::'));
    expect(idOf(host({ seed: 2 }))).not.toBe(idOf(host({ seed: 1 })));
    expect(idOf(host())).not.toContain('ff:fe');
  });

  test('a duplicate gets the next counter, three times at most, §6', () => {
    const bench = host();
    advertise(bench);
    for (let i = 0; i < 8; i++) {
      bench.run(S / 4);
      for (const one of formed(bench)) {
        if (one.state === AddressState.Tentative)
          bench.icmp(one.text, 'ff02::1', na(one.text, 0x20, targetMac(PEER_MAC)));
      }
      advertise(bench);
    }
    expect(formed(bench).map((one) => one.state)).toEqual([4, 4, 4, 4]);
  });

  test.each([
    ['0', 0, 0, true],
    ['the first of the IANA range', 0x02005eff, 0xfe000000, true],
    ['the last of it', 0x02005eff, 0xfe005212, true],
    ['one behind it', 0x02005eff, 0xfe005213, false],
    ['reserved anycast', 0xfdffffff, 0xffffff80, true],
    ['one before it', 0xfdffffff, 0xffffff7f, false],
  ])('RFC 5453: %s', (_what, high, low, expected) => {
    expect(isReserved(high | 0, low | 0)).toBe(expected);
  });

  test('writeStable keeps the prefix and tells the counter', () => {
    const address = Int32Array.from(ip(PREFIX));
    expect(writeStable(Int32Array.of(1, 2, 3, 4), address, 2, 5)).toBe(5);
    expect(samePrefix(address, ip(PREFIX), 64)).toBe(true);
  });

  test('of the hardware address where that is wanted, RFC 4291 appendix A', () => {
    const address = Int32Array.from(ip(PREFIX));
    writeEui64(bytesOf('34567890abcd'), address);
    expect([...address]).toEqual([...ip('2001:db8::3656:78ff:fe90:abcd')]);
  });
});

describe('temporary addresses, RFC 8981', () => {
  const temporary = (bench: Bench) => formed(bench, AddressOrigin.Temporary);

  function withTemporary(seed = 1): Bench {
    const bench = host({ temporary: true, seed });
    advertise(bench, { valid: 30 * DAY, preferred: 7 * DAY });
    bench.run(3 * S);
    return bench;
  }

  test('one beside the stable one, §3.3, for two days at most, preferred for one day at most, §3.8', () => {
    const bench = withTemporary();
    expect([formed(bench).length, temporary(bench).length]).toEqual([1, 1]);
    const { a } = temporary(bench)[0]!;
    expect(bench.addresses.validUntilUs(a)).toBe(2 * DAY * S);
    expect(bench.addresses.preferredUntilUs(a)).toBeLessThanOrEqual(DAY * S);
    expect(bench.addresses.preferredUntilUs(a)).toBeGreaterThanOrEqual(0.6 * DAY * S);
  });

  test('lifetimes are never longer than what is advertised, §3.4', () => {
    const bench = host({ temporary: true });
    advertise(bench, { valid: 2000, preferred: 1000 });
    const { a } = temporary(bench)[0]!;
    expect([bench.addresses.preferredUntilUs(a), bench.addresses.validUntilUs(a)]).toEqual([1000 * S, 2000 * S]);
  });

  test('a renewed prefix does not make one live longer, §3.4 (2)', () => {
    const bench = withTemporary();
    const { a } = temporary(bench)[0]!;
    const before = [bench.addresses.preferredUntilUs(a), bench.addresses.validUntilUs(a)];
    bench.run(3600 * S);
    advertise(bench, { valid: 30 * DAY, preferred: 7 * DAY });
    expect([bench.addresses.preferredUntilUs(a), bench.addresses.validUntilUs(a)]).toEqual(before);
  });

  test('the next one is made before the old one is deprecated, §3.6', () => {
    const bench = withTemporary();
    const old = temporary(bench)[0]!;
    const untilUs = bench.addresses.preferredUntilUs(old.a);
    bench.run(untilUs - bench.nowUs - 1);
    const both = temporary(bench);
    expect(both.map((one) => one.state)).toEqual([AddressState.Preferred, AddressState.Preferred]);
    expect(both[1]!.text).not.toBe(old.text);
    bench.run(1);
    expect(bench.addressState(old.text)).toBe(AddressState.Deprecated);
  });

  test('over a month there are never more than a few, and always one that is preferred', () => {
    const bench = withTemporary();
    for (let hours = 0; hours < 24 * 30; hours++) {
      bench.run(3600 * S);
      advertise(bench, { valid: 30 * DAY, preferred: 7 * DAY });
      const all = temporary(bench);
      expect(all.length).toBeLessThanOrEqual(5);
      expect(all.some((one) => one.state === AddressState.Preferred)).toBe(true);
    }
  });

  test('none is made that would be replaced at once, §3.4 (5)', () => {
    const bench = host({ temporary: true });
    advertise(bench, { valid: 100, preferred: 5 });
    expect(temporary(bench)).toEqual([]);
  });

  test('identifiers are random: they differ by host and by prefix, §3.3.1', () => {
    const seen = new Set<string>();
    for (let seed = 1; seed <= 10; seed++) seen.add(temporary(withTemporary(seed))[0]!.text);
    expect(seen.size).toBe(10);
  });

  test('a duplicate is tried anew, §3.4 (7)', () => {
    const bench = host({ temporary: true });
    advertise(bench);
    const first = temporary(bench)[0]!.text;
    bench.icmp(first, 'ff02::1', na(first, 0x20, targetMac(PEER_MAC)));
    expect(temporary(bench).map((one) => one.state)).toEqual([AddressState.Duplicate, AddressState.Tentative]);
  });

  test('after four duplicates none is tried any more on the interface, §3.4 (7)', () => {
    const bench = host({ temporary: true });
    for (let i = 0; i < 12; i++) {
      advertise(bench);
      for (const one of temporary(bench)) {
        if (one.state === AddressState.Tentative)
          bench.icmp(one.text, 'ff02::1', na(one.text, 0x20, targetMac(PEER_MAC)));
      }
    }
    expect(temporary(bench).map((one) => one.state)).toEqual([4, 4, 4, 4]);
    expect(bench.twin().save()).toEqual(bench.save());
  });

  test('a restored host goes on alike over days, to the byte and the µs', () => {
    const bench = withTemporary();
    const twin = bench.twin();
    expect(twin.run(3 * DAY * S)).toEqual(bench.run(3 * DAY * S));
    expect(twin.save()).toEqual(bench.save());
  });
});
