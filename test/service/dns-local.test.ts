import { expect, test } from 'vitest';
import { HOSTS_MAX, hostsOf } from '../../service/dns-hosts.ts';
import { formatAddress } from '../../stack/stack.ts';
import * as dns from '../../wire/dns.ts';
import { targetOf } from '../../wire/dns-data.ts';
import { reverseName } from '../../wire/dns-name.ts';
import { a, answerTo, dataOf, ip, Lab } from './kit-dns.ts';

const { Type, Rcode, Flag } = dns;

/** What a name has of a type, or the code; `SOA of` where there is nothing. */
function look(lab: Lab, name: string, type: number): string {
  const got = lab.ask(name, type);
  const code = dns.rcode(got);
  const what =
    got.answers.length > 0 ? got.answers.map((one) => targetOf(one) ?? dataOf({ ...got, answers: [one] })[0]) : [];
  const zone = got.authorities[0];
  return [code === 0 ? '' : code === 3 ? 'none' : `${code}`, ...what, ...(zone ? [`SOA ${zone.name || '.'}`] : [])]
    .filter((one) => one !== '')
    .join(' ');
}

const LAB = {
  names: [
    { name: 'db', address: ip('10.0.0.9') },
    { name: 'db', address: ip('fd00::9') },
    { name: 'api.example.com', address: ip('10.0.0.8') },
    { name: 'a.b.c.weft.internal', address: ip('10.0.0.7') },
  ],
  hosts: '# hosts\n127.0.0.1 localhost\n10.0.0.30 printer laser # upstairs\nnonsense\n10.0.0.31\n',
};

test.each([
  // names of the configuration, with the domain and without
  ['db.weft.internal', Type.A, '10.0.0.9'],
  ['DB.Weft.Internal', Type.AAAA, 'fd00:0:0:0:0:0:0:9'],
  ['db', Type.A, '10.0.0.9'],
  ['db.weft.internal', Type.MX, 'SOA weft.internal'],
  ['db.weft.internal', Type.ANY, '10.0.0.9 fd00:0:0:0:0:0:0:9'],
  ['api.example.com', Type.A, '10.0.0.8'],
  ['api.example.com', Type.AAAA, 'SOA api.example.com'],
  ['laser.weft.internal', Type.A, '10.0.0.30'],
  ['gateway.weft.internal', Type.A, '10.0.0.2'],
  ['gateway.weft.internal', Type.AAAA, 'fd00:0:0:0:0:0:0:2'],
  ['host.weft.internal', Type.A, '10.0.0.2'],
  // the domain: nothing else is in it, and it is ours
  ['other.weft.internal', Type.A, 'none SOA weft.internal'],
  ['x.db.weft.internal', Type.A, 'none SOA weft.internal'],
  ['weft.internal', Type.A, 'SOA weft.internal'],
  ['weft.internal', Type.SOA, 'weft.internal'],
  ['c.weft.internal', Type.A, 'SOA weft.internal'], // RFC 8020: there is a name below
  ['b.c.weft.internal', Type.A, 'SOA weft.internal'],
  ['z.c.weft.internal', Type.A, 'none SOA weft.internal'],
  // addresses
  ['9.0.0.10.in-addr.arpa', Type.PTR, 'db.weft.internal'],
  ['2.0.0.10.in-addr.arpa', Type.PTR, 'gateway.weft.internal'],
  [reverseName(Uint8Array.from([0xfd, ...Array(14).fill(0), 9])), Type.PTR, 'db.weft.internal'],
  ['77.0.0.10.in-addr.arpa', Type.PTR, 'none SOA 0.0.10.in-addr.arpa'],
  ['9.0.0.10.in-addr.arpa', Type.A, 'SOA 9.0.0.10.in-addr.arpa'],
  // RFC 6761, RFC 6762, RFC 7686, RFC 9462
  ['localhost', Type.A, '127.0.0.1'],
  ['localhost', Type.AAAA, '0:0:0:0:0:0:0:1'],
  ['any.thing.LOCALHOST', Type.A, '127.0.0.1'],
  ['localhost', Type.MX, 'SOA localhost'],
  ['1.0.0.127.in-addr.arpa', Type.PTR, 'localhost'],
  [reverseName(Uint8Array.from([...Array(15).fill(0), 1])), Type.PTR, 'localhost'],
  ['a.invalid', Type.A, 'none SOA invalid'],
  ['printer.local', Type.A, 'none SOA local'],
  ['abc.onion', Type.A, 'none SOA onion'],
  ['7.1.254.169.in-addr.arpa', Type.PTR, 'none SOA 254.169.in-addr.arpa'],
  [reverseName(Uint8Array.from([0xfe, 0x80, ...Array(13).fill(0), 1])), Type.PTR, 'none SOA 8.e.f.ip6.arpa'],
  ['_dns.resolver.arpa', 64, 'SOA resolver.arpa'],
])('%s, type %i: %s', (name, type, expected) => {
  const lab = new Lab(LAB);
  expect(look(lab, name, type)).toBe(expected);
  expect(lab.upstream.asked).toEqual([]);
  expect(lab.server.counters.local).toBe(1);
});

