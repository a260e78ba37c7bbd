import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { UsageError } from '../../../core/assert.ts';
import { format } from '../../../stack/address.ts';
import { Feature, formatConfig, parseConfig } from '../../../stack/config/config.ts';
import { applyConfig, type Configurable } from '../../../stack/config/config-apply.ts';
import { formatMac } from '../../../wire/ethernet.ts';

const { Eth, Dhcp4, Dhcp6, RouterDiscovery, Slaac, Temporary, Eui64, Static } = Feature;

describe('a configuration line', () => {
  test.each([
    ['', 0],
    ['eth', Eth],
    ['dhcp', Dhcp4],
    ['dhcp4,dhcpv4', Dhcp4],
    ['dhcp6', Dhcp6],
    ['dhcpv6', Dhcp6],
    ['rd', RouterDiscovery],
    ['rd6', RouterDiscovery],
    ['slaac,temp,eui64', Slaac | Temporary | Eui64],
    ['auto', Eth | Dhcp4 | Dhcp6 | RouterDiscovery],
    ['auto4', Eth | Dhcp4],
    ['autov4', Eth | Dhcp4],
    ['auto6', Eth | Dhcp6 | RouterDiscovery],
    ['autov6', Eth | Dhcp6 | RouterDiscovery],
    [' eth , rd ,', Eth | RouterDiscovery],
  ])('%j switches on %s', (line, features) => {
    expect(parseConfig(line).set.features).toBe(features);
    expect(parseConfig(line).undo.features).toBe(0);
  });

  test.each([
    ['-dhcp', Dhcp4],
    ['-static', Static],
    ['-eth', Eth],
    ['-rd,-slaac', RouterDiscovery | Slaac],
    ['-auto', Eth | Dhcp4 | Dhcp6 | RouterDiscovery],
    ['-all', 255],
  ])('%j undoes %s', (line, features) => {
    expect(parseConfig(line)).toMatchObject({ set: { features: 0 }, undo: { features } });
  });

  test('says addresses, gateways, servers and domains, more than one of each', () => {
    const { set, undo } = parseConfig(
      'ip=10.0.0.2,ip=10.1.0.2/16,ip=fd00::2,gw=10.0.0.1,dns=1.1.1.1,dns=fd00::53,domain=lab.,-ip=10.0.0.9/8,-gw=fd00::1',
    );
    expect(set.addresses.map((p) => `${format(p.address)}/${p.bits}`)).toEqual([
      '10.0.0.2/24',
      '10.1.0.2/16',
      'fd00::2/64',
    ]);
    expect(set.gateways.map(format)).toEqual(['10.0.0.1']);
    expect(set.dnsServers.map(format)).toEqual(['1.1.1.1', 'fd00::53']);
    expect(set.domains).toEqual(['lab']);
    expect(undo.addresses.map((p) => `${format(p.address)}/${p.bits}`)).toEqual(['10.0.0.9/8']);
    expect(undo.gateways.map(format)).toEqual(['fd00::1']);
  });

  test('says which interface and what it is like', () => {
    const config = parseConfig(
      'stack=weft,vnl=vde:///tmp/hub?a=b,iface=vde0,ifindex=3,fqdn=host.example,macaddr=02:00:00:00:00:01,mtu=9000,debug',
    );
    expect(config).toMatchObject({
      stack: 'weft',
      vnl: 'vde:///tmp/hub?a=b',
      iface: 'vde0',
      ifindex: 3,
      fqdn: 'host.example',
    });
    expect(formatMac(config.mac!)).toBe('02:00:00:00:00:01');
    expect(config).toMatchObject({ mtuBytes: 9000, isDebug: true });
  });

  test.each([
    ['eht', 'unknown'],
    ['+eth', 'unknown'],
    ['-mac=02:00:00:00:00:01', 'unknown'],
    ['static', 'unknown'],
    ['eth=1', 'unknown'],
    ['ip', 'an address'],
    ['ip=10.0.0', 'an address'],
    ['ip=224.0.0.1/4', 'an address'],
    ['ip=10.0.0.1/33', '0 … 32'],
    ['ip=fd00::1/129', '0 … 128'],
    ['ip=fd00::1/', '0 … 128'],
    ['gw=0.0.0.0', 'an address'],
    ['dns=host', 'an address'],
    ['domain=a..b', 'a domain name'],
    ['fqdn=', 'a domain name'],
    ['mac=01:00:00:00:00:01', 'one station'],
    ['mtu=67', '68 … 65535'],
    ['mtu=65536', '68 … 65535'],
    ['ifindex=0', '1 … '],
    ['iface=', 'iface=TEXT'],
    ['debug=1', 'without a value'],
  ])('%j is refused in one line that names it', (token, expected) => {
    const act = () => parseConfig(`eth,${token}`);
    expect(act).toThrow(UsageError);
    expect(act).toThrow(`configuration token '${token}':`);
    expect(act).toThrow(expected);
    expect(act).not.toThrow('\n');
  });

  test('that is too long is refused', () => {
    expect(() => parseConfig('eth,'.repeat(257))).toThrow('at most 256');
    expect(() => parseConfig(' '.repeat(16385))).toThrow('at most 16384');
  });

  test('comes back from its value', () => {
    const tokens = [
      'eth',
      'auto',
      'rd',
      '-dhcp',
      '-all',
      'ip=10.0.0.2',
      '-ip=fd00::1/9',
      'gw=fd00::1',
      'dns=1.1.1.1',
      '-dns=2.2.2.2',
      'domain=lab',
      'mac=02:00:00:00:00:01',
      'mtu=1400',
      'fqdn=a.b',
      'iface=x',
      'ifindex=2',
      'vnl=x:',
      'debug',
      'temp',
    ];
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...tokens), { maxLength: 12 }), (list) => {
        const config = parseConfig(list.join(','));
        expect(parseConfig(formatConfig(config))).toEqual(config);
      }),
    );
    fc.assert(
      fc.property(fc.string({ maxLength: 60 }), (text) => {
        try {
          parseConfig(text);
        } catch (error) {
          expect(error).toBeInstanceOf(UsageError);
        }
      }),
    );
  });
});

