// The DHCP servers and clients that we did not write: the iPXE of QEMU's network cards boots a script by HTTP, over IPv4 and
// IPv6, and says in its requests what it was told; systemd-networkd configures a TAP in namespaces of its own.

import { afterAll, beforeAll, expect, test } from 'vitest';
import type { StackHost } from '../../engine/stack-host.io.ts';
import { DhcpService } from '../../service/service.ts';
import { ADVERTISEMENT } from '../../stack/autoconf/advertisement.ts';
import { formatAddress, type TcpStream } from '../../stack/stack.ts';
import { needPrograms, needRoot } from '../kit/run-kit.ts';
import { StackNet } from '../kit/stack-net.ts';
import { eventually, PATIENT } from '../kit/weft-kit.ts';
import { ip, optionsOf } from '../service/kit.ts';

const ETH = 2;
const QEMU = 'qemu-system-x86_64 -display none -serial none -monitor none -m 64 -accel tcg -boot n'.split(' ');
const NETWORKD_PATH = '/usr/lib/systemd/systemd-networkd';
const MAC = '52:54:00:12:34:56'; // QEMU's usual one

const SCRIPTS: Readonly<Record<string, string>> = {
  '/boot.ipxe': `#!ipxe
set told ip=\${net0/ip}&mask=\${net0/netmask}&gw=\${net0/gateway}&dns=\${dns}&domain=\${domain}&host=\${hostname}&mtu=\${net0/26:uint16}
imgfetch http://10.0.2.2/told4?\${told} ||
ifclose net0
ifconf --configurator ipv6 net0 || imgfetch http://10.0.2.2/failed
imgfetch http://[fd00::2]/told6?ip6=\${net0/ip6}&mac=\${net0/mac} ||
poweroff
`,
};

const net = new StackNet();
let host: StackHost;
let service: DhcpService;
const asked: string[] = [];

/** One request of a connection is answered with a script, or a script that does nothing. */
async function serve(stream: TcpStream): Promise<void> {
  let request = '';
  while (!request.includes('\r\n\r\n')) {
    const bytes = await stream.read();
    if (!bytes) return stream.close();
    request += new TextDecoder().decode(bytes);
  }
  const path = request.split(' ')[1]!;
  asked.push(path);
  const body = SCRIPTS[path] ?? '#!ipxe\n';
  const head = `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n`;
  await stream.write(new TextEncoder().encode(head + body));
  await stream.end();
  stream.close();
}

beforeAll(async () => {
  await net.up();
  host = await net.host({ line: 'mac=52:55:0a:00:02:02,eth,ip=10.0.2.2/24,ip=fd00::2/64' });
  const nowS = (): number => Math.floor(Date.now() / 1000);
  const options = optionsOf(nowS, { reservations: [{ address: ip('10.0.2.15'), mac: MAC, name: 'machine' }] });
  const boot = { file: 'http://10.0.2.2/boot.ipxe' };
  const settings = { ...options.settings, ip4: { ...options.settings.ip4!, boot } };
  host.tick();
  service = new DhcpService(host.stack, ETH, { ...options, settings });
  const { isManaged, hasOther } = service.wantsManaged;
  host.stack.autoconf.advertise(ETH, { ...ADVERTISEMENT, isManaged, hasOther });
});
afterAll(() => net.close());

/** What the servers refused or could not do since the last look. */
const failures = (): object => {
  const { naks, malformed, notForUs, unsent } = service.counters;
  return { naks, malformed, notForUs, unsent };
};

