// Connections from outside to a guest, as the client and the guest's server see them.

import { describe, expect, test } from 'vitest';
import { Errno, Family, formatAddress, parseAddress, SocketName, SocketType } from '../../stack/stack.ts';
import { bytesOf, Lab, Reader, Socket, text } from './kit-flows.ts';

const S = 1_000_000;
const ANY_4 = parseAddress('0.0.0.0')!;
const ANY_6 = parseAddress('::')!;
const GUESTS = { 4: parseAddress('10.0.0.1')!, 6: parseAddress('fd00::1')! };

/** A server of the guest's, of both families. */
class Server {
  readonly lab: Lab;
  readonly h: number;

  constructor(lab: Lab, port: number) {
    this.lab = lab;
    const { sockets } = lab.guest;
    this.h = sockets.socket(Family.Inet6, SocketType.Stream);
    sockets.bind(this.h, ANY_6, port);
    sockets.listen(this.h, 511);
  }

  accept(): Socket | undefined {
    const c = this.lab.guest.sockets.accept(this.h);
    return c < 0 ? undefined : new Socket(this.lab.guest, c);
  }
}

const forward = { path: '', address: ANY_4, port: 8080, guest: GUESTS[4], guestPort: 80, keepSource: false };

/** Whom the guest sees at the other end. */
function peerOf(socket: Socket): string {
  const name = new SocketName();
  socket.stack.sockets.peer(socket.h, name);
  return `${formatAddress(name.address)} ${name.port}`;
}

describe.each([
  ['IPv4 to IPv4', ANY_4, '0.0.0.0:8080', GUESTS[4], '10.0.0.2', '10.0.0.1:80'],
  ['IPv6 to IPv6', ANY_6, '[::]:8080', GUESTS[6], 'fd00::2', '[fd00::1]:80'],
  ['IPv4 to IPv6', ANY_4, '0.0.0.0:8080', GUESTS[6], 'fd00::2', '[fd00::1]:80'],
])('%s', (_what, address, listens, guest, gateway, guestText) => {
  test('a client reaches the guest, which sees the gateway; bytes and ends go both ways', () => {
    const lab = new Lab();
    const server = new Server(lab, 80);
    const id = lab.forwards.add({ ...forward, address, guest });
    expect(lab.forwards.list()).toEqual([{ id, listens, guest: guestText, keepSource: false, accepted: 0 }]);
    const client = lab.host.connectFrom('198.51.100.77:5000', listens)!;
    client.write(bytesOf('question'));
    lab.run();
    const socket = server.accept()!;
    expect(peerOf(socket)).toMatch(new RegExp(`^${gateway} `));
    expect(text(socket.read())).toBe('question');
    socket.write(bytesOf('answer'));
    socket.end();
    lab.run();
    expect(text(client.read())).toBe('answer');
    expect(client.isAtEnd).toBe(true);
    const [flow] = [...lab.forwards.flows()];
    expect(flow).toMatchObject({
      direction: 'in',
      guest: guestText,
      target: '198.51.100.77:5000',
      state: 'guest-closed',
      bytesOut: 6,
      bytesIn: 8,
    });
    expect([...lab.tcp.flows()]).toEqual([]);
    client.end();
    lab.run();
    expect(socket.read()).toBe(0);
    expect(lab.relay.flows.count).toBe(0);
    expect(lab.caps.total).toBe(0);
    expect(lab.counters).toMatchObject({ forwardsAccepted: 1, forwardsFailed: 0 });
    expect(lab.forwards.list()[0]!.accepted).toBe(1);
  });
});

test('a Unix socket leads to a guest as well', () => {
  const lab = new Lab();
  const server = new Server(lab, 80);
  lab.forwards.add({ ...forward, path: '/run/web' });
  expect(lab.forwards.list()[0]!.listens).toBe('unix:/run/web');
  const client = lab.host.connectFrom('', '/run/web')!;
  lab.run();
  const socket = server.accept()!;
  socket.write(bytesOf('hello'));
  lab.run();
  expect(text(client.read())).toBe('hello');
  expect([...lab.forwards.flows()][0]).toMatchObject({ target: 'unix', host: 'unix' });
});

