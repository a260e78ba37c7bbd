// What a gateway tells its guests: errors about packets that went on outside, hops that ended here, echo in nobody's name.

import { expect, test } from 'vitest';
import { Drop } from '../../../core/drop.ts';
import {
  DatagramFlag,
  Family,
  formatAddress,
  GuestError,
  MessageFlag,
  parseAddress,
  SILENT,
  SocketOption,
  SocketProtocol,
  SocketType,
  type Stack,
  TcpState,
} from '../../../stack/stack.ts';
import { addGateway, type HostOptions, HostPair, newHost } from '../../kit/stack-kit.ts';

const BYTES = Uint8Array.of(1, 2, 3, 4);
const S = 1_000_000;

function gateway(options: HostOptions = {}) {
  const { pair, a: inner, b: gate } = new HostPair({ link: { delayUs: 100 }, ...options });
  addGateway(inner, 2, '10.0.0.2');
  addGateway(inner, 2, 'fd00::2');
  gate.interfaces.get(2)!.acceptsAny = true;
  const run = (us = 50_000): void => {
    pair.world.touch(pair.a);
    pair.world.touch(pair.b);
    pair.run(us);
  };
  return { pair, inner, gate, run };
}

const FAR4 = '192.0.2.7';
const FAR6 = '2001:db8::7';
const familyOf = (to: string): number => (to.includes(':') ? Family.Inet6 : Family.Inet);
const buffer = new Uint8Array(2048);

/** A socket of `stack` of the address's family that hears of errors. */
function socketFor(stack: Stack, to: string, type: number, protocol = 0): number {
  const h = stack.sockets.socket(familyOf(to), type, protocol);
  if (type === SocketType.Datagram)
    stack.sockets.setOption(h, to.includes(':') ? SocketOption.ReceiveErrors6 : SocketOption.ReceiveErrors, 1);
  return h;
}

const echoOf = (to: string): number => (to.includes(':') ? SocketProtocol.Icmp6 : SocketProtocol.Icmp);

/** An echo request, id and checksum left to the socket. */
const request = (to: string, sequence: number, bytes = 16): Uint8Array => {
  const message = new Uint8Array(8 + bytes).fill(7, 8);
  message[0] = to.includes(':') ? 128 : 8;
  message[7] = sequence;
  return message;
};

/** The next of the error queue: who says what about which target, and the packet's payload. */
function nextError(stack: Stack, h: number) {
  const n = stack.sockets.receiveFrom(h, buffer, 0, buffer.length, MessageFlag.ErrorQueue);
  if (n < 0) return undefined;
  const { message } = stack.sockets;
  const { errno, hops: type, code, info, port } = message;
  const [from, about] = [formatAddress(message.source), formatAddress(message.target)];
  return { from, about, port, errno, type, code, info, payload: [...buffer.subarray(0, n)] };
}

/** What the gateway took as a datagram, as the error about it by `reporter`. */
function errorAbout(gate: Stack, reporter: string, type: number, code: number, word = 0): GuestError {
  const { message } = gate.sockets;
  const error = new GuestError();
  error.iface = 2;
  error.reporter.set(parseAddress(reporter)!);
  error.guest.set(message.source);
  error.target.set(message.target);
  error.protocol = SocketProtocol.Udp;
  error.guestPort = message.port;
  error.targetPort = message.info;
  Object.assign(error, { type, code, word });
  const { slab } = gate.shared;
  error.at = slab.alloc(2048);
  error.bytes = message.bytes;
  slab.bytes.set(buffer.subarray(0, message.bytes), error.at);
  return error;
}

test.each([
  [FAR4, '198.51.100.1', 11, 0, 0, 113],
  [FAR4, '198.51.100.1', 3, 4, 1300, 90],
  [FAR4, FAR4, 3, 3, 0, 111],
  [FAR4, '198.51.100.1', 3, 13, 0, 113],
  [FAR6, '2001:db8:1::1', 3, 0, 0, 113],
  [FAR6, '2001:db8:1::1', 2, 0, 1300, 90],
  [FAR6, FAR6, 1, 4, 0, 111],
  [FAR6, '2001:db8:1::1', 1, 1, 0, 13],
])('a datagram to %s failed: %s says type %i, code %i, word %i', (to, reporter, type, code, word, errno) => {
  const { inner, gate, run } = gateway();
  const g = gate.sockets.socket(Family.Inet6, SocketType.Datagram);
  gate.sockets.gateway.intercept(g, 2);
  const u = socketFor(inner, to, SocketType.Datagram);
  inner.sockets.sendTo(u, BYTES, 0, 4, parseAddress(to)!, 5353);
  run();
  expect(gate.sockets.receiveFrom(g, buffer, 0, 2048)).toBe(4);
  expect(gate.sockets.gateway.sendError(errorAbout(gate, reporter, type, code, word))).toBe(0);
  run();
  const about = { from: reporter, about: to, port: 5353, errno, type, code, info: word, payload: [1, 2, 3, 4] };
  expect(nextError(inner, u)).toEqual(about);
});

