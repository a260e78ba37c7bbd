import { describe, expect, test } from 'vitest';
import { parseForward } from '../../slirp/slirp.ts';
import { AddressOrigin, Errno, formatAddress, parseAddress, Ready, RouteOrigin } from '../../stack/stack.ts';
import { GatewayLab } from './kit-gateway.ts';

const isOpen = (lab: GatewayLab, h: number): boolean => (lab.guest.sockets.poll(h) & Ready.Out) !== 0;
const isFailed = (lab: GatewayLab, h: number): boolean => (lab.guest.sockets.poll(h) & Ready.Error) !== 0;
const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);
const textOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

/** Connects, and passes a word each way. */
function talk(
  lab: GatewayLab,
  to: string,
  port: number,
  where = to.includes(':') ? `[${to}]:${port}` : `${to}:${port}`,
) {
  lab.host.answer(where, 'accept');
  const h = lab.connect(to, port);
  lab.run();
  expect(isOpen(lab, h)).toBe(true);
  const peer = lab.host.peers.at(-1)!;
  expect(peer.where).toBe(where);
  lab.send(h, 'hello');
  lab.run();
  expect(textOf(peer.read())).toBe('hello');
  peer.write(bytesOf('welcome'));
  lab.run();
  expect(lab.read(h)).toBe('welcome');
  return { h, peer };
}

describe('router advertisements', () => {
  test('give a guest an address, a route, an MTU, servers and domains', () => {
    const lab = new GatewayLab({ network: 'advertise=1400 domain=lab search=a.example' });
    lab.run(3_000_000);
    const { addresses, routes } = lab.guest;
    const formed = addresses.ids().filter((a) => addresses.originOf(a) === AddressOrigin.Slaac);
    expect(formed.map((a) => formatAddress(addresses.addressOf(a)).slice(0, 5))).toEqual(['fd00:']);
    const byRouter = routes.ids().filter((r) => routes.originOf(r) === RouteOrigin.Router);
    expect(byRouter.map((r) => formatAddress(routes.gatewayOf(r))).sort()).toEqual(['::', 'fe80::2']);
    expect(lab.guest.interfaces.get(2)!.linkMtuBytes).toBe(1400);
    expect(lab.guest.autoconf.dns.listServers().map((one) => formatAddress(one.address))).toEqual(['fd00::3']);
    expect(lab.guest.autoconf.dns.listDomains().map((one) => one.name)).toEqual(['lab', 'a.example']);
  });

  test('are not sent if that is not wanted', () => {
    const lab = new GatewayLab({ network: 'ra=no' });
    lab.run(3_000_000);
    expect(lab.guest.autoconf.routers.all()).toEqual([]);
  });
});