test('port 0 listens on one that is free, and says which', () => {
  const lab = new Lab();
  lab.forwards.add({ ...forward, port: 0 });
  expect(lab.forwards.list()[0]!.listens).toMatch(/^0\.0\.0\.0:3\d{4}$/);
});

describe('the client’s own address', () => {
  const keep = { ...forward, keepSource: true };

  test.each([
    ['198.51.100.77:5000', keep, '198.51.100.77 5000'],
    ['[2001:db8:5::77]:5000', { ...keep, address: ANY_6, guest: GUESTS[6] }, '2001:db8:5::77 5000'],
  ])('%s is seen by the guest, and answered', (from, kept, seen) => {
    const lab = new Lab();
    const server = new Server(lab, 80);
    lab.forwards.add(kept);
    const client = lab.host.connectFrom(from, lab.forwards.list()[0]!.listens)!;
    lab.run();
    const socket = server.accept()!;
    expect(peerOf(socket)).toBe(seen);
    socket.write(bytesOf('hello'));
    lab.run();
    expect(text(client.read())).toBe('hello');
  });

  test.each([
    ['127.0.0.1:5000', keep],
    ['10.0.0.77:5000', keep],
    ['10.0.0.2:5000', keep],
    ['10.0.0.1:5000', keep],
    ['169.254.1.1:5000', keep],
    ['[2001:db8:5::77]:5000', { ...keep, address: ANY_6 }],
  ])('%s is not used, as the guest could not answer it by way of the gateway', (from, kept) => {
    const lab = new Lab();
    const server = new Server(lab, 80);
    lab.forwards.add(kept);
    lab.host.connectFrom(from, lab.forwards.list()[0]!.listens);
    lab.run();
    expect(peerOf(server.accept()!)).toMatch(/^10\.0\.0\.2 /);
  });

  test('one port of a client at two forwards: the second keeps the address alone', () => {
    const lab = new Lab();
    const server = new Server(lab, 80);
    lab.forwards.add(keep);
    lab.forwards.add({ ...keep, port: 8081 });
    lab.host.connectFrom('198.51.100.77:5000', '0.0.0.0:8080');
    lab.run();
    expect(peerOf(server.accept()!)).toBe('198.51.100.77 5000');
    lab.host.connectFrom('198.51.100.77:5000', '0.0.0.0:8081');
    lab.run();
    expect(peerOf(server.accept()!)).toMatch(/^198\.51\.100\.77 (?!5000)/);
  });

  test('a client that comes again from its port within TIME-WAIT is taken', () => {
    const lab = new Lab();
    const server = new Server(lab, 80);
    lab.forwards.add(keep);
    for (let i = 0; i < 3; i++) {
      const client = lab.host.connectFrom('198.51.100.77:5000', '0.0.0.0:8080')!;
      lab.run();
      const socket = server.accept()!;
      expect(peerOf(socket)).toMatch(/^198\.51\.100\.77 /);
      client.end();
      lab.run();
      socket.close();
      lab.run();
      expect(lab.relay.flows.count).toBe(0);
    }
  });
});

test('a guest that refuses resets the client', () => {
  const lab = new Lab();
  lab.forwards.add(forward);
  const client = lab.host.connectFrom('198.51.100.77:5000', '0.0.0.0:8080')!;
  lab.run();
  expect(client.isReset).toBe(true);
  expect(lab.counters.forwardsFailed).toBe(1);
  expect(lab.caps.total).toBe(0);
  expect(lab.relay.flows.count).toBe(0);
});

test('a guest that is not there resets the client when nobody answers', () => {
  const lab = new Lab();
  lab.forwards.add({ ...forward, guest: parseAddress('10.0.0.99')! });
  const client = lab.host.connectFrom('198.51.100.77:5000', '0.0.0.0:8080')!;
  lab.run(400 * S);
  expect(client.isReset).toBe(true);
  expect(lab.host.openHandles).toBe(1);
});

