import { describe, expect, test } from 'vitest';
import * as dhcp4 from '../../../wire/dhcp4.ts';
import { Dhcp4Server, DnsServer, ETH, ip, Lab, number4, S } from '../kit-servers.ts';

describe('names', () => {
  const withServer = (line = ''): { lab: Lab; dns: DnsServer } => {
    const lab = new Lab();
    const dns = new DnsServer(lab);
    dns.names.set('web.lab', ['10.0.0.1', 'fd00::1']);
    dns.names.set('only4.lab', ['10.0.0.1']);
    dns.names.set('long.lab', ['10.0.0.1', 'fd00::1']);
    lab.apply(`eth,ip=10.0.0.7/24,ip=fd00::7/64,dns=10.0.0.1,domain=lab${line}`);
    lab.run(3 * S);
    return { lab, dns };
  };

  test('are looked for with the search list, A and AAAA', async () => {
    const { lab, dns } = withServer();
    expect((await lab.lookup('web')).length).toBe(2);
    expect(dns.asked.sort()).toEqual(['web.lab A', 'web.lab AAAA']);
    expect(await lab.lookup('web.lab')).toEqual(['10.0.0.1', 'fd00::1']); // of the cache
    expect(dns.asked).toHaveLength(2);
    expect(await lab.lookup('only4')).toEqual(['10.0.0.1']);
    expect(await lab.lookup('nobody')).toEqual([]);
    expect(await lab.lookup('10.0.0.9')).toEqual(['10.0.0.9']);
    expect(await lab.lookup('a..b')).toBe('EINVAL');
  });

  test('come in the order of RFC 6724 §6: global IPv6, IPv4, unique local', async () => {
    const { lab, dns } = withServer(',ip=2001:db8::7/64');
    dns.names.set('three.lab', ['10.0.0.1', 'fd00::1', '2001:db8::1']);
    expect(await lab.lookup('three')).toEqual(['2001:db8::1', '10.0.0.1', 'fd00::1']);
  });

  test('whose addresses have no source of their family come last, RFC 6724 §6 rule 1', async () => {
    const { lab } = withServer();
    lab.apply('-ip=10.0.0.7/24,-dns=10.0.0.1,dns=fd00::1');
    expect(await lab.lookup('web')).toEqual(['fd00::1', '10.0.0.1']);
  });

  test('whose answer is cut are asked for over TCP, RFC 7766 §5', async () => {
    const { lab, dns } = withServer();
    expect(await lab.lookup('long')).toEqual(['10.0.0.1', 'fd00::1']);
    expect(dns.overTcp).toBe(2);
  });

  test('of the hosts text need no server', async () => {
    const { lab, dns } = withServer();
    lab.a.configuration.setHosts('10.0.0.77 box.test box\n');
    expect(await lab.lookup('box')).toEqual(['10.0.0.77']);
    expect(await lab.lookup('localhost')).toEqual(['::1', '127.0.0.1']);
    expect(dns.asked.filter((one) => one.startsWith('box'))).toEqual([]);
  });

  test('without a server cannot be found, and a server that is silent is an ETIMEDOUT', async () => {
    const lab = new Lab();
    lab.apply('eth,ip=10.0.0.7/24');
    expect(await lab.lookup('web.lab')).toBe('EHOSTUNREACH');
    lab.apply('dns=10.0.0.200');
    expect(await lab.lookup('web.lab')).toMatch(/ETIMEDOUT|EHOSTUNREACH/);
  });

  test('a connection goes to the addresses of a name', async () => {
    const { lab } = withServer();
    const listener = lab.b.streams.listen({ host: '10.0.0.1', port: 80 });
    const stream = await lab.settled(lab.a.streams.connect({ host: 'only4', port: 80 }));
    expect(typeof stream).toBe('object');
    listener.close();
  });

  test('who waits when the stack closes gets ECONNABORTED', async () => {
    const { lab } = withServer();
    const lookup = lab.a.configuration.lookup('web');
    lab.a.configuration.close();
    await expect(lookup).rejects.toMatchObject({ code: 'ECONNABORTED' });
  });
});