describe('a guest', () => {
  test.each(['10.0.2.2', '10.0.2.3', 'fd00::2', 'fd00::3'])('pings %s, the gateway', (to) => {
    const lab = new GatewayLab();
    lab.run(3_000_000);
    const h = lab.ping(to);
    lab.run();
    const reply = lab.readFrom(h);
    expect(reply).toMatchObject({ from: parseAddress(to) });
  });

  test.each(['192.0.2.7', '2001:db8::7'])('speaks TCP with %s', (to) => {
    const lab = new GatewayLab();
    lab.run(3_000_000);
    const { h } = talk(lab, to, 80);
    expect([...lab.gateway.flows()]).toMatchObject([
      { protocol: 'tcp', direction: 'out', state: 'open', bytesOut: 5, bytesIn: 7 },
    ]);
    lab.guest.sockets.abort(h);
    lab.run();
    expect([...lab.gateway.flows()]).toEqual([]);
    expect(lab.host.openHandles).toBe(0);
  });

  test.each(['192.0.2.7', '2001:db8::7'])('speaks UDP with %s', (to) => {
    const lab = new GatewayLab();
    lab.run(3_000_000);
    const where = to.includes(':') ? `[${to}]:53` : `${to}:53`;
    lab.outside.place(where, ({ bytes }) => bytesOf(textOf(bytes).toUpperCase()));
    const h = lab.udp(to.includes(':'));
    lab.send(h, 'question', to, 53);
    lab.run();
    const reply = lab.readFrom(h);
    expect(reply).toMatchObject({ from: parseAddress(to), port: 53, bytes: bytesOf('QUESTION') });
    expect([...lab.gateway.flows()]).toMatchObject([{ protocol: 'udp', direction: 'out' }]);
    lab.run(121_000_000);
    expect([...lab.gateway.flows()]).toEqual([]);
  });

  test.each(['192.0.2.7', '2001:db8::7'])('pings %s outside', (to) => {
    const lab = new GatewayLab();
    lab.run(3_000_000);
    lab.outside.echoes.add(to);
    const h = lab.ping(to);
    lab.run();
    expect(lab.readFrom(h)).toMatchObject({ from: parseAddress(to) });
  });

  test.each([
    ['169.254.169.254', 80],
    ['192.168.1.5', 80],
    ['192.168.1.77', 80],
    ['10.0.2.2', 5432],
    ['10.0.2.3', 80],
    ['fd00::2', 80],
    ['64:ff9b::7f00:1', 80],
    ['64:ff9b::a9fe:a9fe', 80],
    ['2002:7f00:1::1', 80],
    ['fd00:ec2::254', 80],
    ['fd00::77', 80],
  ])('does not reach %s port %i', (to, port) => {
    const places = {
      addresses: [parseAddress('192.168.1.5')!],
      networks: [{ address: parseAddress('192.168.1.0')!, bits: 24 }],
    };
    const lab = new GatewayLab({ places });
    lab.run(3_000_000);
    const stream = lab.connect(to, port);
    const datagram = lab.udp(to.includes(':'));
    lab.send(datagram, 'x', to, port);
    const echo = lab.ping(to);
    lab.run(4_000_000);
    expect(isOpen(lab, stream) && !isFailed(lab, stream)).toBe(false);
    expect(lab.host.peers).toEqual([]);
    expect(lab.outside.sent).toEqual([]);
    if (!['10.0.2.2', '10.0.2.3', 'fd00::2'].includes(to)) expect(lab.readFrom(echo)).toBeLessThan(0);
  });

  test('reaches the loopback by the gateway where a rule says so', () => {
    const lab = new GatewayLab({ allow: ['127.0.0.1:5432', '[::1]:53/udp'] });
    lab.run(3_000_000);
    talk(lab, '10.0.2.2', 5432, '127.0.0.1:5432');
    lab.outside.place('[::1]:53', ({ bytes }) => bytes);
    const h = lab.udp(true);
    lab.send(h, 'q', 'fd00::2', 53);
    lab.run();
    expect(lab.readFrom(h)).toMatchObject({ from: parseAddress('fd00::2'), port: 53 });
  });

  test('reaches IPv4 by NAT64', () => {
    const nat64 = { address: parseAddress('2001:db8:64::')!, bits: 96 };
    const lab = new GatewayLab({ nat64 });
    lab.run(3_000_000);
    talk(lab, '2001:db8:64::c000:207', 80, '192.0.2.7:80');
    lab.outside.place('192.0.2.7:53', ({ bytes }) => bytes);
    const h = lab.udp(true);
    lab.send(h, 'q', '2001:db8:64::c000:207', 53);
    lab.run();
    expect(lab.readFrom(h)).toMatchObject({ from: parseAddress('2001:db8:64::c000:207'), port: 53 });
  });

  test.each(['fd00::', 'fd00::1:0:0'])('NAT64 by %s/96, where the guests are, is refused', (prefix) => {
    const nat64 = { address: parseAddress(prefix)!, bits: 96 };
    expect(() => new GatewayLab({ nat64 })).toThrow('choose a prefix apart from it');
  });

  test('restricted, reaches only what a rule allows', () => {
    const lab = new GatewayLab({ isRestricted: true, allow: ['192.0.2.7:443'] });
    talk(lab, '192.0.2.7', 443);
    lab.host.answer('192.0.2.7:80', 'accept');
    const h = lab.connect('192.0.2.7', 80);
    lab.run();
    expect(lab.guest.sockets.poll(h) & Ready.Error).not.toBe(0);
    expect(lab.gateway.counters.prohibited).toBe(1);
    expect(lab.host.peers).toHaveLength(1);
  });

  test('has so many flows and no more', () => {
    const lab = new GatewayLab({ caps: { tcpPerGuest: 3 } });
    lab.host.answer('192.0.2.7:80', 'accept');
    lab.send(lab.udp(), 'x', '192.0.2.7', 9); // the gateway's hardware address is known
    lab.run();
    const all = Array.from({ length: 5 }, () => lab.connect('192.0.2.7', 80));
    lab.run();
    expect(all.filter((h) => !isFailed(lab, h))).toHaveLength(3);
    expect(lab.gateway.counters.guestFull).toBe(2);
    lab.guest.sockets.abort(all[0]!);
    lab.run();
    const another = lab.connect('192.0.2.7', 80);
    lab.run();
    expect(isFailed(lab, another)).toBe(false);
  });

  test('speaks in super-frames where both ends take them', () => {
    const lab = new GatewayLab({ mtuBytes: 65520, takesOffload: true });
    const { peer, h } = talk(lab, '192.0.2.7', 80);
    const bytes = new Uint8Array(50_000).fill(7);
    expect(lab.guest.sockets.send(h, bytes, 0, bytes.length)).toBe(50_000);
    lab.run();
    expect(peer.read().length).toBe(50_000);
  });
});