test('a client that is reset while the guest is connected to takes that along', () => {
  const lab = new Lab({ link: { delayUs: 50_000 } });
  const server = new Server(lab, 80);
  lab.forwards.add(forward);
  const client = lab.host.connectFrom('198.51.100.77:5000', '0.0.0.0:8080')!;
  lab.run(120_000);
  client.reset();
  lab.run(S);
  const socket = server.accept();
  expect(socket === undefined || socket.read() === -Errno.ECONNRESET).toBe(true);
  expect(lab.relay.flows.count).toBe(0);
  expect(lab.counters.forwardsFailed).toBe(1);
});

test('a client that said all and ended before the guest answered is heard', () => {
  const lab = new Lab({ link: { delayUs: 50_000 } });
  const server = new Server(lab, 80);
  lab.forwards.add(forward);
  const client = lab.host.connectFrom('198.51.100.77:5000', '0.0.0.0:8080')!;
  client.write(bytesOf('all'));
  client.end();
  lab.run(S);
  const socket = server.accept()!;
  const reader = new Reader(lab, socket);
  lab.run(S);
  expect(text(reader.all)).toBe('all');
  expect(reader.end).toBe(0);
});

test('while the caps are full nobody is accepted, without work; then who waited is', () => {
  const lab = new Lab();
  const server = new Server(lab, 80);
  lab.caps.perGuest = 2;
  lab.forwards.add(forward);
  const clients = [1, 2, 3, 4].map((n) => lab.host.connectFrom(`198.51.100.77:500${n}`, '0.0.0.0:8080')!);
  for (const client of clients) client.write(bytesOf('x'));
  lab.run();
  const sockets = [server.accept()!, server.accept()!];
  expect(server.accept()).toBeUndefined();
  expect(lab.counters.forwardsAccepted).toBe(2);
  expect(clients[2]!.isClosed).toBe(false);
  const { dispatches } = lab.host;
  lab.run(60 * S);
  expect(lab.host.dispatches - dispatches).toBeLessThan(500);
  sockets[0]!.abort();
  lab.run();
  expect(text(server.accept()!.read())).toBe('x');
  expect(lab.counters.forwardsAccepted).toBe(3);
  lab.caps.perGuest = 10; // somebody else's flows have gone, which the forwards do not hear of
  lab.run(2 * S);
  expect(server.accept()).toBeDefined();
});

test('a host without descriptors is asked again later', () => {
  const lab = new Lab({ host: { handlesMax: 2 } });
  const server = new Server(lab, 80);
  lab.forwards.add(forward);
  const clients = [1, 2].map((n) => lab.host.connectFrom(`198.51.100.77:500${n}`, '0.0.0.0:8080')!);
  lab.run();
  expect(lab.counters.hostFull).toBeGreaterThan(0);
  const first = server.accept()!;
  first.abort();
  lab.run();
  expect(server.accept()).toBeDefined();
  expect(clients.map((client) => client.isClosed)).toEqual([true, false]);
});

test('removing stops listening; what stands goes on', () => {
  const lab = new Lab();
  const server = new Server(lab, 80);
  const id = lab.forwards.add(forward);
  expect(lab.forwards.add(forward)).toBe(-Errno.EADDRINUSE);
  const client = lab.host.connectFrom('198.51.100.77:5000', '0.0.0.0:8080')!;
  lab.run();
  expect(lab.forwards.remove(id)).toBe(true);
  expect(lab.forwards.remove(id)).toBe(false);
  expect(lab.forwards.list()).toEqual([]);
  expect(lab.host.connectFrom('198.51.100.77:5001', '0.0.0.0:8080')).toBeUndefined();
  const socket = server.accept()!;
  socket.write(bytesOf('still here'));
  lab.run();
  expect(text(client.read())).toBe('still here');
  expect(lab.forwards.add(forward)).toBeGreaterThan(id);
});

test('closing stops all listeners; the number of forwards is bounded', () => {
  const lab = new Lab();
  for (let i = 0; i < 1024; i++) expect(lab.forwards.add({ ...forward, port: 10_000 + i })).toBe(i + 1);
  expect(lab.forwards.add(forward)).toBe(-Errno.ENOBUFS);
  lab.forwards.close();
  expect(lab.host.openHandles).toBe(0);
});
