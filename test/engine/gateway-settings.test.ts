import { describe, expect, test } from 'vitest';
import { GATEWAY_OPTIONS, gatewayOptions, RENAMED } from '../../cli/slirp-options.ts';
import { UsageError } from '../../core/assert.ts';
import { gatewaySettings } from '../../engine/gateway-settings.ts';
import { readLab } from '../../engine/lab.ts';
import { parseVnl, SCHEMES } from '../../plug/plug.ts';
import { formatForward, formatRule } from '../../slirp/slirp.ts';
import { formatAddress } from '../../stack/stack.ts';

const text = (address: Int32Array | undefined) => address && formatAddress(address);

describe('a gateway by default', () => {
  const settings = gatewaySettings('');
  test('has the addresses that scripts know from libslirp', () => {
    const { net4, net6, mac, mtuBytes, advertisedMtuBytes, domain } = settings.network;
    expect([text(net4?.gateway), text(net4?.dns), net4?.bits]).toEqual(['10.0.2.2', '10.0.2.3', 24]);
    expect([text(net6?.gateway), text(net6?.dns), net6?.bits]).toEqual(['fd00::2', 'fd00::3', 64]);
    expect([...mac]).toEqual([0x52, 0x55, 10, 0, 2, 2]);
    expect({ mtuBytes, advertisedMtuBytes, domain }).toEqual({
      mtuBytes: 1500,
      advertisedMtuBytes: 0,
      domain: 'weft.internal',
    });
  });
  test('leases 10.0.2.15 to .254, and allows nothing that is refused by default', () => {
    const { pool4, pool6, rules, forwards, isRestricted, leasesPath } = settings;
    expect([text(pool4?.first), pool4?.count]).toEqual(['10.0.2.15', 240]);
    expect([text(pool6?.first), pool6?.count]).toEqual(['fd00::1000', 4096]);
    expect({ rules, forwards, isRestricted, leasesPath }).toEqual({
      rules: [],
      forwards: [],
      isRestricted: false,
      leasesPath: undefined,
    });
  });
});

test('reads every option', () => {
  const settings = gatewaySettings(
    [
      'net=10.1.0.0/16/net6=fd01::/64/mtu=9000/domain=lab.example/search=a.example,b.example',
      'deny=10.1.9.9/allow=127.0.0.1:5432,10.0.0.0/8:80-90\\/tcp/restrict',
      'forward=8080:10.1.0.15:80,keep-source,udp:53:10.1.0.16:53/reverse=5432:127.0.0.1:5432',
      'bind=192.0.2.1,2001:db8::1/filtering=endpoint/nat64/servers=192.0.2.53,192.0.2.54:5353,[2001:db8::53]:54,fd09::1',
      'hosts=db=10.1.0.20/pool=10.1.1.0-10.1.1.255/reserve=02:00:00:00:00:01=10.1.0.99=web',
      "leases='/tmp/l.json'/leasetime=3600/boot='http://10.1.0.2/x.ipxe'/bootserver=10.1.0.3/tcpflows=9/udpflows=8",
    ].join('/'),
  );
  expect(settings.rules.map((rule) => `${rule.isAllow} ${formatRule(rule)}`)).toEqual([
    'false 10.1.9.9',
    'true 127.0.0.1:5432',
    'true 10.0.0.0/8:80-90/tcp',
  ]);
  expect(settings.forwards.map(formatForward)).toEqual([
    'tcp:8080:10.1.0.15:80,keep-source',
    'udp:53:10.1.0.16:53',
    'tcp:5432:127.0.0.1:5432',
  ]);
  expect(settings.forwards.map(({ direction }) => direction)).toEqual(['in', 'in', 'out']);
  expect([text(settings.outbound4), text(settings.outbound6)]).toEqual(['192.0.2.1', '2001:db8::1']);
  expect(settings.servers.map(({ address, port }) => `${text(address)} ${port}`)).toEqual([
    '192.0.2.53 53',
    '192.0.2.54 5353',
    '2001:db8::53 54',
    'fd09::1 53',
  ]);
  expect(settings.names.map(({ name, address }) => `${name} ${text(address)}`)).toEqual(['db 10.1.0.20']);
  expect([text(settings.pool4?.first), settings.pool4?.count]).toEqual(['10.1.1.0', 256]);
  expect(settings.reservations).toMatchObject([{ mac: '02:00:00:00:00:01', name: 'web' }]);
  expect(text(settings.nat64?.address)).toBe('64:ff9b::');
  expect(text(settings.bootServer)).toBe('10.1.0.3');
  expect(settings).toMatchObject({
    isRestricted: true,
    filtering: 'endpoint',
    leasesPath: '/tmp/l.json',
    leaseSeconds: 3600,
    bootFile: 'http://10.1.0.2/x.ipxe',
    tcpFlowsMax: 9,
    udpFlowsMax: 8,
    network: { mtuBytes: 9000, advertisedMtuBytes: 9000, domain: 'lab.example', search: ['a.example', 'b.example'] },
  });
});