describe('forwards', () => {
  test('in, of streams, at run time', () => {
    const lab = new GatewayLab();
    const { sockets } = lab.guest;
    const listener = sockets.socket(2, 1);
    sockets.bind(listener, parseAddress('0.0.0.0')!, 80);
    sockets.listen(listener, 8);
    const view = lab.gateway.addForward(parseForward('in', '8080:10.0.2.15:80'));
    expect(view).toMatchObject({ id: 1, text: 'tcp:8080:10.0.2.15:80', clients: 0 });
    const client = lab.host.connectFrom('127.0.0.1:5555', '127.0.0.1:8080')!;
    lab.run();
    const h = sockets.accept(listener);
    expect(h).toBeGreaterThanOrEqual(0);
    client.write(bytesOf('GET'));
    lab.run();
    expect(lab.read(h)).toBe('GET');
    expect([...lab.gateway.flows(parseAddress('10.0.2.15')!)]).toMatchObject([{ direction: 'in', protocol: 'tcp' }]);
    expect([...lab.gateway.flows(parseAddress('10.0.2.1')!)]).toEqual([]);
    expect(lab.gateway.forwards()).toMatchObject([{ id: 1, clients: 1 }]);
    expect(lab.gateway.removeForward(1)).toMatchObject({ id: 1 });
    expect(lab.gateway.removeForward(1)).toBeUndefined();
    expect(lab.host.connectFrom('127.0.0.1:5556', '127.0.0.1:8080')).toBeUndefined();
    client.write(bytesOf('more'));
    lab.run();
    expect(lab.read(h)).toBe('more');
  });

  test('in, of datagrams, and a range', () => {
    const lab = new GatewayLab();
    const h = lab.udp(false, 5301);
    lab.gateway.addForward(parseForward('in', 'udp:198.51.100.1:6300-6302:10.0.2.15:5300-5302'));
    expect(lab.outside.inject('192.0.2.9:1234', '198.51.100.1:6301', bytesOf('q'))).toBe(true);
    lab.run();
    const got = lab.readFrom(h);
    expect(got).toMatchObject({ bytes: bytesOf('q'), from: parseAddress('10.0.2.2') });
    expect(lab.gateway.forwards()).toMatchObject([{ ports: 3, clients: 1 }]);
    lab.gateway.removeForward(1);
    expect(lab.outside.open).toBe(0);
  });

  test('of a range stand all or none', () => {
    const lab = new GatewayLab();
    lab.gateway.addForward(parseForward('in', '8002:10.0.2.15:80'));
    const before = lab.host.openHandles;
    expect(() => lab.gateway.addForward(parseForward('in', '8000-8004:10.0.2.15:80'))).toThrow(
      'forward tcp:8000-8004:10.0.2.15:80-84: 127.0.0.1 port 8002 is in use on the host; choose another',
    );
    expect(lab.host.openHandles).toBe(before);
    expect(lab.gateway.forwards()).toHaveLength(1);
  });

  test('find a port that is free', () => {
    const lab = new GatewayLab();
    const view = lab.gateway.addForward(parseForward('in', '0:10.0.2.15:80'));
    expect(view.port).toBeGreaterThan(0);
    expect(view.text).toBe(`tcp:${view.port}:10.0.2.15:80`);
    expect(lab.host.connectFrom('127.0.0.1:5', `127.0.0.1:${view.port}`)).toBeDefined();
    const udp = lab.gateway.addForward(parseForward('in', 'udp:0:10.0.2.15:80'));
    expect(udp.port).toBeGreaterThan(0);
  });

  test('in, of a Unix socket', () => {
    const lab = new GatewayLab();
    lab.gateway.addForward(parseForward('in', 'unix:/run/web:10.0.2.15:80'));
    expect(lab.host.connectFrom('', '/run/web')).toBeDefined();
  });

  test('out, to a place that rules forbid', () => {
    const lab = new GatewayLab({ deny: ['any'] });
    lab.gateway.addForward(parseForward('out', '5432:127.0.0.1:15432'));
    lab.gateway.addForward(parseForward('out', '81:unix:/run/web'));
    lab.gateway.addForward(parseForward('out', 'udp:53:127.0.0.53:53'));
    talk(lab, '10.0.2.2', 5432, '127.0.0.1:15432');
    talk(lab, '10.0.2.2', 81, '/run/web');
    lab.outside.place('127.0.0.53:53', ({ bytes }) => bytes);
    const h = lab.udp();
    lab.send(h, 'q', '10.0.2.3', 53);
    lab.run();
    expect(lab.readFrom(h)).toMatchObject({ from: parseAddress('10.0.2.3'), port: 53 });
    lab.gateway.removeForward(1);
    const refused = lab.connect('10.0.2.2', 5432);
    lab.run();
    expect(isFailed(lab, refused)).toBe(true);
  });

  test.each([
    ['8080:10.9.9.9:80', "10.9.9.9 is no guest's address; guests are in 10.0.2.0/24 and fd00::/64"],
    ['8080:10.0.2.2:80', "is no guest's address"],
    ['8080:[fd00::15]:80,keep-source', 'leave keep-source out'],
  ])('in %s is refused: %s', (text, reason) => {
    expect(() => new GatewayLab().gateway.addForward(parseForward('in', text))).toThrow(reason);
  });
});

