import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Protocol } from '../../slirp/parts.ts';
import { formatRule, parsePrefix, parseRule } from '../../slirp/rule.ts';
import { type HostPlaces, Rules } from '../../slirp/rules.ts';
import { type Address, formatAddress, isIp4, parseAddress } from '../../stack/stack.ts';
import * as nat64 from '../../wire/nat64.ts';
import '../kit/seed.ts';

const { Tcp, Udp, Icmp, Icmp6 } = Protocol;

const at = (text: string): Address => parseAddress(text)!;
const network = (text: string) => {
  const { address, bits } = parsePrefix(text)!;
  return { address, bits: bits - (isIp4(address) ? 96 : 0) };
};

const PLACES: HostPlaces = {
  addresses: ['192.168.1.5', '203.0.113.9', '2001:db8:1::5', 'fd12:3456::5', 'fe80::5', '10.8.0.2'].map(at),
  networks: [
    '192.168.1.0/24',
    '10.8.0.0/16',
    '203.0.113.0/24',
    'fd12:3456::/64',
    '2001:db8:1::/64',
    '100.64.3.0/24',
  ].map(network),
};

const rulesOf = (lines: readonly string[] = [], isRestricted = false): Rules =>
  new Rules({
    places: PLACES,
    isRestricted,
    rules: lines.map((line) => {
      const [kind, text] = line.split(' ') as ['allow' | 'deny', string];
      return parseRule(kind, text);
    }),
  });

const mayGo = (rules: Rules, text: string, port = 80): boolean => rules.allows(Tcp, at(text), port);

const REFUSED = [
  '127.0.0.1',
  '127.255.255.255',
  '::1',
  '0.0.0.0',
  '0.1.2.3',
  '::',
  '169.254.0.1',
  '169.254.169.254',
  'fe80::1',
  'febf::1',
  'fd00:ec2::254',
  'fd20:ce::254',
  '168.63.129.16',
  '100.100.100.200',
  '224.0.0.1',
  '239.255.255.250',
  '255.255.255.255',
  'ff02::1',
  'ff0e::1',
  '192.168.1.5', // own
  '203.0.113.9',
  '2001:db8:1::5',
  '192.168.1.77', // in the same networks
  '10.8.200.1',
  '100.64.3.9',
  'fd12:3456::77',
  // The same in other notations.
  '::ffff:127.0.0.1',
  '::ffff:169.254.169.254',
  '::127.0.0.1',
  '::192.168.1.77',
  '::ffff:0:127.0.0.1',
  '64:ff9b::7f00:1',
  '64:ff9b::a9fe:a9fe',
  '64:ff9b::192.168.1.5',
  '64:ff9b::192.168.1.77',
  '64:ff9b::0.0.0.0',
  '64:ff9b:1::7f00:1',
  '64:ff9b:1:7f00:0:100::', // of a /48
  '64:ff9b:1:7f:0:1::', // of a /56
  '64:ff9b:1:0:7f:0:100:0', // of a /64
  '2002:7f00:1::',
  '2002:7f00:1::1',
  '2002:a9fe:a9fe::1',
  '2002:c0a8:14d::1', // 192.168.1.77
  '2002:c0a8:105:0:1::1',
  '2002:cb00:7109::1', // the own 203.0.113.9
  '2001:0:7f00:1::1', // Teredo: the server
  '2001:0:808:808:0:0:80ff:fffe', // Teredo: the client 127.0.0.1
  'fd99::5efe:127.0.0.1', // ISATAP
  '2001:db8:2::200:5efe:169.254.169.254',
];

const OPEN = [
  '8.8.8.8',
  '203.0.113.10', // a neighbour in a network that is not private
  '192.168.2.1', // private, but somewhere else
  '10.9.0.1',
  '172.16.0.1',
  '100.64.4.1',
  '240.0.0.1',
  '2001:db8:1::6',
  '2606:4700::1111',
  'fd12:3456:0:1::1',
  'fd00:ec2::255',
  '64:ff9b::8.8.8.8',
  '2002:808:808::1',
  '64:ff9b:1::8.8.8.8',
  '64:ff9b:1:808:8:800::',
  'fec0::1',
];