test('leaves out what is not wanted', () => {
  expect(gatewaySettings('nodhcp/nodns/nora')).toMatchObject({
    pool4: undefined,
    pool6: undefined,
    network: { hasDhcp: false, advertises: false, domain: '', net4: { dns: undefined }, net6: { dns: undefined } },
  });
  expect(gatewaySettings('net=none/nodns').network).toMatchObject({ net4: undefined, net6: { dns: undefined } });
  expect(gatewaySettings('net6=none/leases=none')).toMatchObject({ pool6: undefined, leasesPath: '' });
});

test.each([
  ['net=10.0.0.0/29', '10.0.0.4', 3],
  ['net=10.0.0.0/30', '10.0.0.2', 1],
  ['net=10.0.0.0/8', '10.0.0.15', 4096],
])('a pool fits %s', (options, first, count) => {
  const { pool4 } = gatewaySettings(options);
  expect([text(pool4?.first), pool4?.count]).toEqual([first, count]);
});

test.each([
  ['net=10.0.0.0', /^slirp: net=10\.0\.0\.0/],
  ['net=none/net6=none', /^slirp: net=none and net6=none/],
  ['mtu=1279', /^slirp: mtu: '1279' is out of range; take 1280 \.\.\. 65521/],
  ['mtu=9000/mtu=1500', /^slirp: option 'mtu' given twice/],
  ['allow=nowhere', /^slirp: --allow 'nowhere'/],
  ['forward=80', /^slirp: forward '80'/],
  ['forward=keep-source', /^slirp: forward 'keep-source'/],
  ['bind=10.0.0.1,10.0.0.2', /^slirp: bind '10\.0\.0\.2': expected an address of this host, one of each family/],
  ['filtering=none', /^slirp: filtering 'none': expected endpoint, address, address-port/],
  ['prefix64=64:ff9b::/95', /^slirp: prefix64 '64:ff9b::\/95': expected a prefix of/],
  ['servers=dns.example', /^slirp: servers 'dns\.example': expected ADDRESS/],
  ['servers=10.0.0.1:0', /^slirp: servers '10\.0\.0\.1:0'/],
  ['hosts=db', /^slirp: hosts 'db': expected NAME=ADDRESS/],
  ['reserve=01:00:00:00:00:01=10.0.2.9', /^slirp: reserve '01/],
  ['reserve=02:00:00:00:00:01=10.0.3.9', /an address in the gateway's network/],
  [
    'pool=10.0.2.9',
    /^slirp: pool '10\.0\.2\.9': expected FIRST-LAST in the network, such as 10\.0\.2\.15-10\.0\.2\.254/,
  ],
  ['pool=10.0.2.9-10.0.3.1', /^slirp: pool/],
  ['bootserver=fd00::1', /^slirp: bootserver 'fd00::1': expected an IPv4 address/],
  ['speed=9', /^slirp: unknown option 'speed'; known: net, /],
])('%s is refused in one line', (options, said) => {
  expect(() => gatewaySettings(options)).toThrow(UsageError);
  expect(() => gatewaySettings(options)).toThrow(said);
});

describe('options from elsewhere', () => {
  test('the command line has those of slirp://, and of the same kinds', () => {
    const kinds = Object.entries(SCHEMES.slirp!.options).map(([key, { kind }]) => [
      key,
      kind === 'flag' || kind === 'list' ? kind : 'value',
    ]);
    expect(Object.entries(GATEWAY_OPTIONS).map(([key, [kind]]) => [key, kind])).toEqual(kinds);
    expect(Object.keys(RENAMED).every((key) => key in GATEWAY_OPTIONS)).toBe(true);
    const given = {
      restrict: true,
      allow: ['127.0.0.1:1', 'private'],
      net4: '10.9.0.0/24',
      L: ['1:10.9.0.15:1'],
      other: 1,
    };
    expect(Object.fromEntries(gatewayOptions(given))).toEqual({
      restrict: '',
      allow: '127.0.0.1:1,private',
      net: '10.9.0.0/24',
      forward: '1:10.9.0.15:1',
    });
  });

  test('a lab file has lists, flags and mappings', () => {
    const lab = [
      'networks:',
      '  a:',
      '    gateway:',
      '      mtu: 9000',
      '      allow: [127.0.0.1:5432, private]',
      '      hosts: { db: 10.0.2.20, www: fd00::20 }',
      '      nat64: true',
      '      restrict: false',
      '  b: { gateway: true }',
      '  c: { gateway: false }',
      '  d: {}',
    ].join('\n');
    const [a, b, c, d] = readLab(lab, 'lab.yaml').networks;
    expect(Object.fromEntries(a!.gateway!)).toEqual({
      mtu: '9000',
      allow: '127.0.0.1:5432,private',
      hosts: 'db=10.0.2.20,www=fd00::20',
      nat64: '',
    });
    expect([b!.gateway?.size, c!.gateway, d!.gateway]).toEqual([0, undefined, undefined]);
  });

  test.each([
    ['      allow: [{ a: 1 }]', /^lab\.yaml:4: 'allow' must be a list of single values/],
    ['      mtu: true', /^lab\.yaml:4: gateway: 'mtu' needs a value/],
    ['      restrict: 3', /^lab\.yaml:4: gateway: 'restrict' takes no value/],
    ['      net: 10.0.0.0', /^lab\.yaml:4: gateway: net=10\.0\.0\.0/],
    ['      hosts: { db: [1] }', /^lab\.yaml:4: 'hosts': 'db' must have a single value/],
  ])('a lab with %s says where', (line, said) => {
    expect(() => readLab(`networks:\n  a:\n    gateway:\n${line}\n`, 'lab.yaml')).toThrow(said);
  });
});

describe('the grammar of slirp://', () => {
  test.each([
    ['slirp://', {}],
    ['slirp:///', {}],
    ['slirp:///net=10.1.0.0/16/restrict', { net: '10.1.0.0/16', restrict: '' }],
    ['slirp:///allow=10.0.0.0/8,fd00::/8/allow=private', { allow: '10.0.0.0/8,fd00::/8,private' }],
    ['slirp:///allow=1.2.3.4/mtu=1500/allow=5.6.7.0/24', { mtu: '1500', allow: '1.2.3.4,5.6.7.0/24' }],
  ])('%s', (vnl, options) => {
    expect(Object.fromEntries(parseVnl(vnl).options)).toEqual(options);
  });
  test('an address is refused with the next step', () => {
    expect(() => parseVnl('slirp://mtu=9000')).toThrow(
      "slirp: takes no address, got 'mtu=9000'; write slirp:///option",
    );
  });
});