test.each([FAR4, FAR6])('a UDP packet to %s that is quoted whole has the checksum it had', (to) => {
  const { inner, gate, run } = gateway();
  const g = gate.sockets.socket(Family.Inet6, SocketType.Datagram);
  gate.sockets.gateway.intercept(g, 2);
  const is6 = to.includes(':');
  const raw = gate.sockets.socket(familyOf(to), SocketType.Raw, SocketProtocol.Udp);
  const heard = inner.sockets.socket(familyOf(to), SocketType.Raw, is6 ? SocketProtocol.Icmp6 : SocketProtocol.Icmp);
  const u = inner.sockets.socket(familyOf(to), SocketType.Datagram);
  for (const bytes of [1, 7, 300]) {
    inner.sockets.sendTo(u, new Uint8Array(bytes).fill(bytes), 0, bytes, parseAddress(to)!, 9);
    run();
    gate.sockets.receiveFrom(g, buffer, 0, 2048);
    const error = errorAbout(gate, to, is6 ? 1 : 3, is6 ? 4 : 3);
    const sent = new Uint8Array(600);
    const n = gate.sockets.receiveFrom(raw, sent, 0, 600);
    const datagram = sent.subarray(is6 ? 0 : 20, n);
    expect(gate.sockets.gateway.sendError(error)).toBe(0);
    run();
    const got = new Uint8Array(700);
    let size = 0;
    for (let next = 1; next > 0; ) {
      next = inner.sockets.receiveFrom(heard, got, 0, 700);
      if (next > 0) size = next;
    }
    const quoted = got.subarray(is6 ? 8 + 40 : 20 + 8 + 20, size);
    expect([...quoted]).toEqual([...datagram]);
  }
});

test.each([
  [FAR4, '198.51.100.1', 11],
  [FAR6, '2001:db8:1::1', 3],
])(
  'an echo request to %s is taken; a router says that its hops ended, the target answers',
  (to, reporter, exceeded) => {
    const { inner, gate, run } = gateway();
    const is6 = to.includes(':');
    const e = gate.sockets.socket(familyOf(to), SocketType.Datagram, echoOf(to));
    expect(gate.sockets.gateway.intercept(e, 2)).toBe(0);
    const p = socketFor(inner, to, SocketType.Datagram, echoOf(to));
    inner.sockets.setOption(p, is6 ? SocketOption.UnicastHops : SocketOption.Ttl, 9);
    inner.sockets.sendTo(p, request(to, 5), 0, 24, parseAddress(to)!, 0);
    run();
    expect(gate.sockets.receiveFrom(e, buffer, 0, 2048)).toBe(24);
    const { message } = gate.sockets;
    expect([formatAddress(message.target), message.hops, message.flags]).toEqual([to, 9, DatagramFlag.DontFragment]);
    const id = message.port;
    const guest = message.source.slice();
    const error = errorAbout(gate, reporter, exceeded, 0);
    error.protocol = echoOf(to);
    error.guestPort = id;
    error.targetPort = 5;
    error.at += 8;
    error.bytes -= 8;
    expect(gate.sockets.gateway.sendError(error)).toBe(0);
    run();
    expect(nextError(inner, p)).toMatchObject({
      from: reporter,
      about: to,
      type: exceeded,
      payload: [...request(to, 5)].map((b, i) => (i === 2 || i === 3 || i === 4 || i === 5 ? expect.any(Number) : b)),
    });
    inner.sockets.getOption(p, SocketOption.Error);
    const reply = buffer.slice(0, 24);
    reply[0] = is6 ? 129 : 0;
    const far = parseAddress(to)!;
    expect(gate.sockets.gateway.sendFrom(e, reply, 0, 24, far, 0, guest, 0, 33, 0x20)).toBe(24);
    run();
    expect(inner.sockets.receiveFrom(p, buffer, 0, 2048)).toBe(24);
    const got = inner.sockets.message;
    expect([formatAddress(got.source), got.hops, got.trafficClass, buffer[7]]).toEqual([to, 33, 0x20, 5]);
  },
);

