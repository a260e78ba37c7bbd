import { expect, test } from 'vitest';
import { StateReader, StateWriter } from '../../../core/state.ts';
import { ANY, ANY4 } from '../../../stack/address.ts';
import { Errno } from '../../../stack/errno.ts';
import { Family, GroupChange, SocketName, SocketOption, SocketType } from '../../../stack/socket/sockets.ts';
import { Ready, TcpOption } from '../../../stack/tcp/tcp.ts';
import { A4, A6, address, arrive, B4, B6, makeHost, next, text } from '../kit-sockets.ts';

const { Inet, Inet6, Packet } = Family;
const { Stream, Datagram, Raw } = SocketType;
const NO_HANDLE = 77;

test.each([
  ['an unknown family', 1, Datagram, 0, Errno.EAFNOSUPPORT],
  ['an unknown type', Inet, 5, 0, Errno.EINVAL],
  ['a stream of UDP', Inet, Stream, 17, Errno.EPROTONOSUPPORT],
  ['datagrams of TCP', Inet, Datagram, 6, Errno.EPROTONOSUPPORT],
  ['ICMPv6 on IPv4', Inet, Datagram, 58, Errno.EPROTONOSUPPORT],
  ['raw without protocol', Inet, Raw, 0, Errno.EPROTONOSUPPORT],
  ['a stream of frames', Packet, Stream, 3, Errno.EPROTONOSUPPORT],
])('socket: %s is refused', (_what, family, type, protocol, errno) => {
  expect(makeHost().sockets.socket(family, type, protocol)).toBe(-errno);
});

test('handles are the lowest free numbers, and the table is bounded: EMFILE', () => {
  const { sockets } = makeHost({ socketsMax: 40 });
  for (let i = 0; i < 40; i++) expect(sockets.socket(Inet, i % 2 ? Datagram : Stream)).toBe(i);
  expect(sockets.socket(Inet, Datagram)).toBe(-Errno.EMFILE);
  for (const h of [7, 3]) expect(sockets.close(h)).toBe(0);
  expect([0, 0, 0].map(() => sockets.socket(Inet6, Datagram))).toEqual([3, 7, -Errno.EMFILE]);
});

test('every call on what is no handle is EBADF', () => {
  const { sockets } = makeHost();
  const bytes = new Uint8Array(1);
  const h = NO_HANDLE;
  const results = [
    sockets.bind(h, ANY4, 0),
    sockets.connect(h, B4, 1),
    sockets.disconnect(h),
    sockets.listen(h, 1),
    sockets.accept(h),
    sockets.send(h, bytes, 0, 1),
    sockets.sendTo(h, bytes, 0, 1, B4, 1),
    sockets.receive(h, bytes, 0, 1),
    sockets.receiveFrom(h, bytes, 0, 1),
    sockets.available(h),
    sockets.shutdown(h, 0),
    sockets.close(h),
    sockets.close(-1),
    sockets.abort(h),
    sockets.local(h, new SocketName()),
    sockets.peer(h, new SocketName()),
    sockets.setOption(h, SocketOption.Ttl, 1),
    sockets.getOption(h, SocketOption.Ttl),
    sockets.setTcpOption(h, TcpOption.NoDelay, 1),
    sockets.getTcpOption(h, TcpOption.NoDelay),
    sockets.setFilter(h, new Int32Array(8)),
    sockets.changeGroup(h, GroupChange.Join, B4),
  ];
  expect(new Set(results)).toEqual(new Set([-Errno.EBADF]));
});

test.each([
  ['an address that is not ours', Inet, address('10.0.0.9'), 0, Errno.EADDRNOTAVAIL],
  ['IPv6 on an IPv4 socket', Inet, A6, 0, Errno.EAFNOSUPPORT],
  ['link-local without scope', Inet6, address('fe80::1'), 0, Errno.EINVAL],
  ['a port beyond 65,535', Inet, ANY4, 65_536, Errno.EINVAL],
])('bind: %s is refused', (_what, family, at, port, errno) => {
  const { sockets } = makeHost();
  expect(sockets.bind(sockets.socket(family, Datagram), at, port)).toBe(-errno);
});

test('bind: a second time is EINVAL, and FreeBind takes any address', () => {
  const { sockets } = makeHost();
  const h = sockets.socket(Inet, Datagram);
  expect(sockets.setOption(h, SocketOption.FreeBind, 1)).toBe(0);
  expect(sockets.bind(h, address('10.0.0.9'), 5000)).toBe(0);
  expect(sockets.bind(h, A4, 5001)).toBe(-Errno.EINVAL);
});

