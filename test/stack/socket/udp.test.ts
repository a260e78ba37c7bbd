import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Drop } from '../../../core/drop.ts';
import { StateReader, StateWriter } from '../../../core/state.ts';
import { ANY, ANY4 } from '../../../stack/address.ts';
import { Errno } from '../../../stack/errno.ts';
import { HOP_LIMIT_OF_LINK } from '../../../stack/ip.ts';
import { IcmpError } from '../../../stack/packet.ts';
import {
  DatagramFlag,
  Family,
  GroupChange,
  MessageFlag,
  SocketName,
  SocketOption,
  SocketType,
} from '../../../stack/socket/sockets.ts';
import { Ready } from '../../../stack/tcp/tcp.ts';
import {
  A4,
  A6,
  address,
  arrive,
  B4,
  B6,
  checksum,
  datagram,
  type Host,
  makeHost,
  next,
  text,
} from '../kit-sockets.ts';

const G4 = address('239.1.2.3');
const LONG = new Uint8Array(70_000);

function udp(host: Host, family: number = Family.Inet, options: number[] = []): number {
  const h = host.sockets.socket(family, SocketType.Datagram);
  for (const option of options) expect(host.sockets.setOption(h, option, 1)).toBe(0);
  return h;
}

function bound(host: Host, at = ANY4, port = 5000, family: number = Family.Inet, options: number[] = []): number {
  const h = udp(host, family, options);
  expect(host.sockets.bind(h, at, port)).toBe(0);
  return h;
}

/** A port unreachable about a datagram from A4:`from` to B4:`to`. */
function refused(host: Host, from: number, to: number, more: Partial<IcmpError> = {}): IcmpError {
  const { at } = host.packet(A4, B4, 17, datagram(A4, B4, from, to, 'x'));
  const error = new IcmpError();
  error.source.set(A4);
  error.target.set(B4);
  error.reporter.set(B4);
  return Object.assign(error, {
    iface: 2,
    protocol: 17,
    at,
    bytes: 9,
    type: 3,
    code: 3,
    errno: Errno.ECONNREFUSED,
    isHard: true,
    ...more,
  });
}

test('sends ports, length and checksum of RFC 768', () => {
  const host = makeHost();
  const h = bound(host);
  expect(host.sockets.sendTo(h, text('hi'), 0, 2, B4, 53)).toBe(2);
  const { bytes, hops, source } = host.sender.sent[0]!;
  expect([...bytes.subarray(0, 6)]).toEqual([0x13, 0x88, 0, 53, 0, 10]);
  expect(checksum(source, B4, 17, bytes)).toBe(0);
  expect(hops).toBe(HOP_LIMIT_OF_LINK);
});

test('RFC 768: a checksum that computes to zero is sent as ffff, in one piece or in many', () => {
  const host = makeHost();
  const h = bound(host);
  for (const mtu of [1500, 20]) {
    host.paths.mtu = mtu;
    host.sender.sent.length = 0;
    host.sockets.sendTo(h, Uint8Array.of(0, 0), 0, 2, B4, 53);
    const sum = new DataView(host.sender.sent[0]!.bytes.buffer).getUint16(6);
    const payload = Uint8Array.of(sum >>> 8, sum & 255); // the sum over this is ffff, whose complement is 0
    host.sockets.sendTo(h, payload, 0, 2, B4, 53);
    expect(new DataView(host.sender.sent[1]!.bytes.buffer).getUint16(6)).toBe(0xffff);
    expect(host.sender.sent[1]!.isWhole).toBe(mtu === 20);
  }
});

test.each([
  [B4, 65_507, 65_508],
  [B6, 65_527, 65_528],
])('sends %s up to %i bytes, and one more is EMSGSIZE', (target, most, more) => {
  const host = makeHost();
  const h = udp(host, Family.Inet6);
  expect(host.sockets.sendTo(h, LONG, 0, most, target, 9)).toBe(most);
  expect(checksum(host.sender.sent[0]!.source, target, 17, host.sender.sent[0]!.bytes)).toBe(0);
  expect(host.sockets.sendTo(h, LONG, 0, more, target, 9)).toBe(-Errno.EMSGSIZE);
});

