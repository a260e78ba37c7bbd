// A host on weft's own stack is configured by what configures hosts elsewhere: dnsmasq and radvd, in a namespace of its own.

import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { StackHost } from '../../engine/stack-host.io.ts';
import { formatAddress } from '../../stack/stack.ts';
import { needPrograms } from '../kit/run-kit.ts';
import { chosenPort, StackNet } from '../kit/stack-net.ts';
import { eventually, PATIENT, weft } from '../kit/weft-kit.ts';

let net: StackNet;
beforeEach(async () => {
  net = new StackNet();
  await net.up();
});
afterEach(() => net.close(), PATIENT.timeout);

/** dnsmasq beside the kernel's 10.0.0.1 and fd00::1, which serves the domain `lab`. */
const dnsmasq = (...options: readonly string[]): string =>
  [
    'dnsmasq --keep-in-foreground --conf-file=/dev/null --user= --group= --pid-file= --no-resolv --no-hosts --log-facility=-',
    '--interface=eth0 --bind-interfaces --domain=lab --local=/lab/ --dhcp-leasefile=/dev/null --dhcp-authoritative',
    '--host-record=web.lab,10.0.0.1,fd00::1',
    ...options,
  ].join(' ');

/** Starts servers beside the kernel's stack; resolves when one of them says that it is ready. */
const serve = (ready: RegExp, ...commands: readonly string[]) =>
  net.kernelServes(
    `trap 'kill $all' TERM; ${commands.map((one) => `${one} 2>&1 & all="$all $!";`).join(' ')} wait`,
    ready,
  );

const addressesOf = ({ stack }: StackHost): string[] =>
  stack.addresses
    .ids()
    .filter((a) => stack.addresses.ifaceOf(a) === 2 && stack.addresses.isUsable(a))
    .map((a) => formatAddress(stack.addresses.addressOf(a)));

async function lookup(host: StackHost, name: string): Promise<string[]> {
  host.tick();
  return (await host.stack.configuration.lookup(name)).map(formatAddress);
}

async function ping(host: StackHost, to: string): Promise<string> {
  host.tick();
  return (await host.stack.streams.ping(to)).address;
}

describe('by dnsmasq', PATIENT, () => {
  test('over DHCPv4: an address, a route, a server and a domain, by which names are found', async (ctx) => {
    needPrograms(ctx, 'dnsmasq');
    await serve(/DHCP, IP range/, dnsmasq('--dhcp-range=10.0.0.50,10.0.0.60,1h'));
    const host = await net.host({ line: 'eth,dhcp' });
    await eventually('a lease', () => addressesOf(host).some((one) => /^10\.0\.0\.(5\d|60)$/.test(one)));
    const { stack } = host;
    expect(stack.routes.list().some((one) => one.bits === 0 && one.gateway === '10.0.0.1')).toBe(true);
    expect(stack.configuration.resolver.config.servers.map(formatAddress)).toEqual(['10.0.0.1']);
    expect(stack.configuration.resolver.config.search).toEqual(['lab']);
    expect(await lookup(host, 'web')).toEqual(['10.0.0.1', 'fd00::1']);
    expect(await lookup(host, 'nobody.lab')).toEqual([]);
    expect(await ping(host, 'web.lab')).toBe('10.0.0.1');
  });

  test('over DHCPv6, where its advertisement says so: an address, a server and a domain', async (ctx) => {
    needPrograms(ctx, 'dnsmasq');
    const range = '--enable-ra --dhcp-range=fd00::100,fd00::1ff,64,1h';
    await serve(/DHCPv6, IP range/, dnsmasq(range, '--dhcp-option=option6:domain-search,lab'));
    const host = await net.host({ line: 'auto6' });
    await eventually('a lease', () => addressesOf(host).some((one) => /^fd00::1[0-9a-f]{2}$/.test(one)));
    const { config } = host.stack.configuration.resolver;
    expect(config.servers.map(formatAddress)).toContain('fd00::1');
    expect(config.search).toContain('lab');
    expect(await lookup(host, 'web')).toEqual(['fd00::1', '10.0.0.1']); // IPv4 has no source here
    expect(await ping(host, 'web')).toBe('fd00::1');
  });

  test('a connection of the program itself goes to a name that was leased', async (ctx) => {
    needPrograms(ctx, 'dnsmasq', 'nc');
    const range = '--dhcp-range=10.0.0.50,10.0.0.60,1h';
    await serve(/DHCP, IP range/, 'echo hello | nc -l -N 10.0.0.1 80', dnsmasq(range));
    const words = ['--net', net.directory, '-L', '0:web.lab:80', 'eth,dhcp'];
    const running = net.home.start(weft('stack', ...words));
    await eventually('the lease', () => running.stderr.includes('by DHCP from 10.0.0.1, 1 h'));
    const said = await net.home.exec(['sh', '-c', `nc -w5 127.0.0.1 ${chosenPort(running, 'web.lab')} < /dev/null`]);
    expect(said.stdout).toBe('hello\n');
  });
});

describe('by radvd', PATIENT, () => {
  test('an address of its prefix, a route, a server and a domain', async (ctx) => {
    needPrograms(ctx, 'radvd', 'dnsmasq');
    const conf = [
      'interface eth0 { AdvSendAdvert on; MinRtrAdvInterval 3; MaxRtrAdvInterval 4; AdvLinkMTU 1400;',
      'prefix fd00::/64 { }; RDNSS fd00::1 { }; DNSSL lab { }; };',
    ].join(' ');
    const radvd = [
      `d=$(mktemp -d); echo '${conf}' > $d/conf; sysctl -qw net.ipv6.conf.all.forwarding=1;`,
      'trap "kill \\$r; wait; rm -r $d" TERM; radvd -n -d 1 -p $d/pid -C $d/conf -m stderr & r=$!; wait',
    ].join(' ');
    await serve(/syntax ok/, `{ ${radvd}; }`, dnsmasq());
    const host = await net.host({ line: 'eth,rd' });
    await eventually('an address', () => addressesOf(host).some((one) => one.startsWith('fd00:')));
    const { stack } = host;
    await eventually('a server', () => stack.configuration.resolver.config.servers.length > 0);
    expect(stack.interfaces.get(2)!.linkMtuBytes).toBe(1400);
    expect(stack.routes.list().some((one) => one.bits === 0 && one.gateway.startsWith('fe80::'))).toBe(true);
    expect(stack.configuration.resolver.config.search).toEqual(['lab']);
    expect(await lookup(host, 'web')).toEqual(['fd00::1', '10.0.0.1']);
    expect(await ping(host, 'web')).toBe('fd00::1');
  });
});
