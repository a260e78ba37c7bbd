import { describe, expect, test } from 'vitest';
import { isInNetwork, parseGatewayNetwork } from '../../slirp/gateway-network.ts';
import { advertisementOf } from '../../slirp/gateway-stack.ts';
import { ownAddresses } from '../../slirp/own-addresses.ts';
import { formatAddress, parseAddress } from '../../stack/stack.ts';
import { formatMac } from '../../wire/ethernet.ts';

const text = (address: Int32Array | undefined): string | undefined => address && formatAddress(address);

describe('the network of a gateway', () => {
  test('is by default the one that scripts know', () => {
    const network = parseGatewayNetwork('');
    expect(text(network.net4?.address)).toBe('10.0.2.0');
    expect(network.net4?.bits).toBe(24);
    expect(text(network.net4?.gateway)).toBe('10.0.2.2');
    expect(text(network.net4?.dns)).toBe('10.0.2.3');
    expect(text(network.net6?.address)).toBe('fd00::');
    expect(network.net6?.bits).toBe(64);
    expect(text(network.net6?.gateway)).toBe('fd00::2');
    expect(text(network.net6?.dns)).toBe('fd00::3');
    expect(formatMac(network.mac)).toBe('52:55:0a:00:02:02');
    expect(network).toMatchObject({ mtuBytes: 65520, advertisedMtuBytes: 0, domain: '', search: [], advertises: true });
    expect(ownAddresses(network).map(({ address }) => formatAddress(address))).toEqual([
      '10.0.2.2',
      '10.0.2.3',
      'fd00::2',
      'fd00::3',
      'fe80::2',
    ]);
  });

  test('takes what is said', () => {
    const network = parseGatewayNetwork(
      ' net=192.168.7.77/24 gateway=192.168.7.1 dns=192.168.7.254 net6=2001:db8::/96 dns6=none mtu=1500 advertise=1400 ' +
        'domain=Lab.Example. search=a.example,b.example ra=no dhcp=no',
    );
    expect(text(network.net4?.address)).toBe('192.168.7.0');
    expect(text(network.net4?.gateway)).toBe('192.168.7.1');
    expect(text(network.net4?.dns)).toBe('192.168.7.254');
    expect(text(network.net6?.gateway)).toBe('2001:db8::2');
    expect(network.net6?.dns).toBeUndefined();
    expect(formatMac(network.mac)).toBe('52:55:c0:a8:07:01');
    expect(network).toMatchObject({
      mtuBytes: 1500,
      advertisedMtuBytes: 1400,
      domain: 'lab.example',
      search: ['a.example', 'b.example'],
      advertises: false,
      hasDhcp: false,
    });
  });

  test('knows who is in it', () => {
    const network = parseGatewayNetwork('net6=none');
    const inside = ['10.0.2.0', '10.0.2.200', '10.0.3.0', '10.0.1.255', 'fd00::7'];
    expect(inside.map((one) => isInNetwork(network, parseAddress(one)!))).toEqual([true, true, false, false, false]);
    expect(isInNetwork(parseGatewayNetwork('net=none'), parseAddress('fd00::7')!)).toBe(true);
  });

  test('advertises prefix, MTU, servers and domains', () => {
    const network = parseGatewayNetwork('advertise=9000 domain=lab search=lab,other.example');
    expect(advertisementOf(network, network.net6!)).toMatchObject({
      mtuBytes: 9000,
      domains: ['lab', 'other.example'],
      isManaged: true,
      hasOther: true,
      prefixes: [{ bits: 64, isOnLink: true, isAutonomous: true }],
    });
    const long = parseGatewayNetwork('net6=fd00::/96 dhcp=no');
    expect(advertisementOf(long, long.net6!)).toMatchObject({
      isManaged: false,
      prefixes: [{ bits: 96, isAutonomous: false }],
    });
  });

  test.each([
    ['nets=1', "unknown key 'nets'"],
    ['net', 'expected KEY=VALUE'],
    ['=1', 'expected KEY=VALUE'],
    ['mtu=1500 mtu=1400', 'given twice'],
    ['net=none net6=none', 'at least one of both'],
    ['net=10.0.2.0', 'expected an IPv4 prefix'],
    ['net=10.0.2.0/31', 'expected an IPv4 prefix of 8 … 30 bits'],
    ['net=10.0.2.0/7', 'expected an IPv4 prefix of 8 … 30 bits'],
    ['net=fd00::/64', 'expected an IPv4 prefix'],
    ['net=224.0.0.0/24', 'expected an IPv4 prefix'],
    ['net6=10.0.2.0/24', 'expected an IPv6 prefix'],
    ['net6=fd00::/48', 'expected an IPv6 prefix of 64 … 124 bits'],
    ['net6=ff00::/64', 'expected an IPv6 prefix'],
    ['gateway=10.0.3.1', 'gateway=10.0.3.1: expected an address in 10.0.2.0/24'],
    ['gateway=10.0.2.0', 'expected an address in'],
    ['gateway=10.0.2.255', 'expected an address in'],
    ['gateway=fd00::1', 'expected an address in'],
    ['dns6=fd00::', 'expected an address in'],
    ['net=none gateway=10.0.2.2', 'gateway= without a network'],
    ['net6=none dns6=fd00::3', 'dns6= without a network'],
    ['mtu=1279', 'mtu=1279: expected 1280 … 65535 bytes'],
    ['mtu=65536', 'expected 1280 … 65535'],
    ['mtu=big', 'expected 1280 … 65535'],
    ['mtu=1500 advertise=1501', 'advertise=1501: expected 1280 … 1500'],
    ['mac=ff:ff:ff:ff:ff:ff', "one station's address"],
    ['mac=1', "one station's address"],
    ['domain=a..b', 'is no domain'],
    ['domain=a,b', '2 domains, at most 1'],
    ['ra=maybe', 'expected yes or no'],
  ])("'%s' is refused in one line: %s", (line, reason) => {
    expect(() => parseGatewayNetwork(line)).toThrow(reason);
    expect(() => parseGatewayNetwork(line)).toThrow(/^[^\n]+$/);
  });
});