test('IP_MTU_DISCOVER "do": what does not fit the path is EMSGSIZE', () => {
  const host = makeHost();
  const h = udp(host);
  host.sockets.setOption(h, SocketOption.MtuDiscover, 2);
  expect(host.sockets.sendTo(h, LONG, 0, 1472, B4, 9)).toBe(1472);
  expect(host.sockets.sendTo(h, LONG, 0, 1473, B4, 9)).toBe(-Errno.EMSGSIZE);
});

test.each([
  ['to port 0', B4, 0, Errno.EINVAL],
  ['to IPv6 from an IPv4 socket', B6, 9, Errno.EAFNOSUPPORT],
  ['without a route', address('203.0.113.9'), 9, Errno.ENETUNREACH],
  ['to everybody without SO_BROADCAST', address('255.255.255.255'), 9, Errno.EACCES],
  ['to a subnet without SO_BROADCAST', address('10.0.0.255'), 9, Errno.EACCES],
])('refuses to send %s', (_what, target, port, errno) => {
  const host = makeHost();
  expect(host.sockets.sendTo(udp(host), text('x'), 0, 1, target, port)).toBe(-errno);
});

test('refuses a link-local target without scope, RFC 4007 §6', () => {
  const host = makeHost();
  const h = udp(host, Family.Inet6);
  expect(host.sockets.sendTo(h, text('x'), 0, 1, address('fe80::2'), 9)).toBe(-Errno.EINVAL);
  expect(host.sockets.sendTo(h, text('x'), 0, 1, address('fe80::2'), 9, 2)).toBe(1);
});

test('a full output is EAGAIN, and writable again when it was drained', () => {
  const host = makeHost();
  const h = udp(host);
  host.sender.isFull = true;
  expect(host.sockets.sendTo(h, text('x'), 0, 1, B4, 9)).toBe(-Errno.EAGAIN);
  expect(host.sockets.poll(h)).toBe(0);
  host.sockets.outputDrained();
  expect(host.sockets.nextEvent()).toBe(h);
  expect(host.sockets.poll(h)).toBe(Ready.Out);
});

test('receives with the sender, the target, TTL and TOS', () => {
  const host = makeHost();
  const h = bound(host);
  host.shared.nowUs = 77;
  expect(arrive(host, B4, A4, 1234, 5000, 'hello')).toBe(Drop.None);
  expect(host.sockets.nextEvent()).toBe(h);
  expect(host.sockets.available(h)).toBe(5);
  expect(next(host, h)).toBe('hello');
  expect(host.sockets.message).toMatchObject({
    source: B4,
    target: A4,
    port: 1234,
    iface: 2,
    hops: 61,
    trafficClass: 4,
    timeUs: 77,
  });
  expect(next(host, h)).toBe(-Errno.EAGAIN);
});

test('MSG_PEEK leaves, MSG_TRUNC tells the length, and what does not fit is lost', () => {
  const host = makeHost();
  const h = bound(host);
  arrive(host, B4, A4, 1, 5000, 'hello');
  const into = new Uint8Array(2);
  const { Peek, Truncate } = MessageFlag;
  expect(host.sockets.receiveFrom(h, into, 0, 2, Peek | Truncate)).toBe(5);
  expect(host.sockets.receiveFrom(h, into, 0, 2)).toBe(2);
  expect(host.sockets.message.flags & DatagramFlag.Truncated).toBe(DatagramFlag.Truncated);
  expect(next(host, h)).toBe(-Errno.EAGAIN);
});

test.each([
  ['a wrong checksum', B4, A4, { sum: 1 }, Drop.UdpChecksum],
  ['none over IPv4, RFC 768', B4, A4, { sum: 0 }, Drop.None],
  ['none over IPv6, RFC 8200 §8.1', B6, A6, { sum: 0 }, Drop.UdpChecksum],
  ['a length beyond the packet', B4, A4, { length: 99 }, Drop.UdpLength],
  ['a length below the header', B4, A4, { length: 7 }, Drop.UdpLength],
])('a datagram with %s', (_what, source, target, { sum, length }: { sum?: number; length?: number }, drop) => {
  const host = makeHost();
  bound(host, ANY, 5000, Family.Inet6);
  const bytes = datagram(source, target, 1, 5000, 'hello', sum);
  if (length !== undefined) new DataView(bytes.buffer).setUint16(4, length);
  expect(host.sockets.udp.receive(host.packet(source, target, 17, bytes))).toBe(drop);
});