/** Notes every call; `failing` fails. */
function recorder(failing = ''): { log: string[]; target: Configurable } {
  const log: string[] = [];
  const note = (call: string): number => {
    log.push(call);
    return call === failing ? -99 : 0;
  };
  const sign = (isAdded: boolean): string => (isAdded ? '+' : '-');
  const target: Configurable = {
    setLink: (c) => note(`link ${[c.isUp, c.mac?.length, c.mtuBytes].join(' ')}`),
    setAddress: (p, on) => note(`${sign(on)}ip ${format(p.address)}/${p.bits}`),
    setGateway: (g, on) => note(`${sign(on)}gw ${format(g)}`),
    setName: (n, on) => note(`${sign(on)}name ${typeof n === 'string' ? n : format(n)}`),
    setFeature: (f, on, how) => note(`${sign(on)}${f} ${how.features} ${how.fqdn}`.trim()),
    forgetStatic: () => note('forget'),
  };
  return { log, target };
}

describe('applying', () => {
  test('undoes, then sets link, addresses, routes, names, and starts what goes by itself', () => {
    const { log, target } = recorder();
    const line =
      'dhcp,dns=1.1.1.1,domain=lab,gw=10.0.0.1,ip=10.0.0.2/24,mtu=1400,rd,slaac,eth,fqdn=h.lab,-static,-dhcp,-ip=10.0.0.9/24';
    expect(applyConfig(parseConfig(line), target)).toBeUndefined();
    expect(log).toEqual([
      '-4 5 h.lab',
      '-ip 10.0.0.9/24',
      'forget',
      'link true  1400',
      '+ip 10.0.0.2/24',
      '+gw 10.0.0.1',
      '+name 1.1.1.1',
      '+name lab',
      `+16 ${Eth | Dhcp4 | RouterDiscovery | Slaac} h.lab`,
      `+32 ${Eth | Dhcp4 | RouterDiscovery | Slaac} h.lab`,
      `+4 ${Eth | Dhcp4 | RouterDiscovery | Slaac} h.lab`,
    ]);
  });

  test('stops at the first error and says where', () => {
    const { log, target } = recorder('+gw 10.0.0.1');
    expect(applyConfig(parseConfig('ip=10.0.0.2,gw=10.0.0.1,dhcp'), target)).toEqual({ step: 'gw', errno: -99 });
    expect(log).toHaveLength(2);
    expect(applyConfig(parseConfig(''), target)).toBeUndefined();
    expect(log).toHaveLength(2);
  });
});
