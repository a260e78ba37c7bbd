import { describe, expect, test } from 'vitest';
import { UsageError } from '../../../core/assert.ts';
import { interfaceOptionsOf, RouteOrigin, Stack } from '../../../stack/stack.ts';
import * as dhcp4 from '../../../wire/dhcp4.ts';
import { newHost, secretOf } from '../../kit/stack-kit.ts';
import { Dhcp4Server, Dhcp6Server, DnsServer, ETH, ip, Lab, number4, S } from '../kit-servers.ts';

const routesOf = (stack: Stack, origin: number): string[] =>
  stack.routes
    .list()
    .filter((one) => one.origin === origin && one.iface === ETH)
    .map((one) => `${one.prefix}/${one.bits} ${one.gateway}`);

describe('a line', () => {
  test('gives static addresses, gateways and names, and says so again', async () => {
    const lab = new Lab();
    lab.apply('eth,ip=10.0.0.7/24,ip=fd00::7/64,gw=10.0.0.1,dns=10.0.0.1,domain=lab,mtu=1400,fqdn=a.lab');
    lab.run(3 * S);
    expect(lab.addresses().slice(0, 2)).toEqual(['10.0.0.7/24', 'fd00::7/64']);
    expect(lab.addresses().some((one) => one.startsWith('fe80::'))).toBe(true);
    const line = lab.a.configuration.describe();
    expect(line).toBe(
      'iface=eth0,fqdn=a.lab,mac=02:00:00:00:00:01,mtu=1400,eth,ip=10.0.0.7/24,ip=fd00::7/64,gw=10.0.0.1,dns=10.0.0.1,domain=lab',
    );
    expect(lab.a.interfaces.get(ETH)!.linkMtuBytes).toBe(1400);
    expect(await lab.ping('10.0.0.1')).toBe('10.0.0.1');
    expect(await lab.ping('fd00::1')).toBe('fd00::1');
    lab.apply(line);
    expect(lab.a.configuration.describe()).toBe(line);
  });

  test('undoes what it names, -static what was static, -all everything', () => {
    const lab = new Lab();
    lab.apply('eth,ip=10.0.0.7,ip=10.0.0.8,gw=10.0.0.1,dns=10.0.0.1,domain=lab');
    lab.apply('-ip=10.0.0.7,-gw=10.0.0.1,-dns=10.0.0.1,-domain=lab');
    lab.run(3 * S);
    expect(lab.a.configuration.describe()).toMatch(/,eth,ip=10\.0\.0\.8\/24$/);
    expect(routesOf(lab.a, RouteOrigin.Static)).toEqual([]);
    lab.apply('-static');
    lab.run(S);
    expect(lab.addresses()).toHaveLength(1); // link-local
    lab.apply('ip=10.0.0.9');
    lab.apply('-all');
    lab.run(S);
    expect(lab.addresses()).toEqual([]);
    expect(lab.a.interfaces.get(ETH)!.isUp).toBe(false);
    expect(lab.a.configuration.deadlineUs()).toBe(Infinity);
    lab.apply('eth,ip=10.0.0.9');
    lab.run(3 * S);
    expect(lab.has('10.0.0.9')).toBe(true);
  });

  test.each([
    ['ip=10.0.0.300', /token 'ip=10\.0\.0\.300': expected an address/],
    ['-ip=10.0.0.77', /configuration of eth0: '-ip' failed with EADDRNOTAVAIL/],
    ['-gw=10.0.0.77', /'-gw' failed with EADDRNOTAVAIL/],
    ['-domain=nowhere', /'-domain' failed with EADDRNOTAVAIL/],
    [
      'mac=02:00:00:00:00:99',
      /mac=02:00:00:00:00:99: eth0 was made with 02:00:00:00:00:01; a hardware address is chosen/,
    ],
    ['mtu=9000', /mtu=9000: eth0 takes at most 1500/],
    ['iface=eth7,eth', /an interface that is not there; there are: eth0 \(ifindex=2\)/],
    ['ifindex=1,eth', /an interface that is not there/],
    ['nonsense', /token 'nonsense': unknown/],
  ])('%s is one clear UsageError', (line, message) => {
    const lab = new Lab();
    expect(() => lab.a.configuration.apply(line)).toThrow(UsageError);
    expect(() => lab.a.configuration.apply(line)).toThrow(message);
  });

  test('names its interface where there are two, and is refused where it does not', () => {
    const lab = new Lab();
    lab.a.addInterface({ name: 'eth1', mac: Uint8Array.of(2, 0, 0, 0, 1, 1), mtuBytes: 1500, dadTransmits: 0 });
    expect(() => lab.a.configuration.apply('eth')).toThrow(/of which interface\?; there are: eth0 .*, eth1 /);
    lab.a.configuration.apply('iface=eth1,eth,ip=10.1.0.1/24');
    expect(lab.a.addresses.find(ip('10.1.0.1'), 3)).toBeGreaterThanOrEqual(0);
    expect(lab.a.configuration.describe(3)).toContain('iface=eth1');
    expect(lab.a.configuration.describe(ETH)).toBe('');
  });

  test('makes the interface that it describes', () => {
    const defaults = { name: 'eth0', mac: Uint8Array.of(2, 0, 0, 0, 0, 1), mtuBytes: 1500 };
    expect(interfaceOptionsOf('eth', defaults)).toEqual(defaults);
    expect(interfaceOptionsOf('iface=lan,mac=02:00:00:00:00:07,mtu=9000', defaults)).toEqual({
      name: 'lan',
      mac: Uint8Array.of(2, 0, 0, 0, 0, 7),
      mtuBytes: 9000,
    });
  });
});