test('RFC 6935 §5: a socket that agreed takes IPv6 datagrams without checksum', () => {
  const host = makeHost();
  bound(host, ANY, 5000, Family.Inet6, [SocketOption.NoChecksum6Receive]);
  expect(host.sockets.udp.receive(host.packet(B6, A6, 17, datagram(B6, A6, 1, 5000, 'x', 0)))).toBe(Drop.None);
});

test('nobody there is NoSocket, so that ICMP can tell (RFC 1122 §4.1.3.1)', () => {
  expect(arrive(makeHost(), B4, A4, 1, 5000, 'x')).toBe(Drop.NoSocket);
});

test('the socket that fits best gets it: connected, bound, own family, any', () => {
  const host = makeHost();
  const reuse = [SocketOption.ReuseAddress];
  const dual = bound(host, ANY, 5000, Family.Inet6, reuse);
  const any = bound(host, ANY4, 5000, Family.Inet, reuse);
  const local = bound(host, A4, 5000, Family.Inet, reuse);
  const peer = bound(host, A4, 5000, Family.Inet, reuse);
  host.sockets.connect(peer, B4, 1);
  for (const expected of [peer, local, any, dual]) {
    expect(arrive(host, B4, A4, 1, 5000, 'x')).toBe(Drop.None);
    expect(next(host, expected)).toBe('x');
    host.sockets.close(expected);
  }
  expect(arrive(host, B4, A4, 1, 5000, 'x')).toBe(Drop.NoSocket);
});

test('a connected socket takes its peer only', () => {
  const host = makeHost();
  const h = bound(host);
  expect(host.sockets.connect(h, B4, 9)).toBe(0);
  expect(arrive(host, B4, A4, 8, 5000, 'x')).toBe(Drop.NoSocket);
  expect(arrive(host, address('10.0.0.3'), A4, 9, 5000, 'x')).toBe(Drop.NoSocket);
  expect(arrive(host, B4, A4, 9, 5000, 'x')).toBe(Drop.None);
  expect(host.sockets.disconnect(h)).toBe(0);
  expect(arrive(host, B4, A4, 8, 5000, 'y')).toBe(Drop.None);
});

test('SO_REUSEPORT spreads flows over all sockets, each flow always to the same', () => {
  const host = makeHost();
  const all = [0, 1, 2, 3].map(() => bound(host, ANY4, 5000, Family.Inet, [SocketOption.ReusePort]));
  const counts = all.map(() => 0);
  for (let port = 1; port <= 64; port++) {
    for (let again = 0; again < 2; again++) arrive(host, B4, A4, port, 5000, 'x');
    const got = all.map((h) => Number(next(host, h) === 'x') + Number(next(host, h) === 'x'));
    expect(Math.max(...got)).toBe(2);
    counts[got.indexOf(2)]!++;
  }
  expect(Math.min(...counts)).toBeGreaterThan(4);
});

test('a broadcast comes to every socket that fits, RFC 1122 §4.1.3.5', () => {
  const host = makeHost();
  const all = [ANY4, ANY4].map((at) => bound(host, at, 5000, Family.Inet, [SocketOption.ReuseAddress]));
  expect(arrive(host, B4, address('10.0.0.255'), 1, 5000, 'x')).toBe(Drop.None);
  for (const h of all) expect(next(host, h)).toBe('x');
});