test('iPXE gets a lease of each family, and boots a script over HTTP', PATIENT, async (ctx) => {
  needPrograms(ctx, QEMU[0]!);
  const listener = host.stack.streams.listen({ port: 80 });
  void (async () => {
    for await (const stream of listener) void serve(stream).catch(() => stream.close());
  })();
  const path = `${net.directory}/stream`;
  const netdev = `stream,server=off,addr.type=unix,addr.path=${path},id=n`;
  net.home.start([...QEMU, '-device', `virtio-net-pci,netdev=n,mac=${MAC}`, '-netdev', netdev]);
  await eventually('what the firmware was told by DHCPv4', () => asked.some((one) => one.startsWith('/told4')));
  expect(asked[0]).toBe('/boot.ipxe');
  const told = new URLSearchParams(asked.find((one) => one.startsWith('/told4'))!.split('?')[1]);
  expect(Object.fromEntries(told)).toEqual({
    ip: '10.0.2.15',
    mask: '255.255.255.0',
    gw: '10.0.2.2',
    dns: '10.0.2.3',
    domain: 'weft.test',
    host: 'machine',
    mtu: '0x578',
  });
  await eventually('what the firmware was told by DHCPv6', () => asked.some((one) => one.startsWith('/told6')));
  const told6 = new URLSearchParams(asked.find((one) => one.startsWith('/told6'))!.split('?')[1]);
  const [lease4, lease6, ...more] = service.leases.list().filter((one) => one.state === 'bound');
  expect(more).toEqual([]);
  expect([formatAddress(lease4!.address), lease4!.name, lease4!.mac]).toEqual(['10.0.2.15', 'machine', MAC]);
  expect([formatAddress(lease6!.address), lease6!.mac]).toEqual([told6.get('ip6'), MAC]);
  expect(failures()).toEqual({ naks: 0, malformed: 0, notForUs: 0, unsent: 0 });
});

/** systemd-networkd on a TAP that vde_plug brings into the network, until it has a lease of each family; then it ends. */
const NETWORKD = `set -e
mount -t sysfs -o ro sysfs /sys
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/network
echo lxc > /run/systemd/container
install -d -o systemd-network -g systemd-network /run/systemd/netif
printf '[Match]\\nName=tap0\\n[Network]\\nDHCP=yes\\n[DHCPv4]\\nHostname=sdguest\\nUseMTU=yes\\n' > /run/systemd/network/tap0.network
vde_plug "vde://$0" tap://tap0 < /dev/null & plug=$!
until ip link show tap0 > /dev/null 2>&1; do sleep 0.05; done
container=lxc ${NETWORKD_PATH} > /run/log 2>&1 & daemon=$!
until ip -6 address show dev tap0 | grep -q fd00: && ip route | grep -q default; do sleep 0.1; done
ip -o address show dev tap0 scope global | awk '{ print $4 }'
ip route show default
cat /run/systemd/netif/leases/*
ping -c 1 -w 10 10.0.2.2 > /dev/null # else its last word is lost, as it waits for ARP
kill $daemon; wait $daemon || true
sleep 0.5
kill $plug
`;

test('systemd-networkd gets a lease of each family in two messages each, and releases it', PATIENT, async (ctx) => {
  needRoot(ctx);
  needPrograms(ctx, 'unshare', 'vde_plug', 'ping', NETWORKD_PATH);
  const command = ['unshare', '--net', '--mount', 'sh', '-c', NETWORKD, net.directory];
  const { stdout, stderr } = await net.home.start(command, { uid: 0 }).ended;
  const all = service.leases.list().filter((one) => one.name === 'sdguest');
  const addresses = all.map((one) => formatAddress(one.address));
  expect(addresses, stdout + stderr).toHaveLength(2);
  expect(stdout).toContain(`${addresses[0]}/24\n${addresses[1]}/128\ndefault via 10.0.2.2 dev tap0 proto dhcp`);
  for (const line of ['MTU=1400', 'T1=1800', 'DNS=10.0.2.3', 'DOMAINNAME=weft.test']) expect(stdout).toContain(line);
  expect(all[0]!.client).toMatch(/^ff[0-9a-f]{8}/); // RFC 4361
  expect(new Set(all.map((one) => one.mac)).size).toBe(1);
  expect(all[0]!.state).toBe('expired');
  expect(failures()).toEqual({ naks: 0, malformed: 0, notForUs: 0, unsent: 0 });
});