// [first, second, options of both, taken]
const V6 = SocketOption.V6Only;
test.each([
  ['same address', Inet, A4, Inet, A4, [], true],
  ['any and one', Inet, ANY4, Inet, A4, [], true],
  ['one and any', Inet, A4, Inet, ANY4, [], true],
  ['two addresses', Inet, A4, Inet, address('10.0.0.7'), [], false],
  ['dual stack and IPv4', Inet6, ANY, Inet, ANY4, [], true],
  ['IPv4 and dual stack', Inet, ANY4, Inet6, ANY, [], true],
  ['one of IPv4 and dual stack', Inet, A4, Inet6, ANY, [], true],
  ['IPv6 only and IPv4', Inet6, ANY, Inet, ANY4, [V6], false],
  ['IPv4 and IPv6 only', Inet, ANY4, Inet6, ANY, [V6], false],
  ['one of IPv6 and IPv4', Inet6, A6, Inet, ANY4, [], false],
  ['reusing addresses', Inet, A4, Inet, A4, [SocketOption.ReuseAddress], false],
  ['reusing ports', Inet, A4, Inet, A4, [SocketOption.ReusePort], false],
])('bind to one port twice: %s', (_what, family1, at1, family2, at2, options, taken) => {
  const { sockets } = makeHost();
  const make = (family: number, at: Int32Array) => {
    const h = sockets.socket(family, Datagram);
    for (const option of options) sockets.setOption(h, option, 1);
    return sockets.bind(h, at, 5000);
  };
  expect(make(family1, at1)).toBe(0);
  expect(make(family2, at2)).toBe(taken ? -Errno.EADDRINUSE : 0);
});

test('a dual-stack socket takes both families, with mapped addresses; V6Only takes one (RFC 3493 §5.3)', () => {
  const host = makeHost();
  const { sockets } = host;
  const dual = sockets.socket(Inet6, Datagram);
  sockets.bind(dual, ANY, 5000);
  const only = sockets.socket(Inet6, Datagram);
  sockets.setOption(only, V6, 1);
  sockets.bind(only, ANY, 5001);
  expect(arrive(host, B4, A4, 1, 5000, 'four')).toBe(0);
  expect(next(host, dual)).toBe('four');
  expect(sockets.message.source).toEqual(B4);
  expect(arrive(host, B6, A6, 1, 5000, 'six')).toBe(0);
  expect(arrive(host, B4, A4, 1, 5001, 'four')).not.toBe(0);
  expect(sockets.sendTo(only, text('x'), 0, 1, B4, 9)).toBe(-Errno.ENETUNREACH);
  expect(sockets.setOption(only, V6, 0)).toBe(-Errno.EINVAL);
});

test('connect names both ends, chooses a port, and disconnect forgets what it chose', () => {
  const { sockets } = makeHost();
  const h = sockets.socket(Inet, Datagram);
  const name = new SocketName();
  expect(sockets.peer(h, name)).toBe(-Errno.ENOTCONN);
  expect(sockets.send(h, text('x'), 0, 1)).toBe(-Errno.EDESTADDRREQ);
  expect(sockets.shutdown(h, 1)).toBe(-Errno.ENOTCONN);
  expect(sockets.connect(h, B4, 9)).toBe(0);
  expect(sockets.peer(h, name)).toBe(0);
  expect(name).toMatchObject({ address: B4, port: 9 });
  expect(sockets.local(h, name)).toBe(0);
  expect(name.address).toEqual(A4);
  expect(name.port).toBeGreaterThan(0);
  sockets.disconnect(h);
  sockets.local(h, name);
  expect(name).toMatchObject({ address: ANY4, port: 0 });
});

test('connect to any is to this host, as in Linux', () => {
  const { sockets } = makeHost();
  const h = sockets.socket(Inet6, Datagram);
  const name = new SocketName();
  expect(sockets.connect(h, ANY, 9)).toBe(0);
  sockets.peer(h, name);
  expect(name.address).toEqual(address('::1'));
});