test('groups: members hear what their filters let through, RFC 3376 §3.1, RFC 3678', () => {
  const host = makeHost();
  const { sockets } = host;
  const make = () => {
    const h = bound(host, ANY4, 5000, Family.Inet, [SocketOption.ReuseAddress]);
    sockets.setOption(h, SocketOption.MulticastAll, 0);
    return h;
  };
  const [all, only, none] = [make(), make(), make()];
  expect(sockets.changeGroup(all, GroupChange.Join, G4, 2)).toBe(0);
  expect(sockets.changeGroup(all, GroupChange.Join, G4, 2)).toBe(-Errno.EADDRINUSE);
  expect(sockets.changeGroup(only, GroupChange.JoinSource, G4, 2, B4)).toBe(0);
  expect(sockets.changeGroup(all, GroupChange.JoinSource, G4, 2, B4)).toBe(-Errno.EINVAL);
  expect(arrive(host, B4, G4, 1, 5000, 'b')).toBe(Drop.None);
  expect([all, only, none].map((h) => next(host, h))).toEqual(['b', 'b', -Errno.EAGAIN]);
  expect(sockets.changeGroup(all, GroupChange.BlockSource, G4, 2, B4)).toBe(0);
  expect(sockets.changeGroup(only, GroupChange.LeaveSource, G4, 2, B4)).toBe(0);
  expect(arrive(host, B4, G4, 1, 5000, 'c')).toBe(Drop.Filtered);
  sockets.close(all);
  expect(host.joined.at(-1)).toEqual([2, G4, expect.any(Number), false, []]);
  expect(sockets.changeGroup(none, GroupChange.Leave, G4, 2)).toBe(-Errno.EADDRNOTAVAIL);
});

test('IP_MULTICAST_LOOP: what is sent to a group comes to its members here, unless switched off', () => {
  const host = makeHost();
  const { sockets } = host;
  const member = bound(host);
  sockets.changeGroup(member, GroupChange.Join, G4, 2);
  const h = udp(host);
  expect(sockets.sendTo(h, text('x'), 0, 1, G4, 5000)).toBe(1);
  expect(host.sender.sent[0]!.hops).toBe(1);
  expect(next(host, member)).toBe('x');
  sockets.setOption(h, SocketOption.MulticastLoop, 0);
  sockets.sendTo(h, text('x'), 0, 1, G4, 5000);
  expect(next(host, member)).toBe(-Errno.EAGAIN);
});

test('the receive buffer is bounded, and the rest is SocketFull', () => {
  const host = makeHost();
  const h = bound(host);
  host.sockets.setOption(h, SocketOption.ReceiveBuffer, 4096);
  let taken = 0;
  while (arrive(host, B4, A4, 1, 5000, 'x'.repeat(500)) === Drop.None) taken++;
  expect(taken).toBe(8);
  for (let i = 0; i < taken; i++) expect(next(host, h)).toHaveLength(500);
  expect(arrive(host, B4, A4, 1, 5000, 'y')).toBe(Drop.None);
});

test('queues keep their order and bytes over the end of their ring', () => {
  const host = makeHost();
  const h = bound(host);
  const queue: string[] = [];
  for (let i = 0; i < 400; i++) {
    const payload = String(i).repeat(1 + ((i * 37) % 211));
    arrive(host, B4, A4, 1, 5000, payload);
    queue.push(payload);
    if (i % 3 !== 0) expect(next(host, h)).toBe(queue.shift());
  }
  for (const payload of queue) expect(next(host, h)).toBe(payload);
});

test('RFC 1122 §4.1.3.3: a connected socket is told of the refusal once, an unconnected one is not', () => {
  const host = makeHost();
  const h = bound(host);
  host.sockets.udp.fail(refused(host, 5000, 9));
  expect(next(host, h)).toBe(-Errno.EAGAIN);
  host.sockets.connect(h, B4, 9);
  host.sockets.udp.fail(refused(host, 5000, 9));
  expect(host.sockets.poll(h) & Ready.Error).toBe(Ready.Error);
  expect(host.sockets.send(h, text('x'), 0, 1)).toBe(-Errno.ECONNREFUSED);
  expect(host.sockets.send(h, text('x'), 0, 1)).toBe(1);
});

test.each([
  ['another port of ours', 5001, 9, {}],
  ['another port of the peer', 5000, 8, {}],
  ['too little quoted', 5000, 9, { bytes: 7 }],
  ['a soft error', 5000, 9, { isHard: false, errno: Errno.EHOSTUNREACH }],
])('an ICMP error about %s changes nothing', (_what, from, to, more) => {
  const host = makeHost();
  const h = bound(host);
  host.sockets.connect(h, B4, 9);
  host.sockets.udp.fail(refused(host, from, to, more));
  expect(host.sockets.getOption(h, SocketOption.Error)).toBe(0);
});