test.each([FAR4, FAR6])(
  'an echo request to %s that nobody intercepts is dropped, not answered in its name',
  async (to) => {
    const { inner, gate, run } = gateway();
    run();
    const before = gate.shared.drops.counts[Drop.NotForUs]!;
    const p = socketFor(inner, to, SocketType.Datagram, echoOf(to));
    inner.sockets.sendTo(p, request(to, 1), 0, 24, parseAddress(to)!, 0);
    const own = to.includes(':') ? 'fd00::2' : '10.0.0.2';
    const q = socketFor(inner, own, SocketType.Datagram, echoOf(to));
    inner.sockets.sendTo(q, request(to, 2), 0, 24, parseAddress(own)!, 0);
    run();
    expect(inner.sockets.receive(p, buffer, 0, 2048)).toBe(-11);
    expect(inner.sockets.receive(q, buffer, 0, 2048)).toBe(24);
    expect(gate.shared.drops.counts[Drop.NotForUs]! - before).toBe(1);
  },
);

test('echo interceptors: one of each family an interface, only they send from anywhere, closing frees, snapshots keep', () => {
  const { pair, gate } = gateway();
  const { sockets } = gate;
  const open = (to: string): number => sockets.socket(familyOf(to), SocketType.Datagram, echoOf(to));
  const [e, other, e6] = [open(FAR4), open(FAR4), open(FAR6)];
  expect(sockets.gateway.intercept(e, 2)).toBe(0);
  expect(sockets.gateway.intercept(other, 2)).toBe(-98);
  expect(sockets.gateway.intercept(e6, 2)).toBe(0);
  const message = request(FAR4, 1);
  const [far, near] = [parseAddress(FAR4)!, parseAddress('10.0.0.1')!];
  expect(sockets.gateway.sendFrom(other, message, 0, 24, far, 0, near, 0)).toBe(-1);
  expect(sockets.gateway.sendFrom(e, message.fill(5, 0, 1), 0, 24, far, 0, near, 0)).toBe(-22);
  const { stack: next } = newHost(pair.world.slab, 2);
  next.load(gate.save(), 0);
  expect(next.sockets.gateway.intercept(other, 2)).toBe(-98);
  next.sockets.close(e);
  expect(next.sockets.gateway.intercept(other, 2)).toBe(0);
});

test.each([
  [FAR4, '10.0.0.2', 11],
  [FAR6, 'fd00::2', 3],
])('a packet to %s with one hop left ends at the gateway, which says so as %s', (to, own, type) => {
  const { inner, gate, run } = gateway();
  const g = gate.sockets.socket(Family.Inet6, SocketType.Datagram);
  gate.sockets.gateway.intercept(g, 2);
  const u = socketFor(inner, to, SocketType.Datagram);
  const is6 = to.includes(':');
  inner.sockets.setOption(u, is6 ? SocketOption.UnicastHops : SocketOption.Ttl, 1);
  inner.sockets.sendTo(u, BYTES, 0, 4, parseAddress(to)!, 33434);
  run();
  expect(nextError(inner, u)).toMatchObject({ from: own, about: to, port: 33434, type, code: 0 });
  expect(gate.sockets.receive(g, buffer, 0, 2048)).toBe(-11);
  inner.sockets.getOption(u, SocketOption.Error);
  inner.sockets.sendTo(u, BYTES, 0, 4, parseAddress(own)!, 33434); // its own address is the last hop
  run();
  expect(gate.sockets.receive(g, buffer, 0, 2048)).toBe(4);
});

test.each([FAR4, FAR6])('a connection to %s with one hop left is not withheld', (to) => {
  const { inner, gate, run } = gateway();
  const l = gate.sockets.socket(Family.Inet6, SocketType.Stream);
  gate.sockets.gateway.intercept(l, 2, 8);
  const s = inner.sockets.socket(familyOf(to), SocketType.Stream);
  inner.sockets.setOption(s, to.includes(':') ? SocketOption.UnicastHops : SocketOption.Ttl, 1);
  inner.sockets.connect(s, parseAddress(to)!, 80);
  run();
  expect(gate.sockets.accept(l)).toBe(-11);
  expect(gate.shared.drops.counts[Drop.HopLimit]).toBe(1);
});