test('shutdown: writing is EPIPE, reading is the end', () => {
  const host = makeHost();
  const { sockets } = host;
  const h = sockets.socket(Inet, Datagram);
  sockets.bind(h, A4, 5000);
  sockets.connect(h, B4, 9);
  expect(sockets.shutdown(h, 3)).toBe(-Errno.EINVAL);
  expect(sockets.shutdown(h, 2)).toBe(0);
  expect(sockets.send(h, text('x'), 0, 1)).toBe(-Errno.EPIPE);
  expect(next(host, h)).toBe('');
  expect(sockets.poll(h) & Ready.ReadHup).toBe(Ready.ReadHup);
});

test.each([
  ['Ttl', SocketOption.Ttl, [1, 255], [0, 256], 64],
  ['Tos', SocketOption.Tos, [0, 255], [256, -2], 0],
  ['MulticastTtl', SocketOption.MulticastTtl, [0, 255], [256, -2], 1],
  ['MtuDiscover', SocketOption.MtuDiscover, [0, 5], [6, -2], 1],
  ['UnicastHops', SocketOption.UnicastHops, [0, 255], [256, -2], 64],
  ['TrafficClass', SocketOption.TrafficClass, [0, 255], [256], 0],
  ['MulticastHops', SocketOption.MulticastHops, [0, 255], [256], 1],
  ['Broadcast', SocketOption.Broadcast, [1, 0], [0.5], 0],
  ['MulticastLoop', SocketOption.MulticastLoop, [0, 1], [Number.NaN], 1],
  ['Device', SocketOption.Device, [2, 0], [-2], 0],
])('option %s: default, values at both ends, and EINVAL beyond', (_name, option, good, bad, initial) => {
  const { sockets } = makeHost();
  const h = sockets.socket(Inet6, Datagram);
  expect(sockets.getOption(h, option)).toBe(initial);
  for (const value of good) {
    expect(sockets.setOption(h, option, value)).toBe(0);
    expect(sockets.getOption(h, option)).toBe(value);
  }
  for (const value of bad) expect(sockets.setOption(h, option, value)).toBe(-Errno.EINVAL);
});

test('options that are not there: IPv6 on IPv4, TCP on UDP, unknown ones, interfaces that do not exist', () => {
  const { sockets } = makeHost();
  const h = sockets.socket(Inet, Datagram);
  expect(sockets.setOption(h, SocketOption.UnicastHops, 1)).toBe(-Errno.ENOPROTOOPT);
  expect(sockets.setTcpOption(h, TcpOption.NoDelay, 1)).toBe(-Errno.ENOPROTOOPT);
  expect(sockets.setOption(h, 999, 1)).toBe(-Errno.ENOPROTOOPT);
  expect(sockets.getOption(h, 999)).toBe(-Errno.ENOPROTOOPT);
  expect(sockets.setOption(h, SocketOption.HeaderIncluded, 1)).toBe(-Errno.ENOPROTOOPT);
  expect(sockets.setOption(h, SocketOption.Device, 9)).toBe(-Errno.EADDRNOTAVAIL);
  expect(sockets.setFilter(h, new Int32Array(1))).toBe(-Errno.ENOPROTOOPT);
  expect(sockets.getOption(h, SocketOption.Type)).toBe(Datagram);
  expect(sockets.getOption(h, SocketOption.Protocol)).toBe(17);
});

test('SO_RCVBUF keeps within its bounds', () => {
  const { sockets } = makeHost({ receiveBufferBytesMax: 100_000 });
  const h = sockets.socket(Inet, Datagram);
  for (const [value, kept] of [
    [1, 2304],
    [50_000, 50_000],
    [1e9, 100_000],
  ] as const) {
    sockets.setOption(h, SocketOption.ReceiveBuffer, value);
    expect(sockets.getOption(h, SocketOption.ReceiveBuffer)).toBe(kept);
  }
});

test('TTL, TOS and their IPv6 counterparts are those of the target’s family', () => {
  const { sockets, sender } = makeHost();
  const h = sockets.socket(Inet6, Datagram);
  const options = [
    [SocketOption.Ttl, 5],
    [SocketOption.Tos, 8],
    [SocketOption.UnicastHops, 6],
    [SocketOption.TrafficClass, 12],
  ] as const;
  for (const [option, value] of options) sockets.setOption(h, option, value);
  sockets.sendTo(h, text('x'), 0, 1, B4, 9);
  sockets.sendTo(h, text('x'), 0, 1, B6, 9);
  expect(sender.sent.map(({ hops, trafficClass }) => [hops, trafficClass])).toEqual([
    [5, 8],
    [6, 12],
  ]);
});