describe('by default', () => {
  test.each(REFUSED)('refuses %s', (text) => {
    for (const protocol of [Tcp, Udp, Icmp, Icmp6]) expect(rulesOf().allows(protocol, at(text), 80)).toBe(false);
  });

  test.each(OPEN)('allows %s', (text) => {
    for (const protocol of [Tcp, Udp, Icmp, Icmp6]) expect(rulesOf().allows(protocol, at(text), 80)).toBe(true);
  });

  test.each([...REFUSED, ...OPEN])('restricted refuses %s', (text) => {
    expect(mayGo(rulesOf([], true), text)).toBe(false);
  });

  test('follows the host as it changes', () => {
    const rules = rulesOf();
    rules.setHost({ addresses: [at('9.9.9.9')], networks: [network('10.9.0.0/16')] });
    expect(mayGo(rules, '192.168.1.77')).toBe(true);
    expect(mayGo(rules, '10.9.1.1')).toBe(false);
    expect(mayGo(rules, '9.9.9.9')).toBe(false);
    expect(rules.isHostOwn(at('9.9.9.9'))).toBe(true);
    expect(rules.isHostOwn(at('192.168.1.5'))).toBe(false);
  });

  test('knows what is the host itself', () => {
    const rules = rulesOf();
    const own = ['127.0.0.1', '127.9.9.9', '::1', '192.168.1.5', 'fe80::5', '2001:db8:1::5'];
    for (const text of own) expect(rules.isHostOwn(at(text))).toBe(true);
    for (const text of ['8.8.8.8', '::2', 'fe80::6']) expect(rules.isHostOwn(at(text))).toBe(false);
  });
});