describe('DHCPv4', () => {
  test('leases an address with its routes, MTU, servers, domains; renews; and forgets all when the lease ends', async () => {
    const lab = new Lab();
    const told: string[] = [];
    lab.a.onNews(() => told.push(...lab.a.configuration.news()));
    const server = new Dhcp4Server(lab);
    const dns = new DnsServer(lab);
    dns.names.set('web.lab', ['10.0.0.1']);
    server.options.push(
      [dhcp4.Option.Mtu, Uint8Array.of(1400 >> 8, 1400 & 255)],
      [dhcp4.Option.DomainName, new TextEncoder().encode('lab')],
      [dhcp4.Option.HostName, new TextEncoder().encode('five')],
    );
    lab.apply('eth,dhcp,fqdn=a.example.org');
    expect(lab.until(() => lab.has('10.0.0.5/24'), 20 * S)).toBe(true);
    lab.run(S);
    expect(server.heard).toEqual(['Discover', 'Request']);
    expect(server.hostName).toContain('example');
    expect(told).toContain('eth0: 10.0.0.5/24 by DHCP from 10.0.0.1, 1 h');
    expect(routesOf(lab.a, RouteOrigin.Dhcp4)).toEqual(['0.0.0.0/0 10.0.0.1']);
    expect(lab.a.interfaces.get(ETH)!.linkMtuBytes).toBe(1400);
    expect(lab.a.configuration.hostNameOf(ETH)).toBe('five');
    expect(await lab.ping('10.0.0.1')).toBe('10.0.0.1');
    expect(await lab.lookup('web')).toEqual(['10.0.0.1']);
    server.options = [[dhcp4.Option.Router, dhcp4.bytes4(number4('10.0.0.2'))]];
    lab.run(2000 * S);
    expect(server.heard).toEqual(['Discover', 'Request', 'Request']);
    expect(routesOf(lab.a, RouteOrigin.Dhcp4)).toEqual(['0.0.0.0/0 10.0.0.2']);
    expect(lab.a.configuration.resolver.config.servers).toEqual([]);
    server.answer = 'nothing';
    lab.run(3700 * S);
    expect(lab.addresses().filter((one) => one.startsWith('10.'))).toEqual([]);
    expect(routesOf(lab.a, RouteOrigin.Dhcp4)).toEqual([]);
    expect(told).toContain('eth0: the lease of 10.0.0.5 is over');
    server.answer = 'ack';
    expect(lab.until(() => lab.has('10.0.0.5/24'), 200 * S)).toBe(true);
  });

  test('takes classless routes instead of the router, those on the link and those behind a far gateway, RFC 3442', () => {
    const lab = new Lab();
    const server = new Dhcp4Server(lab);
    // 10.9.0.0/16 by 10.0.0.1; 10.8.0.0/16 on the link; default by 192.0.2.1, which is outside of the subnet.
    server.options.push([121, Uint8Array.of(16, 10, 9, 10, 0, 0, 1, 16, 10, 8, 0, 0, 0, 0, 0, 192, 0, 2, 1)]);
    lab.apply('eth,dhcp');
    lab.until(() => lab.has('10.0.0.5'), 20 * S);
    lab.run(S);
    expect(routesOf(lab.a, RouteOrigin.Dhcp4).sort()).toEqual([
      '0.0.0.0/0 192.0.2.1',
      '10.8.0.0/16 ',
      '10.9.0.0/16 10.0.0.1',
      '192.0.2.1/32 ',
    ]);
  });

  test('declines an address that somebody answers for, and takes the next one, RFC 2131 §3.1.5', () => {
    const lab = new Lab({ dadTransmits: 1 });
    const server = new Dhcp4Server(lab);
    lab.give('10.0.0.5/24');
    lab.apply('eth,dhcp');
    expect(lab.until(() => server.heard.includes('Decline'), 30 * S)).toBe(true);
    lab.run(0);
    expect(lab.news).toContain('eth0: 10.0.0.5 is in use by another station');
    server.address = '10.0.0.6';
    expect(lab.until(() => lab.has('10.0.0.6/24'), 40 * S)).toBe(true);
    expect(lab.states().filter((one) => one.startsWith('10.'))).toEqual(['10.0.0.6 Preferred']);
  });

  test('begins anew with -dhcp,dhcp, and gives the address back with -dhcp', () => {
    const lab = new Lab();
    const server = new Dhcp4Server(lab);
    lab.apply('eth,dhcp');
    lab.until(() => lab.has('10.0.0.5'), 20 * S);
    lab.run(S);
    lab.apply('-dhcp,dhcp');
    lab.run(20 * S);
    // The release waits for the server's hardware address, the discover does not.
    expect(server.heard.slice(2).sort()).toEqual(['Discover', 'Release', 'Request']);
    expect(lab.has('10.0.0.5')).toBe(true);
    lab.apply('-dhcp');
    lab.run(S);
    expect(server.heard.at(-1)).toBe('Release');
    expect(lab.has('10.0.0.5')).toBe(false);
    expect(lab.a.configuration.hearsDhcp).toBe(false);
  });
});

