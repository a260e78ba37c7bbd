import { expect, test } from 'vitest';
import { format } from '../../../stack/address.ts';
import { AddressOrigin, AddressState } from '../../../stack/autoconf/addresses.ts';
import { policyOf, scopeOf, selectSource, sortTargets } from '../../../stack/net/source-address.ts';
import { BaseKit, ip } from '../kit-net.ts';

test.each([
  ['::1', 2],
  ['fe80::1', 2],
  ['fec0::1', 5],
  ['fd00::1', 14],
  ['2001:db8::1', 14],
  ['ff05::1', 5],
  ['169.254.1.1', 2],
  ['127.0.0.1', 2],
  ['10.0.0.1', 14],
])('RFC 6724 §3.1, §3.2: the scope of %s is %i', (text, scope) => {
  expect(scopeOf(ip(text))).toBe(scope);
});

test.each([
  ['::1', 50, 0],
  ['2001:db8::1', 40, 1],
  ['192.0.2.1', 35, 4],
  ['2002::1', 30, 2],
  ['2001::1', 5, 5],
  ['fd00::1', 3, 13],
  ['::1.2.3.4', 1, 3],
  ['fec0::1', 1, 11],
  ['3ffe::1', 1, 12],
])('RFC 6724 §2.1: %s has precedence %i and label %i', (text, precedence, label) => {
  expect(policyOf(ip(text))).toMatchObject({ precedence, label });
});

/** Flags: d deprecated, t temporary, o of another interface. */
function choose(target: string, ...candidates: string[]): string {
  const kit = new BaseKit();
  for (const text of candidates) {
    const [address, bits, flags = ''] = text.split('/');
    const state = flags.includes('d') ? AddressState.Deprecated : AddressState.Preferred;
    const origin = flags.includes('t') ? AddressOrigin.Temporary : AddressOrigin.Slaac;
    kit.addresses.add(flags.includes('o') ? 3 : 2, ip(address!), Number(bits), state, origin, 0, 0);
  }
  const a = selectSource(kit.addresses, ip(target), 2);
  return a < 0 ? 'none' : format(kit.addresses.addressOf(a));
}

// The examples of RFC 6724 §10.1 among them.
test.each([
  ['rule 1', '2001:db8:1::1', ['2001:db8:2::2/64', '2001:db8:1::1/64'], '2001:db8:1::1'],
  ['rule 2', '2001:db8:1::1', ['fe80::1/64', '2001:db8:3::1/64'], '2001:db8:3::1'],
  ['rule 2', 'ff05::1', ['fe80::1/64', '2001:db8:3::1/64'], '2001:db8:3::1'],
  ['rule 2', 'fe80::9', ['2001:db8:3::1/64', 'fe80::1/64'], 'fe80::1'],
  ['rule 3', '2001:db8:1::1', ['2001:db8:1::2/64/d', '2001:db8:3::2/64'], '2001:db8:3::2'],
  ['§4', '2001:db8:1::1', ['2001:db8:1::2/64/o', '2001:db8:3::2/64'], '2001:db8:3::2'],
  ['§4 else', '2001:db8:1::1', ['2001:db8:1::2/64/o', 'fe80::2/64/o'], '2001:db8:1::2'],
  ['§4 link-local', 'fe80::9', ['2001:db8:1::2/64/o', 'fe80::2/64/o'], 'none'],
  ['rule 6', '2002:c633:6401::1', ['2001:db8:1::2/64', '2002:c633:6401::d5e3/64'], '2002:c633:6401::d5e3'],
  ['rule 6', 'fd11::1', ['2001:db8:1::2/64', 'fd22::2/64'], 'fd22::2'],
  ['rule 7', '2001:db8:1::d5e3', ['2001:db8:1::2/64', '2001:db8:1::f00d/64/t'], '2001:db8:1::f00d'],
  ['rule 8', '2001:db8:1::1', ['2001:db8:3::2/64', '2001:db8:1::2/64'], '2001:db8:1::2'],
  ['rule 8', '10.1.0.9', ['10.2.0.1/16', '10.1.0.1/16'], '10.1.0.1'],
  ['family', '10.1.0.9', ['2001:db8:3::2/64'], 'none'],
])('RFC 6724 §5 %s: for %s of %j it is %s', (_, target, candidates, chosen) => {
  expect(choose(target, ...candidates)).toBe(chosen);
});

const candidate = (text: string) => {
  const [target, source, flag] = text.split(' ');
  return { target: ip(target!), source: source === '-' ? undefined : ip(source!), isDeprecated: flag === 'd' };
};

// The examples of RFC 6724 §10.2 among them.
test.each([
  ['rule 1', ['2001:db8:1::1 -', '198.51.100.121 198.51.100.117'], '198.51.100.121'],
  ['rule 2', ['2001:db8:1::1 fe80::1', '198.51.100.121 198.51.100.117'], '198.51.100.121'],
  ['rule 2', ['10.1.2.3 169.254.13.78', '2001:db8:1::1 2001:db8:1::2'], '2001:db8:1::1'],
  ['rule 3', ['2001:db8:1::1 2001:db8:1::2 d', '2001:db8:2::1 2001:db8:2::2'], '2001:db8:2::1'],
  ['rule 5', ['2001:db8:1::1 2002:c633:6401::2', '2002:c633:6401::1 2002:c633:6401::2'], '2002:c633:6401::1'],
  ['rule 6', ['10.1.2.3 10.1.2.4', '2001:db8:1::1 2001:db8:1::2'], '2001:db8:1::1'],
  ['rule 6', ['2002:c633:6401::1 2002:c633:6401::2', '2001:db8:1::1 2001:db8:1::2'], '2001:db8:1::1'],
  ['rule 8', ['2001:db8:1::1 2001:db8:1::2', 'fe80::1 fe80::2'], 'fe80::1'],
  ['rule 9', ['2001:db8:3ffe::1 2001:db8:1::2', '2001:db8:1::1 2001:db8:1::2'], '2001:db8:1::1'],
  ['rule 10', ['10.9.0.1 10.0.0.1', '10.0.0.2 10.0.0.1'], '10.9.0.1'],
])('RFC 6724 §6 %s: the first of %j is %s', (_, candidates, first) => {
  const sorted = sortTargets(candidates.map(candidate));
  expect(format(sorted[0]!.target)).toBe(first);
  expect(sorted.length).toBe(candidates.length);
});