describe('rules', () => {
  test.each<[string[], string, number, boolean]>([
    [['allow 127.0.0.1:5432'], '127.0.0.1', 5432, true],
    [['allow 127.0.0.1:5432'], '127.0.0.1', 5433, false],
    [['allow 127.0.0.1:5432'], '127.0.0.2', 5432, false],
    [['allow 127.0.0.1:5432'], '::1', 5432, false],
    [['allow 127.0.0.1:80/udp'], '127.0.0.1', 80, false],
    [['allow 127.0.0.1:80/tcp'], '127.0.0.1', 80, true],
    [['allow 127.0.0.1'], '64:ff9b::7f00:1', 80, false],
    [['allow 127.0.0.1'], '2002:7f00:1::1', 80, false],
    [['allow loopback'], '127.4.5.6', 80, true],
    [['allow loopback'], '::1', 80, true],
    [['allow loopback'], '2002:7f00:1::1', 80, false],
    [['allow 2002:7f00:1::/48'], '2002:7f00:1::1', 80, true],
    [['allow 2002::/16'], '2002:7f00:1::1', 80, false],
    [['allow 64:ff9b::/96'], '64:ff9b::7f00:1', 80, false],
    [['allow any'], '127.0.0.1', 80, false],
    [['allow any'], '169.254.169.254', 80, false],
    [['allow 0.0.0.0/0'], '127.0.0.1', 80, false],
    [['allow ::/0'], '::1', 80, false],
    [['allow 0.0.0.0/0'], '192.168.1.77', 80, false],
    [['allow 127.0.0.0/8'], '127.0.0.1', 80, true],
    [['allow 169.254.0.0/16'], '169.254.3.4', 80, true],
    [['allow 169.254.0.0/16'], '169.254.169.254', 80, false],
    [['allow link-local'], '169.254.169.254', 80, false],
    [['allow metadata'], '169.254.169.254', 80, true],
    [['allow metadata'], 'fd00:ec2::254', 80, true],
    [['allow 169.254.169.254'], '169.254.169.254', 80, true],
    [['allow link-local'], 'fe80::1', 80, true],
    [['allow 192.168.1.0/24'], '192.168.1.77', 80, true],
    [['allow 192.168.0.0/16'], '192.168.1.77', 80, true],
    [['allow 192.0.0.0/8'], '192.168.1.77', 80, false],
    [['allow 192.168.1.0/24'], '192.168.1.5', 80, false], // the host itself is named, or not meant
    [['allow private'], '192.168.1.77', 80, true],
    [['allow private'], 'fd12:3456::77', 80, true],
    [['allow private'], '192.168.1.5', 80, false],
    [['allow host'], '192.168.1.5', 80, true],
    [['allow host:22'], '203.0.113.9', 22, true],
    [['allow host:22'], '203.0.113.9', 23, false],
    [['allow host'], '127.0.0.1', 80, false],
    [['allow 0.0.0.0'], '0.0.0.0', 80, false], // Linux would take it for its loopback
    [['allow ::'], '::', 80, false],
    [['allow ::127.0.0.1'], '::127.0.0.1', 80, false],
    [['allow 224.0.0.0/4'], '224.0.0.1', 80, false],
    [['deny any'], '8.8.8.8', 80, false],
    [['deny 8.8.8.0/24'], '8.8.8.8', 80, false],
    [['deny 8.8.8.0/24'], '64:ff9b::8.8.8.8', 80, false],
    [['deny 8.8.8.0/24'], '2002:808:808::1', 80, false],
    [['deny 8.8.8.8'], '2001:0:808:808::1', 80, false],
    [['deny 8.8.8.0/24'], '8.8.9.8', 80, true],
    [['deny private'], '172.16.9.9', 80, false],
    [['deny private'], '64:ff9b::172.16.9.9', 80, false],
    [['deny any:25'], '8.8.8.8', 25, false],
    [['deny any:25'], '8.8.8.8', 26, true],
    [['deny any:1-1023/tcp'], '8.8.8.8', 80, false],
    [['deny any/udp'], '8.8.8.8', 80, true],
    [['allow 8.8.8.8', 'deny any'], '8.8.8.8', 80, true], // the first that matches
    [['allow 8.8.8.8', 'deny any'], '8.8.4.4', 80, false],
    [['deny 127.0.0.1', 'allow loopback'], '127.0.0.1', 80, false],
    [['deny 127.0.0.1', 'allow loopback'], '127.0.0.2', 80, true],
  ])('%j: %s port %i is %s', (lines, text, port, expected) => {
    expect(mayGo(rulesOf(lines), text, port)).toBe(expected);
  });

  test.each<[string[], string, boolean]>([
    [['allow any:80'], '8.8.8.8', true],
    [['allow any:80'], '127.0.0.1', false],
    [['allow any:80'], '192.168.1.77', false],
    [['allow 10.9.0.0/16'], '10.9.1.1', true],
    [['allow private'], '172.16.1.1', true],
    [['allow private'], '8.8.8.8', false],
    [['allow 8.8.8.8'], '64:ff9b::8.8.8.8', false],
  ])('restricted, %j: %s is %s', (lines, text, expected) => {
    expect(mayGo(rulesOf(lines, true), text)).toBe(expected);
  });

  test('echo has no ports', () => {
    const rules = rulesOf(['allow 9.9.9.9:80', 'allow 8.8.8.8/icmp', 'allow 2001:db8::8/icmp'], true);
    expect(rules.allows(Icmp, at('9.9.9.9'), 0)).toBe(false);
    expect(rules.allows(Icmp, at('8.8.8.8'), 0)).toBe(true);
    expect(rules.allows(Icmp6, at('2001:db8::8'), 0)).toBe(true);
    expect(rules.allows(Tcp, at('8.8.8.8'), 80)).toBe(false);
  });
});