test('IP_RECVERR: every error is queued with its reporter, target and quoted payload', () => {
  const host = makeHost();
  const h = bound(host, ANY4, 5000, Family.Inet, [SocketOption.ReceiveErrors]);
  host.sockets.udp.fail(refused(host, 5000, 9, { isHard: false, errno: Errno.EHOSTUNREACH, code: 1 }));
  expect(next(host, h)).toBe(-Errno.EHOSTUNREACH);
  expect(next(host, h, MessageFlag.ErrorQueue)).toBe('x');
  expect(host.sockets.message).toMatchObject({
    source: B4,
    target: B4,
    port: 9,
    errno: Errno.EHOSTUNREACH,
    hops: 3,
    code: 1,
  });
  expect(next(host, h, MessageFlag.ErrorQueue)).toBe(-Errno.EAGAIN);
});

test('RFC 6056: ephemeral ports are spread, distinct, and the same for the same secret', () => {
  const ports = () => {
    const host = makeHost();
    const name = new SocketName();
    return Array.from({ length: 200 }, () => {
      host.sockets.local(bound(host, ANY4, 0), name);
      return name.port;
    });
  };
  const first = ports();
  expect(new Set(first).size).toBe(200);
  expect(Math.min(...first)).toBeGreaterThanOrEqual(32_768);
  expect(Math.max(...first) - Math.min(...first)).toBeGreaterThan(20_000);
  expect(ports()).toEqual(first);
});

test('random bytes never throw', () => {
  const host = makeHost();
  bound(host, ANY, 5000, Family.Inet6);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), fc.boolean(), (bytes, isIp6) => {
      const [source, target] = isIp6 ? [B6, A6] : [B4, A4];
      const packet = host.packet(source, target, 17, bytes);
      host.sockets.udp.receive(packet);
      const error = Object.assign(new IcmpError(), {
        at: packet.at,
        bytes: packet.bytes,
        isIp6,
        errno: 111,
        isHard: true,
      });
      host.sockets.udp.fail(error);
    }),
  );
});

test('saved and loaded, it goes on the same: datagrams, errors, options, peers, groups, events, ports', () => {
  const host = makeHost();
  const { sockets } = host;
  const h = bound(host, ANY4, 5000, Family.Inet, [SocketOption.ReuseAddress, SocketOption.ReceiveErrors]);
  sockets.connect(h, B4, 9);
  sockets.changeGroup(h, GroupChange.JoinSource, G4, 2, B4);
  for (const payload of ['one', 'two'.repeat(900), 'three']) arrive(host, B4, A4, 9, 5000, payload);
  sockets.udp.fail(refused(host, 5000, 9));
  const state = new StateWriter();
  sockets.save(state);
  const bytes = state.finish();
  const again = makeHost();
  again.sockets.load(new StateReader(bytes));
  const second = new StateWriter();
  again.sockets.save(second);
  expect(second.finish()).toEqual(bytes);
  const story = (which: Host) => {
    const name = new SocketName();
    const seen: unknown[] = [which.sockets.nextEvent(), which.sockets.nextEvent(), which.sockets.poll(h)];
    for (let i = 0; i < 5; i++) seen.push(next(which, h), which.sockets.message.port);
    seen.push(next(which, h, MessageFlag.ErrorQueue), arrive(which, B4, A4, 9, 5000, 'four'), next(which, h));
    seen.push(arrive(which, B4, A4, 8, 5000, 'no'), which.sockets.getOption(h, SocketOption.ReuseAddress));
    which.sockets.local(bound(which, ANY4, 0), name);
    return [...seen, name.port];
  };
  expect(story(again)).toEqual(story(host));
});

test('a damaged snapshot is refused, not obeyed', () => {
  const host = makeHost();
  bound(host);
  arrive(host, B4, A4, 9, 5000, 'one');
  const state = new StateWriter();
  host.sockets.save(state);
  const bytes = state.finish();
  for (let cut = 20; cut < bytes.length; cut += 7) {
    expect(() => makeHost().sockets.load(new StateReader(bytes.subarray(0, cut)))).toThrow(/section|snapshot|queue/);
  }
});