describe('a gateway that is started anew', () => {
  test('serves new connections at once; old ones are reset', () => {
    const lab = new GatewayLab();
    lab.run(3_000_000);
    const old = talk(lab, '192.0.2.7', 80);
    const old6 = talk(lab, '2001:db8::7', 80);
    const datagrams = lab.udp(false, 4444);
    lab.send(datagrams, 'a', '192.0.2.7', 53);
    lab.run();
    lab.restart();
    expect(old.peer.isReset).toBe(true);
    talk(lab, '192.0.2.7', 80);
    talk(lab, '2001:db8::7', 80);
    lab.outside.place('192.0.2.7:53', ({ bytes }) => bytes);
    lab.send(datagrams, 'b', '192.0.2.7', 53);
    lab.send(old.h, 'still there?');
    lab.send(old6.h, 'still there?');
    lab.run();
    expect(lab.read(datagrams)).toBe('b');
    expect(lab.read(old.h)).toBe(-Errno.ECONNRESET);
    expect(lab.read(old6.h)).toBe(-Errno.ECONNRESET);
  });

  test('gives all memory and descriptors back', () => {
    const lab = new GatewayLab();
    lab.run(3_000_000);
    lab.restart();
    const before = lab.slab.usedBytes;
    for (let i = 0; i < 3; i++) {
      const { h } = talk(lab, '192.0.2.7', 80);
      lab.send(lab.udp(), 'x', '192.0.2.7', 53);
      lab.gateway.addForward(parseForward('in', '8080:10.0.2.15:80'));
      lab.run();
      const { host } = lab;
      lab.restart();
      expect(host.openHandles).toBe(0);
      lab.guest.sockets.abort(h);
      lab.run();
    }
    expect(lab.slab.usedBytes).toBeLessThanOrEqual(before + 65536);
  });
});
