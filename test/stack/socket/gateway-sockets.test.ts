// Sockets that take what is for addresses of nobody: two stacks, one of them a gateway.

import { expect, test } from 'vitest';
import { NEVER } from '../../../core/time.ts';
import {
  DatagramFlag,
  Family,
  formatAddress,
  parseAddress,
  Ready,
  SocketName,
  SocketOption,
  SocketType,
  type Stack,
} from '../../../stack/stack.ts';
import { addGateway, HostPair, newHost } from '../../kit/stack-kit.ts';

const BYTES = Uint8Array.of(1, 2, 3, 4);

function gateway() {
  const { pair, a: inner, b: gate } = new HostPair({ link: { delayUs: 100 } });
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

test.each([
  ['192.0.2.7', Family.Inet],
  ['2001:db8::7', Family.Inet6],
])('a datagram for %s is taken, and answered from there', (to, family) => {
  const { inner, gate, run } = gateway();
  const g = gate.sockets.socket(Family.Inet6, SocketType.Datagram);
  expect(gate.sockets.gateway.intercept(g, 2)).toBe(0);
  const u = inner.sockets.socket(family, SocketType.Datagram);
  const far = parseAddress(to)!;
  inner.sockets.connect(u, far, 5353);
  expect(inner.sockets.send(u, BYTES, 0, 4)).toBe(4);
  run();
  const into = new Uint8Array(16);
  expect(gate.sockets.receiveFrom(g, into, 0, 16)).toBe(4);
  const { message } = gate.sockets;
  expect(formatAddress(message.target)).toBe(to);
  expect(message.info).toBe(5353);
  expect(message.mac).toBe(0x020000000001);
  const { source, port } = message;
  expect(gate.sockets.gateway.sendFrom(g, into, 0, 3, far, 5353, source.slice(), port)).toBe(3);
  run();
  expect(inner.sockets.receiveFrom(u, into, 0, 16)).toBe(3);
});

test('who is bound is asked before the interceptor, and only its interface counts', () => {
  const { inner, gate, run } = gateway();
  const g = gate.sockets.socket(Family.Inet6, SocketType.Datagram);
  gate.sockets.gateway.intercept(g, 2);
  const bound = gate.sockets.socket(Family.Inet, SocketType.Datagram);
  gate.sockets.bind(bound, parseAddress('0.0.0.0')!, 53);
  const u = inner.sockets.socket(Family.Inet, SocketType.Datagram);
  inner.sockets.sendTo(u, BYTES, 0, 4, parseAddress('192.0.2.7')!, 53);
  run();
  const into = new Uint8Array(16);
  expect(gate.sockets.receive(bound, into, 0, 16)).toBe(4);
  expect(gate.sockets.receive(g, into, 0, 16)).toBe(-11);
});

test('an interface has one interceptor, which closing frees; others send from nowhere else', () => {
  const { gate } = gateway();
  const { sockets } = gate;
  const g = sockets.socket(Family.Inet6, SocketType.Datagram);
  const other = sockets.socket(Family.Inet6, SocketType.Datagram);
  expect(sockets.gateway.intercept(g, 2)).toBe(0);
  expect(sockets.gateway.intercept(other, 2)).toBe(-98);
  expect(sockets.gateway.intercept(other, 9)).toBe(-22);
  const far = parseAddress('192.0.2.7')!;
  expect(sockets.gateway.sendFrom(other, BYTES, 0, 4, far, 1, parseAddress('10.0.0.1')!, 2)).toBe(-1);
  sockets.close(g);
  expect(sockets.gateway.intercept(other, 2)).toBe(0);
});

test('without an interceptor the sender is told that the port is unreachable', () => {
  const { inner, run } = gateway();
  const u = inner.sockets.socket(Family.Inet, SocketType.Datagram);
  inner.sockets.connect(u, parseAddress('192.0.2.7')!, 9);
  inner.sockets.send(u, BYTES, 0, 4);
  run();
  expect(inner.sockets.receive(u, new Uint8Array(4), 0, 4)).toBe(-111);
});

test('who sent the SYN of a withheld connection is known, and how much its buffers take', () => {
  const { inner, gate, run } = gateway();
  const { sockets } = gate;
  const l = sockets.socket(Family.Inet6, SocketType.Stream);
  sockets.gateway.intercept(l, 2, 100);
  const clients = Array.from({ length: 40 }, (_, n) => {
    const s = inner.sockets.socket(Family.Inet, SocketType.Stream);
    inner.sockets.connect(s, parseAddress('192.0.2.7')!, 80 + n);
    return s;
  });
  run(2_000_000); // the first ones wait for the neighbour, of which there is room for a few
  const taken = clients.map(() => sockets.accept(l));
  expect(taken.map((h) => sockets.gateway.senderOf(h))).toEqual(clients.map(() => 0x020000000001));
  const [h] = taken as [number];
  expect(sockets.gateway.admit(h)).toBe(0);
  run();
  const name = new SocketName();
  sockets.local(h, name);
  inner.sockets.send(clients[name.port - 80]!, new Uint8Array(3000), 0, 3000);
  run();
  expect(sockets.gateway.ringBytes(h)).toBe(4096);
  expect(gate.tcp.ringBytes).toBe(4096);
  sockets.abort(h);
  expect(gate.tcp.ringBytes).toBe(0);
});

test('streams are accepted withheld, admitted and refused by handle; all of it is in a snapshot', () => {
  const { pair, inner, gate, run } = gateway();
  const l = gate.sockets.socket(Family.Inet6, SocketType.Stream);
  expect(gate.sockets.gateway.intercept(l, 2, 8)).toBe(0);
  const far = parseAddress('192.0.2.7')!;
  const [c, d] = [0, 1].map((n) => {
    const s = inner.sockets.socket(Family.Inet, SocketType.Stream);
    inner.sockets.connect(s, far, 80 + n);
    return s;
  }) as [number, number];
  run();
  gate.load(gate.save(), pair.nowUs);
  const first = gate.sockets.accept(l);
  const second = gate.sockets.accept(l);
  expect(gate.sockets.gateway.admit(first)).toBe(0);
  expect(gate.sockets.gateway.refuse(second, -1)).toBe(0);
  expect(gate.sockets.gateway.refuse(second, -1)).toBe(-9);
  run();
  expect(inner.sockets.send(c, BYTES, 0, 4)).toBe(4);
  expect(inner.sockets.send(d, BYTES, 0, 4)).toBe(-111);
});

test('flows of one guest with the same ports to several targets, the gateway itself among them, are told apart', () => {
  const { inner, gate, run } = gateway();
  const l = gate.sockets.socket(Family.Inet6, SocketType.Stream);
  gate.sockets.gateway.intercept(l, 2, 8);
  const targets = ['192.0.2.7', '192.0.2.8', '10.0.0.2', '2001:db8::7', 'fd00::2'];
  const ends = targets.map((to) => {
    const s = inner.sockets.socket(to.includes(':') ? Family.Inet6 : Family.Inet, SocketType.Stream);
    inner.sockets.setOption(s, SocketOption.ReuseAddress, 1);
    expect(inner.sockets.bind(s, parseAddress(to.includes(':') ? 'fd00::1' : '10.0.0.1')!, 40_000)).toBe(0);
    expect(inner.sockets.connect(s, parseAddress(to)!, 80)).toBe(-115);
    return s;
  });
  run();
  const [wanted, guest] = [new SocketName(), new SocketName()];
  const taken = targets.map(() => {
    const h = gate.sockets.accept(l);
    gate.sockets.local(h, wanted);
    gate.sockets.peer(h, guest);
    expect([wanted.port, guest.port]).toEqual([80, 40_000]);
    gate.sockets.gateway.admit(h);
    return [formatAddress(wanted.address), h] as const;
  });
  expect(taken.map(([to]) => to).sort()).toEqual([...targets].sort());
  run();
  const into = new Uint8Array(1);
  for (const [k, [to, h]] of taken.entries()) {
    gate.sockets.send(h, Uint8Array.of(k), 0, 1);
    run();
    expect(inner.sockets.receive(ends[targets.indexOf(to)]!, into, 0, 1)).toBe(1);
    expect(into[0]).toBe(k);
  }
});

test.each([
  ['203.0.113.9', '10.0.0.1'],
  ['2001:db8:9::9', 'fd00::1'],
])('a connection from %s, which is nobody here, reaches a guest, who sees where it is from', (from, to) => {
  const { inner, gate, run } = gateway();
  const family = to.includes(':') ? Family.Inet6 : Family.Inet;
  const l = inner.sockets.socket(family, SocketType.Stream);
  inner.sockets.bind(l, parseAddress(to)!, 22);
  inner.sockets.listen(l, 4);
  const s = gate.sockets.socket(family, SocketType.Stream);
  expect(gate.sockets.bind(s, parseAddress(from)!, 5555)).toBe(0);
  expect(gate.sockets.connect(s, parseAddress(to)!, 22)).toBe(-115);
  run();
  const a = inner.sockets.accept(l);
  const name = new SocketName();
  inner.sockets.peer(a, name);
  expect([formatAddress(name.address), name.port]).toEqual([from, 5555]);
  inner.sockets.send(a, BYTES, 0, 4);
  run();
  const into = new Uint8Array(8);
  expect(gate.sockets.receive(s, into, 0, 8)).toBe(4);
  gate.sockets.close(s);
  inner.sockets.close(a);
  run();
  // Elsewhere a source has to be one's own.
  gate.interfaces.get(2)!.acceptsAny = false;
  gate.paths.invalidate();
  const t = gate.sockets.socket(family, SocketType.Stream);
  gate.sockets.bind(t, parseAddress(from)!, 5556);
  expect(gate.sockets.connect(t, parseAddress(to)!, 22)).toBe(-99);
});

test('nobody is told a MAC address for what is not the gateway: ARP and neighbour discovery are for its own addresses', () => {
  const { inner, run } = gateway();
  for (const to of ['10.0.0.77', 'fd00::77', '10.0.0.2', 'fd00::2']) {
    const u = inner.sockets.socket(to.includes(':') ? Family.Inet6 : Family.Inet, SocketType.Datagram);
    inner.sockets.sendTo(u, BYTES, 0, 4, parseAddress(to)!, 9);
  }
  run();
  const { neighbors } = inner.autoconf;
  const known = (to: string): boolean => neighbors.isUsable(neighbors.lookup(2, parseAddress(to)!));
  expect(['10.0.0.77', 'fd00::77', '10.0.0.2', 'fd00::2'].map(known)).toEqual([false, false, true, true]);
});

test.each([
  ['192.0.2.7', 2, DatagramFlag.DontFragment],
  ['192.0.2.7', 0, 0],
  ['2001:db8::7', 2, DatagramFlag.DontFragment],
  ['2001:db8::7', 0, 0], // its sender cut it itself
])(
  'of a datagram to %s hops, class and whether it may be cut are known, and set in what is sent from there',
  (to, mode, flag) => {
    const { inner, gate, run } = gateway();
    const is6 = to.includes(':');
    const g = gate.sockets.socket(Family.Inet6, SocketType.Datagram);
    gate.sockets.gateway.intercept(g, 2);
    const u = inner.sockets.socket(is6 ? Family.Inet6 : Family.Inet, SocketType.Datagram);
    inner.sockets.setOption(u, is6 ? SocketOption.UnicastHops : SocketOption.Ttl, 5);
    inner.sockets.setOption(u, is6 ? SocketOption.TrafficClass : SocketOption.Tos, 0x48);
    if (!is6) inner.sockets.setOption(u, SocketOption.MtuDiscover, mode);
    const bytes = mode === 0 ? 3000 : 100; // what is longer than the path takes is cut
    const far = parseAddress(to)!;
    inner.sockets.sendTo(u, new Uint8Array(bytes), 0, bytes, far, 53);
    run();
    const into = new Uint8Array(4000);
    expect(gate.sockets.receiveFrom(g, into, 0, 4000)).toBe(bytes);
    const { message } = gate.sockets;
    expect([message.hops, message.trafficClass, message.flags]).toEqual([5, 0x48, flag]);
    const { source, port } = message;
    const { gateway: calls } = gate.sockets;
    expect(calls.sendFrom(g, into, 0, 3, far, 53, source.slice(), port, 17, 0x20)).toBe(3);
    expect(calls.sendFrom(g, into, 0, 3000, far, 53, source.slice(), port, 18, 0x28)).toBe(3000);
    expect(calls.sendFrom(g, into, 0, 3, far, 53, source.slice(), port)).toBe(3);
    run();
    const seen = [17, 18, 64].map((hops) => {
      expect(inner.sockets.receiveFrom(u, into, 0, 4000)).toBeGreaterThan(0);
      expect(inner.sockets.message.hops).toBe(hops);
      return inner.sockets.message.trafficClass;
    });
    expect(seen).toEqual([0x20, 0x28, 0]);
  },
);

/** Notes what it hears. */
class Listener {
  readonly heard: number[] = [];
  private readonly stack: Stack;

  constructor(stack: Stack) {
    this.stack = stack;
  }

  changed(h: number): void {
    this.heard.push(h, this.stack.sockets.poll(h));
  }
}

test('who claims a socket hears of it in place of the promise API, until it is closed', () => {
  const { inner, gate, run } = gateway();
  const user = new Listener(gate);
  const l = gate.sockets.socket(Family.Inet6, SocketType.Stream);
  gate.sockets.gateway.intercept(l, 2, 8);
  expect(gate.sockets.claim(l, user)).toBe(0);
  expect(gate.sockets.claim(99, user)).toBe(-9);
  const s = inner.sockets.socket(Family.Inet, SocketType.Stream);
  inner.sockets.connect(s, parseAddress('192.0.2.7')!, 80);
  run();
  expect(user.heard).toContain(Ready.In);
  const h = gate.sockets.accept(l);
  gate.sockets.gateway.admit(h);
  run();
  user.heard.length = 0;
  gate.sockets.claim(h, user);
  expect(user.heard).toEqual([]); // never within a call
  run();
  expect(user.heard).toEqual([h, Ready.Out]);
  inner.sockets.send(s, BYTES, 0, 4);
  run();
  expect(user.heard.slice(2)).toEqual([h, Ready.In | Ready.Out]);
  gate.sockets.close(h);
  const next = gate.sockets.socket(Family.Inet, SocketType.Datagram);
  expect(next).toBe(h); // the number is another's now
  let readable = 0;
  const adopted = gate.streams.adopt(next);
  adopted.onReadable = () => readable++;
  gate.sockets.bind(next, parseAddress('10.0.0.2')!, 7);
  const u = inner.sockets.socket(Family.Inet, SocketType.Datagram);
  inner.sockets.sendTo(u, BYTES, 0, 4, parseAddress('10.0.0.2')!, 7);
  user.heard.length = 0;
  run();
  expect([user.heard, readable > 0]).toEqual([[], true]);
});

test('a user of the stack has its turn before TCP sends, and its deadlines are kept in the time of the stack', () => {
  const { pair, inner, gate, run } = gateway();
  const s = inner.sockets.socket(Family.Inet, SocketType.Stream);
  const l = gate.sockets.socket(Family.Inet6, SocketType.Stream);
  gate.sockets.gateway.intercept(l, 2, 8);
  inner.sockets.connect(s, parseAddress('192.0.2.7')!, 80);
  run();
  const h = gate.sockets.accept(l);
  gate.sockets.gateway.admit(h);
  run();
  let left = 3;
  const told: number[] = [];
  const user = {
    turn: () => {
      if (left-- > 0) gate.sockets.send(h, BYTES, 0, 4);
    },
    dueUs: pair.nowUs + 30_000,
    deadlineUs: () => user.dueUs,
    expire: () => {
      told.push(gate.shared.nowUs);
      user.dueUs = NEVER;
    },
  };
  gate.addUser(user);
  const due = user.dueUs;
  expect(gate.deadlineUs()).toBeLessThanOrEqual(due);
  gate.poll(pair.nowUs);
  expect(gate.interfaces.get(2)!.output.pending).toBe(1); // what the turn wrote left in the same poll
  run();
  expect(told).toEqual([due]);
  gate.removeUser(user);
  left = 1;
  run();
  expect(left).toBe(1);
  const { stack: moved } = newHost(pair.world.slab, 2);
  const elsewhereUs = pair.nowUs + 7_000_000; // the clock of another host
  moved.load(gate.save(), elsewhereUs);
  moved.addUser({ ...user, deadlineUs: () => moved.shared.nowUs + 1000 });
  expect(moved.deadlineUs()).toBe(elsewhereUs + 1000);
});