test.each([
  ['notweft.internal', Type.A],
  ['xlocalhost', Type.A],
  ['local.example', Type.A],
  ['8.8.8.8.in-addr.arpa', Type.PTR],
  ['9.0.1.10.in-addr.arpa', Type.PTR], // not our network
  ['0.0.10.in-addr.arpa', Type.NS],
  ['300.0.0.10.in-addr.arpa', Type.PTR],
  ['x.0.0.10.in-addr.arpa', Type.PTR],
  ['', Type.NS],
  ['com', Type.NS],
])('%s, type %i, is forwarded', (name, type) => {
  const lab = new Lab(LAB);
  lab.upstream.respond = ({ message }) => answerTo(message, { code: Rcode.NxDomain });
  expect(dns.rcode(lab.ask(name, type))).toBe(Rcode.NxDomain);
  expect(lab.upstream.asked.length).toBe(1);
});

test('local answers say whose they are, live shortly, and are EDNS to who asks so', () => {
  const lab = new Lab(LAB);
  const got = lab.ask('db.weft.internal', Type.A, { edns: 4096, ednsFlags: 0x8000 });
  expect(got.flags & Flag.Authoritative).toBe(Flag.Authoritative);
  expect(got.answers[0]!.ttl).toBe(10);
  expect(got.additionals[0]).toMatchObject({ type: Type.OPT, class: 1232, ttl: 0x8000 });
});

test('guests come, are called otherwise, and go', () => {
  const lab = new Lab(LAB);
  const { server } = lab;
  expect(server.set('web', ip('10.0.0.15'))).toBe(true);
  server.set('web', ip('fd00::15'));
  expect(look(lab, 'web.weft.internal', Type.A)).toBe('10.0.0.15');
  expect(look(lab, 'web', Type.AAAA)).toBe('fd00:0:0:0:0:0:0:15');
  expect(look(lab, '15.0.0.10.in-addr.arpa', Type.PTR)).toBe('web.weft.internal');
  server.set('www.weft.internal', ip('10.0.0.15'));
  expect(look(lab, 'web.weft.internal', Type.A)).toBe('SOA weft.internal'); // its IPv6 address is left
  expect(look(lab, 'www.weft.internal', Type.A)).toBe('10.0.0.15');
  expect(look(lab, '15.0.0.10.in-addr.arpa', Type.PTR)).toBe('www.weft.internal');
  server.remove(ip('10.0.0.15'));
  server.remove(ip('fd00::15'));
  server.remove(ip('10.0.0.99'));
  for (const name of ['web.weft.internal', 'www.weft.internal', '15.0.0.10.in-addr.arpa'])
    expect(look(lab, name, Type.A)).toMatch(/^none/);
});

test('guests of one name each have it, and one that goes takes only its own', () => {
  const lab = new Lab(LAB);
  lab.server.set('twin', ip('10.0.0.20'));
  lab.server.set('twin', ip('10.0.0.21'));
  expect(look(lab, 'twin.weft.internal', Type.A)).toBe('10.0.0.20 10.0.0.21');
  lab.server.remove(ip('10.0.0.20'));
  expect(look(lab, 'twin.weft.internal', Type.A)).toBe('10.0.0.21');
  lab.server.set('twin', ip('10.0.0.21')); // again
  expect(look(lab, 'twin.weft.internal', Type.A)).toBe('10.0.0.21');
});