describe('in any encoding', () => {
  const v4Refused = fc.oneof(
    fc.nat(0xffffff).map((n) => (127 << 24) | n),
    fc.nat(0xffffff),
    fc.nat(0xffff).map((n) => (169 << 24) | (254 << 16) | n),
    fc.nat(0xff).map((n) => (192 << 24) | (168 << 16) | (1 << 8) | n),
    fc.nat(0xffff).map((n) => (10 << 24) | (8 << 16) | n),
    fc.nat(0xfffffff).map((n) => (14 << 28) | n),
    fc.constantFrom(-1, (203 << 24) | (113 << 8) | 9, (168 << 24) | (63 << 16) | (129 << 8) | 16),
  );
  const words = fc.tuple(fc.integer(), fc.integer(), fc.integer());
  const CARRIERS: ((v4: number, noise: readonly [number, number, number]) => Address)[] = [
    (v4) => Int32Array.of(0, 0, 0xffff, v4),
    (v4) => Int32Array.of(0, 0, 0, v4),
    (v4) => Int32Array.of(0, 0, -65536, v4),
    (v4) => Int32Array.of(0x64ff9b, 0, 0, v4),
    (v4, [a, b]) => Int32Array.of((0x2002 << 16) | (v4 >>> 16), (v4 << 16) | (a & 0xffff), b, a),
    (v4, [a, b]) => Int32Array.of(0x20010000, v4, a, b),
    (v4, [a, b]) => Int32Array.of(0x20010000, a, b, ~v4),
    (v4, [a, b]) => Int32Array.of(0x20010db8, a, a & 1 ? 0x5efe : 0x02005efe, v4 ^ (b & 0)),
    ...[48, 56, 64, 96].map((bits) => (v4: number) => {
      const into = new Int32Array(4);
      nat64.embed(Int32Array.of(0x64ff9b, 1 << 16, 0, 0), bits, v4, into);
      return into;
    }),
  ];

  test('nothing refused goes without a rule', () => {
    const rules = rulesOf(['allow any', 'allow 0.0.0.0/0', 'allow ::/0']);
    fc.assert(
      fc.property(
        v4Refused,
        words,
        fc.constantFrom(...CARRIERS),
        fc.integer({ min: 1, max: 65535 }),
        (v4, noise, carry, port) => {
          // 0.0.0.0 in a translator's prefix that is longer may be an address of a shorter one: nobody's either way.
          fc.pre(v4 !== 0);
          const address = carry(v4, noise);
          expect(rules.allows(Tcp, address, port), formatAddress(address)).toBe(false);
          expect(rulesOf().allows(Udp, address, port), formatAddress(address)).toBe(false);
        },
      ),
      { numRuns: 2000 },
    );
  });

  test('nor anything of IPv6 that is refused', () => {
    const v6 = fc.oneof(
      words.map(([a, b, c]) => Int32Array.of(0xfe800000 | (a & 0x3fffff), b, c, a)),
      words.map(([a, b, c]) => Int32Array.of(0xff000000 | (a & 0xffffff), b, c, a)),
      words.map(([a, b]) => Int32Array.of(0xfd123456, 0, a, b)),
      fc.integer().map((a) => Int32Array.of(0, 0, 0, a)),
    );
    const rules = rulesOf(['allow any', 'allow ::/0', 'allow f000::/4']);
    fc.assert(
      fc.property(v6, (address) => {
        expect(rules.allows(Tcp, address, 443), formatAddress(address)).toBe(false);
      }),
    );
  });
});

describe('in words', () => {
  test.each([
    '127.0.0.1:5432',
    '10.0.0.0/8',
    '10.0.0.0/8:80-90/tcp',
    'fd00::/8',
    '[fd00::1]:443/tcp',
    '[fd00::/64]:443',
    'loopback',
    'loopback:53/udp',
    'any/icmp',
    'host:22',
    'link-local',
    '0.0.0.0/0',
  ])('%s comes back', (text) => {
    expect(formatRule(parseRule('allow', text))).toBe(text);
  });

  test('brackets stand around the address or around the prefix', () => {
    const expected = parseRule('deny', '[fd00::/64]:443');
    expect(parseRule('deny', '[fd00::]/64:443')).toEqual(expected);
    expect(parseRule('deny', '[fd00::1]')).toEqual(parseRule('deny', 'fd00::1'));
    expect(formatRule(parseRule('allow', '::ffff:10.0.0.0/104'))).toBe('10.0.0.0/8');
  });

  test.each([
    ['', 'expected ADDRESS'],
    ['localhost', 'expected ADDRESS'],
    ['10.0.0.1:0', 'ports'],
    ['10.0.0.1:70000', 'ports'],
    ['10.0.0.1:90-80', 'ports'],
    ['10.0.0.1:', 'ports'],
    ['10.0.0.1/33', 'expected ADDRESS'],
    ['fd00::/129', 'expected ADDRESS'],
    ['10.0.0.1/sctp', "protocol 'sctp'"],
    ['10.0.0.1:80/icmp', 'icmp has no ports'],
    ['[10.0.0.1]:80', 'expected ADDRESS'],
    ['[fd00::1:80', 'expected ADDRESS'],
    ['fe80::1%eth0', 'expected ADDRESS'],
    ['nowhere:80', 'expected ADDRESS'],
    ['10.0.0.1/8/tcp/udp', 'expected ADDRESS'],
  ])("'%s' is refused in one line", (text, reason) => {
    expect(() => parseRule('allow', text)).toThrow(reason);
    expect(() => parseRule('allow', text)).toThrow(/^[^\n]+$/);
  });

  test('no text makes it throw anything else', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        try {
          parseRule('deny', text);
        } catch (error) {
          expect((error as Error).name).toBe('UsageError');
        }
      }),
    );
  });
});
