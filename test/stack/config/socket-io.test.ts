import { expect, test } from 'vitest';
import { SocketDatagrams, SocketStreams } from '../../../stack/config/socket-io.ts';
import { Errno } from '../../../stack/errno.ts';
import { ANY_IFACE } from '../../../stack/ip.ts';
import { Family, SocketType } from '../../../stack/socket/sockets.ts';
import { A4, A6, address, arrive, B4, B6, makeHost, text } from '../kit-sockets.ts';

const buffer = new Uint8Array(100);

test('a datagram goes from its port with its hop limit, and one that comes says from where', () => {
  const host = makeHost();
  const io = new SocketDatagrams(host.sockets);
  const h = io.open({ isIp6: false, port: 68, iface: 2, hopLimit: 255 });
  expect(h).toBeGreaterThanOrEqual(0);
  expect(io.sendTo(h, text('hi'), B4, 67)).toBe(2);
  expect(host.sender.sent[0]!.hops).toBe(255);
  expect([...host.sender.sent[0]!.bytes.subarray(0, 4)]).toEqual([0, 68, 0, 67]);
  expect(io.receiveFrom(h, buffer)).toBe(-Errno.EAGAIN);
  arrive(host, B4, A4, 67, 68, 'answer');
  expect(io.receiveFrom(h, buffer)).toBe(6);
  expect(io.source).toMatchObject({ address: B4, port: 67, iface: 2 });
  arrive(host, B4, A4, 67, 68, 'elsewhere', 1);
  expect(io.receiveFrom(h, buffer)).toBe(-Errno.EAGAIN);
  io.close(h);
  expect(io.sendTo(h, text('hi'), B4, 67)).toBe(-Errno.EBADF);
});

test("each of the clients' sockets can be opened, and the ports of multicast DNS twice", () => {
  const host = makeHost();
  const io = new SocketDatagrams(host.sockets);
  const group = address('ff02::fb');
  const group4 = address('224.0.0.251');
  for (const options of [
    { isIp6: true, port: 546, iface: 2 },
    { isIp6: false, port: 0, iface: ANY_IFACE },
    { isIp6: true, port: 0, iface: ANY_IFACE },
    { isIp6: true, port: 5353, iface: 2, group, hopLimit: 255, isShared: true },
    { isIp6: true, port: 5353, iface: 2, group, hopLimit: 255, isShared: true },
    { isIp6: false, port: 5353, iface: 2, group: group4, hopLimit: 255, isShared: true },
  ]) {
    expect(io.open(options)).toBeGreaterThanOrEqual(0);
  }
  expect(host.joined.length).toBeGreaterThanOrEqual(2);
  expect(io.open({ isIp6: true, port: 546, iface: 2 })).toBe(-Errno.EADDRINUSE);
});

test('an IPv6 datagram in the group arrives', () => {
  const host = makeHost();
  const io = new SocketDatagrams(host.sockets);
  const h = io.open({ isIp6: true, port: 546, iface: 2 });
  arrive(host, B6, A6, 547, 546, 'reply');
  expect(io.receiveFrom(h, buffer)).toBe(5);
  expect(io.source.address).toEqual(B6);
});

test('a stream carries bytes both ways, and says "later" while there are none', () => {
  const host = makeHost();
  const { sockets } = host;
  const listener = sockets.socket(Family.Inet, SocketType.Stream);
  sockets.bind(listener, A4, 53);
  sockets.listen(listener, 1);
  const streams = new SocketStreams(sockets);
  const h = streams.connect(A4, 53);
  expect(h).toBeGreaterThanOrEqual(0);
  expect(streams.send(h, text('xquestion'), 1)).toBe(8);
  expect(streams.receive(h, buffer, 0)).toBe(-Errno.EAGAIN);
  const peer = sockets.accept(listener);
  expect(sockets.receive(peer, buffer, 0, 100)).toBe(8);
  sockets.send(peer, text('yes'), 0, 3);
  expect(streams.receive(h, buffer, 5)).toBe(3);
  expect(buffer.subarray(5, 8)).toEqual(text('yes'));
  streams.close(h);
  expect(streams.send(h, text('x'), 0)).toBe(-Errno.EBADF);
});