test('the errors of a traceroute all come: 3 probes for each of 30 hops at once, and then so many a second', () => {
  const { pair, inner, gate, run } = gateway();
  const g = gate.sockets.socket(Family.Inet6, SocketType.Datagram);
  gate.sockets.gateway.intercept(g, 2);
  const u = socketFor(inner, FAR4, SocketType.Datagram);
  inner.sockets.sendTo(u, BYTES, 0, 4, parseAddress(FAR4)!, 33434);
  run();
  gate.sockets.receiveFrom(g, buffer, 0, 2048);
  const error = errorAbout(gate, '198.51.100.1', 11, 0);
  const burst = (): number => {
    let sent = 0;
    gate.tick(pair.nowUs);
    while (gate.sockets.gateway.sendError(error) === 0) sent++;
    return sent;
  };
  expect(burst()).toBe(128);
  expect(gate.sockets.gateway.sendError(error)).toBe(-11);
  run(S / 10);
  expect(burst()).toBe(20);
  expect(gate.shared.drops.counts[Drop.RateLimited]).toBe(3);
});

test('errors about what none may be about, and of no kind that there is, are refused', () => {
  const { inner, gate, run } = gateway();
  const g = gate.sockets.socket(Family.Inet6, SocketType.Datagram);
  gate.sockets.gateway.intercept(g, 2);
  const u = socketFor(inner, FAR4, SocketType.Datagram);
  inner.sockets.sendTo(u, BYTES, 0, 4, parseAddress(FAR4)!, 33434);
  run();
  gate.sockets.receiveFrom(g, buffer, 0, 2048);
  const error = errorAbout(gate, '198.51.100.1', 11, 0);
  const refused = (change: (e: GuestError) => void): void => {
    const bad = Object.assign(new GuestError(), error);
    const copy = { guest: error.guest.slice(), target: error.target.slice(), reporter: error.reporter.slice() };
    Object.assign(bad, copy);
    change(bad);
    expect(gate.sockets.gateway.sendError(bad)).toBe(-22);
  };
  for (const type of [0, 4, 5, 8, 13, 255]) refused((e) => Object.assign(e, { type }));
  for (const to of ['10.0.0.255', '255.255.255.255', '224.0.0.1', FAR6])
    refused((e) => e.target.set(parseAddress(to)!));
  for (const to of ['10.0.0.255', '224.0.0.1', '0.0.0.0', 'fd00::1']) refused((e) => e.guest.set(parseAddress(to)!));
  for (const by of ['224.0.0.1', FAR6]) refused((e) => e.reporter.set(parseAddress(by)!));
  refused((e) => Object.assign(e, { protocol: 47 }));
  expect(gate.sockets.gateway.sendError(Object.assign(error, { protocol: 6 }))).toBe(-107);
});

test.each([
  [FAR4, '198.51.100.1', 3, 1, 113],
  [FAR6, '2001:db8:1::1', 1, 0, 101],
])(
  'a withheld connection to %s: its ends are named, a router says that there is no way, and nobody resets it',
  (to, reporter, type, code, errno) => {
    const { inner, gate, run } = gateway();
    const l = gate.sockets.socket(Family.Inet6, SocketType.Stream);
    gate.sockets.gateway.intercept(l, 2, 8);
    const s = inner.sockets.socket(familyOf(to), SocketType.Stream);
    inner.sockets.connect(s, parseAddress(to)!, 80);
    run();
    const h = gate.sockets.accept(l);
    const [wanted, guest, ours] = [0, 1, 2].map(() => ({ address: new Int32Array(4), port: 0, iface: 0 }));
    expect(gate.sockets.local(h, wanted!)).toBe(0);
    expect(gate.sockets.peer(h, guest!)).toBe(0);
    inner.sockets.local(s, ours!);
    expect([formatAddress(wanted!.address), wanted!.port]).toEqual([to, 80]);
    expect(guest).toEqual(ours);
    const error = new GuestError();
    error.iface = 2;
    error.reporter.set(parseAddress(reporter)!);
    error.guest.set(guest!.address);
    error.target.set(wanted!.address);
    Object.assign(error, { protocol: 6, guestPort: guest!.port, targetPort: 80, type, code });
    expect(gate.sockets.gateway.sendError(error)).toBe(0);
    expect(gate.sockets.gateway.refuse(h, SILENT)).toBe(0);
    expect(gate.sockets.gateway.refuse(h, SILENT)).toBe(-9);
    run(500_000);
    // RFC 5461: it is a soft error, by which Linux and this stack end what is being opened only when it is over.
    expect(inner.tcp.stateOf(0)).toBe(TcpState.SynSent);
    expect(gate.sockets.accept(l)).toBe(-11);
    run(200 * S);
    expect(inner.sockets.receive(s, buffer, 0, 1)).toBe(-errno);
  },
);