describe('routers', () => {
  const prefix = {
    address: ip('fd00::'),
    bits: 64,
    isOnLink: true,
    isAutonomous: true,
    validSeconds: 7200,
    preferredSeconds: 3600,
  };

  test('give a prefix, a route and servers to rd alone; DHCPv6 is not asked', async () => {
    const lab = new Lab();
    const server = new Dhcp6Server(lab);
    const dns = new DnsServer(lab);
    dns.names.set('web.ra', ['fd00::1', '10.0.0.1']);
    lab.advertise({ prefixes: [prefix], isManaged: true, servers: [ip('fe80::1')], domains: ['ra'] });
    lab.apply('eth,rd');
    expect(lab.until(() => lab.addresses().some((one) => one.startsWith('fd00::')), 10 * S)).toBe(true);
    lab.run(5 * S);
    expect(server.heard).toEqual([]);
    expect(routesOf(lab.a, RouteOrigin.Router)).toContain('::/0 fe80::1');
    expect(await lab.ping('fd00::1')).toBe('fd00::1');
    expect(await lab.lookup('web')).toEqual(['fd00::1', '10.0.0.1']); // IPv4 has no source: last, RFC 6724 §6 rule 1
    lab.apply('-rd');
    lab.run(S);
    expect(lab.addresses()).toHaveLength(1);
    expect(lab.addresses()[0]).toMatch(/^fe80::/);
    expect(lab.a.configuration.resolver.config).toMatchObject({ servers: [], search: [] });
    expect(routesOf(lab.a, RouteOrigin.Router)).toEqual([]);
  });

  test('that say M make auto ask for addresses, RFC 8415 §18.2.1; one that is renewed, ages and ends', () => {
    const lab = new Lab();
    const server = new Dhcp6Server(lab);
    lab.advertise({ prefixes: [{ ...prefix, isAutonomous: false }], isManaged: true });
    lab.apply('auto');
    expect(lab.until(() => lab.has('fd00::50/128'), 20 * S)).toBe(true);
    lab.run(S);
    expect(server.heard).toEqual(['Solicit', 'Request']);
    expect(lab.news).toContain('eth0: fd00::50/128 by DHCPv6');
    expect(lab.a.configuration.resolver.config).toMatchObject({ servers: [ip('fd00::1')], search: ['six'] });
    lab.run(1000 * S);
    expect(server.heard).toEqual(['Solicit', 'Request', 'Renew']);
    server.isSilent = true;
    lab.run(1900 * S);
    expect(lab.states()).toContain('fd00::50 Deprecated');
    lab.run(2000 * S);
    expect(lab.has('fd00::50')).toBe(false);
    expect(lab.a.configuration.resolver.config.servers).toEqual([]);
  });

  test('that say O make auto ask for servers only, RFC 8415 §18.2.6', () => {
    const lab = new Lab();
    const server = new Dhcp6Server(lab);
    lab.advertise({ prefixes: [prefix], hasOther: true });
    lab.apply('auto6');
    lab.run(10 * S);
    expect(server.heard).toEqual(['InformationRequest']);
    expect(lab.a.configuration.resolver.config).toMatchObject({ servers: [ip('fd00::1')], search: ['six'] });
    lab.advertise({ prefixes: [prefix], isManaged: true });
    lab.run(10 * S);
    expect(server.heard).toEqual(['InformationRequest', 'Solicit', 'Request']);
  });

  test('are not needed by dhcp6 alone, whose -all gives the address back', () => {
    const lab = new Lab();
    const server = new Dhcp6Server(lab);
    lab.apply('eth,dhcp6');
    expect(lab.until(() => lab.has('fd00::50'), 20 * S)).toBe(true);
    lab.apply('-all');
    lab.run(5 * S);
    expect(server.heard).toEqual(['Solicit', 'Request', 'Release']);
    expect(lab.addresses()).toEqual([]);
    expect(lab.a.configuration.deadlineUs()).toBe(Infinity);
  });

  test('a leased IPv6 address of another station is declined, RFC 8415 §18.2.8', () => {
    const lab = new Lab({ dadTransmits: 1 });
    const server = new Dhcp6Server(lab);
    lab.give('fd00::50/64');
    lab.apply('eth,dhcp6');
    expect(lab.until(() => server.heard.includes('Decline'), 20 * S)).toBe(true);
    server.address = 'fd00::51';
    expect(lab.until(() => lab.has('fd00::51'), 20 * S)).toBe(true);
  });

  test('temp adds temporary addresses, eui64 makes them of the hardware address, and both are undone', () => {
    const lab = new Lab();
    lab.advertise({ prefixes: [prefix] });
    lab.apply('eth,rd,temp,eui64');
    lab.run(10 * S);
    expect(lab.has('fe80::ff:fe00:1')).toBe(true);
    expect(lab.has('fd00::ff:fe00:1')).toBe(true);
    const globals = (): number => lab.addresses().filter((one) => one.startsWith('fd00:')).length;
    expect(globals()).toBe(2);
    lab.apply('-temp');
    lab.run(S);
    expect(globals()).toBe(1);
    lab.apply('-eui64');
    lab.run(10 * S);
    expect(lab.has('fd00::ff:fe00:1')).toBe(false);
    expect(globals()).toBe(1);
  });
});

test('an interface is made of its line', () => {
  const slab = new Lab().a.shared.slab;
  const stack = new Stack({ slab, secret: secretOf(1, 9), nowUs: 0 });
  const line = 'iface=lan,mac=02:00:00:00:00:07,eth';
  stack.addInterface(interfaceOptionsOf(line, { name: 'eth0', mac: new Uint8Array(6), mtuBytes: 1500 }));
  stack.configuration.apply(line);
  expect(stack.configuration.describe()).toBe('iface=lan,mac=02:00:00:00:00:07,mtu=1500,eth');
  expect(newHost(slab, 3).stack.configuration.describe()).toBe('');
});