test.each([
  'gateway',
  'HOST',
  'db',
  'printer',
  'localhost',
  'a.b',
  '',
  '-x',
  'x'.repeat(64),
  'two words',
  'évil',
  'c.weft.internal',
])('no guest is called %j', (name) => {
  const lab = new Lab(LAB);
  lab.server.set('before', ip('10.0.0.66'));
  expect(lab.server.set(name, ip('10.0.0.66'))).toBe(false);
  expect(look(lab, 'before.weft.internal', Type.A)).toBe('none SOA weft.internal');
  expect(look(lab, 'db.weft.internal', Type.A)).toBe('10.0.0.9');
  expect(look(lab, 'gateway.weft.internal', Type.A)).toBe('10.0.0.2');
});

test('a guest with the address of a configured name does not take its reverse', () => {
  const lab = new Lab(LAB);
  lab.server.set('thief', ip('10.0.0.9'));
  expect(look(lab, '9.0.0.10.in-addr.arpa', Type.PTR)).toBe('db.weft.internal');
  lab.server.remove(ip('10.0.0.9'));
  expect(look(lab, '9.0.0.10.in-addr.arpa', Type.PTR)).toBe('db.weft.internal');
});

test('a guest name is answered though the cache has another answer for it', () => {
  const lab = new Lab();
  lab.upstream.respond = ({ message }) => answerTo(message, { answers: [a('web', '203.0.113.1')] });
  expect(look(lab, 'web', Type.A)).toBe('203.0.113.1');
  lab.server.set('web', ip('10.0.0.15'));
  expect(look(lab, 'web', Type.A)).toBe('10.0.0.15');
});

test('another domain takes the place of the default', () => {
  const lab = new Lab({ ...LAB, domain: 'Lab.Test.' });
  expect(lab.server.domain).toBe('lab.test');
  expect(look(lab, 'gateway.lab.test', Type.A)).toBe('10.0.0.2');
  expect(look(lab, 'x.lab.test', Type.A)).toBe('none SOA lab.test');
  lab.upstream.respond = ({ message }) => answerTo(message, { code: Rcode.NxDomain });
  look(lab, 'x.weft.internal', Type.A);
  expect(lab.upstream.asked.length).toBe(1);
});

test('a network of any length has its reverse names here', () => {
  const networks = [{ address: ip('10.0.16.0'), bits: 20 }];
  const lab = new Lab({ networks });
  lab.upstream.respond = ({ message }) => answerTo(message, { code: Rcode.NxDomain });
  look(lab, '1.31.0.10.in-addr.arpa', Type.PTR);
  expect(lab.upstream.asked.length).toBe(0);
  look(lab, '1.32.0.10.in-addr.arpa', Type.PTR);
  expect(lab.upstream.asked.length).toBe(1);
});

test('a hosts text gives its names in order, as many as may be', () => {
  expect(
    hostsOf('fe80::1 r\n10.0.0.1\tA  b#c\n::1 localhost x.localhost\n').map((one) => [
      one.name,
      formatAddress(one.address),
    ]),
  ).toEqual([
    ['r', 'fe80::1'],
    ['A', '10.0.0.1'],
    ['b', '10.0.0.1'],
  ]);
  expect(hostsOf(Array.from({ length: HOSTS_MAX + 9 }, (_, i) => `10.0.0.1 n${i}`).join('\n')).length).toBe(HOSTS_MAX);
});

test.each([
  [{ addresses: [] }, 'addresses'],
  [{ addresses: [ip('10.9.9.9')] }, '10.9.9.9'],
  [{ domain: 'a..b' }, 'a..b'],
  [{ names: [{ name: '', address: ip('10.0.0.1') }] }, 'NAME=ADDRESS'],
  [{ dns64: { address: ip('64:ff9b::'), bits: 95 } }, '95'],
  [{ pendingMax: 0 }, '0 is not in'],
  [{ cacheBytesMax: 1e12 }, 'bytes of the cache'],
])('refuses %j: %s', (options, text) => {
  expect(() => new Lab(options)).toThrow(text);
});