test.each([FAR4, FAR6])('an open connection to %s is told of a smaller path MTU', (to) => {
  const { inner, gate, run } = gateway();
  const l = gate.sockets.socket(Family.Inet6, SocketType.Stream);
  gate.sockets.gateway.intercept(l, 2, 8);
  const s = inner.sockets.socket(familyOf(to), SocketType.Stream);
  inner.sockets.connect(s, parseAddress(to)!, 80);
  run();
  const h = gate.sockets.accept(l);
  gate.sockets.gateway.admit(h);
  run();
  inner.sockets.send(s, BYTES, 0, 4);
  run();
  const [wanted, guest] = [0, 1].map(() => ({ address: new Int32Array(4), port: 0, iface: 0 }));
  gate.sockets.local(h, wanted!);
  gate.sockets.peer(h, guest!);
  const error = new GuestError();
  error.iface = 2;
  error.guest.set(guest!.address);
  error.target.set(wanted!.address);
  const kind = to.includes(':') ? { type: 2, code: 0 } : { type: 3, code: 4 };
  Object.assign(error, { protocol: 6, guestPort: guest!.port, targetPort: 80, ...kind, word: 1300 });
  expect(gate.sockets.gateway.sendError(error)).toBe(0);
  run();
  const path = inner.paths.find(guest!.address, wanted!.address, 0);
  expect(inner.paths.mtuOf(path)).toBe(1300);
});

test.each([FAR4, FAR6])(
  'with a long MTU and offloads: what is long goes whole to and from %s, and of an error as much as may be',
  (to) => {
    const { inner, gate, run } = gateway({ mtuBytes: 65_520, takesOffload: true });
    const is6 = to.includes(':');
    const g = gate.sockets.socket(Family.Inet6, SocketType.Datagram);
    const e = gate.sockets.socket(familyOf(to), SocketType.Datagram, echoOf(to));
    for (const h of [g, e]) expect(gate.sockets.gateway.intercept(h, 2)).toBe(0);
    const u = socketFor(inner, to, SocketType.Datagram);
    const p = socketFor(inner, to, SocketType.Datagram, echoOf(to));
    const far = parseAddress(to)!;
    const long = request(to, 3, 30_000);
    inner.sockets.sendTo(u, long, 0, 9000, far, 53);
    inner.sockets.sendTo(p, long, 0, long.length, far, 0);
    run();
    const into = new Uint8Array(65_536);
    expect(gate.sockets.receiveFrom(e, into, 0, into.length)).toBe(long.length);
    const guest = gate.sockets.message.source.slice();
    into[0] = is6 ? 129 : 0;
    expect(gate.sockets.gateway.sendFrom(e, into, 0, long.length, far, 0, guest, 0)).toBe(long.length);
    expect(gate.sockets.receiveFrom(g, into, 0, into.length)).toBe(9000);
    const error = errorAbout(gate, to, is6 ? 2 : 3, is6 ? 0 : 4, 1400);
    error.at = gate.shared.slab.alloc(16_384);
    expect(gate.sockets.gateway.sendError(error)).toBe(0);
    run();
    expect(inner.sockets.receiveFrom(p, into, 0, into.length)).toBe(long.length);
    expect(into.subarray(8, long.length)).toEqual(long.subarray(8));
    const told = nextError(inner, u);
    expect(told).toMatchObject({ errno: 90, info: 1400, port: 53 });
    expect(told!.payload.length).toBe(is6 ? 1280 - 2 * 40 - 16 : 576 - 2 * 20 - 16);
  },
);

test("a packet for another's link-local address is nobody's here (RFC 4291 §2.5.6)", () => {
  const { inner, gate, run } = gateway();
  const g = gate.sockets.socket(Family.Inet6, SocketType.Datagram);
  gate.sockets.gateway.intercept(g, 2);
  run();
  const far = parseAddress('fe80::99')!;
  const mac = gate.interfaces.get(2)!.mac;
  inner.autoconf.neighbors.setStatic(2, far, mac);
  const before = gate.shared.drops.counts[Drop.NotForUs]!;
  const u = inner.sockets.socket(Family.Inet6, SocketType.Datagram);
  inner.sockets.sendTo(u, BYTES, 0, 4, far, 53, 2);
  run();
  expect(gate.sockets.receive(g, buffer, 0, 4)).toBe(-11);
  expect(gate.shared.drops.counts[Drop.NotForUs]! - before).toBe(1);
});