test('servers come static first, then of DHCP, then of routers; each once; and go with who told them', () => {
  const lab = new Lab();
  const server = new Dhcp4Server(lab);
  server.options.push([
    dhcp4.Option.DnsServers,
    Uint8Array.from([...dhcp4.bytes4(number4('10.0.0.1')), ...dhcp4.bytes4(number4('10.0.0.2'))]),
  ]);
  server.options.splice(1, 1);
  lab.advertise({ servers: [ip('fd00::1')], domains: ['ra'] });
  lab.apply('eth,rd,dhcp,dns=10.0.0.2,domain=mine');
  lab.run(20 * S);
  const { configuration } = lab.a;
  expect(configuration.resolver.config).toMatchObject({
    servers: [ip('10.0.0.2'), ip('10.0.0.1'), ip('fd00::1')],
    search: ['mine', 'ra'],
  });
  lab.apply('-dhcp');
  expect(configuration.resolver.config.servers).toEqual([ip('10.0.0.2'), ip('fd00::1')]);
  lab.apply('-dns=10.0.0.2');
  expect(configuration.resolver.config.servers).toEqual([ip('fd00::1')]);
  lab.apply('-rd');
  expect(configuration.resolver.config).toMatchObject({ servers: [], search: ['mine'] });
});

describe('multicast DNS', () => {
  const twoHosts = (a: string, b: string): Lab => {
    const lab = new Lab({ serverAddresses: [] });
    lab.apply(`eth,ip=10.0.0.7/24,fqdn=${a}`);
    lab.b.configuration.apply(`eth,ip=10.0.0.1/24,fqdn=${b}`, ETH);
    lab.run(6 * S);
    return lab;
  };
  const nameOf = (lab: Lab, which: 'a' | 'b'): Promise<string[] | string> =>
    lab.lookup(which === 'a' ? 'a.local' : 'b.local', which === 'a' ? lab.b : lab.a);

  test('finds a host by the first label of its name, both ways', async () => {
    const lab = twoHosts('a.example.org', 'b');
    expect(await nameOf(lab, 'a')).toContain('10.0.0.7');
    expect(await nameOf(lab, 'b')).toContain('10.0.0.1');
    expect(await lab.lookup('nobody.local')).toEqual([]);
  });

  test('asks on a link where nothing is claimed', async () => {
    const lab = new Lab({ serverAddresses: [] });
    lab.b.configuration.apply('eth,ip=10.0.0.1/24,fqdn=b', ETH);
    lab.apply('eth,ip=10.0.0.7/24');
    lab.run(6 * S);
    expect(await lab.lookup('b.local')).toContain('10.0.0.1');
  });

  test('a name that is taken gets a number, RFC 6762 §9', async () => {
    const lab = new Lab({ serverAddresses: [] });
    lab.b.configuration.apply('eth,ip=10.0.0.1/24,fqdn=same', ETH);
    lab.run(6 * S);
    lab.apply('eth,ip=10.0.0.7/24,fqdn=same');
    lab.run(20 * S);
    expect(await lab.lookup('same.local', lab.b)).toContain('10.0.0.1');
    expect(await lab.lookup('same-2.local', lab.b)).toContain('10.0.0.7');
  });

  test('a host that is renamed is found by its new name only', async () => {
    const lab = twoHosts('a', 'b');
    expect(await nameOf(lab, 'b')).toContain('10.0.0.1');
    lab.b.configuration.apply('fqdn=c', ETH);
    lab.run(6 * S);
    expect(await lab.lookup('c.local')).toContain('10.0.0.1');
    expect(await nameOf(lab, 'b')).toEqual([]);
  });

  test('an interface that goes down answers nothing, and who asked on it is told', async () => {
    const lab = twoHosts('a', 'b');
    const lookup = lab.a.configuration.lookup('nobody.local');
    await Promise.resolve();
    lab.apply('-all');
    expect(await lab.settled(lookup)).toEqual([]);
    expect(await lab.lookup('b.local')).toEqual([]);
  });
});