test('SO_BINDTODEVICE: only what comes in there, and sends leave there', () => {
  const host = makeHost();
  const { sockets } = host;
  const h = sockets.socket(Inet, Datagram);
  sockets.setOption(h, SocketOption.Device, 1);
  sockets.bind(h, ANY4, 5000);
  expect(arrive(host, B4, A4, 1, 5000, 'x', 2)).not.toBe(0);
  expect(arrive(host, B4, A4, 1, 5000, 'x', 1)).toBe(0);
  expect(sockets.sendTo(h, text('x'), 0, 1, B4, 9, 2)).toBe(-Errno.EINVAL);
  sockets.sendTo(h, text('x'), 0, 1, B4, 9);
  expect(host.paths.list.at(-1)!.iface).toBe(1);
});

test('streams go to TCP: connect, accept, send, receive, options, events', () => {
  const { sockets } = makeHost();
  const listener = sockets.socket(Inet, Stream);
  sockets.bind(listener, ANY4, 80);
  expect(sockets.listen(listener, 5)).toBe(0);
  expect(sockets.accept(listener)).toBe(-Errno.EAGAIN);
  const client = sockets.socket(Inet, Stream);
  expect(sockets.connect(client, A4, 80)).toBe(-Errno.EINPROGRESS);
  expect([sockets.nextEvent(), sockets.nextEvent(), sockets.nextEvent()]).toEqual([listener, client, -1]);
  const server = sockets.accept(listener);
  expect(server).toBe(2);
  expect(sockets.send(client, text('hello'), 0, 5)).toBe(5);
  expect(sockets.available(server)).toBe(5);
  expect(sockets.nextEvent()).toBe(server);
  const into = new Uint8Array(9);
  expect(sockets.receive(server, into, 0, 9)).toBe(5);
  expect(sockets.sendTo(client, into, 0, 1, B4, 9)).toBe(-Errno.EISCONN);
  expect(sockets.getOption(client, SocketOption.KeepAlive)).toBe(1000 + TcpOption.KeepAlive);
  expect(sockets.getOption(client, SocketOption.Broadcast)).toBe(-Errno.ENOPROTOOPT);
  expect(sockets.listen(sockets.socket(Inet, Datagram), 1)).toBe(-Errno.EOPNOTSUPP);
});

test('accept with a full table leaves the connection with its listener', () => {
  const { sockets } = makeHost({ socketsMax: 2 });
  const listener = sockets.socket(Inet, Stream);
  sockets.bind(listener, ANY4, 80);
  sockets.listen(listener, 5);
  const client = sockets.socket(Inet, Stream);
  sockets.connect(client, A4, 80);
  expect(sockets.accept(listener)).toBe(-Errno.EMFILE);
  sockets.close(client);
  expect(sockets.accept(listener)).toBe(1);
});

test('an event of a closed handle is not told', () => {
  const host = makeHost();
  const h = host.sockets.socket(Inet, Datagram);
  host.sockets.bind(h, ANY4, 5000);
  arrive(host, B4, A4, 1, 5000, 'x');
  host.sockets.close(h);
  expect(host.sockets.nextEvent()).toBe(-1);
  expect(host.slab.usedBytes).toBe(makeHost().slab.usedBytes);
});

test('a saved table is the same bytes again after loading, with closed handles, events and a thousand ports in it', () => {
  const host = makeHost();
  const { sockets } = host;
  for (let i = 0; i < 1000; i++) {
    const h = sockets.socket(i % 3 ? Inet : Inet6, i % 7 ? Datagram : Raw, i % 7 ? 0 : 89);
    if (i % 7) sockets.bind(h, i % 3 ? A4 : A6, 0);
    if (i % 5 === 0) arrive(host, B4, A4, 1, 40_000 + i, 'x');
    if (i % 4 === 0) sockets.close(h - (i % 3));
  }
  const save = (which: typeof sockets): Uint8Array => {
    const state = new StateWriter();
    which.save(state);
    return state.finish();
  };
  const bytes = save(sockets);
  const again = makeHost();
  again.sockets.load(new StateReader(bytes));
  expect(save(again.sockets)).toEqual(bytes);
  for (const which of [sockets, again.sockets]) {
    for (let i = 0; i < 50; i++) which.bind(which.socket(Inet, Datagram), ANY4, 0);
  }
  expect(save(again.sockets)).toEqual(save(sockets));
});
